"""The app driven by keys, on a recorded store: what is shown, what is ordered, and what is asked first."""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from textual.pilot import Pilot

from app.screens.grid import GridScreen
from app.studio import Studio
from store import commands, events
from store.database import Store, open_store
from store.domain.commands import Kill, Launch, Pause, Stop
from store.domain.events import GateOpened, TurnStarted
from store.domain.ids import SubagentId
from store.home import Home
from store.tail import TailWriter, tail_path
from tests import record
from tests.driving import settled, shown, studio, until
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


async def test_nothing_recorded_says_what_to_do_and_makes_no_store(tmp_path: Path) -> None:
    home = Home(tmp_path / "new")
    async with studio(home, "runs").run_test(size=SIZE) as pilot:
        await until(pilot, lambda: "multitrack demo" in shown(pilot), "the empty state")
        assert "multitrack init" in shown(pilot)
        await pilot.press("2", "3", "4", "5", "enter", "l", "x", "r")
        await pilot.pause()
    assert not home.store.exists()


async def test_a_store_that_appears_is_picked_up(tmp_path: Path) -> None:
    home = Home(tmp_path / "new")
    async with studio(home, "runs").run_test(size=SIZE) as pilot:
        await until(pilot, lambda: "multitrack demo" in shown(pilot), "the empty state")
        with record.recorded(home.root):
            await until(pilot, lambda: record.SOLVED in shown(pilot), "the runs")


async def test_a_store_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    # However long its path is, the reason that follows it is read.
    home = Home(tmp_path / "-".join(["a folder"] * 12)).create()
    home.store.write_bytes(b"no database at all, but long enough to be looked at by SQLite" * 20)
    async with studio(home, "runs").run_test(size=SIZE) as pilot:
        await until(pilot, lambda: "move that file away" in shown(pilot), "the reason")
        assert "is not a SQLite database" in " ".join(shown(pilot).split())
        assert "Opening" not in shown(pilot)


async def test_runs_lists_all_and_enter_opens_the_grid(home: Home) -> None:
    app = studio(home, "runs")
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        screen = shown(pilot)
        for said in ("▶ running", "◆ at gate", "✔ solved", "◇ failed", "2/5", "scripted model", "1 at gate"):
            assert said in screen
        await pilot.press("down", "enter")
        await settled(pilot)
        assert app.run_name == record.GATE
        assert "gate after generation 3" in shown(pilot)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 50)])
async def test_the_grid_shows_five_panes_at_every_size(home: Home, size: tuple[int, int]) -> None:
    async with studio(home, "grid", record.LIVE).run_test(size=size) as pilot:
        await settled(pilot)
        screen = shown(pilot)
        for said in ("2.1 repr", "2.2 trace", "2.3 hist", "2.4 inv", "2.5 plain", "clean", "scripted model", "solved"):
            assert said in screen
        assert "turn 7/24" in screen
        assert "the same call three times" in screen


async def test_selection_by_arrows_tab_number_and_mouse(home: Home) -> None:
    app = studio(home, "grid", record.LIVE)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        wall = grid(app).query_one(Wall)
        assert wall.selected == 1
        assert wall.lanes == [1, 4, 2, 3, 5], "who needs the operator comes first"
        await pilot.press("o")
        assert wall.lanes == [1, 2, 3, 4, 5]
        for key, lane in (("right", 2), ("down", 4), ("tab", 5), ("tab", 1), ("shift+tab", 5), ("home", 1), ("end", 5)):
            await pilot.press(key)
            await until(pilot, lambda lane=lane: wall.selected == lane, f"{key} to lane {lane}")  # type: ignore[misc]
        await go(pilot, 3)
        await pilot.click(wall, offset=(5, 25))
        await until(pilot, lambda: wall.selected == 4, "the pane that was clicked")


