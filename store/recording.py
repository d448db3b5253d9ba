"""Calls onto the tape. A call is opened with its request and closed with its answer, each in one transaction with its
nodes, blobs, search passages and events.

Nothing that a client or a provider sends makes recording fail: a request that cannot be taken apart without loss is
kept as the bytes that came.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from store import blobs, dag, events, overlay, search
from store.domain.canonical import canonical, digest, digest_of_members, kept_key, request_digest, value_digest
from store.domain.events import CallFinished, CallStarted
from store.domain.ids import SubagentId
from store.domain.limits import Usage
from store.exact import dumps, form, loads, parse
from store.tables import metadata

_calls = metadata.tables["calls"]
_insert = insert(_calls)
_open = select(_calls.c.run, _calls.c.generation, _calls.c.lane, _calls.c.started, _calls.c.tail, _calls.c.ended).where(
    _calls.c.id == bindparam("of")
)
_left_open = (
    select(_calls.c.id, _calls.c.generation, _calls.c.lane, _calls.c.started)
    .where(_calls.c.run == bindparam("of"), _calls.c.ended.is_(None))
    .order_by(_calls.c.started, _calls.c.id)
)
_close = update(_calls).where(_calls.c.id == bindparam("of"))
_depth = select(metadata.tables["nodes"].c.depth).where(metadata.tables["nodes"].c.key == bindparam("of"))

DIED = "engine died"
"""The error of a call that was open when its engine died."""

_PARTS = ("system", "tools", "parameters")
_ID_DIGITS = "0123456789abcdefghijklmnopqrstuv"
_ID_LENGTH = 18
_ID_RANDOM = 5


@dataclass(frozen=True)
class CallStart:
    """A request, whole, as it is about to go out.

    `path` is with its query. `body` is without content codings. `headers` are as they came, without credentials.
    `subagent` is None for a call that no subagent made; `run` is then where it is recorded. `model` and `stream` are
    read from the body unless they are said here, for protocols that have them elsewhere.
    """

    id: str
    at: float
    run: str
    subagent: SubagentId | None
    provider: str
    method: str
    path: str
    body: bytes
    headers: Sequence[tuple[str, str]] = ()
    model: str = ""
    stream: bool | None = None


@dataclass(frozen=True)
class CallEnd:
    """How a call ended.

    `complete` says that all of it came, be it an error's; `error` is "" for an answer that came whole. `message` is the
    assistant's message as far as it came, None without one; `response` is the body's bytes as received, likewise.
    """

    id: str
    at: float
    status: int | None
    error: str = ""
    complete: bool = False
    first_byte: float | None = None
    message: Mapping[str, Any] | None = None
    stop_reason: str = ""
    usage: Usage = field(default_factory=Usage)
    usd: float | None = None
    response: bytes = b""
    headers: Sequence[tuple[str, str]] = ()


def new_call_id(at: float, random_bytes: bytes) -> str:
    """A call's id: 18 letters and digits whose order is that of time, to the millisecond. The first five of the bytes
    make it unique. ValueError when there are fewer."""
    if len(random_bytes) < _ID_RANDOM:
        raise ValueError(f"an id needs {_ID_RANDOM} random bytes")
    number = int(at * 1000) << 8 * _ID_RANDOM | int.from_bytes(random_bytes[:_ID_RANDOM])
    return "".join(_ID_DIGITS[number >> 5 * place & 31] for place in reversed(range(_ID_LENGTH)))


def open_call(connection: Connection, start: CallStart) -> None:
    """Put a request on the tape, inside a job."""
    subagent = start.subagent
    tape = _tape(start.run, *((subagent.generation, subagent.lane) if subagent else (None, None)))
    value, exact = _read(start.body)
    columns = _messages(connection, tape, start, value, exact)
    if "parameters" not in columns and start.body:
        columns["body"] = blobs.put(connection, start.body)
        columns["request_digest"] = body_digest(start.body)
    told = value if isinstance(value, dict) else {}
    model = _text(start.model or told.get("model"))
    connection.execute(
        _insert,
        {
            "id": start.id,
            "run": tape.run,
            "generation": subagent.generation if subagent else None,
            "lane": subagent.lane if subagent else None,
            "provider": start.provider,
            "method": start.method,
            "path": _text(start.path),
            "model": model,
            "stream": bool(told.get("stream")) if start.stream is None else start.stream,
            "started": start.at,
            "request_headers": _headers(start.headers),
            **dict.fromkeys(("tail", "overlay", "system", "tools", "parameters", "body")),
            "request_digest": "",
            **columns,
        },
    )
    if subagent is not None:
        _tell(connection, tape, CallStarted(start.id, model), start.at)


def close_call(connection: Connection, end: CallEnd) -> None:
    """Put an answer on the tape, inside a job. KeyError for an unknown call, ValueError for one that has ended."""
    call = connection.execute(_open, {"of": end.id}).one_or_none()
    if call is None:
        raise KeyError(f"no call {end.id}")
    if call.ended is not None:
        raise ValueError(f"call {end.id} has ended already")
    tape = _tape(call.run, call.generation, call.lane)
    response = None
    if end.response:
        response = digest(end.response)
        blobs.put_new(connection, response, end.response)
    stop_reason, error = _text(end.stop_reason), _text(end.error)
    connection.execute(
        _close,
        {
            "of": end.id,
            "first_byte": end.first_byte,
            "ended": end.at,
            "status": end.status,
            "error": error,
            "complete": end.complete,
            "stop_reason": stop_reason,
            "input": end.usage.input,
            "output": end.usage.output,
            "cache_read": end.usage.cache_read,
            "cache_write": end.usage.cache_write,
            "usd": end.usd,
            "answer": _answer(connection, tape, end, call.tail),
            "response_headers": _headers(end.headers),
            "response": response,
            "response_size": len(end.response),
        },
    )
    if call.generation is not None:
        finished = CallFinished(
            end.id, end.status, stop_reason, end.usage, end.usd, max(0.0, end.at - call.started), error
        )
        _tell(connection, tape, finished, end.at)


def orphans(connection: Connection, run: str, at: float) -> list[str]:
    """Close the calls that a dead engine left open, inside a job; their ids. For the run's one engine, before it makes
    calls of its own."""
    left = connection.execute(_left_open, {"of": run}).all()
    for call in left:
        connection.execute(_close, {"of": call.id, "ended": at, "error": DIED})
        if call.generation is not None:
            finished = CallFinished(call.id, None, "", Usage(), None, max(0.0, at - call.started), DIED)
            _tell(connection, _tape(run, call.generation, call.lane), finished, at)
    return [call.id for call in left]


def body_digest(body: bytes) -> str:
    """The request digest of a body: of its value, or of the bytes themselves where they are no JSON or can't be held
    exactly."""
    try:
        return request_digest(parse(body))
    except (ValueError, RecursionError):
        return digest(body)


def _read(body: bytes) -> tuple[Any, bool]:
    """A body's value and whether it is exact; None for what is no JSON."""
    try:
        return parse(body), True
    except (ValueError, RecursionError):
        pass
    try:
        return json.loads(body), False
    except (ValueError, RecursionError):
        return None, False


