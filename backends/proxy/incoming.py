"""A client's request: the checks that need no store, its body, and the little that is read of it before it goes on."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from backends.proxy.decoding import CannotDecodeError, Decoder
from backends.proxy.headers import Headers, get
from backends.proxy.identity import climbs, host_name
from backends.proxy.protocol import loads_quickly

LARGEST_REQUEST = 64 * 1024 * 1024
"""Bytes of a request's body, as sent, and of what is read of it; twice what the Messages API takes."""

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]


class RefusedError(Exception):
    """A request that is answered here, with this status; `kind` is the provider's word for it, "" for a usual one."""

    def __init__(self, status: int, message: str, kind: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind


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


def check(scope: Scope, path: str, hosts: Collection[str]) -> None:
    """Keep out what no client of ours sends. RefusedError."""
    headers: Headers = scope["headers"]
    if scope["http_version"] != "1.1":
        raise RefusedError(505, "this proxy speaks HTTP/1.1")
    host = host_name(headers)
    if host is None:
        raise RefusedError(400, "a request has exactly one Host header")
    if host not in hosts:
        # A name that leads here by somebody else's DNS: a web page's way in.
        raise RefusedError(403, f"the host {host!r} is not this proxy's")
    if get(headers, b"origin"):
        raise RefusedError(403, "requests of web pages are not taken")
    if not path.startswith("/") or climbs(path):
        raise RefusedError(400, "the path is not a plain one")


async def read_body(headers: Headers, receive: Receive) -> bytes:
    """The body as sent. RefusedError when it is too large, HungUpError when its client goes away."""
    length = get(headers, b"content-length")
    too_large = RefusedError(413, f"the request is larger than {LARGEST_REQUEST >> 20} MiB")
    if length.isdigit() and int(length) > LARGEST_REQUEST:
        raise too_large
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise HungUpError
        if piece := message.get("body", b""):
            pieces.append(piece)
            size += len(piece)
            if size > LARGEST_REQUEST:
                raise too_large
        if not message.get("more_body", False):
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def read_asked(headers: Headers, body: bytes) -> Asked:
    """Read what little matters here. A body that can't be read asks for nothing: it is the provider's to complain."""
    try:
        plain = Decoder(get(headers, b"content-encoding").decode("latin-1"), LARGEST_REQUEST).decode(body)
    except CannotDecodeError:
        return Asked(body)
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
