"""Lines of inks: cut, folded and spread without losing or inventing anything; and what panes and lists make of them."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from store.domain.board import Lane
from store.domain.events import (
    CallFinished,
    CheckResult,
    Event,
    Payload,
    SubagentChecked,
    SubagentEnded,
    ToolFinished,
    ToolStarted,
    TurnStarted,
)
from store.domain.ids import SubagentId
from store.domain.limits import Limits, Spend, Usage
from store.domain.states import Ending, RunState, SubagentState
from store.domain.strategy import LanePlan, Strategy
from widgets import chart, ink, states, words
from widgets.flow import Flow, verdict, went_wrong
from widgets.layout import Rect, arrange, neighbour
from widgets.pane import View, draw

HOSTILE = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from("\x1b\x07\x9b\u202e\u200b\u200d\ufeff\t\r\n[]你🙂é\u0301\ud800"),
    ),
    max_size=120,
)
WHO = SubagentId("7k3ab", 2, 3)
FAILED = CheckResult(False, 1, 3, 1.4, "", "")


def plain(line: Sequence[ink.Span]) -> str:
    return "".join(text for text, _ in line)


def lane(**changes: object) -> Lane:
    plan = LanePlan(3, Strategy("trace-the-data", "Follow one order."), clean=True)
    return replace(Lane(WHO, plan, Limits(turns=24)), **changes)  # type: ignore[arg-type]  # fields by name


def event(payload: Payload, seq: int = 1) -> Event:
    return Event(seq, 0.0, WHO.run, WHO.generation, WHO.lane, payload)


@given(HOSTILE, st.integers(2, 40))
def test_wrapping_keeps_every_word_and_the_width(text: str, cells: int) -> None:
    text = ink.clean(text)
    rows = list(ink.wrap(text, cells))
    assert all(cell_len(row) <= cells for row in rows)
    assert "".join(rows).replace(" ", "") == text.replace("\n", "").replace(" ", "")


@given(st.lists(st.tuples(HOSTILE, st.sampled_from(ink.INKS)), max_size=5), st.integers(1, 40))
def test_folding_a_line_keeps_its_spans(spans: ink.Line, cells: int) -> None:
    line = [(ink.clean(text).replace("\n", ""), name) for text, name in spans]
    rows = ink.wrap_line(line, cells)
    told = [(character, name) for text, name in line for character in text if character != " "]
    kept = [(character, name) for row in rows for text, name in row for character in text if character != " "]
    assert kept == told
    assert all(ink.width(row) <= max(cells, 2) for row in rows)


@given(HOSTILE, HOSTILE, st.integers(0, 60))
def test_spreading_gives_exactly_the_width(left: str, right: str, cells: int) -> None:
    a, b = ink.clean(left).replace("\n", ""), ink.clean(right).replace("\n", "")
    assert ink.width(ink.spread([(a, "text")], [(b, "bad")], cells)) == cells


def test_what_follows_a_list_item_is_indented_like_it() -> None:
    rows = [plain(row) for row in ink.wrap_line([("- one two three four five six", "text")], 16)]
    assert rows == ["- one two three", "  four five six"]


def test_a_megabyte_on_one_line_is_folded_in_no_time() -> None:
    text = "x" * 1_000_000
    assert sum(len(row) for row in ink.wrap(text, 80)) == len(text)


def test_every_glyph_of_a_state_is_one_cell_and_has_an_ascii_twin() -> None:
    marks = [*states.SUBAGENT.values(), *states.RUN.values(), states.INTERRUPTED, states.OPENING]
    assert set(states.SUBAGENT) == set(SubagentState)
    assert set(states.RUN) == set(RunState)
    for mark in marks:
        assert cell_len(mark.glyph) == 1
        assert mark.glyph.translate(ink.ASCII).isascii()
        assert mark.word
    words_of_states = [mark.word for mark in states.SUBAGENT.values()]
    assert len(set(words_of_states)) == len(words_of_states)


def test_a_run_without_an_engine_is_interrupted_unless_it_is_over() -> None:
    assert states.run_mark(RunState.RUNNING, alive=False) is states.INTERRUPTED
    assert states.run_mark(RunState.SOLVED, alive=False).word == "solved"


@given(st.integers(0, 120), st.integers(1, 250), st.integers(1, 80))
def test_panes_never_overlap_and_never_leave_the_width(count: int, width: int, height: int) -> None:
    rects = arrange(count, width, height)
    assert len(rects) == count
    taken: set[tuple[int, int]] = set()
    for rect in rects:
        assert rect.width >= 1
        assert rect.height >= 1
        assert rect.x >= 0
        assert rect.x + rect.width <= width
        cells = {(x, y) for x in range(rect.x, rect.x + rect.width) for y in range(rect.y, rect.y + rect.height)}
        assert not cells & taken
        taken |= cells


@pytest.mark.parametrize(("width", "height"), [(80, 20), (120, 36), (200, 46)])
def test_five_panes_fit_each_usual_terminal_with_room_for_text(width: int, height: int) -> None:
    rects = arrange(5, width, height)
    assert max(rect.y + rect.height for rect in rects) == height
    assert min(rect.width for rect in rects) >= 38
    assert min(rect.height for rect in rects) >= 6


def test_going_from_pane_to_pane() -> None:
    rects = arrange(4, 80, 20)
    assert rects[0] == Rect(0, 0, 40, 10)
    assert [neighbour(rects, 0, *step) for step in ((1, 0), (0, 1), (-1, 0), (0, -1))] == [1, 2, 0, 0]


@given(HOSTILE, HOSTILE, st.integers(1, 90), st.integers(1, 30))
def test_a_pane_fills_its_room_whatever_is_said(name: str, text: str, cells: int, height: int) -> None:
    flow = Flow()
    for number, payload in enumerate(
        (
            TurnStarted(1),
            CallFinished("c", 200, "", Usage(10, 5), 0.1, 1.0, error=text),
            ToolStarted(1, "t", name, text),
            ToolFinished(1, "t", name, False, 0.1, "", text),
            SubagentEnded(Ending.SUBMITTED, text, Spend()),
        ),
        start=1,
    ):
        flow.apply(event(payload, number))
    flow.stream("d", (("reasoning", text), ("text", name)))
    strategy = Strategy(name, text)
    view = View(
        lane(plan=LanePlan(3, strategy, clean=False), alert=text, alerts=2, last=text), flow, 10.0, selected=True
    )
    rows = draw(view, cells, height)
    assert len(rows) <= max(height, 1)
    # What is laid out here is cut again when it becomes a strip; it must never be shorter for lack of care.
    for row in rows:
        assert "\x1b" not in plain(row)
        assert "\u202e" not in plain(row)
    if cells >= 8 and height >= 3:
        assert len(rows) == height


def test_a_pane_says_who_where_and_how_it_ended() -> None:
    checked = SubagentChecked(False, "p", ("a.py",), 3, 1, (), FAILED)
    ended = lane(state=SubagentState.UNSOLVED, turn=7, checked=checked, spend=Spend(usage=Usage(1200, 300), usd=0.12))
    text = "\n".join(plain(row) for row in draw(View(ended, Flow(), 0.0), 60, 10))
    for said in ("2.3 trace-the-data", "clean", "✗ unsolved", "turn 7/24", "1.5k", "$0.12", "check failed, 3 failures"):
        assert said in text


def test_a_pane_says_in_full_why_a_subagent_could_not_work_and_first_of_all_where_it_is_small() -> None:
    why = "out of memory: the container reached its 128 MiB, and the kernel killed a program in it"
    how, flow = SubagentEnded(Ending.CRASHED, why, Spend()), Flow()
    flow.apply(event(how))
    failed = lane(state=SubagentState.FAILED, checked=SubagentChecked(False, ""), ended=how)
    roomy = " ".join(plain(row).strip("│ ") for row in draw(View(failed, flow, 0.0), 38, 10))
    assert f"crashed: {why}" in " ".join(roomy.split())
    assert "nothing changed, nothing to check" in roomy
    for height in (2, 3, 4, 5):
        small = "\n".join(plain(row) for row in draw(View(failed, flow, 0.0), 80, height))
        assert "crashed: out of memory" in small and "nothing changed" not in small
    # What is longer than a pane is cut, and it is seen that it was.
    flow.apply(event(replace(how, detail="far too much " * 80), 2))
    assert plain(flow.lines(36, 10)[-1]).endswith("…")


def test_a_selected_pane_is_told_by_its_frame_not_by_colour_alone() -> None:
    view = View(lane(), Flow(), 0.0)
    assert plain(draw(view, 40, 6)[0]) != plain(draw(replace(view, selected=True), 40, 6)[0])


def test_a_pane_without_an_engine_does_not_pretend_to_run() -> None:
    running = lane(state=SubagentState.RUNNING)
    assert "running" in plain(draw(View(running, Flow(), 0.0), 70, 6)[0])
    assert "no engine" in plain(draw(View(running, Flow(), 0.0, stalled=True), 70, 6)[0])


def test_reasoning_text_and_tools_are_told_apart_by_more_than_ink() -> None:
    flow = Flow()
    flow.stream("c", (("reasoning", "thinks"), ("text", "says")))
    flow.apply(event(ToolStarted(1, "t", "run", "run make check")))
    flow.apply(event(ToolFinished(1, "t", "run", False, 0.1, "", "exit code 1"), 2))
    rows = [plain(row) for row in flow.lines(40, 10)]
    assert rows == ["› run make check", "✗ exit code 1", "∙ thinks", "  says"]


@pytest.mark.parametrize(
    ("ok", "summary", "wrong"),
    [
        (True, "exit code 0 · 0 broken", False),
        (True, "exit code 1 · 45 broken", True),
        (True, "exit code -9", True),
        (True, "timed out after 2 s", True),
        (False, "no such file", True),
        (True, "edited a.py (+1 −0 lines)", False),
    ],
)
def test_a_command_that_ends_badly_went_wrong_though_the_tool_did_its_work(ok: bool, summary: str, wrong: bool) -> None:
    assert went_wrong(ToolFinished(1, "t", "run", ok, 0.1, "", summary)) == wrong


def test_streamed_text_is_replaced_by_what_the_tape_says() -> None:
    flow = Flow()
    flow.stream("c", (("text", "half of i"),))
    flow.apply(event(CallFinished("c", 200, "end_turn", Usage(), None, 1.0)), {"c": (("text", "half of it"),)})
    assert [plain(row) for row in flow.lines(40, 10)] == ["  half of it"]


def test_streamed_text_stays_when_the_tape_was_not_read() -> None:
    flow = Flow()
    flow.stream("c", (("text", "all of it"), ("tool", '{"command"')))
    flow.apply(event(CallFinished("c", 200, "end_turn", Usage(), None, 1.0)))
    assert [plain(row) for row in flow.lines(40, 10)] == ["  all of it"]


def test_a_long_text_is_folded_alike_while_its_beginning_is_dropped() -> None:
    """The live tail keeps a text's end only; rows that are read must not jump when it moves on."""
    words_said = " ".join(f"word{number}" for number in range(2000))
    flow = Flow()
    before: list[str] = []
    for end in range(4000, 9000, 37):
        flow.stream("c", (("text", words_said[max(end - 4096, 0) : end]),))
        rows = [plain(row) for row in flow.lines(40, 10)]
        if before:
            # The last row grows; those above it only move up.
            kept = before[:-1]
            assert any(rows[: len(kept) - moved] == kept[moved:] for moved in range(4)), (before, rows)
        before = rows


