"""Numbers to turn."""

PORT = 7520

# Seconds a part waits for another.
DESK_SECONDS = 3.0

WALLET_SECONDS = 4.0

DETAILS_SECONDS = 1.0

PRESS_SECONDS = 1.0

SHELF_SECONDS = 2.0

READY_SECONDS = 2.0

PRESS_ATTEMPTS = 3
DETAILS_ATTEMPTS = 2
SLOTS = 12
CENTS_FOR_PAPER = {"plain": 10, "baryta": 90, "rag": 140}
