"""How the disk that a run takes is given back.

A deletion begins with a row in `deletions`, by which nobody sees the run any more, and goes on in small transactions,
so that engines of other runs get their turn between them. What is only this run's goes first, what names it last. So a
deletion that is killed can begin anew at any time: all that it needs to know is still there.
"""

import os
import shutil
import sqlite3
import stat
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import Connection, bindparam, delete, exists, insert, select, text

from store import blobs, error_words, references, zones
from store.errors import StoreError
from store.home import Home
from store.lock import RunLock, holder
from store.sizes import disk
from store.tables import metadata
from store.unnamed import settled

if TYPE_CHECKING:
    from store.database import Store

T = TypeVar("T")

BATCH = 250
"""Rows of one transaction, so that it is over in a few hundredths of a second."""

WORTH = 0.1
"""The part of the store that must be free before it is worth writing the store anew."""

_deletions = metadata.tables["deletions"]
_doomed = select(_deletions.c.run)
_tables = metadata.tables
_nodes, _places = _tables["nodes"].c, _tables["tape_nodes"].c

_OF_RUN = ("calls", "events", "commands", "virtual_keys", "observation_versions")
"""Tables whose rows go with their run, beside those that have a step of their own."""


@dataclass(frozen=True)
class Freed:
    """What a deletion gave back, in bytes: to the disk by the store and by removed folders; `kept` is free inside the
    store's file, for what will be recorded next. `unnamed` is what nothing named took in the store."""

    store: int
    files: int
    kept: int
    unnamed: int = 0


class HeldError(StoreError):
    """An engine works on the run that was to be deleted."""


def unfinished(store: "Store") -> list[str]:
    """Runs whose deletion has begun, and was not finished."""
    with store.read() as connection:
        return list(connection.execute(_doomed).scalars())


def delete_runs(
    store: "Store", home: Home, runs: Collection[str], *, at: float, pause: Callable[[float], None] = time.sleep
) -> Freed:
    """Delete runs with all that is only theirs, whatever an earlier deletion left undone, and what nothing names.

    HeldError when an engine works on one of them; StoreError when another deletion goes on, or a folder can't be
    removed, after which the same again finishes it.
    """
    with ExitStack() as stack:
        stack.enter_context(one_at_a_time(store.path))
        before, _ = _pages(store)
        for run in runs:
            _claim(stack, home, run)
        _refuse_played(store, home, runs)
        store.write(lambda connection: _mark(connection, runs, at))
        doomed = unfinished(store)
        for run in doomed:
            if run not in runs:
                _claim(stack, home, run)
        work = _Work(store, home, pause)
        unnamed = work.blobs()
        work.nodes()
        work.passages()
        for name in _OF_RUN:
            work.rows(name)
        files = sum(_remove(home.folder(run).path) for run in doomed)
        store.write(_forget)
        _give_back(store)
        after, kept = _pages(store)
    return Freed(max(before - after, 0), files, kept, unnamed)


class _Work:
    """The steps of a deletion. Each finds out by itself what is left to do."""

    def __init__(self, store: "Store", home: Home, pause: Callable[[float], None]) -> None:
        self._store = store
        self._home = home
        self._pause = pause

    def blobs(self) -> int:
        """Drop those that only doomed runs name, and those that nobody does; the bytes that these took."""
        with self._store.read() as connection:
            mark = references.Mark(connection)
            newest = blobs.newest(connection)
            at_once, told = references.of_runs(connection, _doomed)
            free = {**settled(connection, self._home), **_places_of(connection, at_once)}
            for name in references.of_others(connection, _doomed):
                free.pop(name, None)
        nobodys = free.keys() - at_once - told
        # The newest goes last: as long as it is there, whatever is kept meanwhile comes after it.
        oldest_first = sorted(free, key=free.__getitem__)
        return sum(
            self._write(partial(_drop_blobs, names=batch, mark=mark, newest=newest, nobodys=nobodys))
            for batch in _batches(oldest_first)
        )

    def nodes(self) -> None:
        deepest_first = (
            select(_places.node, _nodes.depth)
            .join(_nodes.key.table, _nodes.key == _places.node)
            .where(_places.run.in_(_doomed))
            .distinct()
            .order_by(_nodes.depth.desc())
        )
        with self._store.read() as connection:
            keys = [row.node for row in connection.execute(deepest_first)]
        for batch in _batches(keys):
            self._write(partial(_drop_nodes, keys=batch))
        self.rows("tape_nodes", "node")

    def passages(self) -> None:
        # The run is no index of the full-text table: all of it is read once.
        with self._store.read() as connection:
            found = connection.execute(text("SELECT rowid FROM passages WHERE run IN (SELECT run FROM deletions)"))
            rowids = [row.rowid for row in found]
        for batch in _batches(rowids):
            self._write(partial(_drop_passages, rowids=batch))

    def rows(self, name: str, key: str = "rowid") -> None:
        some = text(
            f"DELETE FROM {name} WHERE {key} IN "  # noqa: S608 - names of ours
            f"(SELECT {key} FROM {name} WHERE run IN (SELECT run FROM deletions) LIMIT {BATCH}) "
            "AND run IN (SELECT run FROM deletions)"
        )
        while self._write(lambda connection: connection.execute(some).rowcount):
            pass

    def _write(self, job: Callable[[Connection], T]) -> T:
        """One transaction, and then as long a pause, in which others get theirs."""
        began = time.monotonic()
        done = self._store.write(job)
        self._pause(min(max(time.monotonic() - began, 0.002), 0.1))
        return done


