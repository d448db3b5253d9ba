"""A process of its own that puts calls on the tape, so that whoever passes them on is not held up by it.

Taking a request apart, hashing, compressing and indexing it keeps the interpreter busy, and an event loop in the same
process waits for that: on two cores a proxy that records in its own process passes on about half as many small calls.

One group of calls is being written and one lies ready behind it; what comes meanwhile is the next. So the process never
waits for the loop while there is work, and groups grow with the load, and with them what a transaction is shared by. A
call counts as recorded when the process has said so, after its commit. It ends when the other end of the socket is
closed, so also when its engine was killed. When it dies itself, the calls that it has not answered are told so, and the
next one begins it anew.
"""

import asyncio
import logging
import socket
import sys
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

from store import wire
from store.commits import GROUP
from store.errors import StoreError

if TYPE_CHECKING:
    from store.connecting import Durability
    from store.recording import CallEnd, CallStart

log = logging.getLogger("multitrack.store")

BYTES = 4 * 1024 * 1024
"""About the most bytes of one group: bounds how long its first call waits for the others."""

AHEAD = 2
"""Groups under way at a time: one that is being written, and one that lies ready when that is done."""

_PATIENCE = 60.0
"""Seconds that it may take to write what came before the end."""


class Scribe:
    """The process as an event loop has it. Starts with the first call."""

    def __init__(self, path: Path, *, durability: "Durability" = "process") -> None:
        self._path = path
        self._durability = durability
        self._line: _Line | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._beginning: asyncio.Task[None] | None = None
        self._queue: deque[tuple[bytes, asyncio.Future[None]]] = deque()
        """What is not under way yet."""

    @property
    def pid(self) -> int | None:
        """Of the process; None while there is none."""
        return None if self._process is None or self._process.returncode is not None else self._process.pid

    def record(self, start: "CallStart", end: "CallEnd | None", *, opened: bool = False) -> "asyncio.Future[None]":
        """Put a call on the tape: its request, when there is no `end` yet; its answer, when it was `opened`; or both.
        Calls are written in the order of this. Done when it is committed; StoreError when that could not be."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._queue.append((wire.packed(start, end, opened=opened), future))
        if len(self._queue) == 1:
            # What else is told in this turn of the loop comes along.
            loop.call_soon(self._go)
        return future

    async def close(self) -> None:
        """Let it write what it has, and end it."""
        while waits := [*self._waiting()]:
            await asyncio.wait(waits)
        if self._line is not None:
            self._line.hang_up()
        if self._process is not None:
            try:
                await asyncio.wait_for(self._process.wait(), _PATIENCE)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()

    def _waiting(self) -> "Iterator[asyncio.Future[None]]":
        if self._line is not None:
            for group in self._line.waiting:
                yield from group
        yield from (future for _, future in self._queue)

    def _go(self) -> None:
        """Send the next group, when there is somebody to send it to, and none under way."""
        line = self._line
        if line is None or line.closed:
            if self._beginning is None and self._queue:
                self._beginning = asyncio.get_running_loop().create_task(self._begin())
        elif self._queue and len(line.waiting) < AHEAD:
            line.ask(*self._group())

    def _group(self) -> "tuple[list[bytes], list[asyncio.Future[None]]]":
        calls, futures, size = list[bytes](), list[asyncio.Future[None]](), 0
        while self._queue and len(calls) < GROUP and size < BYTES:
            call, future = self._queue.popleft()
            calls.append(call)
            futures.append(future)
            size += len(call)
        return calls, futures

    async def _begin(self) -> None:
        try:
            if self._process is not None:
                log.warning("the scribe ended: it starts again")
            ours, its = socket.socketpair()
            with its:
                own = [str(self._path), self._durability, str(its.fileno())]
                self._process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-P", "-E", "-m", "store.scribe_process", *own),
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
                _tell(self._queue.popleft()[1], _ended())
        finally:
            self._beginning = None
        self._go()


class _Line(asyncio.Protocol):
    """The connection to one process: a group goes out, its replies come back."""

    def __init__(self, more: Callable[[], None]) -> None:
        """`more` is told that the next group may go out, and that the line is closed."""
        self._more = more
        self._came = bytearray()
        self.waiting: deque[list[asyncio.Future[None]]] = deque()
        """Who waits for each of the groups that are under way."""
        self.closed = False

    def ask(self, calls: "list[bytes]", futures: "list[asyncio.Future[None]]") -> None:
        self.waiting.append(futures)
        self._transport.write(wire.frame(calls))

    def hang_up(self) -> None:
        self._transport.write_eof()

    # asyncio's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._came += data
        while len(self._came) >= wire.SIZE.size:
            end = wire.SIZE.size + wire.SIZE.unpack_from(self._came)[0]
            if len(self._came) < end:
                break
            replies: list[wire.Reply] = wire.group(self._came[wire.SIZE.size : end])
            del self._came[:end]
            for future, reply in zip(self.waiting.popleft(), replies, strict=True):
                _tell(future, None if reply is None else StoreError(*reply))
        self._more()

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        while self.waiting:
            for future in self.waiting.popleft():
                _tell(future, _ended())
        self._more()


def _tell(future: "asyncio.Future[None]", problem: StoreError | None) -> None:
    if future.done():
        return  # nobody waits any more; it is recorded all the same
    if problem is None:
        future.set_result(None)
    else:
        future.set_exception(problem)


def _ended() -> StoreError:
    return StoreError("The process that records calls ended before it had recorded this one.", "the recorder ended")
