"""A run read in windows is what all of its events say."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app import large, tracing
from app.trace import OfTurn, Opening, Trace
from bench import bigrun
from store import events, windows
from store.database import Store, open_store
from store.domain.board import Board
from store.domain.events import (
    Alert,
    CallFinished,
    CallStarted,
    Event,
    ForkedFrom,
    Payload,
    SubagentAdded,
    SubagentEnded,
    SubagentLaunched,
    SubagentRestarted,
    SubagentSteered,
    ToolFinished,
    ToolStarted,
    TurnStarted,
)
from store.domain.ids import SubagentId
from store.domain.limits import Spend, Usage
from store.domain.states import Ending
from store.domain.strategy import LanePlan, Strategy
from tests import record
from widgets.outline import RECENT, Item

RUNS = (record.LIVE, record.GATE, record.SOLVED)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with record.recorded(Path(tmp_path_factory.mktemp("home"))) as home, open_store(home.store) as opened:
        yield opened


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A run of 24,000 nodes: two generations of three subagents with 2,000 turns each."""
    path = tmp_path_factory.mktemp("big") / "store"
    assert bigrun.make(path, 24_000, generations=2, lanes=3) == 2000
    with open_store(path) as opened:
        yield opened


def read(store: Store, run: str, until: int | None = None) -> Trace:
    """A run's trace with every window of it, and what went wrong."""
    trace = Trace(run, "a title", tracing.open_run(store, run, "a title", until))
    for who in list(trace.lanes):
        unfold(store, trace, who)
    for portion in tracing.look_for_wrong(store, run, 0, trace.seq):
        trace.found_wrong(portion, trace.seq)
    return trace


def unfold(store: Store, trace: Trace, who: SubagentId) -> None:
    lane = trace.lanes[who]
    trace.take_places(who, tracing.read_places(store, who))
    for first in range(0, lane.turns, 64):
        window = trace.window(lane, first)
        assert window is not None
        trace.take(tracing.read_page(store, who, first, *window))


def rows(trace: Trace, under: Item | None = None, depth: int = 0) -> list[str]:
    above = under or trace.outline.top
    found: list[str] = []
    for place in range(above.count):
        item = trace.outline.child(above, place)
        bad = f" ✗{item.bad}" if item.bad else ""
        found.append("  " * depth + "".join(text for text, _ in item.line) + bad)
        found += rows(trace, item, depth + 1)
    return found


@pytest.mark.parametrize("run", RUNS)
def test_windows_come_to_what_all_events_come_to(store: Store, run: str) -> None:
    told = Trace(run, "a title")
    told.apply(events.read(store, run=run))
    assert rows(read(store, run)) == rows(told)


