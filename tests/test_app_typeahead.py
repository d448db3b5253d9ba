"""Type-ahead: many keys at once go where they would go one by one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from textual.events import Key, Paste
from textual.keys import _character_to_key
from textual.pilot import Pilot
from textual.widgets import Input

from app.screens.ask import Ask
from app.screens.form import Form
from app.screens.grid import GridScreen
from app.screens.traces import TracesScreen
from app.studio import Studio
from store import commands
from store.database import open_store
from store.home import Home
from tests import record
from tests.driving import settled, studio, until

SIZE = (120, 40)
NAMED = {"enter": "\r", "tab": "\t"}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with record.recorded(tmp_path) as made:
        yield made


def burst(pilot: Pilot[None], *keys: str) -> None:
    """All keys in one go, as of a terminal that hung: none is looked at before the last has come."""
    for key in keys:
        name = _character_to_key(key) if len(key) == 1 else key
        pilot.app.post_message(Key(name, key if len(key) == 1 else NAMED.get(key)))


async def done(pilot: Pilot[None]) -> None:
    """Wait until all that was typed has been looked at."""
    app = cast("Studio", pilot.app)
    await pilot.pause()
    await until(pilot, lambda: app._worker is not None and app._worker.done(), "the last key")
    await pilot.pause()


async def typed(pilot: Pilot[None], *keys: str) -> Any:
    burst(pilot, *keys)
    await done(pilot)
    return cast("Studio", pilot.app).place


async def test_a_filter_takes_all_that_comes_behind_its_key_and_the_screen_what_comes_behind_enter(home: Home) -> None:
    async with studio(home, "grid", record.LIVE).run_test(size=SIZE) as pilot:
        await settled(pilot)
        grid: GridScreen = await typed(pilot, "slash", *"2.3xx", "backspace", "backspace", "enter", "z")
        assert grid.order.filter.text == "2.3"
        assert list(grid.order.lanes) == [3]
        assert grid.zoom is not None and grid.zoom.who.lane == 3
        grid = await typed(pilot, "escape", "slash", "ctrl+u", *"running", "escape", "space")
        assert (grid.order.filter.text, grid.zoom) == ("", None)
        assert len(grid.marked) == 1, "what comes behind escape is the screen's again"


async def test_what_is_pasted_keeps_its_place(home: Home) -> None:
    async with studio(home, "grid", record.LIVE).run_test(size=SIZE) as pilot:
        await settled(pilot)
        burst(pilot, "slash", "2")
        pilot.app.post_message(Paste(".3 or what"))
        grid = await typed(pilot, *["backspace"] * len(" or what"), "enter", "z")
        assert (grid.order.filter.text, grid.zoom.who.lane) == ("2.3", 3)


async def test_a_search_that_is_typed_at_once_is_gone_to_and_n_behind_it_goes_on(home: Home) -> None:
    async with studio(home, "grid", record.LIVE).run_test(size=SIZE) as pilot:
        await settled(pilot)
        traces: TracesScreen = await typed(pilot, "3", "slash", *"idempo", "enter", "n")
        assert not traces.has_class("searching")
        assert (traces.search.text, traces.search.at) == ("idempo", 1)
        await typed(pilot, "slash", "ctrl+u", *"idempotent", "down", "enter", "slash", "escape", "v")
        assert (traces.search.at, traces.raw) == (1, True)
        assert traces.query_one("#search", Input).value == "idempotent"


async def test_a_search_for_what_is_nowhere_stays_and_escape_waits_for_nothing(home: Home) -> None:
    async with studio(home, "traces", record.LIVE).run_test(size=SIZE) as pilot:
        await settled(pilot)
        traces = await typed(pilot, "slash", *"nowhere-at-all", "enter", "x")
        assert traces.has_class("searching") and traces.query_one("#search", Input).value == "nowhere-at-allx"
        await typed(pilot, "ctrl+u", *"idempotent", "enter", "escape", "v")
        assert traces.raw and not traces.has_class("searching")


async def test_all_of_a_message_is_sent_to_whom_it_was_written(home: Home) -> None:
    async with studio(home, "grid", record.LIVE).run_test(size=SIZE) as pilot:
        await settled(pilot)
        grid = await typed(pilot, "g", *"2.2", "enter", "m", *"look at lcok", *["backspace"] * 3, *"ock", "enter", "z")
        assert grid.zoom is not None and grid.zoom.who.lane == 2
        with open_store(home.store) as store:
            given = commands.pending(store, record.LIVE)
        assert "look at lock" in str(given)


async def test_a_command_is_taken_of_those_for_all_that_was_typed_and_may_open_something(home: Home) -> None:
    async with studio(home, "grid", record.LIVE).run_test(size=SIZE) as pilot:
        await settled(pilot)
        grid = await typed(pilot, "ctrl+p", *"filter", "enter", *"2.3", "enter", "z")
        assert grid.NAME == "grid"
        assert (grid.order.filter.text, grid.zoom.who.lane) == ("2.3", 3)


async def test_a_form_whose_words_are_read_first_gets_what_is_typed_meanwhile(home: Home) -> None:
    async with studio(home, "traces", record.GATE).run_test(size=SIZE) as pilot:
        await settled(pilot)
        await pilot.press("f")
        await settled(pilot)
        await typed(pilot, "a", *"x q", "tab", *"important")
        form = pilot.app.screen
        assert isinstance(form, Form)
        assert form.answers == {"words": "x q", "priority": "important"}


async def test_jump_mode_takes_its_label(home: Home) -> None:
    async with studio(home, "grid", record.LIVE).run_test(size=SIZE) as pilot:
        await settled(pilot)
        before = pilot.app.focused
        await typed(pilot, "apostrophe", "escape", "slash", "z", "escape", "z")
        assert cast("Any", pilot.app).place.zoom is not None
        assert pilot.app.focused is not before


async def test_a_question_is_not_answered_by_what_was_typed_before_it_was_asked(home: Home) -> None:
    async with studio(home, "grid", record.LIVE).run_test(size=SIZE) as pilot:
        await settled(pilot)
        await typed(pilot, "x", "y", "enter")
        assert isinstance(pilot.app.screen, Ask)
        await pilot.press("n")
        with open_store(home.store) as store:
            assert not commands.pending(store, record.LIVE)


async def test_what_was_typed_for_something_that_does_not_open_is_nothing(home: Home) -> None:
    async with studio(home, "grid", record.SOLVED).run_test(size=SIZE) as pilot:
        await settled(pilot)
        grid = await typed(pilot, "z", "slash", "q", "P", "1")
        assert grid.NAME == "grid" and grid.zoom is not None and pilot.app.is_running


async def test_keys_that_come_before_the_run_was_read_wait_for_it(home: Home) -> None:
    async with studio(home, "grid", record.LIVE).run_test(size=SIZE) as pilot:
        grid = await typed(pilot, "slash", *"2.3", "enter", "z")
        await settled(pilot)
        assert (grid.order.filter.text, grid.zoom.who.lane) == ("2.3", 3)
