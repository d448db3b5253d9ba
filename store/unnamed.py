"""Blobs that are kept, and that nothing names: what a crash left, or a deletion while an engine was at work.

An engine keeps bytes first and names them a little later, in an event. Meanwhile they must not be taken for nobody's.
So while engines live, only what was there before the oldest of them began is looked at: each says in its first event
where it began, and whoever keeps bytes anew that are there already moves them to the end (`blobs.keep`).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Connection, false, select, text

from store import blobs, references
from store.home import Home
from store.lock import holder
from store.tables import metadata

if TYPE_CHECKING:
    from store.database import Store

_RUNS = text("SELECT id FROM runs WHERE id NOT IN (SELECT run FROM deletions)")
_STARTED = text(
    "SELECT coalesce(json_extract(data, '$.blobs'), 0) FROM events WHERE run = :of AND kind = 'engine.started' "
    "ORDER BY seq DESC LIMIT 1"
)
_TOLD = text("SELECT 1 FROM events WHERE run = :of LIMIT 1")
_UP_TO = text("SELECT digest, rowid FROM blobs WHERE rowid <= :place")
_SIZE = text("SELECT length(data) FROM blobs WHERE digest = :of")

_nobody = select(metadata.tables["runs"].c.id).where(false())


@dataclass(frozen=True)
class Unnamed:
    """A blob that nothing names, and the bytes that it takes."""

    digest: str
    size: int


def unnamed(store: "Store", home: Home) -> list[Unnamed]:
    """The blobs that nothing names and that no engine at work may be about to, oldest first."""
    with store.read() as connection:
        places = settled(connection, home)
        for name in references.of_others(connection, _nobody):
            places.pop(name, None)
        return [
            Unnamed(name, connection.execute(_SIZE, {"of": name}).scalar_one())
            for name in sorted(places, key=places.__getitem__)
        ]


def settled(connection: Connection, home: Home) -> dict[str, int]:
    """All blobs but those that an engine at work may have kept and not named yet, with their places."""
    # In this order: an engine that begins after the first look keeps what is newer than that.
    newest = blobs.newest(connection)
    rows = connection.execute(_UP_TO, {"place": min(newest, floor(connection, home, newest))})
    return {row.digest: row.rowid for row in rows}


def floor(connection: Connection, home: Home, newest: int) -> int:
    """The last place at which no engine that is at work has kept anything; all, where none is. Recordings have no
    engine: they name what they keep in the same job."""
    known = connection.execute(_RUNS).scalars().all()
    held = [run for run in known if holder(home.folder(run).lock) is not None]
    at_work = [run for run in held if connection.execute(_TOLD, {"of": run}).scalar() is not None]
    return min((int(connection.execute(_STARTED, {"of": run}).scalar() or 0) for run in at_work), default=newest)