def test_nothing_is_lost_of_a_long_text_that_says_the_same_again() -> None:
    lines = [f"{number}: " + "it says the same again and again, " * (2 + number % 3) for number in range(200)]
    flow = Flow()
    for end in range(50, 200):
        flow.stream("c", (("text", "\n".join(lines[:end])[-4000:]),))
    assert flow.streaming is not None
    said = flow.streaming[1][0][1]
    assert len(said) > 10_000
    assert "\n".join(lines[:199]).endswith(said)


def test_a_secret_is_found_in_what_is_new_of_a_long_text() -> None:
    lines = [f"{number}: it says the same again and again" for number in range(300)]
    lines[250] = "the key is sk-ant-api03-" + "A1b2" * 24
    flow = Flow()
    for end in range(100, 256):
        flow.stream("c", (("text", "\n".join(lines[end - 100 : end])),))
        assert "A1b2" not in "".join(plain(row) for row in flow.lines(200, 10))
        assert all(part.plain == (end <= 250) for part in flow.streamed)


def test_what_still_streams_of_a_call_that_has_ended_is_not_said_twice() -> None:
    flow = Flow()
    flow.apply(event(CallFinished("c", 200, "end_turn", Usage(), None, 1.0)), {"c": (("text", "once"),)})
    flow.stream("c", (("text", "once"),))
    assert [plain(row) for row in flow.lines(40, 10)] == ["  once"]


