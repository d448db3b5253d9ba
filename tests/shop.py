"""A home with runs on a small repository, and the command line pointed at it."""

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from app.cli import main
from store import blobs, events, runs
from store.commands import pending, settle
from store.database import Store, open_store
from store.domain.events import (
    CheckResult,
    EngineStarted,
    GenerationDesigned,
    Payload,
    RunCreated,
    SubagentChecked,
    SubagentEnded,
    SubagentLaunched,
    TurnStarted,
)
from store.domain.ids import SubagentId
from store.domain.limits import Spend, Usage
from store.domain.states import Ending
from store.domain.strategy import LanePlan, Strategy
from store.domain.task import Check, Task
from store.home import Home
from store.lock import RunLock
from store.recording import CallEnd, CallStart, close_call, open_call

NOW = 1_795_400_000.0
RUN, OTHER = "7k3ab", "7m2qt"
ESCAPE = "\x1b[31mred"
PATCH = b"""diff --git a/shop.py b/shop.py
--- a/shop.py
+++ b/shop.py
@@ -1 +1 @@
-held = 1
+held = 2
"""


@dataclass
class Here:
    """A home with a run on a repository, and the command line pointed at it."""

    home: Home
    repository: Path
    capture: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, standard output, standard error."""
        code = main(arguments)
        told = self.capture.readouterr()
        return int(code), told.out, told.err

    def add(self, *payloads: Payload, run: str = RUN, generation: int | None = None, lane: int | None = None) -> None:
        with open_store(self.home.store) as store:
            store.write(
                lambda connection: events.append(connection, run, payloads, at=NOW, generation=generation, lane=lane)
            )


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, in an empty folder, without a key."""
    monkeypatch.setenv("MULTITRACK_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    monkeypatch.delenv("MULTITRACK_DEBUG", raising=False)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


@pytest.fixture
def here(nowhere: Path, capsys: pytest.CaptureFixture[str]) -> Here:
    repository = nowhere / "work" / "shop"
    git(repository.parent, "init", "-q", str(repository))
    git(repository, "config", "user.name", "Ada")
    git(repository, "config", "user.email", "ada@example.org")
    (repository / "shop.py").write_text("held = 1\n", encoding="utf-8")
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "Begin")
    revision = git(repository, "rev-parse", "HEAD")
    home = Home(nowhere / "home").create()
    task = Task(goal="mend it", repository=str(repository), check=Check("make check"))
    with open_store(home.store) as store:
        for at, run in enumerate((OTHER, RUN)):
            store.write(partial(runs.create, run=run, title=f"shop {ESCAPE}", at=NOW + at))
            home.folder(run).create()
    here = Here(home, repository, capsys)
    for run in (OTHER, RUN):
        here.add(RunCreated(task, f"shop {ESCAPE}", revision, 7), EngineStarted(1, "0", "http://127.0.0.1:1"), run=run)
    plans = tuple(LanePlan(lane, Strategy(f"way {lane}", "think"), clean=lane == 2) for lane in (1, 2))
    here.add(GenerationDesigned(plans), generation=1)
    with open_store(home.store) as store:
        digest = store.write(lambda connection: blobs.put(connection, PATCH))
        _record(store)
    for lane in (1, 2):
        solved = lane == 1
        here.add(
            SubagentLaunched("/sandbox", "m"),
            TurnStarted(1),
            SubagentEnded(Ending.SUBMITTED, "", Spend(turns=1)),
            SubagentChecked(solved, digest if solved else "", result=CheckResult(solved, 0, 0, 1.0, "", "")),
            generation=1,
            lane=lane,
        )
    return here


def _record(store: Store) -> None:
    body = {
        "model": "m",
        "max_tokens": 5,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Begin with the ledger."}]}],
    }
    answer = {
        "role": "assistant",
        "content": [
            {"type": "text", "text": f"I look {ESCAPE} at it"},
            {"type": "tool_use", "id": "t1", "name": "run", "input": {"command": "make check"}},
        ],
    }
    start = CallStart(
        "c1", NOW, RUN, SubagentId(RUN, 1, 1), "anthropic", "POST", "/v1/messages", json.dumps(body).encode()
    )
    end = CallEnd("c1", NOW + 2, 200, complete=True, messages=[answer], usage=Usage(10, 5), usd=0.5, response=b"bytes")
    store.write(lambda connection: open_call(connection, start))
    store.write(lambda connection: close_call(connection, end))


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, check=True, text=True)
    return done.stdout.strip()


@contextmanager
def engine(home: Home, run: str, answer: Callable[[str], tuple[bool, str]]) -> Iterator[None]:
    """Holds the run and settles its orders, as an engine does."""
    over = threading.Event()

    def work() -> None:
        with open_store(home.store) as store:
            while not over.is_set():
                for order in pending(store, run):
                    applied, outcome = answer(order.name)
                    store.write(partial(settle, command=order.id, applied=applied, outcome=outcome, at=NOW))
                over.wait(0.02)

    lock = RunLock(home.folder(run).lock)
    assert lock.acquire()
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        lock.release()
