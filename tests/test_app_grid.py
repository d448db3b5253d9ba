"""The grid driven by keys on a recorded store: several at once, filters, a whole tape, generations side by side."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, TextArea

from app.screens.ask import Ask
from app.screens.form import Form
from app.screens.grid import GridScreen
from app.studio import Studio
from store import commands, events
from store.database import Store, open_store
from store.domain.commands import Command, Kill, Pause, Raise, Restart, Steer
from store.domain.events import Alert, SubagentSteered, ToolStarted, TurnStarted
from store.domain.states import AlertLevel
from store.home import Home
from tests import record
from tests.driving import settled, shown, studio, until
from tests.test_app_studio import told
from widgets.tape import TapeView

SIZE = (120, 40)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with record.recorded(tmp_path) as opened:
        yield opened


@pytest.fixture
def store(home: Home) -> Iterator[Store]:
    with open_store(home.store) as opened:
        yield opened


def grid(app: Studio) -> GridScreen:
    assert isinstance(app.place, GridScreen)
    return app.place


def ordered(store: Store) -> list[Command | None]:
    return [pending.command for pending in commands.pending(store, record.LIVE)]


def settle(store: Store, number: int, *, applied: bool) -> None:
    store.write(lambda c: commands.settle(c, number, applied=applied, outcome="so", at=record.NOW))


async def form(pilot: Pilot[None], said: str) -> None:
    await until(pilot, lambda: isinstance(pilot.app.screen, Form) and said in shown(pilot), said)


async def test_several_are_paused_by_one_key_and_killed_after_one_question(home: Home, store: Store) -> None:
    app = studio(home, "grid", record.LIVE)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        await pilot.press("A")
        assert grid(app).marked == {1, 2, 3, 4, 5}
        assert "● 5 marked" in shown(pilot)
        await pilot.press("p")
        await until(pilot, lambda: len(ordered(store)) == 3, "the orders")
        assert sorted(ordered(store), key=str) == [Pause(2, 1), Pause(2, 2), Pause(2, 5)]
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, Ask), "the question")
        assert "Kill 4 subagents: 2.1, 2.2, 2.4, 2.5?" in " ".join(shown(pilot).split())
        await pilot.press("n")
        await settled(pilot)
        assert len(ordered(store)) == 3
        for pending in commands.pending(store, record.LIVE):
            settle(store, pending.id, applied=pending.command != Pause(2, 5))
        await until(pilot, lambda: "pause: 2 of 3 taken; refused by 2.5" in told(pilot), "what came of it")
        await pilot.press("x", "y")
        await until(pilot, lambda: len(ordered(store)) == 4, "the orders")
        assert {type(order) for order in ordered(store)} == {Kill}
        await pilot.press("escape")
        assert not grid(app).marked


async def test_one_is_marked_and_unmarked(home: Home) -> None:
    app = studio(home, "grid", record.LIVE)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        await pilot.press("space", "right", "space")
        assert grid(app).marked == {1, 4}
        await pilot.press("space")
        assert grid(app).marked == {1}


async def test_a_message_is_typed_and_sent(home: Home, store: Store) -> None:
    async with studio(home, "grid", record.LIVE).run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        await pilot.press("m")
        await form(pilot, "Steer subagent 2.1")
        await pilot.press("enter")
        await until(pilot, lambda: "nothing to say yet" in shown(pilot), "what is missing")
        await pilot.press(*"look at", "ctrl+j", *"pay.py")
        assert pilot.app.screen.query_one(TextArea).text == "look at\npay.py"
        await pilot.press("enter")
        await until(pilot, lambda: ordered(store), "the order")
        assert ordered(store) == [Steer(2, 1, "look at\npay.py")]


async def test_limits_are_raised_for_all_that_are_marked(home: Home, store: Store) -> None:
    async with studio(home, "grid", record.LIVE).run_test(size=SIZE) as pilot:
        await settled(pilot)
        await pilot.press("space", "right", "space", "plus")
        await form(pilot, "2 subagents: 2.1, 2.4")
        await pilot.press(*"10", "enter")
        await until(pilot, lambda: "only raised" in shown(pilot), "what is wrong")
        await pilot.press("backspace", "backspace", *"+50%", "tab", "tab", *"5", "enter")
        await until(pilot, lambda: len(ordered(store)) == 2, "the orders")
        assert ordered(store) == [Raise(2, 1, turns=36, usd=5.0), Raise(2, 4, turns=36, usd=5.0)]


async def test_another_strategy_is_asked_for_where_one_could_work(home: Home, store: Store) -> None:
    async with studio(home, "grid", record.LIVE).run_test(size=SIZE) as pilot:
        await settled(pilot)
        await pilot.press("s")
        await form(pilot, "Restart subagent 2.1")
        await pilot.press("enter")
        await until(pilot, lambda: "name another strategy" in shown(pilot), "what is missing")
        await pilot.press(*"history", "enter")
        await until(pilot, lambda: ordered(store), "the order")
        assert ordered(store) == [Restart(2, 1, "history")]
        await pilot.press("s", "escape")
        await settled(pilot)
        assert len(ordered(store)) == 1


async def test_what_needs_the_operator_comes_forward_without_anything_moving(home: Home, store: Store) -> None:
    app = studio(home, "grid", record.LIVE)

    def happens(payload: Alert, lane: int) -> None:
        store.write(lambda c: events.append(c, record.LIVE, [payload], at=record.NOW, generation=2, lane=lane))

    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        wall = grid(app).wall
        before, regions = list(wall.lanes), [child.region for child in wall.children]
        await pilot.press("right", "right")
        assert wall.selected == 2
        happens(Alert("idle", "nothing was changed in ten turns", level=AlertLevel.STUCK), 5)
        await until(pilot, lambda: "nothing was changed" in shown(pilot).splitlines()[2], "the strip")
        assert wall.lanes == before
        assert wall.selected == 2
        assert [child.region for child in wall.children] == regions
        assert "u renew" in shown(pilot)
        for stuck_then_warned_then_paused in (5, 1, 4, 5):
            await pilot.press("a")
            assert wall.selected == stuck_then_warned_then_paused
        await pilot.press("1")
        await settled(pilot)
        await pilot.press("2")
        await settled(pilot)
        assert wall.lanes == [5, 1, 4, 2, 3], "the operator was away: nobody was reading"
        happens(Alert("note", "the tests run 40 s", level=AlertLevel.NOTE), 3)
        await pilot.press("p")
        await until(pilot, lambda: ordered(store), "the order")
        await until(
            pilot, lambda: "nothing was changed" not in shown(pilot).splitlines()[2], "an alert acted on is quiet"
        )


async def test_a_filter_is_typed_and_cleared(home: Home) -> None:
    app = studio(home, "grid", record.LIVE)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        wall = grid(app).wall
        await pilot.press("slash", *"paused|solved")
        assert set(wall.lanes) == {3, 4}
        await pilot.press("enter")
        assert "2 of 5 paused|solved" in shown(pilot)
        assert app.focused is wall
        await pilot.press("g", *"2.5", "enter")
        await until(pilot, lambda: wall.selected == 5, "the lane that the filter hid")
        await pilot.press("slash", *"cost>9", "escape")
        assert len(wall.lanes) == 5
        await pilot.press("slash", *"cost>a", "enter")
        await until(pilot, lambda: "an amount is wanted" in told(pilot), "the reason")
        await pilot.press("escape")
        await settled(pilot)
        await pilot.press("w", "w")
        assert wall.listed
        assert "· list" in shown(pilot)


async def test_a_filter_that_is_typed_all_at_once_counts(home: Home) -> None:
    app = studio(home, "grid", record.LIVE)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        await pilot.press("slash")
        app.screen.query_one("#filter", Input).value = "paused"
        # The line is told before what has changed in it is.
        grid(app).on_input_submitted(Input.Submitted(app.screen.query_one("#filter", Input), "paused"))
        assert grid(app).order.lanes == (4,)
        assert app.focused is grid(app).wall


async def test_the_whole_tape_of_one_is_read_and_followed(home: Home, store: Store) -> None:
    app = studio(home, "grid", record.LIVE)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        await pilot.press("z")
        await until(pilot, lambda: "follows" in shown(pilot), "the tape")
        tape = app.screen.query_one(TapeView)
        await pilot.press("home")
        await settled(pilot)
        assert "turn 1 ─" in shown(pilot)
        assert "rows below" in shown(pilot)
        payload = SubagentSteered("look at the bank")
        store.write(lambda c: events.append(c, record.LIVE, [payload], at=record.NOW, generation=2, lane=1))
        more = [TurnStarted(8), ToolStarted(8, "t8", "run", "run make the-newest")]
        store.write(lambda c: events.append(c, record.LIVE, more, at=record.NOW, generation=2, lane=1))
        await until(pilot, lambda: grid(app).zoom is not None and len(tape._rows) and "turn 8/24" in shown(pilot), "it")
        assert "turn 1 ─" in shown(pilot)
        assert "the-newest" not in shown(pilot)
        await pilot.press("end")
        await until(pilot, lambda: "› run make the-newest" in shown(pilot), "the end")
        assert "» look at the bank" in shown(pilot)
        await pilot.press("right")
        await until(pilot, lambda: "2.4 invariants" in shown(pilot).splitlines()[2], "the neighbour's tape")
        await pilot.press("left_square_bracket")
        await until(pilot, lambda: "1.4 invariants" in shown(pilot).splitlines()[3], "that of the generation before")
        await pilot.press("escape")
        await settled(pilot)
        assert grid(app).zoom is None
        assert "1.1 reproduce-first" in shown(pilot)


async def test_generations_side_by_side(home: Home) -> None:
    app = studio(home, "grid", record.LIVE)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        await pilot.press("b")
        await settled(pilot)
        screen = shown(pilot)
        assert "generation 1" in screen
        assert "▸ generation 2" in screen
        assert "✔ solved" in screen
        await pilot.press("left", "s")
        await until(pilot, lambda: "Only a subagent of the latest generation" in told(pilot), "the reason")
        await pilot.press("escape")
        await settled(pilot)
        assert "looking back at generation 1" in shown(pilot)
        assert "1.1 reproduce-first" in shown(pilot)


async def test_a_run_that_is_over_needs_nobody(home: Home) -> None:
    async with studio(home, "grid", record.SOLVED).run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        assert "✔ 4 solved  ✗ 1 unsolved" in shown(pilot)
        await pilot.press("a")
        await until(pilot, lambda: "No subagent needs you." in told(pilot), "the reason")
