"""A process of its own that puts calls on the tape, so that whoever passes them on is not held up by it.

Taking a request apart, hashing, compressing and indexing it keeps the interpreter busy, and an event loop in the same
process waits for that: on two cores a proxy that records in its own process passes on about half as many small calls.

With a journal (`store.journal`) a call that is over is safe when it is in there, and its client need not wait for more:
the tape follows by some milliseconds. Otherwise, while the tape is in trouble, and where commits have to reach the
disk, a call is safe when it is committed; so who can't be recorded is told so.

One group of calls is being written and one lies ready behind it; what comes meanwhile is the next. So the process never
waits for the loop while there is work, and groups grow with the load, and with them what a transaction is shared by. It
ends when the other end of the socket is closed, so also when its engine was killed. When it dies itself, the calls that
it has not answered are told so, those in the journal are given to the next one, and the next call begins it.
"""

import asyncio
import logging
import socket
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from store import wire
from store.errors import StoreError
from store.journal import Journal

if TYPE_CHECKING:
    from store.connecting import Durability
    from store.recording import CallEnd, CallStart

log = logging.getLogger("multitrack.store")

GROUP = 64
"""The most calls of one group: bounds how long those that wait for room wait at a time."""

BYTES = 4 * 1024 * 1024
"""About the most bytes of one group, for the same."""

AHEAD = 2
"""Groups under way at a time: one that is being written, and one that lies ready when that is done."""

BEHIND = 4 * GROUP
"""The most calls by which the tape may be behind what clients have seen: with more, they wait."""

TROUBLE = 0.5
"""Seconds without a reply after which calls wait for their commit."""

_AGAIN = 1.0
"""Seconds after which is tried again what could not be written."""

_PATIENCE = 60.0
"""Seconds that it may take to write what came before the end."""


@dataclass(eq=False, slots=True)
class _Call:
    """One on its way. `safe` says that it is in the journal, and `future` then that there was room for it."""

    data: bytes
    future: "asyncio.Future[None]"
    safe: bool


