"""A recording proxy beside a command: a process of its own, in a session of its own, so that neither the terminal's
signals nor the end of whoever began it reach it. It ends when the command has ended and its last answer is recorded.

The two talk in lines of JSON over a socket. Whoever begins it orders; it says where it listens, or why it can't; is
told the command's process, and that it is over; and says at last what came of it. When the other side of the socket
goes without a word, the command may live on, and it goes on recording as long as that does.
"""

import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.failure import CommandError, Exit

if TYPE_CHECKING:
    from backends.proxy import Upstream
    from store.database import Store
    from store.home import Home

START_SECONDS = 60.0
"""The most that it may take until it listens: a loaded machine imports slowly."""
LAST_SECONDS = 3.0
"""How long the last answers are waited for once the command is over; then the recorder goes on alone."""
_LOOK = 0.02
"""Seconds between two looks whether calls are under way, once the command is over."""
_ALIVE = 1.0
"""Seconds between two looks whether a process lives, where the system can't tell by itself."""


@dataclass(frozen=True)
class Provider:
    """Whom a recorder asks. `key` is "" where the client's own goes through; `source` is what named the address."""

    url: str
    protocol: str
    key: str
    source: str


@dataclass(frozen=True)
class Order:
    """What a recorder is started with: where it records, under which title, and whom it asks, by name. `prices` are the
    operator's own, each the members of an `OwnPrice`."""

    home: str
    store: str
    title: str
    providers: Mapping[str, Provider]
    routes: Sequence[str] = ()
    prices: Sequence[Sequence[Any]] = ()
    debug: bool = False


@dataclass(frozen=True)
class Summary:
    """What a recorder has come to. `errors` are calls of a model that failed, without those that their client left;
    `refused` are requests that never went out; `log` is a file that says more of them."""

    run: str
    calls: int
    tries: int
    errors: int
    tokens: int
    cost: float
    priced: bool
    refused: int
    log: str


class Attached:
    """The recorder as whoever begins it has it."""

    def __init__(self, order: Order) -> None:
        """Begin it; it listens when this is done. CommandError."""
        self._line, its = socket.socketpair()
        with its:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-E", "-m", "app.attached", str(its.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=None if order.debug else subprocess.DEVNULL,
                pass_fds=(its.fileno(),),
                start_new_session=True,
            )
        self._came = b""
        self._say(asdict(order))
        try:
            told = self._hear(START_SECONDS)
        except TimeoutError as error:
            self._process.kill()
            message = f"the recorder did not begin within {START_SECONDS:.0f} s: is the machine busy, or its disk?"
            raise CommandError(message, Exit.ENVIRONMENT) from error
        if told is None or "failed" in told:
            self.close()
            message = "the recorder ended before it could begin. With --debug it says why."
            raise CommandError(*(told["failed"], Exit(told["code"])) if told else (message, Exit.FAULT))
        self.run: str = told["run"]
        self.address: str = told["address"]

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._process.pid

    def watch(self, pid: int) -> None:
        """Tell it which process the command is: it records until that has ended, whatever becomes of us."""
        self._say({"pid": pid})

    def end(self) -> Summary | None:
        """Tell it that the command is over; what came of it. None when its last calls take longer than we wait: it
        then records them to their end by itself. CommandError when it had died."""
        self._say({"over": True})
        try:
            told = self._hear(LAST_SECONDS)
        except TimeoutError:
            return None
        if told is None:
            raise CommandError(
                "the recorder died before the command ended: what came later is not recorded.", Exit.FAULT
            )
        return Summary(**told["summary"])

    def close(self) -> None:
        """Let go of it. Where no command was named, it ends."""
        self._line.close()

    def _say(self, told: Mapping[str, Any]) -> None:
        with suppress(OSError):  # it died: that is found when it is to answer
            self._line.sendall(json.dumps(told).encode() + b"\n")

    def _hear(self, timeout: float) -> dict[str, Any] | None:
        """What it says next; None when it ended. TimeoutError."""
        until = time.monotonic() + timeout
        while b"\n" not in self._came:
            self._line.settimeout(max(0.001, until - time.monotonic()))
            try:
                data = self._line.recv(65536)
            except ConnectionError:
                return None
            if not data:
                return None
            self._came += data
        line, _, self._came = self._came.partition(b"\n")
        told: dict[str, Any] = json.loads(line)
        return told


# The process itself.


