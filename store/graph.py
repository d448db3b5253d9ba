"""Nodes as they are listed: the messages of a run, a subagent or a call, and on whose tapes each of them is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, Select, func, select

from store.blobs import decompress
from store.domain.ids import SubagentId
from store.exact import loads
from store.tables import metadata

if TYPE_CHECKING:
    from store.database import Store

_nodes = metadata.tables["nodes"]
_places = metadata.tables["tape_nodes"].c
_deleted = select(metadata.tables["deletions"].c.run)

_CHUNK = 500
"""Nodes whose tapes are looked up at once."""


@dataclass(frozen=True)
class Placed:
    """A node and where it stands. `message` is as the node keeps it, large attachments left out. `call` is the first of
    those that were asked for that had it; `tapes` are the full names of the subagents whose it is, and of the runs in
    which it is in calls of none."""

    key: str
    parent: str | None
    depth: int
    role: str
    message: dict[str, Any]
    call: str
    tapes: tuple[str, ...]


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
    return _read(store, statement.group_by(_nodes.c.key).order_by(first, _nodes.c.depth))


def chain(store: "Store", tail: str) -> Iterator[Placed]:
    """A node and those before it, from the root."""
    up = select(_nodes.c.key, _nodes.c.parent).where(_nodes.c.key == tail).cte("up", recursive=True)
    up = up.union_all(select(_nodes.c.key, _nodes.c.parent).where(_nodes.c.key == up.c.parent))
    call = select(func.min(_places.call)).where(_places.node == _nodes.c.key).scalar_subquery()
    statement = select(_nodes, call.label("call")).join(up, _nodes.c.key == up.c.key)
    return _read(store, statement.order_by(_nodes.c.depth))


def _read(store: "Store", statement: Select[Any]) -> Iterator[Placed]:
    with store.read() as connection:
        rows = connection.execute(statement)
        while some := rows.fetchmany(_CHUNK):
            yield from _placed(connection, some)


def _placed(connection: Connection, rows: Sequence[Row[Any]]) -> Iterator[Placed]:
    tapes: dict[str, list[str]] = {}
    owners = select(_places.node, _places.run, _places.generation, _places.lane).where(
        _places.node.in_([row.key for row in rows]), _places.run.not_in(_deleted)
    )
    for node, run, generation, lane in connection.execute(owners):
        tapes.setdefault(node, []).append(str(SubagentId(run, generation, lane)) if generation else run)
    for row in rows:
        message = loads(decompress(row.message))
        yield Placed(
            row.key, row.parent, row.depth, row.role, message, row.call or "", tuple(sorted(tapes.get(row.key, ())))
        )
