"""Where members hand in their jobs and hear of them again."""

import asyncio
import logging

from lab import settings
from lab.hub import Part, answers

log = logging.getLogger(__name__)

WATCH_SECONDS = 20.0


class Desk(Part):
    name = "desk"

    def __init__(self, hub, mail):
        super().__init__(hub)
        self.mail = mail
        self.today = 0
        self.unsent = 0
        self.ready = {}
        self.watching = None

    async def open(self):
        self.watching = asyncio.create_task(self.watch())

    async def close(self):
        if self.watching is not None:
            self.watching.cancel()

    @answers("submit")
    async def submit(self, ask):
        """Hand in a job."""
        self.today += 1
        answer = await asyncio.wait_for(self.hub.ask("jobs", "accept", ask), settings.DESK_SECONDS)
        log.info("job %s: %s", ask["job"], answer["state"])
        return answer

    @answers("ready")
    async def is_ready(self, ask):
        """A job lies on the shelf."""
        self.ready[ask["job"]] = ask["slot"]
        asyncio.create_task(self.remind(ask["job"]))
        return {}

    async def remind(self, job):
        try:
            await self.mail(job)
        except Exception:
            self.unsent += 1

    async def watch(self):
        """How it goes, for the screen above the desk."""
        try:
            while True:
                await asyncio.sleep(WATCH_SECONDS)
                log.info("%d jobs today, %d reminders not sent", self.today, self.unsent)
        except asyncio.CancelledError:
            log.info("the desk closes after %d jobs", self.today)
