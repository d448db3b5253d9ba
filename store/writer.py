"""All writing of a process goes through one thread, which commits in groups (`store.commits`).

Jobs that are waiting when a transaction begins share it. Who waits for a job is told after the commit. Nothing waits
for a group to fill.
"""

import asyncio
import atexit
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from store.commits import GROUP, Committer, Failed
from store.errors import StoreError
from store.gathering import Gathering

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

T = TypeVar("T")

BOUND = 64 * 1024 * 1024
"""Bytes that may wait in the queue before `submit` pushes back."""


@dataclass(frozen=True, slots=True)
class _Job:
    """`future` is told the outcome: a thread's, or, with its `loop`, a coroutine's, whose result an outcome is."""

    run: "Callable[[Connection], Any]"
    size: int
    future: "Future[Any] | asyncio.Future[Any]"
    loop: asyncio.AbstractEventLoop | None = None


class _Link:
    """SQLAlchemy's connection on the driver's."""

    def __init__(self, engine: "Engine") -> None:
        self.connection = engine.connect()
        driver = self.connection.connection.driver_connection
        assert isinstance(driver, Gathering)
        self.driver = driver

    def sound(self) -> bool:
        transaction = self.connection.get_transaction()
        return (
            self.driver.in_transaction
            and not self.connection.in_nested_transaction()
            and (transaction is None or transaction.is_active)
        )

    def forget(self) -> None:
        self.driver.forget()
        self.connection.info.clear()

    def drop(self) -> None:
        self.connection.invalidate()


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
        self._bound = bound
        self._committer: Committer[Connection] = Committer(path, lambda: _Link(engine()), lost=lost)
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
            if jobs := [job for job in group if _wanted(job)]:
                _tell(zip(jobs, self._committer.commit([job.run for job in jobs]), strict=True))
            del jobs
            with self._lock:
                self._bytes -= sum(job.size for job in group)
                self._space.notify_all()
            del group  # the jobs' bytes go before the next wait
        self._committer.close()

    def _next(self) -> list[_Job]:
        """The jobs that wait, as soon as there are any; none when the writer is closed and all is done."""
        with self._lock:
            while not self._jobs and not self._closed:
                self._idle = True
                self._work.wait()
                self._idle = False
            return [self._jobs.popleft() for _ in range(min(len(self._jobs), GROUP))]


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
        elif isinstance(outcome, Failed):
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
        if isinstance(outcome, Failed):
            error = outcome.error
            if isinstance(error, StopIteration):  # no future takes one
                error = RuntimeError("a job raised StopIteration")
                error.__cause__ = outcome.error
            future.set_exception(error)
        else:
            future.set_result(outcome)


def forbid(*_: object) -> NoReturn:
    """Listens for commits and rollbacks on the writer's connection, which are not a job's to make."""
    raise RuntimeError("a job neither commits nor rolls back: the writer does")
