"""The Traces screen in use: windows as they are looked at, errors, tapes side by side, what is done with a node."""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, TextArea

from app.faults import Faults
from app.screens.form import Form
from app.screens.side import SideScreen
from app.screens.traces import TracesScreen
from app.spots import OfResult, OfTold, OfTurn
from backends.observer.evidence import check_evidence
from bench import bigrun
from store import commands, tapes
from store.database import Store, open_store
from store.domain.blocks import blocks
from store.domain.board import Board
from store.domain.commands import ChangeObservations, Fork
from store.domain.ids import SubagentId
from store.domain.observations import Document, Priority
from store.domain.observations.changes import Add
from store.home import Home
from tests import record
from tests.driving import settled, shown, studio, until
from widgets.docview import DocView
from widgets.sidebyside import SideBySide

SIZE = (120, 40)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with record.recorded(tmp_path) as made:
        yield made


@pytest.fixture
def store(home: Home) -> Iterator[Store]:
    with open_store(home.store) as opened:
        yield opened


def told(pilot: Pilot[None]) -> str:
    """What the operator was told."""
    return "\n".join(note.message for note in pilot.app._notifications)


def traces(pilot: Pilot[None]) -> TracesScreen:
    app = cast("object", pilot.app)
    place = getattr(app, "place", None)
    assert isinstance(place, TracesScreen)
    return place


async def at_turn(pilot: Pilot[None], lane: int, turn: int) -> None:
    """Stand on a turn of the second generation."""
    from app.screens.going import Goal

    screen = traces(pilot)
    screen.go_to(Goal(SubagentId(record.LIVE, 2, lane), "", turn))
    await until(
        pilot,
        lambda: (
            screen.cursor is not None
            and isinstance(screen.cursor.data, OfTurn)
            and (screen.cursor.data.turn, screen.cursor.loaded) == (turn, True)
        ),
        f"turn {turn}",
    )
    await settled(pilot)


async def test_a_long_run_opens_with_what_is_in_sight(tmp_path: Path) -> None:
    home = Home(tmp_path).create()
    bigrun.make(home.store, 24_000, generations=2, lanes=3)
    async with studio(home, "traces", bigrun.RUN).run_test(size=SIZE) as pilot:
        await settled(pilot)
        screen = traces(pilot)
        trace = screen.trace
        assert trace is not None
        await pilot.press("G", "l")
        await until(pilot, lambda: "turn 1 " in shown(pilot), "the first turns")
        await pilot.press("G")
        await until(pilot, lambda: "turn 2000" in shown(pilot), "the last turns")
        assert len(trace.outline.rows) > 2000
        assert len(trace.outline) < 1500
        # An error in the middle of what was never looked at.
        await pilot.press("g", "right_curly_bracket")
        await until(pilot, lambda: isinstance(getattr(screen.cursor, "data", None), OfResult), "the first error")
        assert "exit code 1" in "".join(text for text, _ in screen.cursor.line)  # type: ignore[union-attr]


async def test_a_run_is_described_also_where_its_trace_is_there_first(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = studio(home, "traces", record.SOLVED)
    held: list[Board] = []
    take = app.live.take
    monkeypatch.setattr(app.live, "take", held.append)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: held and "run h9xpd" in shown(pilot), "the trace alone")
        await until(pilot, lambda: not [one for one in app.workers if not one.is_finished], "the readers")
        assert record.TASK.goal[:30] not in app.screen.query_one("#node", DocView).text
        monkeypatch.undo()
        for board in held:
            take(board)
        app.live.version += 1
        await until(pilot, lambda: record.TASK.goal[:30] in app.screen.query_one("#node", DocView).text, "its goal")


