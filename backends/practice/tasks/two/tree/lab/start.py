"""Starts every part as a process: `python3 -m lab.start [PORT]`."""

import asyncio
import logging
import signal
import subprocess
import sys

from lab import settings
from lab.book import Book
from lab.desk import Desk
from lab.hub import Hub
from lab.jobs import Jobs
from lab.machine import Machine
from lab.press import Press
from lab.shelf import Shelf
from lab.wallet import Wallet

NAMES = ("desk", "jobs", "wallet", "press", "machine", "shelf")
LISTENERS = {"accepted": ("press",), "finished": ("press",)}


async def papers(kind):
    await asyncio.sleep(0.01)
    return settings.CENTS_FOR_PAPER.get(kind)


async def mail(job):
    await asyncio.sleep(0.05)


def build(name, hub):
    makers = {
        "desk": lambda: Desk(hub, mail),
        "jobs": lambda: Jobs(hub, Book(), papers),
        "wallet": lambda: Wallet(hub, Book()),
        "press": lambda: Press(hub),
        "machine": lambda: Machine(hub, lambda job: 0.4),
        "shelf": lambda: Shelf(hub, Book()),
    }
    return makers[name]()


async def run(name, hub):
    await hub.serve(build(name, hub))


def main(arguments):
    logging.basicConfig(level=logging.INFO)
    first = int(arguments[0]) if arguments else settings.PORT
    hub = Hub({name: first + n for n, name in enumerate(NAMES)}, LISTENERS)
    if len(arguments) > 1:
        asyncio.run(run(arguments[1], hub))
        return
    parts = [subprocess.Popen([sys.executable, "-m", "lab.start", str(first), name]) for name in NAMES]
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: [part.terminate() for part in parts])
    for part in parts:
        part.wait()


if __name__ == "__main__":
    main(sys.argv[1:])
