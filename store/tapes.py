"""Tapes as they are read: calls, requests rebuilt, messages, spending. They are written by `store.recording`, whose
names are here too."""

import json
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    case,
    false,
    func,
    literal_column,
    or_,
    select,
)

from store import blobs, rebuilding
from store.domain.blocks import blocks
from store.domain.ids import SubagentId
from store.domain.limits import Spend, Usage
from store.domain.tape import SPEAKERS, Call, Headers, Message
from store.domain.timing import decode
from store.recording import (
    DIED,
    CallEnd,
    CallStart,
    close_call,
    new_call_id,
    open_call,
    orphans,
    record_call,
)
from store.tables import metadata
from store.verifying import Verifier

if TYPE_CHECKING:
    from store.database import Store

__all__ = [
    "DIED",
    "Call",
    "CallEnd",
    "CallStart",
    "Message",
    "answer",
    "answers",
    "call",
    "calls",
    "close_call",
    "count",
    "each",
    "last_complete",
    "messages",
    "new_call_id",
    "open_call",
    "orphans",
    "record_call",
    "recorded",
    "request",
    "request_body",
    "response",
    "spend",
    "standing",
    "system",
    "timing",
    "told",
    "verify",
]

_calls = metadata.tables["calls"]
_deleted = select(metadata.tables["deletions"].c.run)


def call(store: "Store", id: str) -> Call:  # noqa: A002 - the word of the record
    """A call. KeyError when there is none of this id."""
    with store.read() as connection:
        row = connection.execute(select(_calls).where(_calls.c.id == id)).one_or_none()
    if row is None:
        raise KeyError(f"no call {id}")
    return _call(row)


def calls(
    store: "Store", *, run: str | None = None, subagent: SubagentId | None = None, generation: int | None = None
) -> list[Call]:
    """Calls, oldest first: all but those of runs that are being deleted, or those of a run, of one of its generations,
    of a subagent."""
    statement = _of(select(_calls), subagent or run, generation).order_by(_calls.c.started, _calls.c.id)
    if subagent is None and run is None:
        statement = statement.where(_calls.c.run.not_in(_deleted))
    with store.read() as connection:
        return [_call(row) for row in connection.execute(statement)]


def each(store: "Store", run: str) -> Iterator[Call]:
    """The calls of a run, oldest first, read while they are taken."""
    statement = _of(select(_calls), run).order_by(_calls.c.started, _calls.c.id)
    with store.read() as connection:
        for row in connection.execute(statement):
            yield _call(row)


def count(store: "Store", run: str) -> tuple[int, int]:
    """How many calls a run has, and how many tries were made for them."""
    both = select(func.count(), func.count(_calls.c.parent)).where(_calls.c.run == run)
    with store.read() as connection:
        every, tries = connection.execute(both).one()
    return every - tries, tries


def errors(store: "Store", run: str) -> dict[str, int]:
    """How many of a run's calls of a model ended with which error; tries aside, for their call tells of them."""
    own = (_calls.c.run == run) & _calls.c.parent.is_(None) & (_calls.c.model != "") & (_calls.c.error != "")
    with store.read() as connection:
        return dict(connection.execute(select(_calls.c.error, func.count()).where(own).group_by(_calls.c.error)).all())


def standing(store: "Store", run: str) -> tuple[int, set[str]]:
    """The last row of the table, and the calls of a run that are under way: where `recorded` goes on from."""
    rowid: ColumnElement[int] = literal_column("calls.rowid")
    with store.read() as connection:
        last = connection.execute(select(func.max(rowid)).select_from(_calls)).scalar() or 0
        under_way = select(_calls.c.id).where(_calls.c.run == run, _calls.c.ended.is_(None))
        return last, set(connection.execute(under_way).scalars())


def recorded(store: "Store", run: str, after: int, under_way: Collection[str]) -> tuple[int, list[Call]]:
    """The calls of a run that were put on tapes after a row of the table, and these others; and the last row now."""
    rowid: ColumnElement[int] = literal_column("calls.rowid")
    fresh = _calls.c.id.in_([*under_way]) if under_way else false()
    statement = select(_calls).where(_calls.c.run == run, or_(rowid > after, fresh)).order_by(_calls.c.ended)
    with store.read() as connection:
        last = connection.execute(select(func.max(rowid)).select_from(_calls)).scalar() or 0
        return last, [_call(row) for row in connection.execute(statement)] if last > after or under_way else []


def last_complete(store: "Store", subagent: SubagentId) -> Call | None:
    """The last call whose answer came whole in the subagent's main conversation; None when there is none yet.

    Agents make calls on the side (a title, a summary, children of their own) with other tools than their main ones or
    none, and begin anew when they compact. So the main conversation is what most calls with the same tools belong to.
    """
    whole = (
        _of(select(_calls), subagent)
        .where(_calls.c.complete, _calls.c.error == "", _calls.c.answer.is_not(None), _calls.c.parent.is_(None))
        .subquery()
    )
    tools = (
        select(whole.c.tools)
        .group_by(whole.c.tools)
        .order_by(func.count().desc(), func.max(whole.c.started).desc())
        .limit(1)
        .scalar_subquery()
    )
    statement = (
        select(whole)
        .where(whole.c.tools.is_not_distinct_from(tools))
        .order_by(whole.c.started.desc(), whole.c.id.desc())
        .limit(1)
    )
    with store.read() as connection:
        row = connection.execute(statement).one_or_none()
    return None if row is None else _call(row)


