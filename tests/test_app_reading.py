"""Traces, observations and report driven by keys, on a recorded store."""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from app.screens.grid import GridScreen
from app.screens.traces import TracesScreen
from app.studio import Studio
from store import events
from store.database import Store, open_store
from store.domain.events import ToolStarted, TurnStarted
from store.domain.ids import SubagentId
from store.home import Home
from tests import record
from tests.driving import settled, shown, studio, until
from widgets.docview import DocView
from widgets.tracetree import TraceTree
from widgets.wall import Wall

SIZE = (120, 40)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with record.recorded(tmp_path) as opened:
        yield opened


@pytest.fixture
def store(home: Home) -> Iterator[Store]:
    with open_store(home.store) as opened:
        yield opened


def told(pilot: Pilot[None]) -> str:
    """What the operator was told in passing."""
    return "\n".join(notice.message for notice in pilot.app._notifications)


def grid(app: Studio) -> GridScreen:
    assert isinstance(app.place, GridScreen)
    return app.place


async def go(pilot: Pilot[None], lane: int) -> None:
    """Select a lane by its number."""
    await pilot.press("g", str(lane))
    wall = grid(cast("Studio", pilot.app)).query_one(Wall)
    await until(pilot, lambda: wall.selected == lane and isinstance(pilot.app.screen, GridScreen), f"lane {lane}")
    await settled(pilot)


async def test_the_trace_grows_without_moving_the_reader(home: Home, store: Store) -> None:
    app = studio(home, "traces", record.LIVE)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        assert isinstance(app.place, TracesScreen)
        tree = app.place.query_one(TraceTree)
        await pilot.press("G")
        for _ in range(5):
            await pilot.press("l", "k")
        await settled(pilot)
        # The reader looks at the last subagent; the first one, above it, is open and goes on.
        trace = app.place.trace
        assert trace is not None
        first = trace.lane(SubagentId(record.LIVE, 2, 1))
        assert first is not None
        trace.outline.open(first)
        tree.grown()
        await pilot.press("G")
        await pilot.pause()
        cursor, row = tree.looked_at()
        assert cursor is tree.cursor and tree.scroll_offset.y
        place = row - tree.scroll_offset.y
        for turn in range(8, 12):
            started = (TurnStarted(turn), ToolStarted(turn, f"t{turn}", "run", "run make test"))
            store.write(lambda c, s=started: events.append(c, record.LIVE, s, at=record.NOW, generation=2, lane=1))  # type: ignore[misc]
        await until(pilot, lambda: trace.turn(SubagentId(record.LIVE, 2, 1), 11) is not None, "the turns")
        await until(pilot, lambda: tree.outline.row(cursor) == row + 4, "their rows")  # type: ignore[arg-type] # there is one
        await pilot.pause()
        assert tree.cursor is cursor
        assert row + 4 - tree.scroll_offset.y == place


async def test_a_turn_is_read_when_it_is_opened(home: Home) -> None:
    app = studio(home, "traces", record.LIVE)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        await pilot.press("f")
        await settled(pilot)
        assert isinstance(app.place, TracesScreen)
        cursor = app.place.query_one(TraceTree).cursor
        assert cursor is not None
        await until(pilot, lambda: cursor.loaded, "the words")
        assert "call c7k3ab" in shown(pilot)
        await pilot.press("v")
        await until(pilot, lambda: "Request  POST" in app.place.query_one("#node", DocView).text, "the request")  # type: ignore[union-attr]


async def test_search_goes_to_what_was_found(home: Home) -> None:
    app = studio(home, "traces", record.LIVE)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        await pilot.press("slash")
        assert isinstance(app.focused, Input)
        await pilot.press(*"idempotent")
        await until(pilot, lambda: "found" in shown(pilot), "what was found, without enter")
        await pilot.press("enter")
        await until(pilot, lambda: "1 of" in shown(pilot), "a hit")
        await settled(pilot)
        assert "idempotent" in app.place.query_one("#node", DocView).text  # type: ignore[union-attr]
        await pilot.press("n")
        await settled(pilot)
        assert "2 of" in shown(pilot)
        await pilot.press("slash", "ctrl+u", *"nowhere")
        await until(pilot, lambda: "Nothing in this run has" in shown(pilot), "the word")


async def test_errors_only(home: Home) -> None:
    async with studio(home, "traces", record.LIVE).run_test(size=(120, 60)) as pilot:
        await settled(pilot)
        await pilot.press("e")
        await settled(pilot)
        screen = shown(pilot)
        assert "✗ exit code 1" in screen
        assert "✔" not in "\n".join(line[:48] for line in screen.splitlines() if "solved" not in line)


async def test_the_tape_of_a_pane(home: Home) -> None:
    app = studio(home, "grid", record.LIVE)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        await go(pilot, 3)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.place, TracesScreen), "the trace")
        await settled(pilot)
        assert "subagent 2.3" in shown(pilot)
        assert "Find the commit that brought it." in shown(pilot)


async def test_the_report_before_and_after_the_end(home: Home) -> None:
    app = studio(home, "report", record.LIVE)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        assert "The report is written when the run ends" in shown(pilot)
        assert "draws how it converged" in shown(pilot)
        app.show_run(record.SOLVED)
        await settled(pilot)
        await pilot.press("G")
        await until(pilot, lambda: "async with self._lock" in shown(pilot), "the patch")
