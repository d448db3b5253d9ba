"""The relay, its program run as one of this machine: the same bytes over pipes as over an exec's streams."""

import asyncio
import contextlib
import hashlib
import random
import shutil
import socket
import struct
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from backends.sandboxes import Program, SandboxError
from backends.sandboxes.docker.inside import command, programs
from backends.sandboxes.docker.relay import HEAD, WINDOW, BrokenRelayError, Kind, Relay, reach
from backends.sandboxes.program import LocalProgram

LANGUAGES = {"python3": "relay.py", "node": "relay.js", "perl": "relay.pl"}
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Starter = Callable[[Sequence[str]], Awaitable[Program]]
PATIENCE = 60.0


@pytest.fixture(params=LANGUAGES)
def bin_of(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder with one language and no other, as the only PATH."""
    found = shutil.which(request.param)
    if found is None:
        pytest.skip(f"{request.param} is not on this machine")
    if request.param == "python3":
        found = sys.executable
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / request.param).symlink_to(found)
    return tmp_path / "bin"


@pytest.fixture
def start(bin_of: Path) -> Starter:
    return starting(bin_of)


def starting(folder: Path, started: list[LocalProgram] | None = None) -> Starter:
    async def nothing() -> None:
        pass

    async def begin(argv: Sequence[str]) -> Program:
        program = await LocalProgram.start(argv, cwd=folder, environment={"PATH": str(folder)}, kill=nothing)
        if started is not None:
            started.append(program)
        return program

    return begin


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[int]:
    """A server on our side, in the proxy's place."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await handler(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def connect(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - the other side tells nobody
            await asyncio.sleep(0.005)


def descriptors() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def test_bytes_pass_both_ways_and_half_a_close_is_one(start: Starter) -> None:
    async def whole(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = await reader.read()  # until the client has said all
        writer.write(hashlib.sha256(data).digest() + data[::-1])
        await writer.drain()

    sent = random.Random(1).randbytes(3_000_000)
    async with serving(whole) as port, reach(start, port, inside=free_port()) as url:
        reader, writer = await connect(url)
        writer.write(sent)
        writer.write_eof()
        got = await asyncio.wait_for(reader.read(), PATIENCE)
        assert got == hashlib.sha256(sent).digest() + sent[::-1]
        writer.close()


async def test_many_connections_at_once_each_keep_their_bytes(start: Starter) -> None:
    async def one(url: str, number: int) -> None:
        rolled = random.Random(number)
        for _ in range(2):
            reader, writer = await connect(url)
            for _ in range(4):
                said = rolled.randbytes(rolled.choice([1, 100, 5000, 90_000]))
                writer.write(said)
                assert await asyncio.wait_for(reader.readexactly(len(said)), PATIENCE) == said
            writer.close()

    async with serving(echo) as port, reach(start, port, inside=free_port()) as url:
        await asyncio.gather(*(one(url, number) for number in range(120)))


async def test_a_slow_reader_holds_back_its_own_writer_and_nobody_else(start: Starter) -> None:
    passed = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal passed
        if await reader.readexactly(1) == b"e":
            return await echo(reader, writer)
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()
            passed += 65536

    async with serving(flood) as port, reach(start, port, inside=free_port()) as url:
        slow, asking = await connect(url)
        slow._transport.pause_reading()  # type: ignore[attr-defined] # nothing is read here, not even ahead
        asking.write(b"f")
        before = -1
        while passed != before:
            before = passed
            await asyncio.sleep(0.3)
        # What the kernel takes for four sockets, and one window.
        assert passed < 40_000_000
        reader, writer = await connect(url)
        writer.write(b"e" + b"y" * 300_000)
        assert await asyncio.wait_for(reader.readexactly(300_000), PATIENCE) == b"y" * 300_000
        slow._transport.resume_reading()  # type: ignore[attr-defined] # as above
        await asyncio.wait_for(slow.readexactly(passed), PATIENCE)
        writer.close()
        asking.transport.abort()


async def test_a_slow_server_holds_back_the_client(start: Starter) -> None:
    go = asyncio.Event()
    counted: list[int] = []

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reader._transport.pause_reading()  # type: ignore[attr-defined] # nothing is read here, not even ahead
        await go.wait()
        reader._transport.resume_reading()  # type: ignore[attr-defined] # as above
        counted.append(len(await reader.read()))

    async with serving(late) as port, reach(start, port, inside=free_port()) as url:
        _, writer = await connect(url)
        writer.transport.set_write_buffer_limits(high=0)
        sent, stalled = 0, False
        while not stalled and sent < 200_000_000:
            writer.write(b"z" * 262_144)
            sent += 262_144
            try:
                await asyncio.wait_for(writer.drain(), 1)
            except TimeoutError:
                stalled = True
        assert stalled
        go.set()
        writer.write_eof()
        await until(lambda: bool(counted))
        assert counted == [sent]
        writer.close()


async def test_a_broken_connection_breaks_on_the_other_side_too(start: Starter) -> None:
    broke: list[bool] = []

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.readexactly(1) == b"!":
            writer.transport.abort()
            return
        try:
            broke.append(not await reader.read())
        except ConnectionError:
            broke.append(True)

    async with serving(wait) as port, reach(start, port, inside=free_port()) as url:
        _, writer = await connect(url)
        writer.write(b"?")
        await writer.drain()
        await asyncio.sleep(0.1)
        writer.transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        writer.transport.abort()
        await until(lambda: bool(broke))
        reader, writer = await connect(url)
        writer.write(b"!")
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
        writer.close()


async def test_nobody_listens(start: Starter) -> None:
    async with reach(start, free_port(), inside=free_port()) as url:
        reader, writer = await connect(url)
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
        writer.close()


async def test_a_port_that_is_taken_is_left(start: Starter) -> None:
    async with serving(echo) as port, reach(start, port, inside=port) as url:
        assert not url.endswith(f":{port}")
        reader, writer = await connect(url)
        writer.write(b"ah")
        assert await asyncio.wait_for(reader.readexactly(2), PATIENCE) == b"ah"
        writer.close()


async def test_a_killed_program_is_started_again_on_its_port(bin_of: Path) -> None:
    started: list[LocalProgram] = []
    async with serving(echo) as port, reach(starting(bin_of, started), port, inside=free_port()) as url:
        reader, writer = await connect(url)
        writer.write(b"one")
        assert await asyncio.wait_for(reader.readexactly(3), PATIENCE) == b"one"
        started[0]._process.kill()
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
        writer.close()
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    reader, writer = await connect(url)
                    writer.write(b"two")
                    if await reader.readexactly(3) == b"two":
                        break
                except (OSError, asyncio.IncompleteReadError):
                    await asyncio.sleep(0.02)
        writer.close()
    assert [program._process.returncode is not None for program in started] == [True] * len(started)


async def test_nothing_is_left_when_it_is_over(start: Starter) -> None:
    before, tasks = descriptors(), len(asyncio.all_tasks())
    async with serving(echo) as port, reach(start, port, inside=free_port()) as url:
        clients = [await connect(url) for _ in range(20)]
        for reader, writer in clients:
            writer.write(b"x")
            await reader.readexactly(1)
    for reader, writer in clients:
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
        writer.close()
    clients.clear()
    await until(lambda: descriptors() <= before and len(asyncio.all_tasks()) <= tasks)


async def test_an_image_without_any_of_the_languages(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="none of python3, node and perl"):
        async with reach(starting(tmp_path), 1):
            pass


class Said:
    """A program that says what it was given to say."""

    def __init__(self, *frames: bytes) -> None:
        self.output = asyncio.StreamReader()
        self.output.feed_data(b"".join(frames))
        self.output.feed_eof()
        self.said = b""
        self.written = bytearray()

    async def write(self, data: bytes) -> None:
        self.written += data

    async def ended(self) -> int:
        return 1

    async def kill(self) -> None:
        pass


def frame(kind: int, number: int, data: bytes = b"") -> bytes:
    return HEAD.pack(kind, number, len(data)) + data


@pytest.mark.parametrize(
    "frames",
    [
        [frame(99, 1)],
        [frame(Kind.OPEN, 1), frame(Kind.OPEN, 1)],
        [frame(Kind.OPEN, number) for number in range(600)],
        [frame(Kind.OPEN, 1), frame(Kind.CREDIT, 1, b"\x00\x00\x00\x01")],
        [frame(Kind.OPEN, 1), frame(Kind.CREDIT, 1, b"\x01")],
        [frame(Kind.OPEN, 1), *[frame(Kind.DATA, 1, b"x" * 65535)] * (WINDOW // 65535 + 1)],
        [frame(Kind.OPEN, 1), frame(Kind.END, 1), frame(Kind.DATA, 1, b"x")],
        [frame(Kind.OPEN, 1), frame(Kind.DATA, 1)],
    ],
)
async def test_what_breaks_the_rules_ends_it_and_leaves_nothing(frames: list[bytes]) -> None:
    connecting = asyncio.Event()

    async def connect_never() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        await connecting.wait()
        raise OSError

    relay = Relay(Said(*frames), connect_never)
    with pytest.raises(BrokenRelayError, match=r"says|opens|took") as caught:
        await relay.run()
    assert "ended" not in str(caught.value)
    assert relay.open == 0


async def test_frames_of_connections_that_are_over_are_nobodys() -> None:
    async def refuse() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        raise OSError

    relay = Relay(Said(frame(Kind.DATA, 7, b"late"), frame(Kind.END, 7), frame(Kind.RESET, 9)), refuse)
    with pytest.raises(BrokenRelayError, match="ended"):
        await relay.run()


def test_the_programs_fit_into_a_command() -> None:
    # The kernel takes 128 KiB for one argument.
    assert all(0 < len(program) < 100_000 for program in programs())
    assert command(80)[0] == "/bin/sh"
