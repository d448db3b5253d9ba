"""Playback on the screens: keys, mouse, what is refused, and the way back."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot

from app import actions
from app.playback.feed import PlaybackFeed, Start
from app.playback.playing import said
from app.playback.where import where
from app.screens.traces import MARKED, TracesScreen
from app.studio import Studio
from app.wrongs import wrong_rows
from store.database import Store, open_store
from store.domain.events import Alert, Event, ToolFinished, ToolStarted, TurnStarted
from store.home import Home
from tests import record
from tests.driving import settled, shown, studio, until
from widgets.timeline import Timeline
from widgets.tracetree import TraceTree

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
    return "\n".join(notice.message for notice in pilot.app._notifications)


def played(app: Studio) -> PlaybackFeed:
    assert app.playback is not None
    return app.playback


def count(app: Studio) -> int:
    """How many events the screens show."""
    return len(app.world.past)


def standing(at: str = "gen:2", run: str = record.LIVE) -> Start:
    return Start(run, playing=False, where=where(at))


async def test_a_run_is_played_from_the_grid_and_left_again(home: Home) -> None:
    app = studio(home, "grid", record.SOLVED)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        assert not app.screen.query_one(Timeline).display
        assert "subagent 4.1 passes the check" in shown(pilot)
        await pilot.press("P")
        await until(pilot, lambda: played(app).deck is not None, "the tape")
        await until(pilot, lambda: "playback" in shown(pilot), "the badge")
        assert app.screen.query_one(Timeline).display
        await pilot.press("space")
        await until(pilot, lambda: "‖ 1×" in shown(pilot), "that it stands")
        assert "subagent 4.1 passes the check" not in shown(pilot)
        await pilot.press("P")
        await settled(pilot)
        assert "subagent 4.1 passes the check" in shown(pilot)
        assert app.playback is None
        assert not app.screen.query_one(Timeline).display


async def test_from_the_list_of_runs_its_grid_is_played(home: Home) -> None:
    app = studio(home, "runs")
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        await pilot.press("down", "P")
        await until(pilot, lambda: app.place is not None and app.place.NAME == "grid", "the grid")
        await until(pilot, lambda: count(app) > 0, "the first events")
        assert played(app).start_at.run == record.GATE == app.run_name


async def test_keys_step_jump_and_change_the_speed(home: Home) -> None:
    app = studio(home, "grid", play=standing())
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        before = count(app)
        for keys, further in ((["full_stop"], 1), (["full_stop", "full_stop"], 3), (["comma"], 2)):
            await pilot.press(*keys)
            await until(pilot, lambda further=further: count(app) == before + further, f"{further} further")  # type: ignore[misc]
        await pilot.press("greater_than_sign")
        await until(pilot, lambda: isinstance(app.world.past[-1].payload, TurnStarted), "a turn")
        await until(pilot, lambda: "turn 1/24" in shown(pilot), "the turn in its pane")
        await pilot.press("S")
        await until(pilot, lambda: "✔ solved" in shown(pilot), "the solved lane")
        await pilot.press("A")
        await until(pilot, lambda: "No alert is raised after this." in told(pilot), "the reason")
        await pilot.press("M")
        await until(pilot, lambda: isinstance(app.world.past[-1].payload, Alert), "the alert")
        await until(pilot, lambda: "the same call three times" in shown(pilot), "its words")
        await pilot.press("plus", "plus", "minus", "plus")
        await until(pilot, lambda: "‖ 4×" in shown(pilot), "the speed")
        await pilot.press("less_than_sign")
        await until(pilot, lambda: isinstance(app.world.past[-1].payload, TurnStarted), "the turn before")


async def test_it_plays_by_itself_to_the_end(home: Home) -> None:
    app = studio(home, "grid", play=Start(record.LIVE, speed=64.0))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: count(app) == 318, "the end")
        await settled(pilot)
        assert "‖ 64×" in shown(pilot)
        assert "turn 7/24" in shown(pilot)
        # From the end it begins anew.
        await pilot.press("minus", "minus", "minus", "minus", "minus", "minus", "minus", "space")
        await until(pilot, lambda: 0 < count(app) < 300, "the beginning")


async def test_the_timeline_is_scrubbed_by_mouse_and_by_arrows(home: Home) -> None:
    app = studio(home, "grid", play=standing("0"))
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        timeline = app.screen.query_one(Timeline)
        await pilot.click(timeline, offset=(60, 1))
        await until(pilot, lambda: 100 < count(app) < 220, "the middle")
        await pilot.mouse_down(timeline, offset=(100, 1))
        await until(pilot, lambda: count(app) > 250, "the place that was pressed")
        await pilot.hover(timeline, offset=(20, 1))
        await until(pilot, lambda: count(app) < 80, "the place that was dragged to")
        await pilot.mouse_up(timeline, offset=(20, 1))
        app.set_focus(None)
        await pilot.press("T")
        await until(pilot, lambda: timeline.has_focus, "the timeline")
        await pilot.press("end")
        await until(pilot, lambda: count(app) == 318, "the end")
        await pilot.press("left", "left")
        await until(pilot, lambda: 300 < count(app) < 318, "a little before")
        await pilot.press("home")
        await until(pilot, lambda: count(app) == 3, "the beginning")


async def test_the_clocks_in_the_panes_run_by_the_playback(home: Home) -> None:
    app = studio(home, "grid", play=standing("gen:2"))
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        assert app.now() == app.world.past[-1].at
        await pilot.press("S")
        await until(pilot, lambda: "✔ solved" in shown(pilot), "the solved lane")
        assert app.now() == app.world.past[-1].at
        assert app.now() < record.NOW


async def test_no_key_orders_anything_of_an_engine(home: Home, store: Store) -> None:
    for screen in actions.SCREENS:
        app = studio(home, screen, play=standing("60%", record.GATE), start_engine=lambda run: pytest.fail(run))
        async with app.run_test(size=SIZE) as pilot:
            await settled(pilot)
            orders = [action.id for action in actions.on(screen) if action.id in actions.ORDERS]
            for order in orders:
                app.action_do(order)
                assert "what is recorded stays as it was" in app.why_not(order), order
            await pilot.pause()
            assert ("what is recorded stays as it was" in told(pilot)) == bool(orders)
    with store.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM commands").scalar() == 0


async def test_a_gate_that_was_waited_at_is_no_gate_now(home: Home) -> None:
    app = studio(home, "grid", play=standing("gate", record.GATE))
    rings: list[int] = []
    app.bell = lambda: rings.append(1)  # type: ignore[method-assign]  # what would sound is counted
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        assert "◆ at gate" in shown(pilot)
        assert "launch generation 2" not in shown(pilot)
        await pilot.press("full_stop")
        await settled(pilot)
        assert not rings


async def test_observations_are_those_of_then(home: Home) -> None:
    app = studio(home, "observations", play=standing("gen:2", record.SOLVED))
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        assert "version 1 " in shown(pilot)
        await pilot.press(*["shift+left"] * 30)
        await until(pilot, lambda: "Nothing was learned yet" in shown(pilot), "the time before")
        app.action_playing("previous-mark")
        app.scrub(1.0)
        await until(pilot, lambda: "version 4 " in shown(pilot), "the last ones")


async def test_the_report_is_not_there_before_the_end(home: Home) -> None:
    app = studio(home, "report", play=standing("90%", record.SOLVED))
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        assert "What was learned" not in shown(pilot)
        app.scrub(1.0)
        await until(pilot, lambda: app.track is not None and app.track.board.finished is not None, "the end")


async def test_another_run_ends_the_playback(home: Home) -> None:
    app = studio(home, "grid", play=standing())
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        app.show_run(record.GATE)
        await until(pilot, lambda: "gate after generation 3" in shown(pilot), "the live run")
        assert app.playback is None


async def test_in_a_question_and_in_a_search_keys_are_text(home: Home) -> None:
    app = studio(home, "grid", play=standing())
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        before = count(app)
        await pilot.press("question_mark")
        await until(pilot, lambda: app.place is not app.screen, "the help")
        await pilot.press("full_stop", "space")
        await pilot.press("escape")
        await until(pilot, lambda: app.place is app.screen, "the grid")
        await settled(pilot)
        assert count(app) == before


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 50), (40, 12)])
async def test_it_is_there_at_every_size(home: Home, size: tuple[int, int]) -> None:
    app = studio(home, "grid", play=standing("70%"))
    async with app.run_test(size=size) as pilot:
        await settled(pilot)
        assert app.screen.query_one(Timeline).size.height == (2 if size[1] < 30 else 3)
        assert "‖ 1×" in shown(pilot)


def test_an_event_in_a_line() -> None:
    assert said(Event(1, 1.0, "r", 2, 3, TurnStarted(4))) == "2.3 turn 4 begins"
    started, finished = (
        ToolStarted(4, "t", "run", "python check.py"),
        ToolFinished(4, "t", "run", True, 1.0, "", "exit code 1"),
    )
    assert said(Event(1, 1.0, "r", 2, 3, started)) == "2.3 turn 4 › run python check.py"
    assert said(Event(1, 1.0, "r", 2, 3, finished)) == "2.3 turn 4 ✗ run: exit code 1"
    assert said(Event(1, 1.0, "r", None, None, Alert("x", "odd\x1b[31m things"))) == "alert: odd␛[31m things"


async def test_a_trace_knows_nothing_of_what_comes_later(home: Home) -> None:
    app = studio(home, "traces", play=standing("gen:2"))
    async with app.run_test(size=(160, 50)) as pilot:
        await settled(pilot)
        await pilot.press("greater_than_sign")
        await until(pilot, lambda: isinstance(app.world.past[-1].payload, TurnStarted), "a turn")
        await pilot.press("full_stop")
        await until(pilot, lambda: app.world.past[-1].payload.kind == "call.started", "its call")
        await settled(pilot)
        await pilot.press("f")
        await settled(pilot)
        assert re.search("2\\.1 .*▶ running", shown(pilot))
        assert "number of concurrent requests" not in shown(pilot)
        await pilot.press("full_stop")
        await until(pilot, lambda: "number of concurrent requests" in shown(pilot), "what the call said")
        await pilot.press("M", "M", "M")
        await until(pilot, lambda: "2.1 reproduce-first" not in shown(pilot), "the generation before")


async def test_the_map_of_errors_is_that_of_the_rows_while_a_playback_stands(home: Home) -> None:
    app = studio(home, "traces", play=standing("end"))
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        tree, screen = app.screen.query_one(TraceTree), app.screen
        assert isinstance(screen, TracesScreen)

        def right() -> bool:
            return screen.trace is not None and [*tree.wrong] == wrong_rows(screen.trace, MARKED)

        await until(pilot, lambda: tree.wrong and right(), "the errors of the whole run")
        seen = {tuple(tree.wrong)}
        for keys in (["home", "down"], ["left"], ["right"], ["down", "right"], ["down", "right"], ["home", "left"]):
            await pilot.press(*keys)
            await until(pilot, right, f"the errors after {keys}")
            seen.add(tuple(tree.wrong))
        assert len(seen) > 2
