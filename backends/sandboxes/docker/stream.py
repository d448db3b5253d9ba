"""A program in a container whose input and output are ours to write and read, byte for byte."""

import asyncio
import threading
from collections.abc import Awaitable, Callable

from backends.sandboxes.docker.attached import STDOUT, Attached
from backends.sandboxes.docker.engine import in_thread

SAID = 4096
"""Bytes kept of the end of what it writes to its standard error."""
_BUFFER = 256 * 1024
"""Bytes of output that wait to be read, after which the program has to wait."""


class Stream:
    """See `Program`. `killing` kills it and all that it started; `code` gives its exit code when it has ended."""

    def __init__(
        self, attached: Attached, killing: Callable[[], Awaitable[None]], code: Callable[[], Awaitable[int]]
    ) -> None:
        self._attached, self._killing, self._ask = attached, killing, code
        self._loop = asyncio.get_running_loop()
        self.output = asyncio.StreamReader(limit=_BUFFER, loop=self._loop)
        self._tap = _Tap()
        self.output.set_transport(self._tap)
        self._said = b""
        self._writing = asyncio.Lock()
        self._over = asyncio.Event()
        self._code: int | None = None
        threading.Thread(target=self._read, name="docker-stream", daemon=True).start()

    @property
    def said(self) -> bytes:
        """See `Program.said`."""
        return self._said

    async def write(self, data: bytes) -> None:
        """See `Program.write`."""
        async with self._writing:
            if self._over.is_set():
                raise ConnectionError("the program has ended")
            await in_thread(self._attached.write, data)

    async def ended(self) -> int:
        """See `Program.ended`."""
        await self._over.wait()
        if self._code is None:
            self._code = await self._ask()
        return self._code

    async def kill(self) -> None:
        """See `Program.kill`."""
        if self._over.is_set():
            return
        try:
            await self._killing()
        finally:
            self._attached.cut()
            self._tap.resume_reading()
        await self._over.wait()

    def _read(self) -> None:
        while (piece := self._attached.read()) is not None:
            kind, data = piece
            if kind == STDOUT:
                self._tap.room.clear()
                self._tell(self._feed, data)
                while not self._tap.room.wait(1.0) and not self._loop.is_closed():
                    pass
            else:
                self._said = (self._said + data)[-SAID:]
        self._attached.close()
        self._tell(self._end)

    def _feed(self, data: bytes) -> None:
        self.output.feed_data(data)
        if self._tap.is_reading():
            self._tap.room.set()

    def _end(self) -> None:
        self.output.feed_eof()
        self._over.set()

    def _tell(self, function: Callable[..., None], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            self._attached.cut()  # the loop is closed


class _Tap(asyncio.ReadTransport):
    """What a StreamReader tells that it has enough, and that it has room again. `room` is what the thread waits for."""

    def __init__(self) -> None:
        super().__init__()
        self.room = threading.Event()
        self._flows = True

    def pause_reading(self) -> None:
        self._flows = False

    def resume_reading(self) -> None:
        self._flows = True
        self.room.set()

    def is_reading(self) -> bool:
        return self._flows
