"""A call on its way onto the tape: opened when it goes out, closed when its answer is over.

Opening is not waited for: it is committed while the provider thinks. One that answers quicker than that has its call
recorded in one go, which is half the work. Closing is waited for, for nobody may see an answer's end that is not on the
tape. When opening failed, closing tries it again: a moment's trouble with the disk loses nothing.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from backends.proxy import counting
from backends.proxy.headers import Headers, kept
from backends.proxy.incoming import Parsed
from backends.proxy.prices import Prices
from backends.proxy.protocol import Answer
from backends.proxy.room import Room
from store.domain import timing
from store.errors import StoreError
from store.recording import CallEnd, CallStart, put
from store.scribe import Scribe

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from store.writer import Writer

log = logging.getLogger("multitrack.proxy")

CUT_SHORT = "the answer ended before its end"
"""The error of an answer that ends properly, but not as its protocol does."""

QUICK = 0.02
"""Seconds that a call may take without being opened first. A model's answer takes longer; an error may not."""


class Ended(NamedTuple):
    """How an exchange ended. `status` and `headers` are the provider's, None where it never answered; `problem` is what
    kept its answer from coming whole, "" where it did."""

    answer: Answer
    status: int | None
    headers: Headers
    problem: str
    notes: Sequence[str] = ()


class Recording:
    """One call. Made when the request is about to go out, in the event loop that it is passed on in."""

    def __init__(
        self,
        writer: "Writer",
        start: CallStart,
        parsed: Parsed,
        *,
        clock: Callable[[], float],
        prices: Prices,
        scribe: Scribe | None = None,
        room: Room | None = None,
        over: Callable[[CallEnd], None] | None = None,
    ) -> None:
        """A `scribe` writes, or else the `writer`. `room` bounds what all that are under way take of the memory. `over`
        is told how the call ended, on the tape or not, before its client can know."""
        self._writer = writer
        self._scribe = scribe
        self._start = start
        self._parsed = parsed
        self._clock = clock
        self._prices = prices
        self._room = Room() if room is None else room
        self._over = over
        self._began = time.perf_counter()
        self._pieces: list[bytes] = []
        self._timing: timing.Timing = []
        self._first_byte: float | None = None
        self.hopeless = ""
        """Why the call could not be opened: as it looks, it can't be recorded."""
        self.size = 0
        """Bytes of the answer so far."""
        self._loop = asyncio.get_running_loop()
        self._opening: asyncio.Future[None] | None = None
        self._soon = self._loop.call_later(QUICK, self._open)

    def _open(self) -> None:
        try:
            self._opening = self._put(None)
        except StoreError as error:
            self.hopeless = error.reason
        else:
            self._opening.add_done_callback(self._opened)

    def _opened(self, opening: "asyncio.Future[None]") -> None:
        if not opening.cancelled() and (error := opening.exception()) is not None:
            self.hopeless = error.reason if isinstance(error, StoreError) else "a fault of the recorder's own"

    def add(self, piece: bytes) -> None:
        """A piece of the answer's body, as it came."""
        if piece:
            if self._first_byte is None:
                self._first_byte = self._clock()
            self._pieces.append(piece)
            self.size += len(piece)
            self._timing.append((self.size, time.perf_counter() - self._began))
            self._room.take(self, len(piece))

    @property
    def crowded(self) -> bool:
        """There is no more room in memory: before more of the answer is read, `room` has to be waited for."""
        return self._room.full

    async def room(self) -> None:
        """Wait for room, while other answers are recorded and leave it."""
        await self._room.wait(self)

    def body(self) -> bytes:
        """The answer's body so far."""
        if len(self._pieces) > 1:
            self._pieces = [b"".join(self._pieces)]
        return self._pieces[0] if self._pieces else b""

    def replace(self, body: bytes) -> None:
        """Have another body on the tape than came. Where its length is another, nothing is known of its pieces."""
        if len(body) != self.size:
            self._timing = []
        self._pieces = [body]

    async def close(self, ended: Ended) -> None:
        """Commit the call. Raises what kept it from being committed."""
        try:
            await self._close(ended)
        finally:
            self._room.leave(self)

    async def _close(self, ended: Ended) -> None:
        answer = await self._counted(ended.answer)
        whole = not ended.problem and answer.whole
        end = CallEnd(
            id=self._start.id,
            at=self._clock(),
            first_byte=self._first_byte,
            status=ended.status,
            error=ended.problem or _error(ended.status, answer),
            complete=whole,
            stop_reason=answer.stop_reason,
            usage=answer.usage,
            usd=self._usd(answer),
            headers=kept(ended.headers),
            response=self.body(),
            # When the one piece of an answer came, its first byte did.
            timing=timing.encode(self._timing) if len(self._timing) > 1 else b"",
            messages=answer.messages,
            response_id=answer.response_id,
            notes=(*ended.notes, *answer.notes),
        )

        self._soon.cancel()
        try:
            await self._put(end)
        finally:
            if self._over is not None:
                self._over(end)

    def _put(self, end: CallEnd | None) -> "asyncio.Future[None]":
        """Commit the call as far as it has come. Its place in the order is taken at once."""
        start, parsed, opened = self._start, self._parsed, self._opening is not None
        if self._scribe is not None:
            return self._scribe.record(start, end, opened=opened)

        def job(connection: "Connection") -> None:
            put(connection, start, end, opened=opened, value=parsed.take())

        return self._writer.begin(job, size=self.size + len(start.body) * (not opened))

    async def _counted(self, answer: Answer) -> Answer:
        """An answer with its usage, counted here where the provider reports none."""
        if answer.usage.total or self._start.source or not (answer.messages or answer.uncounted):
            return answer
        start, model = self._start, answer.model or self._start.model
        try:
            usage = await asyncio.to_thread(counting.count, model, start.body, start.conversation, answer.messages)
        except Exception:
            log.exception("the tokens of a call could not be counted")
            return answer
        note = f"{counting.NOTE} {usage.input} in and {usage.output} out"
        return replace(answer, usage=usage, notes=(*answer.notes, note))

    def _usd(self, answer: Answer) -> float | None:
        # What comes from a tape was paid for when it was recorded.
        if not answer.usage.total or self._start.source:
            return 0.0
        # The name of an answer is the more exact one: what was asked for may be an alias, or a router's own name.
        price = self._prices.of(answer.model, self._start.model, provider=self._start.provider)
        return None if price is None else price.usd(answer.usage, answer.extras)


def _error(status: int | None, answer: Answer) -> str:
    """What went wrong with an answer that came."""
    if answer.error:
        return answer.error
    if status is not None and status >= 400:
        return f"HTTP {status}"
    return "" if answer.whole else CUT_SHORT
