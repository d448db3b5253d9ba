import asyncio
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError, OperationalError

from store import runs
from store.database import Store, open_store
from store.errors import StoreError
from store.writer import Writer


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "store.sqlite3") as store:
        yield store


def names(store: Store) -> set[str]:
    return {run.id for run in runs.runs(store)}


def add(name: str) -> Callable[[Connection], str]:
    def job(connection: Connection) -> str:
        runs.create(connection, name, "", at=1.0)
        return name

    return job


class Gate:
    """Holds the writer inside a job, so that what is submitted meanwhile becomes one group."""

    def __init__(self, writer: Writer) -> None:
        self._open = threading.Event()
        inside = threading.Event()
        self.statements: list[str] = []

        def job(connection: Connection) -> None:
            driver = connection.connection.driver_connection
            assert driver is not None
            driver.set_trace_callback(self.statements.append)
            inside.set()
            self._open.wait()

        self.done = writer.submit(job)
        inside.wait()

    def open(self) -> None:
        self._open.set()
        self.done.result()


def test_a_job_returns_its_value_and_is_committed_by_then(store: Store) -> None:
    assert store.write(add("one")) == "one"
    assert names(store) == {"one"}


def test_jobs_that_wait_share_a_transaction(store: Store) -> None:
    gate = Gate(store.writer)
    futures = [store.writer.submit(add(f"r{i}")) for i in range(20)]
    assert not any(future.done() for future in futures)
    gate.open()
    assert [future.result() for future in futures] == [f"r{i}" for i in range(20)]
    assert gate.statements.count("BEGIN IMMEDIATE") == 1
    assert gate.statements.count("COMMIT") == 2  # the gate's own, and the group's


def test_a_job_that_fails_fails_alone(store: Store) -> None:
    def fails(connection: Connection) -> None:
        add("half")(connection)
        raise ZeroDivisionError

    gate = Gate(store.writer)
    first = store.writer.submit(add("first"))
    failed = store.writer.submit(fails)
    doubled = store.writer.submit(add("first"))
    second = store.writer.submit(add("second"))
    gate.open()
    assert (first.result(), second.result()) == ("first", "second")
    assert isinstance(failed.exception(), ZeroDivisionError)
    assert isinstance(doubled.exception(), IntegrityError)
    assert names(store) == {"first", "second"}


def commits(connection: Connection) -> None:
    add("committed")(connection)
    connection.commit()


def rolls_back(connection: Connection) -> None:
    connection.rollback()


def ends_the_transaction(connection: Connection) -> None:
    add("ended")(connection)
    connection.exec_driver_sql("ROLLBACK")
    raise OSError("it is gone")


def hides_that_it_commits(connection: Connection) -> None:
    with suppress(RuntimeError):
        commits(connection)


def leaves_a_savepoint_in_silence(connection: Connection) -> None:
    add("left")(connection)
    connection.begin_nested()


def leaves_a_savepoint(connection: Connection) -> None:
    connection.begin_nested()
    add("left")(connection)
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("rude", "error"),
    [
        (commits, RuntimeError),
        (hides_that_it_commits, RuntimeError),
        (rolls_back, RuntimeError),
        (ends_the_transaction, OSError),
        (leaves_a_savepoint, ZeroDivisionError),
        (leaves_a_savepoint_in_silence, RuntimeError),
    ],
)
def test_a_job_that_meddles_with_the_transaction_harms_no_other(
    store: Store, rude: Callable[[Connection], None], error: type[Exception]
) -> None:
    gate = Gate(store.writer)
    before, meddles, after = (store.writer.submit(job) for job in (add("before"), rude, add("after")))
    gate.open()
    assert before.result() == "before" and after.result() == "after"
    assert isinstance(meddles.exception(), error)
    assert names(store) == {"before", "after"}
    assert store.write(add("later")) == "later"


def test_savepoints_inside_a_job_are_its_own(store: Store) -> None:
    def job(connection: Connection) -> None:
        add("kept")(connection)
        savepoint = connection.begin_nested()
        add("dropped")(connection)
        savepoint.rollback()

    store.write(job)
    assert names(store) == {"kept"}


def test_what_jobs_remember_with_the_connection_is_forgotten_when_one_is_rolled_back(store: Store) -> None:
    def remembers(connection: Connection) -> None:
        connection.info["seen"] = True

    def fails(connection: Connection) -> None:
        remembers(connection)
        raise ZeroDivisionError

    def remembered(connection: Connection) -> bool:
        return "seen" in connection.info

    store.write(remembers)
    assert store.write(remembered)
    for bad in (fails, ends_the_transaction):
        store.write(remembers)
        with pytest.raises((ZeroDivisionError, OSError)):
            store.write(bad)
        assert not store.write(remembered)


def test_a_job_cannot_wait_for_another(store: Store) -> None:
    with pytest.raises(RuntimeError, match="another job"):
        store.write(lambda connection: store.write(add("inner")))


