"""The single description of the schema. The hot path uses SQLAlchemy Core on these tables.

Times are Unix seconds. Digests and node keys are BLAKE2b in hexadecimal. Bytes are compressed with zstd where noted.
The full-text indexes `passages` and `error_words` are virtual tables, which SQLModel cannot describe: see
`store.search` and `store.error_words`.
"""

from typing import Any

from sqlalchemy import Column, Index, LargeBinary, text
from sqlmodel import Field, SQLModel

_BESIDE_TURNS = (
    "kind NOT IN ('turn.started', 'call.started', 'call.finished', 'tool.started', 'tool.finished', 'program.said')"
)
_TURNS = "kind = 'turn.started'"
_UNDER = "coalesce(json_extract(data, '$.under'), '')"
"""By which `store.windows` reads a trace."""
_WRONG = (
    "((kind = 'tool.finished' AND (instr(data, '\"ok\"\\:false') OR instr(data, '\"ok\"\\: false') OR "
    "instr(data, 'exit code') OR instr(data, 'timed out'))) OR (kind = 'call.finished' AND "
    "NOT instr(data, '\"error\"\\:\"\"')) OR kind IN ('alert', 'subagent.ended', 'subagent.checked'))"
)
_TOOLS = "kind = 'tool.started'"
_TOOL = "lower(json_extract(data, '$.name'))"
_ANSWERED = "kind = 'call.finished'"
_CALL = "json_extract(data, '$.call')"
_WHOSE = ("run", text("coalesce(generation, 0)"), text("coalesce(lane, 0)"))
"""By which `store.finding` finds what is rare."""


def _later(value: Any) -> Any:
    """A column that came with a migration: what rows have in it that say nothing of it."""
    return Field(default=value, sa_column_kwargs={"server_default": text(f"'{value}'")})


class Run(SQLModel, table=True):
    """A run's name and beginnings; all else about it is in its events. It may also be a bare recording."""

    __tablename__ = "runs"

    id: str = Field(primary_key=True)
    title: str
    created: float


class Deletion(SQLModel, table=True):
    """A run whose deletion has begun: nobody sees it any more. The row goes when all of the run is gone."""

    __tablename__ = "deletions"

    run: str = Field(primary_key=True)
    at: float


class VirtualKey(SQLModel, table=True):
    """A key of a subagent for the proxy. Only its hash is kept; it dies with the subagent. `limits` is JSON: what this
    key may use."""

    __tablename__ = "virtual_keys"

    hash: str = Field(primary_key=True)
    run: str = Field(index=True)
    generation: int
    lane: int
    created: float
    revoked: float | None = None
    limits: str = _later("{}")


class Blob(SQLModel, table=True):
    """Content-addressed bytes: outputs, patches, prompts, raw responses. `data` is zstd, `size` the bytes before it."""

    __tablename__ = "blobs"

    digest: str = Field(primary_key=True)
    size: int
    data: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class Node(SQLModel, table=True):
    """One message in a conversation. `key` covers parent and message; `message` is the message's JSON (zstd), without
    what the key leaves out. `attachments` is a JSON list of [path, blob]: large base64 data that was taken out of the
    message; the key covers it."""

    __tablename__ = "nodes"
    __table_args__ = (Index("ix_nodes_attachments", "attachments", sqlite_where=text("attachments IS NOT NULL")),)

    key: str = Field(primary_key=True)
    parent: str | None = None
    depth: int
    role: str
    message: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    attachments: str | None = None


class TapeNode(SQLModel, table=True):
    """A node's place on one subagent's tape; `call` is the first that had it.

    Nodes are shared, tapes are not: this says whose a node is, and that it is in the full-text index for that subagent.
    Generation and lane are 0 for a call of no subagent.
    """

    __tablename__ = "tape_nodes"
    __table_args__ = {"sqlite_with_rowid": False}

    node: str = Field(primary_key=True)
    run: str = Field(primary_key=True)
    generation: int = Field(primary_key=True)
    lane: int = Field(primary_key=True)
    call: str


