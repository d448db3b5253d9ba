"""Nodes as they are listed: the messages of a run, a subagent or a call, and on whose tapes each of them is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Connection, Row, Select, exists, func, select, union

from store.blobs import decompress
from store.domain.ids import SubagentId
from store.domain.tape import Call
from store.exact import loads
from store.tables import metadata

if TYPE_CHECKING:
    from store.database import Store

_nodes = metadata.tables["nodes"]
_places = metadata.tables["tape_nodes"].c
_calls = metadata.tables["calls"].c
_deleted = select(metadata.tables["deletions"].c.run)

_CHUNK = 500
"""Nodes whose tapes are looked up at once."""


@dataclass(frozen=True)
class Placed:
    """A node and where it stands. `message` is as the node keeps it, large attachments left out. `call` is the first of
    those that were asked for that had it; `tapes` are the full names of the subagents whose it is, and of the runs in
    which it is in calls of none. `of_try` says that only tries of a route have it: the client had no such message."""

    key: str
    parent: str | None
    depth: int
    role: str
    message: dict[str, Any]
    call: str
    tapes: tuple[str, ...]
    of_try: bool = False


def nodes(store: "Store", *, run: str | None = None, subagent: SubagentId | None = None) -> Iterator[Placed]:
    """The nodes of a run, of a subagent, or of all runs, in the order in which they came onto tapes, each after its
    parent. They are read while they are taken."""
    first = func.min(_places.call).label("call")
    statement = select(_nodes, first).join(_nodes, _nodes.c.key == _places.node)
    if subagent is not None:
        own = (_places.generation == subagent.generation, _places.lane == subagent.lane)
        statement = statement.where(_places.run == subagent.run, *own)
    elif run is not None:
        statement = statement.where(_places.run == run)
    else:
        statement = statement.where(_places.run.not_in(_deleted))
    calls = _of_tape(run, subagent) if run is not None or subagent is not None else _calls.run.not_in(_deleted)
    return _read(store, statement.group_by(_nodes.c.key).order_by(first, _nodes.c.depth), calls)


def chain(store: "Store", call: Call) -> Iterator[Placed]:
    """The nodes of a call: its answer's last, or else its request's, and those before it, from the root."""
    tail = call.answer or call.tail
    up = select(_nodes.c.key, _nodes.c.parent).where(_nodes.c.key == tail).cte("up", recursive=True)
    up = up.union_all(select(_nodes.c.key, _nodes.c.parent).where(_nodes.c.key == up.c.parent))
    first = select(func.min(_places.call)).where(_places.node == _nodes.c.key).scalar_subquery()
    statement = select(_nodes, first.label("call")).join(up, _nodes.c.key == up.c.key)
    return _read(store, statement.order_by(_nodes.c.depth), _of_tape(call.run, call.subagent))


def _of_tape(run: str | None, subagent: SubagentId | None) -> ColumnElement[bool]:
    """The calls of a subagent, or of a run."""
    if subagent is None:
        return _calls.run == run
    own = (_calls.generation == subagent.generation) & (_calls.lane == subagent.lane)
    return (_calls.run == subagent.run) & own


def _read(store: "Store", statement: Select[Any], calls: ColumnElement[bool]) -> Iterator[Placed]:
    """The nodes of a statement, told apart by which of these calls have them."""
    with store.read() as connection:
        tries = _of_tries(connection, calls)
        rows = connection.execute(statement)
        while some := rows.fetchmany(_CHUNK):
            yield from _placed(connection, some, tries)


def _of_tries(connection: Connection, calls: ColumnElement[bool]) -> frozenset[str]:
    """The nodes which, of these calls, only tries have. Whose call a node came with doesn't tell: a try that is asked
    in the client's own words has its client's nodes, and may be on the tape before it."""
    tried = _calls.parent.is_not(None) & calls
    if not connection.execute(select(exists().where(tried))).scalar():
        return frozenset()
    own = (_calls.parent.is_(None), calls)
    ends = union(*(select(end.label("key")).where(*own) for end in (_calls.tail, _calls.answer))).subquery()
    had = select(ends.c.key).cte("had", recursive=True)
    had = had.union(select(_nodes.c.parent).join(had, _nodes.c.key == had.c.key))
    theirs = select(had.c.key).where(had.c.key.is_not(None))
    made = select(_places.node).join(_calls.id.table, _calls.id == _places.call)
    return frozenset(connection.execute(made.where(tried, _places.node.not_in(theirs))).scalars())


def _placed(connection: Connection, rows: Sequence[Row[Any]], tries: frozenset[str]) -> Iterator[Placed]:
    tapes: dict[str, list[str]] = {}
    owners = select(_places.node, _places.run, _places.generation, _places.lane).where(
        _places.node.in_([row.key for row in rows]), _places.run.not_in(_deleted)
    )
    for node, run, generation, lane in connection.execute(owners):
        tapes.setdefault(node, []).append(str(SubagentId(run, generation, lane)) if generation else run)
    for row in rows:
        yield Placed(
            row.key,
            row.parent,
            row.depth,
            row.role,
            loads(decompress(row.message)),
            row.call or "",
            tuple(sorted(tapes.get(row.key, ()))),
            row.key in tries,
        )