async def test_kill_asks_once_and_then_orders(home: Home, store: Store) -> None:
    app = studio(home, "grid", record.LIVE)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        await pilot.press("x", "n")
        await settled(pilot)
        assert commands.pending(store, record.LIVE) == []
        await pilot.press("x")
        await until(pilot, lambda: "Kill subagent 2.1" in shown(pilot), "the question")
        await pilot.press("y")
        await until(pilot, lambda: commands.pending(store, record.LIVE), "the order")
        (order,) = commands.pending(store, record.LIVE)
        assert order.command == Kill(2, 1)
        store.write(
            lambda c: commands.settle(c, order.id, applied=True, outcome="subagent 2.1 is killed", at=record.NOW)
        )
        await until(pilot, lambda: "kill 2.1: subagent 2.1 is killed" in told(pilot), "the outcome")


async def test_pause_continue_and_why_not(home: Home, store: Store) -> None:
    app = studio(home, "grid", record.LIVE)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        await pilot.press("p")
        await until(pilot, lambda: commands.pending(store, record.LIVE), "the order")
        assert commands.pending(store, record.LIVE)[0].command == Pause(2, 1)
        await pilot.press("c")
        await go(pilot, 3)
        await pilot.press("p")
        await until(pilot, lambda: "Subagent 2.1 is not paused." in told(pilot), "the reason")
        assert "Subagent 2.3 has ended its work." in told(pilot)
        assert len(commands.pending(store, record.LIVE)) == 1


async def test_the_footer_shows_what_works_now(home: Home) -> None:
    app = studio(home, "grid", record.LIVE)
    async with app.run_test(size=(160, 40)) as pilot:
        await settled(pilot)
        footer = shown(pilot).splitlines()[-1]
        assert "Kill" in footer
        assert "Pause" in footer
        assert "Launch" not in footer
        assert "Continue" not in footer
        await go(pilot, 4)
        footer = shown(pilot).splitlines()[-1]
        assert "Continue" in footer
        assert "Pause" not in footer


@pytest.mark.parametrize(("key", "rest"), [("l", False), ("L", True)])
@pytest.mark.parametrize("screen", ["grid", "observations"])
async def test_the_gate_is_passed_by_one_key(home: Home, store: Store, screen: str, key: str, rest: bool) -> None:
    async with studio(home, screen, record.GATE).run_test(size=SIZE) as pilot:
        await settled(pilot)
        assert "launch generation 4" in shown(pilot)
        await pilot.press(key)
        await until(pilot, lambda: commands.pending(store, record.GATE), "the order")
        assert commands.pending(store, record.GATE)[0].command == Launch(rest)


async def test_a_gate_that_opens_rings_once(home: Home, store: Store) -> None:
    app = studio(home, "grid", record.LIVE)
    rings: list[int] = []
    app.bell = lambda: rings.append(1)  # type: ignore[method-assign]  # what would sound is counted
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        opened = GateOpened(waits=True)
        store.write(lambda c: events.append(c, record.LIVE, [opened], at=record.NOW, generation=2))
        await until(pilot, lambda: "gate after generation 2" in shown(pilot), "the banner")
        store.write(lambda c: events.append(c, record.LIVE, [TurnStarted(9)], at=record.NOW, generation=2, lane=1))
        await until(pilot, lambda: "turn 9/24" in shown(pilot), "the turn")
        assert rings == [1]


async def test_looking_back_while_the_next_generation_runs(home: Home, store: Store) -> None:
    app = studio(home, "grid", record.LIVE)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        await pilot.press("left_square_bracket")
        await settled(pilot)
        assert "1.1 reproduce-first" in shown(pilot)
        assert "looking back at generation 1" in shown(pilot)
        store.write(lambda c: events.append(c, record.LIVE, [TurnStarted(9)], at=record.NOW, generation=2, lane=1))
        await until(pilot, lambda: app.track and app.track.board.generations[2].lanes[1].turn == 9, "the event")
        assert "1.1 reproduce-first" in shown(pilot)
        await pilot.press("left_square_bracket")
        await until(pilot, lambda: "first generation" in told(pilot), "the reason")
        await pilot.press("right_square_bracket")
        await settled(pilot)
        assert "2.1 reproduce-first" in shown(pilot)


