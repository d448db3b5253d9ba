"""`multitrack play` on the command line, and in a real terminal."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from app import cli
from store import runs as store_runs
from store.database import open_store
from store.home import Home
from tests import record, runs
from tests.terminal import terminal


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    with record.recorded(tmp_path, alive=()) as opened:
        monkeypatch.setenv("MULTITRACK_HOME", str(opened.root))
        yield opened


def test_json_tells_what_lies_on_the_timeline(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["play", record.SOLVED, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["run"] == record.SOLVED
    assert told["plays"] <= told["seconds"]
    kinds = [mark["kind"] for mark in told["marks"]]
    assert (kinds.count("generation"), kinds.count("solved"), kinds[-1]) == (4, 8, "end")
    solved = next(mark for mark in told["marks"] if mark["kind"] == "solved")
    assert (solved["generation"], solved["lane"]) == (2, 4)
    assert solved["text"].startswith("2.4: check passed")
    assert [mark["event"] for mark in told["marks"]] == sorted(mark["event"] for mark in told["marks"])
    assert cli.main(["play", record.SOLVED, "--json", "--silences"]) == 0
    loud = json.loads(capsys.readouterr().out)
    assert loud["plays"] == pytest.approx(loud["seconds"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "needs a terminal"),
        (("--speed", "100"), "not within 0.5 and 64"),
        (("--speed", "fast"), "no speed"),
        (("--from", "nowhere"), "is no place in a run"),
    ],
)
def test_what_can_not_be_done_is_said(
    home: Home, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], said: str
) -> None:
    assert cli.main(["play", record.SOLVED, *options]) == 2
    assert said in capsys.readouterr().err


def test_a_run_without_events_is_refused_in_words(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    with open_store(home.store) as store:
        store.write(lambda connection: store_runs.create(connection, "barer", "bare", at=record.NOW))
    assert cli.main(["play", "barer", "--json"]) != 0
    assert "multitrack calls barer" in capsys.readouterr().err
    assert cli.main(["play", "nobody", "--json"]) != 0


@pytest.mark.timeout(300)
def test_it_is_played_in_a_terminal_and_left_for_the_live_screens(home: Home) -> None:
    line = [runs.PYTHON, "-P", "-m", "app", "play", record.SOLVED, "--from", "gen:2", "--paused"]
    with terminal(line, {"MULTITRACK_HOME": str(home.root)}, 160, 45) as screen:
        screen.shows("playback", "‖ 1×", "generation 2 of 5", "2.1 reproduce-first")
        screen.type("S")
        screen.shows("✔ solved")
        screen.type("<")
        screen.until(lambda now: "✔ solved" not in now, "the turn before")
        screen.type("+", "+", "+", "+", "+", "+", "Space")
        screen.shows("64×", "subagent 4.1 passes the check")
        screen.resize(80, 24)
        screen.shows("‖ 64×")
        screen.type("P")
        screen.until(lambda now: "playback" not in now and "solved" in now, "the live screens")
        screen.type("q")
        screen.until(lambda _: not screen.alive, "the screen's end")
