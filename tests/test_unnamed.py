"""Blobs that nothing names are collected, and none that an engine at work has kept and not named yet."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection

from app.failure import Exit
from store import blobs, events, runs, tapes
from store.database import Store, open_store
from store.domain.events import EngineStarted, ToolFinished
from store.home import Home
from store.lock import RunLock
from store.retention import delete_runs
from store.unnamed import unnamed
from tests.shop import RUN, Here, here, nowhere

__all__ = ["here", "nowhere"]


@contextmanager
def opened(folder: Path) -> Iterator[tuple[Home, Store]]:
    home = Home(folder).create()
    with open_store(home.store) as store:
        store.write(lambda connection: runs.create(connection, "aaaaa", "a run", at=1.0))
        yield home, store


def keep(store: Store, data: bytes) -> str:
    return store.write(lambda connection: blobs.keep(connection, data))


def name(store: Store, run: str, digest: str) -> None:
    told = ToolFinished(1, "t", "run", True, 0.1, digest, "")
    store.write(lambda connection: events.append(connection, run, [told], at=1.0))


def begin(store: Store, run: str) -> None:
    def job(connection: Connection) -> None:
        events.append(connection, run, [EngineStarted(1, "1", "", 0, blobs.newest(connection))], at=1.0)

    store.write(job)


def clear(store: Store, home: Home) -> int:
    return delete_runs(store, home, [], at=5.0, pause=lambda seconds: None).unnamed


def test_what_nothing_names_goes_and_is_counted(tmp_path: Path) -> None:
    with opened(tmp_path) as (home, store):
        named, left = keep(store, b"named" * 500), keep(store, os.urandom(5000))
        name(store, "aaaaa", named)
        assert [(blob.digest, blob.size > 5000) for blob in unnamed(store, home)] == [(left, True)]
        (size,) = (blob.size for blob in unnamed(store, home))
        assert clear(store, home) == size
        assert unnamed(store, home) == [] and clear(store, home) == 0
        assert blobs.get(store, named) == b"named" * 500
        with pytest.raises(KeyError):
            blobs.get(store, left)


def test_what_an_engine_has_kept_waits_for_its_name(tmp_path: Path) -> None:
    """From its first event on: what was there before it began may go, unless it has kept that anew."""
    with opened(tmp_path) as (home, store):
        old, again = keep(store, b"old"), keep(store, b"again")
        with RunLock(home.folder("aaaaa").lock) as lock:
            assert lock.acquire()
            begin(store, "aaaaa")
            assert keep(store, b"again") == again
            fresh = keep(store, b"fresh")
            assert [blob.digest for blob in unnamed(store, home)] == [old]
            assert clear(store, home) > 0
            for digest in (again, fresh):
                blobs.get(store, digest)
                name(store, "aaaaa", digest)
        late = keep(store, b"late")
        assert [blob.digest for blob in unnamed(store, home)] == [late], "nobody is at work any more"


def test_an_engine_that_does_not_say_where_it_began_is_left_in_peace(tmp_path: Path) -> None:
    with opened(tmp_path) as (home, store):
        keep(store, b"old")
        with RunLock(home.folder("aaaaa").lock) as lock:
            assert lock.acquire()
            store.write(lambda connection: events.append(connection, "aaaaa", [EngineStarted(1, "0", "")], at=1.0))
            assert unnamed(store, home) == []
            assert clear(store, home) == 0
        assert len(unnamed(store, home)) == 1


def test_a_recorder_holds_nothing_up(tmp_path: Path) -> None:
    """It names what it keeps in the same job."""
    with opened(tmp_path) as (home, store):
        keep(store, b"old")
        with RunLock(home.folder("aaaaa").lock) as lock:
            assert lock.acquire()
            assert clear(store, home) > 0


def test_what_another_runs_events_named_is_not_taken_from_an_engine(tmp_path: Path) -> None:
    """The doomed run made the same patch as the engine has just made, and has not named."""
    with opened(tmp_path) as (home, store):
        store.write(lambda connection: runs.create(connection, "bbbbb", "doomed", at=1.0))
        patch, own = keep(store, b"the patch"), keep(store, b"its own")
        name(store, "bbbbb", patch)
        name(store, "bbbbb", own)
        with RunLock(home.folder("aaaaa").lock) as lock:
            assert lock.acquire()
            begin(store, "aaaaa")
            keep(store, b"the patch")
            delete_runs(store, home, ["bbbbb"], at=5.0, pause=lambda seconds: None)
            assert blobs.get(store, patch) == b"the patch"
            with pytest.raises(KeyError):
                blobs.get(store, own)


ENGINE = """
import sys
from pathlib import Path
from sqlalchemy import Connection
from store import blobs, events
from store.database import open_store
from store.domain.events import EngineStarted, ToolFinished
from store.home import Home
from store.lock import RunLock