async def test_text_streams_into_its_pane(home: Home) -> None:
    tail = TailWriter(tail_path(home.store))
    async with studio(home, "grid", record.LIVE).run_test(size=SIZE) as pilot:
        await settled(pilot)
        who = SubagentId(record.LIVE, 2, 2)
        tail.put(who, "c9", "reasoning", "perhaps [red]the bank[/red]\x1b[2J answers late")
        tail.flush()
        await until(pilot, lambda: "perhaps [red]the bank" in shown(pilot), "the text")
        assert "\x1b" not in shown(pilot)
        tail.put(who, "c9", "text", "so I look at the retries")
        tail.flush()
        await until(pilot, lambda: "so I look at the retries" in shown(pilot), "more text")


async def test_without_an_engine_the_run_is_interrupted_and_r_starts_one(tmp_path: Path) -> None:
    started: list[str] = []
    with record.recorded(tmp_path, alive=()) as home:
        app = studio(home, "grid", record.LIVE, start_engine=started.append)
        async with app.run_test(size=SIZE) as pilot:
            await settled(pilot)
            await until(pilot, lambda: "interrupted" in shown(pilot) and "⚠ no engine" in shown(pilot), "the word")
            await pilot.press("r")
            await until(pilot, lambda: started == [record.LIVE], "the engine")


async def test_an_engine_that_cannot_start_says_why(tmp_path: Path) -> None:
    def fail(run: str) -> None:
        raise RuntimeError("no key: set [ANTHROPIC_API_KEY], or `multitrack login`")

    with record.recorded(tmp_path, alive=()) as home:
        async with studio(home, "grid", record.LIVE, start_engine=fail).run_test(size=SIZE) as pilot:
            await settled(pilot)
            await pilot.press("r")
            await until(pilot, lambda: "no key: set [ANTHROPIC_API_KEY]" in told(pilot), "the reason")


async def test_an_order_without_an_engine_waits_and_says_so(tmp_path: Path) -> None:
    with record.recorded(tmp_path, alive=()) as home, open_store(home.store) as store:
        async with studio(home, "grid", record.LIVE).run_test(size=SIZE) as pilot:
            await settled(pilot)
            await pilot.press("X", "y")
            await until(pilot, lambda: "The order waits" in told(pilot), "the word")
            assert commands.pending(store, record.LIVE)[0].command == Stop()


async def test_no_size_breaks_a_screen(home: Home) -> None:
    app = studio(home, "runs")
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        for key in "12345":
            await pilot.press(key)
            for size in ((20, 5), (3, 2), (1, 1), (250, 80), SIZE):
                await pilot.resize_terminal(*size)
                await pilot.pause()
        await settled(pilot)


async def test_help_palette_and_theme(home: Home) -> None:
    app = studio(home, "grid", record.LIVE)
    async with app.run_test(size=(140, 44)) as pilot:
        await settled(pilot)
        await pilot.press("question_mark")
        await until(pilot, lambda: "multitrack kill RUN SUBAGENT" in shown(pilot), "the help")
        await pilot.press("escape", "ctrl+p")
        await until(pilot, lambda: "Hold it before its next turn" in shown(pilot), "the palette")
        assert "Let it go on after a pause" not in shown(pilot)
        await pilot.press(*"report", "enter")
        await until(pilot, lambda: app.place is not None and app.place.NAME == "report", "the report")
        before = app.theme
        await pilot.press("t")
        await until(pilot, lambda: app.theme != before, "the other theme")


async def test_ascii_alone(home: Home) -> None:
    for screen in ("runs", "grid", "traces", "observations", "report"):
        async with studio(home, screen, record.LIVE, ascii_only=True).run_test(size=SIZE) as pilot:
            await settled(pilot)
            odd = {character for character in shown(pilot) if not character.isascii()}
            # What the record itself says is its own; what we draw is ASCII.
            assert odd <= set("“”"), (screen, odd)


async def test_quitting_says_that_the_engine_goes_on(home: Home) -> None:
    app = studio(home, "grid", record.LIVE)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        await pilot.press("q")
        await pilot.pause()
        said = "".join(str(renderable) for renderable in app._exit_renderables)
    assert f"{record.LIVE}, {record.GATE}" in said
    assert app.return_code == 0


async def test_the_clock_ticks_on_no_screen_that_is_still_being_opened(home: Home) -> None:
    app = studio(home, "runs")
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        opening = app.push_screen("grid")
        app._tick()
        await opening
        await settled(pilot)
        assert isinstance(app.place, GridScreen)
