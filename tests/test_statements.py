"""The SQL of the hot path against the tables: that it names all columns that there are, and that SQLite takes it."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType

import pytest

from store import blobs, connecting, dag, events, passages, recording, requests
from store.database import open_store
from store.gathering import Gathering, Insertion
from store.tables import metadata

MODULES = (blobs, dag, events, passages, recording, requests)
INSERTIONS = [one for module in MODULES for one in vars(module).values() if isinstance(one, Insertion)]
BUILT = [blobs._existing(2), dag._on_tape(3)]


def texts(module: ModuleType) -> list[str]:
    """The statements among a module's constants."""
    return [one for one in vars(module).values() if isinstance(one, str) and re.match("SELECT |UPDATE ", one)]


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Gathering]:
    open_store(tmp_path / "store.sqlite3").close()
    with closing(connecting.connect(tmp_path / "store.sqlite3")) as driver:
        yield driver


def test_all_insertions_are_looked_at() -> None:
    assert sorted(one.table for one in INSERTIONS) == ["blobs", "calls", "events", "nodes", "passages", "tape_nodes"]


@pytest.mark.parametrize("insertion", INSERTIONS, ids=lambda one: one.table)
def test_an_insertion_says_what_is_in_every_column(driver: Gathering, insertion: Insertion) -> None:
    there = [name for (name,) in driver.execute("SELECT name FROM pragma_table_info(?)", (insertion.table,))]
    by_itself = {"seq"} if insertion.table == "events" else set()
    assert sorted(insertion.columns) == sorted(set(there) - by_itself)
    if insertion.table in metadata.tables:
        assert sorted(there) == sorted(metadata.tables[insertion.table].columns.keys())


@pytest.mark.parametrize("count", [1, 2, 32])
@pytest.mark.parametrize("insertion", INSERTIONS, ids=lambda one: one.table)
def test_sqlite_takes_every_insertion(driver: Gathering, insertion: Insertion, count: int) -> None:
    driver.execute(f"EXPLAIN {insertion.rows(count)}", (None,) * (count * len(insertion.columns)))


@pytest.mark.parametrize("text", [*(text for module in MODULES for text in texts(module)), *BUILT])
def test_sqlite_takes_every_other_statement(driver: Gathering, text: str) -> None:
    driver.execute(f"EXPLAIN {text}", (None,) * text.count("?"))


def test_the_columns_of_a_call_that_is_open_are_those_of_its_ending() -> None:
    assert len(recording._OPEN) == len(recording._ENDING)


def test_the_process_that_records_loads_nothing_more_than_it_needs() -> None:
    program = "import sys, store.scribe_process; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "sqlite3" in loaded
    assert not loaded & {"sqlalchemy", "sqlmodel", "pydantic", "alembic", "asyncio", "aiohttp", "uvicorn", "app"}
