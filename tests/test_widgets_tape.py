"""A whole tape that scrolls, generations side by side, a list of many: alive in an app of their own."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.domain.board import Generation, Lane
from store.domain.events import (
    Alert,
    Event,
    LimitsRaised,
    Payload,
    SubagentSteered,
    ToolFinished,
    ToolStarted,
    TurnStarted,
)
from store.domain.ids import SubagentId
from store.domain.limits import Limits
from store.domain.states import SubagentState
from store.domain.strategy import LanePlan, Strategy
from tests.test_widgets_wall import HOSTILE, Stage, harmless, screen_text, view
from widgets.flow import Flow, Part, _fold, whole
from widgets.layout import Mode
from widgets.matrix import Matrix, compare
from widgets.roster import Roster
from widgets.tape import TapeView
from widgets.wall import Wall

WHO = SubagentId("7k3ab", 2, 3)
KEY = "sk-ant-api03-" + "Ab9" * 31


def event(payload: Payload, seq: int = 1) -> Event:
    return Event(seq, 0.0, WHO.run, WHO.generation, WHO.lane, payload)


def tape(turns: int) -> Flow:
    flow = Flow(kept=None)
    for turn in range(1, turns + 1):
        flow.apply(event(TurnStarted(turn)))
        flow.apply(event(ToolStarted(turn, f"t{turn}", "run", "run make check")))
        flow.apply(
            event(ToolFinished(turn, f"t{turn}", "run", turn % 10 != 5, 0.1, "b", "0 broken")),
            results={"b": "0 broken\nall"},
        )
    return flow


def plain(rows: Sequence[Sequence[tuple[str, str]]]) -> list[str]:
    return ["".join(text for text, _ in row) for row in rows]


def test_a_whole_tape_keeps_all_that_a_pane_forgets() -> None:
    flow = tape(200)
    assert sum(part.kind == "turn" for part in flow.parts) == 200
    assert plain(whole(Part("result", "first\nsecond"), 40)) == ["✔ first", "⋮ second"]
    long = plain(whole(Part("result", "\n".join(str(number) for number in range(500))), 40))
    assert long[-1] == "⋮ … the trace has the rest"
    assert len(long) < 60
    assert len(whole(Part("text", "\n".join("x" * 500)), 40)) == 500


def test_what_the_operator_did_is_on_the_tape() -> None:
    flow = Flow(kept=None)
    for payload in (SubagentSteered("look at pay.py"), LimitsRaised(Limits(turns=40, usd=3)), Alert("r", "stuck")):
        flow.apply(event(payload))
    rows = [row for part in flow.parts for row in plain(whole(part, 60))]
    assert rows == ["» look at pay.py", "· limits raised: 40 turns, $3.00", "⚠ stuck"]


async def test_it_follows_at_its_end_and_stands_still_under_a_reader() -> None:
    flow = tape(60)
    async with Stage(TapeView).run_test(size=(60, 20)) as pilot:
        tape_view = pilot.app.query_one(TapeView)

        def text() -> list[str]:
            """What is read; at its right the scroll bar tells that there is more."""
            return [row[:-1] for row in screen_text(pilot.app).splitlines()]

        tape_view.show(flow)
        tape_view.focus()
        await pilot.pause()
        assert tape_view.following
        assert "turn 60" in screen_text(pilot.app)
        await pilot.press("pageup")
        await pilot.pause()
        before = text()
        assert not tape_view.following
        for turn in range(61, 80):
            flow.apply(event(TurnStarted(turn)))
            flow.stream("c", (("text", "more and more\n" * turn),))
            tape_view.show(flow)
            await pilot.pause()
        assert text() == before
        assert tape_view.below > 60
        await pilot.press("end")
        flow.stream("c", (("text", "the newest"),))
        tape_view.show(flow)
        await pilot.pause()
        assert tape_view.following
        assert "the newest" in screen_text(pilot.app)


async def test_from_fault_to_fault_and_any_size() -> None:
    async with Stage(TapeView).run_test(size=(60, 20)) as pilot:
        tape_view = pilot.app.query_one(TapeView)
        tape_view.show(tape(60))
        tape_view.focus()
        await pilot.press("home", "n")
        await pilot.pause()
        assert "✗ 0 broken" in screen_text(pilot.app).splitlines()[0]
        await pilot.press("n")
        await pilot.pause()
        assert "✗ 0 broken" in screen_text(pilot.app).splitlines()[0]
        for size in ((3, 2), (1, 1), (200, 50), (80, 24)):
            await pilot.resize_terminal(*size)
            await pilot.pause()


def generations() -> dict[int, Generation]:
    def lane(generation: int, number: int, name: str, **more: object) -> Lane:
        plan = LanePlan(number, Strategy(name, "a"), clean=number == 3)
        return Lane(SubagentId("7k3ab", generation, number), plan, Limits(turns=20), **more)  # type: ignore[arg-type]  # fields by name

    first = Generation(1, {1: lane(1, 1, "history"), 2: lane(1, 2, "trace"), 3: lane(1, 3, "plain")})
    second = Generation(
        2,
        {
            1: lane(2, 1, "bisect", alert=HOSTILE, alerts=1),
            2: lane(2, 2, "history"),
            3: lane(2, 3, "plain"),
            4: lane(2, 4, "history"),
        },
    )
    second.lanes[2].state = SubagentState.RUNNING
    return {1: first, 2: second}


def test_strategies_stand_in_one_row_whatever_their_lane() -> None:
    rows = compare(generations())
    assert [(row.name, row.clean, {number: lane.id.label for number, lane in row.lanes.items()}) for row in rows] == [
        ("bisect", False, {2: "2.1"}),
        ("history", False, {2: "2.2", 1: "1.1"}),
        ("plain", True, {2: "2.3", 1: "1.3"}),
        ("history", False, {2: "2.4"}),
        ("trace", False, {1: "1.2"}),
    ]


async def test_side_by_side_by_keys_and_in_any_size() -> None:
    shown = generations()
    async with Stage(Matrix).run_test(size=(100, 20)) as pilot:
        matrix = pilot.app.query_one(Matrix)
        matrix.show(shown, 0.0)
        matrix.focus()
        await pilot.pause()
        assert "▸ generation 2" in screen_text(pilot.app)
        matrix.point(shown[2].lanes[2])
        assert matrix.lane is shown[2].lanes[2]
        await pilot.press("left")
        assert matrix.lane is shown[1].lanes[1]
        await pilot.press("up")
        assert matrix.lane is None
        await pilot.press("right")
        assert matrix.lane is shown[2].lanes[1]
        for size in ((30, 8), (3, 2), (1, 1), (200, 50)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            harmless(pilot.app)


async def test_a_list_with_one_live_pane_by_keys_and_mouse() -> None:
    async with Stage(Wall).run_test(size=(80, 20)) as pilot:
        wall = pilot.app.query_one(Wall)
        numbers = list(range(1, 41))

        async def show() -> None:
            wall.show({number: view(number, selected=number == wall.selected) for number in numbers})
            await pilot.pause()

        wall.hold(numbers)
        await show()
        assert wall.listed
        wall.focus()
        await pilot.press("down", "j", "pagedown")
        await show()
        assert wall.selected == 12
        assert "1.12 " in screen_text(pilot.app)
        await pilot.click(Roster, offset=(5, 0))
        await show()
        assert wall.selected != 12
        await pilot.press("end")
        await show()
        assert f"┏━ 1.{wall.selected} " in screen_text(pilot.app)
        wall.mode = Mode.PANES
        await show()
        assert not wall.listed
        wall.hold(numbers[::-1], numbers)
        await show()
        assert wall.lanes[0] == 40
        assert wall.selected == 40
        wall.hold([3, 4], numbers)
        wall.mode = Mode.AUTO
        await show()
        assert wall.selected == 3
        assert "1.40 " not in screen_text(pilot.app)


@pytest.mark.parametrize("mode", [Mode.LIST, Mode.PANES])
async def test_hostile_text_is_harmless_in_a_list(mode: Mode) -> None:
    async with Stage(Wall).run_test(size=(120, 30)) as pilot:
        wall = pilot.app.query_one(Wall)
        wall.mode = mode
        wall.hold([1, 2, 3])
        for size in ((120, 30), (200, 40), (80, 24), (20, 9), (4, 3)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            wall.show({number: view(number, HOSTILE, selected=number == 1) for number in (1, 2, 3)})
            await pilot.pause()
            harmless(pilot.app)


async def test_hostile_text_is_harmless_on_a_tape() -> None:
    flow = Flow(kept=None)
    for payload in (
        TurnStarted(1),
        ToolStarted(1, "t", HOSTILE, HOSTILE),
        SubagentSteered(HOSTILE),
        Alert("r", HOSTILE),
    ):
        flow.apply(event(payload))
    flow.apply(event(ToolFinished(1, "t", "run", False, 0.1, "b", "x")), results={"b": HOSTILE})
    flow.stream("c", (("reasoning", HOSTILE), ("text", HOSTILE)))
    async with Stage(TapeView).run_test(size=(80, 24)) as pilot:
        pilot.app.query_one(TapeView).show(flow)
        for size in ((80, 24), (12, 7), (200, 50)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            harmless(pilot.app)


WORDS = st.sampled_from(
    [
        "so I look\n",
        "where the count is read ",
        KEY[:20],
        KEY[20:],
        "-----BEGIN RSA PRIVATE KEY-----\n",
        "MIIEpAIBAAKCAQEA1\n",
        " x",
    ]
)


@given(st.lists(WORDS, max_size=60), st.integers(50, 400), st.integers(1, 9))
def test_keys_stay_hidden_in_a_text_that_streams(pieces: list[str], window: int, height: int) -> None:
    """Only what is new is searched for signs of keys: that must hide what a search of the whole text hides."""
    growing, sliding, said = Flow(), Flow(), ""
    for piece in pieces:
        said += piece
        for flow, heard in ((growing, said), (sliding, said[-window:])):
            flow.stream("c", (("text", heard),))
            assert flow.streaming is not None
            whole_text = Part("text", flow.streaming[1][0][1])
            assert flow.lines(40, height) == _fold(whole_text, 40, height)[-height:]


def test_a_key_that_streams_in_is_hidden() -> None:
    flow = Flow()
    for end in range(1, len(KEY) + 1):
        flow.stream("c", (("text", "it says\n" + KEY[:end]),))
    assert "Ab9Ab9" not in "".join(plain(flow.lines(40, 6)))
