"""Jobs: priced, paid, kept."""

import asyncio

from lab import settings
from lab.hub import Failed, Part, answers


class Jobs(Part):
    name = "jobs"

    def __init__(self, hub, book, papers):
        super().__init__(hub)
        self.book = book
        self.papers = papers
        self.known = {}
        self.cents = {}

    @answers("accept")
    async def accept(self, ask):
        """Take a job on, once it is paid."""
        job, member = ask["job"], ask["member"]
        if job in self.known:
            return {"state": "accepted"}
        cents = await self.price(ask["paper"]) * ask["sheets"]
        bill = {"job": job, "member": member, "cents": cents}
        paid = await asyncio.wait_for(self.hub.ask("wallet", "withdraw", bill), settings.WALLET_SECONDS)
        if not paid["paid"]:
            return {"state": "no credit"}
        await self.hub.publish("accepted", {"job": job})
        await self.save(ask)
        return {"state": "accepted"}

    async def save(self, ask):
        await self.book.write(**ask)
        self.known[ask["job"]] = ask

    async def price(self, paper):
        """Cents for a sheet; the cupboard is asked once for each kind."""
        if paper not in self.cents:
            found = await self.papers(paper)
            if found is None:
                raise Failed(f"we have no {paper}")
            self.cents[paper] = found
        return self.cents[paper]

    @answers("details")
    async def details(self, ask):
        return {"details": self.known.get(ask["job"])}
