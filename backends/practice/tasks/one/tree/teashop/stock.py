"""Units on the shelf, and who has reserved how many."""

from teashop.transport import Refused, Service


class Stock(Service):
    name = "stock"

    def __init__(self, network, journal, units, tariff):
        super().__init__(network)
        self.journal = journal
        self.units = dict(units)
        self.tariff = tariff
        self.prices = {}
        self.held = {}
        self.operations = {
            "reserve": self.reserve,
            "release": self.release,
            "quote": self.quote,
            "levels": self.levels,
        }

    async def reserve(self, body):
        """Set units aside for an order. Asking twice for the same order reserves once."""
        order, sku, quantity = body["order"], body["sku"], body["quantity"]
        if order in self.held:
            return {"reserved": True}
        if self.units.get(sku, 0) < quantity:
            return {"reserved": False}
        await self.journal.append({"event": "reserve", "order": order, "sku": sku, "quantity": quantity})
        self.units[sku] -= quantity
        self.held[order] = (sku, quantity)
        return {"reserved": True}

    async def release(self, body):
        """Put an order's units back on the shelf."""
        order = body["order"]
        held = self.held.pop(order, None)
        if held is None:
            return {"released": False}
        sku, quantity = held
        await self.journal.append({"event": "release", "order": order, "sku": sku, "quantity": quantity})
        self.units[sku] += quantity
        return {"released": True}

    async def quote(self, body):
        """The price of one unit. Read from the tariff once, then remembered."""
        sku = body["sku"]
        if sku not in self.prices:
            price = await self.tariff.price(sku)
            if price is None:
                raise Refused(f"no price for {sku}")
            self.prices[sku] = price
        return {"price": self.prices[sku]}

    async def levels(self, body):
        return {"units": self.units, "held": len(self.held)}
