"""Starts the services, each in a process of its own: `python3 -m teashop.cluster`."""

import asyncio
import contextlib
import logging
import signal
import sys
import tempfile
from pathlib import Path

from teashop.bank import Bank
from teashop.config import HOST, PORTS
from teashop.gateway import Gateway
from teashop.journal import Journal
from teashop.ledger import Ledger
from teashop.notifier import Notifier
from teashop.orders import Orders
from teashop.payments import Payments
from teashop.stock import Stock
from teashop.tariff import Tariff
from teashop.transport import Network, serve

SHELF = {"assam": 400, "genmaicha": 400, "keemun": 400, "rooibos": 400, "sencha": 5}


def build(name, network, folder):
    """One service, by its name."""
    journal = Journal(folder / f"{name}.jsonl")
    if name == "stock":
        return Stock(network, journal, SHELF, Tariff())
    if name == "payments":
        return Payments(network, journal)
    if name == "ledger":
        return Ledger(network, journal)
    return {"gateway": Gateway, "orders": Orders, "bank": Bank, "notifier": Notifier}[name](network)


def ports(base):
    """The ports from the configuration, or a row of them from `base` on."""
    return PORTS if base is None else {name: base + i for i, name in enumerate(PORTS)}


async def one(name, base, folder):
    """Run one service in this process."""
    table = ports(base)
    await serve(build(name, Network(HOST, table), folder), HOST, table[name])


async def everything(base):
    """Run every service in a process of its own until told to stop."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with tempfile.TemporaryDirectory(prefix="teashop-") as folder:
        processes = []
        for name in PORTS:
            arguments = [sys.executable, "-m", "teashop.cluster", "--only", name, "--folder", folder]
            if base is not None:
                arguments += ["--base", str(base)]
            processes.append(await asyncio.create_subprocess_exec(*arguments))
        print(f"{len(processes)} services started", flush=True)
        await stop.wait()
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        await asyncio.gather(*(process.wait() for process in processes))


def option(arguments, name):
    return arguments[arguments.index(name) + 1] if name in arguments else None


def main(arguments):
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    base = option(arguments, "--base")
    only = option(arguments, "--only")
    work = one(only, base and int(base), Path(option(arguments, "--folder"))) if only else everything(base and int(base))
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(work)


if __name__ == "__main__":
    main(sys.argv[1:])
