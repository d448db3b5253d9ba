"""Runs are deleted with all that is only theirs, and nothing that is anybody else's."""

import base64
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, text, true

from store import blobs, commands, events, keys, observations, references, runs, tapes
from store.attachments import LEAST
from store.database import Store, open_store
from store.domain import timing
from store.domain.commands import Stop
from store.domain.events import RunCreated, SubagentChecked, ToolFinished
from store.domain.ids import SubagentId
from store.domain.observations import Document
from store.domain.replay import Replay
from store.domain.task import Check, Task
from store.errors import StoreError
from store.home import Home
from store.lock import RunLock
from store.retention import HeldError, delete_runs, unfinished
from store.search import search
from store.sizes import named_blobs, sizes
from store.tables import metadata
from store.tapes import CallEnd, CallStart, close_call, open_call
from tests import record as record_runs
from tests.taping import body_of, said, user

RUNS = ("aaaaa", "bbbbb", "ccccc")

Step = tuple[int, int, int, bool]
"""A call: the run, the conversation, how long it is, whether its messages have cache markers (hence an overlay)."""

steps = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(1, 5), st.booleans()), min_size=1, max_size=12
)


@contextmanager
def opened(folder: Path) -> Iterator[tuple[Home, Store]]:
    home = Home(folder).create()
    with open_store(home.store) as store:
        yield home, store


def messages(conversation: int, length: int, marked: bool) -> list[dict[str, object]]:
    told: list[dict[str, object]] = [
        user(f"conversation {conversation}, {index}") if index % 2 == 0 else said(f"answer {index}")
        for index in range(length)
    ]
    if conversation == 2:
        data = base64.b64encode(bytes([length % 2]) * LEAST).decode()
        source = {"type": "base64", "media_type": "image/png", "data": data}
        told[0] = {"role": "user", "content": [{"type": "image", "source": source}]}
    if marked and (length > 1 or conversation != 2):
        told[-1] = {**told[-1], "content": [{"type": "text", "text": "end", "cache_control": {"type": "ephemeral"}}]}
    return told


def record(store: Store, steps: list[Step], only: set[str]) -> None:
    """Put the calls of some runs on their tapes, with events and observations: the same ones each time."""
    for number, (run, conversation, length, marked) in enumerate(steps):
        if RUNS[run] in only:
            call(store, f"call{number:02}", RUNS[run], conversation, length, marked, at=1000.0 + number)


def call(
    store: Store, name: str, run: str, conversation: int, length: int, marked: bool = False, *, at: float = 1.0
) -> None:
    who = SubagentId(run, 1, conversation + 1)
    system: Any = f"system {conversation % 2}"
    if conversation == 2:
        data = base64.b64encode(bytes([7 + length % 2]) * LEAST).decode()
        source = {"type": "base64", "media_type": "image/png", "data": data}
        system = [{"type": "image", "source": source}, {"type": "text", "text": "system 0"}]
    body = body_of(messages(conversation, length, marked), system=system)
    start = CallStart(name, at, run, who, "anthropic", "POST", "/v1/messages", body)
    answer = said(f"so it is {conversation}")
    came = timing.encode([(length, 0.25)])
    response = f"bytes {conversation}".encode()
    end = CallEnd(name, at + 0.5, 200, complete=True, messages=[answer], response=response, timing=came)
    store.write(lambda connection: open_call(connection, start))
    store.write(lambda connection: close_call(connection, end))

    def more(connection: Connection) -> None:
        result = blobs.put(connection, f"result {length}".encode())
        told = ToolFinished(length, "t", "run", True, 0.1, result, "")
        patch = SubagentChecked(False, blobs.put(connection, f"patch {conversation} {length}".encode()))
        events.append(connection, run, [told, patch], at=at, generation=1, lane=1)

    store.write(more)
    document = Document(run, generation=length)
    store.write(lambda connection: observations.save(connection, document, author="observer", at=at))


def begin(store: Store, *names: str) -> None:
    for name in names:
        store.write(lambda connection, name=name: runs.create(connection, name, f"run {name}", at=1.0))  # type: ignore[misc] # the default binds the loop's value


