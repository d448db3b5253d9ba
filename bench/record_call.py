"""What recording a call costs: the same calls to the same provider, directly, through a relay that records nothing, and
through the proxy that records everything, in turn and in one run.

The relay is the proxy itself with its recorder and its reader taken out, so that the difference is the record.

    python bench/record_call.py [--rounds 5] [--json]
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, cast

import uvloop

from backends.proxy import Prices, Proxy, Upstream, serve
from backends.proxy.answering import Forward
from backends.proxy.protocol import OpaqueReader
from backends.proxy.recorder import Ended
from backends.proxy.relay import Exchange
from store import keys, runs
from store.database import open_store
from store.domain.ids import SubagentId
from store.tail import TailWriter, tail_path

EVENTS = 200
SUBAGENT = SubagentId("bench", 1, 1)
KEY = "mt-" + "b" * 32
SWITCH = 0.0005
"""Seconds after which a thread lets the other have the interpreter: as the engine has it."""


@dataclass(frozen=True)
class Case:
    """So many calls, so many at once, streamed or not, with so many messages before the one that is new."""

    name: str
    stream: bool
    at_once: int
    calls: int
    context: int = 0


CASES = (
    Case("small, 1 at once", False, 1, 400),
    Case("small, 25 at once", False, 25, 2000),
    Case("500 messages, 1 at once", False, 1, 60, 500),
    Case("500 messages, 25 at once", False, 25, 200, 500),
    Case(f"{EVENTS} events, 1 at once", True, 1, 60),
    Case(f"{EVENTS} events, 25 at once", True, 25, 200),
)


@dataclass(frozen=True)
class Result:
    """One round of a case on one way: calls a second, milliseconds to the end of an answer, CPU milliseconds a call of
    what stands between (0 for nothing)."""

    per_second: float
    median_ms: float
    p99_ms: float
    cpu_ms: float


# The provider.


def small() -> bytes:
    body = json.dumps(
        {
            "id": "msg_01",
            "type": "message",
            "role": "assistant",
            "model": "claude-sonnet-4-5-20250929",
            "content": [{"type": "text", "text": "The retry is not idempotent. " * 8}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 412, "output_tokens": 58},
        }
    ).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


def stream() -> list[bytes]:
    usage = {"input_tokens": 412, "output_tokens": 3}
    start = {"id": "msg_01", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5-20250929"}
    values: list[dict[str, Any]] = [
        {"type": "message_start", "message": {**start, "content": [], "stop_reason": None, "usage": usage}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": f"word {n} and "}}
            for n in range(EVENTS - 5)
        ),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": EVENTS}},
        {"type": "message_stop"},
    ]
    events = [f"event: {value['type']}\ndata: {json.dumps(value)}\n\n".encode() for value in values]
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    return [head, *(b"%x\r\n%s\r\n" % (len(event), event) for event in events), b"0\r\n\r\n"]


class Provider(asyncio.Protocol):
    """Answers as soon as a request is whole. An event goes out by itself, as a model's do."""

    SMALL, STREAM = small(), stream()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.came = b""

    def data_received(self, data: bytes) -> None:
        self.came += data
        head, found, body = self.came.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
        if len(body) < length:
            return
        self.came = b""
        if b'"stream":true' in body:
            self.say(0)
        else:
            self.transport.write(self.SMALL)

    def say(self, number: int) -> None:
        self.transport.write(self.STREAM[number])
        if number + 1 < len(self.STREAM) and not self.transport.is_closing():
            asyncio.get_running_loop().call_soon(self.say, number + 1)


# What stands between.


class Nothing:
    """A recording that records nothing."""

    hopeless = False
    size = 0

    def add(self, piece: bytes) -> None:
        pass

    def body(self) -> bytes:
        return b""

    async def close(self, ended: Ended) -> None:
        pass


class Passing(Exchange):
    """An exchange that only passes on."""

    def _take(self, piece: bytes) -> bytes:
        # What is whole at once goes on in one piece, as the proxy's does.
        return piece if self._begun else self._hold.take(piece, None)