def test_a_flow_changes_its_version_only_when_there_is_something_new() -> None:
    flow = Flow()
    flow.stream("c", (("text", "a"),))
    before = flow.version
    flow.stream("c", (("text", "a"),))
    assert flow.version == before
    flow.stream("c", (("text", "ab"),))
    assert flow.version > before


def test_verdicts_in_words() -> None:
    assert verdict(SubagentChecked(False, "")) == "nothing changed, nothing to check"
    broken = replace(FAILED, broken="no such command")
    assert "could not be run" in verdict(SubagentChecked(False, "p", result=broken))
    assert verdict(SubagentChecked(False, "", result=FAILED)).endswith("nothing was changed")


def test_a_chart_starts_at_zero_and_shows_each_point_where_it_is() -> None:
    rows = chart.chart([chart.Series("solved", [0, 2, 4, None])], 4, 40, 8, 4, "Solved")
    assert plain(rows[0]).startswith("Solved")
    assert plain(rows[1]).strip().startswith("4┤")
    body = [plain(row) for row in rows[1:-2]]
    assert body[-1].strip().startswith("0┤")
    assert sum(row.count("●") for row in body) == 3
    assert body[0].count("●") == body[-1].count("●") == 1
    assert body[0].index("●") > body[-1].index("●")
    assert [int(word) for word in plain(rows[-1]).split()] == [1, 2, 3, 4]