home = Home(Path(sys.argv[1]))
with open_store(home.store) as store, store.hold(), RunLock(home.folder("aaaaa").lock) as lock:
    assert lock.acquire()
    def begin(connection: Connection) -> None:
        events.append(connection, "aaaaa", [EngineStarted(1, "1", "", 0, blobs.newest(connection))], at=1.0)
    store.write(begin)
    for turn, line in enumerate(sys.stdin):
        data = line.strip().encode() * 100
        digest = store.write(lambda connection: blobs.keep(connection, data))
        print(digest, flush=True)
        sys.stdin.readline()  # half of it is done; the other half comes when it is told to go on
        told = ToolFinished(turn, "t", "run", True, 0.1, digest, "")
        store.write(lambda connection: events.append(connection, "aaaaa", [told], at=1.0))
        print("named", flush=True)
"""


def test_a_live_engine_loses_nothing(tmp_path: Path) -> None:
    """Another process, stopped again and again between keeping and naming, while what nothing names is collected."""
    with opened(tmp_path) as (home, store):
        left = keep(store, b"left by a crash" * 100)
        with subprocess.Popen(
            [sys.executable, "-c", ENGINE, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdin is not None and process.stdout is not None
            kept: list[str] = []
            for turn in range(6):
                # In turn, bytes that are new, and bytes that nothing names so far.
                print(f"result {turn}" if turn % 2 else "left by a crash" if not turn else f"again {turn}",
                      file=process.stdin, flush=True)  # fmt: skip
                kept.append(process.stdout.readline().strip())
                clear(store, home)
                assert [blob.digest for blob in unnamed(store, home)] == []
                print("go on", file=process.stdin, flush=True)
                assert process.stdout.readline() == "named\n"
            process.stdin.close()
            assert process.wait() == 0
        assert left in kept, "it was kept anew, and so was not the crash's any more"
        for digest in kept:
            blobs.get(store, digest)
        assert clear(store, home) == 0


def test_collecting_again_and_again_beside_a_busy_engine_takes_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as (home, store), open_store(home.store) as other, RunLock(home.folder("aaaaa").lock) as lock:
        assert lock.acquire()
        begin(store, "aaaaa")
        over = threading.Event()
        kept: list[str] = []

        def work() -> None:
            for turn in range(150):
                kept.append(keep(other, f"result {turn % 40}".encode()))
                name(other, "aaaaa", kept[-1])
            over.set()

        thread = threading.Thread(target=work)
        thread.start()
        while not over.is_set():
            clear(store, home)
        thread.join()
        for digest in kept:
            blobs.get(store, digest)
        assert tapes.verify(store, "aaaaa") == []


def test_the_newest_goes_last_so_that_places_are_not_given_twice(tmp_path: Path) -> None:
    """What is kept while a collection goes on comes after all that it looks at."""
    with opened(tmp_path) as (home, store):
        first = keep(store, b"0")
        for number in range(1, 600):
            keep(store, str(number).encode())
        again: list[str] = []

        def meanwhile(seconds: float) -> None:
            again.append(keep(store, b"599" if not again else str(300 + len(again)).encode()))

        delete_runs(store, home, [], at=5.0, pause=meanwhile)
        with pytest.raises(KeyError):
            blobs.get(store, first)
        blobs.get(store, again[0])
        blobs.get(store, again[-1])


def test_prune_collects_and_verify_names_them(here: Here) -> None:
    with open_store(here.home.store) as store:
        # The one of the tests' own home that was put there without a name.
        clear(store, here.home)
        left = keep(store, os.urandom(5000))
    code, out, _ = here("verify", RUN)
    assert code == Exit.FINE, "it is no damage"
    assert "Nothing names 1 blob of the store (5.0 kB); `multitrack prune` collects:" in out and left in out
    told = json.loads(here("prune", "--dry-run", "--json")[1])
    assert told == {"runs": [], "unnamed": {"blobs": 1, "bytes": told["unnamed"]["bytes"]}, "freed": None}
    assert here("prune", "--dry-run")[1] == "1 blob that nothing names: 5.0 kB.\n"
    code, out, _ = here("prune", "--older", "9999w")
    assert code == Exit.FINE and "No run is that old." in out
    assert "5.0 kB of the store were named by nothing." in out
    with open_store(here.home.store) as store, pytest.raises(KeyError):
        blobs.get(store, left)
    assert here("prune")[1] == "The store keeps nothing that nothing names.\n"
    assert "Nothing names" not in here("verify", RUN)[1]
    code, _, err = here("prune", "--keep-solved")
    assert (code, "name an age with --older" in err) == (Exit.USAGE, True)


def test_prune_says_it_as_json(here: Here) -> None:
    with open_store(here.home.store) as store:
        clear(store, here.home)
        keep(store, os.urandom(5000))
    told = json.loads(here("prune", "--json")[1])
    assert told["freed"]["unnamed"] == told["unnamed"]["bytes"] > 5000
    with closing(open_store(here.home.store)) as store:
        assert unnamed(store, here.home) == []
