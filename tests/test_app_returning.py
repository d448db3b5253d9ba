"""What was scrolled to and unfolded is as it was left, also on a terminal of another size."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from textual.events import MouseScrollDown
from textual.pilot import Pilot

from app.screens.grid import GridScreen
from app.screens.traces import TracesScreen
from app.unfolding import closed, opened
from app.whereabouts import BRANCHES, GridWhere, Kept, TraceWhere, Whereabouts, read, write
from store.home import Home
from tests import record
from tests.driving import settled, studio, until
from widgets.docview import DocView
from widgets.tape import TapeView
from widgets.tracetree import TraceTree

WIDE, NARROW = (120, 30), (90, 22)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with record.recorded(tmp_path / "home") as made:
        yield made


def kept(home: Home) -> Kept:
    return Kept(home.root.parent / "state", home)


def app(home: Home, run: str | None = None, screen: str = "runs") -> Any:
    return studio(home, screen, run, kept=kept(home))


def place(pilot: Pilot[None]) -> Any:
    return cast("Any", pilot.app).place


async def press(pilot: Pilot[None], *keys: str) -> None:
    for key in keys:
        await pilot.press(key)
        await settled(pilot)


async def traces(pilot: Pilot[None]) -> TracesScreen:
    await settled(pilot)
    screen = place(pilot)
    assert isinstance(screen, TracesScreen)
    await until(pilot, lambda: screen.trace is not None and screen.cursor is not None, "the tree")
    await settled(pilot)
    return screen


async def unfolded(pilot: Pilot[None]) -> TracesScreen:
    """The traces, when what was open is again."""
    screen = await traces(pilot)
    await until(pilot, lambda: not screen.unfolding.left, "what was open")
    await settled(pilot)
    return screen


def branches(screen: TracesScreen) -> tuple[set[str], list[str]]:
    assert screen.trace is not None
    return set(opened(screen.trace.outline, 0)), closed(screen.trace.outline)


def first(view: TraceTree) -> str:
    top = view.top()
    assert top is not None
    return top.key


async def test_branches_and_the_rows_over_the_cursor(home: Home) -> None:
    async with app(home, record.LIVE, "traces").run_test(size=WIDE) as pilot:
        screen = await traces(pilot)
        # The earlier generation is opened, two subagents in it, turns and a tool call; the later one is closed.
        await press(pilot, *"jljljjljljjljk", "G", "h", "h", "h")
        for _ in range(6):
            await press(pilot, "k")
        tree = screen.treeview
        before, top, above, cursor = branches(screen), first(tree), tree.above, tree.cursor
        assert len(before[0]) == 5 and before[1] and cursor is not None
        await press(pilot, "q")
    for size in (WIDE, NARROW):
        async with app(home).run_test(size=size) as pilot:
            screen = await unfolded(pilot)
            tree = screen.treeview
            assert branches(screen) == before
            assert tree.cursor is not None and tree.cursor.key == cursor.key
            if size == WIDE:
                assert (first(tree), tree.above) == (top, above)
            else:
                assert tree.above is not None and tree.above <= (above or 0)
            await press(pilot, "q")


async def test_what_was_scrolled_to_though_the_cursor_is_elsewhere(home: Home) -> None:
    async with app(home, record.LIVE, "traces").run_test(size=NARROW) as pilot:
        screen = await traces(pilot)
        await press(pilot, *"jjljljjjljjl", "g")
        tree = screen.treeview
        for _ in range(3):
            tree.post_message(MouseScrollDown(tree, 3, 3, 0, 1, 0, False, False, False))
            await settled(pilot)
        await until(pilot, lambda: tree.above is None, "that the cursor is out of sight")
        await settled(pilot)
        top = first(tree)
        await press(pilot, "q")
    async with app(home).run_test(size=(70, 22)) as pilot:
        screen = await traces(pilot)
        await until(pilot, lambda: first(screen.treeview) == top, "what was at the top")
        await settled(pilot)
        assert first(screen.treeview) == top
        assert screen.treeview.above is None
        await press(pilot, "j")
        assert screen.treeview.above is not None, "a key brings the cursor back"


async def test_where_one_read_in_a_node(home: Home) -> None:
    async with app(home, record.LIVE, "traces").run_test(size=NARROW) as pilot:
        screen = await traces(pilot)
        await press(pilot, "f", "v", "tab")
        node = screen.query_one("#node", DocView)
        assert node.has_focus
        await press(pilot, "pagedown", "pagedown", "k", "k")
        before, key = node.place, screen.cursor and screen.cursor.key
        assert before.part > 0
        await press(pilot, "q")
    for size in (WIDE, NARROW):
        async with app(home).run_test(size=size) as pilot:
            screen = await traces(pilot)
            node = screen.query_one("#node", DocView)
            assert (screen.cursor and screen.cursor.key, screen.raw) == (key, True)
            most = len(node._rows) - node.size.height
            assert node.place.part == before.part or node.scroll_offset.y == most
            if size == NARROW:
                assert node.place == before
                await press(pilot, "j")
                assert node.scroll_offset.y == 0, "another node begins at its top"
            else:
                kept(home).write(cast("Any", pilot.app).where)


@pytest.mark.parametrize("size", [WIDE, NARROW, (60, 24), (200, 50)])
async def test_where_one_read_in_a_whole_tape(home: Home, size: tuple[int, int]) -> None:
    async with app(home, record.LIVE, "grid").run_test(size=(60, 24)) as pilot:
        await settled(pilot)
        await press(pilot, "z", "home", "pagedown", "pagedown")
        view = pilot.app.screen.query_one(TapeView)
        before = view.place
        assert before is not None and before.part > 2
        await press(pilot, "q")
    async with app(home).run_test(size=size) as pilot:
        await settled(pilot)
        grid: GridScreen = place(pilot)
        view = grid.query_one(TapeView)
        await until(pilot, lambda: grid.zoom is not None and grid.zoom.ready and grid.zoom.back is None, "the tape")
        await settled(pilot)
        if view.place is None:
            assert view.below == 0 and size[1] > 24, "on a terminal that shows all there is no place to hold"
        else:
            assert view.place.part == before.part
            await pilot.resize_terminal(60, 24)
            await settled(pilot)
            assert view.place.part == before.part
        await press(pilot, "end")
        assert view.following and view.place is None


async def test_a_tape_that_was_followed_is_followed(home: Home) -> None:
    async with app(home, record.LIVE, "grid").run_test(size=(60, 24)) as pilot:
        await settled(pilot)
        await press(pilot, "z", "q")
    assert kept(home).read().grid.part == -1
    async with app(home).run_test(size=(60, 24)) as pilot:
        await settled(pilot)
        assert pilot.app.screen.query_one(TapeView).following


async def test_what_is_gone_and_what_makes_no_sense_is_left(home: Home) -> None:
    keys = ("2.1 #999", "9.9 #1", "2.1 #0", "x #y", "٢.1 #٣", f"{'9' * 190}.1 #1", "gone", "2.1", "2.1 #1")
    where = TraceWhere(record.LIVE, 2, 1, "gone", 77, 0, False, False, 500, (), keys, ("g9", "g2"), 10**9, 10**9)
    grid = GridWhere(record.LIVE, 0, 1, "tape", part=10**9, letters=10**9)
    kept(home).write(Whereabouts("traces", record.LIVE, grid, where))
    async with app(home).run_test(size=NARROW) as pilot:
        screen = await traces(pilot)
        assert {"2.1", "2.1 #1"} <= branches(screen)[0]
        await press(pilot, "2")
        assert pilot.app.screen.query_one(TapeView).below == 0
        await press(pilot, "3", "j", "q")


def test_the_file_stays_small_whatever_it_is_told() -> None:
    many = tuple(f"key {number}" for number in range(5000))
    said = json.loads(write(Whereabouts(trace=TraceWhere(opened=many, closed=many, top=many))))
    said["trace"]["opened"][3] = 4
    said["trace"]["closed"] = "none"
    found = read(json.dumps(said)).trace
    assert (len(found.opened), found.opened[3], len(found.top), found.closed) == (BRANCHES - 1, "key 4", BRANCHES, ())
