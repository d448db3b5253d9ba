"""The way out of a container without a network: to one port on our side, and to nothing else.

A small program in the container listens on its loopback (`inside`). Each connection that is made to it is carried, in
frames, over the program's own standard input and output to this side, which connects to the port. So it works alike for
an engine on this machine and for one far away, and whatever the container says, no other port is reached.

A frame is a kind (1 byte), a connection's number (4), a length (2), and so many bytes, all in network order. A side
may say WINDOW bytes of a connection beyond what the other has passed on, which it tells with CREDIT: a slow reader
holds its own writer back, nobody else's, and what waits is bounded. END is half a close, RESET a connection that broke.
"""

import asyncio
import contextlib
import logging
import struct
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from enum import IntEnum

from backends.sandboxes.docker.inside import command
from backends.sandboxes.protocol import Program, SandboxError
from store.domain.safe_text import safe_line

log = logging.getLogger("multitrack.sandboxes")

Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
"""Opens a connection to the one place that is reached. OSError when it can't be."""

HEAD = struct.Struct(">BIH")
WINDOW = 256 * 1024
"""Bytes of one connection that may be under way each way."""
PIECE = 32 * 1024
"""Bytes of a frame that we make."""
MOST = 512
"""Connections at once: the proxy lets 256 calls of a subagent out at once, and clients keep some in reserve."""
START_SECONDS = 60.0
"""The most that the program may take to listen, on a loaded machine."""
PORT = 4141
"""Where it listens by itself; another port where that one is taken."""


class Kind(IntEnum):
    """What a frame says. READY has the port as its number, FAILED why nothing can be listened on."""

    READY = 1
    OPEN = 2
    DATA = 3
    END = 4
    RESET = 5
    CREDIT = 6
    FAILED = 7


class BrokenRelayError(Exception):
    """The program in the container ended, or says what is no frame."""


class _Connection:
    """One connection: what the container said that the port has not taken yet, and how much of what the port says the
    container can take."""

    def __init__(self, relay: "Relay", number: int) -> None:
        self._relay, self._number = relay, number
        self._said: deque[bytes] = deque()
        self._waiting = 0
        self._ended = False
        self._came = asyncio.Event()
        self._credit = WINDOW
        self._granted = asyncio.Event()
        self.task = asyncio.create_task(self._carry())

    def data(self, piece: bytes) -> None:
        """The container said this."""
        self._waiting += len(piece)
        # Without bytes, frames would wait without end.
        if self._waiting > WINDOW or self._ended or not piece:
            raise BrokenRelayError("it says more than it was given room for")
        self._said.append(piece)
        self._came.set()

    def end(self) -> None:
        """The container has said all."""
        self._ended = True
        self._came.set()

    def credit(self, more: int) -> None:
        """The container has taken so much."""
        self._credit += more
        if self._credit > WINDOW:
            raise BrokenRelayError("it took more than was said")
        self._granted.set()

    async def _carry(self) -> None:
        """Both ways, until both sides have said all."""
        writer: asyncio.StreamWriter | None = None
        try:
            reader, writer = await self._relay.connect()
            async with asyncio.TaskGroup() as both:
                both.create_task(self._outward(writer))
                both.create_task(self._inward(reader))
        except (OSError, ExceptionGroup):
            if writer is not None:
                writer.transport.abort()
            self._relay.forget(self._number)
            with contextlib.suppress(OSError):
                await self._relay.say(Kind.RESET, self._number)
        except asyncio.CancelledError:
            if writer is not None:
                writer.transport.abort()
            raise
        else:
            self._relay.forget(self._number)
            writer.close()

    async def _outward(self, writer: asyncio.StreamWriter) -> None:
        while True:
            while self._said:
                piece = self._said.popleft()
                writer.write(piece)
                await writer.drain()
                self._waiting -= len(piece)
                await self._relay.say(Kind.CREDIT, self._number, struct.pack(">I", len(piece)))
            if self._ended:
                if writer.can_write_eof():
                    writer.write_eof()
                return
            self._came.clear()
            await self._came.wait()

    async def _inward(self, reader: asyncio.StreamReader) -> None:
        while True:
            while not self._credit:
                self._granted.clear()
                await self._granted.wait()
            piece = await reader.read(min(PIECE, self._credit))
            if not piece:
                await self._relay.say(Kind.END, self._number)
                return
            self._credit -= len(piece)
            await self._relay.say(Kind.DATA, self._number, piece)


