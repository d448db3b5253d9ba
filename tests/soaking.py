"""The processes of the soak: a provider, the proxy in front of it, and clients that keep a log of what they saw whole.
All of them may be killed at any moment.

    python -m tests.soaking provider PORT
    python -m tests.soaking proxy|scribe STORE PROVIDER PORT
    python -m tests.soaking clients PORT LOG FIRST

A call has a number: in its path, in its prompt, in its answer, and in a header of that. All else about it follows from
its number, so that whoever checks the store knows what was asked and answered.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

import httptools

from store.domain.ids import SubagentId
from tests.conformance import RECORDINGS, Recording
from tests.proxyrig import LAST_CHUNK, Client, chunk, compressed, split

AT_ONCE = 8
"""Clients in a process."""
RUN = "soaks"
SUBAGENTS = [SubagentId(RUN, 1, lane) for lane in range(1, 6)]
HEADER = b"x-soak"
PATIENCE = 60.0
"""Seconds after which a client gives up: whoever hangs for so long is a failure, and the soak finds too few answers."""

NAMES = sorted(RECORDINGS)
CODINGS = ("", "", "", "gzip", "zstd", "br", "deflate")
FRAMINGS = ("chunks", "chunks", "length", "end")


def key(subagent: SubagentId) -> str:
    return "mt-" + f"{subagent.lane}" * 32


@dataclass(frozen=True)
class Exchange:
    """A call, by its number: what is asked and answered, and what goes wrong with it."""

    number: int
    recording: Recording
    subagent: SubagentId
    coding: str
    framing: str
    turns: int
    cut: bool
    """The provider breaks off in the middle."""
    hung_up: bool
    """So does the client."""
    slow: bool
    """It takes longer than what is recorded in one go."""

    @classmethod
    def of(cls, number: int) -> "Exchange":
        random = Random(number)
        return cls(
            number,
            RECORDINGS[random.choice(NAMES)],
            random.choice(SUBAGENTS),
            random.choice(CODINGS),
            random.choice(FRAMINGS),
            random.randint(0, 3),
            cut=random.random() < 0.03,
            hung_up=random.random() < 0.03,
            slow=random.random() < 0.2,
        )

    @property
    def path(self) -> str:
        return f"/{self.recording.protocol}{self.recording.path}?n={self.number}"

    @property
    def asked(self) -> bytes:
        """The request: a conversation that others begin with too."""
        turns: list[dict[str, Any]] = [
            {"role": role, "content": f"{role} {turn} of a conversation with lane {self.subagent.lane}"}
            for turn in range(self.turns)
            for role in ("user", "assistant")
        ]
        turns.append({"role": "user", "content": f"call {self.number}"})
        stream = self.recording.streamed
        match self.recording:
            case Recording(protocol="gemini"):
                roles = {"user": "user", "assistant": "model"}
                contents = [{"role": roles[turn["role"]], "parts": [{"text": turn["content"]}]} for turn in turns]
                return json.dumps({"contents": contents}).encode()
            case Recording(path="/v1/responses"):
                return json.dumps({"model": "gpt-4.1", "stream": stream, "input": turns}).encode()
        return json.dumps({"model": "m", "max_tokens": 99, "stream": stream, "messages": turns}).encode()

    @property
    def pieces(self) -> list[bytes]:
        """The answer's body as it goes out. No two are the same."""
        body = self.recording.body
        if self.recording.streamed:
            pieces = [b": call %d\n\n" % self.number, *split(body)]
        else:
            body = body.replace(b"{", b'{"soak": %d, ' % self.number, 1)
            pieces = [body[:30], body[30:]]
        return [piece for piece in (compressed(self.coding, pieces) if self.coding else pieces) if piece]

    @property
    def sent(self) -> list[bytes]:
        """As much of it as does go out."""
        pieces = self.pieces
        return pieces[: len(pieces) // 2] if self.cut else pieces

    def wire(self) -> Iterator[bytes]:
        """What the provider writes."""
        kind = "text/event-stream" if self.recording.streamed else "application/json"
        head = f"HTTP/1.1 {self.recording.status} Said\r\ncontent-type: {kind}\r\n"
        head += f"{HEADER.decode()}: {self.number}\r\n"
        if self.coding:
            head += f"content-encoding: {self.coding}\r\n"
        pieces = self.sent
        match self.framing:
            case "chunks":
                head += "transfer-encoding: chunked\r\n\r\n"
            case "length":
                head += f"content-length: {sum(map(len, self.pieces))}\r\n\r\n"
            case _:
                head += "connection: close\r\n\r\n"
        yield head.encode()
        for piece in pieces:
            yield chunk(piece) if self.framing == "chunks" else piece
        if self.framing == "chunks" and not self.cut:
            yield LAST_CHUNK

    @property
    def closes(self) -> bool:
        return self.cut or self.framing == "end"


# The provider.


async def provide(port: int) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
                await reader.readexactly(int(length))
                exchange = Exchange.of(int(head.split(b" ")[1].partition(b"?n=")[2]))
                for piece in exchange.wire():
                    if exchange.slow:
                        await asyncio.sleep(0.005)
                    writer.write(piece)
                    await writer.drain()
                if exchange.closes:
                    writer.close()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port, limit=1 << 24)
    print("ready", flush=True)
    await server.serve_forever()