_place_of_blob = text("SELECT rowid FROM blobs WHERE digest = :of")
_size_of_blob = text("SELECT length(data) FROM blobs WHERE digest = :of AND rowid <= :newest")
_drop_blob = text("DELETE FROM blobs WHERE digest = :of AND rowid <= :newest")
_drop_place = delete(_places.node.table).where(_places.node == bindparam("of"), _places.run.in_(_doomed))
# A node is never on a tape without those before it, nor in a call without being on its tape.
_drop_node = delete(_nodes.key.table).where(
    _nodes.key == bindparam("of"), ~exists().where(_places.node == bindparam("of"))
)


def _mark(connection: Connection, runs: Collection[str], at: float) -> None:
    for run in runs:
        connection.execute(insert(_deletions).prefix_with("OR IGNORE"), {"run": run, "at": at})


def _forget(connection: Connection) -> None:
    connection.execute(delete(_tables["runs"]).where(_tables["runs"].c.id.in_(_doomed)))
    connection.execute(delete(_deletions))
    error_words.forget(connection)
    zones.forget(connection)


def _places_of(connection: Connection, names: Iterable[str]) -> dict[str, int]:
    """Where these blobs are, as far as they are kept."""
    places = ((name, connection.execute(_place_of_blob, {"of": name}).scalar()) for name in names)
    return {name: place for name, place in places if place is not None}


def _drop_blobs(
    connection: Connection, names: Sequence[str], mark: references.Mark, newest: int, nobodys: Collection[str]
) -> int:
    """Drop those that nobody has named since, and that nobody is about to name: see `blobs.keep`. The bytes of those
    that were nobody's."""
    free = set(names).difference(references.of_others(connection, _doomed, mark))
    rows = [{"of": name, "newest": newest} for name in names if name in free]
    sizes = [connection.execute(_size_of_blob, row).scalar() or 0 for row in rows if row["of"] in nobodys]
    if rows:
        connection.execute(_drop_blob, rows)
    return sum(sizes)


def _drop_nodes(connection: Connection, keys: Sequence[str]) -> None:
    """Take nodes off the tapes of the doomed runs, and drop those that are on no other, children before parents."""
    connection.execute(_drop_place, [{"of": key} for key in keys])
    connection.execute(_drop_node, [{"of": key} for key in keys])


def _drop_passages(connection: Connection, rowids: Sequence[int]) -> None:
    connection.execute(text("DELETE FROM passages WHERE rowid = :of"), [{"of": rowid} for rowid in rowids])


def _pages(store: "Store") -> tuple[int, int]:
    """Bytes of the store's file, and how many of them are free inside."""
    with store.read() as connection:
        size, count, free = (connection.execute(text(f"PRAGMA {name}")).scalar_one() for name in _PAGES)
    return size * count, size * free


# Around the steps.


@contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Nobody else deletes runs of the store, or brings some in. StoreError when somebody does."""
    lock = RunLock(path.with_name(path.name + ".deleting"))
    if not lock.acquire():
        raise StoreError(f"Another process is deleting runs of {path}, or importing some. Wait for its end.")
    with lock:
        yield


def _claim(stack: ExitStack, home: Home, run: str) -> None:
    """Hold the run, so that no engine takes it."""
    lock = RunLock(home.folder(run).lock)
    if not lock.acquire():
        by = holder(lock.path)
        who = f" (process {by.pid} on {by.host})" if by is not None and by.pid else ""
        raise HeldError(f"An engine works on run {run}{who}: it can't be deleted. `multitrack stop {run}` ends it.")
    stack.enter_context(lock)


def _refuse_played(store: "Store", home: Home, runs: Collection[str]) -> None:
    """A tape that answers another run, whose engine is at work, has to stay."""
    with store.read() as connection:
        playing = connection.execute(text(_PLAYING)).all()
    for run, tape in playing:
        if tape in runs and run not in runs and holder(home.folder(run).lock) is not None:
            raise HeldError(f"The tape of run {tape} answers run {run}, which goes on: it can't be deleted now.")


_PLAYING = (
    "SELECT run, json_extract(data, '$.replay.run') FROM events "
    "WHERE kind = 'run.created' AND json_extract(data, '$.replay.run') IS NOT NULL"
)


def _remove(folder: Path) -> int:
    """Remove a folder with everything in it, be it read-only; the bytes that it took. StoreError."""
    size = disk(folder)
    if not folder.is_symlink() and not folder.exists():
        return 0
    try:
        if folder.is_symlink():
            folder.unlink()
        else:
            _unlock(folder)
            shutil.rmtree(folder)
    except OSError as error:
        raise StoreError(
            f"The folder {folder} can't be removed ({error.filename}: {error.strerror}). "
            "Put that right, and delete the run again: what is left of it then goes."
        ) from error
    return size


def _unlock(folder: Path) -> None:
    """Let folders be read and changed by their user: what tools leave behind may not be."""
    folder.chmod(stat.S_IRWXU)
    for above, names, _ in os.walk(folder):
        for path in (Path(above) / name for name in names):
            if not path.is_symlink():
                path.chmod(stat.S_IRWXU)


def _give_back(store: "Store") -> None:
    """Write the store anew without what is free in it, when that is worth it and nobody is at work with it."""
    from store.database import connect

    size, free = _pages(store)
    if free < size * WORTH:
        return
    with store.alone() as alone, closing(connect(store.path)) as driver:
        if not alone:
            return
        # The new store is made in a temporary file, which may be as large: not in memory.
        driver.execute("PRAGMA temp_store = FILE")
        # A full disk, or somebody who reads for long: the runs are gone all the same, and the next one tries again.
        with suppress(sqlite3.OperationalError):
            driver.execute("VACUUM")
            driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")


_PAGES = ("page_size", "page_count", "freelist_count")


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, BATCH)):
        yield batch
