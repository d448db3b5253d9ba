"""Leaving and coming back in a real terminal, and the title of one that something begins to need the operator in."""

from pathlib import Path

import pytest

from store import events
from store.database import open_store
from store.domain.events import Alert
from store.domain.states import AlertLevel
from tests import record, runs
from tests.terminal import terminal

pytestmark = pytest.mark.timeout(300)
COMMAND = [runs.PYTHON, "-P", "-m", "app"]


def test_it_opens_where_it_was_left_and_says_in_the_title_who_needs_the_operator(tmp_path: Path) -> None:
    with record.recorded(tmp_path / "home") as home:
        environ = {
            "MULTITRACK_HOME": str(home.root),
            "MULTITRACK_STATE": str(tmp_path / "state"),
            "MULTITRACK_ASCII": "0",
        }
        with terminal(COMMAND, environ) as screen:
            screen.shows(record.LIVE, "1 Runs")
            screen.type("2")
            screen.shows("2.1 reproduce-first", "2.5")
            screen.until(lambda _: screen.title == "(1) multitrack", "the gate of the other run in the title")
            screen.type("/")
            screen.shows("progress>50%")
            screen.type("r", "u", "n", "n", "i", "n", "g", "Enter")
            screen.shows("of 5 running")
            screen.type("[")
            screen.shows("looking back at generation 1")
            screen.type("]", "z")
            screen.shows("follows", "2.1 reproduce-first")
            with open_store(home.store) as store:
                alert = Alert("same-call", "the same call five times", level=AlertLevel.STUCK)
                store.write(lambda c: events.append(c, record.LIVE, [alert], at=record.NOW, generation=2, lane=1))
            screen.until(lambda _: screen.title == "(2) multitrack", "the title")
            screen.type("q")
            screen.until(lambda _: not screen.alive, "the screen's end")
        assert [path.suffix for path in (tmp_path / "state").iterdir()] == [".json"]
        with terminal(COMMAND, environ) as screen:
            screen.shows("2 Grid", "2.1 reproduce-first", "follows", "▲ stuck: the same call five times")
            screen.type("Escape")
            screen.shows("of 5 running", "┏━")
            screen.type("q")
            screen.until(lambda _: not screen.alive, "the screen's end")
