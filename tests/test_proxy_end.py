"""Durable before complete: the end of an answer goes out when its record is committed; when it can't be, never."""

import asyncio
import signal
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import cast

import pytest

from backends.proxy.upstream import Answering
from store import tapes
from store.database import open_store
from tests.proxyrig import (
    JSON,
    LAST_CHUNK,
    STREAM,
    Asked,
    Client,
    Handler,
    chunk,
    compressed,
    fixed,
    prepared,
    provided,
    recorded,
    rig,
    split,
    streamed,
    whole,
)

TEXT, MESSAGE = recorded("text.sse"), recorded("message.json")
LAST = split(TEXT)[-1]

ENDINGS: dict[str, Handler] = {
    "event": streamed(TEXT),
    "error-event": streamed(recorded("error.sse")),
    "event-in-pieces": fixed(b"200 OK", STREAM, *[chunk(TEXT[i : i + 5]) for i in range(0, len(TEXT), 5)], LAST_CHUNK),
    "event-and-length": fixed(
        b"200 OK", b"content-type: text/event-stream\r\ncontent-length: %d\r\n" % len(TEXT), TEXT
    ),
    "gzip-stream": streamed(TEXT, encoding="gzip"),
    "zstd-stream": streamed(TEXT, encoding="zstd"),
    "unknown-coding": fixed(
        b"200 OK", STREAM + b"content-encoding: lzma\r\n", chunk(b"one"), chunk(b"two"), chunk(b"three"), LAST_CHUNK
    ),
    "length": whole(b"200 OK", MESSAGE),
    "length-of-one": whole(b"200 OK", b"7"),
    "empty": whole(b"200 OK", b""),
    "error-status": whole(b"529 Overloaded", recorded("overloaded.json")),
    "chunked": fixed(
        b"200 OK", JSON + b"transfer-encoding: chunked\r\n", chunk(MESSAGE[:50]), chunk(MESSAGE[50:]), LAST_CHUNK
    ),
    "one-chunk": fixed(b"200 OK", JSON + b"transfer-encoding: chunked\r\n", chunk(MESSAGE), LAST_CHUNK),
    "end-of-file": fixed(b"200 OK", JSON + b"connection: close\r\n", MESSAGE, close=True),
    "gzip-body": whole(b"200 OK", b"".join(compressed("gzip", [MESSAGE])), JSON + b"content-encoding: gzip\r\n"),
    "stream-without-end": streamed(TEXT.removesuffix(LAST)),
}

HEAD_IS_THE_END = {"empty"}


@contextmanager
def locked(store: Path) -> Iterator[sqlite3.Connection]:
    """Somebody else writes: nothing is committed meanwhile."""
    with closing(sqlite3.connect(store, isolation_level=None)) as driver:
        driver.execute("BEGIN IMMEDIATE")
        yield driver
        driver.execute("COMMIT")


async def what_comes(client: Client, *, first: float = 0.25, quiet: float = 0.25) -> bytes:
    """What comes until nothing more does."""
    out = b""
    try:
        out = await asyncio.wait_for(client.reader.read(1 << 16), first)
    except TimeoutError:
        return b""
    try:
        while data := await asyncio.wait_for(client.reader.read(1 << 16), quiet):
            out += data
    except TimeoutError:
        pass
    return out


async def any_ending(asked: Asked, writer: asyncio.StreamWriter) -> None:
    """The ending that the query names."""
    await ENDINGS[asked.line.split(b" ")[1].partition(b"?")[2].decode()](asked, writer)


