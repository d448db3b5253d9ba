"""The main path in a real terminal: the demo's panes move, the gate waits, one key launches."""

import re
from pathlib import Path

import pytest

from store.home import Home
from tests import runs
from tests.terminal import Terminal, terminal

pytestmark = pytest.mark.timeout(300)

LABELS = [f"1.{lane}" for lane in range(1, 6)]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home").create()


def multitrack(*arguments: str) -> list[str]:
    return [runs.PYTHON, "-P", "-m", "app", *arguments]


def turns(screen: str) -> list[str]:
    """What the panes say of their turns: `3/11`."""
    return re.findall(r"\d+/11", screen)


def test_five_panes_move_then_the_gate_waits_for_a_key(home: Home) -> None:
    environ = {"MULTITRACK_HOME": str(home.root)}
    with terminal(multitrack("demo", "--sandbox", "local", "--seed", "1", "--pace", "400"), environ, 160, 45) as screen:
        first = screen.shows(*LABELS, "scripted")
        moved = screen.until(lambda now: len(turns(now)) >= 5 and turns(now) != turns(first), "panes that move")
        assert len(turns(moved)) >= 5
        screen.until(lambda now: "gate" in now.lower() and "launch" in now.lower(), "the gate")
        screen.type("l")
        screen.shows("2.1", "2.5")
        screen.type("q")
        screen.until(lambda _: not screen.alive, "the screen's end")
    assert_goes_on(home)


def assert_goes_on(home: Home) -> None:
    """The engine has outlived its screen. It is ended here, as an operator would."""
    run = next(path.name for path in (home.root / "runs").iterdir())
    engines = runs.processes("backends.engine", run)
    assert len(engines) == 1
    with terminal(multitrack(), {"MULTITRACK_HOME": str(home.root)}) as again:
        again.shows(run)
        _open_grid(again)
        again.shows("2.1", "2.5")
        again.type("X")
        again.until(lambda now: "stop" in now.lower(), "the question before the end")
        again.type("y")
        runs.until(lambda: runs.board(home, run).finished is not None, "the end of the run")
        runs.until(lambda: not runs.processes("backends.engine", run), "the end of its engine")
        again.shows("Stopped by the operator")
    assert runs.processes(f"MULTITRACK_SANDBOX={run}") == []


def _open_grid(screen: Terminal) -> None:
    screen.type("Enter")
