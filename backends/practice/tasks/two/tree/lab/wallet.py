"""The members' credit, in cents."""

import asyncio

from lab.hub import Part, answers


class Wallet(Part):
    name = "wallet"

    def __init__(self, hub, book):
        super().__init__(hub)
        self.book = book
        self.credit = {}
        self.numbering = asyncio.Lock()
        self.last = 0

    @answers("deposit")
    async def deposit(self, ask):
        """Put money in."""
        member, cents = ask["member"], ask["cents"]
        credit = self.credit.get(member, 0)
        await self.book.write(member=member, paid_in=cents)
        self.credit[member] = credit + cents
        return {"credit": self.credit[member]}

    @answers("withdraw")
    async def withdraw(self, ask):
        """Pay for a job, if there is enough."""
        member, cents = ask["member"], ask["cents"]
        if self.credit.get(member, 0) < cents:
            return {"paid": False}
        self.credit[member] -= cents
        await self.book.write(member=member, job=ask["job"], paid_out=cents)
        return {"paid": True}

    @answers("statement")
    async def statement(self, ask):
        """A numbered statement for the tax office: no number twice, none left out."""
        async with self.numbering:
            number = self.last + 1
            await self.book.write(statement=number, member=ask["member"])
            self.last = number
        return {"number": number, "credit": self.credit.get(ask["member"], 0)}
