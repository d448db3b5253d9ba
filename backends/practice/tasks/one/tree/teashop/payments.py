"""Money: debits at the bank, and refunds when an order is called off."""

import asyncio
import itertools
import logging

from teashop.config import BANK_TIMEOUT, DEBIT_ATTEMPTS
from teashop.transport import Refused, Service, Unavailable

log = logging.getLogger(__name__)


class Payments(Service):
    name = "payments"

    def __init__(self, network, journal):
        super().__init__(network)
        self.journal = journal
        self.numbers = itertools.count(1)
        self.receipts = {}
        self.cancelled = set()
        self.takings = 0
        self.declined = 0
        self.operations = {"charge": self.charge, "cancel": self.cancel}

    async def charge(self, body):
        """Charge an order to its card, once the bank approves."""
        order, amount = body["order"], body["amount"]
        answer = await self.debit(order, body["card"], amount)
        if not answer["approved"]:
            self.declined += 1
            return {"status": "declined"}
        if order in self.cancelled:
            await self.refund(order, answer["receipt"])
            return {"status": "cancelled"}
        self.receipts[order] = (answer["receipt"], amount)
        takings = self.takings
        await self.journal.append({"event": "charge", "order": order, "amount": amount, "takings": takings + amount})
        self.takings = takings + amount
        return {"status": "paid"}

    async def debit(self, order, card, amount):
        """Ask the bank, again when the line breaks."""
        for _ in range(DEBIT_ATTEMPTS):
            key = f"{order}/{next(self.numbers)}"
            body = {"key": key, "order": order, "card": card, "amount": amount}
            try:
                return await self.call("bank", "debit", body, timeout=BANK_TIMEOUT)
            except Unavailable as error:
                log.warning("debit for %s: %s", order, error)
        raise Refused("the bank can't be reached")

    async def cancel(self, body):
        """Call a charge off: refund it now, or as soon as it has gone through."""
        order = body["order"]
        self.cancelled.add(order)
        receipt, amount = self.receipts.pop(order, (None, 0))
        if receipt is not None:
            self.takings -= amount
            await self.refund(order, receipt)
        return {"status": "cancelled"}

    async def refund(self, order, receipt):
        while True:
            try:
                await self.call("bank", "refund", {"order": order, "receipt": receipt}, timeout=BANK_TIMEOUT)
                break
            except (Unavailable, TimeoutError):
                log.warning("refund for %s: the bank does not answer, again in a second", order)
                await asyncio.sleep(1.0)
        await self.journal.append({"event": "refund", "order": order})
