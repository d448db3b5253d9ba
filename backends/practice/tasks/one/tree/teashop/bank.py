"""The sandbox that our bank gives to merchants. A debit with a key that it knows already is answered, not repeated."""

import asyncio

from teashop.transport import Dropped, Service

# The bank's test cards.
SLOW_CARD = "4000-0013"  # approved, but late
DROPPING_CARD = "4000-0021"  # the first answer for an order is lost on its way
EMPTY_CARD = "4000-0002"  # declined

SLOW_SECONDS = 2.2
USUAL_SECONDS = 0.05


class Bank(Service):
    name = "bank"

    def __init__(self, network):
        super().__init__(network)
        self.debits = {}
        self.refunds = {}
        self.dropped = set()
        self.operations = {"debit": self.debit, "refund": self.refund, "statement": self.statement}

    async def debit(self, body):
        """Take an amount from a card."""
        key, card, order = body["key"], body["card"], body["order"]
        if card == EMPTY_CARD:
            return {"approved": False, "receipt": None}
        self.debits.setdefault(key, {"order": order, "amount": body["amount"]})
        if card == DROPPING_CARD and order not in self.dropped:
            self.dropped.add(order)
            raise Dropped
        await asyncio.sleep(SLOW_SECONDS if card == SLOW_CARD else USUAL_SECONDS)
        return {"approved": True, "receipt": key}

    async def refund(self, body):
        """Give a debit back."""
        receipt = body["receipt"]
        if receipt in self.debits:
            self.refunds[receipt] = self.debits[receipt]
        await asyncio.sleep(USUAL_SECONDS)
        return {"refunded": receipt in self.refunds}

    async def statement(self, body):
        """What each order has cost its customer, and how many debits were made for it."""
        orders = {}
        for key, debit in self.debits.items():
            line = orders.setdefault(debit["order"], {"net": 0, "debits": 0})
            line["debits"] += 1
            if key not in self.refunds:
                line["net"] += debit["amount"]
        return {"orders": orders}