class Call(SQLModel, table=True):
    """One HTTP exchange with a model.

    The request is `tail` (the last node of its messages), `overlay` (a blob: what the node keys left out), and the
    blobs `system`, `tools` and `parameters`, from which `attachments` were taken out, as from a node (a path begins
    with the column); a body that could not be taken apart is the blob `body` instead.
    `protocol` is that of who read it, `conversation` the body's member that holds the messages ("" for none), and
    `base` the node after which the request's own messages begin, where the provider keeps those before it.
    `answer` is the last node of the answer. `response` is the blob of the bytes as received, `timing` the blob of when
    its pieces came (`store.domain.timing`), `response_id` the provider's name for it. `ended` is None while the call is
    open; `error` is "" for an answer that came whole. `usd` is None when the price is unknown; `reasoning` counts those
    of the output tokens that were reasoning. Headers are JSON lists of pairs, without credentials.
    `parent` is the call on whose behalf this one was made, `thread` the agent's own child thread, `source` is "" for a
    call that was asked live, "tape:CALL" for one that was answered from a tape, "route" for one that was answered by
    the calls made for it, and "import:FORMAT" for one that another program's file tells of; `notes` is a JSON list of
    sentences: what a translation could not carry, what a replay put in another's place.
    """

    __tablename__ = "calls"
    __table_args__ = (
        Index("ix_calls_subagent", "run", "generation", "lane", "started"),
        Index("ix_calls_parent", "parent", "usd", sqlite_where=text("parent IS NOT NULL")),
        Index("ix_calls_paid", *_WHOSE, "model", "usd", sqlite_where=text("parent IS NULL")),
        Index("ix_calls_failed", "started", sqlite_where=text("generation IS NULL AND error != ''")),
        Index("ix_calls_response_id", "response_id", sqlite_where=text("response_id != ''")),
    )

    id: str = Field(primary_key=True)
    run: str
    generation: int | None
    lane: int | None
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
    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    usd: float | None = None
    request_digest: str = ""
    tail: str | None = None
    answer: str | None = None
    overlay: str | None = None
    system: str | None = None
    tools: str | None = None
    parameters: str | None = None
    body: str | None = None
    request_headers: str = "[]"
    response_headers: str = "[]"
    response: str | None = None
    response_size: int = 0
    base: str | None = None
    timing: str | None = None
    parent: str | None = None
    protocol: str = _later("")
    conversation: str = _later("messages")
    thread: str = _later("")
    notes: str = _later("[]")
    source: str = _later("")
    response_id: str = _later("")
    reasoning: int = _later(0)
    attachments: str | None = None


class Event(SQLModel, table=True):
    """One line of the append-only log. `data` is the payload's JSON."""

    __tablename__ = "events"
    __table_args__ = (
        Index("ix_events_run", "run", "seq"),
        Index("ix_events_beside", "run", "seq", sqlite_where=text(_BESIDE_TURNS)),
        Index("ix_events_turns", "run", "generation", "lane", text(_UNDER), "seq", sqlite_where=text(_TURNS)),
        Index("ix_events_tools", text(_TOOL), *_WHOSE, "seq", sqlite_where=text(_TOOLS)),
        Index("ix_events_answered", "run", "generation", "lane", "seq", text(_CALL), sqlite_where=text(_ANSWERED)),
        Index("ix_events_wrong", "seq", "run", "generation", "lane", text(_TOOL), sqlite_where=text(_WRONG)),
        {"sqlite_autoincrement": True},
    )

    seq: int | None = Field(default=None, primary_key=True)
    at: float
    run: str
    generation: int | None
    lane: int | None
    kind: str
    version: int
    data: str


class Zone(SQLModel, table=True):
    """What some passages are of that follow each other, up to one. `tools` is JSON, the passages by the tools that they
    may be of, null where they are many; `whos` a JSON list of subagents; `first` and `last` the rowids of the oldest
    and the newest call, a client's."""

    __tablename__ = "zones"

    upto: int = Field(primary_key=True)
    first: int
    last: int
    tools: str
    whos: str


class Command(SQLModel, table=True):
    """An order of the operator's to a run's engine. `outcome` is None while it waits."""

    __tablename__ = "commands"
    __table_args__ = (Index("ix_commands_run", "run", "id"), {"sqlite_autoincrement": True})

    id: int | None = Field(default=None, primary_key=True)
    run: str
    at: float
    name: str
    data: str
    settled: float | None = None
    applied: bool = False
    outcome: str | None = None


class ObservationVersion(SQLModel, table=True):
    """One version of a run's observations: the structured document and the Markdown text, each as a blob."""

    __tablename__ = "observation_versions"

    run: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    at: float
    author: str
    document: str
    text: str


metadata = SQLModel.metadata