OPERATIONS = st.lists(st.sampled_from(["good", "raises", "doubles", "nested", "commits", "ends"]), max_size=12)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(operations=st.lists(OPERATIONS, min_size=1, max_size=3))
def test_any_mix_of_jobs_from_any_threads_keeps_what_went_well(store: Store, operations: list[list[str]]) -> None:
    before = names(store)
    results: list[tuple[str, str, Future[str]]] = []
    lock = threading.Lock()

    def job(operation: str, name: str) -> Callable[[Connection], str]:
        def run(connection: Connection) -> str:
            add(name)(connection)
            if operation == "raises":
                raise ValueError(name)
            if operation == "doubles":
                add(name)(connection)
            if operation == "nested":
                savepoint = connection.begin_nested()
                add(name + "-inner")(connection)
                savepoint.rollback()
            if operation == "commits":
                connection.commit()
            if operation == "ends":
                connection.exec_driver_sql("ROLLBACK")
                raise OSError(name)
            return name

        return run

    def submit(thread: int) -> None:
        for number, operation in enumerate(operations[thread]):
            name = f"{len(before)}-{thread}-{number}"
            future = store.writer.submit(job(operation, name))
            with lock:
                results.append((operation, name, future))

    gate = Gate(store.writer)
    threads = [threading.Thread(target=submit, args=(thread,)) for thread in range(len(operations))]
    for thread in threads:
        thread.start()
    gate.open()
    for thread in threads:
        thread.join()
    good = set()
    for operation, name, future in results:
        if operation in {"good", "nested"}:
            assert future.result() == name
            good.add(name)
        else:
            assert future.exception() is not None
    assert names(store) - before == good


def test_too_many_bytes_hold_the_next_one_back(store: Store) -> None:
    writer = Writer(store.path, store._writing, bound=1000)
    gate = Gate(writer)
    first = writer.submit(add("first"), size=900)
    blocked: list[Future[str]] = []
    thread = threading.Thread(target=lambda: blocked.append(writer.submit(add("second"), size=200)))
    thread.start()
    thread.join(0.05)
    assert thread.is_alive() and not blocked
    gate.open()
    thread.join()
    assert blocked[0].result() == "second" and first.done()
    # One that is larger than the bound goes in alone; nothing is ever dropped.
    assert writer.submit(add("large"), size=5000).result() == "large"
    writer.close()
    assert names(store) == {"first", "second", "large"}


def test_closing_finishes_what_is_queued_and_ends_those_who_wait_for_space(store: Store) -> None:
    writer = Writer(store.path, store._writing, bound=10)
    gate = Gate(writer)
    queued = writer.submit(add("queued"), size=10)
    errors: list[StoreError] = []

    def late() -> None:
        try:
            writer.submit(add("late"), size=10)
        except StoreError as error:
            errors.append(error)

    waiting = threading.Thread(target=late)
    closing = threading.Thread(target=writer.close)
    waiting.start()
    closing.start()
    waiting.join()
    gate.open()
    closing.join()
    assert queued.result() == "queued"
    assert errors and "is closed" in str(errors[0])
    with pytest.raises(StoreError, match="is closed"):
        writer.submit(add("after"))
    writer.close()
    assert names(store) == {"queued"}


def test_a_future_that_is_cancelled_in_time_is_no_job_any_more(store: Store) -> None:
    gate = Gate(store.writer)
    cancelled = store.writer.submit(add("cancelled"))
    kept = store.writer.submit(add("kept"))
    assert cancelled.cancel()
    gate.open()
    assert kept.result() == "kept" and names(store) == {"kept"}


async def test_writing_from_an_event_loop(store: Store) -> None:
    done = await asyncio.gather(*(store.writer.write(add(f"r{i}")) for i in range(50)))
    assert set(done) == names(store) == {f"r{i}" for i in range(50)}
    with pytest.raises(IntegrityError):
        await store.writer.write(add("r1"))


