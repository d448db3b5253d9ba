"""A busy morning against the running services, and what came of it: `python3 load.py [--base PORT]`."""

import asyncio
import sys

from teashop.bank import DROPPING_CARD, SLOW_CARD
from teashop.cluster import SHELF, option, ports
from teashop.config import HOST
from teashop.transport import Network, Refused, Unavailable

GOOD_CARD = "4000-0001"
PATIENCE = 2.0


async def buy(network, told, order, sku, card):
    body = {"order": order, "sku": sku, "quantity": 1, "card": card}
    try:
        told[order] = (await network.call("gateway", "checkout", body, PATIENCE))["status"]
    except TimeoutError:
        told[order] = "nothing"
    except (Unavailable, Refused) as error:
        told[order] = f"error: {error}"


async def ready(network):
    """Wait until every service answers at its port."""
    for name, port in network.ports.items():
        for _ in range(100):
            try:
                _, writer = await asyncio.open_connection(network.host, port)
                writer.close()
                break
            except OSError:
                await asyncio.sleep(0.1)
        else:
            raise SystemExit(f"{name} does not answer: is the cluster running?")


async def main(arguments):
    base = option(arguments, "--base")
    network = Network(HOST, ports(base and int(base)))
    await ready(network)
    told = {}
    await asyncio.gather(
        *(buy(network, told, f"rush-{i}", "sencha", GOOD_CARD) for i in range(12)),
        *(buy(network, told, f"slow-{i}", "keemun", SLOW_CARD) for i in range(3)),
        *(buy(network, told, f"lost-{i}", "rooibos", DROPPING_CARD) for i in range(3)),
    )
    await asyncio.sleep(3.0)  # what was begun comes to its end
    orders = (await network.call("orders", "report", {}, 5.0))["orders"]
    bank = (await network.call("bank", "statement", {}, 5.0))["orders"]
    confirmed = {order for order in told if orders.get(order) == "confirmed"}
    charged = {order for order, line in bank.items() if line["net"] > 0}
    print(f"{len(told)} customers, {len(confirmed)} orders confirmed")
    print(f"sold more than there was: {max(0, sum(o.startswith('rush') for o in confirmed) - SHELF['sencha'])}")
    print(f"confirmed behind the customer's back: {sum(told[order] != 'confirmed' for order in confirmed)}")
    print(f"charged without an order: {len(charged - confirmed)}")
    print(f"charged twice: {sum(bank[o]['debits'] > 1 and bank[o]['net'] > 0 for o in confirmed if o in bank)}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
