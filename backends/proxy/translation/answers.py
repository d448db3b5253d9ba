"""The answers of a routed call as its client sees them: passed on from a try, or an error in the client's protocol."""

import asyncio
import re
from typing import Any

import orjson

from backends.proxy.answering import Answering
from backends.proxy.headers import Headers
from backends.proxy.protocol import ProviderProtocol, loads_quickly
from backends.proxy.recorder import CUT_SHORT
from backends.proxy.relay import HUNG_UP
from backends.proxy.sse import EventReader
from backends.proxy.translation.attempts import Attempt, Attempts
from backends.proxy.upstream import UpstreamError
from backends.proxy.values import members, text
from store.tapes import CallEnd

_PASSED_ON = frozenset({"retry-after", "retry-after-ms", "x-should-retry"})
_TOO_LONG = re.compile(
    r"context_length_exceeded|maximum context length|prompt is too long|context window|input token count.*exceeds", re.I
)


_REALLY = (
    (re.compile(rb"API_KEY_INVALID|API key not valid", re.I), 401),
    (re.compile(rb"credit balance is too low", re.I), 402),
)
"""What Gemini says of a wrong key, and Anthropic of an account without money, each with status 400."""


def real_status(status: int, body: bytes) -> int:
    """The status that says whose fault an error is: some providers have one for all."""
    return next((real for words, real in _REALLY if words.search(body)), status) if status == 400 else status


class Told:
    """An answer that is here already."""

    whole = True

    def __init__(self, status: int, headers: Headers, body: bytes, reason: str = "") -> None:
        """`reason` is why nobody was asked, "" for somebody's answer."""
        self.status = status
        self.reason = reason
        length = (b"content-length", str(len(body)).encode())
        self.headers: Headers = [(b"content-type", b"application/json"), length, *headers]
        self._left = body

    async def read(self) -> bytes:
        return self.left()

    def left(self) -> bytes:
        left, self._left = self._left, b""
        return left

    def close(self) -> None:
        pass


class Passed:
    """The answer to a try, as it is: one of the client's own protocol."""

    def __init__(self, inner: Answering, attempt: Attempt, attempts: Attempts) -> None:
        self._inner = inner
        self._attempt = attempt
        self._attempts = attempts
        self.status = inner.status
        self.headers = inner.headers
        self._ahead: list[bytes] = []
        """What was read of it, and not passed on."""

    async def body(self) -> bytes:
        """All of it, which is read once more. UpstreamError."""
        pieces: list[bytes] = []
        try:
            while piece := await self.read():
                pieces.append(piece)
        finally:
            self._ahead = pieces
        return b"".join(pieces)

    @property
    def whole(self) -> bool:
        return self._inner.whole

    async def read(self) -> bytes:
        if self._ahead:
            return self._ahead.pop(0)
        piece = await self._inner.read()
        if not piece:
            await self._attempt.settle()
        return piece

    def left(self) -> bytes:
        return self._inner.left()

    def close(self) -> None:
        self._inner.close()
        self._attempts.over(self._attempt)
        self._attempt.stop(HUNG_UP)


class Translated(Passed):
    """What LiteLLM made of the answer to a try. What the tape says of that answer comes first: a stream that broke off
    must not look like one that ended, and what the provider reported in the middle is told in the client's words."""

    def __init__(
        self,
        inner: Answering,
        attempt: Attempt,
        attempts: Attempts,
        protocol: ProviderProtocol,
        endpoint: str,
        losing: "asyncio.Task[list[str]]",
    ) -> None:
        """It is not over before it is known what was lost."""
        super().__init__(inner, attempt, attempts)
        self._losing = losing
        self._protocol = protocol
        self._endpoint = endpoint
        self._over = False

    @property
    def whole(self) -> bool:
        return False

    async def read(self) -> bytes:
        if self._over:
            return b""
        broken = None
        try:
            piece = await super().read()
        except UpstreamError as error:
            broken, piece = error, b""
            await self._attempt.settle()
        attempt = self._attempt
        if attempt.problem is not None:
            await attempt.settle()
            raise attempt.problem
        if (end := attempt.end) is not None and not end.complete and not attempt.left:
            if end.error == CUT_SHORT:
                raise UpstreamError(end.error)
            self._over = True
            return error_event(self._protocol, self._endpoint, end.error)
        if broken is not None:
            raise UpstreamError("the worker that translates broke off") from broken
        if not piece:
            await asyncio.wait({self._losing})
        return piece


class InArray:
    """A stream of events as one JSON array, whose elements come as they are made: so Gemini streams to who doesn't ask
    for events. One that breaks off has no end."""

    whole = False

    def __init__(self, inner: Answering) -> None:
        self._inner = inner
        self.status = inner.status
        kind = (b"content-type", b"application/json; charset=UTF-8")
        self.headers: Headers = [kind, *(pair for pair in inner.headers if pair[0].lower() != kind[0])]
        self._events = EventReader()
        self._begun = False
        self._over = False

    async def read(self) -> bytes:
        while not self._over:
            piece = await self._inner.read()
            if elements := self._elements(piece):
                return elements
            if not piece:
                self._over = True
                return b"]" if self._begun else b"[]"
        return b""

    def left(self) -> bytes:
        return self._elements(self._inner.left())

    def close(self) -> None:
        self._inner.close()

    def _elements(self, piece: bytes) -> bytes:
        out = b""
        for event in self._events.feed(piece):
            out += (b",\r\n" if self._begun else b"[") + event.data
            self._begun = True
        return out


def refusal(protocol: ProviderProtocol, status: int, end: CallEnd | None, instead: str) -> Told:
    """A provider's error in the client's words: its status, its sentence, when to come again."""
    response = b"" if end is None else end.response
    message = said_in(response) or instead
    kind = ""
    if status == 400 and _TOO_LONG.search(message + response.decode("utf-8", "replace")):
        # What agents look for before they make their conversation shorter.
        if protocol.name == "anthropic" and "prompt is too long" not in message:
            message = f"prompt is too long: {message}"
        elif protocol.name == "openai":
            kind = "context_length_exceeded"
        elif protocol.name == "gemini" and "input token count" not in message:
            message = f"The input token count exceeds the maximum number of tokens allowed: {message}"
    headers = () if end is None else end.headers
    more = [(name.encode(), value.encode()) for name, value in headers if name.lower() in _PASSED_ON]
    return Told(status, more, protocol.error(status, message, kind))


def said_in(body: bytes) -> str:
    """The sentence in a provider's error, "" where there is none."""
    try:
        value: Any = loads_quickly(body)
    except (ValueError, RecursionError):
        return ""
    if isinstance(value, list) and value:
        value = value[0]
    error = members(value).get("error")
    return text(error) or text(members(error).get("message")) or text(members(value).get("message"))


def error_event(protocol: ProviderProtocol, endpoint: str, message: str) -> bytes:
    """The event that says in the middle of a stream what a provider said there."""
    status = 529 if "overloaded" in message.lower() else 500
    if endpoint == "openai-responses":
        error = {"type": "error", "code": "server_error", "message": message, "param": None, "sequence_number": 0}
        return b"event: error\ndata: " + orjson.dumps(error) + b"\n\n"
    name = b"event: error\n" if protocol.name == "anthropic" else b""
    return name + b"data: " + protocol.error(status, message) + b"\n\n"