def contents(path: Path) -> dict[str, object]:
    """All that matters of a store: what it holds, not in which order it came."""
    driver = sqlite3.connect(path)
    try:
        kept: dict[str, object] = {
            name: set(driver.execute(f"SELECT {columns} FROM {name}"))
            for name, columns in (
                ("runs", "id"),
                ("calls", "id, run, attachments"),
                ("nodes", "key, parent, attachments"),
                ("tape_nodes", "node, run, generation, lane"),
                ("blobs", "digest"),
                ("virtual_keys", "run"),
                ("observation_versions", "run, version, document, text"),
                ("deletions", "run"),
            )
        }
        kept["events"] = sorted(driver.execute("SELECT run, kind, data FROM events"))
        kept["commands"] = sorted(driver.execute("SELECT run, name FROM commands"))
        kept["passages"] = sorted(driver.execute("SELECT call, node, text FROM passages"))
        assert driver.execute("SELECT key FROM nodes WHERE parent NOT IN (SELECT key FROM nodes)").fetchall() == []
        assert driver.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        driver.execute("INSERT INTO passages(passages) VALUES ('integrity-check')")
        return kept
    finally:
        driver.close()


def on_disk(path: Path) -> int:
    return sum(each.stat().st_size for each in path.parent.glob(f"{path.name}*") if not each.name.endswith("-shm"))


def no_pause(seconds: float) -> None:
    pass


@settings(max_examples=25, deadline=None)
@given(steps=steps, gone=st.sets(st.sampled_from(RUNS), min_size=1))
def test_what_is_left_is_what_the_other_runs_alone_would_have_made(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Step], gone: set[str]
) -> None:
    folder = tmp_path_factory.mktemp("homes")
    stay = set(RUNS) - gone
    with opened(folder / "all") as (home, store):
        begin(store, *RUNS)
        record(store, steps, set(RUNS))
        delete_runs(store, home, sorted(gone), at=5.0, pause=no_pause)
        for run in stay:
            assert tapes.verify(store, run) == []
    with opened(folder / "some") as (other, store):
        begin(store, *sorted(stay))
        record(store, steps, stay)
    left, alone = contents(home.store), contents(other.store)
    for name, rows in alone.items():
        assert left[name] == rows, name


def test_pictures_go_with_the_last_run_that_has_them(tmp_path: Path) -> None:
    with opened(tmp_path) as (home, store):
        begin(store, "aaaaa", "bbbbb")
        call(store, "c1", "aaaaa", 2, 1)
        call(store, "c2", "bbbbb", 2, 1)
        call(store, "c3", "aaaaa", 2, 2)
        with store.read() as connection:
            pictures = set(references.of_nodes(connection, true()))
        assert len(pictures) == 2
        sizes_before = sizes(store, home)
        delete_runs(store, home, ["aaaaa"], at=5.0, pause=no_pause)
        with store.read() as connection:
            (left,) = set(references.of_nodes(connection, true()))
        assert left in pictures
        assert tapes.verify(store, "bbbbb") == []
        with pytest.raises(KeyError):
            blobs.get(store, (pictures - {left}).pop())
        # Those of system prompts as well, whose words are the same.
        assert len(blobs.get(store, blobs.digest(bytes([8]) * LEAST))) == LEAST
        with pytest.raises(KeyError):
            blobs.get(store, blobs.digest(bytes([7]) * LEAST))
        assert sizes(store, home)["bbbbb"].store > sizes_before["bbbbb"].store, "it is its own now"


def test_every_column_is_known_to_name_a_blob_or_not() -> None:
    """A new column is first told here what it is: one that names a blob and is not in `references` loses data."""
    naming = {
        *(f"calls.{name}" for name in references.CALLS),
        *(f"observation_versions.{name}" for name in references.OBSERVATIONS),
        f"events.{references.EVENTS}",
        f"nodes.{references.ATTACHMENTS}",
        f"calls.{references.ATTACHMENTS}",
    }
    not_naming = {
        *("blobs.digest", "blobs.size", "blobs.data", "deletions.run", "deletions.at"),
        *("runs.id", "runs.title", "runs.created"),
        *(f"virtual_keys.{name}" for name in ("hash", "run", "generation", "lane", "created", "revoked", "limits")),
        *(f"nodes.{name}" for name in ("key", "parent", "depth", "role", "message")),
        *(f"tape_nodes.{name}" for name in ("node", "run", "generation", "lane", "call")),
        *(f"calls.{name}" for name in ("id", "run", "generation", "lane", "provider", "method", "path", "model")),
        *(f"calls.{name}" for name in ("stream", "started", "first_byte", "ended", "status", "error", "complete")),
        *(f"calls.{name}" for name in ("stop_reason", "input", "output", "cache_read", "cache_write", "reasoning")),
        *(f"calls.{name}" for name in ("usd", "request_digest", "request_headers", "response_headers")),
        *(f"calls.{name}" for name in ("response_size", "parent", "protocol", "conversation", "thread", "notes")),
        *(f"calls.{name}" for name in ("source", "response_id")),
        # Nodes, which are looked for by the tape that they are on.
        *("calls.tail", "calls.answer", "calls.base"),
        *(f"events.{name}" for name in ("seq", "at", "run", "generation", "lane", "kind", "version")),
        *(f"zones.{name}" for name in ("upto", "first", "last", "tools", "whos")),
        *(f"commands.{name}" for name in ("id", "run", "at", "name", "data", "settled", "applied", "outcome")),
        *(f"observation_versions.{name}" for name in ("run", "version", "at", "author")),
    }
    columns = {f"{table.name}.{column.name}" for table in metadata.tables.values() for column in table.columns}
    assert naming | not_naming == columns
    assert not naming & not_naming


