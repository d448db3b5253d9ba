"""Tries of a routed call: each is told as what it is, and a call with its tries counts once."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from app import nodes
from app.calls import line
from app.cli import main
from app.finding import goal
from app.trace import OfTry, OfTurn, Trace
from app.turning import is_wrong
from store import events, runs, tapes
from store.database import Store, open_store
from store.domain.board import Board
from store.domain.codec import decode_payload
from store.domain.events import CallFinished, CallStarted, GenerationDesigned, RunCreated, SubagentLaunched, TurnStarted
from store.domain.ids import SubagentId
from store.domain.limits import Usage
from store.domain.query import parse
from store.domain.strategy import LanePlan, Strategy
from store.domain.task import Check, Task
from store.finding import Finder
from store.home import Home
from store.search import search
from store.tapes import CallEnd, CallStart, close_call, open_call, record_call
from widgets.flow import Flow
from widgets.outline import Item

RUN = "7k3ab"
WHO = SubagentId(RUN, 1, 1)


def start(name: str, at: float, text: str, parent: str | None = None, *, far: bool = True) -> CallStart:
    body = json.dumps(
        {"model": "gpt-5.1" if parent and far else "claude", "messages": text_of(text, bool(parent) and far)}
    )
    provider, protocol = ("openai", "openai-chat") if parent and far else ("anthropic", "anthropic")
    path = "/v1/chat/completions" if parent and far else "/v1/messages"
    source = "" if parent else "route"
    return CallStart(
        name, at, RUN, WHO, provider, "POST", path, body.encode(), protocol=protocol, parent=parent, source=source
    )


def text_of(text: str, plain: bool) -> list[dict[str, object]]:
    return [{"role": "user", "content": text if plain else [{"type": "text", "text": text}]}]


def answered(name: str, at: float, text: str, *, plain: bool, usage: Usage | None = None) -> CallEnd:
    message = {"role": "assistant", "content": text if plain else [{"type": "text", "text": text}]}
    used = {"usage": usage, "usd": 0.25} if usage else {"usd": 0.0}
    return CallEnd(name, at, 200, complete=True, messages=[message], response=text.encode(), **used)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Two turns: the first is answered by the second try, the second by the first, in the client's own protocol."""
    with open_store(Home(tmp_path).create().store) as store:
        store.write(partial(runs.create, run=RUN, title="routed", at=1.0))

        def tell(at: float, *payloads: object) -> None:
            store.write(lambda connection: events.append(connection, RUN, payloads, at=at, generation=1, lane=1))  # type: ignore[arg-type] # payloads

        order = RunCreated(Task("", "", Check("true")), "routed", "", 1)
        store.write(lambda connection: events.append(connection, RUN, [order], at=1.0))
        designed = GenerationDesigned((LanePlan(1, Strategy("a", "b"), clean=False),))
        store.write(lambda connection: events.append(connection, RUN, [designed], at=1.0, generation=1))
        tell(1.0, SubagentLaunched("/s", "claude"), TurnStarted(1))
        store.write(lambda connection: open_call(connection, start("c1", 2.0, "Where is the ledger?")))
        busy = CallEnd("t1", 2.2, 429, error="rate_limit_exceeded: too quick", complete=True)
        store.write(lambda connection: record_call(connection, start("t1", 2.1, "Where is the ledger?", "c1"), busy))
        said = answered("t2", 2.9, "In the cellar.", plain=True, usage=Usage(100, 7))
        store.write(lambda connection: open_call(connection, start("t2", 2.3, "Where is the ledger?", "c1")))
        store.write(lambda connection: close_call(connection, said))
        store.write(lambda connection: close_call(connection, answered("c1", 3.0, "In the cellar.", plain=False)))
        tell(4.0, TurnStarted(2))
        ask, near = start("c2", 5.0, "And the lock?"), start("t3", 5.1, "And the lock?", "c2", far=False)
        opened = answered("t3", 5.8, "It hangs upstairs.", plain=False, usage=Usage(50, 5))
        store.write(lambda connection: record_call(connection, near, opened))
        end = answered("c2", 6.0, "It hangs upstairs.", plain=False)
        store.write(lambda connection: record_call(connection, ask, end))
        yield store


def board_of(store: Store) -> Board:
    board = Board(RUN)
    for event in events.read(store, run=RUN):
        board.apply(event)
    return board


def test_events_say_whose_try_a_call_is(store: Store) -> None:
    told = [event.payload for event in events.read(store, run=RUN)]
    started = {payload.call: payload.parent for payload in told if isinstance(payload, CallStarted)}
    ended = {payload.call: payload.parent for payload in told if isinstance(payload, CallFinished)}
    assert started == ended == {"c1": "", "t1": "c1", "t2": "c1", "t3": "c2", "c2": ""}


