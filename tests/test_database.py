import os
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from store import events, runs
from store.database import Store, open_store
from store.domain.events import TurnStarted
from store.errors import StoreError
from store.lock import holder


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite3"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with open_store(path) as store:
        yield store


def pragma(store: Store, name: str) -> object:
    with store.read() as connection:
        return connection.exec_driver_sql(f"PRAGMA {name}").scalar()


def written(store: Store, name: str) -> object:
    """A pragma of the writer's connection."""
    return store.write(lambda connection: connection.exec_driver_sql(f"PRAGMA {name}").scalar())


def test_a_new_store_is_its_users_alone_and_in_wal_mode(store: Store) -> None:
    assert store.path.stat().st_mode & 0o777 == 0o600
    store.write(partial(runs.create, run="a", title="", at=1.0))
    for file in store.path.parent.iterdir():
        assert file.stat().st_mode & 0o077 == 0, file
    assert pragma(store, "journal_mode") == "wal"
    assert written(store, "synchronous") == 1


def test_full_durability_waits_for_the_disk(path: Path) -> None:
    with open_store(path, durability="full") as store:
        assert written(store, "synchronous") == 2


def test_a_store_opens_again_with_what_it_has(path: Path) -> None:
    with open_store(path) as store:
        store.write(partial(runs.create, run="a", title="", at=1.0))
    store.close()
    with open_store(path) as store:
        assert [run.id for run in runs.runs(store)] == ["a"]


def test_a_path_with_every_strange_character(tmp_path: Path) -> None:
    folder = tmp_path / "a ?b#c%20d'é"
    folder.mkdir()
    with open_store(folder / "store?mode=memory") as store:
        store.write(partial(runs.create, run="a", title="", at=1.0))
    assert (folder / "store?mode=memory").exists()


def test_reading_sees_one_state_and_cannot_write(store: Store) -> None:
    store.write(partial(runs.create, run="a", title="", at=1.0))
    with store.read() as connection:
        count = partial(connection.exec_driver_sql, "SELECT count(*) FROM runs")
        assert count().scalar() == 1
        store.write(partial(runs.create, run="b", title="", at=1.0))
        assert count().scalar() == 1
        with pytest.raises(OperationalError, match="readonly"):
            runs.create(connection, "c", "", at=1.0)
    assert len(runs.runs(store)) == 2


def test_reading_and_writing_from_many_threads(store: Store) -> None:
    def work(number: int) -> int:
        store.write(lambda c: events.append(c, f"r{number}", [TurnStarted(1)], at=1.0))
        return len(events.read(store, run=f"r{number}"))

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(work, range(100))) == [1] * 100
    assert len(events.read(store)) == 100


def test_more_readers_than_the_pool_keeps(store: Store) -> None:
    barrier = threading.Barrier(30)

    def look(_: int) -> object:
        with store.read() as connection:
            barrier.wait()
            return connection.exec_driver_sql("SELECT 1").scalar()

    with ThreadPoolExecutor(30) as pool:
        assert list(pool.map(look, range(30))) == [1] * 30


# What cannot be opened.


def refused(path: Path) -> str:
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(StoreError) as error:
        open_store(path)
    assert (path.read_bytes() if path.is_file() else b"") == before
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_file_that_is_no_database(path: Path) -> None:
    path.write_text("# Notes\n" * 200)
    assert (
        refused(path)
        == f"The store {path} is not a SQLite database. Name another store with --store, or move that file away."
    )


def test_a_database_that_is_no_store(path: Path) -> None:
    with sqlite3.connect(path) as driver:
        driver.execute("CREATE TABLE photos (name TEXT)")
    driver.close()
    assert "no store of Multitrack's. Name another file with --store" in refused(path)


def test_a_store_of_a_newer_version(store: Store) -> None:
    store.write(lambda c: c.exec_driver_sql("UPDATE alembic_version SET version_num = '0815'"))
    store.close()
    said = refused(store.path)
    assert str(store.path) in said and "its schema is 0815" in said and "pip install -U multitrack" in said
    assert re.search(r"this version knows up to \d{4}\.", said)


def test_a_folder(tmp_path: Path) -> None:
    assert "cannot be opened" in refused(tmp_path)


def test_a_place_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot be reached" in refused(tmp_path / "file" / "store.sqlite3")


def test_a_damaged_store(store: Store) -> None:
    store.write(partial(runs.create, run="a", title="x" * 100_000, at=1.0))
    store.close()
    whole = store.path.read_bytes()
    store.path.write_bytes(whole[:4096] + os.urandom(len(whole) - 4096))
    with pytest.raises(StoreError, match="damaged"), open_store(store.path) as damaged:
        runs.runs(damaged)


