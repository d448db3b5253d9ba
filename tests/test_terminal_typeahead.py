"""Type-ahead in a real terminal: whole bursts of keys in one write, also while 25 panes stream."""

from pathlib import Path

import pytest

from bench.panes import RUN, Talking, make_home
from store.home import Home
from store.lock import RunLock
from tests import record, runs
from tests.terminal import terminal

pytestmark = pytest.mark.timeout(300)
COMMAND = [runs.PYTHON, "-P", "-m", "app"]


def test_a_burst_goes_where_its_keys_would_go_one_by_one(tmp_path: Path) -> None:
    with record.recorded(tmp_path / "home") as home:
        environ = {"MULTITRACK_HOME": str(home.root), "MULTITRACK_ASCII": "0"}
        with terminal(COMMAND, environ) as screen:
            screen.shows("1 Runs")
            screen.type("2", "/", "2", ".", "3", "x", "BSpace", "Enter", "z")
            screen.until(lambda now: "2.3 history" in now and "2.1 repro" not in now, "the tape of the one")
            screen.type("z", "3", "/", *"idempotent", "Enter", "n")
            screen.shows("/ idempotent: 2 of")
            screen.type("2", "g", *"2.2", "Enter", "m", *"read the lock")
            screen.shows("Steer subagent 2.2", "read the lock")
            screen.type("Escape")
            screen.shows("2.2 trace-the-data", "of 5")


def test_so_it_does_while_25_panes_stream(tmp_path: Path) -> None:
    root = tmp_path / "home"
    make_home(root, 25)
    lock = RunLock(Home(root).folder(RUN).lock)
    assert lock.acquire()
    try:
        environ = {"MULTITRACK_HOME": str(root), "MULTITRACK_ASCII": "0"}
        with terminal(COMMAND, environ, 200, 50) as screen, Talking(root, 25):
            screen.shows("1 Runs")
            screen.type("2")
            screen.until(lambda now: now.count("so I look") > 20, "panes that stream")
            screen.type("/", *"strategy-17x", "BSpace", "Enter", "z")
            screen.shows("1.17 strategy-17", "follows")
            screen.type("z", "/", "C-u", *"strategy-2", "Enter", "m", *"look at the lock")
            screen.shows("Steer subagent 1.2", "look at the lock")
    finally:
        lock.release()
