"""Prices, as the buying department keeps them."""

import asyncio

PRICES = {"assam": 640, "genmaicha": 780, "keemun": 910, "rooibos": 450, "sencha": 820}


class Tariff:
    """The price list. Reading it goes to a file share that is slow at times."""

    def __init__(self, prices=PRICES, seconds=0.02):
        self.prices = prices
        self.seconds = seconds

    async def price(self, sku):
        """Price of a unit in cents, or None."""
        await asyncio.sleep(self.seconds)
        return self.prices.get(sku)
