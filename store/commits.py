"""Jobs that are committed together: the groups of whoever writes the store.

Jobs of a group share a transaction. When one of them fails, none of it is kept, and each runs again in a transaction of
its own: so one that fails fails alone. (Savepoints would spare that, but at every savepoint the full-text index writes
out what it has gathered.)

A job is a function of the connection and touches nothing else, for it may run twice. What it wants to remember it
returns, or puts into the connection's `info`, which is emptied whenever something is rolled back.
"""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from store.errors import explain, stale
from store.gathering import Gathering

C = TypeVar("C")
C_co = TypeVar("C_co", covariant=True)

GROUP = 256
"""The most jobs in one transaction: bounds how long the first of them waits."""


@dataclass(frozen=True, slots=True)
class Failed:
    """What became of a job that is not committed: its own exception, or StoreError when the store could not be
    written."""

    error: BaseException


class Link(Protocol[C_co]):
    """A connection for writing, as jobs get it, and as the driver has it. Whoever has it leaves transactions alone."""

    @property
    def connection(self) -> C_co: ...

    @property
    def driver(self) -> sqlite3.Connection: ...

    def sound(self) -> bool:
        """Whether the transaction is still open, for all who know of it."""

    def forget(self) -> None:
        """Something is rolled back: nothing of what is remembered holds."""

    def drop(self) -> None:
        """Close it, and with it whatever transaction is open."""


class Plain:
    """The driver's connection and nothing more."""

    def __init__(self, driver: Gathering) -> None:
        self.connection = self.driver = driver

    def sound(self) -> bool:
        return self.driver.in_transaction

    def forget(self) -> None:
        self.driver.forget()

    def drop(self) -> None:
        self.driver.close()


class Committer(Generic[C]):
    """Commits groups of jobs, one after the other, on a connection that it opens when it needs one. For one thread.

    `lost` is told that the store failed, and everybody had better connect anew.
    """

    def __init__(self, path: Path, link: Callable[[], Link[C]], *, lost: Callable[[], None] = lambda: None) -> None:
        self._path = path
        self._open = link
        self._lost = lost
        self._link: Link[C] | None = None

    def commit(self, jobs: Sequence[Callable[[C], Any]]) -> list[Any]:
        """Run the jobs in one transaction, or else each in one of its own; of each its result or that it `Failed`."""
        try:
            link = self._linked()
            link.driver.execute("BEGIN IMMEDIATE")
        except Exception as error:  # noqa: BLE001 - whatever it is, somebody waits for an answer
            self._begin_anew()
            return [Failed(self._told(error))] * len(jobs)
        try:
            outcomes = []
            for job in jobs:
                outcomes.append(job(link.connection))
                if not link.sound():
                    raise RuntimeError("a job neither ends the transaction nor leaves one open")
            link.driver.execute("COMMIT")
        except BaseException as error:  # noqa: BLE001 - the same
            self._undo(link)
            if stale(error):
                self._begin_anew()
            if len(jobs) == 1:
                return [Failed(self._told(error))]
            return [outcome for job in jobs for outcome in self.commit([job])]
        return outcomes

    def close(self) -> None:
        """Close the connection; the next group opens another."""
        if self._link is not None:
            self._link.drop()
            self._link = None

    def _linked(self) -> Link[C]:
        if self._link is None:
            self._link = self._open()
        return self._link

    def _undo(self, link: Link[C]) -> None:
        """Take back what the transaction did, and what is remembered of it. On some errors, such as a full disk, SQLite
        has ended it itself."""
        sound = False
        with suppress(sqlite3.Error):
            sound = link.sound()
            link.forget()
            if sound:
                link.driver.execute("ROLLBACK")
                return
        self.close()

    def _begin_anew(self) -> None:
        """The store itself failed: what SQLite knows of its file may be out of date."""
        self.close()
        self._lost()

    def _told(self, error: BaseException) -> BaseException:
        told = explain(self._path, error)
        if told is None:
            return error
        told.__cause__ = error
        return told