class Gathered:
    """A connection whose writes go out at once, in the end."""

    def __init__(self) -> None:
        self.data = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.data += data

    async def drain(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


async def at_once(asked: Asked, writer: asyncio.StreamWriter) -> None:
    """The ending that the query names, all of it in one piece."""
    gathered = Gathered()
    await any_ending(asked, cast("asyncio.StreamWriter", gathered))
    writer.write(gathered.data)
    if gathered.closed:
        writer.close()


async def test_an_answer_that_is_whole_at_once_goes_out_when_it_is_committed(tmp_path: Path) -> None:
    async with rig(tmp_path, at_once) as r:

        async def one(name: str) -> tuple[bytes, bytes]:
            client = await r.client()
            await client.ask(path=f"/v1/messages?{name}")
            early = await what_comes(client, first=0.5)
            here[name].set()
            await unlocked.wait()
            return early, await what_comes(client, first=30)

        # Where the connection's end is the answer's, that may come later than the rest.
        names = [name for name in ENDINGS if name != "end-of-file"]
        here, unlocked = {name: asyncio.Event() for name in names}, asyncio.Event()
        tasks = {name: asyncio.create_task(one(name)) for name in names}
        with locked(r.store.path):
            for event in here.values():
                await event.wait()
        unlocked.set()
        for name, task in tasks.items():
            early, late = await task
            assert early == b"" and late.startswith(b"HTTP/1.1 "), name
        assert [call.ended is not None for call in r.calls()] == [True] * len(names)


async def test_the_end_waits_for_the_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Even of an answer that could go out whole.
    monkeypatch.setattr(Answering, "whole", False)
    async with rig(tmp_path, any_ending) as r:

        async def one(name: str) -> tuple[bytes, bytes]:
            client = await r.client()
            await client.ask(path=f"/v1/messages?{name}")
            early = await what_comes(client, first=0.5 if name in HEAD_IS_THE_END else 30)
            here[name].set()
            await unlocked.wait()
            return early, await what_comes(client, first=30)

        here, unlocked = {name: asyncio.Event() for name in ENDINGS}, asyncio.Event()
        tasks = {name: asyncio.create_task(one(name)) for name in ENDINGS}
        with locked(r.store.path):
            for event in here.values():
                await event.wait()
            assert r.calls() == []
        unlocked.set()
        for name, task in tasks.items():
            early, late = await task
            assert late, name
            assert not early.endswith(LAST_CHUNK), name
            assert b'"message_stop"' not in early and b"event: error" not in early, name
            # All but the end was there.
            assert early.startswith(b"HTTP/1.1 ") is (name not in HEAD_IS_THE_END), name
            if name in ("length", "length-of-one", "error-status"):
                assert len(late) == 1, name
            if name == "gzip-body":
                # Its one piece says all there is.
                assert late == b"".join(compressed("gzip", [MESSAGE]))
        assert [call.ended is not None for call in r.calls()] == [True] * len(ENDINGS)


@pytest.mark.parametrize(("broken", "quick"), [("INSERT", 60.0), ("INSERT", 0.0), ("UPDATE", 0.0)])
async def test_an_answer_that_cannot_be_recorded_never_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str, quick: float
) -> None:
    """Neither when the call could not be recorded in one go, nor when it could not be opened, nor when it could not be
    closed. It goes on when it can."""
    monkeypatch.setattr("backends.proxy.recorder.QUICK", quick)
    async with rig(tmp_path, any_ending) as r:
        for name in ENDINGS:
            r.execute(f"CREATE TRIGGER broken BEFORE {broken} ON calls BEGIN SELECT RAISE(ABORT, 'no space'); END")
            client = await r.client()
            await client.ask(path=f"/v1/messages?{name}")
            status, _, body, proper = await client.answer()
            if status == 503:
                assert b"overloaded_error" in body and b"recording proxy" in body, name
            else:
                assert not proper, name
                assert b'"message_stop"' not in body and body != MESSAGE, name
            assert not [call for call in r.calls() if call.error == "" and call.ended is not None], name
            r.execute("DROP TRIGGER broken")
            r.execute("DELETE FROM calls")
            client = await r.client()
            await client.ask(path=f"/v1/messages?{name}")
            assert (await client.answer())[3], name
            assert r.calls()[-1].ended is not None, name
            r.execute("DELETE FROM calls")


