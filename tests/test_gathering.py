import sqlite3
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from store.database import Store, open_store
from store.gathering import MOST, Gathering, Insertion, driver_of, peek, waiting

put = Insertion("things", ("name", "size"))
NAMES = "SELECT name FROM things"


@pytest.fixture
def driver() -> Iterator[Gathering]:
    driver = sqlite3.connect(":memory:", isolation_level=None, factory=Gathering)
    driver.execute("CREATE TABLE things (name TEXT PRIMARY KEY, size INTEGER)")
    yield driver
    driver.close()


def thing(name: str) -> tuple[str, int]:
    return name, len(name)


@pytest.mark.parametrize("count", [1, 2, 3, MOST - 1, MOST, 2 * MOST + 5])
def test_rows_are_there_for_the_next_statement_in_their_order(driver: Gathering, count: int) -> None:
    for number in range(count):
        put.gather(driver, [thing(f"t{number}")])
    assert peek(driver, NAMES, ()) == []
    assert [name for (name,) in driver.execute("SELECT name FROM things ORDER BY rowid")] == [
        f"t{number}" for number in range(count)
    ]


@pytest.mark.parametrize("way", ["execute", "executemany", "executescript", "cursor", "commit"])
def test_no_way_to_a_statement_goes_past_them(driver: Gathering, way: str) -> None:
    driver.execute("CREATE TABLE others (name TEXT)")
    waiting(driver).add("t")
    put.gather(driver, [thing("t")])
    match way:
        case "execute":
            driver.execute("INSERT INTO others SELECT name FROM things")
        case "executemany":
            driver.executemany("INSERT INTO others SELECT name FROM things WHERE name = ?", [("t",)])
        case "executescript":
            driver.executescript("INSERT INTO others SELECT name FROM things")
        case "cursor":
            driver.cursor().execute("INSERT INTO others SELECT name FROM things")
        case _:
            driver.commit()
            assert peek(driver, NAMES, ()) == [("t",)]
            return
    assert driver.execute("SELECT name FROM others").fetchall() == [("t",)]
    assert waiting(driver) == set()


def test_after_a_failure_nothing_goes_until_it_is_forgotten(driver: Gathering) -> None:
    driver.execute("BEGIN")
    put.gather(driver, [thing("one"), thing("one")])
    for _ in range(2):
        with pytest.raises(sqlite3.IntegrityError):
            driver.execute("COMMIT")
    driver.forget()
    driver.execute("ROLLBACK")
    assert driver.execute(NAMES).fetchall() == []


def test_a_plain_connection_has_them_at_once() -> None:
    driver = sqlite3.connect(":memory:")
    driver.execute("CREATE TABLE things (name TEXT, size INTEGER)")
    put.gather(driver, [thing("t")])
    assert peek(driver, NAMES, ()) == [("t",)] and waiting(driver) == set()
    driver.close()


# On the writer.


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "store.sqlite3") as store:
        store.write(lambda connection: connection.execute(text("CREATE TABLE things (name PRIMARY KEY, size)")))
        yield store


def kept(store: Store) -> set[str]:
    with store.read() as connection:
        return {name for (name,) in connection.execute(text("SELECT name FROM things"))}


def test_they_are_committed_with_the_job(store: Store) -> None:
    store.write(lambda connection: put.gather(connection, [thing("one"), thing("two")]))
    assert kept(store) == {"one", "two"}


def test_sqlalchemy_sees_them_within_the_job(store: Store) -> None:
    def job(connection: Connection) -> list[str]:
        put.gather(connection, [thing("one")])
        return [name for (name,) in connection.execute(text("SELECT name FROM things"))]

    assert store.write(job) == ["one"]


def test_a_savepoint_takes_back_what_was_gathered_in_it(store: Store) -> None:
    def job(connection: Connection) -> None:
        put.gather(connection, [thing("one")])
        with suppress(KeyError), connection.begin_nested():
            put.gather(connection, [thing("two")])
            raise KeyError

    store.write(job)
    assert kept(store) == {"one"}


def test_a_job_that_fails_takes_nobody_with_it(store: Store) -> None:
    def catches(connection: Connection) -> str:
        put.gather(connection, [thing("caught")])
        with suppress(sqlite3.IntegrityError):
            driver_of(connection).execute("SELECT 1")
        return "said nothing"

    inside, go = threading.Event(), threading.Event()

    def holds(connection: Connection) -> None:
        inside.set()
        go.wait()

    # What is submitted while the writer is busy becomes one group.
    held = store.writer.submit(holds)
    inside.wait()
    good = store.writer.submit(lambda connection: put.gather(connection, [thing("good")]))
    bad = store.writer.submit(lambda connection: put.gather(connection, [thing("twice"), thing("twice")]))
    other = store.writer.submit(catches)
    go.set()
    held.result()
    good.result()
    with pytest.raises(sqlite3.IntegrityError):
        bad.result()
    assert other.result() == "said nothing"
    assert kept(store) == {"good", "caught"}
