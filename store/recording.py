"""Calls onto the tape. A call is opened with its request and closed with its answer, each in one transaction with its
nodes, blobs, search passages and events.

Nothing that a client or a provider sends makes recording fail: a request that cannot be taken apart without loss is
kept as the bytes that came.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from store import blobs, dag, events, jsontext, passages, requests
from store.domain.canonical import digest, kept_key
from store.domain.events import CallFinished, CallStarted
from store.domain.ids import SubagentId
from store.domain.limits import Usage
from store.gathering import AnyConnection, Insertion, Row, driver_of

_START = (
    *("id", "run", "generation", "lane", "provider", "method", "path", "model", "stream", "started"),
    *("request_headers", "protocol", "conversation", "parent", "thread", "source", "tail", "base"),
)
_REQUEST = ("overlay", "system", "tools", "parameters", "attachments", "body")
_ENDING = (
    *("first_byte", "ended", "status", "error", "complete", "stop_reason"),
    *("input", "output", "cache_read", "cache_write", "reasoning", "usd"),
    *("response", "timing", "response_headers", "response_size", "response_id"),
)
_OPEN = (None, None, None, "", False, "", 0, 0, 0, 0, 0, None, None, None, "[]", 0, "")
"""What the columns of the ending have in a call that has not ended."""

INSERT = Insertion("calls", (*_START, *_REQUEST, "request_digest", *_ENDING, "notes", "answer"))
_OPENED = "SELECT run, generation, lane, started, tail, ended, notes, conversation, parent FROM calls WHERE id = ?"
_ENDED = 5
"""Where in that row is when it ended."""
_LEFT_OPEN = (
    "SELECT id, generation, lane, started, parent FROM calls WHERE run = ? AND ended IS NULL ORDER BY started, id"
)
_CLOSE = f"UPDATE calls SET {', '.join(f'{name} = ?' for name in (*_ENDING, 'notes', 'answer'))} WHERE id = ?"  # noqa: S608 - names of ours
_ABANDON = "UPDATE calls SET ended = ?, error = ? WHERE id = ?"

DIED = "engine died"
"""The error of a call that was open when its engine died."""

_ID_LENGTH = 18
_ID_RANDOM = 5
_DIGITS = "0123456789abcdefghijklmnopqrstuv"
_TWO_DIGITS = [one + other for one in _DIGITS for other in _DIGITS]
_SHIFTS = range(5 * (_ID_LENGTH - 2), -1, -10)


class CallStart(NamedTuple):
    """A request, whole, as it is about to go out.

    `path` is with its query. `body` is without content codings. `headers` are as they came, without credentials.
    `subagent` is None for a call that no subagent made; `run` is then where it is recorded. `model` and `stream` are
    read from the body unless they are said here, for protocols that have them elsewhere. `protocol` is that of who
    reads the answer, and `conversation` the member of the body that holds the messages: "messages", "input",
    "contents", or "" for a body that is no conversation. `parent` is the call on whose behalf this one is made,
    `thread` the agent's own child thread, `source` "tape:CALL" when a tape answers.
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
    protocol: str = "anthropic"
    conversation: str = "messages"
    parent: str | None = None
    thread: str = ""
    source: str = ""


class CallEnd(NamedTuple):
    """How a call ended.

    `complete` says that all of it came, be it an error's; `error` is "" for an answer that came whole. `messages` are
    the assistant's message as far as it came, or the items of protocols that answer with several; `response` is the
    body's bytes as received, likewise, and `timing` when they came (`store.domain.timing.encode`), b"" where nobody
    looked. `response_id` is the provider's name of the answer, by which a later request may call it. `notes` are
    sentences for who reads the call.
    """

    id: str
    at: float
    status: int | None
    error: str = ""
    complete: bool = False
    first_byte: float | None = None
    messages: Sequence[Mapping[str, Any]] = ()
    stop_reason: str = ""
    usage: Usage = Usage()
    usd: float | None = None
    response: bytes = b""
    headers: Sequence[tuple[str, str]] = ()
    timing: bytes = b""
    notes: Sequence[str] = ()
    response_id: str = ""


def new_call_id(at: float, random_bytes: bytes) -> str:
    """A call's id: 18 letters and digits whose order is that of time, to the millisecond. The first five of the bytes
    make it unique. ValueError when there are fewer."""
    if len(random_bytes) < _ID_RANDOM:
        raise ValueError(f"an id needs {_ID_RANDOM} random bytes")
    number = int(at * 1000) << 8 * _ID_RANDOM | int.from_bytes(random_bytes[:_ID_RANDOM])
    return "".join([_TWO_DIGITS[number >> shift & 1023] for shift in _SHIFTS])


def open_call(connection: AnyConnection, start: CallStart, value: Any = None) -> None:
    """Put a request on the tape, inside a job. `value` is what orjson makes of its body, for who has that already."""
    _record(connection, start, None, value)


def record_call(connection: AnyConnection, start: CallStart, end: CallEnd, value: Any = None) -> None:
    """Put a call on the tape that is over already, inside a job: cheaper than opening and closing it."""
    _record(connection, start, end, value)


def close_call(connection: AnyConnection, end: CallEnd) -> None:
    """Put an answer on the tape, inside a job. KeyError for an unknown call, ValueError for one that has ended."""
    driver = driver_of(connection)
    call = driver.execute(_OPENED, (end.id,)).fetchone()
    if call is None:
        raise KeyError(f"no call {end.id}")
    run, generation, lane, started, tail, ended, notes, conversation, parent = call
    if ended is not None:
        raise ValueError(f"call {end.id} has ended already")
    if answer := _answer(tail, conversation, end):
        tape = _tape(run, generation, lane)
        under = (tail, 0 if tail is None else requests.depth(connection, tail) + 1)
        passages.index(connection, tape, end.id, dag.place(connection, tape, end.id, under, answer))
    if end.notes:
        notes = _notes(*json.loads(notes), *end.notes)
    driver.execute(_CLOSE, (*_ending(driver, end), notes, answer[-1][0] if answer else None, end.id))
    if generation is not None:
        events.tell(connection, SubagentId(run, generation, lane), [_finished(end, started, parent)])