async def test_an_event_loop_is_woken_once_for_a_group(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def stops(connection: Connection) -> str:
        raise StopIteration

    loop, woken = asyncio.get_running_loop(), []
    wake = loop.call_soon_threadsafe

    def count(*arguments: Any, **named: Any) -> asyncio.Handle:
        woken.append(arguments)
        return wake(*arguments, **named)

    gate = Gate(store.writer)
    tasks = [asyncio.create_task(store.writer.write(add(f"r{i}"))) for i in range(20)]
    await asyncio.sleep(0)
    monkeypatch.setattr(loop, "call_soon_threadsafe", count)
    gate.open()
    assert await asyncio.gather(*tasks) == [f"r{i}" for i in range(20)]
    assert len(woken) == 1
    with pytest.raises(RuntimeError):  # what Python makes of it in a coroutine
        await store.writer.write(stops)


async def test_a_caller_that_is_cancelled_leaves_its_job_running(store: Store) -> None:
    gate = Gate(store.writer)
    task = asyncio.create_task(store.writer.write(add("recorded")))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(gate.open)
    await store.writer.write(lambda connection: None)
    assert names(store) == {"recorded"}


def test_an_event_loop_that_is_gone_by_the_commit_disturbs_nobody(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate(store.writer)

    async def leaves() -> None:
        task = asyncio.create_task(store.writer.write(add("recorded")))
        await asyncio.sleep(0)
        task.cancel()

    asyncio.run(leaves())
    gate.open()
    store.write(lambda connection: None)
    assert names(store) == {"recorded"} and not caplog.records


RECORD = """
import sys, threading
from pathlib import Path
from store import runs
from store.database import open_store
store = open_store(Path(sys.argv[1]))
lock = threading.Lock()
def work(thread):
    for number in range(100_000):
        name = f"{sys.argv[2]}-{thread}-{number}"
        store.write(lambda connection: runs.create(connection, name, "x" * 500, at=1.0))
        with lock:
            print(name, flush=True)
        if number + 1 == int(sys.argv[3]):
            return
threads = [threading.Thread(target=work, args=(thread,)) for thread in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def recorder(path: Path, name: str, most: int) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", RECORD, str(path), name, str(most)], stdout=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("killed_after", [1, 40, 333])
def test_what_was_acknowledged_survives_a_kill(tmp_path: Path, killed_after: int) -> None:
    path = tmp_path / "store.sqlite3"
    open_store(path).close()
    with recorder(path, "p", 100_000) as child:
        assert child.stdout is not None
        acknowledged = [child.stdout.readline().strip() for _ in range(killed_after)]
        child.send_signal(signal.SIGKILL)
        # Only whole lines: the last one may have been cut off.
        acknowledged += [line.strip() for line in child.stdout if line.endswith("\n")]
    with open_store(path) as store:
        assert set(acknowledged) <= names(store)
        with store.read() as connection:
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"


def test_two_processes_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite3"
    open_store(path).close()
    with recorder(path, "p", 60) as one, recorder(path, "q", 60) as two:
        assert one.wait() == two.wait() == 0
    with open_store(path) as store:
        assert names(store) == {
            f"{name}-{thread}-{number}" for name in "pq" for thread in range(4) for number in range(60)
        }


FILL = """
import resource, signal, sys
from pathlib import Path
from store import runs
from store.database import open_store
from store.errors import StoreError
store = open_store(Path(sys.argv[1]))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
import threading
def add(name, size):
    return store.writer.submit(lambda connection: runs.create(connection, name, "x" * size, at=1.0))
def group(*jobs):
    inside, go = threading.Event(), threading.Event()
    store.writer.submit(lambda connection: (inside.set(), go.wait()))
    inside.wait()
    futures = [add(*job) for job in jobs]
    go.set()
    for (name, _), future in zip(jobs, futures):
        error = future.exception()
        print(name, "ok" if error is None else f"{type(error).__name__}: {error}", flush=True)
limit = resource.getrlimit(resource.RLIMIT_FSIZE)
group(("before", 10))
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, limit[1]))
group(("small", 10), ("large", 1_000_000), ("spills", 8_000_000), ("alsosmall", 10))
resource.setrlimit(resource.RLIMIT_FSIZE, limit)
group(("after", 1_000_000))
store.close()
"""


def test_a_full_disk_fails_the_job_that_fills_it_with_a_clear_word_and_the_writer_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite3"
    open_store(path).close()
    said = subprocess.run(
        [sys.executable, "-c", FILL, str(path)], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    words = dict(line.split(" ", 1) for line in said)
    assert [name for name in words if words[name] == "ok"] == ["before", "small", "alsosmall", "after"]
    for name in ("large", "spills"):
        assert words[name].startswith(f"StoreError: The store {path} could not be ") and "disk" in words[name]
    with open_store(path) as store:
        assert names(store) == {"before", "small", "alsosmall", "after"}


def test_a_store_locked_by_another_process_is_explained(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store.connecting.BUSY_SECONDS", 0.05)
    with open_store(store.path) as other:
        gate = Gate(other.writer)
        waiting = [store.writer.submit(add(name)) for name in ("one", "two")]
        for future in waiting:
            error = future.exception()
            assert isinstance(error, StoreError) and "locked by another process" in str(error)
            assert isinstance(error.__cause__, Exception)
        gate.open()
        assert store.write(add("later")) == "later"


def test_a_mistake_in_a_job_is_told_as_it_is(store: Store) -> None:
    with pytest.raises(OperationalError, match="no such table"):
        store.write(lambda connection: connection.exec_driver_sql("SELECT * FROM nowhere"))


LEAVE = """
import sys
from pathlib import Path
from store import runs
from store.database import open_store
store = open_store(Path(sys.argv[1]))
for number in range(50):
    store.writer.submit(lambda connection, number=number: runs.create(connection, f"r{number}", "", at=1.0))
"""


def test_a_process_that_ends_without_closing_still_writes_what_was_queued(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite3"
    subprocess.run([sys.executable, "-c", LEAVE, str(path)], check=True)
    with open_store(path) as store:
        assert len(names(store)) == 50