OPEN = """
import os, sys, tempfile
from pathlib import Path
from store import runs
from store.database import StoreError, open_store
if sys.argv[2] != "0":
    # All is imported before: the interpreter may be this user's alone.
    with tempfile.TemporaryDirectory() as folder, open_store(Path(folder) / "s") as store:
        runs.runs(store)
    os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))
def attempt(what):
    try:
        return what()
    except StoreError as error:
        print(error)
def write(store):
    store.write(lambda connection: runs.create(connection, "b", "", at=1.0))
store = attempt(lambda: open_store(Path(sys.argv[1])))
if store is not None:
    attempt(lambda: print([run.id for run in runs.runs(store)]))
    attempt(lambda: write(store))
    store.close()
"""


def as_another_user(path: Path) -> str:
    """What a user says who may not write: this one, or nobody in place of root, who may do anything."""
    user = "65534" if os.geteuid() == 0 else "0"
    done = subprocess.run([sys.executable, "-c", OPEN, str(path), user], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """A folder below one that every user may enter."""
    folder = Path("/tmp") / f"multitrack-test-{os.getpid()}"
    folder.mkdir(mode=0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def test_a_folder_that_cannot_be_written_to(shared_folder: Path) -> None:
    shared_folder.chmod(0o555)
    said = as_another_user(shared_folder / "store.sqlite3")
    assert said.startswith(f"The lock {shared_folder}/store.sqlite3.lock cannot be opened (Permission denied).")
    assert said.count("\n") == 1 and list(shared_folder.iterdir()) == []


def test_a_store_that_cannot_be_written_to(shared_folder: Path) -> None:
    path = shared_folder / "store.sqlite3"
    with open_store(path) as store:
        store.write(partial(runs.create, run="a", title="", at=1.0))
    path.chmod(0o444)
    shared_folder.chmod(0o555)
    said = as_another_user(path)
    assert "read-only" in said or "cannot be opened" in said
    shared_folder.chmod(0o755)
    path.chmod(0o600)
    with open_store(path) as store:
        assert [run.id for run in runs.runs(store)] == ["a"]


def test_a_disk_too_full_for_a_new_store(path: Path) -> None:
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n" + OPEN
    done = subprocess.run([sys.executable, "-c", limited, str(path), "0"], capture_output=True, text=True)
    assert done.returncode == 0 and f"The store {path} could not be " in done.stdout and "disk" in done.stdout
    with open_store(path) as store:
        assert runs.runs(store) == []


def test_a_store_that_vanishes_is_not_made_anew_in_silence(store: Store) -> None:
    store.path.unlink()
    with pytest.raises(StoreError, match="cannot be opened"):
        store.write(partial(runs.create, run="a", title="", at=1.0))
    with pytest.raises(StoreError, match="cannot be opened"):
        runs.runs(store)
    assert not store.path.exists()


# Who holds it.


def test_engines_hold_a_store_together(store: Store) -> None:
    with open_store(store.path) as other, store.hold(), other.hold():
        open_store(store.path).close()
    assert holder(store.path.with_name("store.sqlite3.lock")) is None


def test_a_store_that_was_replaced_is_not_held(store: Store) -> None:
    store.write(lambda c: c.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'"))
    with pytest.raises(StoreError, match="replaced"), store.hold():
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_programs_that_are_started_inherit_neither_the_store_nor_its_lock(store: Store) -> None:
    store.write(partial(runs.create, run="a", title="", at=1.0))
    runs.runs(store)
    with store.hold():
        listing = subprocess.run(
            ["ls", "-l", "/proc/self/fd"], close_fds=False, check=True, capture_output=True, text=True
        ).stdout
    assert "pipe:" in listing
    assert "store.sqlite3" not in listing


IMPORTS = """
import sys
from pathlib import Path
import store.database, store.feed, store.tail, store.home, store.lock
assert not {"sqlalchemy", "sqlmodel", "pydantic"} & set(sys.modules), "slow to import"
from store import commands, events, keys, runs
from store.domain.commands import Stop
opened = store.database.open_store(Path(sys.argv[1]))
commands.issue(opened, "r", Stop(), at=1.0)
store.feed.LiveFeed(opened).poll()
with opened.hold():
    opened.close()
assert not {"alembic", "litellm", "anthropic", "textual"} & set(sys.modules), sorted(sys.modules)
"""


def test_opening_a_store_imports_nothing_slow(store: Store) -> None:
    subprocess.run([sys.executable, "-c", IMPORTS, str(store.path)], check=True)


def test_a_copy_that_was_restored_is_brought_back_into_wal_mode(store: Store) -> None:
    store.write(partial(runs.create, run="a", title="", at=1.0))
    copy = store.path.with_name("copy.sqlite3")
    with sqlite3.connect(store.path) as driver:
        driver.execute("VACUUM INTO ?", (str(copy),))
    driver.close()
    with open_store(copy) as restored:
        assert pragma(restored, "journal_mode") == "wal"
        assert [run.id for run in runs.runs(restored)] == ["a"]
