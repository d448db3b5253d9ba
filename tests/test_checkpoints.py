"""The write-ahead log, copied beside the writing: it keeps up, it bounds the log, and nothing is lost by it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from store import checkpoints, tapes
from store.checkpoints import Checkpoints
from store.connecting import connect
from store.database import Store
from store.scribe import Scribe
from tests.proxyrig import SUBAGENT, prepared, until
from tests.test_scribe import end_of, start_of


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with prepared(tmp_path / "store.sqlite3") as store, closing(sqlite3.connect(store.path)) as held:
        # Whoever closes a store as the last one copies all of the log.
        held.execute("SELECT count(*) FROM runs").fetchone()
        yield store


def filled(path: Path, rows: int) -> None:
    """Write so many rows of a page each, without SQLite's own copying."""
    with closing(connect(path, checkpoint_pages=0)) as driver:
        driver.execute("CREATE TABLE IF NOT EXISTS filling (data BLOB)")
        driver.executemany("INSERT INTO filling VALUES (randomblob(4000))", [()] * rows)


def copied_bytes(path: Path) -> int:
    return path.stat().st_size


def test_it_copies_when_enough_was_written(store: Store) -> None:
    filled(store.path, 200)
    before = copied_bytes(store.path)
    copying = Checkpoints(store.path)
    copying.wrote(1, 1000)
    copying.close()
    assert copied_bytes(store.path) == before
    copying.wrote(1, checkpoints.PAGES * 4096)
    copying.close()
    assert copied_bytes(store.path) >= before + 200 * 4000


def test_many_small_calls_are_enough_too(store: Store) -> None:
    filled(store.path, 200)
    before = copied_bytes(store.path)
    copying = Checkpoints(store.path)
    for _ in range(checkpoints.PAGES // 8):
        copying.wrote(1, 500)
    copying.close()
    assert copied_bytes(store.path) >= before + 200 * 4000


def test_nobody_waits_for_it_and_a_writer_goes_on_meanwhile(store: Store) -> None:
    filled(store.path, 2000)
    copying = Checkpoints(store.path)
    copying.wrote(1, checkpoints.PAGES * 4096)
    filled(store.path, 50)
    copying.close()
    with closing(sqlite3.connect(store.path)) as driver:
        assert driver.execute("SELECT count(*) FROM filling").fetchone() == (2050,)
        assert driver.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_store_that_is_gone_is_no_trouble(tmp_path: Path) -> None:
    copying = Checkpoints(tmp_path / "none.sqlite3")
    copying.wrote(1, checkpoints.PAGES * 4096)
    copying.close()
    assert not (tmp_path / "none.sqlite3").exists()


async def test_a_scribe_copies_what_it_wrote_and_ends_with_all_of_it(store: Store) -> None:
    before = copied_bytes(store.path)
    size, count = 200_000, checkpoints.PAGES * 4096 // 200_000 + 20
    scribe = Scribe(store.path)
    starts = [start_of(number, size) for number in range(count)]
    for start in starts:
        await scribe.record(start, end_of(start))
    await until(lambda: copied_bytes(store.path) > before or None)
    await scribe.close()
    assert len(tapes.calls(store)) == count
    assert tapes.verify(store, SUBAGENT.run) == []
