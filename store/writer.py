"""All writing of a process goes through one thread, which commits in groups.

Jobs that are waiting when a transaction begins share it. When one of them fails, none of it is kept, and each runs
again in a transaction of its own: so one that fails fails alone. (Savepoints would spare that, but at every savepoint
the full-text index writes out what it has gathered.) Who waits for a job is told after the commit. Nothing waits for a
group to fill.

A job is a function of the connection and touches nothing else, for it may run twice. What it wants to remember it
returns, or puts into the connection's `info`, which is emptied whenever something is rolled back.
"""

import asyncio
import atexit
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from store.errors import StoreError, explain, stale
from store.gathering import Gathering

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

T = TypeVar("T")

BOUND = 64 * 1024 * 1024
"""Bytes that may wait in the queue before `submit` pushes back."""

GROUP = 256
"""The most jobs in one transaction: bounds how long the first of them waits."""


@dataclass(frozen=True, slots=True)
class _Job:
    """`future` is told the outcome: a thread's, or, with its `loop`, a coroutine's, whose result an outcome is."""

    run: "Callable[[Connection], Any]"
    size: int
    future: "Future[Any] | asyncio.Future[Any]"
    loop: asyncio.AbstractEventLoop | None = None


@dataclass(frozen=True, slots=True)
class _Failed:
    error: BaseException


class Writer:
    """The writing thread of one store in one process. It starts with the first job.

    `engine` must leave transactions alone: the writer begins and commits them itself. `lost` is told, on the thread,
    that the store failed, and everybody had better connect anew.
    """

    def __init__(
        self,
        path: Path,
        engine: "Callable[[], Engine]",
        *,
        lost: Callable[[], None] = lambda: None,
        bound: int = BOUND,
    ) -> None:
        self._path = path
        self._engine = engine
        self._lost = lost
        self._bound = bound
        self._connection: Connection | None = None
        self._jobs: deque[_Job] = deque()
        self._bytes = 0
        self._closed = False
        self._idle = False
        """The thread waits for work."""
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
        future: Future[T] = Future()
        self._enqueue(_Job(job, size, future), block=True)
        return future

    async def write(self, job: "Callable[[Connection], T]", *, size: int = 0) -> T:
        """Run a job and wait until it is committed. A caller that is cancelled meanwhile leaves the job running: what
        was to be recorded is recorded."""
        return await self.begin(job, size=size)

    def begin(self, job: "Callable[[Connection], T]", *, size: int = 0) -> "asyncio.Future[T]":
        """The same for who needs its place in the queue at once, before it waits."""
        # Whoever waits for the commit needs no pushing back; its bytes hold back the others.
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._enqueue(_Job(job, size, future, loop), block=False)
        return future

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

    def _enqueue(self, job: _Job, *, block: bool) -> None:
        if threading.current_thread() is self._thread:
            raise RuntimeError("a job cannot wait for another job: it already has the connection")
        with self._lock:
            while block and self._bytes and self._bytes + job.size > self._bound and not self._closed:
                self._space.wait()
            if self._closed:
                raise StoreError(f"The store {self._path} is closed.")
            self._bytes += job.size
            self._jobs.append(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._loop, name="store-writer", daemon=True)
                self._thread.start()
                atexit.register(self.close)
            if self._idle:
                self._work.notify()

    # The thread.

    def _loop(self) -> None:
        while group := self._next():
            self._commit([job for job in group if _wanted(job)])
            with self._lock:
                self._bytes -= sum(job.size for job in group)
                self._space.notify_all()
            del group  # the jobs' bytes go before the next wait
        self._disconnect()

    def _next(self) -> list[_Job]:
        """The jobs that wait, as soon as there are any; none when the writer is closed and all is done."""
        with self._lock:
            while not self._jobs and not self._closed:
                self._idle = True
                self._work.wait()
                self._idle = False
            return [self._jobs.popleft() for _ in range(min(len(self._jobs), GROUP))]

    def _commit(self, group: list[_Job]) -> None:
        """Run the jobs in one transaction, or else each in one of its own, and tell those who wait."""
        try:
            connection, driver = self._connect()
            driver.execute("BEGIN IMMEDIATE")
        except Exception as error:  # noqa: BLE001 - whatever it is, somebody waits for an answer
            self._begin_anew()
            _tell([(job, _Failed(self._told(error))) for job in group])
            return
        try:
            outcomes = []
            for job in group:
                outcomes.append((job, job.run(connection)))
                if not _sound(connection, driver):
                    raise RuntimeError("a job neither ends the transaction nor leaves one open")
            driver.execute("COMMIT")
        except BaseException as error:  # noqa: BLE001 - the same
            self._undo(connection, driver)
            if stale(error):
                self._begin_anew()
            if len(group) == 1:
                _tell([(group[0], _Failed(self._told(error)))])
            else:
                for job in group:
                    self._commit([job])
        else:
            _tell(outcomes)

    def _undo(self, connection: "Connection", driver: sqlite3.Connection) -> None:
        """Take back what the transaction did, and what jobs remember of it. On some errors, such as a full disk, SQLite
        has ended it itself."""
        if isinstance(driver, Gathering):
            driver.forget()
        with suppress(sqlite3.Error):
            if _sound(connection, driver):
                driver.execute("ROLLBACK")
                connection.info.clear()
                return
        self._disconnect()

    def _connect(self) -> "tuple[Connection, sqlite3.Connection]":
        if self._connection is None:
            self._connection = self._engine().connect()
        driver = self._connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        return self._connection, driver

    def _begin_anew(self) -> None:
        """The store itself failed: what SQLite knows of its file may be out of date."""
        self._disconnect()
        self._lost()

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


def _wanted(job: _Job) -> bool:
    """Whether the job is to run. A thread may take back what has not begun; a coroutine that is cancelled does not."""
    return not isinstance(job.future, Future) or job.future.set_running_or_notify_cancel()


def _tell(outcomes: Iterable[tuple[_Job, Any]]) -> None:
    """Tell those who wait. An event loop is woken once for all of its own."""
    woken: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any]]] = {}
    for job, outcome in outcomes:
        if not isinstance(job.future, Future):
            assert job.loop is not None
            woken.setdefault(job.loop, []).append((job.future, outcome))
        elif isinstance(outcome, _Failed):
            job.future.set_exception(outcome.error)
        else:
            job.future.set_result(outcome)
    for loop, told in woken.items():
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_resolve, told)


def _resolve(told: list[tuple[asyncio.Future[Any], Any]]) -> None:
    for future, outcome in told:
        if future.done():
            continue  # nobody waits any more
        if isinstance(outcome, _Failed):
            error = outcome.error
            if isinstance(error, StopIteration):  # no future takes one
                error = RuntimeError("a job raised StopIteration")
                error.__cause__ = outcome.error
            future.set_exception(error)
        else:
            future.set_result(outcome)


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
