import fcntl
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, Table, create_engine, select, text
from sqlalchemy.pool import StaticPool

from store import migrations, runs, tapes
from store.database import open_store
from store.domain.limits import Usage
from store.errors import StoreError
from store.lock import open_lock, try_lock


@contextmanager
def plain(path: Path) -> Iterator[Connection]:
    """A connection that leaves transactions alone."""
    driver = sqlite3.connect(path, isolation_level=None)
    engine = create_engine("sqlite://", creator=lambda: driver, poolclass=StaticPool)
    with engine.connect() as connection:
        yield connection
    engine.dispose()
    driver.close()


def rows(path: Path, sql: str) -> list[tuple[object, ...]]:
    driver = sqlite3.connect(path)
    try:
        return driver.execute(sql).fetchall()
    finally:
        driver.close()


def tables(connection: Connection) -> list[Table]:
    found = MetaData()
    found.reflect(connection, only=lambda name, _: not name.startswith(("alembic_version", "passages", "error_words")))
    return found.sorted_tables


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A store of the first schema, with something in every table."""
    path = tmp_path / "store.sqlite3"
    with plain(path) as connection:
        migrations.upgrade(connection, "0001")
        for table in tables(connection):
            filled = {
                column.name: {"INTEGER": 1, "BOOLEAN": 1, "FLOAT": 1.5, "BLOB": b"\0\xff"}.get(str(column.type), "é")
                for column in table.columns
                if column.name != "parent"
            }
            names, holders = ", ".join(f'"{name}"' for name in filled), ", ".join(f":{name}" for name in filled)
            connection.execute(text(f"INSERT INTO {table.name} ({names}) VALUES ({holders})"), filled)
    return path


Content = dict[str, list[dict[str, object]]]


def content(path: Path) -> Content:
    """What the tables hold."""
    with plain(path) as connection:
        return {
            table.name: [dict(row._mapping) for row in connection.execute(select(table))]
            for table in tables(connection)
        }


def kept(path: Path, before: Content) -> bool:
    """Whether the tables hold what they held before, whatever tables and columns have come."""
    now = content(path)
    return all(
        [{column: row[column] for column in old} for row, old in zip(now[name], found, strict=True)] == found
        for name, found in before.items()
    )


def test_the_first_schema_is_brought_to_head_with_all_it_has(old: Path) -> None:
    before = content(old)
    assert all(len(found) == 1 for found in before.values())
    with open_store(old) as store:
        assert [run.id for run in runs.runs(store)] == ["é"]
    assert kept(old, before)
    assert rows(old, "SELECT version_num FROM alembic_version") == [(migrations.HEAD,)]
    assert rows(old, "SELECT count(*) FROM passages") == [(0,)]


def test_calls_of_an_older_store_are_those_of_its_one_protocol(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite3"
    with plain(path) as connection:
        migrations.upgrade(connection, "0003")
        connection.exec_driver_sql(
            "INSERT INTO calls (id, run, provider, method, path, model, stream, started, error, complete, stop_reason,"
            " input, output, cache_read, cache_write, request_digest, request_headers, response_headers, response_size)"
            " VALUES ('c1', 'r', 'anthropic', 'POST', '/v1/messages', 'm', 0, 1.5, '', 1, 'end_turn',"
            " 1, 2, 3, 4, '', '[]', '[]', 0)"
        )
        connection.exec_driver_sql(
            "INSERT INTO virtual_keys (hash, run, generation, lane, created) VALUES ('h', 'r', 1, 1, 1)"
        )
    with open_store(path) as store:
        call = tapes.call(store, "c1")
        assert (call.protocol, call.conversation, call.base, call.notes) == ("anthropic", "messages", None, ())
        assert (call.model, call.usage, call.source, call.timing) == ("m", Usage(1, 2, 3, 4), "", None)
    assert rows(path, "SELECT limits FROM virtual_keys") == [("{}",)]


def test_the_migrations_make_what_the_tables_say(tmp_path: Path) -> None:
    open_store(tmp_path / "s").close()

    with plain(tmp_path / "s") as connection:
        command.check(migrations.config(connection))
    made = rows(tmp_path / "s", "SELECT name, sql FROM sqlite_master WHERE sql LIKE '%AUTOINCREMENT%' ORDER BY name")
    assert [name for name, _ in made] == ["commands", "events"]


def test_a_migration_is_drafted_from_what_the_tables_say(old: Path, tmp_path: Path) -> None:
    shutil.copytree(Path(migrations.__file__).parent, tmp_path / "migrations")
    open_store(old).close()
    with plain(old) as connection:
        connection.exec_driver_sql("ALTER TABLE runs DROP COLUMN title")
        settings = migrations.config(connection)
        settings.set_main_option("script_location", str(tmp_path / "migrations"))
        command.revision(settings, "bring titles back", autogenerate=True, rev_id="9999")
    drafted = (tmp_path / "migrations" / "versions" / "9999_bring_titles_back.py").read_text()
    compile(drafted, "drafted", "exec")
    assert drafted.startswith('"""Bring titles back."""')
    assert f'down_revision = "{migrations.HEAD}"' in drafted.replace("'", '"')
    assert "batch_op.add_column(sa.Column('title'" in drafted and "passages" not in drafted


def test_the_known_schemas_are_those_of_the_migrations(tmp_path: Path) -> None:
    with plain(tmp_path / "s") as connection:
        script = ScriptDirectory.from_config(migrations.config(connection))
    assert tuple(revision.revision for revision in script.walk_revisions())[::-1] == migrations.REVISIONS
    assert script.get_current_head() == migrations.HEAD


def test_full_text_search_finds_words_inside_names(tmp_path: Path) -> None:
    open_store(tmp_path / "s").close()
    driver = sqlite3.connect(tmp_path / "s")
    for call, said in (
        ("c1", "def flush_queue(self): retry()"),
        ("c2", "flush the queue, naïve"),
        ("c3", "queue.flush"),
    ):
        driver.execute("INSERT INTO passages (text, call, block, lane) VALUES (?, ?, 0, 1)", (said, call))

    def found(query: str) -> list[str]:
        match = "SELECT call FROM passages WHERE passages MATCH ? ORDER BY call"
        return [call for (call,) in driver.execute(match, (query,))]

    assert found("queue") == ["c1", "c2", "c3"]
    assert found('"flush_queue"') == ["c1"]
    assert found("retr*") == ["c1"]
    assert found("naive") == ["c2"]
    assert found("c1") == []  # only the text is searched
    driver.close()


CRASH = """
import os, signal, sys
from pathlib import Path
from alembic import op
from store.database import open_store
run = op.execute
def crash(sql):
    run(sql)
    if "fts5" in str(sql):
        print("migrating", flush=True)
        if sys.argv[2] == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise RuntimeError("power cut")