def test_all_that_a_run_has_goes(tmp_path: Path) -> None:
    with opened(tmp_path) as (home, store):
        empty = contents(home.store)
        begin(store, "aaaaa")
        record(store, [(0, 0, 3, True), (0, 0, 5, True), (0, 1, 2, False)], {"aaaaa"})
        who = SubagentId("aaaaa", 1, 1)
        store.write(lambda connection: keys.mint(connection, who, keys.new_secret(), at=1.0))
        commands.issue(store, "aaaaa", Stop(), at=1.0)
        folder = home.folder("aaaaa").create()
        folder.report.write_text("report")
        size = sizes(store, home)["aaaaa"]
        assert size.store > 0 and size.files > 0
        freed = delete_runs(store, home, ["aaaaa"], at=5.0, pause=no_pause)
        assert freed.files >= size.files, "the lock's own file comes with it"
        assert not folder.path.exists()
        assert contents(home.store) == empty


def test_what_two_runs_share_is_nobodys_own(tmp_path: Path) -> None:
    with opened(tmp_path) as (home, store):
        begin(store, "aaaaa", "bbbbb")
        call(store, "c1", "aaaaa", 0, 5)
        alone = sizes(store, home)["aaaaa"].store
        call(store, "c2", "bbbbb", 0, 5)
        shared = sizes(store, home)
        assert 0 < shared["aaaaa"].store < alone
        assert shared["aaaaa"].store == shared["bbbbb"].store, "what is each one's own"
        delete_runs(store, home, ["aaaaa"], at=5.0, pause=no_pause)
        assert sizes(store, home)["bbbbb"].store == alone


def test_sizes_know_where_events_name_blobs(tmp_path: Path) -> None:
    with record_runs.recorded(tmp_path) as home, open_store(home.store) as store, store.read() as connection:
        kept = set(connection.execute(text("SELECT digest FROM blobs")).scalars())
        found = {digest for _, digest in connection.execute(text(named_blobs()))}
        assert kept <= found
        assert kept & set(references.of_events(connection, true())), "some of them are in events"


def test_a_run_is_not_seen_from_the_moment_that_its_deletion_begins(tmp_path: Path) -> None:
    with opened(tmp_path) as (home, store):
        begin(store, "aaaaa", "bbbbb")
        call(store, "c1", "aaaaa", 0, 3)
        call(store, "c2", "bbbbb", 1, 3)
        seen: list[tuple[list[str], list[str], set[str]]] = []

        def look(seconds: float) -> None:
            listed = [run.id for run in runs.runs(store)]
            found = {hit.call for hit in search(store, "conversation")}
            seen.append((listed, [one.id for one in tapes.calls(store)], found))

        delete_runs(store, home, ["aaaaa"], at=5.0, pause=look)
        assert len(seen) > 4
        assert all(each == (["bbbbb"], ["c2"], {"c2"}) for each in seen)
        with pytest.raises(StoreError, match="no run 'aaaaa'"):
            runs.find(store, "aaaaa")


class StopHereError(Exception):
    pass


