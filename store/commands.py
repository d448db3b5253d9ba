"""The operator's orders on their way to an engine: rows that are applied once and answered with an outcome."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Connection, bindparam, insert, select, update

from store import events
from store.domain.codec import decode_command, encode_command
from store.domain.commands import Command
from store.domain.events import CommandSettled
from store.jsontext import dumps, loads
from store.tables import metadata

if TYPE_CHECKING:
    from store.database import Store

_commands = metadata.tables["commands"]
_columns = _commands.c

_pending = (
    select(_columns.id, _columns.at, _columns.name, _columns.data)
    .where(_columns.run == bindparam("of"), _columns.outcome.is_(None))
    .order_by(_columns.id)
)
_outcome = select(_columns.applied, _columns.outcome).where(_columns.id == bindparam("of"))


@dataclass(frozen=True)
class PendingCommand:
    """An order that waits. `command` is None for one that this version doesn't know: it is to be refused."""

    id: int
    at: float
    name: str
    command: Command | None


def issue(store: "Store", run: str, command: Command, *, at: float) -> int:
    """Give the engine of a run an order; the order's id. Returns when it is committed."""
    name, data = encode_command(command)
    row = {"run": run, "at": at, "name": name, "data": dumps(data), "applied": False}
    order = insert(_commands).returning(_columns.id)
    return store.write(lambda connection: int(connection.execute(order, row).scalar_one()))


def pending(store: "Store", run: str) -> list[PendingCommand]:
    """The orders of a run that wait, oldest first."""
    with store.read() as connection:
        rows = connection.execute(_pending, {"of": run}).all()
    return [PendingCommand(row.id, row.at, row.name, _decode(row.name, row.data)) for row in rows]


def settle(connection: Connection, command: int, *, applied: bool, outcome: str, at: float) -> bool:
    """Answer an order, inside the job that carries it out, and say so in an event. False, and nothing done, when it has
    been answered before or there is none of that id."""
    row = connection.execute(
        update(_commands)
        .where(_columns.id == command, _columns.outcome.is_(None))
        .values(settled=at, applied=applied, outcome=outcome)
        .returning(_columns.run, _columns.name, _columns.data)
    ).first()
    if row is None:
        return False
    run, name, data = row
    order = _decode(name, data)
    events.append(
        connection,
        run,
        [CommandSettled(command, name, applied, outcome)],
        at=at,
        generation=getattr(order, "generation", None),
        lane=getattr(order, "lane", None),
    )
    return True


def outcome(store: "Store", command: int) -> tuple[bool, str] | None:
    """Whether an order was applied, and what came of it; None while it waits. KeyError for an id that is none."""
    with store.read() as connection:
        row = connection.execute(_outcome, {"of": command}).first()
    if row is None:
        raise KeyError(command)
    return None if row.outcome is None else (bool(row.applied), str(row.outcome))


def _decode(name: str, data: str) -> Command | None:
    try:
        return decode_command(name, loads(data))
    except ValueError:
        return None