async def test_errors_only_has_a_row_for_each_and_leads_to_it(home: Home) -> None:
    async with studio(home, "traces", record.LIVE).run_test(size=SIZE) as pilot:
        await settled(pilot)
        screen = traces(pilot)
        await pilot.press("e")
        await settled(pilot)
        assert isinstance(screen.faults, Faults)
        assert "turn 4  › run" in shown(pilot)
        await pilot.press("down", "down", "down", "enter")
        await until(pilot, lambda: screen.faults is None, "the whole trace")
        await until(pilot, lambda: isinstance(getattr(screen.cursor, "data", None), OfResult), "the error")
        assert screen.cursor is not None
        assert screen.cursor.key.startswith("1.1 t4 ")
        await pilot.press("right_curly_bracket")
        await until(pilot, lambda: screen.cursor is not None and screen.cursor.key.startswith("1.1 t5 "), "the next")
        await pilot.press("left_curly_bracket")
        await until(pilot, lambda: screen.cursor is not None and screen.cursor.key.startswith("1.1 t4 "), "that before")


async def test_errors_only_begins_at_the_error_next_to_where_one_reads(home: Home) -> None:
    async with studio(home, "traces", record.LIVE).run_test(size=SIZE) as pilot:
        await settled(pilot)
        await at_turn(pilot, 3, 5)
        screen = traces(pilot)
        assert isinstance(screen.cursor and screen.cursor.data, OfTurn)
        # At once: what is not yet read leads there, too.
        await pilot.press("e", "enter")
        await until(pilot, lambda: isinstance(getattr(screen.cursor, "data", None), OfResult), "the error")
        assert screen.cursor is not None and screen.cursor.key.startswith("2.3 t5 ")


async def test_two_tapes_stand_side_by_side(home: Home) -> None:
    async with studio(home, "traces", record.LIVE).run_test(size=SIZE) as pilot:
        await settled(pilot)
        await at_turn(pilot, 3, 6)
        await pilot.press("d")
        await until(
            pilot, lambda: isinstance(pilot.app.screen, SideScreen) and pilot.app.screen.rows is not None, "both tapes"
        )
        side = cast("SideScreen", pilot.app.screen)
        assert (side.left.label, side.right.label) == ("2.3", "1.3")
        await until(pilot, lambda: "2.3 goes on alone" in shown(pilot), "where they part")
        view = side.query_one(SideBySide)
        await pilot.press("g", "n")
        assert view.cursor == 6
        await pilot.press("right_square_bracket")
        await until(pilot, lambda: side.right.label != "1.3" and side.rows is not None, "another tape")
        await pilot.press("g", "enter")
        await until(pilot, lambda: pilot.app.screen is not side, "the trace")
        screen = traces(pilot)
        await until(
            pilot,
            lambda: (
                screen.cursor is not None and isinstance(screen.cursor.data, OfTurn) and screen.cursor.data.turn == 1
            ),
            "the turn",
        )


