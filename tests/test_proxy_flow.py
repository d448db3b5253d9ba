"""How an answer flows: at the client's pace, within bounds, each event as it comes, and when it came on record."""

import asyncio
import socket
import time
from pathlib import Path

import pytest

from backends.proxy import Timeouts
from backends.proxy.room import Room
from store import tapes
from tests.proxyrig import KEY, LAST_CHUNK, STREAM, Asked, Client, chunk, fixed, recorded, rig, split, until

TEXT = recorded("text.sse")
EVENTS = split(TEXT)
MIB = 1024 * 1024
CHUNKED = b"content-type: application/octet-stream\r\ntransfer-encoding: chunked\r\n"


class Flood:
    """A provider that writes so many mebibytes as fast as they are taken."""

    def __init__(self, mebibytes: int) -> None:
        self.piece = bytes(range(256)) * 256
        self.pieces = mebibytes * MIB // len(self.piece)
        self.written = 0

    @property
    def body(self) -> bytes:
        return self.piece * self.pieces

    async def __call__(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)
        writer.write(b"HTTP/1.1 200 OK\r\n" + CHUNKED + b"\r\n")
        for _ in range(self.pieces):
            writer.write(chunk(self.piece))
            await writer.drain()
            self.written += len(self.piece)
        writer.write(LAST_CHUNK)


async def stalled(flood: Flood) -> int:
    """How much has been written when nothing more is taken."""
    before = -1
    while flood.written != before or not before:
        before = flood.written
        await asyncio.sleep(0.3)
    return before


async def test_a_slow_client_holds_its_provider(tmp_path: Path) -> None:
    flood = Flood(64)
    async with rig(tmp_path, flood) as r:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", r.port))
        client = Client(*await asyncio.open_connection(sock=sock, limit=1 << 16))
        r.clients.append(client)
        await client.ask(path="/v1/files/f/content")
        await client.head()
        # Nothing but sockets' buffers, and the proxy's own of 64 KiB each, are between them.
        assert await stalled(flood) < 24 * MIB
        for _ in range(64):
            assert await client.one_chunk()
        assert await stalled(flood) < 32 * MIB
        assert (await client.chunks())[1] and flood.written == 64 * MIB
        assert tapes.response(r.store, await r.call()) == flood.body


async def test_many_long_answers_at_once_wait_for_room(tmp_path: Path) -> None:
    flood = Flood(4)
    async with rig(tmp_path, flood) as r:
        room = r.proxy._room = Watched(4 * MIB)

        async def one() -> None:
            client = await r.client()
            await client.ask(path="/v1/files/f/content")
            assert (await client.answer())[2:] == (flood.body, True)

        await asyncio.gather(*(one() for _ in range(10)))
        assert 4 * MIB < room.most < 12 * MIB
        assert [tapes.response(r.store, call) == flood.body for call in r.calls()] == [True] * 10
        assert not room.full


class Watched(Room):
    """Room that knows how much was taken at most."""

    most = 0

    def take(self, who: object, size: int) -> None:
        super().take(who, size)
        self.most = max(self.most, self._total)


async def test_a_client_that_hangs_up_leaves_its_room(tmp_path: Path) -> None:
    flood = Flood(32)
    async with rig(tmp_path, flood) as r:
        r.proxy._room = Room(2 * MIB)
        clients = [await r.client() for _ in range(3)]
        for client in clients:
            await client.ask(path="/v1/files/f/content")
            await client.head()
        await until(lambda: r.proxy._room.full or None)
        for client in clients:
            client.close()
        await until(lambda: len([call for call in r.calls() if call.ended is not None]) == 3 or None)
        assert not r.proxy._room.full


async def test_it_is_on_record_when_each_piece_came(tmp_path: Path) -> None:
    go = asyncio.Event()
    seen: list[float] = []

    async def event_by_event(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n" + STREAM + b"\r\n")
        for event in EVENTS:
            await go.wait()
            go.clear()
            seen.append(time.perf_counter())
            writer.write(chunk(event))
        writer.write(LAST_CHUNK)

    async with rig(tmp_path, event_by_event) as r:
        client = await r.client()
        began = time.perf_counter()
        await client.ask()
        go.set()
        await client.head()
        for event in EVENTS[:-1]:
            assert await client.one_chunk() == event
            go.set()
        assert (await client.chunks())[1]
        ended = time.perf_counter()
        kept = tapes.timing(r.store, await r.call())
        sizes = [size for size, _ in kept]
        assert sizes == [sum(map(len, EVENTS[: count + 1])) for count in range(len(EVENTS))]
        for (_, at), after, (_, later) in zip(kept, seen[1:], kept[1:], strict=False):
            # One came before the next was sent, on a clock that began when the request went out.
            assert 0 < at <= after - began and at <= later <= ended - began


async def test_an_answer_in_one_piece_has_the_time_of_its_first_byte(tmp_path: Path) -> None:
    async with rig(tmp_path, fixed(b"200 OK", b"content-length: 2\r\n", b"{}")) as r:
        client = await r.client()
        await client.ask()
        await client.answer()
        call = await r.call()
        assert tapes.timing(r.store, call) == []
        assert call.first_byte is not None and call.started <= call.first_byte


@pytest.mark.parametrize("streams", [100])
async def test_many_streams_at_once_come_event_by_event_and_whole(tmp_path: Path, streams: int) -> None:
    """Each event is written when its client has had the one before: whoever gathered events would stand still."""
    came: dict[bytes, asyncio.Queue[int]] = {}

    async def paced(asked: Asked, writer: asyncio.StreamWriter) -> None:
        had = came[asked.line.split(b" ")[1]]
        writer.write(b"HTTP/1.1 200 OK\r\n" + STREAM + b"\r\n")
        for number, event in enumerate(EVENTS):
            writer.write(chunk(event))
            if number < len(EVENTS) - 1:
                assert await asyncio.wait_for(had.get(), 30) == number
        writer.write(LAST_CHUNK)

    # Quicker than the time in which nothing may come, and many times as long.
    async with rig(tmp_path, paced, timeouts=Timeouts(silence=10)) as r:

        async def one(number: int) -> None:
            path = f"/v1/messages?number={number}"
            had = came[path.encode()] = asyncio.Queue()
            client = await r.client()
            await client.ask(path=path, headers=f"x-api-key: {KEY}\r\n")
            await client.head()
            for at, event in enumerate(EVENTS[:-1]):
                assert await client.one_chunk() == event
                had.put_nowait(at)
            assert await client.chunks() == ([EVENTS[-1]], True)

        await asyncio.gather(*map(one, range(streams)))
        calls = r.calls()
        assert len(calls) == streams and all(call.complete for call in calls)
        assert {tapes.response(r.store, call) for call in calls} == {TEXT}
        assert all(len(tapes.timing(r.store, call)) >= len(EVENTS) - 1 for call in calls)
