"""Whoever saw the end of an answer finds it in the store after kill -9: of every protocol, in every way to end.

The client looks at what came byte by byte. At the first one of the end (of a stream's last event, of a body's last
byte), decoded where the answer is compressed, the proxy is killed, and the store read.
"""

import asyncio
import signal
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httptools
import pytest

from backends.proxy.decoding import Decoder
from store import tapes
from store.database import open_store
from tests.conformance import RECORDINGS, Recording
from tests.proxyrig import (
    ASK,
    KEY,
    LAST_CHUNK,
    SUBAGENT,
    Asked,
    Client,
    chunk,
    compressed,
    prepared,
    provided,
    split,
)

CHILD = """
import asyncio, sys
from pathlib import Path
import uvloop
from backends.proxy import Proxy, Upstream, serve
from store.database import open_store

async def main():
    store = open_store(Path(sys.argv[1]))
    upstreams = {name: Upstream(sys.argv[2], "real", name) for name in ("anthropic", "openai", "gemini")}
    async with serve(Proxy(store, upstreams=upstreams)) as address:
        print(address.port, flush=True)
        await asyncio.Event().wait()

uvloop.run(main())
"""


@dataclass(frozen=True)
class Way:
    """An answer, its content coding, and how its body is framed: by chunks, a length, or the end of the connection."""

    answer: str
    coding: str = ""
    framing: str = "chunks"

    @property
    def recording(self) -> Recording:
        return RECORDINGS[self.answer]

    @property
    def id(self) -> str:
        return "~".join(filter(None, (self.answer, self.coding, self.framing)))

    @property
    def pieces(self) -> list[bytes]:
        """The body as it goes out: an event a piece."""
        body = self.recording.body
        pieces = split(body) if self.recording.streamed else [body[:40], body[40:]]
        return [piece for piece in (compressed(self.coding, pieces) if self.coding else pieces) if piece]

    def wire(self) -> list[bytes]:
        """All that the provider writes."""
        kind = b"text/event-stream" if self.recording.streamed else b"application/json"
        head = b"HTTP/1.1 %d Said\r\ncontent-type: %b\r\n" % (self.recording.status, kind)
        if self.coding:
            head += b"content-encoding: %b\r\n" % self.coding.encode()
        pieces = self.pieces
        match self.framing:
            case "chunks":
                return [head + b"transfer-encoding: chunked\r\n\r\n", *map(chunk, pieces), LAST_CHUNK]
            case "length":
                return [head + b"content-length: %d\r\n\r\n" % sum(map(len, pieces)), *pieces]
            case _:
                return [head + b"connection: close\r\n\r\n", *pieces]


PLAIN = [Way(name, framing="chunks" if found.streamed else "length") for name, found in RECORDINGS.items()]
ONE_EACH = ("hello.sse", "chat-text.sse", "responses-text.sse", "gemini-text.sse", "chat.json")
CODED = [Way(name, coding) for name in ONE_EACH for coding in ("gzip", "deflate", "zstd", "br")]
FRAMED = [Way(name, framing=framing) for name in ONE_EACH for framing in ("length", "end")]
WAYS = {way.id: way for way in (*PLAIN, *CODED, *FRAMED)}


async def answers(asked: Asked, writer: asyncio.StreamWriter) -> None:
    way = WAYS[asked.line.split(b" ")[1].partition(b"?way=")[2].decode()]
    for piece in way.wire():
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0)
    if way.framing == "end":
        writer.close()


class Watcher:
    """Follows an answer, and calls out at the first byte of its end."""

    def __init__(self, way: Way, at_end: Callable[[], None]) -> None:
        self.way = way
        self.body = b""
        self._decoder = Decoder(way.coding)
        self._decoded = 0
        self._at_end: Callable[[], None] | None = at_end
        self._parser = httptools.HttpResponseParser(self)
        self.over = False

    def feed(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, data: bytes) -> None:
        self.body += data
        self._decoded += len(self._decoder.decode(data))
        if self._at_end is not None and self._decoded > self.way.recording.end_at:
            self._at_end()
            self._at_end = None

    def on_message_complete(self) -> None:
        self.over = True


async def follow(port: int, way: Way, at_end: Callable[[], None]) -> bytes:
    """Ask for an answer; the body as far as it came."""
    client = Client(*await asyncio.open_connection("127.0.0.1", port, limit=1 << 24))
    path = f"/{way.recording.protocol}{way.recording.path}?way={way.id}"
    await client.ask(path=path, body=ASK, headers=f"x-api-key: {KEY}\r\n")
    watcher = Watcher(way, at_end)
    while not watcher.over and (data := await asyncio.wait_for(client.reader.read(1 << 16), 30)):
        watcher.feed(data)
    client.close()
    return watcher.body


def kept(path: Path, way: Way) -> bytes | None:
    """The answer as another process finds it, which is what is left after a kill. None for one that has not ended."""
    with open_store(path) as store:
        (call,) = [call for call in tapes.calls(store) if call.path.endswith(f"?way={way.id}")]
        if call.ended is None:
            return None
        assert (call.complete, call.error) == (way.recording.complete, way.recording.error), way.id
        return tapes.response(store, call)


LAST = {
    "an event": "hello.sse~chunks",
    "[DONE]": "chat-text.sse~chunks",
    "a length": "chat.json~length",
    "the last piece": "gemini-text.sse~chunks",
    "the end of the connection": "responses-text.sse~end",
    "a coding": "responses-text.sse~zstd~chunks",
}


@pytest.mark.parametrize("last", LAST.values(), ids=LAST.keys())
async def test_whoever_saw_the_end_finds_it_in_the_store(tmp_path: Path, last: str) -> None:
    """Others in turn, once all of them, each looked up at the first byte of its end; and at that of the last one the
    proxy is killed."""
    path = tmp_path / "killed.sqlite3"
    prepared(path).close()
    others = [way for way in WAYS.values() if way.id != last]
    if last != LAST["an event"]:
        others = others[::25]
    looked: list[str] = []

    def look(way: Way) -> None:
        assert kept(path, way) == b"".join(way.pieces), way.id
        looked.append(way.id)

    async with provided(answers) as provider:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", CHILD, str(path), provider.base_url, stdout=asyncio.subprocess.PIPE
        )
        try:
            assert child.stdout is not None
            port = int(await child.stdout.readline())
            for way in others:
                assert await follow(port, way, partial(look, way)) == b"".join(way.pieces)
            assert looked == [way.id for way in others]
            await follow(port, WAYS[last], lambda: child.send_signal(signal.SIGKILL))
        finally:
            if child.returncode is None:
                child.kill()
            await child.wait()
    assert kept(path, WAYS[last]) == b"".join(WAYS[last].pieces)
    assert all(kept(path, WAYS[name]) is not None for name in looked)
    with open_store(path) as store:
        assert tapes.verify(store, SUBAGENT.run) == []
    with closing(sqlite3.connect(path)) as driver:
        assert driver.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
