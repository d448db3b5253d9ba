"""Runs on practice bugs with a real engine, for the tests that need a whole one."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from app.demo import demo_task
from app.engines import command, create_run
from store.database import Store, open_store
from store.domain.board import Board
from store.domain.events import Event
from store.domain.task import Task
from store.events import read
from store.home import Home
from tests.waiting import pauses

DEADLINE = 240.0
"""Seconds after which a run that should have come on counts as hung; far above what it takes."""


def order(
    home: Home, *, practice: str = "one", seed: int = 3, gates_open: bool = True, pace: float = 0.0, **changes: object
) -> str:
    """A small run on a practice bug: two generations of two lanes, one of them clean, unless told otherwise."""
    task = replace(demo_task(home, practice), **{"generations": 2, "lanes": 2, **changes})  # type: ignore[arg-type]
    return order_task(home, task, seed=seed, gates_open=gates_open, pace=pace, practice=practice)


def order_task(
    home: Home, task: Task, *, seed: int = 3, gates_open: bool = True, pace: float = 0.0, practice: str = "one"
) -> str:
    return create_run(home, task, title="A test", seed=seed, scripted=practice, gates_open=gates_open, pace=pace)


@contextlib.contextmanager
def engine(home: Home, run: str) -> Iterator["subprocess.Popen[bytes]"]:
    """An engine of our own, killed at the end if it is still there."""
    with home.folder(run).log.open("ab") as log:
        process = subprocess.Popen(
            command(home, run), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def finish(home: Home, run: str) -> Board:
    """Let an engine take the run to its end; the board as it then stands."""
    with engine(home, run) as process:
        assert process.wait(DEADLINE) == 0, home.folder(run).log.read_text()
    return board(home, run)


def board(home: Home, run: str) -> Board:
    made = Board(run)
    for event in log(home, run):
        made.apply(event)
    return made


def log(home: Home, run: str, *, after: int = 0) -> list[Event]:
    with open_store(home.store) as store:
        return read(store, run=run, after=after)


def until(condition: Callable[[], bool], what: str, deadline: float = DEADLINE) -> None:
    """Wait for a condition; AssertionError that says what when it doesn't come."""
    for pause in pauses(condition, what, deadline):
        time.sleep(pause)


def until_event(store: Store, run: str, kind: str, *, after: int, process: "subprocess.Popen[bytes]") -> Event:
    """The first event of a kind after a sequence number. The engine must live until then."""
    found: list[Event] = []

    def there() -> bool:
        assert process.poll() is None, f"the engine left before {kind}"
        found.extend(event for event in read(store, run=run, after=after) if event.payload.kind == kind)
        return bool(found)

    until(there, kind)
    return found[0]


def processes(*marks: str) -> list[int]:
    """Live processes whose environment or command line has all the marks in it."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            text = (entry / "environ").read_bytes() + b"\0" + (entry / "cmdline").read_bytes()
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            if state != "Z" and all(mark.encode() in text for mark in marks):
                found.append(int(entry.name))
    return found


def kill(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


PYTHON = sys.executable