async def test_a_node_is_written_and_copied(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for name in ("TMUX", "STY", "DISPLAY", "WAYLAND_DISPLAY", "TERM_PROGRAM"):
        monkeypatch.delenv(name, raising=False)
    async with studio(home, "traces", record.LIVE).run_test(size=SIZE) as pilot:
        await settled(pilot)
        await at_turn(pilot, 1, 4)
        await pilot.press("w")
        file = home.folder(record.LIVE).path / "nodes" / "2.1-turn-4.txt"
        await until(pilot, lambda: "Written to" in told(pilot), "the word")
        assert "first byte" in file.read_text()
        await pilot.press("y")
        await until(pilot, lambda: "to copy" in told(pilot), "the word")
        assert "first byte" in pilot.app.clipboard
        await pilot.press("o")
        await until(pilot, lambda: "can't be given to another program" in told(pilot), "why not")


async def test_a_node_becomes_an_observation(home: Home, store: Store) -> None:
    async with studio(home, "traces", record.LIVE).run_test(size=SIZE) as pilot:
        await settled(pilot)
        await at_turn(pilot, 1, 4)
        await pilot.press("a")
        await until(pilot, lambda: isinstance(pilot.app.screen, Form), "the form")
        await pilot.press("enter")
        assert isinstance(pilot.app.screen, Form), "it has to say something"
        pilot.app.screen.query_one(TextArea).text = "The lock is not held across the refund."
        pilot.app.screen.query_one(Input).value = "important"
        await pilot.press("enter")
        await until(pilot, lambda: commands.pending(store, record.LIVE), "the order")
    (order,) = [one.command for one in commands.pending(store, record.LIVE)]
    assert isinstance(order, ChangeObservations)
    (added,) = order.changes
    assert isinstance(added, Add)
    assert (added.text, added.priority) == ("The lock is not held across the refund.", Priority.IMPORTANT)
    (seen,) = added.evidence
    assert (seen.subagent, seen.turn) == (SubagentId(record.LIVE, 2, 1), 4)
    assert seen.quote == blocks(tapes.node(store, seen.node).message)[seen.block].text[seen.start : seen.end]
    assert not check_evidence(store, added.apply(Document(record.LIVE)))


async def test_a_subagent_is_forked_from_a_turn(home: Home, store: Store) -> None:
    async with studio(home, "traces", record.LIVE).run_test(size=SIZE) as pilot:
        await settled(pilot)
        await pilot.press("F")
        assert "choose a turn" in told(pilot).lower()
        await at_turn(pilot, 1, 4)
        await pilot.press("F")
        await until(pilot, lambda: isinstance(pilot.app.screen, Form), "the form")
        pilot.app.screen.query_one(TextArea).text = "I look at the refund first."
        await pilot.press("enter")
        await until(pilot, lambda: commands.pending(store, record.LIVE), "the order")
    (order,) = [one.command for one in commands.pending(store, record.LIVE)]
    assert isinstance(order, Fork)
    assert order.call.startswith("c7k3ab")
    assert order.text == "I look at the refund first."


async def test_a_forks_words_are_there_to_be_edited_or_left(home: Home, store: Store) -> None:
    async with studio(home, "traces", record.LIVE).run_test(size=SIZE) as pilot:
        await settled(pilot)
        await at_turn(pilot, 1, 1)
        screen = traces(pilot)
        children = screen.cursor.children if screen.cursor is not None else []
        await until(pilot, lambda: any(isinstance(item.data, OfTold) for item in children), "what it was told")
        screen.treeview.point(next(item for item in children if isinstance(item.data, OfTold) and not item.data.node))
        await settled(pilot)
        assert "a fork has a prompt of its own" in screen.why_not("fork")
        first = next(item for item in children if isinstance(item.data, OfTold) and item.data.node)
        screen.treeview.point(first)
        for words in ("Begin.", "Begin with the refunds."):
            await pilot.press("F")
            await until(pilot, lambda: isinstance(pilot.app.screen, Form), "the form")
            area = pilot.app.screen.query_one(TextArea)
            assert area.text == "Begin.", "its own words are there"
            area.text = words
            await pilot.press("enter")
            await until(pilot, lambda: not isinstance(pilot.app.screen, Form), "the trace")
        await until(pilot, lambda: len(commands.pending(store, record.LIVE)) == 2, "the orders")
    left, edited = (one.command for one in commands.pending(store, record.LIVE))
    assert isinstance(left, Fork) and isinstance(edited, Fork) and isinstance(first.data, OfTold)
    assert (left.node, left.text) == (first.data.node, None)
    assert (edited.node, edited.text) == (first.data.node, "Begin with the refunds.")


async def test_the_screen_stands_at_every_size(home: Home) -> None:
    async with studio(home, "traces", record.LIVE).run_test(size=SIZE) as pilot:
        await settled(pilot)
        await at_turn(pilot, 3, 5)
        for size in ((80, 24), (200, 50), (40, 12), (20, 5), (120, 40)):
            await pilot.resize_terminal(*size)
            await settled(pilot)
        assert "turn 5" in shown(pilot)
        assert "✗" in shown(pilot)
        assert traces(pilot).query_one("#node", DocView).text