def test_a_try_that_a_dead_engine_left_is_still_a_try(store: Store) -> None:
    store.write(lambda connection: open_call(connection, start("c3", 7.0, "Hm?")))
    store.write(lambda connection: open_call(connection, start("t4", 7.1, "Hm?", "c3")))
    assert store.write(lambda connection: tapes.orphans(connection, RUN, 8.0)) == ["c3", "t4"]
    ended = {
        e.payload.call: e.payload.parent for e in events.read(store, run=RUN) if isinstance(e.payload, CallFinished)
    }
    assert (ended["c3"], ended["t4"]) == ("", "c3")


def test_events_of_before_still_read() -> None:
    assert decode_payload("call.started", {"call": "c", "model": "m"}) == CallStarted("c", "m")
    old = {"call": "c", "status": 200, "stop_reason": "", "usage": {"input": 1}, "usd": None, "seconds": 1.0}
    assert decode_payload("call.finished", old) == CallFinished("c", 200, "", Usage(1), None, 1.0)


def test_turns_tokens_and_money_count_once(store: Store) -> None:
    lane = board_of(store).lane(WHO)
    assert lane is not None
    for spend in (lane.spend, tapes.spend(store, WHO), tapes.spend(store, RUN)):
        assert (spend.turns, spend.usage.total, spend.usd, spend.priced) == (2, 162, 0.5, True)
    assert tapes.spend(store, WHO).seconds == pytest.approx(2.0)
    assert tapes.count(store, RUN) == (2, 3)


def test_only_the_calls_own_end_answers_its_turn(store: Store) -> None:
    """A try that came whole, and could not be translated: the turn begins again."""
    board = board_of(store)
    store.write(
        lambda connection: events.append(
            connection,
            RUN,
            [
                TurnStarted(3),
                CallFinished("t9", 200, "", Usage(1, 1), 0.0, 1.0, parent="c9"),
                CallFinished("c9", 502, "", Usage(), 0.0, 1.0, "LiteLLM failed at this call"),
            ],
            at=9.0,
            generation=1,
            lane=1,
        )
    )
    for event in events.read(store, run=RUN, after=board.seq):
        board.apply(event)
    lane = board.lane(WHO)
    assert lane is not None and (lane.turn, lane.answered) == (3, 2)


def test_what_was_said_is_found_once_in_its_turn_and_call(store: Store) -> None:
    (cellar,) = search(store, "cellar")
    assert (cellar.call, cellar.turn, cellar.subagent) == ("c1", 1, WHO)
    (upstairs,) = search(store, "upstairs", run=RUN)
    assert (upstairs.call, upstairs.turn) == ("c2", 2)
    (ledger,) = search(store, "ledger")
    assert ledger.call == "c1"
    assert len(search(store, "cellar", before_generation=2)) == 1


def test_a_try_whose_call_was_never_answered_is_found(store: Store) -> None:
    store.write(lambda connection: open_call(connection, start("c3", 7.0, "Hm?")))
    said = answered("t4", 7.5, "Unheard of words.", plain=True, usage=Usage(1, 1))
    store.write(lambda connection: record_call(connection, start("t4", 7.1, "Hm?", "c3"), said))
    (hit,) = search(store, "unheard")
    assert hit.call == "c3"


def test_a_pane_tells_a_try_that_failed_without_alarm(store: Store) -> None:
    flow = Flow()
    for event in events.read(store, run=RUN):
        if event.subagent == WHO:
            flow.apply(event, {"c1": (("text", "In the cellar."),), "c2": (("text", "It hangs upstairs."),)})
    assert [(part.kind, part.text) for part in flow.parts] == [
        ("turn", "turn 1"),
        ("note", "a try failed: rate_limit_exceeded: too quick"),
        ("text", "In the cellar."),
        ("turn", "turn 2"),
        ("text", "It hangs upstairs."),
    ]


def traced(store: Store) -> tuple[Trace, Item, Item]:
    trace = Trace(RUN, "routed")
    for event in events.read(store, run=RUN):
        trace.apply([event])
    first, second = trace.turn(WHO, 1), trace.turn(WHO, 2)
    assert first is not None and second is not None
    return trace, first, second


def label(item: Item) -> str:
    return "".join(piece for piece, _ in item.line)