@pytest.mark.parametrize("step", range(12))
def test_a_deletion_that_was_ended_anywhere_is_finished_by_the_next(tmp_path: Path, step: int) -> None:
    with opened(tmp_path) as (home, store):
        begin(store, "aaaaa", "bbbbb")
        record(store, [(0, 0, 3, True), (1, 0, 4, True), (0, 0, 5, True), (1, 1, 2, False)], {"aaaaa", "bbbbb"})
        home.folder("aaaaa").create()
        left = step

        def stop(seconds: float) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise StopHereError

        try:
            delete_runs(store, home, ["aaaaa"], at=5.0, pause=stop)
        except StopHereError:
            assert unfinished(store) == ["aaaaa"]
            assert tapes.verify(store, "bbbbb") == []
            delete_runs(store, home, [], at=6.0, pause=no_pause)
        assert unfinished(store) == []
        assert not home.folder("aaaaa").path.exists()
    with opened(tmp_path / "other") as (other, store):
        begin(store, "bbbbb")
        record(store, [(0, 0, 3, True), (1, 0, 4, True), (0, 0, 5, True), (1, 1, 2, False)], {"bbbbb"})
    assert contents(home.store) == contents(other.store)


def test_a_deletion_that_is_killed_is_finished_by_the_next(tmp_path: Path) -> None:
    """With the kill of the operating system's, at a place that chance has picked."""
    program = (
        "import sys; from pathlib import Path; from store.database import open_store; from store.home import Home\n"
        "from store.retention import delete_runs\n"
        "home = Home(Path(sys.argv[1]))\n"
        "def pause(seconds):\n    print('.', flush=True); sys.stdin.readline()\n"
        "delete_runs(open_store(home.store), home, ['aaaaa'], at=5.0, pause=pause)\n"
    )
    with opened(tmp_path) as (home, store):
        begin(store, *RUNS)
        record(store, [(run, number % 3, number % 5 + 1, True) for number in range(9) for run in range(3)], set(RUNS))
        home.folder("aaaaa").create()
        kill_after = random.randrange(1, 8)
        with subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdin is not None and process.stdout is not None
            for _ in range(kill_after):
                assert process.stdout.readline() == b".\n"
                process.stdin.write(b"\n")
                process.stdin.flush()
            process.send_signal(signal.SIGKILL)
        assert [run.id for run in runs.runs(store)] == ["bbbbb", "ccccc"]
        delete_runs(store, home, ["aaaaa"], at=6.0, pause=no_pause)
        assert tapes.verify(store, "bbbbb") == tapes.verify(store, "ccccc") == []
        assert "aaaaa" not in str(contents(home.store))


def test_what_is_recorded_meanwhile_keeps_what_it_names(tmp_path: Path) -> None:
    """Another run's engine is at work: what it begins to share with the doomed run while that goes stays."""
    with opened(tmp_path) as (home, store):
        begin(store, "aaaaa", "bbbbb")
        for length in range(1, 6):
            call(store, f"a{length}", "aaaaa", 0, length, marked=True)
        turns = iter(range(1, 6))
        kept: list[str] = []

        def meanwhile(seconds: float) -> None:
            # What is kept before it is named: the deletion may have looked already.
            for name in kept:
                told = ToolFinished(9, "t", "run", True, 0.1, name, "")
                store.write(lambda connection, told=told: events.append(connection, "bbbbb", [told], at=3.0))  # type: ignore[misc] # the same
            kept.clear()
            length = next(turns, None)
            if length is not None:
                kept.append(store.write(lambda connection: blobs.keep(connection, f"result {length}".encode())))
                call(store, f"b{length}", "bbbbb", 0, length, marked=True, at=2.0)

        delete_runs(store, home, ["aaaaa"], at=5.0, pause=meanwhile)
        assert next(turns, None) is None, "all of them came while it went on"
        assert tapes.verify(store, "bbbbb") == []
        for event in events.read(store, run="bbbbb"):
            if isinstance(event.payload, ToolFinished):
                blobs.get(store, event.payload.result)
        assert "aaaaa" not in str(contents(home.store))


def test_a_run_with_an_engine_is_left_alone(tmp_path: Path) -> None:
    with opened(tmp_path) as (home, store):
        begin(store, "aaaaa")
        call(store, "c1", "aaaaa", 0, 3)
        before = contents(home.store)
        with RunLock(home.folder("aaaaa").lock) as lock:
            assert lock.acquire()
            with pytest.raises(HeldError, match=rf"works on run aaaaa \(process {os.getpid()}"):
                delete_runs(store, home, ["aaaaa"], at=5.0, pause=no_pause)
        assert contents(home.store) == before


