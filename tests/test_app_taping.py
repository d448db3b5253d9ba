"""Runs to files and from files, on the list of runs."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot

from app.screens.form import Form
from app.studio import Studio
from store.home import Home
from tests import record
from tests.driving import settled, shown, studio, until
from widgets.runlist import RunList

TALK = [{"role": "user", "content": "Two and two?"}, {"role": "assistant", "content": "Four [b]."}]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with record.recorded(tmp_path / "home") as opened:
        yield opened


def told(app: Studio) -> str:
    return "\n".join(notification.message for notification in app._notifications)


async def asked(pilot: Pilot[None], key: str, answer: str = "") -> None:
    await pilot.press(key)
    await until(pilot, lambda: isinstance(pilot.app.screen, Form), "the form")
    pilot.app.screen.query_one("Input").value = answer  # type: ignore[attr-defined] # an Input
    await pilot.press("enter")


async def test_a_run_goes_to_a_file_and_comes_from_it(home: Home, tmp_path: Path) -> None:
    app, file = studio(home, "runs", record.SOLVED), tmp_path / "it.tape"
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        await asked(pilot, "w", str(file))
        await until(pilot, lambda: f"Run {record.SOLVED} in {file}" in told(app), "what was written")
        # No file is written over.
        await asked(pilot, "w", str(file))
        await until(pilot, lambda: "is there already" in shown(pilot), "what is wrong")
        await pilot.press("escape")
        await asked(pilot, "i", str(file))
        await until(pilot, lambda: "nothing was changed" in told(app), "that it is here")
    other = Home(tmp_path / "other")
    app = studio(other, "runs")
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        await asked(pilot, "i", str(file))
        await until(pilot, lambda: app.screen.query_one(RunList).cursor == record.SOLVED, "the run")


async def test_what_another_program_recorded_is_shown_when_it_is_here(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "talk.json"
    file.write_text(json.dumps({"messages": TALK}), "utf-8")
    app = studio(home, "runs", record.LIVE)
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        before = set(app.world.tracks)
        await asked(pilot, "i", str(file))
        await until(pilot, lambda: "is here: 1 call" in told(app), "that it is here")
        await until(pilot, lambda: app.screen.query_one(RunList).cursor not in {*before, ""}, "the run")
        assert "openai" in shown(pilot)


async def test_a_file_that_is_refused_is_told_in_a_sentence(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "x.tape"
    file.write_bytes(b"multitrack-tape 9\n")
    app = studio(home, "runs", record.LIVE)
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        await asked(pilot, "i", str(file))
        await until(pilot, lambda: "newer Multitrack" in told(app), "why not")
        assert "Traceback" not in told(app) and len(app.world.tracks) == 4
        await asked(pilot, "i", str(tmp_path / "none"))
        await until(pilot, lambda: "there is no file" in shown(pilot), "what is wrong")


async def test_a_run_that_goes_on_is_not_exported(home: Home) -> None:
    app = studio(home, "runs", record.LIVE)
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        assert app.track is not None and app.track.alive
        await pilot.press("w")
        await until(pilot, lambda: "when it is over" in told(app), "why not")
