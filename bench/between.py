"""What the proxy is measured beside: itself with its recorder and its reader taken out, so that the difference is the
record. Run as a module it is one of the processes of a benchmark."""

import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import uvloop

from backends.proxy import Prices, Proxy, Upstream, serve
from backends.proxy.answering import Forward
from backends.proxy.protocol import OpaqueReader
from backends.proxy.relay import Exchange
from bench import traffic
from store import keys, runs
from store.database import open_store
from store.domain.ids import SubagentId
from store.scribe import Scribe
from store.settling import settle
from store.tail import TailWriter, tail_path

SUBAGENT = SubagentId("bench", 1, 1)
KEY = "mt-" + "b" * 32
SWITCH = 0.0005
"""Seconds after which a thread lets the other have the interpreter: as the engine has it."""


class Nothing:
    """A recording that records nothing."""

    hopeless = ""
    crowded = False
    size = 0

    def add(self, piece: bytes) -> None:
        pass

    def body(self) -> bytes:
        return b""

    async def close(self, ended: object) -> None:
        pass


class Passing(Exchange):
    """An exchange that only passes on."""

    def _take(self, piece: bytes) -> bytes:
        # What is whole at once goes on in one piece, as the proxy's does.
        return piece if self._begun else self._hold.take(piece, None)


class Relay(Proxy):
    """The proxy without reading, holding and record."""

    def _exchange(self, request: Any, send: Any, hang_up: Callable[[], None]) -> Exchange:
        route = request.route
        return Passing(
            Forward(route.protocol, route.url(""), "real", request.method, request.headers, request.body),
            cast("Any", Nothing()),
            OpaqueReader(),
            answerer=self._provider(),
            send=send,
            hang_up=hang_up,
        )


async def stand_between(way: str, provider: int, folder: Path) -> None:
    """Be the relay or the proxy, until killed. The port is told on standard output."""
    store = open_store(folder / f"{way}.sqlite3")

    def prepare(connection: Any) -> None:
        runs.create(connection, SUBAGENT.run, "bench", at=time.time())
        keys.mint(connection, SUBAGENT, KEY, at=time.time())

    store.write(prepare)
    upstreams = {"anthropic": Upstream(f"http://127.0.0.1:{provider}", "real")}
    scribe = Scribe(store.path, journal=True) if way == "scribe" else None
    if way == "relay":
        proxy: Proxy = Relay(store, upstreams=upstreams)
    else:
        tail = TailWriter(tail_path(store.path))
        proxy = Proxy(store, upstreams=upstreams, tail=tail, prices=Prices.default(), scribe=scribe)
    settle()
    sys.setswitchinterval(SWITCH)
    async with serve(proxy) as address:
        print(address.port, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["provider"]:
            uvloop.run(traffic.provide())
        case [("relay" | "proxy" | "scribe") as way, port, folder]:
            uvloop.run(stand_between(way, int(port), Path(folder)))