@pytest.mark.parametrize("run", RUNS)
def test_a_trace_goes_on_from_any_event(store: Store, run: str) -> None:
    past = events.read(store, run=run)
    told = Trace(run, "a title")
    told.apply(past)
    for until in (past[0].seq, past[len(past) // 3].seq, past[-3].seq):
        trace = read(store, run, until)
        trace.apply([event for event in past if event.seq > until])
        for who in list(trace.lanes):
            unfold(store, trace, who)
        assert rows(trace) == rows(told)


def test_a_trace_of_a_past_event_knows_nothing_of_what_came_after(store: Store) -> None:
    past = events.read(store, run=record.LIVE)
    until = past[len(past) // 2]
    told = Trace(record.LIVE, "a title")
    told.apply([event for event in past if event.seq <= until.seq])
    assert rows(read(store, record.LIVE, until.seq)) == rows(told)


def test_only_what_is_looked_at_is_held(big: Store) -> None:
    trace = Trace(bigrun.RUN, "a title", tracing.open_run(big, bigrun.RUN, "a title"))
    assert len(trace.outline) < 20
    who = SubagentId(bigrun.RUN, 2, 2)
    lane = trace.lanes[who]
    trace.outline.reveal(lane.item)
    trace.outline.open(lane.item)
    assert len(trace.outline.rows) > 2000
    trace.take_places(who, tracing.read_places(big, who))
    for row in range(0, len(trace.outline.rows), 7):
        trace.outline.at(row)
    assert len(trace.outline) <= RECENT + 20
    last = trace.outline.child(lane.item, 1999)
    found = trace.page_of(last)
    assert found is not None
    window = trace.window(*found)
    assert window is not None
    trace.take(tracing.read_page(big, who, found[1], *window))
    assert isinstance(last.data, OfTurn)
    assert (last.data.turn, last.data.calls, last.blank) == (2000, ["c2-2-2000"], False)
    assert rows(trace, lane.item)[-1].startswith("ended: ")


def test_every_error_of_a_long_run_is_found(big: Store) -> None:
    trace = Trace(bigrun.RUN, "a title", tracing.open_run(big, bigrun.RUN, "a title"))
    for portion in tracing.look_for_wrong(big, bigrun.RUN, 0, trace.seq):
        trace.found_wrong(portion, trace.seq)
    assert trace.outline.roots[0].bad == sum(len(lane.wrong) for lane in trace.lanes.values()) == 240


def test_a_long_run_has_the_board_of_a_short_one(big: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large, "LARGE", 1000)
    assert large.is_large(big, bigrun.RUN)
    folded, board = Board(bigrun.RUN), large.board(big, bigrun.RUN)
    for event in events.read(big, run=bigrun.RUN):
        folded.apply(event)
    assert board.seq == folded.seq
    for generation in folded.generations.values():
        for lane in generation.lanes.values():
            other = board.lane(lane.id)
            assert other is not None
            assert (other.turn, other.spend.usage, other.state, other.last) == (
                lane.turn,
                lane.spend.usage,
                lane.state,
                lane.last,
            )


def test_a_short_run_is_not_large(store: Store) -> None:
    assert not large.is_large(store, record.LIVE)


def test_turns_by_number_and_the_newest(store: Store) -> None:
    who = SubagentId(record.LIVE, 2, 3)
    places = windows.places(store, who)
    assert len(places) == windows.counts(store, record.LIVE)[who]
    assert windows.newest(store, who, 2) == list(places[-2:])
    assert windows.numbered(store, who, 1) == [("", places[0])]
    assert windows.numbered(store, who, 999) == []


def test_a_subagent_that_begins_anew_parts_there(store: Store) -> None:
    who, at = SubagentId("r2345", 1, 1), iter(range(1, 99))
    past = events.read(store, run=record.LIVE)
    designed = next(event for event in past if event.payload.kind == "generation.designed")
    trace = Trace("r2345", "a title")
    steps = [TurnStarted(1), ToolStarted(1, "a", "run", "run make"), ToolFinished(1, "a", "run", True, 1.0, "", "done"),
             SubagentRestarted(), TurnStarted(1), Alert("same", "the same again")]  # fmt: skip
    trace.apply([Event(next(at), 0.0, "r2345", 1, None, designed.payload)])
    trace.apply([Event(next(at), 0.0, "r2345", 1, 1, payload) for payload in steps])
    lane = trace.lanes[who]
    assert rows(trace, lane.item) == [
        "turn 1  run make",
        "  › run make",
        "    ✔ done",
        "turn 1 ✗1",
        "  ◌ begins anew",
        "  ⚠ the same again ✗1",
    ]


def test_an_opening_of_nothing_is_a_trace_of_nothing() -> None:
    assert rows(Trace("r2345", "a title", Opening("r2345", "a title"))) == ["r2345  a title"]


def test_own_subagents_restarts_and_forks_part_where_they_did(tmp_path: Path, store: Store) -> None:
    run = "r2345"
    designed = next(e.payload for e in events.read(store, run=record.LIVE) if e.payload.kind == "generation.designed")
    plan = LanePlan(6, Strategy("other", "Otherwise."), clean=False)
    first: list[Payload] = [
        SubagentLaunched("x", "m"),
        TurnStarted(1),
        CallStarted("c1", "m"),
        CallFinished("c1", 529, "", Usage(), None, 1.0, error="overloaded"),
        CallStarted("c2", "m"),
        CallFinished("c2", 200, "tool_use", Usage(10, 5), 0.1, 2.0),
        ToolStarted(1, "x", "task", "task look"),
        TurnStarted(2, thread="own", under="x"),
        CallStarted("c3", "m", thread="own"),
        CallFinished("c3", 200, "", Usage(7, 7), None, 1.0),
        ToolStarted(2, "y", "run", "run make"),
        ToolFinished(2, "y", "run", False, 1.0, "", "no such file"),
        ToolFinished(1, "x", "task", True, 9.0, "", "found"),
        TurnStarted(3),
        SubagentSteered("Look at the refund."),
        SubagentEnded(Ending.PROVIDER, "gone", Spend()),
        SubagentRestarted(),
        SubagentLaunched("y", "m", afresh=True),
        TurnStarted(1),
        Alert("same", "the same again"),
    ]
    forked = SubagentAdded(plan, ForkedFrom("c2", subagent=f"{run}.1.1", turn=3))
    with open_store(tmp_path / "store") as other:
        other.write(lambda c: events.append(c, run, [designed], at=0.0, generation=1))
        other.write(lambda c: events.append(c, run, first, at=1.0, generation=1, lane=1))
        other.write(lambda c: events.append(c, run, [forked], at=2.0, generation=1, lane=6))
        told = Trace(run, "a title")
        told.apply(events.read(other, run=run))
        assert rows(read(other, run)) == rows(told)
        assert windows.numbered(other, SubagentId(run, 1, 1), 2)[0][0] == "x"
    lane = told.lane(SubagentId(run, 1, 1))
    assert lane is not None
    assert rows(told, lane) == [
        "turn 1  2 calls  task look ✗2",
        "  ✗ call failed 529: overloaded ✗1",
        "  › task look ✗1",
        "    ◦ a subagent of its own  1 turn ✗1",
        "      turn 2  run make ✗1",
        "        › run make ✗1",
        "          ✗ no such file ✗1",
        "    ✔ found",
        "turn 3",
        "  ◦ 1.6 forks here",
        "  » told: Look at the refund.",
        "turn 1 ✗1",
        "  ◌ begins anew",
        "  ⚠ the same again ✗1",
    ]
    added = told.lane(SubagentId(run, 1, 6))
    assert added is not None
    assert "1.6 ○ queued    other ◦ forked from 1.1 turn 3" in "".join(text for text, _ in added.line)