class Scribe:
    """The process as an event loop has it. Starts with the first call."""

    def __init__(self, path: Path, *, durability: "Durability" = "process", journal: bool = False) -> None:
        """A `journal` is not for who reads the tape as soon as a call is over."""
        self._path = path
        self._durability = durability
        self._journal = Journal(path) if journal and durability == "process" else None
        self._line: _Line | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._beginning: asyncio.Task[None] | None = None
        self._queue: deque[_Call] = deque()
        """What is not under way yet."""
        self._again: list[_Call] = []
        """What is in the journal, and could not be written, or was under way when the process died."""
        self._soon: asyncio.TimerHandle | None = None
        self._behind = 0
        """Calls in the journal that are not known to be on the tape."""
        self._crowded: deque[asyncio.Future[None]] = deque()
        """Who waits for room."""
        self._since = 0.0
        """When something was last heard of, or given to, a process that had nothing to do."""
        self._moved = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """Of the process; None while there is none."""
        return None if self._process is None or self._process.returncode is not None else self._process.pid

    def record(self, start: "CallStart", end: "CallEnd | None", *, opened: bool = False) -> "asyncio.Future[None]":
        """Put a call on the tape: its request, when there is no `end` yet; its answer, when it was `opened`; or both.
        Calls are written in the order of this. Done when it survives the death of any process; StoreError when that
        could not be."""
        loop = asyncio.get_running_loop()
        data = wire.packed(start, end, opened=opened)
        safe = end is not None and self._journal is not None and self._calm(loop.time()) and self._journal.add(data)
        call = _Call(data, loop.create_future(), safe)
        if safe:
            self._behind += 1
            if self._behind > BEHIND:
                self._crowded.append(call.future)
            else:
                call.future.set_result(None)
        self._queue.append(call)
        if len(self._queue) == 1:
            # What else is told in this turn of the loop comes along.
            loop.call_soon(self._go)
        return call.future

    async def close(self) -> None:
        """Let it write what it has, and end it."""
        await self._still()
        if self._again:
            self._try_again()
            await self._still()
        if self._again:
            log.error("%d calls are not on the tape yet: the next to open the store puts them there", len(self._again))
        if self._soon is not None:
            self._soon.cancel()
        if self._line is not None:
            self._line.hang_up()
        if self._process is not None:
            try:
                await asyncio.wait_for(self._process.wait(), _PATIENCE)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        if self._journal is not None:
            self._journal.close()

    async def _still(self) -> None:
        """Wait until nothing is under way."""
        while self._queue or self._beginning is not None or (self._line is not None and self._line.waiting):
            self._moved.clear()
            await self._moved.wait()

    def _calm(self, now: float) -> bool:
        """Whether what is in the journal can be expected to be on the tape soon."""
        busy = self._beginning is not None or (self._line is not None and bool(self._line.waiting))
        return not self._again and (not busy or now - self._since < TROUBLE)

    def _go(self) -> None:
        """Send the next group, when there is somebody to send it to, and none under way."""
        line, loop = self._line, asyncio.get_running_loop()
        if line is None or line.closed:
            if self._beginning is None and (self._queue or (self._again and self._soon is None)):
                self._since = loop.time()
                self._beginning = loop.create_task(self._begin())
            return
        if not line.waiting:
            self._since = loop.time()
        if self._again and self._soon is None:
            again, self._again = self._again, []
            line.ask(again, again=True)
        elif self._queue and len(line.waiting) < AHEAD:
            line.ask(self._group(), again=False)

    def _group(self) -> list[_Call]:
        calls, size = list[_Call](), 0
        while self._queue and len(calls) < GROUP and size < BYTES:
            calls.append(self._queue.popleft())
            size += len(calls[-1].data)
        return calls

    def _told(self, calls: Sequence[_Call], problems: Sequence[StoreError | None]) -> None:
        """What became of calls that were under way."""
        for call, problem in zip(calls, problems, strict=True):
            if not call.safe:
                _tell(call.future, problem)
            elif problem is None:
                self._behind -= 1
            else:
                self._again.append(call)
                if self._soon is None:
                    log.warning("a call is not on the tape yet, and will be tried again: %s", problem)
                    self._soon = asyncio.get_running_loop().call_later(_AGAIN, self._try_again)
        self._since = asyncio.get_running_loop().time()
        # In trouble there may be no room for long. They are safe, and those who come now are told.
        while self._crowded and (self._again or self._behind - len(self._crowded) < BEHIND):
            _tell(self._crowded.popleft(), None)
        if not self._behind and self._journal is not None:
            self._journal.clear()
        self._moved.set()
        self._go()

    def _try_again(self) -> None:
        if self._soon is not None:
            self._soon.cancel()
        self._soon = None
        self._go()

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
            _, self._line = await loop.create_connection(lambda: _Line(self._told), sock=ours)
        except OSError as error:
            log.error("the scribe cannot be started: %s", error)
            calls, self._queue = [*self._again, *self._queue], deque()
            self._again = []
            self._told(calls, [_ended()] * len(calls))
        finally:
            self._beginning = None
            self._moved.set()
        self._go()


class _Line(asyncio.Protocol):
    """The connection to one process: a group goes out, its replies come back."""

    def __init__(self, told: Callable[[Sequence[_Call], Sequence[StoreError | None]], None]) -> None:
        """`told` hears what became of each group, also when the line is closed."""
        self._told = told
        self._came = bytearray()
        self.waiting: deque[list[_Call]] = deque()
        """The groups that are under way."""
        self.closed = False

    def ask(self, calls: list[_Call], *, again: bool) -> None:
        self.waiting.append(calls)
        self._transport.write(wire.frame((again, [call.data for call in calls])))

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
            self._told(self.waiting.popleft(), [None if reply is None else StoreError(*reply) for reply in replies])

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        calls = [call for group in self.waiting for call in group]
        self.waiting.clear()
        self._told(calls, [_ended()] * len(calls))


def _tell(future: "asyncio.Future[None]", problem: StoreError | None) -> None:
    if future.done():
        return  # nobody waits any more; it is recorded all the same
    if problem is None:
        future.set_result(None)
    else:
        future.set_exception(problem)


def _ended() -> StoreError:
    return StoreError("The process that records calls ended before it had recorded this one.", "the recorder ended")