def _messages(
    connection: Connection, tape: dag.Tape, start: CallStart, value: Any, exact: bool
) -> dict[str, str | None]:
    """Write the nodes of a request, and the rest of it when it can be taken apart; the columns of the call for that."""
    messages = value.get("messages") if isinstance(value, dict) else None
    if not isinstance(messages, list) or not messages or not all(isinstance(message, dict) for message in messages):
        return {}
    memory = dag.memory(connection)
    try:
        forms = [form(message) for message in messages]
        known = memory.find(tape, forms)
        extension = dag.extend(known, messages, forms)
        parts = _parts(value, known.parts) if exact else {}
    except (ValueError, RecursionError):
        return {}
    conversation = extension.conversation

    def kept(index: int) -> dag.Kept:
        return extension.kept.get(index) or dag.keep(messages[index])

    fresh = dag.place(connection, tape, start.id, conversation.keys, kept)
    search.index(connection, tape, start.id, fresh)
    columns: dict[str, str | None] = {"tail": conversation.keys[-1]}
    if exact:
        before = conversation.written
        wanted = [part.blob for part in parts.values()] + ([before.blob] if before else [])
        there = blobs.existing(connection, wanted)
        for name, part in parts.items():
            if part.blob not in there:
                blobs.put_new(connection, part.blob, part.data)
            columns[name] = part.blob
        conversation.written = overlay.write(connection, conversation.overlays, extension.changed, before, there)
        columns["overlay"] = conversation.written.blob if conversation.written else None
        members: dict[str, str | list[str]] = {"messages": conversation.digests}
        for part in parts.values():
            members.update(part.members)
        columns["request_digest"] = digest_of_members(members)
        conversation.parts = parts
        memory.keep(tape, conversation, known, extension.common)
    return columns


def _parts(body: dict[str, Any], known: Mapping[str, dag.Part]) -> dict[str, dag.Part]:
    """The parts of a request beside its messages; those that are as they were the last time cost only a comparison."""
    rest = {name: item for name, item in body.items() if name not in ("messages", "system", "tools")}
    parts = {}
    for name in _PARTS:
        if name == "parameters":
            value, members = rest, rest
        elif name in body:
            value, members = body[name], {name: body[name]}
        else:
            continue
        data = dumps(value)
        before = known.get(name)
        if before is not None and before.data == data:
            parts[name] = before
            continue
        if form(loads(data)) != form(value):
            raise ValueError(f"{name} would not come back as it is")
        digests = {member: value_digest(item) for member, item in members.items()}
        parts[name] = dag.Part(data, digest(data), digests)
    return parts


def _answer(connection: Connection, tape: dag.Tape, end: CallEnd, tail: str | None) -> str | None:
    """Write the answer's node under the request's last; its key, None when there is no message."""
    if end.message is None:
        return None
    try:
        kept = dag.keep(end.message)
        key = kept_key(tail, canonical(kept.message))
    except (ValueError, TypeError, RecursionError):
        return None
    if not dag.on_tape(connection, tape, [key]):
        depth = 0 if tail is None else connection.execute(_depth, {"of": tail}).scalar_one() + 1
        dag.put(connection, tape, end.id, [(tail, depth, key, kept)])
        search.index(connection, tape, end.id, [(key, kept.message)])
    return key


def _tape(run: str, generation: int | None, lane: int | None) -> dag.Tape:
    return dag.Tape(run, generation or 0, lane or 0)


def _tell(connection: Connection, tape: dag.Tape, payload: CallStarted | CallFinished, at: float) -> None:
    events.append(connection, tape.run, [payload], at=at, generation=tape.generation, lane=tape.lane)


def _headers(headers: Iterable[tuple[str, str]]) -> str:
    return json.dumps([list(pair) for pair in headers], separators=(",", ":"))


def _text(value: Any) -> str:
    """Text that SQLite can hold: it has no form for a lone surrogate."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""
