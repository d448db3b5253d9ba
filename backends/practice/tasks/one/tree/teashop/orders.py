"""Takes an order through its steps, and undoes them when one fails."""

import asyncio
import logging

from teashop.config import CHARGE_TIMEOUT, LEDGER_TIMEOUT, NOTIFY_TIMEOUT, STOCK_TIMEOUT
from teashop.transport import Refused, Service, Unavailable

log = logging.getLogger(__name__)

ACCOUNT = "web"


class Orders(Service):
    name = "orders"

    def __init__(self, network):
        super().__init__(network)
        self.orders = {}
        self.notified = 0
        self.operations = {"place": self.place, "status": self.status, "report": self.report}

    async def place(self, body):
        """Reserve, charge, book. The answer says how it went."""
        order = body["order"]
        if order in self.orders:
            return await self.status(body)
        self.orders[order] = "placed"
        line = {"order": order, "sku": body["sku"], "quantity": body["quantity"]}
        reserved, quote = await asyncio.gather(
            self.call("stock", "reserve", line, timeout=STOCK_TIMEOUT),
            self.call("stock", "quote", line, timeout=STOCK_TIMEOUT),
        )
        if not reserved["reserved"]:
            return self.close(order, "sold out")
        amount = quote["price"] * body["quantity"]
        bill = {"order": order, "card": body["card"], "amount": amount}
        try:
            paid = await self.call("payments", "charge", bill, timeout=CHARGE_TIMEOUT)
        except (TimeoutError, Unavailable, Refused) as error:
            log.warning("order %s: %r", order, error)
            await self.call_off(order)
            return self.close(order, "failed")
        if paid["status"] != "paid":
            await self.call("stock", "release", {"order": order}, timeout=STOCK_TIMEOUT)
            return self.close(order, paid["status"])
        entry = {"order": order, "account": ACCOUNT, "amount": amount}
        await self.call("ledger", "post", entry, timeout=LEDGER_TIMEOUT)
        answer = self.close(order, "confirmed")
        asyncio.create_task(self.notify(order))
        return answer

    async def call_off(self, order):
        """Undo what was done for an order."""
        await asyncio.gather(
            self.call("payments", "cancel", {"order": order}, timeout=STOCK_TIMEOUT),
            self.call("stock", "release", {"order": order}, timeout=STOCK_TIMEOUT),
        )

    def close(self, order, status):
        self.orders[order] = status
        return {"order": order, "status": status}

    async def notify(self, order):
        try:
            await self.call("notifier", "receipt", {"order": order}, timeout=NOTIFY_TIMEOUT)
            self.notified += 1
        except Exception as error:
            log.warning("receipt for %s: %r", order, error)

    async def status(self, body):
        """How an order stands."""
        order = body["order"]
        return {"order": order, "status": self.orders.get(order, "unknown")}

    async def report(self, body):
        return {"orders": self.orders}
