"""Where the website's orders come in."""

import asyncio
import logging

from teashop.config import CAPACITY, PLACE_TIMEOUT, REPORT_SECONDS
from teashop.transport import Service

log = logging.getLogger(__name__)


class Gateway(Service):
    name = "gateway"

    def __init__(self, network, capacity=CAPACITY):
        super().__init__(network)
        self.capacity = capacity
        self.inside = 0
        self.seen = 0
        self.reporting = None
        self.operations = {"checkout": self.checkout, "health": self.health}

    async def start(self):
        self.reporting = asyncio.create_task(self.report())

    async def stop(self):
        if self.reporting is not None:
            self.reporting.cancel()

    async def checkout(self, body):
        """Take one customer's order, when there is room."""
        self.seen += 1
        if self.inside >= self.capacity:
            return {"order": body["order"], "status": "busy"}
        self.inside += 1
        try:
            answer = await self.call("orders", "place", body, timeout=PLACE_TIMEOUT)
        except TimeoutError:
            log.warning("order %s took too long", body["order"])
            answer = {"order": body["order"], "status": "failed"}
        self.inside -= 1
        return answer

    async def report(self):
        """A line in the log every now and then."""
        try:
            while True:
                await asyncio.sleep(REPORT_SECONDS)
                log.info("%d orders seen, %d inside", self.seen, self.inside)
        except asyncio.CancelledError:
            log.info("%d orders seen in all", self.seen)

    async def health(self, body):
        return {"inside": self.inside, "seen": self.seen}
