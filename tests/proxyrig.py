"""A provider on a raw socket, a client on another, and the real proxy between them with a real store."""

import asyncio
import gzip
import re
import sqlite3
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import brotli  # type: ignore[import-untyped] # it ships no types
import zstandard
from sqlalchemy import Connection

from backends.proxy import Admit, Prices, Proxy, Timeouts, Upstream, serve
from store import keys, runs, tapes
from store.database import Store, open_store
from store.domain.allowance import Allowance
from store.domain.ids import SubagentId
from store.domain.tape import Call
from store.tail import TailWriter, tail_path

RECORDED = Path(__file__).parent / "recorded"
SUBAGENT = SubagentId("7k3ab", 2, 3)
OTHER = SubagentId("7k3ab", 2, 4)
KEY, OTHER_KEY = "mt-" + "a" * 32, "mt-" + "b" * 32
ASK = b'{"model":"claude-sonnet-4-5","max_tokens":64,"stream":true,"messages":[{"role":"user","content":"Why?"}]}'

T = TypeVar("T")
Handler = Callable[["Asked", asyncio.StreamWriter], Awaitable[None]]


def recorded(name: str) -> bytes:
    return (RECORDED / name).read_bytes()


@dataclass
class Asked:
    """A request as the provider saw it, to the byte."""

    head: bytes
    body: bytes
    gone: asyncio.Event
    """Set when the proxy has closed the connection."""

    @property
    def line(self) -> bytes:
        return self.head.split(b"\r\n")[0]

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        return pairs(self.head)


def pairs(head: bytes) -> list[tuple[bytes, bytes]]:
    """The header lines of a head, in order."""
    lines = head.rstrip(b"\r\n").split(b"\r\n")[1:]
    return [(name, value.strip()) for name, _, value in (line.partition(b":") for line in lines)]


@dataclass
class Provider:
    """Answers each request with whatever bytes its handler writes."""

    handler: Handler
    asked: list[Asked] = field(default_factory=list)
    port: int = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        gone = asyncio.Event()
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next((int(v) for n, v in pairs(head) if n.lower() == b"content-length"), 0)
                asked = Asked(head, await reader.readexactly(length), gone)
                self.asked.append(asked)
                watch = asyncio.create_task(_watch(reader, gone))
                await self.handler(asked, writer)
                watch.cancel()
                await asyncio.wait([watch])
                if writer.is_closing():
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            gone.set()
            writer.close()


async def _watch(reader: asyncio.StreamReader, gone: asyncio.Event) -> None:
    # Nothing comes while an answer is under way; only an end can.
    while not reader.at_eof():
        try:
            await asyncio.wait_for(reader._wait_for_data("watch"), 0.05)  # type: ignore[attr-defined] # a read takes bytes
        except TimeoutError:
            continue
    gone.set()


def fixed(status: bytes, headers: bytes, *pieces: bytes, close: bool = False) -> Handler:
    """A handler that writes a head and pieces of a body, framed as the headers say."""

    async def handler(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 " + status + b"\r\n" + headers + b"\r\n")
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        if close:
            writer.close()

    return handler


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"
STREAM = b"content-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n"
JSON = b"content-type: application/json\r\n"


def split(body: bytes) -> list[bytes]:
    """A stream's events, each with its empty line."""
    return [event for event in re.split(rb"(?<=\n\n)|(?<=\n\r\n)", body) if event]


def streamed(body: bytes, *, encoding: str = "", cut: bool = False) -> Handler:
    """An event stream as the Messages API sends it: one chunk an event. `cut` leaves the last chunk out."""
    events = split(body)
    headers = STREAM
    if encoding:
        headers += b"content-encoding: " + encoding.encode() + b"\r\n"
        events = compressed(encoding, events)
    pieces = [chunk(event) for event in events if event]  # an empty chunk would be the last
    return fixed(b"200 OK", headers, *pieces, b"" if cut else LAST_CHUNK, close=cut)


def whole(status: bytes, body: bytes, headers: bytes = JSON) -> Handler:
    return fixed(status, headers + b"content-length: %d\r\n" % len(body), body)


def compressed(encoding: str, pieces: list[bytes]) -> list[bytes]:
    """Pieces of a stream in that coding, flushed after each, so that each can be read when it comes."""
    if encoding == "zstd":
        zstd = zstandard.ZstdCompressor().compressobj()
        out = [zstd.compress(piece) + zstd.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK) for piece in pieces]
        return [*out, zstd.flush()]
    if encoding == "br":
        brotlied = brotli.Compressor()
        return [*(brotlied.process(piece) + brotlied.flush() for piece in pieces), brotlied.finish()]
    inner = zlib.compressobj(wbits=31 if encoding == "gzip" else 15)
    out = [inner.compress(piece) + inner.flush(zlib.Z_SYNC_FLUSH) for piece in pieces]
    return [*out, inner.flush()]


def compress(encoding: str, body: bytes) -> bytes:
    if encoding == "gzip":
        return gzip.compress(body)
    return b"".join(compressed(encoding, [body]))