class Relay:
    """Our side of one program in a container."""

    def __init__(self, program: Program, connect: Connect) -> None:
        self._program, self.connect = program, connect
        self._connections: dict[int, _Connection] = {}
        self._saying = asyncio.Lock()

    @property
    def open(self) -> int:
        """How many connections there are."""
        return len(self._connections)

    async def ready(self) -> int:
        """Wait until the program listens; its port. BrokenRelayError says why it doesn't."""
        try:
            kind, number, said = await asyncio.wait_for(self._frame(), START_SECONDS)
        except asyncio.IncompleteReadError:
            code = await self._program.ended()
            why = safe_line(self._program.said.decode(errors="replace").strip(), 300)
            if code == 127 and not why:
                why = "the image has none of python3, node and perl"
            raise BrokenRelayError(why or f"it ended with exit code {code}") from None
        except TimeoutError:
            raise BrokenRelayError(f"it did not listen within {START_SECONDS:g} s") from None
        if kind is Kind.FAILED:
            raise BrokenRelayError(safe_line(said.decode(errors="replace"), 300))
        if kind is not Kind.READY or not 0 < number < 65536:
            raise BrokenRelayError("it says what is no frame")
        return number

    async def run(self) -> None:
        """Carry what comes until the program ends or says what is no frame: BrokenRelayError."""
        try:
            while True:
                self._take(*await self._frame())
        except (asyncio.IncompleteReadError, ConnectionError):
            raise BrokenRelayError("it has ended") from None
        finally:
            await self.close()

    async def close(self) -> None:
        """Break all connections."""
        tasks = [connection.task for connection in self._connections.values()]
        self._connections.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def say(self, kind: Kind, number: int, data: bytes = b"") -> None:
        """One frame to the container; waits while it takes nothing. OSError when it is gone."""
        async with self._saying:
            await self._program.write(HEAD.pack(kind, number, len(data)) + data)

    def forget(self, number: int) -> None:
        """A connection is over."""
        self._connections.pop(number, None)

    async def _frame(self) -> tuple[Kind, int, bytes]:
        kind, number, length = HEAD.unpack(await self._program.output.readexactly(HEAD.size))
        data = await self._program.output.readexactly(length) if length else b""
        try:
            return Kind(kind), number, data
        except ValueError:
            raise BrokenRelayError("it says what is no frame") from None

    def _take(self, kind: Kind, number: int, data: bytes) -> None:
        if kind is Kind.OPEN:
            if number in self._connections or len(self._connections) >= MOST:
                raise BrokenRelayError("it opens more connections than there may be")
            self._connections[number] = _Connection(self, number)
            return
        connection = self._connections.get(number)
        if connection is None:
            # It ended on our side, and the container does not know yet.
            return
        match kind:
            case Kind.DATA:
                connection.data(data)
            case Kind.END:
                connection.end()
            case Kind.CREDIT if len(data) == 4:
                connection.credit(int.from_bytes(data, "big"))
            case Kind.RESET:
                self.forget(number)
                connection.task.cancel()
            case _:
                raise BrokenRelayError("it says what is no frame")


Start = Callable[[Sequence[str]], Awaitable[Program]]
"""Starts a program in the container, as `Streaming.stream` does."""

RESTART_SECONDS = (0.2, 5.0)
"""Between the end of a program that was killed, by an agent that clears up for instance, and the next one: at first,
and at most, where starting one fails again and again."""


@asynccontextmanager
async def reach(start: Start, port: int, *, host: str = "127.0.0.1", inside: int = PORT) -> AsyncIterator[str]:
    """The base URL under which a container without a network reaches one port on our side, and nothing else.

    As long as it is held: the program inside is started again when somebody kills it. SandboxError when it can't be
    started at all.
    """
    connect = _to(host, port)
    program, relay, there = await _started(start, connect, inside)

    async def keep() -> None:
        nonlocal program, relay
        while True:
            with contextlib.suppress(BrokenRelayError):
                await relay.run()
            await program.kill()
            wait, most = RESTART_SECONDS
            while True:
                await asyncio.sleep(wait)
                wait = min(2 * wait, most)
                with contextlib.suppress(SandboxError):
                    program, relay, now = await _started(start, connect, there)
                    if now == there:
                        break
                    # Its clients know the old port only, which is free again in a moment.
                    await program.kill()

    keeping = asyncio.create_task(keep())
    try:
        yield f"http://127.0.0.1:{there}"
    finally:
        keeping.cancel()
        await asyncio.wait([keeping])
        if not keeping.cancelled() and (fault := keeping.exception()) is not None:
            log.warning("the relay to the proxy could not be kept up", exc_info=fault)
        await relay.close()
        with contextlib.suppress(SandboxError, OSError):
            await program.kill()


async def _started(start: Start, connect: Connect, port: int) -> tuple[Program, Relay, int]:
    program = await start(command(port))
    relay = Relay(program, connect)
    try:
        return program, relay, await relay.ready()
    except BaseException as error:
        await program.kill()
        if isinstance(error, BrokenRelayError):
            raise SandboxError(f"the relay to the proxy could not be started in the container: {error}") from None
        raise


def _to(host: str, port: int) -> Connect:
    async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(host, port)

    return connect
