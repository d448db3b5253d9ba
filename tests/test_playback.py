"""The clock of a playback, the times it plays by, and the board after any number of events."""

import subprocess
import sys
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.playback.deck import SPEEDS, Deck
from app.playback.marks import times_of
from app.playback.reel import EVERY, Reel, copied
from app.playback.streams import KEPT, Piece, Stream, spread
from app.playback.times import BEAT, SILENCE, TELLING, Kind
from store.domain.board import Board
from store.domain.events import (
    Alert,
    CallFinished,
    CallStarted,
    CheckResult,
    EngineStarted,
    Event,
    GateOpened,
    GenerationDesigned,
    Payload,
    RunCreated,
    RunFinished,
    SubagentChecked,
    SubagentLaunched,
    ToolFinished,
    ToolStarted,
    TurnStarted,
)
from store.domain.ids import SubagentId
from store.domain.limits import Usage
from store.domain.states import AlertLevel, RunState
from store.domain.strategy import LanePlan
from tests.record import STRATEGIES, TASK

RUN = "abcde"
START = 1_795_000_000.0


def events(turns: int = 6, lanes: int = 3, generations: int = 2, gap: float = 0.25) -> list[Event]:
    """A run of several lanes, all working at once; a minute's silence before each generation."""
    made: list[Event] = []
    at = START

    def add(payload: Payload, generation: int | None = None, lane: int | None = None, after: float = gap) -> None:
        nonlocal at
        at += after
        made.append(Event(10 + 3 * len(made), at, RUN, generation, lane, payload))

    add(RunCreated(TASK, "a title", "r", 1))
    add(EngineStarted(1, "0", "x"))
    for generation in range(1, generations + 1):
        plans = tuple(LanePlan(lane, STRATEGIES[lane % 5], clean=False) for lane in range(1, lanes + 1))
        add(GenerationDesigned(plans), generation, after=60.0)
        for lane in range(1, lanes + 1):
            add(SubagentLaunched("s", "m"), generation, lane)
        for turn in range(1, turns + 1):
            for lane in range(1, lanes + 1):
                call = f"c{generation}.{lane}.{turn}"
                add(TurnStarted(turn), generation, lane)
                add(CallStarted(call, "m"), generation, lane)
                # Several things of one moment.
                add(CallFinished(call, 200, "tool_use", Usage(10, 10), 0.01, 1.0), generation, lane)
                add(ToolStarted(turn, call, "run", "run check"), generation, lane, after=0.0)
                bad = turn % 3 == 0
                summary = "exit code 1: broken" if bad else "ok"
                add(ToolFinished(turn, call, "run", True, 0.2, "", summary), generation, lane, after=0.0)
        add(Alert("same-call", "the same call three times"), generation, 1)
        for lane in range(1, lanes + 1):
            add(SubagentChecked(lane == 2, "p", result=CheckResult(lane == 2, 0, 0, 1.0, "", "")), generation, lane)
        add(GateOpened(waits=True), generation)
    add(RunFinished(RunState.SOLVED, "it passes", ""))
    return made


EVENTS = events()


def folded(count: int, log: Sequence[Event] = EVENTS) -> Board:
    board = Board(RUN)
    for event in log[:count]:
        board.apply(event)
    return board


# Times.


def test_an_alert_is_marked_by_its_level() -> None:
    raised = [Event(1, 1.0, RUN, 1, 1, Alert("same-call", "it fails", level=level)) for level in AlertLevel]
    marks = times_of(raised).marks
    assert [(mark.kind, mark.look, mark.text) for mark in marks] == [
        (Kind.ALERT, "note", "1.1: note: it fails"),
        (Kind.ALERT, "alert", "1.1: it fails"),
        (Kind.ALERT, "stuck", "1.1: stuck: it fails"),
    ]


def test_a_silence_is_squeezed_and_nothing_else_is() -> None:
    times = times_of(EVENTS)
    assert times.took == pytest.approx(EVENTS[-1].at - EVENTS[0].at)
    assert times.duration == pytest.approx(times.took - 2 * (60.0 - SILENCE))
    for event, recorded, played in zip(EVENTS, times.recorded, times.played, strict=True):
        assert times.play_of(recorded) == pytest.approx(played)
        assert times.recorded_of(played) == pytest.approx(event.at)
    assert times_of(EVENTS, squeezed=False).duration == pytest.approx(times.took)