op.execute = crash
open_store(Path(sys.argv[1]))
"""


@pytest.mark.parametrize("how", ["kill", "raise"])
def test_a_crash_in_the_middle_leaves_the_old_store_as_it_was(old: Path, how: str) -> None:
    before = content(old)
    schema = rows(old, "SELECT name, sql FROM sqlite_master ORDER BY name")
    done = subprocess.run([sys.executable, "-c", CRASH, str(old), how], capture_output=True, text=True)
    assert "migrating" in done.stdout
    assert done.returncode == (-signal.SIGKILL if how == "kill" else 1)
    assert rows(old, "SELECT version_num FROM alembic_version") == [("0001",)]
    assert rows(old, "SELECT name, sql FROM sqlite_master ORDER BY name") == schema
    assert kept(old, before)
    open_store(old).close()
    assert rows(old, "SELECT version_num FROM alembic_version") == [(migrations.HEAD,)]
    assert kept(old, before)


CRASH_ANEW = """
import os, signal, sys
from pathlib import Path
from store import database
connect = database.connect
def connected(*arguments, **named):
    driver = connect(*arguments, **named)
    def cut():
        print("making", flush=True)
        if sys.argv[2] == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise RuntimeError("power cut")
    driver.create_function("power_cut", 0, cut)
    return driver
database.connect = connected
from store import migrations
class Cut:
    read_text = lambda self: text.replace("CREATE VIRTUAL", "SELECT power_cut(); CREATE VIRTUAL")
text = migrations.SCHEMA.read_text()
migrations.SCHEMA = Cut()
database.open_store(Path(sys.argv[1]))
"""


@pytest.mark.parametrize("how", ["kill", "raise"])
def test_a_crash_while_a_store_is_made_leaves_nothing_in_the_way(tmp_path: Path, how: str) -> None:
    path = tmp_path / "s"
    done = subprocess.run([sys.executable, "-c", CRASH_ANEW, str(path), how], capture_output=True, text=True)
    assert "making" in done.stdout, done.stderr
    assert done.returncode == (-signal.SIGKILL if how == "kill" else 1)
    assert rows(path, "SELECT name FROM sqlite_master") == []
    with open_store(path) as store:
        assert runs.runs(store) == []


def test_a_new_store_is_what_the_migrations_come_to(tmp_path: Path) -> None:
    with plain(tmp_path / "migrated") as connection:
        migrations.upgrade(connection)
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        assert migrations.SCHEMA.read_text() == migrations.schema(driver), "run `python -m store.migrations`"
    open_store(tmp_path / "made").close()
    described = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name"
    for question in (described, "PRAGMA application_id", "SELECT * FROM alembic_version"):
        assert rows(tmp_path / "made", question) == rows(tmp_path / "migrated", question)


def test_a_store_is_never_migrated_while_an_engine_holds_it(old: Path) -> None:
    before = content(old)
    descriptor = open_lock(old.with_name(old.name + ".lock"))
    assert try_lock(descriptor, fcntl.LOCK_SH)
    with pytest.raises(StoreError, match=r"needs a migration .* engine .* using it\. Stop its runs"):
        open_store(old)
    assert rows(old, "SELECT version_num FROM alembic_version") == [("0001",)]
    os.close(descriptor)
    open_store(old).close()
    assert kept(old, before)


def test_opening_waits_for_another_process_that_migrates(old: Path) -> None:
    descriptor = open_lock(old.with_name(old.name + ".lock"))
    assert try_lock(descriptor, fcntl.LOCK_EX)
    opened: list[str] = []

    def opens() -> None:
        with open_store(old) as store:
            opened.extend(run.id for run in runs.runs(store))

    thread = threading.Thread(target=opens)
    thread.start()
    thread.join(0.2)
    assert not opened
    os.close(descriptor)
    thread.join()
    assert opened == ["é"]


def test_a_store_is_not_held_while_it_is_migrated(old: Path) -> None:
    with open_store(old) as store:
        descriptor = open_lock(old.with_name(old.name + ".lock"))
        assert try_lock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(StoreError, match="being migrated"), store.hold():
            pass
        os.close(descriptor)


OPEN = (
    "import sys; from pathlib import Path; from store.database import open_store; open_store(Path(sys.argv[1])).close()"
)


def test_processes_that_open_a_new_store_at_once_make_one(tmp_path: Path) -> None:
    path = tmp_path / "s"
    children = [subprocess.Popen([sys.executable, "-c", OPEN, str(path)]) for _ in range(4)]
    assert [child.wait() for child in children] == [0] * 4
    assert rows(path, "SELECT version_num FROM alembic_version") == [(migrations.HEAD,)]