@given(
    st.lists(st.one_of(st.none(), st.floats(0, 1e6)), max_size=12),
    st.integers(1, 12),
    st.integers(1, 120),
    st.integers(1, 30),
)
def test_a_chart_never_fails(values: list[float | None], count: int, cells: int, height: int) -> None:
    known = [value for value in values if value is not None]
    assert chart.chart([chart.Series("a", values)], count, cells, height, max(known, default=0), "title")


def test_a_sparkline_has_a_character_a_value() -> None:
    assert chart.spark([0, 2, 4], 4) == "▁▄▇"
    assert chart.spark([]) == ""
    assert chart.spark([0, 0]) == "▁▁"


def test_numbers_as_people_read_them() -> None:
    assert [words.tokens(count) for count in (0, 999, 1200, 99_999, 1_234_567)] == ["0", "999", "1.2k", "100k", "1.2M"]
    assert [words.duration(s) for s in (-1, 9, 252, 7500, 300_000)] == ["0s", "9s", "4m12s", "2h05m", "3d"]
    assert words.money(Spend(usd=0.0421)) == "$0.042"
    assert words.money(Spend(usd=1.2, priced=False)) == "≥$1.20"
    assert words.money(Spend(priced=False)) == "$?"
    assert [words.age(s) for s in (3, 200, 7300, 90_000)] == ["now", "3m ago", "2h ago", "1d ago"]
