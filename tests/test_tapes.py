import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store import blobs, events, tapes
from store.database import Store, open_store
from store.domain.events import CallFinished, CallStarted
from store.domain.ids import SubagentId
from store.domain.limits import Spend, Usage
from store.tapes import CallEnd, CallStart, new_call_id
from tests.taping import ONE, TWO, body_of, clock, closed, count, opened, said, user


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "store.sqlite3") as store:
        yield store


# One call.


def test_a_call_is_read_as_it_was_recorded(store: Store) -> None:
    answer = said("Let me look.")
    start = CallStart(
        id=clock.call(),
        at=clock.at,
        run="abcde",
        subagent=ONE,
        provider="anthropic",
        method="POST",
        path="/v1/messages",
        body=body_of([user("fix it")], stream=True),
        headers=[("x-a", "1"), ("x-a", "2")],
    )
    store.write(lambda connection: tapes.open_call(connection, start))
    going = tapes.call(store, start.id)
    assert going.ended is None and going.seconds is None and going.model == "m-1" and going.stream
    end = CallEnd(
        id=start.id,
        at=start.at + 2,
        status=200,
        complete=True,
        first_byte=start.at + 1,
        messages=[answer],
        stop_reason="end_turn",
        usage=Usage(1, 2, 3, 4),
        usd=0.25,
        response=b"event: message_start\n\n",
        headers=[("request-id", "r")],
    )
    store.write(lambda connection: tapes.close_call(connection, end))
    call = tapes.call(store, start.id)
    assert (call.seconds, call.first_byte, call.status, call.usage, call.usd) == (
        2,
        end.first_byte,
        200,
        end.usage,
        0.25,
    )
    assert (call.request_headers, call.response_headers) == ((("x-a", "1"), ("x-a", "2")), (("request-id", "r"),))
    assert (call.complete, call.error, call.stop_reason, call.subagent) == (True, "", "end_turn", ONE)
    assert tapes.request(store, call) == json.loads(start.body)
    assert tapes.response(store, call) == end.response and call.response_size == len(end.response)
    assert [message.role for message in tapes.messages(store, call)] == ["user"]
    found = tapes.answer(store, call)
    assert found is not None and found.message == answer and found.parent == call.tail and found.depth == 1
    assert tapes.verify(store, "abcde") == []


def test_its_events_come_with_it(store: Store) -> None:
    call = closed(store, opened(store, body_of([user("hi")])), usage=Usage(5, 6), usd=None, error="", status=200)
    found = events.read(store)
    assert [(event.subagent, event.at) for event in found] == [(ONE, call.started), (ONE, call.ended)]
    assert found[0].payload == CallStarted(call.id, "m-1")
    assert found[1].payload == CallFinished(call.id, 200, "tool_use", Usage(5, 6), None, 0.5, "")


def test_a_call_of_no_subagent_is_recorded_without_events(store: Store) -> None:
    call = closed(store, opened(store, body_of([user("hi")]), None), said("ho"))
    assert call.subagent is None and events.read(store) == []
    assert tapes.verify(store, "abcde") == [] and tapes.calls(store, run="abcde") == [call]


def test_an_end_without_a_beginning_and_a_second_end_are_errors(store: Store) -> None:
    call = closed(store, opened(store, b""))
    with pytest.raises(ValueError, match="ended already"):
        closed(store, call)
    with pytest.raises(KeyError):
        store.write(lambda connection: tapes.close_call(connection, CallEnd("nobody", 1.0, 200)))
    with pytest.raises(KeyError):
        tapes.call(store, "nobody")


@given(st.lists(st.tuples(st.floats(0, 4e9), st.binary(min_size=5, max_size=16)), min_size=2))
def test_ids_sort_by_time(made: list[tuple[float, bytes]]) -> None:
    ids = [new_call_id(at, some) for at, some in made]
    wanted = [(int(at * 1000), some[:5]) for at, some in made]
    assert [number for _, number in sorted(zip(ids, wanted, strict=True))] == sorted(wanted)
    assert len(set(ids)) == len(set(wanted))
    assert {len(one) for one in ids} == {18}


# Conversations.


def test_an_answer_and_the_same_message_sent_back_are_one_node(store: Store) -> None:
    talk = [user("fix it")]
    came = {**said("Let me look.", citations=None), "id": "msg_1", "type": "message", "model": "m-1-20260101"}
    first = closed(store, opened(store, body_of(talk)), came)
    second = opened(store, body_of([*talk, {"role": "assistant", "content": "Let me look."}, user("go on")]))
    assert [message.node for message in tapes.messages(store, second)][:2] == [first.tail, first.answer]
    assert count(store, "nodes") == 3
    assert tapes.messages(store, second, after=first.answer) == tapes.messages(store, second)[2:]
    assert tapes.messages(store, second, after=second.tail) == []


def test_two_subagents_with_the_same_prompt_share_nodes_and_are_two_tapes(store: Store) -> None:
    calls = [closed(store, opened(store, body_of([user("fix it")]), who), said("ok")) for who in (ONE, TWO)]
    assert count(store, "nodes") == 2 and count(store, "tape_nodes") == 4
    assert calls[0].tail == calls[1].tail and calls[0].answer == calls[1].answer
    assert tapes.calls(store, subagent=TWO) == [calls[1]]