# The proxy, as an engine has it.


async def stand_between(path: Path, provider: int, port: int, *, with_scribe: bool) -> None:
    from backends.proxy import Proxy, Upstream, serve
    from store import tapes
    from store.database import open_store
    from store.scribe import Scribe

    store = open_store(path)
    store.write(lambda connection: tapes.orphans(connection, RUN, at=time.time()))
    names = sorted({recording.protocol for recording in RECORDINGS.values()})
    upstreams = {name: Upstream(f"http://127.0.0.1:{provider}", "real", name) for name in names}
    scribe = Scribe(path, journal=True) if with_scribe else None
    async with serve(Proxy(store, upstreams=upstreams, scribe=scribe), port=port):
        print("ready", flush=True)
        await asyncio.Event().wait()


# The clients.


class Answer:
    """One answer as it comes."""

    def __init__(self) -> None:
        self.body = b""
        self.number: int | None = None
        """The provider's own word for which call it answers; None for an answer of the proxy's own."""
        self.over = False
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == HEADER:
            self.number = int(value)

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.over = True


def line(number: int, body: bytes) -> bytes:
    """What a client's log has of an answer: its number and what it was, with its own check, for a kill may cut it."""
    said = f"{number} {sha256(body).hexdigest()}"
    return f"{said} {sha256(said.encode()).hexdigest()[:8]}\n".encode()


def lines(log: Path) -> Iterator[tuple[int, str]]:
    """The numbers and digests in a log."""
    for said in log.read_text().splitlines():
        number, digest, *check = said.split(" ")
        if check == [sha256(f"{number} {digest}".encode()).hexdigest()[:8]]:
            yield int(number), digest


async def ask(port: int, log: Path, first: int) -> None:
    """Ask one call after the other, for ever."""
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    numbers = iter(range(first, first + 1_000_000))

    async def client() -> None:
        connection: Client | None = None
        for number in numbers:
            try:
                if connection is None:
                    connection = Client(*await asyncio.open_connection("127.0.0.1", port, limit=1 << 24))
                async with asyncio.timeout(PATIENCE):
                    whole = await one(connection, Exchange.of(number))
            except (OSError, httptools.HttpParserError):
                whole = False
                await asyncio.sleep(0.02)
            if not whole and connection is not None:
                connection.close()
                connection = None

    async def one(connection: Client, exchange: Exchange) -> bool:
        """Whether the answer came whole, and the connection is good for another."""
        await connection.ask(
            path=exchange.path, body=exchange.asked, headers=f"x-api-key: {key(exchange.subagent)}\r\n"
        )
        answer = Answer()
        while not answer.over:
            if not (data := await connection.reader.read(1 << 16)):
                return False
            answer.feed(data)
            if exchange.hung_up:
                return False
        if answer.number is not None:
            # The end was seen: from here on it has to be in the store, whatever happens.
            os.write(file, line(answer.number, answer.body))
            os.fsync(file)
        return True

    await asyncio.gather(*(client() for _ in range(AT_ONCE)))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["provider", own]:
            asyncio.run(provide(int(own)))
        case [("proxy" | "scribe") as way, of, to, own]:
            import uvloop

            uvloop.run(stand_between(Path(of), int(to), int(own), with_scribe=way == "scribe"))
        case ["clients", to, of, begin]:
            asyncio.run(ask(int(to), Path(of), int(begin)))