class Relay(Proxy):
    """The proxy without keys, reading, holding and record."""

    def _owner(self, secret: str) -> SubagentId:
        return SUBAGENT

    def _exchange(self, request: Any, send: Any, hang_up: Callable[[], None]) -> Exchange:
        route = request.route
        return Passing(
            Forward(route.protocol, route.url(""), "real", request.method, request.headers, request.body),
            cast("Any", Nothing()),
            OpaqueReader(),
            answerer=self._answerer(request),
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
    if way == "relay":
        proxy: Proxy = Relay(store, upstreams=upstreams)
    else:
        proxy = Proxy(store, upstreams=upstreams, tail=TailWriter(tail_path(store.path)), prices=Prices.default())
    sys.setswitchinterval(SWITCH)
    async with serve(proxy) as address:
        print(address.port, flush=True)
        await asyncio.Event().wait()


async def provide() -> None:
    """Be the provider, until killed."""
    server = await asyncio.get_running_loop().create_server(Provider, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


@contextmanager
def process(*arguments: str) -> Iterator[tuple[int, int]]:
    """A process of this script that listens: its id and its port."""
    child = subprocess.Popen([sys.executable, __file__, *arguments], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        yield child.pid, int(child.stdout.readline())
    finally:
        child.kill()
        child.wait()


def cpu_seconds(pid: int) -> float:
    """What a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# The client.


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


@cache
def beginning(case: Case) -> bytes:
    """A request's body up to its last message."""
    value = {
        "model": "claude-sonnet-4-5",
        "max_tokens": 1024,
        "stream": case.stream,
        "system": "You repair code. " * 10,
    }
    turns: list[dict[str, Any]] = []
    for turn in range(case.context // 2):
        asked = {
            "type": "tool_use",
            "id": f"t{turn}",
            "name": "bash",
            "input": {"command": f"sed -n {turn},40p shop.py"},
        }
        told = {"type": "tool_result", "tool_use_id": f"t{turn}", "content": f"{turn}: def total(order):\n" * 30}
        turns += [{"role": "assistant", "content": [asked]}, {"role": "user", "content": [told]}]
    messages = b"".join(compact(message) + b"," for message in turns)
    return compact(value)[:-1] + b',"messages":[' + messages


async def call(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int, case: Case) -> float:
    """One call; the seconds to its last byte."""
    content = f"{number}: why does the check fail? " + "Look at it. " * 20
    body = beginning(case) + compact({"role": "user", "content": content}) + b"]}"
    head = f"POST /v1/messages HTTP/1.1\r\nhost: 127.0.0.1\r\nx-api-key: {KEY}\r\ncontent-length: {len(body)}\r\n\r\n"
    begin = time.perf_counter()
    writer.write(head.encode() + body)
    answer = await reader.readuntil(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200"), answer
    if case.stream:
        await reader.readuntil(b"\r\n0\r\n\r\n")
    else:
        await reader.readexactly(int(answer.lower().partition(b"content-length:")[2].split(b"\r\n")[0]))
    return time.perf_counter() - begin


async def measure(case: Case, port: int, pid: int | None) -> Result:
    """One round of a case."""
    numbers = iter(range(case.calls))
    taken: list[float] = []

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
        taken.extend([await call(reader, writer, number, case) for number in numbers])
        writer.close()

    used = cpu_seconds(pid) if pid is not None else 0.0
    begin = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(case.at_once)))
    seconds = time.perf_counter() - begin
    used = cpu_seconds(pid) - used if pid is not None else 0.0
    taken.sort()
    return Result(
        case.calls / seconds,
        1000 * statistics.median(taken),
        1000 * taken[int(len(taken) * 0.99)],
        1000 * used / case.calls,
    )


async def run(rounds: int) -> dict[str, dict[str, Result]]:
    """The median round of each case on each way."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        _, provider = stack.enter_context(process("provider"))
        ways: dict[str, tuple[int | None, int]] = {"direct": (None, provider)}
        for way in ("relay", "proxy"):
            ways[way] = stack.enter_context(process(way, str(provider), folder))
        results: dict[str, dict[str, list[Result]]] = {case.name: {way: [] for way in ways} for case in CASES}
        for case in CASES:
            for _ in range(rounds + 1):
                for way, (pid, port) in ways.items():
                    results[case.name][way].append(await measure(case, port, pid))
    # The first round warms up.
    return {name: {way: median(found[1:]) for way, found in of.items()} for name, of in results.items()}


def median(results: list[Result]) -> Result:
    return Result(*(statistics.median(getattr(result, field.name) for result in results) for field in fields(Result)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = uvloop.run(run(options.rounds))
    if options.json:
        print(json.dumps({case: {way: asdict(result) for way, result in of.items()} for case, of in results.items()}))
        return
    print("| | way | calls/s | median ms | p99 ms | CPU ms a call | of the relay's calls/s |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for case, of in results.items():
        for way, result in of.items():
            print(
                f"| {case} | {way} | {result.per_second:,.0f} | {result.median_ms:.2f} | {result.p99_ms:.2f} "
                f"| {result.cpu_ms:.2f} | {result.per_second / of['relay'].per_second:.2f} |"
            )


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["provider"]:
            uvloop.run(provide())
        case [("relay" | "proxy") as way, port, folder]:
            uvloop.run(stand_between(way, int(port), Path(folder)))
        case _:
            main()
