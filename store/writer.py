"""All writing of a process goes through one thread, which commits in groups.

Jobs that are waiting when a transaction begins share it, each in a savepoint of its own, so that one that fails fails
alone. A future resolves only after the commit. Nothing waits for a group to fill.

A job is a function of the connection and touches nothing else: it may run again, when the disk fills up under the group
that it was in, or not count at all, when the commit fails. What it wants to remember it returns, or puts into the
connection's `info`, which is emptied whenever something is rolled back.
"""

import asyncio
import atexit
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from store.errors import StoreError, explain

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

T = TypeVar("T")

BOUND = 64 * 1024 * 1024
"""Bytes that may wait in the queue before `submit` pushes back."""

GROUP = 256
"""The most jobs in one transaction: bounds how long the first of them waits."""


@dataclass(frozen=True, slots=True)
class _Job:
    run: "Callable[[Connection], Any]"
    size: int
    future: "Future[Any]"


@dataclass(frozen=True, slots=True)
class _Failed:
    error: BaseException


class _Lost(Exception):  # noqa: N818 - no error of anybody's, the word between two methods
    """The whole transaction is gone, and with it the work of the jobs that had gone well."""


class Writer:
    """The writing thread of one store in one process. It starts with the first job.

    `engine` must leave transactions alone: the writer begins and commits them itself.
    """

    def __init__(self, path: Path, engine: "Callable[[], Engine]", *, bound: int = BOUND) -> None:
        self._path = path
        self._engine = engine
        self._bound = bound
        self._connection: Connection | None = None
        self._jobs: deque[_Job] = deque()
        self._bytes = 0
        self._closed = False
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._space = threading.Condition(self._lock)

    def submit(self, job: "Callable[[Connection], T]", *, size: int = 0) -> "Future[T]":
        """Queue a job. Jobs are committed in the order in which they were submitted.

        `size` is about how many bytes the job keeps alive; when too many wait, this blocks until there is space. (One
        that is larger than the bound goes in when nothing else waits.) The future has the job's own exception, or
        StoreError when the store could not be written. StoreError at once when the writer is closed.
        """
        return self._enqueue(job, size, block=True)

    async def write(self, job: "Callable[[Connection], T]", *, size: int = 0) -> T:
        """Run a job and wait until it is committed. A caller that is cancelled meanwhile leaves the job running: what
        was to be recorded is recorded."""
        # This caller waits for the commit itself, and so needs no pushing back; its bytes hold back the others.
        future = self._enqueue(job, size, block=False)
        loop = asyncio.get_running_loop()
        committed = loop.create_future()

        def wake() -> None:
            if not committed.done():
                committed.set_result(None)

        def tell(_: object) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(wake)

        future.add_done_callback(tell)
        await committed
        return future.result()

    def close(self) -> None:
        """Finish what is queued, and stop. Safe to call twice."""
        with self._lock:
            self._closed = True
            self._work.notify()
            self._space.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        atexit.unregister(self.close)

    def _enqueue(self, job: "Callable[[Connection], T]", size: int, *, block: bool) -> "Future[T]":
        if threading.current_thread() is self._thread:
            raise RuntimeError("a job cannot wait for another job: it already has the connection")
        future: Future[T] = Future()
        with self._lock:
            while block and self._bytes and self._bytes + size > self._bound and not self._closed:
                self._space.wait()
            if self._closed:
                raise StoreError(f"The store {self._path} is closed.")
            self._bytes += size
            self._jobs.append(_Job(job, size, future))
            if self._thread is None:
                self._thread = threading.Thread(target=self._loop, name="store-writer", daemon=True)
                self._thread.start()
                atexit.register(self.close)
            self._work.notify()
        return future

    # The thread.

    def _loop(self) -> None:
        while group := self._next():
            self._commit([job for job in group if job.future.set_running_or_notify_cancel()])
            with self._lock:
                self._bytes -= sum(job.size for job in group)
                self._space.notify_all()
            del group  # the jobs' bytes go before the next wait
        self._disconnect()

    def _next(self) -> list[_Job]:
        """The jobs that wait, as soon as there are any; none when the writer is closed and all is done."""
        with self._lock:
            while not self._jobs and not self._closed:
                self._work.wait()
            return [self._jobs.popleft() for _ in range(min(len(self._jobs), GROUP))]

    def _commit(self, group: list[_Job]) -> None:
        """Run the jobs in one transaction, or else each in one of its own, and tell their futures."""
        try:
            outcomes = self._together(group)
        except _Lost as lost:
            self._disconnect()
            if len(group) == 1:
                outcomes = [_Failed(self._told(lost.__cause__ or lost))]
            else:
                for job in group:
                    self._commit([job])
                return
        except Exception as error:  # noqa: BLE001 - whatever it is, somebody waits for an answer
            self._disconnect()
            outcomes = [_Failed(self._told(error))] * len(group)
        for job, outcome in zip(group, outcomes, strict=True):
            if isinstance(outcome, _Failed):
                job.future.set_exception(outcome.error)
            else:
                job.future.set_result(outcome)

    def _together(self, group: list[_Job]) -> list[Any]:
        """What the jobs returned, committed. _Lost when the transaction went away under them."""
        connection, driver = self._connect()
        driver.execute("BEGIN IMMEDIATE")
        outcomes: list[Any] = []
        for job in group:
            driver.execute("SAVEPOINT job")
            try:
                outcome = job.run(connection)
                if not _sound(connection, driver):
                    raise RuntimeError("a job neither ends the transaction nor leaves one open")
            except BaseException as error:
                # On some errors, such as a full disk, SQLite ends the transaction itself.
                if not _sound(connection, driver):
                    raise _Lost from error
                driver.execute("ROLLBACK TO job")
                connection.info.clear()
                outcome = _Failed(self._told(error))
            driver.execute("RELEASE job")
            outcomes.append(outcome)
        try:
            driver.execute("COMMIT")
        except sqlite3.Error as error:
            raise _Lost from error
        return outcomes

    def _connect(self) -> "tuple[Connection, sqlite3.Connection]":
        if self._connection is None:
            self._connection = self._engine().connect()
        driver = self._connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        return self._connection, driver

    def _disconnect(self) -> None:
        """Drop the connection, and with it whatever transaction is open."""
        if self._connection is not None:
            self._connection.invalidate()
            self._connection = None

    def _told(self, error: BaseException) -> BaseException:
        told = explain(self._path, error)
        if told is None:
            return error
        told.__cause__ = error
        return told


def _sound(connection: "Connection", driver: sqlite3.Connection) -> bool:
    """Whether the writer's transaction is still there, for SQLite and for SQLAlchemy."""
    transaction = connection.get_transaction()
    return (
        driver.in_transaction
        and not connection.in_nested_transaction()
        and (transaction is None or transaction.is_active)
    )


def forbid(*_: object) -> NoReturn:
    """Listens for commits and rollbacks on the writer's connection, which are not a job's to make."""
    raise RuntimeError("a job neither commits nor rolls back: the writer does")
