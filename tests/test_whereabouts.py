"""Where the operator was: kept in a file, and shown again when the app is opened."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.pilot import Pilot

from app import whereabouts
from app.screens.convergence import ConvergenceScreen
from app.screens.grid import GridScreen
from app.screens.traces import TracesScreen
from app.whereabouts import KEPT, GridWhere, Kept, TraceWhere, Whereabouts
from store.home import Home
from tests import record
from tests.driving import settled, shown, studio, until
from widgets.layout import Mode
from widgets.matrix import Matrix

SIZE = (120, 40)
WHERE = Whereabouts(
    "grid",
    "abcde",
    GridWhere("abcde", 1, 2, "tape", "cost>1", "COST", "LIST"),
    TraceWhere("abcde", 1, 2, "k", 3, 4, True),
)

KEYS = ("screen", "run", "grid", "trace", "lane", "view", "errors", "filter")
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(KEYS) | st.text(), inner),
)


@given(json_values)
def test_whatever_a_file_says_it_is_read(said: object) -> None:
    found = whereabouts.read(json.dumps(said))
    assert whereabouts.read(whereabouts.write(found)) == found


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"grid": 3, "trace": [], "run": {}}', "[" * 100_000, "\x00"])
def test_a_broken_file_is_the_beginning(text: str) -> None:
    assert whereabouts.read(text) == Whereabouts()


def test_what_is_understood_counts() -> None:
    said = json.loads(whereabouts.write(WHERE))
    said["grid"]["lane"], said["trace"]["errors"], said["more"] = "second", 1, {}
    found = whereabouts.read(json.dumps(said))
    assert (found.grid.lane, found.grid.filter, found.trace.errors, found.trace.turn) == (0, "cost>1", False, 3)
    assert whereabouts.read(whereabouts.write(WHERE)) == WHERE


def test_each_home_has_its_own_and_few_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    one, other = (Kept(folder, Home(tmp_path / name)) for name in "ab")
    one.write(WHERE)
    assert (one.read(), other.read()) == (WHERE, Whereabouts())
    assert folder.stat().st_mode & 0o777 == 0o700
    for number in range(KEPT + 10):
        Kept(folder, Home(tmp_path / str(number))).write(WHERE)
    assert len(list(folder.iterdir())) == KEPT


def test_it_is_found_in_the_users_state_folder(tmp_path: Path) -> None:
    assert Kept.default({"MULTITRACK_STATE": str(tmp_path)}, Home(tmp_path)).path.parent == tmp_path


def test_a_folder_that_cannot_be_written_costs_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    kept = Kept(tmp_path / "file" / "state", Home(tmp_path))
    kept.write(WHERE)
    assert kept.read() == Whereabouts()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with record.recorded(tmp_path / "home") as opened:
        yield opened


def opened(home: Home, run: str | None = None, screen: str = "runs") -> Any:
    return studio(home, screen, run, kept=Kept(home.root.parent / "state", home))


async def left(pilot: Pilot[None], *keys: str) -> None:
    await settled(pilot)
    for key in keys:
        await pilot.press(key)
        await settled(pilot)
    await pilot.press("q")


async def test_the_grid_is_shown_as_it_was_left(home: Home) -> None:
    app = opened(home, record.LIVE, "grid")
    async with app.run_test(size=SIZE) as pilot:
        await left(pilot, "o", "o", "w", "slash", *"1.|2.", "enter", "left_square_bracket", "right", "space", "z")
    app = opened(home)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        grid = cast("GridScreen", app.place)
        assert (app.run_name, grid.NAME, grid.looking, grid.wall.mode) == (record.LIVE, "grid", 1, Mode.PANES)
        assert (grid.order.sort.name, grid.order.filter.text) == ("STATE", "1.|2.")
        assert grid.zoom is not None
        who = grid.zoom.who
        await pilot.press("escape")
        assert grid.wall.selected == who.lane != grid.order.lanes[0]
        assert grid.marked == set(), "orders go to what is marked: that is begun anew"


async def test_generations_side_by_side_are(home: Home) -> None:
    app = opened(home, record.LIVE, "grid")
    async with app.run_test(size=SIZE) as pilot:
        await left(pilot, "b", "left", "down")
    assert (app.where.grid.view, app.where.grid.generation) == ("beside", 1)
    lane = app.where.grid.lane
    app = opened(home)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        assert app.place.besides
        there = app.place.query_one(Matrix).lane
        assert (there.id.generation, there.id.lane) == (1, lane)


async def test_another_run_begins_at_its_beginning(home: Home) -> None:
    app = opened(home, record.LIVE, "grid")
    async with app.run_test(size=SIZE) as pilot:
        await left(pilot, "o", "slash", *"2.2", "enter", "z")
    app = opened(home, record.SOLVED, "grid")
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        grid = app.place
        assert (grid.order.sort.name, grid.order.filter.text, grid.zoom) == ("LANE", "", None)


@pytest.mark.parametrize("keys", [("down", "down", "enter", "down", "down"), ("f", "down", "down", "v"), ("e",), ()])
async def test_the_tree_is_where_it_was_left(home: Home, keys: tuple[str, ...]) -> None:
    app = opened(home, record.LIVE, "traces")
    async with app.run_test(size=SIZE) as pilot:
        await left(pilot, *keys)
        before = app.where.trace
        assert before.key
    app = opened(home)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        traces = cast("TracesScreen", app.place)
        await until(pilot, lambda: traces.cursor is not None, "the tree")
        await settled(pilot)
        app.note()
        assert app.where.trace == before
        assert (traces.faults is not None, traces.raw) == ("e" in keys, "v" in keys)


async def test_a_run_that_is_gone_leads_to_the_list_of_runs(home: Home) -> None:
    kept = Kept(home.root.parent / "state", home)
    kept.write(Whereabouts("traces", "gone1", trace=TraceWhere("gone1", 1, 1, "1.1")))
    app = opened(home)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        await until(pilot, lambda: app.place is not None and app.place.NAME == "runs", "the list")


async def test_what_is_no_longer_so_is_left(home: Home) -> None:
    kept = Kept(home.root.parent / "state", home)
    kept.write(Whereabouts("grid", record.LIVE, GridWhere(record.LIVE, 77, 99, "tape", "cost>x", "GONE", "GONE")))
    app = opened(home)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        grid = app.place
        assert (grid.looking, grid.zoom, grid.order.filter.text) == (None, None, "")
        assert len(grid.order.lanes) == 5


async def test_a_playback_is_no_place_to_come_back_to(home: Home) -> None:
    app = opened(home, record.SOLVED, "grid")
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        before = app.where
        app.note()
        noted = app.where
        await pilot.press("P")
        await until(pilot, lambda: app.playback is not None, "the playback")
        await pilot.press("3")
        app.note()
        assert app.where == noted != before


async def test_which_runs_are_drawn_together(home: Home) -> None:
    app = opened(home, record.LIVE, "convergence")
    async with app.run_test(size=SIZE) as pilot:
        await left(pilot, "a", "a")
    app = opened(home)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        assert isinstance(app.place, ConvergenceScreen)
        app.note()
        assert app.where.scope == "ALL"
        assert "runs" in shown(pilot)
