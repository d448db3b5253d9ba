"""A tape as it is read: its calls, and the messages of its nodes."""

from dataclasses import dataclass, field
from typing import Any

from store.domain.ids import SubagentId
from store.domain.limits import Usage

Headers = tuple[tuple[str, str], ...]
"""Names and values in the order in which they came, repeated ones included."""

SPEAKERS = frozenset({"assistant", "model"})
"""Roles of the messages that a model itself has said."""


@dataclass(frozen=True)
class Call:
    """One HTTP exchange with a model.

    Times are Unix seconds; `ended` is None while it is open. `complete` says that all of it came, be it an error's;
    `error` is "" for an answer that came whole. `tail` is the node of the request's last message and `answer` that of
    the answer's last, None where there is none. `overlay`, `system`, `tools`, `parameters`, `body`, `response` and
    `timing` name blobs, `attachments` is JSON: see `store.tables.Call`. `usd` is None when the price is unknown.

    `protocol` is that of who read it and `conversation` the member of the body that holds its messages. `base` is the
    node that the request's own messages come after where the provider keeps the earlier ones. `parent` is the call on
    whose behalf it was made, `thread` the agent's own child thread, `source` "tape:CALL" for a call answered from a
    tape, "route" for one answered by the calls made for it, "import:FORMAT" for one that a file tells of. `notes` are
    sentences on what could not be done as asked. `response_id` is the provider's name of the answer.
    """

    id: str
    run: str
    subagent: SubagentId | None
    provider: str
    method: str
    path: str
    model: str
    stream: bool
    started: float
    first_byte: float | None = None
    ended: float | None = None
    status: int | None = None
    error: str = ""
    complete: bool = False
    stop_reason: str = ""
    usage: Usage = field(default_factory=Usage)
    usd: float | None = None
    request_digest: str = ""
    tail: str | None = None
    answer: str | None = None
    overlay: str | None = None
    system: str | None = None
    tools: str | None = None
    parameters: str | None = None
    attachments: str | None = None
    body: str | None = None
    request_headers: Headers = ()
    response_headers: Headers = ()
    response: str | None = None
    response_size: int = 0
    timing: str | None = None
    protocol: str = ""
    conversation: str = "messages"
    base: str | None = None
    parent: str | None = None
    thread: str = ""
    source: str = ""
    notes: tuple[str, ...] = ()
    response_id: str = ""

    @property
    def seconds(self) -> float | None:
        """From its start to its end, None while it is open."""
        return None if self.ended is None else self.ended - self.started


@dataclass(frozen=True)
class Message:
    """A node's message, as the node keeps it: content is a list of blocks, without cache markers and reminders. What
    was sent to the letter is in the request. `depth` counts the messages before it."""

    node: str
    parent: str | None
    depth: int
    role: str
    message: dict[str, Any]
