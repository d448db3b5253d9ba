import json
import random
from collections.abc import Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from store import events, tapes
from store.database import Store, open_store
from store.domain.events import CallFinished
from store.domain.ids import SubagentId
from store.domain.limits import Usage
from store.tapes import CallEnd, CallStart
from tests.jsonvalues import messages, same, values
from tests.taping import ONE, TWO, body_of, clock, closed, count, opened, said, user


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "store.sqlite3") as store:
        yield store


# What comes back.

odd_numbers = st.sampled_from(["1e400", "0.1000000000000000055511151231257827", "1E2", "-0", "12345678901234567890123"])
bodies = st.fixed_dictionaries(
    {"messages": st.lists(messages, max_size=4) | values},
    optional={"model": values, "stream": values, "system": values, "tools": values, "metadata": values},
)
SLOW = settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(st.lists(bodies | values, min_size=1, max_size=4), st.booleans(), st.data())
@SLOW
def test_any_request_is_rebuilt(store: Store, requests: list[Any], compact: bool, data: st.DataObject) -> None:
    run = f"r{random.getrandbits(60)}"
    calls = []
    for value in requests:
        text = json.dumps(value, separators=(",", ":") if compact else None)
        if data.draw(st.integers(0, 3), "duplicate") == 0 and text.startswith('{"m'):
            text = '{"messages": [1], ' + text[1:]
        if data.draw(st.integers(0, 3), "odd number") == 0 and text.startswith("{") and len(text) > 2:
            text = text[:-1] + ', "n": ' + data.draw(odd_numbers) + "}"
        calls.append((opened(store, text.encode(), SubagentId(run, 1, 1)), text))
    for call, text in calls:
        assert same(tapes.request(store, call), json.loads(text))
    assert tapes.verify(store, run) == []


@given(st.lists(messages, max_size=6), st.lists(st.integers(0, 6), min_size=1, max_size=6))
@SLOW
def test_a_conversation_that_goes_on_and_back_is_rebuilt(store: Store, talk: list[Any], lengths: list[int]) -> None:
    run = f"r{random.getrandbits(60)}"
    calls = [(opened(store, body_of(talk[:length]), SubagentId(run, 1, 1)), talk[:length]) for length in lengths]
    for call, sent in calls:
        assert same(tapes.request(store, call)["messages"], sent)
    assert tapes.verify(store, run) == []


@pytest.mark.parametrize(
    "extra", ['"seed": 1, "seed": 2', '"top_p": 0.1000000000000000055511151231257827', '"n": 1e400']
)
def test_a_body_that_cannot_be_held_exactly_is_kept_as_it_came(store: Store, extra: str) -> None:
    body = body_of([user("fix it")])[:-1] + f", {extra}}}".encode()
    call = closed(store, opened(store, body), said("ok"))
    assert tapes.request_body(store, call) == body
    assert same(tapes.request(store, call), json.loads(body))
    # It can be read and searched all the same.
    assert [message.message["content"][0]["text"] for message in tapes.messages(store, call)] == ["fix it"]
    assert call.model == "m-1" and tapes.verify(store, "abcde") == []


@pytest.mark.parametrize("body", [b"no json", b'{"messages": [', b"\xff\x00", b"NaN"])
def test_a_body_that_is_no_json_is_kept_as_it_came(store: Store, body: bytes) -> None:
    call = closed(store, opened(store, body))
    assert tapes.request_body(store, call) == body and tapes.verify(store, "abcde") == []


def test_a_body_that_is_nested_without_end_is_kept_as_it_came(store: Store) -> None:
    call = closed(store, opened(store, b"[" * 100_000))
    assert tapes.request_body(store, call) == b"[" * 100_000 and tapes.verify(store, "abcde") == []


def test_a_request_without_a_body_has_none(store: Store) -> None:
    call = closed(store, opened(store, b""))
    assert tapes.request(store, call) is None and tapes.request_body(store, call) is None
    assert tapes.verify(store, "abcde") == []


@pytest.mark.parametrize("message", [{"content": "x"}, {"role": "\ud800"}, {"role": 3, "content": "x"}, 7, "x"])
def test_messages_that_are_none_keep_the_body(store: Store, message: Any) -> None:
    body = json.dumps({"messages": [user("a"), message]}).encode()
    call = closed(store, opened(store, body), said("ok"))
    assert call.tail is None and call.body is not None
    assert same(tapes.request(store, call), json.loads(body)) and tapes.verify(store, "abcde") == []


def test_text_that_no_column_can_hold_is_recorded(store: Store) -> None:
    body = json.dumps({"model": "\ud800", "messages": [user("cut \ud83d off")]}).encode()
    call = closed(store, opened(store, body), said("\udc00"), error="bad \ud800", complete=False, stop_reason="\ud800")
    assert tapes.request(store, call) == json.loads(body) and call.error == "bad ?"
    found = tapes.answer(store, call)
    assert found is not None and found.message == said("\udc00") and tapes.verify(store, "abcde") == []