def test_retries_edits_and_compaction_are_branches(store: Store) -> None:
    talk = [user("one"), said("two"), user("three")]
    requests = [
        talk,
        talk,
        [*talk[:2], user("drei")],
        [user("summary"), *talk[1:]],
        [*talk, said("four"), user("five")],
    ]
    calls = [closed(store, opened(store, body_of(request))) for request in requests]
    assert [tapes.request(store, call)["messages"] for call in calls] == requests
    assert calls[0].tail == calls[1].tail and count(store, "nodes") == 3 + 1 + 3 + 2
    assert tapes.verify(store, "abcde") == []


def test_parts_are_kept_once(store: Store) -> None:
    first = opened(store, body_of([user("a")]))
    second = opened(store, body_of([user("b")]), TWO)
    assert (first.system, first.tools, first.parameters) == (second.system, second.tools, second.parameters)
    # And the overlay, which says that the content was a plain string.
    assert first.overlay == second.overlay and count(store, "blobs") == 4
    third = opened(store, body_of([user("b")], system=[{"type": "text", "text": "x"}]), TWO)
    assert third.system != first.system and third.tools == first.tools


def test_a_part_that_is_null_is_not_one_that_is_missing(store: Store) -> None:
    for body in ({"messages": [user("a")]}, {"messages": [user("a")], "system": None, "tools": None}):
        assert tapes.request(store, opened(store, json.dumps(body).encode())) == body
    assert tapes.verify(store, "abcde") == []


# Sums and choices.


def test_spending_is_summed_over_all_that_was_used(store: Store) -> None:
    used = Usage(10, 20, 30, 40)
    closed(store, opened(store, body_of([user("a")])), said("b"), usage=used, usd=0.5)
    closed(store, opened(store, body_of([user("a")])), None, status=529, error="HTTP 529", usd=0.0)
    half = closed(
        store, opened(store, body_of([user("a")])), said("b"), complete=False, error="cut", usage=used, usd=0.1
    )
    opened(store, body_of([user("a")]))
    assert tapes.spend(store, ONE) == Spend(1, used + used, 0.6, 1.5, True)
    closed(store, opened(store, body_of([user("a")]), TWO), said("b"), usage=used, usd=None)
    closed(store, opened(store, body_of([user("a")]), SubagentId("abcde", 2, 1)), said("b"))
    assert tapes.spend(store, TWO) == Spend(1, used, 0.0, 0.5, False)
    assert tapes.spend(store, "abcde", 1).turns == 2 and tapes.spend(store, "abcde").turns == 3
    assert tapes.spend(store, "nobody") == Spend()
    assert half.answer is not None


def test_calls_are_chosen_and_in_order(store: Store) -> None:
    made = [opened(store, b"", who) for who in (TWO, ONE, SubagentId("abcde", 2, 1), SubagentId("other", 1, 1))]
    assert tapes.calls(store) == made
    assert tapes.calls(store, run="abcde") == made[:3]
    assert tapes.calls(store, run="abcde", generation=1) == made[:2]
    assert tapes.calls(store, subagent=ONE) == made[1:2]


def test_the_last_whole_answer_of_the_main_conversation(store: Store) -> None:
    assert tapes.last_complete(store, ONE) is None
    talk = [user("fix it"), said("a"), user("b")]
    closed(store, opened(store, body_of(talk[:1])), said("a"))
    closed(store, opened(store, body_of([user("a title?")], tools=[])), said("Fixing"))
    main = closed(store, opened(store, body_of(talk)), said("c"))
    closed(store, opened(store, body_of([*talk, said("c"), user("d")])), said("par"), complete=False, error="cut")
    closed(store, opened(store, body_of([*talk, said("c"), user("d")])), None, status=529, error="HTTP 529")
    closed(store, opened(store, json.dumps({"messages": [user("count")]}).encode()), said("side"))
    closed(store, opened(store, body_of(talk), TWO), said("not his"))
    opened(store, body_of([*talk, said("c"), user("d")]))
    assert tapes.last_complete(store, ONE) == main
    compacted = closed(store, opened(store, body_of([user("so far: …")])), said("on"))
    assert tapes.last_complete(store, ONE) == compacted


def test_blobs_are_kept_once_and_named_by_what_they_are(store: Store) -> None:
    names = [store.write(lambda connection: blobs.put(connection, b"x" * 1000)) for _ in range(2)]
    assert names[0] == names[1] == blobs.digest(b"x" * 1000) and count(store, "blobs") == 1
    assert blobs.get(store, names[0]) == b"x" * 1000
    assert blobs.get(store, store.write(lambda connection: blobs.put(connection, b""))) == b""
    with pytest.raises(KeyError):
        blobs.get(store, "0" * 40)


@pytest.mark.parametrize(
    ("sql", "problem"),
    [
        ("UPDATE nodes SET message = (SELECT message FROM nodes WHERE role = 'assistant')", "not what its key says"),
        ("UPDATE nodes SET message = x'00'", "damaged"),
        ("UPDATE nodes SET depth = depth + 1", "out of its place"),
        ("UPDATE calls SET system = tools", "not the one that was sent"),
        ("DELETE FROM blobs WHERE digest = (SELECT overlay FROM calls)", "no blob"),
        (
            "UPDATE blobs SET data = (SELECT data FROM blobs b JOIN calls ON b.digest = tools)",
            "not what its digest says",
        ),
        ("UPDATE calls SET answer = 'gone'", "missing"),
    ],
)
def test_damage_is_found(store: Store, sql: str, problem: str) -> None:
    closed(store, opened(store, body_of([user("a")])), said("b"), response=b"bytes")
    assert tapes.verify(store, "abcde") == []
    store.write(lambda connection: connection.exec_driver_sql(sql).rowcount)
    assert any(problem in line for line in tapes.verify(store, "abcde"))