def test_a_tape_that_answers_another_run_stays_while_that_goes_on(tmp_path: Path) -> None:
    task = Task(goal="", repository="", check=Check(""))
    with opened(tmp_path) as (home, store):
        begin(store, "aaaaa", "bbbbb")
        order = RunCreated(task, "", "", 1, replay=Replay("aaaaa"))
        store.write(lambda connection: events.append(connection, "bbbbb", [order], at=1.0))
        with RunLock(home.folder("bbbbb").lock) as lock:
            assert lock.acquire()
            with pytest.raises(HeldError, match="The tape of run aaaaa answers run bbbbb"):
                delete_runs(store, home, ["aaaaa"], at=5.0, pause=no_pause)
        delete_runs(store, home, ["aaaaa"], at=5.0, pause=no_pause)
        assert [run.id for run in runs.runs(store)] == ["bbbbb"]


def test_two_deletions_do_not_go_on_at_once(tmp_path: Path) -> None:
    with opened(tmp_path) as (home, store):
        begin(store, "aaaaa", "bbbbb")
        refused: list[str] = []

        def other(seconds: float) -> None:
            if not refused:
                with pytest.raises(StoreError) as told:
                    delete_runs(store, home, ["bbbbb"], at=5.0, pause=no_pause)
                refused.append(str(told.value))

        call(store, "c1", "aaaaa", 0, 3)
        delete_runs(store, home, ["aaaaa"], at=5.0, pause=other)
        assert "Another process is deleting" in refused[0]


def test_the_folder_goes_with_read_only_files_and_links() -> None:
    """As a user to whom permissions mean something."""
    program = """
import os, sys
from pathlib import Path
from store.retention import _remove

if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
outside, folder = Path(sys.argv[1]) / "outside", Path(sys.argv[1]) / "run"
for made in (outside, folder / "objects" / "ab", folder / "empty"):
    made.mkdir(parents=True)
(outside / "kept").write_text("x")
for name in "cdef", "0123":
    (folder / "objects" / "ab" / name).write_bytes(b"x" * 9000)
    (folder / "objects" / "ab" / name).chmod(0o444)
(folder / "link").symlink_to(outside, target_is_directory=True)
(folder / "gone").symlink_to("nowhere")
(folder / "objects" / "ab").chmod(0o500)
(folder / "objects").chmod(0o000)
(folder / "empty").chmod(0o000)
folder.chmod(0o500)
_remove(folder)
assert not folder.exists()
assert (outside / "kept").read_text() == "x"
"""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o777)
        done = subprocess.run([sys.executable, "-c", program, folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_disk_is_given_back_when_nobody_is_at_work(tmp_path: Path) -> None:
    with opened(tmp_path) as (home, store):
        begin(store, "aaaaa", "bbbbb")

        def fill(run: str) -> None:
            for _ in range(20):
                store.write(
                    lambda connection: events.append(
                        connection, run, [SubagentChecked(False, blobs.put(connection, os.urandom(50_000)))], at=1.0
                    )
                )

        for run in ("aaaaa", "bbbbb"):
            fill(run)
        with store.hold():
            freed = delete_runs(store, home, ["aaaaa"], at=5.0, pause=no_pause)
            assert freed.store == 0
            assert freed.kept > 900_000, "free for what comes next"
        size = on_disk(home.store)
        freed = delete_runs(store, home, [], at=5.0, pause=no_pause)
        assert freed.store > 900_000
        assert freed.kept < 100_000
        assert on_disk(home.store) < size - 900_000


def test_a_deletion_locks_nobody_out(tmp_path: Path) -> None:
    """Each of its transactions is small: another process's writer gets in between any two of them."""
    with opened(tmp_path) as (home, store), open_store(home.store) as other:
        begin(store, "aaaaa", "bbbbb")
        for number in range(40):
            call(store, f"a{number}", "aaaaa", number, 5)
        written = 0

        def write(seconds: float) -> None:
            nonlocal written
            other.write(lambda connection: events.append(connection, "bbbbb", [SubagentChecked(False, "")], at=2.0))
            written += 1

        thread_names = {thread.name for thread in threading.enumerate()}
        assert "store-writer" in thread_names
        delete_runs(store, home, ["aaaaa"], at=5.0, pause=write)
        assert written >= 5
        assert len(events.read(store, run="bbbbb")) == written


def test_digests_in_events_are_found_wherever_they_are() -> None:
    assert re.findall(references._DIGEST, '{"a":["' + "0f" * 20 + '"],"b":"' + "0F" * 20 + '"}') == ["0f" * 20]
