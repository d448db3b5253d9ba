"""The books: one entry for every order that was paid, and the day's total of each account."""

import asyncio

from teashop.transport import Service


class Ledger(Service):
    name = "ledger"

    def __init__(self, network, journal):
        super().__init__(network)
        self.journal = journal
        self.entries = {}
        self.totals = {}
        self.posting = asyncio.Lock()
        self.operations = {"post": self.post, "balance": self.balance}

    async def post(self, body):
        """Enter an order. The total must be that of the entries before it, so one entry at a time."""
        order, account, amount = body["order"], body["account"], body["amount"]
        async with self.posting:
            if order in self.entries:
                return {"posted": False}
            total = self.totals.get(account, 0)
            await self.journal.append({"event": "post", "order": order, "account": account, "amount": amount})
            self.totals[account] = total + amount
            self.entries[order] = amount
        return {"posted": True}

    async def balance(self, body):
        return {"totals": self.totals, "entries": self.entries}
