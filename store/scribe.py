"""A process of its own that puts calls on the tape, so that whoever passes them on is not held up by it.

Taking a request apart, hashing, compressing and indexing it keeps the interpreter busy, and an event loop in the same
process waits for that: on two cores a proxy that records in its own process passes on about half as many small calls.

The scribe reads calls from a socket and writes each group that has come in one transaction. A call counts as recorded
when the scribe has said so, after its commit. It ends when the other end of the socket is closed, after all that came
is written, so also when its engine was killed. When the scribe itself dies, the calls that it has not answered are told
so, and the next one begins it anew.

    python -m store.scribe STORE DURABILITY DESCRIPTOR
"""

import asyncio
import gc
import logging
import pickle
import signal
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from store.errors import StoreError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from store.database import Durability
    from store.recording import CallEnd, CallStart

log = logging.getLogger("multitrack.store")

_SIZE = struct.Struct("<I")
_READ = 1024 * 1024
_PATIENCE = 60.0
"""Seconds that it may take to write what came before the end."""

_Reply = tuple[int, str | None, str]
"""The number of a call, what kept it from being recorded (None for nothing), and that in few words."""


class Scribe:
    """The process as an event loop has it. Starts with the first call."""

    def __init__(self, path: Path, *, durability: "Durability" = "process") -> None:
        self._path = path
        self._durability = durability
        self._line: _Line | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._beginning: asyncio.Task[None] | None = None
        self._queue: deque[tuple[bytes, asyncio.Future[None]]] = deque()
        """What could not go out yet."""

    @property
    def pid(self) -> int | None:
        """Of the process; None while there is none."""
        return None if self._process is None or self._process.returncode is not None else self._process.pid

    def record(self, start: "CallStart", end: "CallEnd | None", *, opened: bool = False) -> "asyncio.Future[None]":
        """Put a call on the tape: its request, when there is no `end` yet; its answer, when it was `opened`; or both.
        Calls are written in the order of this. Done when it is committed; StoreError when that could not be."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((pickle.dumps((start, end, opened), protocol=5), future))
        self._go()
        return future

    async def close(self) -> None:
        """Let it write what it has, and end it."""
        if self._beginning is not None:
            await self._beginning
        self._go()
        if self._line is not None:
            self._line.hang_up()
        if self._process is not None:
            try:
                await asyncio.wait_for(self._process.wait(), _PATIENCE)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()

    def _go(self) -> None:
        """Send what waits, when there is somebody to send it to."""
        line = self._line
        if line is None or line.closed:
            if self._beginning is None and self._queue:
                self._beginning = asyncio.get_running_loop().create_task(self._begin())
            return
        while self._queue and not line.full:
            line.ask(*self._queue.popleft())

    async def _begin(self) -> None:
        try:
            if self._process is not None:
                log.warning("the scribe ended: it starts again")
            ours, its = socket.socketpair()
            with its:
                own = [str(self._path), self._durability, str(its.fileno())]
                self._process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-P", "-E", "-m", "store.scribe", *own),
                    stdin=asyncio.subprocess.DEVNULL,
                    pass_fds=(its.fileno(),),
                    start_new_session=True,  # a Ctrl-C in the terminal is for who began it, and ends it
                )
            ours.setblocking(False)
            loop = asyncio.get_running_loop()
            _, self._line = await loop.create_connection(lambda: _Line(self._go), sock=ours)
        except OSError as error:
            log.error("the scribe cannot be started: %s", error)
            while self._queue:
                _, future = self._queue.popleft()
                if not future.done():
                    future.set_exception(_ended())
        finally:
            self._beginning = None
        self._go()


class _Line(asyncio.Protocol):
    """The connection to one process: calls go out numbered, replies come back."""

    def __init__(self, more: Callable[[], None]) -> None:
        """`more` is told that there is room again, and that the line is closed."""
        self._more = more
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._number = 0
        self._came = bytearray()
        self._going: list[bytes] = []
        self.full = False
        """What waits in the socket is enough for now."""
        self.closed = False

    def ask(self, call: bytes, future: "asyncio.Future[None]") -> None:
        self._number += 1
        self._waiting[self._number] = future
        if not self._going:
            self._loop.call_soon(self._send)
        self._going += (_SIZE.pack(len(call) + _SIZE.size), _SIZE.pack(self._number), call)

    def hang_up(self) -> None:
        self._send()
        self._transport.write_eof()

    def _send(self) -> None:
        """All that was asked in one turn of the loop goes out at once."""
        going, self._going = self._going, []
        if going and not self._transport.is_closing():
            self._transport.writelines(going)

    # asyncio's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def pause_writing(self) -> None:
        self.full = True

    def resume_writing(self) -> None:
        self.full = False
        self._more()

    def data_received(self, data: bytes) -> None:
        self._came += data
        for frame in _frames(self._came):
            replies: list[_Reply] = pickle.loads(frame)  # noqa: S301 - from our own process alone
            for number, problem, reason in replies:
                future = self._waiting.pop(number)
                if future.done():
                    continue  # nobody waits any more; it is recorded all the same
                if problem is None:
                    future.set_result(None)
                else:
                    future.set_exception(StoreError(problem, reason))

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(_ended())
        self._more()


def _ended() -> StoreError:
    return StoreError("The process that records calls ended before it had recorded this one.", "the recorder ended")


def _frames(came: bytearray) -> Iterator[bytes]:
    """The whole frames at the beginning, which are taken away."""
    at = 0
    while len(came) - at >= _SIZE.size:
        (size,) = _SIZE.unpack_from(came, at)
        if len(came) - at - _SIZE.size < size:
            break
        at += _SIZE.size
        yield bytes(came[at : at + size])
        at += size
    del came[:at]


# The process.


def main(path: Path, durability: "Durability", descriptor: int) -> None:
    """Write what comes until nothing more does."""
    from store.database import Store

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    settle()
    came = bytearray()
    with socket.socket(fileno=descriptor) as line, Store(path, durability=durability) as store:
        while data := line.recv(_READ):
            came += data
            futures: list[tuple[int, Future[None]]] = []
            for frame in _frames(came):
                (number,) = _SIZE.unpack_from(frame)
                futures.append((number, store.writer.submit(_job(frame[_SIZE.size :]))))
            if replies := [_reply(*one) for one in futures]:
                said = pickle.dumps(replies)
                # Who asked may be gone; what it asked for is written all the same.
                with suppress(OSError):
                    line.sendall(_SIZE.pack(len(said)) + said)


def settle() -> None:
    """Let the collector of cycles look less often, and never at what is there for good. A request of 500 messages is
    thousands of objects that no cycle holds; with Python's own thresholds looking through them takes longer than all
    else that is done with it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)


def put(
    connection: "Connection", start: "CallStart", end: "CallEnd | None", *, opened: bool, value: Any = None
) -> None:
    """Put a call on the tape, inside a job, as far as it has come. `value` is what orjson makes of its body, for who
    has that already."""
    from store.recording import close_call, open_call, record_call

    if end is None:
        open_call(connection, start, value)
        return
    if opened:
        # Jobs run in the order of their coming: a call that is not there now could not be opened.
        with suppress(KeyError):
            close_call(connection, end)
            return
    record_call(connection, start, end, value)


def _job(call: bytes) -> "Callable[[Connection], None]":
    def job(connection: "Connection") -> None:
        start, end, opened = pickle.loads(call)  # noqa: S301 - from our own process alone
        put(connection, start, end, opened=opened)

    return job


def _reply(number: int, future: "Future[Any]") -> _Reply:
    error = future.exception()
    if error is None:
        return number, None, ""
    if isinstance(error, StoreError):
        return number, str(error), error.reason
    log.error("a call could not be recorded", exc_info=error)
    return number, repr(error), "a fault of the recorder's own"


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))  # type: ignore[arg-type] # one of the two words
