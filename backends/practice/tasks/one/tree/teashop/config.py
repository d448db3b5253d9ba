"""What operations may want to turn. Times in seconds."""

HOST = "127.0.0.1"

PORTS = {
    "gateway": 7410,
    "orders": 7411,
    "stock": 7412,
    "payments": 7413,
    "bank": 7414,
    "ledger": 7415,
    "notifier": 7416,
}

# How many orders the gateway lets in at a time.
CAPACITY = 24

# gateway, for an order
PLACE_TIMEOUT = 1.8

# orders, for one step of an order
STOCK_TIMEOUT = 0.6
CHARGE_TIMEOUT = 2.5
LEDGER_TIMEOUT = 0.6
NOTIFY_TIMEOUT = 5.0

# payments, for the bank
BANK_TIMEOUT = 8.0
DEBIT_ATTEMPTS = 3

# notifier, for the state of an order
STATUS_TIMEOUT = 1.0
STATUS_ATTEMPTS = 3

REPORT_SECONDS = 30.0
