"""Receipts by mail, sent in small batches."""

import asyncio
import itertools
import logging

from teashop.config import STATUS_ATTEMPTS, STATUS_TIMEOUT
from teashop.transport import Service, Unavailable

log = logging.getLogger(__name__)

BATCH_SECONDS = 0.2


class Notifier(Service):
    name = "notifier"

    def __init__(self, network):
        super().__init__(network)
        self.traces = itertools.count(1)
        self.pending = []
        self.sent = []
        self.failures = 0
        self.flushing = False
        self.operations = {"receipt": self.receipt, "outbox": self.outbox}

    async def receipt(self, body):
        """Queue a receipt; it goes out with the next batch."""
        self.pending.append(body["order"])
        if self.flushing:
            return {"queued": True}
        self.flushing = True
        asyncio.create_task(self.flush())
        return {"queued": True}

    async def flush(self):
        await asyncio.sleep(BATCH_SECONDS)
        self.flushing = False
        batch, self.pending = self.pending, []
        for order in batch:
            try:
                state = await self.lookup(order)
            except Exception:
                self.failures += 1
                continue
            self.sent.append({"order": order, "text": f"Your order {order} is {state}."})

    async def lookup(self, order):
        """What to tell the customer, from the orders service."""
        for _ in range(STATUS_ATTEMPTS):
            trace = f"mail-{next(self.traces)}"
            body = {"order": order, "trace": trace}
            try:
                answer = await self.call("orders", "status", body, timeout=STATUS_TIMEOUT)
                return answer["status"]
            except Unavailable as error:
                log.info("status of %s (%s): %s", order, trace, error)
        raise Unavailable("orders")

    async def outbox(self, body):
        return {"sent": [mail["order"] for mail in self.sent], "pending": len(self.pending)}
