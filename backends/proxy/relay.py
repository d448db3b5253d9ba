"""One exchange: sent to the provider, passed on as it comes, listened to, and recorded before its end is passed on."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from backends.proxy.answering import Answerer, Answering, Forward
from backends.proxy.headers import Headers, get, to_client
from backends.proxy.holding import Hold
from backends.proxy.listening import Listener
from backends.proxy.protocol import AnswerReader
from backends.proxy.recorder import Ended, Recording
from backends.proxy.reflection import looked_through
from backends.proxy.upstream import UpstreamError
from store.errors import StoreError

log = logging.getLogger("multitrack.proxy")

AFTER_END = 1.0
"""Seconds that a provider has, after the last event of its protocol, to end the body as well."""

LARGEST_ANSWER = 256 * 1024 * 1024
"""Bytes of one answer; a longer one is cut, for it is kept in memory until it is recorded."""

HUNG_UP = "the client hung up"

Send = Callable[[dict[str, Any]], Awaitable[None]]


class Exchange:
    """A call under way. `send` is the client's side, ASGI; `hang_up` closes its connection without a proper end."""

    def __init__(
        self,
        forward: Forward,
        recording: Recording,
        reader: AnswerReader,
        *,
        answerer: Answerer,
        send: Send,
        hang_up: Callable[[], None],
    ) -> None:
        self._forward = forward
        self._recording = recording
        self._reader = reader
        self._answerer = answerer
        self._send = send
        self._hang_up = hang_up
        self._task: asyncio.Task[None] | None = None
        self._asking = True
        """Until the answer is over and only its record is left to make."""
        self._stopped = ""
        self._begun = False
        """The client has seen the head of the answer."""
        self._answering: Answering | None = None
        self._listener = Listener((), reader)
        self._hold = Hold(None)

    def start(self) -> "asyncio.Task[None]":
        """Begin; the task ends when the answer is recorded and the client has been told."""
        self._task = asyncio.get_running_loop().create_task(self._run())
        return self._task

    def stop(self, reason: str) -> None:
        """End the call now. What came so far is recorded with the reason; one that is over is left alone."""
        if self._asking and self._task is not None and not self._stopped:
            self._stopped = reason
            self._task.cancel()

    async def _run(self) -> None:
        problem = await self._asked()
        answering, left = self._answering, b""
        if answering is not None:
            if problem is not None:
                # What came together with the break, and was not read, came.
                left = self._take(answering.left())
            answering.close()
        try:
            await self._recording.close(await self._ended(problem))
        except StoreError as error:
            log.error("a call could not be recorded, so the end of its answer is withheld: %s", error)
            await self._fail(_unrecorded(error.reason))
            return
        except Exception:
            log.exception("a call could not be recorded; the end of its answer is withheld")
            await self._fail(_unrecorded("a fault of the recorder's own"))
            return
        if problem is None:
            await self._finish()
        elif self._stopped != HUNG_UP:
            if self._begun:
                await self._pass(left + self._hold.rest(), more=True)
            await self._fail(problem)

    async def _ended(self, problem: UpstreamError | None) -> Ended:
        """How it ended, for the record: which has none of the client's own keys."""
        answering = self._answering
        status, headers = (None, ()) if answering is None else (answering.status, answering.headers)
        body = self._recording.body()
        answer = self._listener.finish(body, status)
        keys = [] if answering is None else self._forward.brought()
        if keys and (kept := await looked_through(keys, headers, body)) is not None:
            self._recording.replace(kept.body)
            answer, headers = kept.answer(answer), kept.headers
        said = "" if problem is None else str(problem)
        return Ended(answer, status, headers, said, self._answerer.notes)

    async def _asked(self) -> UpstreamError | None:
        """Ask and pass on; what went wrong, if anything did."""
        try:
            await self._ask()
        except UpstreamError as error:
            return error
        except asyncio.CancelledError:
            return UpstreamError(self._stopped or "the proxy was stopped", 503)
        except Exception as error:
            log.exception("a call failed in the proxy")
            return UpstreamError(f"a fault of the proxy's own: {error!r}", 500)
        finally:
            self._asking = False
        return None

    async def _ask(self) -> None:
        """Ask the provider and pass its answer on, all but its end. UpstreamError."""
        forward = self._forward
        answering = await self._answerer.ask(forward)
        self._answering = answering
        if self._recording.hopeless:
            raise _unrecorded(self._recording.hopeless)
        self._listener = listener = Listener(answering.headers, self._reader)
        length = _length(answering.headers)
        bodyless = forward.method == "HEAD" or answering.status in (204, 304) or length == 0
        # The head of an answer without a body is its end. What is whole already goes out in one piece: it is quicker.
        at_once = bodyless or answering.whole
        self._hold = Hold(length, all_of_it=at_once)
        if not at_once:
            await self._begin()
        while listener.ended is None:
            piece = await answering.read()
            if not piece:
                return
            if out := self._take(piece):
                await self._pass(out, more=True)
            if self._recording.size > LARGEST_ANSWER:
                raise UpstreamError(f"the answer is longer than {LARGEST_ANSWER >> 20} MiB")
            if self._recording.crowded:
                await self._recording.room()
        # The protocol's own end has come. What is left is to see the body end too; the answer is whole without it.
        try:
            async with asyncio.timeout(AFTER_END):
                while piece := await answering.read():
                    self._take(piece)
                    if self._recording.size > LARGEST_ANSWER:
                        return
        except (UpstreamError, TimeoutError) as error:
            if length is not None:
                raise UpstreamError("the body ended before its length") from error
            if isinstance(error, UpstreamError) and get(answering.headers, b"content-encoding"):
                # Without its last bytes a compressed body can't be checked: the client is to see that it was cut.
                raise

    def _take(self, piece: bytes) -> bytes:
        """Record a piece, listen to it, and give back what may go on of all that came."""
        self._recording.add(piece)
        return self._hold.take(piece, self._listener.take(piece))

    async def _begin(self) -> None:
        """Send the head of the answer."""
        assert self._answering is not None
        status, headers = self._answering.status, self._answering.headers
        length = _length(headers) is not None and status != 304
        await self._send(
            {"type": "http.response.start", "status": status, "headers": to_client(headers, length=length)}
        )
        self._begun = True

    async def _pass(self, data: bytes, *, more: bool) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": more})

    async def _finish(self) -> None:
        """The record is committed: send the end."""
        if not self._begun:
            await self._begin()
        await self._pass(self._hold.rest(), more=False)

    async def _fail(self, problem: UpstreamError) -> None:
        """Tell the client: in the provider's words while nothing was sent, else by an answer that breaks off."""
        if self._begun:
            self._hang_up()
            return
        said = f"The recording proxy: {problem}.{problem.detail}"
        more = [(b"x-should-retry", b"false")] if problem.final else []
        await answer(self._send, problem.status, self._forward.protocol.error(problem.status, said), more)


def _unrecorded(reason: str) -> UpstreamError:
    return UpstreamError(f"this call could not be recorded ({reason}), so its answer is withheld", 503)


async def answer(send: Send, status: int, body: bytes, headers: Headers = ()) -> None:
    """Answer with JSON of our own."""
    head = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _length(headers: Headers) -> int | None:
    """The length that the body will have, where its head says so."""
    if get(headers, b"transfer-encoding"):
        return None
    value = get(headers, b"content-length")
    return int(value) if value.isdigit() else None
