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
    the tape in any case); `response_id` the provider's name of the answer; `uncounted` that it took tokens, and the
    provider doesn't say how many; `notes` sentences for who reads the call."""

    messages: tuple[Mapping[str, Any], ...] = ()
    model: str = ""
    usage: Usage = field(default_factory=Usage)
    extras: Extras = field(default_factory=Extras)
    stop_reason: str = ""
    whole: bool = False
    error: str = ""
    strange: tuple[Any, ...] = ()
    response_id: str = ""
    uncounted: bool = False
    notes: tuple[str, ...] = ()


class AnswerReader(Protocol):
    """Reads one answer, an event stream or a body. It never raises: what it can't read is in `Answer.error`."""

    held_from: int | None
    """Where the events begin that are the stream's last unless others follow, for protocols whose end no event tells:
    they go on when the answer does. None while it is not over."""

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

    name: str
    """How an upstream's table calls it."""

    def endpoint(self, method: str, path: str) -> str:
        """How the record calls what answers there."""

    def conversation(self, method: str, path: str) -> str:
        """The member of the body that holds the conversation there: "messages", "input", "contents", or ""."""

    def asked(self, path: str, model: str, stream: bool) -> tuple[str, bool]:
        """The model that is asked for ("" for none) and whether a stream is: what the body says, or the path."""

    def is_call(self, method: str, path: str) -> bool:
        """The exchange is a model's turn, not something beside it (a count, a list, a probe)."""

    def reader(self, method: str, path: str, live: Live) -> AnswerReader:
        """A reader for the answer to such a request."""

    def credentials(self, api_key: str) -> list[tuple[bytes, bytes]]:
        """The headers that carry the provider's real key."""

    def error(self, status: int, message: str, kind: str = "") -> bytes:
        """An error of ours as the provider would write it; `kind` is its own word, by default one that fits."""


class OpaqueReader:
    """For answers that only pass through. Any event of theirs may be the last."""

    def __init__(self) -> None:
        self.held_from: int | None = None

    def may_end(self, name: str) -> bool:
        return True

    def event(self, event: Event) -> bool:
        self.held_from = event.start
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