def request(store: "Store", call: Call) -> Any:
    """The request's JSON value, as it was sent; None for a request without a body. ValueError when it was no JSON: then
    `request_body` has it. Of a key that came twice, the last counts."""
    with store.read() as connection:
        return rebuilding.request(connection, call)


def request_body(store: "Store", call: Call) -> bytes | None:
    """The bytes of a request that could not be taken apart; None for any other."""
    return None if call.body is None else blobs.get(store, call.body)


def messages(store: "Store", call: Call, *, after: str | None = None) -> list[Message]:
    """The nodes of a call's request from the root, or those that come after a node. They are what nodes keep, and what
    evidence counts in; what was sent to the letter is in `request`."""
    with store.read() as connection:
        return rebuilding.messages(connection, call.tail, after)


def answer(store: "Store", call: Call) -> Message | None:
    """The last node of a call's answer, as far as it came; None without one."""
    if call.answer is None:
        return None
    return node(store, call.answer)


def answers(store: "Store", call: Call) -> list[Message]:
    """The nodes of a call's answer, as far as it came: most protocols' have one message, some several items."""
    with store.read() as connection:
        return rebuilding.messages(connection, call.answer, call.tail)


def told(store: "Store", call: Call) -> list[Message]:
    """What a call's model was told since it last spoke: the request's last messages, oldest first. All of them where it
    had not spoken yet."""
    found: list[Message] = []
    with store.read() as connection:
        key = call.tail
        while key is not None and key != call.base:
            message = rebuilding.node(connection, key)
            if message.role in SPEAKERS:
                break
            found.append(message)
            key = message.parent
    return found[::-1]


def system(store: "Store", call: Call) -> str:
    """The words of a request's system prompt, where the protocol has a place of its own for it; else ""."""
    if call.system is None:
        return ""
    with store.read() as connection:
        value = rebuilding.part(connection, call, "system")
    message = value if isinstance(value, dict) else {"content": value}
    return "\n\n".join(block.text for block in blocks(message) if block.text)


def timing(store: "Store", call: Call) -> list[tuple[int, float]]:
    """When the pieces of a call's answer came, as `store.domain.timing` has it; empty where nobody looked."""
    return [] if call.timing is None else decode(blobs.get(store, call.timing))


def node(store: "Store", key: str) -> Message:
    """A node. KeyError when there is none of this key."""
    with store.read() as connection:
        return rebuilding.node(connection, key)


def response(store: "Store", call: Call) -> bytes:
    """The answer's bytes as received, as far as they came."""
    return b"" if call.response is None else blobs.get(store, call.response)


def spend(store: "Store", of: SubagentId | str, generation: int | None = None) -> Spend:
    """What a subagent, a run or one generation of it has used by the tape. Turns are the answers that came whole,
    seconds the time in calls: how long the work took beside them is in the events. Of a call that others were made for,
    those have the tokens and the cost, and it has the turn and the time."""
    columns = _calls.c
    own = columns.parent.is_(None)
    tokens = columns.input + columns.output + columns.cache_read + columns.cache_write
    statement = _of(
        select(
            func.count(case((own & columns.complete, columns.answer))).label("turns"),
            *(
                func.coalesce(func.sum(column), 0).label(column.name)
                for column in (
                    columns.input,
                    columns.output,
                    columns.cache_read,
                    columns.cache_write,
                    columns.reasoning,
                )
            ),
            func.coalesce(func.sum(columns.usd), 0.0).label("usd"),
            func.coalesce(func.sum(case((own, columns.ended - columns.started))), 0.0).label("seconds"),
            func.count(case((tokens > 0, case((columns.usd.is_(None), 1))))).label("unpriced"),
        ),
        of,
        generation,
    )
    with store.read() as connection:
        row = connection.execute(statement).one()
    usage = Usage(row.input, row.output, row.cache_read, row.cache_write, row.reasoning)
    return Spend(row.turns, usage, row.usd, max(0.0, row.seconds), not row.unpriced)


def verify(store: "Store", run: str) -> list[str]:
    """Rebuild every request of a run and check every key and digest; what is wrong, a line each."""
    with store.read() as connection:
        verifier = Verifier(connection, run)
        return [f"call {one.id}: {problem}" for one in calls(store, run=run) for problem in verifier.problems(one)]


def _of(statement: Select[Any], of: SubagentId | str | None, generation: int | None = None) -> Select[Any]:
    if isinstance(of, SubagentId):
        return statement.where(_calls.c.run == of.run, _calls.c.generation == of.generation, _calls.c.lane == of.lane)
    if of is not None:
        statement = statement.where(_calls.c.run == of)
    if generation is not None:
        statement = statement.where(_calls.c.generation == generation)
    return statement


def _call(row: Row[Any]) -> Call:
    own = {name: value for name, value in row._asdict().items() if name in _PLAIN}
    return Call(
        **own,
        subagent=None if row.generation is None else SubagentId(row.run, row.generation, row.lane),
        usage=Usage(row.input, row.output, row.cache_read, row.cache_write, row.reasoning),
        request_headers=_headers(row.request_headers),
        response_headers=_headers(row.response_headers),
        notes=tuple(json.loads(row.notes)),
    )


_READ = {"request_headers", "response_headers", "notes"}
_PLAIN = frozenset(Call.__dataclass_fields__) & frozenset(_calls.c.keys()) - _READ


def _headers(data: str) -> Headers:
    return tuple((name, value) for name, value in json.loads(data))
