"""The append-only log in the store. The order of sequence numbers is the order of commits."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Integer, bindparam, func, insert, select

from store.domain.codec import decode_payload
from store.domain.events import SCHEMA, Event, Payload, Unknown
from store.domain.ids import SubagentId
from store.jsontext import dumps, loads
from store.prepared import Prepared, driver_of
from store.tables import metadata

if TYPE_CHECKING:
    from store.database import Store

_events = metadata.tables["events"]
_columns = _events.c

_insert = Prepared(insert(_events), [name for name in _columns.keys() if name != "seq"])  # noqa: SIM118 - no mapping
_after = (
    select(_columns.seq, _columns.at, _columns.run, _columns.generation, _columns.lane, _columns.kind, _columns.data)
    .where(_columns.seq > bindparam("after"))
    .order_by(_columns.seq)
    .limit(bindparam("most", type_=Integer))
)
_after_of_run = _after.where(_columns.run == bindparam("of"))
_last = select(func.max(_columns.seq)).where(_columns.run == bindparam("of"))


def append(
    connection: Connection,
    run: str,
    payloads: Sequence[Payload],
    *,
    at: float,
    generation: int | None = None,
    lane: int | None = None,
) -> list[int]:
    """Append events, inside a job; their sequence numbers."""
    if not payloads:
        return []
    _insert.run_each(connection, [_row(run, generation, lane, at, payload) for payload in payloads])
    # AUTOINCREMENT in one transaction: they follow each other.
    last = int(driver_of(connection).execute("SELECT last_insert_rowid()").fetchone()[0])
    return list(range(last - len(payloads) + 1, last + 1))


def tell(connection: Connection, subagent: SubagentId, told: Iterable[tuple[float, Payload]]) -> None:
    """Append a subagent's events, each with its time, inside a job."""
    run, generation, lane = subagent.run, subagent.generation, subagent.lane
    _insert.gather(connection, [_row(run, generation, lane, at, payload) for at, payload in told])


def read(store: "Store", *, after: int = 0, run: str | None = None, limit: int | None = None) -> list[Event]:
    """The events after a sequence number, in order; of one run or of all, at most `limit`."""
    values: dict[str, Any] = {"after": after, "most": -1 if limit is None else limit}
    with store.read() as connection:
        if run is None:
            rows = connection.execute(_after, values).all()
        else:
            rows = connection.execute(_after_of_run, {**values, "of": run}).all()
    return [
        Event(seq, at, of, generation, lane, decode_payload(kind, loads(data)))
        for seq, at, of, generation, lane, kind, data in rows
    ]


def last(store: "Store", run: str) -> int:
    """The sequence number of a run's newest event, 0 when it has none."""
    with store.read() as connection:
        return int(connection.execute(_last, {"of": run}).scalar() or 0)


def _row(run: str, generation: int | None, lane: int | None, at: float, payload: Payload) -> dict[str, Any]:
    kind, data = (payload.name, payload.data) if isinstance(payload, Unknown) else (payload.kind, payload)
    return {
        "at": at,
        "run": run,
        "generation": generation,
        "lane": lane,
        "kind": kind,
        "version": SCHEMA,
        "data": dumps(data),
    }
