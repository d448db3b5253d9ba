"""What an answer on the tape said, piece by piece, at the moments at which it came."""

from collections.abc import Iterable
from dataclasses import dataclass

from backends.proxy.listening import Listener
from backends.proxy.routes import PROTOCOLS
from store.domain.tape import Call
from store.domain.timing import Timing

LARGEST = 16 * 1024 * 1024
"""Bytes of an answer that are listened to: more was said than anybody watches."""


@dataclass(frozen=True)
class Spoken:
    """`seconds` from the request's start; `kind` is `text`, `reasoning` or `tool`."""

    seconds: float
    kind: str
    text: str


def spoken(call: Call, body: bytes, timing: Timing) -> list[Spoken]:
    """The pieces of a call's answer, from its bytes as received and when they came: the same that the live screens got
    at the time. None where the protocol is unknown, where nothing streamed, or where the bytes say nothing."""
    path = call.path.partition("?")[0]
    protocols = (each for each in PROTOCOLS.values() if each.endpoint(call.method, path) == call.protocol)
    protocol = next(protocols, None)
    if protocol is None or not timing or timing[-1][0] != len(body) or len(body) > LARGEST:
        return []
    said: list[Spoken] = []
    now = 0.0

    def live(kind: str, text: str) -> None:
        if text:
            said.append(Spoken(now, kind, text))

    reader = protocol.reader(call.method, path, live)
    listener = Listener(_bytes(call.response_headers), reader)
    before = 0
    for size, now in timing:  # noqa: B007 - `live` reads it
        listener.take(body[before:size])
        before = size
    return said


def _bytes(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("latin-1", "replace"), value.encode("latin-1", "replace")) for name, value in headers]
