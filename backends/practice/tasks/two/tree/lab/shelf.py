"""The shelf for pick-up: numbered slots, one job in each."""

import asyncio
import logging

from lab import settings
from lab.hub import Part, Unreachable, answers

log = logging.getLogger(__name__)


class Shelf(Part):
    name = "shelf"

    def __init__(self, hub, book, slots=settings.SLOTS):
        super().__init__(hub)
        self.book = book
        self.slots = [None] * slots
        self.overflow = []

    @answers("place")
    async def place(self, ask):
        """Put a job into a free slot, and have its member called."""
        job = ask["job"]
        lock = asyncio.Lock()
        async with lock:
            slot = next((n for n, there in enumerate(self.slots) if there is None), None)
            if slot is None:
                self.overflow.append(job)
                return {"slot": None}
            await self.book.write(slot=slot, job=job)
            self.slots[slot] = job
        asyncio.create_task(self.call(job, slot))
        return {"slot": slot}

    async def call(self, job, slot):
        """Tell the desk, for as long as it takes."""
        while True:
            try:
                news = {"job": job, "slot": slot}
                await asyncio.wait_for(self.hub.ask("desk", "ready", news), settings.READY_SECONDS)
                return
            except (Unreachable, TimeoutError):
                log.info("the desk does not answer")
                await asyncio.sleep(1.0)

    @answers("collect")
    async def collect(self, ask):
        """A member has come for a job."""
        if ask["job"] not in self.slots:
            return {"slot": None}
        slot = self.slots.index(ask["job"])
        self.slots[slot] = None
        await self.book.write(slot=slot, job=None)
        return {"slot": slot}
