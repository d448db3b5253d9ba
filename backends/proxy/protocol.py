"""What the proxy has to know of a provider's protocol: how its answers are read and its errors written.

The relay knows nothing of messages. A protocol gives it an `AnswerReader` for each call, which only listens: whatever
it makes of an answer, the bytes go on as they came.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from backends.proxy.prices import Extras
from backends.proxy.sse import Event
from store.domain.limits import Usage

Live = Callable[[str, str], None]
"""Told of streaming text as it comes: its kind (`text`, `reasoning`, `tool`), and the piece."""


@dataclass(frozen=True)
class Answer:
    """What was understood of an answer. `messages` are the assistant's message as a client would send it back, or the
    items of a protocol that answers with several; `whole` is whether the protocol's own end came; `error` what the
    provider reported, "" for nothing; `strange` what the protocol doesn't know of, kept as it came (the bytes are on
    the tape in any case); `response_id` the provider's name of the answer."""

    messages: tuple[Mapping[str, Any], ...] = ()
    model: str = ""
    usage: Usage = field(default_factory=Usage)
    extras: Extras = field(default_factory=Extras)
    stop_reason: str = ""
    whole: bool = False
    error: str = ""
    strange: tuple[Any, ...] = ()
    response_id: str = ""


class AnswerReader(Protocol):
    """Reads one answer, an event stream or a body. It never raises: what it can't read is in `Answer.error`."""

    def may_end(self, name: str) -> bool:
        """An event of this name may be the stream's last."""

    def event(self, event: Event) -> bool:
        """Read an event; whether it is the last one that the protocol sends."""

    def body(self, data: bytes) -> None:
        """Read a body that is no event stream, whole."""

    def answer(self) -> Answer:
        """What was understood so far."""


class ProviderProtocol(Protocol):
    """One provider's way of speaking."""

    @property
    def name(self) -> str:
        """How the record calls it."""

    def is_call(self, method: str, path: str) -> bool:
        """The exchange is a model's turn, not something beside it (a count, a list, a probe)."""

    def reader(self, method: str, path: str, live: Live) -> AnswerReader:
        """A reader for the answer to such a request."""

    def credentials(self, api_key: str) -> list[tuple[bytes, bytes]]:
        """The headers that carry the provider's real key."""

    def error(self, status: int, message: str, kind: str = "") -> bytes:
        """An error of ours as the provider would write it; `kind` is its own word, by default one that fits."""


class OpaqueReader:
    """For answers that only pass through."""

    def may_end(self, name: str) -> bool:
        return False

    def event(self, event: Event) -> bool:
        return False

    def body(self, data: bytes) -> None:
        pass

    def answer(self) -> Answer:
        return Answer(whole=True)


def loads(data: bytes) -> Any:
    """A JSON value with its numbers exact and its surrogates kept. ValueError when it is none."""
    return json.loads(data.decode("utf-8", "replace"))


def loads_quickly(data: bytes) -> Any:
    """The same where no number matters. Big integers lose digits."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return loads(data)
