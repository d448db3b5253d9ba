"""Tries of a routed call: each is told as what it is, and a call with its tries counts once."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from store import events, runs, tapes
from store.database import Store, open_store
from store.domain.board import Board
from store.domain.codec import decode_payload
from store.domain.events import CallFinished, CallStarted, GenerationDesigned, RunCreated, SubagentLaunched, TurnStarted
from store.domain.ids import SubagentId
from store.domain.limits import Usage
from store.domain.strategy import LanePlan, Strategy
from store.domain.task import Check, Task
from store.search import search
from store.tapes import CallEnd, CallStart, close_call, open_call, record_call
from widgets.flow import Flow

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
    with open_store(tmp_path / "store.sqlite3") as store:
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
