import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, event

from backends.proxy.anthropic import MessageReader
from backends.proxy.sse import EventReader
from store import blobs, events, tapes
from store.database import Store, open_store
from store.domain.events import CallFinished, CallStarted
from store.domain.ids import SubagentId
from store.domain.limits import Spend, Usage
from store.domain.tape import Call
from store.tapes import CallEnd, CallStart, new_call_id
from tests.jsonvalues import as_json, messages, same, values

ONE, TWO = SubagentId("abcde", 1, 1), SubagentId("abcde", 1, 2)
TOOLS = [{"name": "bash", "description": "Run a command.", "input_schema": {"type": "object"}}]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "store.sqlite3") as store:
        yield store


class Clock:
    """Ids and times that go up by a second with each call."""

    def __init__(self) -> None:
        self.at = 1000.0
        self._random = random.Random(7)

    def call(self) -> str:
        self.at += 1.0
        return new_call_id(self.at, self._random.randbytes(5))


clock = Clock()


def opened(store: Store, body: bytes, subagent: SubagentId | None = ONE, *, run: str = "") -> Call:
    run = run or (subagent.run if subagent else "abcde")
    start = CallStart(clock.call(), clock.at, run, subagent, "anthropic", "POST", "/v1/messages?beta=true", body)
    store.write(lambda connection: tapes.open_call(connection, start))
    return tapes.call(store, start.id)


def closed(store: Store, call: Call, message: Any = None, **more: Any) -> Call:
    given = {"status": 200, "complete": True, "stop_reason": "tool_use", **more}
    end = CallEnd(call.id, call.started + 0.5, message=message, **given)
    store.write(lambda connection: tapes.close_call(connection, end))
    return tapes.call(store, call.id)


def body_of(messages: list[Any], **more: Any) -> bytes:
    body = {"model": "m-1", "max_tokens": 99, "system": "You debug.", "tools": TOOLS, "messages": messages, **more}
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def said(text: str, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": [{"type": "text", "text": text, **more}]}


def count(store: Store, table: str) -> int:
    with store.read() as connection:
        return int(connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one())


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
        message=answer,
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


# Costs.


def marked(message: dict[str, Any]) -> dict[str, Any]:
    content = message["content"]
    content = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return {**message, "content": [*content[:-1], {**content[-1], "cache_control": {"type": "ephemeral"}}]}


def both(connection: Connection, start: CallStart, end: CallEnd) -> None:
    tapes.open_call(connection, start)
    tapes.close_call(connection, end)


def record(store: Store, turns: int) -> Iterator[int]:
    """A conversation whose every message has an overlay, and whose last two have cache markers besides, as one agent
    sends it; a turn each step."""
    talk: list[dict[str, Any]] = [user("fix it")]
    noise = random.Random(1)
    for turn in range(turns):
        body = body_of([*talk[:-2], *map(marked, talk[-2:])])
        start = CallStart(clock.call(), clock.at, "abcde", ONE, "anthropic", "POST", "/v1/messages", body)
        words = " ".join(f"{noise.getrandbits(24):x}" for _ in range(60))
        used = {"type": "tool_use", "id": f"t{turn}", "name": "bash", "input": {"command": words}, "caller": None}
        answer = {"role": "assistant", "content": [{"type": "text", "text": "Hm.", "citations": None}, used]}
        end = CallEnd(start.id, clock.at, 200, complete=True, message=answer, response=noise.randbytes(400))
        store.write(partial(both, start=start, end=end))
        talk += [answer, user(words)]
        yield turn


def measure(store: Store) -> tuple[int, int]:
    """Rows, and bytes of what they hold."""
    rows = sum(count(store, table) for table in ("calls", "nodes", "tape_nodes", "blobs", "passages", "events"))
    with store.read() as connection:
        size = connection.exec_driver_sql(
            "SELECT (SELECT sum(length(message)) FROM nodes) + (SELECT sum(length(data)) FROM blobs)"
            " + (SELECT sum(length(data)) FROM events) + (SELECT sum(length(text)) FROM passages)"
        ).scalar_one()
    return rows, int(size)


def test_storage_and_queries_of_a_call_do_not_grow_with_its_conversation(store: Store) -> None:
    statements = 0

    def counted(*_: Any) -> None:
        nonlocal statements
        statements += 1

    def listen(connection: Connection) -> None:
        event.listen(connection, "before_cursor_execute", counted)

    store.write(listen)
    marks = {}
    for turn in record(store, 300):
        marks[turn] = (*measure(store), statements) if turn in {10, 20, 289, 299, 149} else None
    early = [after - before for before, after in zip(marks[10] or (), marks[20] or (), strict=True)]
    late = [after - before for before, after in zip(marks[289] or (), marks[299] or (), strict=True)]
    assert late[0] == early[0]
    assert late[1] <= 1.2 * early[1]
    assert late[2] == early[2]
    half, whole = marks[149], marks[299]
    assert half and whole and whole[1] <= 2.1 * half[1]
    calls = tapes.calls(store, subagent=ONE)
    assert tapes.request(store, calls[-1])["messages"][1]["content"][0]["citations"] is None


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


# The SDK's own round trip, on recorded streams.

RECORDED = Path(__file__).parent / "recorded"


@contextmanager
def provider(stream: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """A provider that answers every request with the stream; its URL, and the bodies that it was sent."""
    bodies: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.end_headers()
            self.wfile.write(stream)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", bodies
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def assembled(stream: bytes) -> Any:
    """The answer as the proxy puts it together."""
    reader, read = MessageReader(lambda kind, text: None), EventReader()
    for item in read.feed(stream):
        reader.event(item)
    return reader.answer().message


@pytest.mark.parametrize("name", ["text", "thinking", "tools", "tools-crlf", "server-tools"])
def test_what_the_sdk_sends_back_is_the_node_of_the_answer(store: Store, name: str) -> None:
    from anthropic import Anthropic

    stream = (RECORDED / f"{name}.sse").read_bytes()
    with provider(stream) as (url, bodies):
        client = Anthropic(base_url=url, api_key="k", max_retries=0)
        first: Any = {"role": "user", "content": "fix it"}
        with client.messages.stream(model="m", max_tokens=9, messages=[first]) as streaming:
            final = streaming.get_final_message()
        dumps: list[Any] = [
            final.content,
            final.model_dump()["content"],
            final.model_dump(exclude_none=True)["content"],
            final.model_dump(mode="json", exclude_unset=True)["content"],
            [json.loads(block.to_json()) for block in final.content],
        ]
        whole: list[Any] = [final.model_dump(), final.model_dump(exclude_none=True)]
        answers = [{"role": "assistant", "content": content} for content in dumps]
        call = closed(store, opened(store, bodies[0]), assembled(stream), response=stream)
        assert call.answer is not None
        for answer in answers + whole:
            next_message: Any = {"role": "user", "content": "go on"}
            client.messages.create(model="m", max_tokens=9, messages=[first, answer, next_message])
            again = opened(store, bodies[-1])
            assert [message.node for message in tapes.messages(store, again)][:2] == [call.tail, call.answer]
            assert same(tapes.request(store, again), as_json(json.loads(bodies[-1])))
        client.close()
    assert tapes.verify(store, "abcde") == []