def test_the_trace_has_the_tries_under_their_turn(store: Store) -> None:
    trace, first, second = traced(store)
    for turn in (first, second):
        assert isinstance(turn.data, OfTurn)
        trace.fill(turn, nodes.said(store, turn.data))
    assert [label(child) for child in first.children] == [
        "→ gpt-5.1  ✗ 429 rate_limit_exceeded: too quick",
        "→ gpt-5.1",
        "  In the cellar.",
    ]
    assert [label(child) for child in second.children] == ["→ claude", "  It hangs upstairs."]
    assert (label(first), label(second)) == ("turn 1", "turn 2")
    told = [
        (item.figures.tokens, round(item.figures.seconds, 1))
        for item in (*first.children[1:2], first, second)
        if item.figures
    ]
    assert told == [(107, 0.6), (107, 1.0), (55, 1.0)]
    assert (first.bad, second.bad, first.loaded) == (0, 0, True), "it was answered all the same"
    assert isinstance(first.data, OfTurn) and first.data.calls == ["c1"]
    assert first.data.tries == {"c1": ["t1", "t2"]}


def test_words_that_came_before_a_try_is_known_stay_behind_it(store: Store) -> None:
    trace, turn = Trace(RUN, "routed"), None
    for event in events.read(store, run=RUN):
        trace.apply([event])
        turn = trace.turn(WHO, 1)
        if turn is not None and isinstance(turn.data, OfTurn):
            trace.fill(turn, nodes.said(store, turn.data))
    assert turn is not None
    assert [label(child)[0] for child in turn.children] == ["→", "→", " "]


def test_a_turn_and_a_try_show_what_they_are(store: Store) -> None:
    _, first, _ = traced(store)
    board = board_of(store)

    def described(shown: OfTurn | OfTry) -> str:
        return "\n".join("".join(piece for piece, _ in line) for line in nodes.describe(store, board, shown))

    assert isinstance(first.data, OfTurn)
    turn = described(first.data)
    assert "answered by   2 tries of the route" in turn
    assert turn.count("call c1") == 1 and "  try t1" in turn and "  try t2" in turn
    assert turn.count("100 in, 7 out") == 1 and turn.count("0 in, 0 out") == 1, "the call has none of its own"
    assert turn.count("In the cellar.") == 1
    tried = first.children[1].data
    assert isinstance(tried, OfTry)
    assert described(tried).startswith("try t2") and "In the cellar." in described(tried)
    raw = "".join(piece for line in nodes.describe(store, board, tried, raw=True) for piece, _ in line)
    assert "Request  POST /v1/chat/completions" in raw


def test_what_is_found_is_gone_to_under_its_call(store: Store) -> None:
    trace, first, _ = traced(store)
    assert isinstance(first.data, OfTurn)
    trace.fill(first, nodes.said(store, first.data))
    (hit,) = Finder(store, parse("cellar"), is_wrong, runs=[RUN]).more(9)
    there = goal(hit)
    assert there is not None and (there.who, there.turn) == (WHO, 1)
    found = trace.outline.find(there.key)
    assert found is not None and label(found) == "  In the cellar."


def told(store: Store, capture: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["--home", str(store.path.parent), *arguments]) == 0
    return capture.readouterr().out


def test_calls_are_listed_with_their_tries_under_them(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    heads, *rows = told(store, capsys, "calls").splitlines()
    assert heads.split()[:5] == ["CALL", "PARENT", "TIME", "SUBAGENT", "MODEL"]
    assert [row.split()[0] if row[0] != "→" else row.split()[:3] for row in rows] == [
        "c1", ["→", "t1", "c1"], ["→", "t2", "c1"], "c2", ["→", "t3", "c2"],
    ]  # fmt: skip
    assert "$" not in rows[0] and rows[2].split()[8:10] == ["107", "$0.25"]
    found = json.loads(told(store, capsys, "calls", "--json"))
    assert {call["id"]: call["parent"] for call in found} == {
        "c1": None, "t1": "c1", "t2": "c1", "t3": "c2", "c2": None,
    }  # fmt: skip
    heads, row = told(store, capsys, "calls", "--limit", "1").splitlines()[:2]
    assert row.split()[0] == "c2" or row.split()[:3] == ["→", "t3", "c2"]


def test_the_trace_on_a_terminal_has_them_under_their_call(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    lines = told(store, capsys, "trace", RUN, "1.1").splitlines()
    assert [line[:9] for line in lines if "turn " in line or "→ try" in line] == [
        "├─ turn 1", "│  → try ", "│  → try ", "└─ turn 2", "   → try ",
    ]  # fmt: skip
    assert "2 tries" in lines[1] and "rate_limit_exceeded" in lines[2]
    assert sum("In the cellar." in line for line in lines) == 1


def test_a_recorders_lines_and_sum_say_what_is_a_try(store: Store) -> None:
    calls = {call.id: call for call in tapes.calls(store, run=RUN)}
    assert "  claude " in line(calls["c1"]) and "  routed  " in line(calls["c1"])
    assert "  try gpt-5.1 " in line(calls["t2"]) and "100 in, 7 out  $0.25" in line(calls["t2"])
    assert line(calls["t1"]).endswith("! rate_limit_exceeded: too quick")
