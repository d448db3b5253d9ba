"""A client's request: the checks that need no store, its body, and the little that is read of it before it goes on."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

from backends.proxy.decoding import CannotDecodeError, Decoder, TooLargeError
from backends.proxy.headers import Headers, get
from backends.proxy.identity import host_name, is_odd
from backends.proxy.protocol import loads_quickly

LARGEST_REQUEST = 64 * 1024 * 1024
"""Bytes of a request's body, as sent, and of what is read of it; twice what the Messages API takes."""

MOST_BODIES = 512 * 1024 * 1024
"""Bytes of all requests that one client has under way."""

MOST_VALUES = 4_000_000
"""In one body: each takes some 60 bytes when it is read. An agent's has thousands; what makes bodies large is text."""

UNCOUNTED = 8 * 1024 * 1024
"""Bytes up to which a body's values aren't counted."""

LARGEST_HEAD = 64 * 1024
"""Bytes of a request's headers. Agents send one to three KiB."""

MOST_HEADERS = 256

BODY_SECONDS = 300.0
"""From a request's head to the end of its body: what takes longer is a client that went to sleep, or wants to hold us
up."""

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]


class RefusedError(Exception):
    """A request that is answered here, with this status; `kind` is the provider's word for it, "" for a usual one.
    `retry_after` is in how many seconds the client may try again, None when that would be no use."""

    def __init__(self, status: int, message: str, kind: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.retry_after = retry_after


class HungUpError(Exception):
    """The client went away before its request was whole."""


class Parsed:
    """A body's JSON value, for whoever takes it first. It is many times as large as the bytes, and is not kept."""

    def __init__(self, value: Any = None) -> None:
        self._value = value

    def take(self) -> Any:
        """The value as orjson read it; None when there is none, or it was taken."""
        value, self._value = self._value, None
        return value


@dataclass(frozen=True)
class Asked:
    """What is read of a body before it goes on: its bytes without content coding (as they came where that can't be
    taken off), the model ("" where it names none), whether a stream is wanted, and how many tokens the answer may have
    (None where it doesn't say)."""

    plain: bytes
    model: str = ""
    stream: bool = False
    most_output: int | None = None
    parsed: Parsed = field(default_factory=Parsed)


METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""What goes on. CONNECT would make a tunnel; TRACE gives back what was sent, and that has the real key in it."""

_TARGET = re.compile(rb"/[!-\"$-~]*")
"""A path and a query in visible ASCII: no whole address, no fragment."""


def check(scope: Scope, path: str, hosts: Collection[str]) -> None:
    """Keep out what no client of ours sends. RefusedError."""
    headers: Headers = scope["headers"]
    if scope["http_version"] != "1.1":
        raise RefusedError(505, "this proxy speaks HTTP/1.1")
    names = {name.lower() for name, _ in headers}
    if len(headers) > MOST_HEADERS or sum([len(name) + len(value) for name, value in headers]) > LARGEST_HEAD:
        raise RefusedError(431, f"the headers are more than {MOST_HEADERS}, or larger than {LARGEST_HEAD >> 10} KiB")
    if scope["method"] not in METHODS:
        raise RefusedError(405, f"the method {scope['method']} is not taken")
    if b"upgrade" in names and not offers_http2(headers):
        # The status after which clients of WebSocket (codex) go on without it.
        raise RefusedError(426, "this proxy changes to no other protocol")
    if b"transfer-encoding" in names and get(headers, b"transfer-encoding").lower() != b"chunked":
        # Its server takes chunks off and nothing else, and would pass on what is left for the body.
        raise RefusedError(400, "the only transfer coding that is taken is chunked")
    host = host_name(headers)
    if host is None:
        raise RefusedError(400, "a request has exactly one Host header, a name or address and maybe a port")
    if host not in hosts:
        # A name that leads here by somebody else's DNS: a web page's way in.
        raise RefusedError(403, f"the host {host!r} is not this proxy's")
    if b"origin" in names:
        raise RefusedError(403, "requests of web pages are not taken")
    target = scope["extensions"]["multitrack.target"]["target"]
    if _TARGET.fullmatch(target) is None or not path.startswith("/") or is_odd(path):
        raise RefusedError(400, "the path is not a plain one")


def offers_http2(headers: Headers) -> bool:
    """Whether a client would go on in HTTP/2, and nothing else, but takes an answer in HTTP/1.1: such an offer may be
    ignored (RFC 9110, 7.8). Java's HttpClient makes it by default."""
    return [value.lower() for name, value in headers if name.lower() == b"upgrade"] == [b"h2c"]


class Share:
    """What the bodies of one client's requests take of the memory, all together. RefusedError when that is too much."""

    def __init__(self, taken: dict[Hashable, int]) -> None:
        self._taken = taken
        self.client: Hashable = None
        self._own = 0

    def take(self, size: int) -> None:
        self._own += size
        taken = self._taken[self.client] = self._taken.get(self.client, 0) + size
        if taken > MOST_BODIES:
            raise RefusedError(429, f"more than {MOST_BODIES >> 20} MiB of requests are under way", retry_after=1.0)

    def give_back(self) -> None:
        """The request is over."""
        left = self._taken.get(self.client, 0) - self._own
        self._own = 0
        if left:
            self._taken[self.client] = left
        else:
            self._taken.pop(self.client, None)


async def read_body(headers: Headers, receive: Receive, share: Share) -> bytes:
    """The body as sent. RefusedError when it is too large or too slow, HungUpError when its client goes away."""
    length = get(headers, b"content-length")
    if length.isdigit() and int(length) > LARGEST_REQUEST:
        raise _too_large()
    pieces: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise HungUpError
                if piece := message.get("body", b""):
                    pieces.append(piece)
                    size += len(piece)
                    share.take(len(piece))
                    if size > LARGEST_REQUEST:
                        raise _too_large()
                if not message.get("more_body", False):
                    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
    except TimeoutError:
        raise RefusedError(408, f"the request was not whole after {BODY_SECONDS:g} s") from None


def _too_large() -> RefusedError:
    return RefusedError(413, f"the request is larger than {LARGEST_REQUEST >> 20} MiB")


def read_asked(headers: Headers, body: bytes) -> Asked:
    """Read what little matters here. A body that can't be read asks for nothing: it is the provider's to complain.
    RefusedError for one that is too large when its content coding is taken off, or as values."""
    try:
        plain = Decoder(get(headers, b"content-encoding").decode("latin-1"), LARGEST_REQUEST).decode(body)
    except TooLargeError:
        raise _too_large() from None
    except CannotDecodeError:
        return Asked(body)
    if len(plain) > UNCOUNTED and sum(map(plain.count, (b",", b"[", b"{"))) > MOST_VALUES:
        raise RefusedError(413, f"the request has more than {MOST_VALUES:,} values")
    try:
        value = loads_quickly(plain) if plain else None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        return Asked(plain)
    model = value.get("model")
    return Asked(
        plain, model if isinstance(model, str) else "", value.get("stream") is True, _most_output(value), Parsed(value)
    )


_MAXIMA = ("max_tokens", "max_completion_tokens", "max_output_tokens", "maxOutputTokens")


def _most_output(value: Mapping[str, Any]) -> int | None:
    """The tokens that an answer may have, as the protocols have it; of several answers, together."""
    settings = value.get("generationConfig", value.get("generation_config"))
    found = [
        number
        for members in (value, settings if isinstance(settings, dict) else {})
        for name in _MAXIMA
        if isinstance(number := members.get(name), int) and number >= 0
    ]
    answers = value.get("n")
    times = answers if isinstance(answers, int) and answers > 1 else 1
    return max(found) * times if found else None