@pytest.mark.parametrize("message", [{}, {"role": None}, {"role": "assistant", "content": [float("nan")]}])
def test_an_answer_that_no_node_can_hold_leaves_its_bytes(store: Store, message: Any) -> None:
    call = closed(store, opened(store, body_of([user("a")])), message, response=b"bytes")
    assert call.answer is None and tapes.response(store, call) == b"bytes"


def rows(store: Store) -> dict[str, list[Any]]:
    """All that a store holds of its calls."""
    with store.read() as connection:
        found = {
            name: [tuple(row) for row in connection.exec_driver_sql(f"SELECT * FROM {name} ORDER BY 1, 2, 3")]
            for name in ("calls", "nodes", "tape_nodes", "blobs", "passages")
        }
    return {**found, "events": events.read(store)}


def test_a_call_recorded_in_one_go_is_as_one_that_was_opened_and_closed(store: Store, tmp_path: Path) -> None:
    talk = [user("fix it"), said("Let me look."), marked(user("and this"))]
    bodies = [
        body_of(talk[:1], system="be kind", tools=[{"name": "run"}]),
        body_of(talk, system="be kind", tools=[{"name": "run"}]),
        body_of(talk, system="be kind", tools=[{"name": "run"}]),
        body_of([{"role": None}]),
        b'{"messages": [{"role": "user", "content": "a"}], "n": 1.00000000000000000001}',
        b"no JSON",
        b"",
    ]
    said_it = {"messages": [said("Done.")], "response": b"bytes", "usage": Usage(1, 2), "usd": 1.0}
    ends: list[dict[str, Any]] = [
        {"status": 200, "complete": True, **said_it},
        {"status": None, "error": "the client hung up"},
        {"status": 529, "complete": True, "error": "overloaded_error: Overloaded", "response": b"{}"},
    ]
    with open_store(tmp_path / "other.sqlite3") as other:
        for number, (body, how, subagent) in enumerate(product(bodies, ends, (ONE, None))):
            start = CallStart(
                id=f"c{number:03}",
                at=float(number),
                run="abcde",
                subagent=subagent,
                provider="anthropic",
                method="POST",
                path="/v1/messages",
                body=body,
                headers=[("x-a", "é")],
            )
            end = CallEnd(id=start.id, at=number + 0.5, headers=[("request-id", "r")], **how)
            store.write(partial(both, start=start, end=end))
            # What somebody else made of the body counts only where it is that.
            value = [None, {"messages": [user("something else")]}, json.loads(body_of(talk))][number % 3]
            other.write(partial(tapes.record_call, start=start, end=end, value=value))
        assert rows(store) == rows(other)
        assert tapes.verify(other, "abcde") == []


def marked(message: dict[str, Any]) -> dict[str, Any]:
    content = message["content"]
    content = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return {**message, "content": [*content[:-1], {**content[-1], "cache_control": {"type": "ephemeral"}}]}


def both(connection: Connection, start: CallStart, end: CallEnd) -> None:
    tapes.open_call(connection, start)
    tapes.close_call(connection, end)


# Trouble.


def test_a_transaction_that_is_rolled_back_leaves_no_false_memory(store: Store) -> None:
    talk = [user("a"), {**said("b", citations=None), "id": "m"}, user("c")]
    opened(store, body_of(talk[:1]))

    def fails(connection: Connection) -> None:
        start = CallStart(clock.call(), clock.at, "abcde", ONE, "anthropic", "POST", "/v1/messages", body_of(talk))
        tapes.open_call(connection, start)
        raise RuntimeError("after the call")

    with pytest.raises(RuntimeError):
        store.write(fails)
    assert count(store, "nodes") == 1
    call = opened(store, body_of([*talk, said("d"), user("e")]))
    assert tapes.request(store, call)["messages"] == [*talk, said("d"), user("e")]
    assert count(store, "nodes") == 5 and tapes.verify(store, "abcde") == []


def test_a_conversation_goes_on_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite3"
    talk: list[dict[str, Any]] = [user("fix it")]
    for turn in range(4):
        with open_store(path) as store:
            closed(store, opened(store, body_of(talk)), said(f"answer {turn}"))
        talk += [said(f"answer {turn}"), user(f"go on {turn}")]
    with open_store(path) as store:
        assert count(store, "nodes") == 8 == count(store, "tape_nodes") == count(store, "passages")
        assert tapes.verify(store, "abcde") == []


def test_calls_that_a_dead_engine_left_are_closed(store: Store) -> None:
    done = closed(store, opened(store, body_of([user("a")])))
    left = [opened(store, body_of([user("a")]), who) for who in (ONE, TWO, None)]
    other = opened(store, body_of([user("a")]), SubagentId("other", 1, 1))
    found = store.write(lambda connection: tapes.orphans(connection, "abcde", 5000.0))
    assert found == [call.id for call in left]
    assert store.write(lambda connection: tapes.orphans(connection, "abcde", 6000.0)) == []
    assert [tapes.call(store, one).error for one in found] == ["engine died"] * 3
    assert tapes.call(store, done.id) == done and tapes.call(store, other.id) == other
    ends = [event.payload for event in events.read(store) if event.at == 5000.0]
    assert [end.call for end in ends if isinstance(end, CallFinished) and end.error == "engine died"] == found[:2]