class _Refusals(logging.Handler):
    """Counts what the proxy refused."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += record.msg.startswith("refused ")


def main() -> int:
    """Do what is ordered over the socket whose descriptor is the argument; the exit code."""
    line = socket.socket(fileno=int(sys.argv[1]))
    with line.makefile("rb", buffering=0) as told:
        ordered = told.readline()
    if not ordered:
        return Exit.FINE
    members = json.loads(ordered)
    order = Order(**members | {"providers": {name: Provider(**each) for name, each in members["providers"].items()}})
    try:
        _record(order, line)
    except Exception as error:
        if order.debug:
            raise
        from app.cli import explained

        message, code = explained(error)
        with suppress(OSError):
            line.sendall(json.dumps({"failed": message, "code": code}).encode() + b"\n")
        return code
    return Exit.FINE


def _record(order: Order, line: socket.socket) -> None:
    import uvloop

    from app.recorder import recording
    from store.home import Home

    home = Home(Path(order.home), Path(order.store))
    with recording(home) as (store, run):
        _log_to(home.folder(run).log)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            refused = runner.run(_serve(order, store, run, line))
        summary = _sum_up(store, home, run, refused)
        if not summary.calls and not summary.refused:
            _take_back(store, home, run)
    with suppress(OSError):
        line.sendall(json.dumps({"summary": asdict(summary)}).encode() + b"\n")


async def _serve(order: Order, store: "Store", run: str, line: socket.socket) -> int:
    """Record until the command is over and nothing is under way, or until a signal; how many requests were refused."""
    from app.recorder import STOPPED, begin
    from backends.proxy import Prices, Proxy, serve
    from store.domain.own_price import OwnPrice, by_model
    from store.domain.route import parse
    from store.scribe import Scribe

    refusals, stopped, loop = _Refusals(), asyncio.Event(), asyncio.get_running_loop()
    logging.getLogger("multitrack.proxy").addHandler(refusals)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    upstreams = _upstreams(order.providers)
    scribe = Scribe(store.path, durability=store.durability, journal=True)
    try:
        try:
            routes = [parse(text) for text in order.routes]
            prices = Prices.default().with_own(by_model([OwnPrice(*price) for price in order.prices]))
            proxy = Proxy(store, upstreams=upstreams, prices=prices, open_to=run, model_routes=routes, scribe=scribe)
        except ValueError as error:
            raise CommandError(f"--route: {error}.") from error
        async with serve(proxy) as address:
            begin(store, run, order.title)
            line.sendall(json.dumps({"run": run, "address": address.base_url}).encode() + b"\n")
            ends = [asyncio.create_task(_over(line)), asyncio.create_task(stopped.wait())]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            while proxy.under_way and not stopped.is_set():  # noqa: ASYNC110 - calls end in many places
                await asyncio.sleep(_LOOK)
            await proxy.close(STOPPED)
            for task in ends:
                task.cancel()
    finally:
        await scribe.close()
    line.setblocking(True)
    return refusals.count


def _upstreams(providers: Mapping[str, Provider]) -> "dict[str, Upstream]":
    from backends.proxy import Upstream

    upstreams = {}
    for name, each in providers.items():
        try:
            upstreams[name] = Upstream(each.url, each.key or None, each.protocol, own_key=not each.key)
        except ValueError as error:
            raise CommandError(f"{each.source}: {error}.") from error
    return upstreams


async def _over(line: socket.socket) -> None:
    """Wait until the command is over: until that is said, or until its process is gone and nobody is left to say it."""
    reader, _ = await asyncio.open_connection(sock=line.dup())
    pid, descriptor = 0, None
    while said := await reader.readline():
        told = json.loads(said)
        if "over" in told:
            return
        pid = told["pid"]
        # Now it is sure to be the command's: whoever began it has not reaped it yet.
        descriptor = _descriptor(pid)
    if descriptor is not None:
        gone = asyncio.Event()
        asyncio.get_running_loop().add_reader(descriptor, gone.set)
        await gone.wait()
    while pid and descriptor is None and _lives(pid):  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(_ALIVE)


def _descriptor(pid: int) -> int | None:
    """A descriptor that can be read when the process has ended, where the system has such."""
    if sys.platform == "linux":
        with suppress(OSError):
            return os.pidfd_open(pid)
    return None


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _sum_up(store: "Store", home: "Home", run: str, refused: int) -> Summary:
    from backends.proxy import HUNG_UP
    from store import tapes

    (calls, tries), spend = tapes.count(store, run), tapes.spend(store, run)
    errors = sum(count for error, count in tapes.errors(store, run).items() if error != HUNG_UP)
    log = home.folder(run).log
    used = (spend.usage.total, spend.usd, spend.priced)
    return Summary(run, calls, tries, errors, *used, refused, str(log) if log.exists() else "")


def _take_back(store: "Store", home: "Home", run: str) -> None:
    """Nothing was recorded: nothing is left."""
    import shutil

    from store import runs

    store.write(lambda connection: runs.take_back(connection, run))
    shutil.rmtree(home.folder(run).path, ignore_errors=True)


def _log_to(path: Path) -> None:
    """The log, which isn't made before there is something to say."""
    handler = logging.FileHandler(path, encoding="utf-8", delay=True)
    handler.setLevel(logging.WARNING)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.getLogger().addHandler(handler)


if __name__ == "__main__":
    sys.exit(main())