def test_while_an_answer_streams_it_is_not_silent() -> None:
    two = [EVENTS[0], Event(99, EVENTS[0].at + 100.0, RUN, None, None, EngineStarted(1, "0", "x"))]
    whole = times_of(two, [(EVENTS[0].at + 20.0, EVENTS[0].at + 90.0)])
    assert whole.duration == pytest.approx(SILENCE + 70.0 + SILENCE)
    assert whole.recorded_of(SILENCE + 35.0) == pytest.approx(EVENTS[0].at + 55.0)
    # What streamed before the first event or after the last one is not shown.
    assert times_of(two, [(0.0, 9e9)]).duration == pytest.approx(100.0)


def test_a_clock_that_went_back_stands_still() -> None:
    back = [EVENTS[0], Event(99, EVENTS[0].at - 50.0, RUN, None, None, EngineStarted(1, "0", "x"))]
    assert times_of(back).played == [0.0, 0.0]
    assert times_of(back).count(0.0) == 2


def test_nothing_recorded_plays_nothing() -> None:
    times = times_of([])
    assert (times.duration, times.took, times.count(5.0), times.recorded_of(1.0)) == (0.0, 0.0, 0, 0.0)
    assert Deck(times).place(3.0).count == 0


def test_marks_are_what_the_tree_calls_errors_alerts_and_solved() -> None:
    times = times_of(EVENTS)
    kinds = [mark.kind for mark in times.marks]
    assert (kinds.count(Kind.ERROR), kinds.count(Kind.ALERT), kinds.count(Kind.SOLVED)) == (12, 2, 2)
    assert (kinds.count(Kind.GENERATION), kinds.count(Kind.GATE), kinds[-1]) == (2, 2, Kind.END)
    first = times.mark(0, 1)
    assert first is not None
    assert first.text == "1.1: run: exit code 1: broken"
    assert times.mark(first.count, -1) is None
    alert = times.mark(0, 1, [Kind.ALERT])
    assert alert is not None
    assert alert.text == "1.1: the same call three times"


@given(st.lists(st.floats(0, 1e5), max_size=40), st.lists(st.tuples(st.floats(0, 1e5), st.floats(0, 1e3)), max_size=9))
def test_the_two_measures_agree_and_never_go_back(ats: list[float], streams: list[tuple[float, float]]) -> None:
    log = [Event(seq, at, RUN, None, None, Alert("r", "t")) for seq, at in enumerate(ats, 1)]
    stretches = [(start, start + length) for start, length in streams]
    times = times_of(log, stretches)
    assert times.played == sorted(times.played)
    if times.timeless:
        assert times.played == [BEAT * index for index in range(len(log))]
        return
    assert times.duration <= times_of(log, stretches, squeezed=False).duration + 1e-6
    for count, played in enumerate(times.played, 1):
        assert times.count(played) >= count
        assert times.play_of(times.recorded_of(played)) == pytest.approx(played, abs=1e-6)
    for before, after in zip(times.played, times.played[1:], strict=False):
        assert after - before <= max(ats) - min(ats) + 1e-6


def test_where_no_times_were_kept_events_follow_each_other() -> None:
    log = [Event(event.seq, START, RUN, event.generation, event.lane, event.payload) for event in EVENTS]
    times = times_of(log)
    assert times.timeless
    assert times.duration == pytest.approx(BEAT * (len(log) - 1))
    deck = Deck(times)
    deck.play(0.0)
    assert [deck.place(BEAT * count + 0.01).count for count in range(20)] == list(range(1, 21))
    assert deck.place(3.0).at == START
    deck.go(40, 3.0, stand=True)
    deck.retime(times_of(log, squeezed=False), 3.0)
    assert deck.place(3.0).count == 40


# The clock.


