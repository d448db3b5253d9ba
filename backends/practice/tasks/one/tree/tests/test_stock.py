"""The shelf, one customer at a time."""

import asyncio
import unittest

from teashop.journal import Journal
from teashop.stock import Stock
from teashop.tariff import Tariff


class StockTest(unittest.TestCase):
    def stock(self):
        return Stock(None, Journal(), {"assam": 2}, Tariff(seconds=0.0))

    def test_reserve_until_empty(self):
        async def scenario():
            stock = self.stock()
            return [(await stock.reserve({"order": n, "sku": "assam", "quantity": 1}))["reserved"] for n in "abc"]

        self.assertEqual(asyncio.run(scenario()), [True, True, False])

    def test_release_puts_back(self):
        async def scenario():
            stock = self.stock()
            await stock.reserve({"order": "a", "sku": "assam", "quantity": 2})
            await stock.release({"order": "a"})
            return (await stock.levels({}))["units"]

        self.assertEqual(asyncio.run(scenario()), {"assam": 2})


if __name__ == "__main__":
    unittest.main()
