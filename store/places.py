"""Where in a run something is, by the beginning of its name: a call, or a node of a conversation."""

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import ColumnElement, select

from store.tables import metadata

if TYPE_CHECKING:
    from store.database import Store

LEAST = 4
"""Characters of a beginning: fewer name too much. A whole name may be shorter."""

_calls = metadata.tables["calls"].c
_nodes = metadata.tables["tape_nodes"].c


class Place(NamedTuple):
    """A call, and a node of its conversation; "" is the end of its answer."""

    call: str
    node: str = ""


def places(store: "Store", run: str, name: str, *, call: str = "") -> list[Place]:
    """What of a run has a name that begins so: calls, or else nodes, each with the first call that had it. With `call`,
    nodes of that one's conversation alone. Empty where nothing has, or the beginning is too short to say."""
    if not name:
        return []

    def begins(column: ColumnElement[str]) -> ColumnElement[bool]:
        return column == name if len(name) < LEAST else column.startswith(name, autoescape=True)

    with store.read() as connection:
        if not call:
            named = (_calls.run == run) & begins(_calls.id)
            found = connection.execute(select(_calls.id).where(named).order_by(_calls.started)).scalars()
            if calls := [Place(one) for one in found]:
                return calls
        wanted = (_nodes.run == run) & begins(_nodes.node)
        rows = connection.execute(
            select(_nodes.node, _nodes.call).where(wanted).order_by(_nodes.generation, _nodes.lane)
        ).all()
    first: dict[str, str] = {}
    for row in rows:
        first.setdefault(row.node, row.call)
    return [Place(call or known, node) for node, known in first.items()]