def test_playing_goes_as_fast_as_its_speed() -> None:
    deck = Deck(times_of(EVENTS))
    assert not deck.place(100.0).playing
    deck.play(100.0)
    assert deck.place(103.0).played == pytest.approx(3.0)
    deck.at_speed(4.0, 103.0)
    assert deck.place(104.0).played == pytest.approx(7.0)
    deck.pause(104.0)
    assert deck.place(999.0).played == pytest.approx(7.0)
    with pytest.raises(ValueError, match=r"within 0\.5× and 64×"):
        deck.at_speed(65.0, 104.0)


def test_speeds_go_up_and_down_and_stop_at_the_last() -> None:
    deck = Deck(times_of(EVENTS))
    seen = [deck.speed]
    for _ in range(8):
        deck.shift(1, 0.0)
        seen.append(deck.speed)
    assert seen == [*SPEEDS[1:], 64.0, 64.0]
    for _ in range(9):
        deck.shift(-1, 0.0)
    assert deck.speed == 0.5


def test_at_the_end_it_stands_and_play_begins_anew() -> None:
    deck = Deck(times_of(EVENTS))
    deck.play(0.0)
    place = deck.place(1e6)
    assert (place.count, place.playing) == (len(EVENTS), False)
    deck.toggle(1e6)
    assert deck.place(1e6).played == 0.0
    assert deck.place(1e6).playing


def test_steps_stand_at_each_event_also_of_one_moment() -> None:
    deck = Deck(times_of(EVENTS))
    deck.go(0, 0.0)
    seen = []
    for _ in range(len(EVENTS) + 2):
        deck.step(1, 0.0)
        seen.append(deck.place(0.0).count)
    assert seen == [*range(1, len(EVENTS) + 1), len(EVENTS), len(EVENTS)]
    deck.step(-1, 0.0)
    assert deck.place(0.0).count == len(EVENTS) - 1


def test_turns_forth_and_back() -> None:
    deck = Deck(times_of(EVENTS))
    assert deck.turn(1, 0.0)
    first = deck.place(0.0).count
    assert isinstance(EVENTS[first - 1].payload, TurnStarted)
    assert deck.turn(1, 0.0)
    assert deck.place(0.0).count > first
    assert deck.turn(-1, 0.0)
    assert deck.place(0.0).count == first
    assert not deck.turn(-1, 0.0)
    assert deck.place(0.0).count == first


def test_jumping_finds_every_mark_once() -> None:
    deck = Deck(times_of(EVENTS))
    found = []
    while (mark := deck.jump(1, 0.0)) is not None:
        found.append(mark)
        assert deck.place(0.0).count == mark.count
    assert found == deck.times.of(TELLING)


def test_silences_squeezed_or_not_show_the_same_place() -> None:
    deck = Deck(times_of(EVENTS))
    deck.go(40, 0.0)
    deck.retime(times_of(EVENTS, squeezed=False), 0.0)
    assert deck.place(0.0).count == 40
    assert deck.place(0.0).at == pytest.approx(EVENTS[39].at)


# Boards after any number of events.


@st.composite
def orders(draw: st.DrawFn) -> list[tuple[str, float]]:
    kinds = ["wait", "play", "pause", "seek", "skip", "step", "turn", "jump", "speed", "go", "squeeze"]
    return draw(st.lists(st.tuples(st.sampled_from(kinds), st.floats(-1, 1)), max_size=25))


@settings(deadline=None)
@given(orders())
def test_after_any_seeks_and_plays_the_board_is_folded_from_the_first_events(given: list[tuple[str, float]]) -> None:
    times = times_of(EVENTS)
    deck, reel, now = Deck(times), Reel(RUN, EVENTS), 0.0
    for kind, amount in given:
        sign = 1 if amount >= 0 else -1
        before = deck.place(now)
        match kind:
            case "wait":
                now += abs(amount) * 30
                assert deck.place(now).count >= before.count
            case "play":
                deck.play(now)
            case "pause":
                deck.pause(now)
            case "seek":
                deck.seek(abs(amount) * times.duration, now)
            case "skip":
                deck.skip(amount * 20, now)
            case "step":
                deck.step(sign, now)
                assert deck.place(now).count == min(max(before.count + sign, 0), len(EVENTS))
            case "turn":
                deck.turn(sign, now)
            case "jump":
                deck.jump(sign, now)
            case "speed":
                deck.shift(sign, now)
            case "go":
                deck.go(round(abs(amount) * len(EVENTS)), now)
            case _:
                deck.retime(times_of(EVENTS, squeezed=not deck.times.squeezed), now)
        place = deck.place(now)
        assert 0 <= place.count <= len(EVENTS)
        assert place.playing or place.count == deck.place(now + 1e4).count
        assert reel.board(place.count) == folded(place.count)