@dataclass
class Client:
    """A client's side of one connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(
        self,
        method: str = "POST",
        path: str = "/v1/messages",
        body: bytes = ASK,
        headers: str = f"x-api-key: {KEY}\r\n",
    ) -> None:
        length = f"content-length: {len(body)}\r\n" if body else ""
        self.writer.write(f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n{length}{headers}\r\n".encode() + body)
        await self.writer.drain()

    async def head(self) -> bytes:
        return await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 30)

    async def chunks(self) -> tuple[list[bytes], bool]:
        """The chunks until the end, and whether it was a proper one."""
        out: list[bytes] = []
        try:
            while True:
                size = int(await asyncio.wait_for(self.reader.readuntil(b"\r\n"), 30), 16)
                data = await asyncio.wait_for(self.reader.readexactly(size + 2), 30)
                if size == 0:
                    return out, True
                out.append(data[:-2])
        except (asyncio.IncompleteReadError, ConnectionError):
            return out, False

    async def one_chunk(self) -> bytes:
        size = int(await asyncio.wait_for(self.reader.readuntil(b"\r\n"), 30), 16)
        return (await asyncio.wait_for(self.reader.readexactly(size + 2), 30))[:-2]

    async def rest(self) -> bytes:
        return await asyncio.wait_for(self.reader.read(-1), 30)

    async def answer(self) -> tuple[int, list[tuple[bytes, bytes]], bytes, bool]:
        """Status, headers, body, and whether the body ended properly."""
        head = await self.head()
        headers = pairs(head)
        status = int(head.split(b" ")[1])
        if any(name == b"transfer-encoding" for name, _ in headers):
            out, proper = await self.chunks()
            return status, headers, b"".join(out), proper
        length = next((int(value) for name, value in headers if name == b"content-length"), 0)
        try:
            return status, headers, await asyncio.wait_for(self.reader.readexactly(length), 30), True
        except asyncio.IncompleteReadError as error:
            return status, headers, error.partial, False

    def close(self) -> None:
        self.writer.close()


@dataclass
class Rig:
    """All of it."""

    store: Store
    proxy: Proxy
    provider: Provider
    port: int
    tail: TailWriter
    clients: list[Client] = field(default_factory=list)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def client(self) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 26))
        self.clients.append(client)
        return client

    def calls(self) -> list[Call]:
        return tapes.calls(self.store)

    async def call(self, number: int = 0) -> Call:
        """A call when it has ended."""
        return await until(lambda: next((c for c in self.calls()[number : number + 1] if c.ended is not None), None))

    def execute(self, sql: str) -> None:
        """Change the store from outside: a trigger that fails is a disk that does."""
        self.store.write(lambda connection: connection.exec_driver_sql(sql))


async def until(look: Callable[[], T | None]) -> T:
    """What `look` sees as soon as it sees something."""
    async with asyncio.timeout(30):
        while (seen := look()) is None:  # noqa: ASYNC110 - the store tells nobody
            await asyncio.sleep(0.005)
    return seen


PRICES = Prices({"claude-sonnet-4-5": {"input_cost_per_token": 3e-6, "output_cost_per_token": 15e-6}})


def prepare(connection: Connection) -> None:
    """A run with two subagents' keys."""
    runs.create(connection, SUBAGENT.run, "a test", at=1.0)
    keys.mint(connection, SUBAGENT, KEY, at=1.0)
    keys.mint(connection, OTHER, OTHER_KEY, at=1.0)


def mint(r: Rig, subagent: SubagentId, secret: str, allowance: Allowance) -> None:
    """A key with limits."""
    r.store.write(lambda connection: keys.mint(connection, subagent, secret, at=1.0, allowance=allowance))


@cache
def template() -> bytes:
    """A fresh store's file: made once, for making one takes longer than most tests."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "store.sqlite3"
        with open_store(path) as store:
            store.write(prepare)
        with closing(sqlite3.connect(path)) as driver:
            driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return path.read_bytes()


def prepared(path: Path) -> Store:
    """A store with a run and the keys of two subagents."""
    path.write_bytes(template())
    return open_store(path)


@asynccontextmanager
async def provided(handler: Handler) -> AsyncIterator[Provider]:
    """A provider that answers so."""
    provider = Provider(handler)
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0, limit=1 << 26)
    provider.port = server.sockets[0].getsockname()[1]
    try:
        yield provider
    finally:
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def rig(
    root: Path,
    handler: Handler,
    *,
    admit: Admit | None = None,
    timeouts: Timeouts | None = None,
    protocol: str = "anthropic",
    prices: Prices = PRICES,
) -> AsyncIterator[Rig]:
    """Everything up, with that provider behind the proxy, its key `real`, its name that of its protocol."""
    async with provided(handler) as provider:
        with prepared(root / "store.sqlite3") as store:
            tail = TailWriter(tail_path(store.path))
            proxy = Proxy(
                store,
                upstreams={protocol: Upstream(provider.base_url, "real", protocol)},
                tail=tail,
                prices=prices,
                admit=admit,
                timeouts=timeouts,
            )
            async with serve(proxy) as address:
                made = Rig(store, proxy, provider, address.port, tail)
                try:
                    yield made
                finally:
                    for client in made.clients:
                        client.close()
            tail.close()