async def test_a_call_that_could_not_be_opened_is_recorded_when_the_trouble_has_passed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backends.proxy.recorder.QUICK", 0.0)
    first, *rest = split(TEXT)
    go = asyncio.Event()

    async def slowly(asked: object, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n" + STREAM + b"\r\n" + chunk(first))
        await go.wait()
        writer.write(b"".join(map(chunk, rest)) + LAST_CHUNK)

    async with rig(tmp_path, slowly) as r:
        client = await r.client()
        with locked(r.store.path) as driver:
            # The opening waits for the lock while the head goes out; then it fails.
            driver.execute("CREATE TRIGGER broken BEFORE INSERT ON calls BEGIN SELECT RAISE(ABORT, 'no space'); END")
            await client.ask()
            await client.head()
        r.execute("DROP TRIGGER broken")
        assert r.calls() == []
        go.set()
        assert (await client.chunks())[1]
        assert (await r.call()).complete


async def test_a_provider_that_never_ends_its_body_does_not_keep_the_end_from_the_client(tmp_path: Path) -> None:
    async def stays(asked: object, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n" + STREAM + b"\r\n" + chunk(TEXT))
        await asyncio.Event().wait()

    async with rig(tmp_path, stays) as r:
        client = await r.client()
        await client.ask()
        assert (await client.answer())[2:] == (TEXT, True)
        call = await r.call()
        assert (call.complete, call.error) == (True, "")


@pytest.mark.parametrize(("encoding", "proper"), [("", True), ("gzip", False), ("deflate", False), ("zstd", False)])
async def test_a_provider_that_dies_after_the_last_event(tmp_path: Path, encoding: str, proper: bool) -> None:
    """The answer is whole without the end of its framing, but a compressed body is not without its own."""
    headers, events = STREAM, [TEXT]
    if encoding:
        headers += b"content-encoding: " + encoding.encode() + b"\r\n"
        events = compressed(encoding, events)[:-1]
    async with rig(tmp_path, fixed(b"200 OK", headers, *map(chunk, events), close=True)) as r:
        client = await r.client()
        await client.ask()
        assert (await client.answer())[2:] == (b"".join(events), proper)
        call = await r.call()
        assert (call.complete, not call.error) == (proper, proper)
        assert tapes.response(r.store, call) == b"".join(events)
        (answer,) = tapes.answers(r.store, call)
        assert answer.role == "assistant"


async def test_what_follows_the_last_event_is_recorded_and_passed_on(tmp_path: Path) -> None:
    after = b": goodbye\n\nevent: ping\ndata: {}\n\n"
    async with rig(tmp_path, fixed(b"200 OK", STREAM, chunk(TEXT), chunk(after), LAST_CHUNK)) as r:
        client = await r.client()
        await client.ask()
        assert (await client.answer())[2:] == (TEXT + after, True)
        assert tapes.response(r.store, await r.call()) == TEXT + after


CHILD = """
import asyncio, sys
from pathlib import Path
from backends.proxy import Proxy, Upstream, serve
from store.database import open_store

async def main():
    store = open_store(Path(sys.argv[1]))
    async with serve(Proxy(store, upstreams={"anthropic": Upstream(sys.argv[2], "real")})) as address:
        print(address.port, flush=True)
        await asyncio.Event().wait()

if sys.argv[3] == "uvloop":
    import uvloop
    uvloop.run(main())
else:
    asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("name", "loop"),
    [
        ("event", "uvloop"),
        ("gzip-stream", "asyncio"),
        ("length", "uvloop"),
        ("chunked", "asyncio"),
        ("end-of-file", "uvloop"),
    ],
)
async def test_whoever_saw_the_end_finds_it_in_the_store_after_kill_9(tmp_path: Path, name: str, loop: str) -> None:
    """For each way to end: the proxy is killed the moment that the client has seen the last byte of the last answer."""
    path = tmp_path / "killed.sqlite3"
    prepared(path).close()
    seen: list[bytes] = []
    async with provided(ENDINGS[name]) as provider:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", CHILD, str(path), provider.base_url, loop, stdout=asyncio.subprocess.PIPE
        )
        try:
            assert process.stdout is not None
            port = int(await process.stdout.readline())
            client = Client(*await asyncio.open_connection("127.0.0.1", port, limit=1 << 20))
            for _ in range(3):
                await client.ask()
                status, _, body, proper = await client.answer()
                assert (status, proper) == (200, True)
                seen.append(body)
        finally:
            process.send_signal(signal.SIGKILL)
            await process.wait()
        client.close()
    with open_store(path) as store:
        kept = [tapes.response(store, call) for call in tapes.calls(store) if call.complete]
    assert kept == seen


async def test_many_at_once_each_find_their_calls_committed(tmp_path: Path) -> None:
    async with rig(tmp_path, streamed(TEXT)) as r:

        async def one() -> None:
            client = await r.client()
            for _ in range(5):
                await client.ask()
                await client.head()
                while LAST not in await client.one_chunk():
                    pass
                assert await client.one_chunk() == b""
                done.append(1)
                with closing(sqlite3.connect(r.store.path)) as driver:
                    (count,) = driver.execute("SELECT count(*) FROM calls WHERE complete").fetchone()
                assert count >= len(done)

        done: list[int] = []
        await asyncio.gather(*(one() for _ in range(10)))