def test_boards_far_apart_come_from_the_ones_that_are_kept() -> None:
    log = events(turns=60, lanes=20, generations=1)
    assert len(log) > EVERY
    reel = Reel(RUN, log)
    for count in (len(log), EVERY + 5, EVERY - 5, 7, EVERY, len(log)):
        assert reel.board(count) == folded(count, log)


def test_a_board_that_was_given_away_may_change() -> None:
    reel = Reel(RUN, EVENTS)
    board = reel.board(50)
    for event in EVENTS[50:]:
        board.apply(event)
    assert reel.board(50) == folded(50)
    assert board == folded(len(EVENTS))


def test_a_copy_shares_only_what_never_changes() -> None:
    board = folded(len(EVENTS))
    copy = copied(board)
    assert copy == board
    lane, twin = board.generations[1].lanes[1], copy.generations[1].lanes[1]
    assert twin is not lane
    assert twin.work is not lane.work
    assert twin.results is not lane.results
    assert twin.plan is lane.plan


def test_flows_say_what_was_said_last_and_no_more() -> None:
    reel = Reel(RUN, EVENTS)
    asked: list[str] = []

    def words(calls: object) -> dict[str, list[tuple[str, str]]]:
        asked[:] = list(calls)  # type: ignore[call-overload]  # names of calls
        return {call: [("text", f"I am {call}.")] for call in asked}

    who = SubagentId(RUN, 1, 1)
    ended = next(
        n for n, event in enumerate(EVENTS, 1) if event.subagent == who and event.payload.kind == "call.finished"
    )
    assert [part.text for part in reel.flows(ended, words)[who].parts][-1] == "I am c1.1.1."
    assert asked == ["c1.1.1"]
    assert reel.under_way(ended) == {}
    assert reel.under_way(ended - 1) == {who: "c1.1.1"}
    assert "I am c1.1.1." not in [part.text for part in reel.flows(ended - 1, words)[who].parts]
    # What is over is read once.
    whole = reel.flows(len(EVENTS), words)
    assert reel.flows(len(EVENTS), words)[who] is whole[who]
    assert reel.index(EVENTS[7].seq) == 7


# Text in progress.


@given(
    st.lists(st.tuples(st.floats(0, 9), st.sampled_from(["text", "tool"]), st.text(max_size=3000)), max_size=12),
    st.lists(st.floats(-1, 10), max_size=8),
)
def test_a_stream_shows_the_end_of_what_had_come(found: list[tuple[float, str, str]], looks: list[float]) -> None:
    pieces = [Piece(at, kind, text) for at, kind, text in sorted(found, key=lambda piece: piece[0])]
    stream = Stream(pieces)
    for at in looks:
        said = "".join(piece.text for piece in pieces if piece.at <= at)
        assert "".join(text for _, text in stream.parts(at)) == said[-KEPT:]


def test_words_without_times_are_spread_and_none_is_lost() -> None:
    pieces = spread([("reasoning", "a" * 50), ("text", "b" * 20)], 10.0, 14.0)
    assert "".join(piece.text for piece in pieces) == "a" * 50 + "b" * 20
    assert all(10.0 < piece.at <= 14.0 for piece in pieces)
    assert pieces[-1].at == pytest.approx(14.0)


def test_the_clock_needs_no_screen() -> None:
    probe = "import sys, app.playback.deck, app.playback.where; print('textual' in sys.modules)"
    told = subprocess.run(
        [sys.executable, "-P", "-c", probe], capture_output=True, text=True, check=True, env={"PYTHONPATH": "."}
    )
    assert told.stdout.strip() == "False"
