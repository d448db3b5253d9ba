"""Runs that come into a store from elsewhere, in transactions that are short enough for engines to get theirs between.

Until all of a run is there it has a row in `deletions`, by which nobody sees it: what an import that is killed leaves
behind is a deletion that was begun, and goes with the next import or deletion.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import Connection

from store import events
from store.domain.events import RunImported
from store.errors import StoreError
from store.home import Home
from store.lock import RunLock
from store.retention import delete_runs, one_at_a_time, unfinished

if TYPE_CHECKING:
    from store.database import Store

T = TypeVar("T")

_IMPORTED = (
    "SELECT run, json_extract(data, '$.name') FROM events WHERE kind = 'run.imported' "
    "AND json_extract(data, '$.digest') = ? AND run NOT IN (SELECT run FROM deletions) ORDER BY seq"
)


class Arrival:
    """A run on its way in."""

    def __init__(self, store: "Store", run: str) -> None:
        self._store, self.run = store, run

    def write(self, job: "Callable[[Connection], T]") -> T:
        """Run a job and wait until it is committed."""
        return self._store.write(job)

    def submit(self, job: "Callable[[Connection], T]", *, size: int = 0) -> "Future[T]":
        """Run a job that keeps about so many bytes alive; many share a transaction."""
        return self._store.writer.submit(job, size=size)

    def end(self, imported: RunImported) -> None:
        """All of it is there; say where it came from."""
        text = "SELECT coalesce((SELECT max(at) FROM events WHERE run = ?1), (SELECT created FROM runs WHERE id = ?1))"
        at = self.write(lambda connection: float(connection.exec_driver_sql(text, (self.run,)).scalar_one()))
        self.write(lambda connection: events.append(connection, self.run, [imported], at=at))


@contextmanager
def arriving(store: "Store", home: Home, run: str, title: str, *, created: float, at: float) -> Iterator[Arrival]:
    """Make a run, seen by nobody until the block is left; after an exception nothing of it is left. StoreError when
    runs are being deleted or imported just now."""
    finish(store, home, at=at)
    try:
        with ExitStack() as stack:
            stack.enter_context(one_at_a_time(store.path))
            stack.enter_context(store.hold())
            lock = RunLock(home.folder(run).lock)
            if not lock.acquire():
                raise StoreError(f"Somebody works on run {run}, which is not there yet. Try again.")
            stack.enter_context(lock)
            store.write(lambda connection: _begin(connection, run, title, created, at))
            yield Arrival(store, run)
            store.write(lambda connection: connection.exec_driver_sql("DELETE FROM deletions WHERE run = ?", (run,)))
    except BaseException:
        # A second trouble would hide the first; what is left goes with the next deletion.
        with suppress(StoreError):
            finish(store, home, at=at)
        raise


def finish(store: "Store", home: Home, *, at: float) -> None:
    """Take away what an import or a deletion that was killed left behind."""
    if unfinished(store):
        delete_runs(store, home, (), at=at)


def imported(store: "Store", digest: str) -> dict[str, str]:
    """The runs that a file of this digest was made into: their names, by what they are called in the file."""
    with store.read() as connection:
        return {name: run for run, name in connection.exec_driver_sql(_IMPORTED, (digest,))}


def taken(store: "Store", run: str) -> bool:
    """Whether there is a run of that name, or a part of one."""
    names = "SELECT 1 FROM runs WHERE id = ?1 UNION SELECT 1 FROM calls WHERE run = ?1"
    with store.read() as connection:
        return connection.exec_driver_sql(names, (run,)).first() is not None


def _begin(connection: Connection, run: str, title: str, created: float, at: float) -> None:
    connection.exec_driver_sql("INSERT INTO deletions (run, at) VALUES (?, ?)", (run, at))
    connection.exec_driver_sql("INSERT INTO runs (id, title, created) VALUES (?, ?, ?)", (run, title, created))
