"""Brings accepted jobs to the machine, and what comes out of it to the shelf."""

import asyncio
import itertools
import logging

from lab import settings
from lab.hub import Part, Unreachable, answers

log = logging.getLogger(__name__)


class Press(Part):
    name = "press"

    def __init__(self, hub):
        super().__init__(hub)
        self.numbers = itertools.count(1)
        self.late = set()
        self.done = set()
        self.failed = 0

    @answers("accepted")
    async def accepted(self, ask):
        """A job was accepted: print it."""
        details = await self.details(ask["job"])
        if details is None:
            log.error("nobody knows job %s", ask["job"])
            return
        try:
            await self.print(details)
        except TimeoutError:
            # The machine is slow. It says when the paper is out.
            self.late.add(details["job"])

    async def details(self, job):
        for _ in range(settings.DETAILS_ATTEMPTS):
            trace = f"press-{next(self.numbers)}"
            ask = {"job": job, "trace": trace}
            try:
                found = await asyncio.wait_for(self.hub.ask("jobs", "details", ask), settings.DETAILS_SECONDS)
                return found["details"]
            except Unreachable:
                log.info("%s: jobs does not answer", trace)
        return None

    async def print(self, details):
        """Have it printed; again when the machine was not there."""
        for _ in range(settings.PRESS_ATTEMPTS):
            ask = {"job": details["job"], "sheets": details["sheets"]}
            try:
                return await asyncio.wait_for(self.hub.ask("machine", "print", ask), settings.PRESS_SECONDS)
            except (Unreachable, TimeoutError) as error:
                log.warning("job %s: %r", details["job"], error)
        self.failed += 1

    @answers("finished")
    async def finished(self, ask):
        """The paper of a job is out."""
        if ask["job"] in self.done:
            return
        self.done.add(ask["job"])
        await asyncio.wait_for(self.hub.ask("shelf", "place", {"job": ask["job"]}), settings.SHELF_SECONDS)

    @answers("load")
    async def load(self, ask):
        return {"late": len(self.late), "done": len(self.done), "failed": self.failed}
