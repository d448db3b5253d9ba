"""A first-time user's path in a real terminal: demo, gate, drop one, edit one, pin one, add one, launch; and the next
generation's prompt has just that."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from store import observations, tapes
from store.database import open_store
from store.domain.lane import Lane
from store.domain.observations import Document, Observation, Status, select
from store.home import Home
from tests import runs
from tests.terminal import terminal

pytestmark = pytest.mark.timeout(300)

MINE = "Reads are safe while the ledger is closed."


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = Home(tmp_path / "home").create()
    yield made
    for run in (made.root / "runs").iterdir():
        for process in runs.processes("backends.engine", run.name):
            os.kill(process, signal.SIGTERM)


def of(document: Document, status: Status) -> list[Observation]:
    return [o for o in document.observations if o.status is status]


def test_what_is_curated_is_what_the_next_generation_reads(home: Home) -> None:
    environ = {"MULTITRACK_HOME": str(home.root)}
    demo = [runs.PYTHON, "-P", "-m", "app", "demo", "--sandbox", "local", "--seed", "1", "--pace", "400"]
    with terminal(demo, environ, 160, 45) as screen, open_store(home.store) as store:
        screen.shows("gate after generation 1")
        run = next(path.name for path in (home.root / "runs").iterdir())

        def document() -> Document:
            found = observations.load(store, run)
            assert found is not None
            return found

        screen.type("4")
        screen.shows("generation 2 is told", "Evidence")
        screen.type("x")
        runs.until(lambda: bool(of(document(), Status.DROPPED)), "the drop")
        (dropped,) = of(document(), Status.DROPPED)
        screen.until(lambda now: dropped.id not in now, "the list without it")
        screen.type("e")
        screen.shows("editing o-")
        screen.type("-l", "In my words: ")
        screen.type("C-s")
        runs.until(lambda: bool(of(document(), Status.EDITED)), "the edit")
        (edited,) = of(document(), Status.EDITED)
        screen.until(lambda now: "editing o-" not in now and "In my words" in now, "the list")
        screen.type("j")
        screen.type("p")
        runs.until(lambda: bool(of(document(), Status.PINNED)), "the pin")
        (pinned,) = of(document(), Status.PINNED)
        screen.shows("pinned")
        screen.type("a")
        screen.shows("a new observation")
        screen.type("-l", MINE)
        screen.type("C-s")
        runs.until(lambda: bool(of(document(), Status.KEPT)), "what was added")
        (added,) = of(document(), Status.KEPT)
        screen.until(lambda now: "a new observation" not in now and added.id in now, "the list with it")
        curated = document()
        screen.type("l")
        screen.until(lambda now: "gate after generation 1" not in now, "the launch")
        runs.until(lambda: len(_began(home, run)) == 4, "the second generation")
        cap = runs.board(home, run).task.injected_tokens
        for lane in _began(home, run):
            prompt = tapes.system(store, next(iter(tapes.calls(store, subagent=lane.id))))
            assert select(curated, cap, lane.plan.without).text in prompt
            assert MINE in prompt
            assert "In my words: " in prompt
            assert f"({dropped.id} " not in prompt
            assert prompt.index(f"({pinned.id} ") < prompt.index(f"({edited.id} ")
        assert {edited.id, pinned.id, added.id} <= set(select(curated, cap).ids)
        screen.type("X")
        screen.shows("Stop run")
        screen.type("y")
        runs.until(lambda: runs.board(home, run).finished is not None, "the end of the run")
        runs.until(lambda: not runs.processes("backends.engine", run), "the end of its engine")


def _began(home: Home, run: str) -> list[Lane]:
    """The lanes of the second generation that remember, and whose first call is on the tape."""
    lanes = runs.board(home, run).generations
    return [lane for lane in lanes[2].lanes.values() if lane.turn > 1 and not lane.plan.clean] if 2 in lanes else []
