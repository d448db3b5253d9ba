"""The append-only log in the store. The order of sequence numbers is the order of commits."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from store.domain.codec import decode_payload
from store.domain.events import SCHEMA, Event, Payload, Unknown
from store.domain.ids import SubagentId
from store.gathering import AnyConnection, Insertion, Row, driver_of
from store.jsontext import dumps, loads

if TYPE_CHECKING:
    from store.database import Store

INSERT = Insertion("events", ("at", "run", "generation", "lane", "kind", "version", "data"))
_AFTER = "SELECT seq, at, run, generation, lane, kind, data FROM events WHERE seq > ? ORDER BY seq LIMIT ?"
_AFTER_OF_RUN = _AFTER.replace(" ORDER", " AND run = ? ORDER")
_LAST = "SELECT max(seq) FROM events WHERE run = ?"


def append(
    connection: AnyConnection,
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
    driver = driver_of(connection)
    driver.executemany(INSERT.rows(1), [_row(run, generation, lane, at, payload) for payload in payloads])
    # AUTOINCREMENT in one transaction: they follow each other.
    last = int(driver.execute("SELECT last_insert_rowid()").fetchone()[0])
    return list(range(last - len(payloads) + 1, last + 1))


def tell(connection: AnyConnection, subagent: SubagentId, told: Iterable[tuple[float, Payload]]) -> None:
    """Append a subagent's events, each with its time, inside a job."""
    run, generation, lane = subagent.run, subagent.generation, subagent.lane
    INSERT.gather(connection, [_row(run, generation, lane, at, payload) for at, payload in told])


def read(store: "Store", *, after: int = 0, run: str | None = None, limit: int | None = None) -> list[Event]:
    """The events after a sequence number, in order; of one run or of all, at most `limit`."""
    most = -1 if limit is None else limit
    with store.read() as connection:
        if run is None:
            rows = connection.exec_driver_sql(_AFTER, (after, most)).all()
        else:
            rows = connection.exec_driver_sql(_AFTER_OF_RUN, (after, run, most)).all()
    return [
        Event(seq, at, of, generation, lane, decode_payload(kind, loads(data)))
        for seq, at, of, generation, lane, kind, data in rows
    ]


def last(store: "Store", run: str) -> int:
    """The sequence number of a run's newest event, 0 when it has none."""
    with store.read() as connection:
        return int(connection.exec_driver_sql(_LAST, (run,)).scalar() or 0)


def _row(run: str, generation: int | None, lane: int | None, at: float, payload: Payload) -> Row:
    kind, data = (payload.name, payload.data) if isinstance(payload, Unknown) else (payload.kind, payload)
    return at, run, generation, lane, kind, SCHEMA, dumps(data)