def put(connection: AnyConnection, start: CallStart, end: CallEnd | None, *, opened: bool, value: Any = None) -> None:
    """Put a call on the tape, inside a job, as far as it has come; when it was `opened`, its end alone. `value` as
    `open_call`."""
    if end is not None and opened:
        # Jobs run in the order of their coming: a call that is not there now could not be opened.
        with suppress(KeyError):
            close_call(connection, end)
            return
    _record(connection, start, end, value)


def ensure(connection: AnyConnection, start: CallStart, end: CallEnd | None) -> None:
    """Put a call on the tape, inside a job, of which nobody knows how far it is there already."""
    call = driver_of(connection).execute(_OPENED, (start.id,)).fetchone()
    if call is None:
        _record(connection, start, end, None)
    elif end is not None and call[_ENDED] is None:
        close_call(connection, end)


def orphans(connection: AnyConnection, run: str, at: float) -> list[str]:
    """Close the calls that a dead engine left open, inside a job; their ids. For the run's one engine, before it makes
    calls of its own."""
    driver = driver_of(connection)
    left = driver.execute(_LEFT_OPEN, (run,)).fetchall()
    for call, generation, lane, started, parent in left:
        driver.execute(_ABANDON, (at, DIED, call))
        if generation is not None:
            died = _finished(CallEnd(call, at, None, DIED), started, parent)
            events.tell(connection, SubagentId(run, generation, lane), [died])
    return [call for call, *_ in left]


def _record(connection: AnyConnection, start: CallStart, end: CallEnd | None, value: Any) -> None:
    """Put a call on the tape as far as it has come."""
    subagent = start.subagent
    tape = _tape(start.run, *((subagent.generation, subagent.lane) if subagent else (None, None)))
    driver = driver_of(connection)
    request = requests.put(driver, tape, start.conversation, start.body, value)
    answer = _answer(request.tail, start.conversation, end) if end else []
    under = (request.base, request.depth)
    placed = dag.place(driver, tape, start.id, under, answer, request.keys, request.kept)
    passages.index(driver, tape, start.id, placed)
    model, columns = _text(start.model or request.model), request.columns
    row = (
        start.id,
        start.run,
        subagent.generation if subagent else None,
        subagent.lane if subagent else None,
        start.provider,
        start.method,
        _text(start.path),
        model,
        request.stream if start.stream is None else start.stream,
        start.at,
        _headers(start.headers),
        start.protocol,
        start.conversation,
        start.parent,
        _text(start.thread),
        start.source,
        request.tail,
        request.base,
        *map(columns.get, _REQUEST),
        columns.get("request_digest", ""),
        *(_ending(driver, end) if end else _OPEN),
        _notes(*request.notes, *(end.notes if end else ())),
        answer[-1][0] if answer else None,
    )
    INSERT.gather(driver, [row])
    if subagent is not None:
        started = (start.at, CallStarted(start.id, model, start.parent or "", start.thread))
        events.tell(driver, subagent, [started, _finished(end, start.at, start.parent)] if end else [started])


def _answer(tail: str | None, conversation: str, end: CallEnd) -> list[tuple[str, dag.Kept]]:
    """The answer's nodes under the request's last: their keys, and what they keep. Those after one that no node can
    hold are left out, with it."""
    nodes: list[tuple[str, dag.Kept]] = []
    for message in end.messages:
        try:
            kept = dag.keep_answer(message, conversation)
        except (ValueError, TypeError, RecursionError):
            break
        nodes.append((kept_key(nodes[-1][0] if nodes else tail, kept.written), kept))
    return nodes


def _ending(connection: AnyConnection, end: CallEnd) -> Row:
    """Write an answer's bytes; the columns of the call for how it ended."""
    written: list[str | None] = []
    for data in (end.response, end.timing):
        written.append(name := digest(data) if data else None)
        if name is not None:
            blobs.put_new(connection, name, data)
    usage = end.usage
    return (
        end.first_byte,
        end.at,
        end.status,
        _text(end.error),
        end.complete,
        _text(end.stop_reason),
        usage.input,
        usage.output,
        usage.cache_read,
        usage.cache_write,
        usage.reasoning,
        end.usd,
        *written,
        _headers(end.headers),
        len(end.response),
        _text(end.response_id),
    )


def _finished(end: CallEnd, started: float, parent: str | None) -> tuple[float, CallFinished]:
    seconds = max(0.0, end.at - started)
    stop_reason, error = _text(end.stop_reason), _text(end.error)
    return end.at, CallFinished(end.id, end.status, stop_reason, end.usage, end.usd, seconds, error, parent or "")


def _tape(run: str, generation: int | None, lane: int | None) -> dag.Tape:
    return dag.Tape(run, generation or 0, lane or 0)


def _headers(headers: Iterable[tuple[str, str]]) -> str:
    return jsontext.dumps([*headers])


def _notes(*notes: str) -> str:
    return jsontext.dumps([*map(_text, notes)])


def _text(value: Any) -> str:
    """Text that SQLite can hold: it has no form for a lone surrogate."""
    if not isinstance(value, str):
        return ""
    return value if value.isascii() else value.encode("utf-8", "replace").decode()
