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

PLACE_TIMEOUT = 1.8
STOCK_TIMEOUT = 0.6
CHARGE_TIMEOUT = 2.5
BANK_TIMEOUT = 8.0
LEDGER_TIMEOUT = 0.6
NOTIFY_TIMEOUT = 5.0
STATUS_TIMEOUT = 1.0

DEBIT_ATTEMPTS = 3
STATUS_ATTEMPTS = 3

REPORT_SECONDS = 30.0
