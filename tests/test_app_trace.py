"""The trace from events, its words from the tape, and its nodes as what they are."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from app import happening, nodes, tracing
from app.spots import OfTold
from app.trace import OfBlock, OfEvent, OfGeneration, OfLane, OfResult, OfRun, OfTool, OfTurn, Trace
from app.turning import is_wrong, label, speechless
from app.wrongs import wrong_rows
from store import events
from store.database import Store, open_store
from store.domain.board import Board
from store.domain.events import (
    CallFinished,
    CallStarted,
    Event,
    GenerationDesigned,
    Payload,
    RunFinished,
    SubagentEnded,
    TurnStarted,
)
from store.domain.ids import SubagentId
from store.domain.limits import Spend, Usage
from store.domain.states import Ending, RunState
from store.domain.strategy import LanePlan, Strategy
from tests import record
from widgets.flow import went_wrong
from widgets.ink import Line
from widgets.outline import Item


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with record.recorded(Path(tmp_path_factory.mktemp("home"))) as home, open_store(home.store) as opened:
        yield opened


def folded(store: Store, run: str = record.LIVE) -> tuple[Trace, Board]:
    trace, board = Trace(run, "a title"), Board(run)
    past = events.read(store, run=run)
    trace.apply(past)
    for event in past:
        board.apply(event)
    return trace, board


def text(lines: list[Line]) -> str:
    return "\n".join("".join(piece for piece, _ in line) for line in lines)


def labels(items: Iterable[Item]) -> list[str]:
    return ["".join(piece for piece, _ in item.line) for item in items]


def tools(turn: Item) -> list[Item]:
    return [item for item in turn.children if isinstance(item.data, OfTool)]


def test_the_tree_is_run_generation_subagent_turn_tool_result(store: Store) -> None:
    trace, _ = folded(store)
    root = trace.outline.roots[0]
    assert labels(root.children) == ["generation 1", "generation 2"]
    assert not root.children[0].open
    assert root.children[1].open
    lane = trace.lane(SubagentId(record.LIVE, 2, 3))
    assert lane is not None
    assert "history" in labels([lane])[0]
    assert "solved" in labels([lane])[0]
    turn = trace.turn(SubagentId(record.LIVE, 2, 3), 5)
    assert turn is not None
    assert not turn.loaded
    (tool,) = tools(turn)
    assert labels([tool]) == ["› run python check.py"]
    assert labels(tool.children) == ["✗ exit code 1"]
    assert turn.bad == 1


def test_errors_roll_up(store: Store) -> None:
    trace, board = folded(store)
    failed = sum(
        went_wrong(result)
        for generation in board.generations.values()
        for lane in generation.lanes.values()
        for result in lane.results.values()
    )
    alerts = sum(lane.alerts for generation in board.generations.values() for lane in generation.lanes.values())
    assert trace.outline.roots[0].bad == failed + alerts


def test_a_tool_call_that_is_open_has_no_result(store: Store) -> None:
    trace, board = folded(store)
    turn = trace.turn(SubagentId(record.LIVE, 2, 2), 5)
    assert turn is not None
    (tool,) = tools(turn)
    assert tool.children == []
    assert isinstance(tool.data, OfTool)
    assert "runs" in text(nodes.describe(store, board, tool.data))


def test_words_are_filled_in_where_they_were_said(store: Store) -> None:
    trace, _ = folded(store)
    turn = trace.turn(SubagentId(record.LIVE, 2, 1), 1)
    assert turn is not None
    assert isinstance(turn.data, OfTurn)
    said = nodes.said(store, turn.data)
    trace.fill(turn, said)
    assert [label[:2] for label in labels(turn.children)] == ["∙ ", "  ", "› "]
    assert turn.loaded
    before = labels(turn.children)
    trace.fill(turn, said)
    assert labels(turn.children) == before


def test_applying_event_by_event_gives_the_same_tree(store: Store) -> None:
    whole, _ = folded(store)
    pieces = Trace(record.LIVE, "a title")
    for event in events.read(store, run=record.LIVE):
        pieces.apply([event])
    assert labels(pieces.outline.rows) == labels(whole.outline.rows)


def test_errors_are_where_they_are_however_early_the_trace_was_opened(store: Store) -> None:
    past = events.read(store, run=record.LIVE)
    rows = []
    for until in (0, past[-1].seq):
        trace = Trace(record.LIVE, "a title", tracing.open_run(store, record.LIVE, "a title", until))
        trace.apply(past)
        trace.found_wrong([event for event in past if is_wrong(event.payload)], past[-1].seq)
        for lane in trace.lanes.values():
            trace.outline.reveal(lane.item)
            trace.outline.open(lane.item)
            if until:
                trace.take_places(lane.who, tracing.read_places(store, lane.who))
        rows.append({lane.who: [lane.place(seq) for seq in lane.wrong] for lane in trace.lanes.values()})
        assert len(wrong_rows(trace, 1000)) == sum(len(lane.wrong) for lane in trace.lanes.values()) > 0
    assert rows[0] == rows[1]


def test_words_read_before_the_tool_began_give_way_to_the_tool(store: Store) -> None:
    """The answer is on the tape a moment before its tool call starts: a turn that is open then shows it only once."""
    past = events.read(store, run=record.LIVE)
    trace = Trace(record.LIVE, "a title")
    for event in past:
        trace.apply([event])
        for item in list(trace.outline.rows):
            if isinstance(item.data, OfTurn) and item.data.calls and not item.loaded:
                trace.outline.open(item)
                trace.fill(item, nodes.said(store, item.data))
    turn = trace.turn(SubagentId(record.LIVE, 1, 1), 1)
    assert turn is not None
    assert len(tools(turn)) == 1


def test_the_newest_turn(store: Store) -> None:
    trace, _ = folded(store)
    newest = trace.newest()
    assert newest is not None
    assert isinstance(newest.data, OfTurn)
    assert newest.data.who.generation == 2
    lane = trace.lane(SubagentId(record.LIVE, 1, 2))
    older = trace.newest(lane)
    assert older is not None
    assert isinstance(older.data, OfTurn)
    assert older.data.who == SubagentId(record.LIVE, 1, 2)


def test_every_node_of_every_run_can_be_shown(store: Store) -> None:
    for run in (record.LIVE, record.GATE, record.SOLVED, record.BROKEN):
        trace, board = folded(store, run)
        stack = list(trace.outline.roots)
        kinds = set()
        while stack:
            item = stack.pop()
            if isinstance(item.data, OfTurn) and item.data.turn == 1:
                trace.fill(item, nodes.said(store, item.data))
            stack += [trace.outline.child(item, place) for place in range(item.count)]
            if isinstance(item.data, OfTurn | OfTool | OfResult) and item.data.who.lane > 2:
                continue
            assert isinstance(item.data, OfRun | OfGeneration | OfLane | OfTurn | OfBlock | OfTool | OfResult | OfEvent)
            kinds.add(type(item.data))
            for raw in (False, True):
                assert nodes.describe(store, board, item.data, raw=raw), (item.key, raw)
        assert len(kinds) == (8 if run != record.BROKEN else 2)


def node(store: Store, lane: int, turn: int) -> str:
    trace, board = folded(store)
    item = trace.turn(SubagentId(record.LIVE, 2, lane), turn)
    assert item is not None
    (tool,) = tools(item)
    assert isinstance(tool.data, OfTool)
    return text(nodes.describe(store, board, tool.data))


def test_nodes_are_drawn_as_what_they_are(store: Store) -> None:
    assert "@@ -1,4 +1,5 @@" in node(store, 1, 3)
    assert "   36 class Stock:" in node(store, 1, 1)
    traced = node(store, 1, 5)
    assert "shop.bank.Timeout: no answer in 0.5s" in traced
    checked = node(store, 1, 4)
    assert "oversold: 2 of 50 schedules" in checked
    assert "\x1b" not in checked


def test_raw_shows_what_was_sent_and_what_came(store: Store) -> None:
    trace, board = folded(store)
    item = trace.turn(SubagentId(record.LIVE, 2, 1), 2)
    assert item is not None
    assert isinstance(item.data, OfTurn)
    raw = text(nodes.describe(store, board, item.data, raw=True))
    for said in (
        "Request  POST /v1/messages",
        '"max_tokens": 8192',
        "Response  200",
        "request-id: req_",
        "event: message_stop",
    ):
        assert said in raw


def test_a_subagent_shows_its_strategy_its_verdict_and_its_patch(store: Store) -> None:
    trace, board = folded(store)
    lane = trace.lane(SubagentId(record.LIVE, 2, 3))
    assert lane is not None
    assert isinstance(lane.data, OfLane)
    shown = text(nodes.describe(store, board, lane.data))
    for said in (
        "Find the commit that brought it.",
        "check passed",
        "+        async with self._lock:",
        "check.py",
        "valid",
    ):
        assert said in shown


def test_a_turn_shows_what_it_was_told_before_what_it_said(store: Store) -> None:
    trace, board = folded(store)
    turn = trace.turn(SubagentId(record.LIVE, 2, 1), 1)
    assert turn is not None
    assert isinstance(turn.data, OfTurn)
    said, told = nodes.said(store, turn.data), nodes.told(store, turn.data)
    trace.fill(turn, said, told)
    kinds = [type(item.data) for item in turn.children]
    assert OfTold in kinds
    assert kinds == sorted(kinds, key=lambda kind: kind is not OfTold), "what was told comes first"
    before = labels(turn.children)
    trace.fill(turn, said, told)
    assert labels(turn.children) == before
    prompt = next(item.data for item in turn.children if isinstance(item.data, OfTold) and not item.data.node)
    assert nodes.path(prompt) == "2.1 · turn 1 · system prompt"
    assert "subagent" in text(nodes.describe(store, board, prompt))


def test_what_is_told_between_stands_in_its_turn_and_results_do_not(store: Store) -> None:
    trace, _ = folded(store)
    later = trace.turn(SubagentId(record.LIVE, 2, 1), 2)
    assert later is not None
    assert isinstance(later.data, OfTurn)
    assert nodes.told(store, later.data) == []


def test_a_turn_without_tools_says_how_it_begins() -> None:
    who = SubagentId("r", 1, 1)
    trace = Trace("r", "a title")
    plan = LanePlan(1, Strategy("talk", "Talk."), False)
    payloads: list[Payload] = [
        GenerationDesigned((plan,)),
        TurnStarted(1),
        CallStarted("c1", "m"),
        CallFinished("c1", 200, "end_turn", Usage(), 0.0, 0.1),
    ]
    trace.apply(Event(seq, 0.0, "r", 1, 1 if seq > 1 else None, payload) for seq, payload in enumerate(payloads, 1))
    (turn,) = trace.turns()
    assert speechless(trace.turns()) == [turn]
    assert isinstance(turn.data, OfTurn)
    turn.data.says = "All is well"
    label(turn)
    assert labels([turn]) == ["turn 1  All is well"]
    assert speechless(trace.turns()) == []
    assert who == turn.data.who


def test_what_happened_is_said_in_words() -> None:
    spend = Spend(4, Usage(1200, 30), 0.5, 61.0)
    ended = Event(3, 0.0, "7k3ab", 2, 3, SubagentEnded(Ending.TIME, "It was still at `make`.", spend))
    assert nodes.path(OfEvent(ended)) == "2.3 · end"
    said = text(list(happening.lines(ended.payload)))
    assert said.startswith("time limit\n\nIt was still at make.")
    assert "1.2k" in said
    over = RunFinished(RunState.SOLVED, "Solved in generation 3.", "/r/report.md")
    assert "{" not in text(list(happening.lines(over)))
    assert nodes.path(OfEvent(Event(9, 0.0, "7k3ab", None, None, over))) == "run 7k3ab · end of the run"
