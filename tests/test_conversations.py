import gc
import json
import tracemalloc
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from store import conversations, jsonwalk, requests
from store.conversations import MOST, Conversation, Memory, take_apart
from store.dag import Tape
from store.database import open_store
from store.domain.canonical import InexactError, request_digest, value_digest
from store.domain.kept import node_key, split_unit, units
from store.exact import form, loads
from tests.jsonvalues import messages as any_messages

TAPE = Tape("abcde", 1, 1)


def turn(number: int, text: str = "go on") -> list[dict[str, Any]]:
    return [
        {"role": "user", "content": f"{text} {number}"},
        {"role": "assistant", "content": [{"type": "text", "text": f"answer {number}"}]},
    ]


def talk(turns: int) -> list[dict[str, Any]]:
    return [message for number in range(turns) for message in turn(number)]


def chain(messages: Sequence[dict[str, Any]]) -> list[str]:
    """The keys, one by one, with no memory."""
    keys: list[str] = []
    for message in messages:
        keys.append(node_key(keys[-1] if keys else None, message))
    return keys


class Recorder:
    """What is made of requests, one after the other."""

    def __init__(self, most: int = conversations.MEMORY_BYTES) -> None:
        self.memory = Memory(most)

    def take(self, messages: list[dict[str, Any]], tape: Tape = TAPE, head: bytes = b'{"messages":') -> set[int]:
        """The indices of the messages that were taken apart."""
        body = head + orjson.dumps(messages) + b',"max_tokens":9}'
        found = self.memory.find(tape, "messages", body)
        if found is None:
            start = jsonwalk.start(body, "messages")
            assert start is not None
            rest = jsonwalk.items(body, start, first=True)
            self.conversation, shared = Conversation(body, [start], rest.close), 0
            instead = None
        else:
            start, rest, shared = found.start, found.rest, found.shared
            self.conversation = found.known if 2 * shared >= len(found.known.keys) else found.known.copy()
            instead = found.known if self.conversation is found.known else None
        parent = self.conversation.keys[shared - 1] if shared else None
        fresh = take_apart(rest.items, rest.ends, "messages", parent)
        self.changed = self.conversation.go_on(start, shared, fresh)
        self.conversation.body, self.conversation.close = body, rest.close
        self.memory.keep(tape, "messages", self.conversation, instead)
        return set(range(shared, len(self.conversation.keys)))


def test_a_longer_conversation_takes_apart_only_what_is_new() -> None:
    recorder, messages = Recorder(), talk(50)
    recorder.take(messages[:-2])
    assert recorder.take(messages) == {98, 99}
    assert recorder.conversation.keys == chain(messages)


def test_the_same_request_again_takes_nothing_apart() -> None:
    recorder = Recorder()
    recorder.take(talk(3))
    assert recorder.take(talk(3)) == set() and not recorder.changed
    assert recorder.take(talk(2)) == set() and recorder.conversation.keys == chain(talk(2))


def test_a_cache_marker_that_moves_on_costs_the_messages_from_there() -> None:
    def said(text: str, **more: Any) -> dict[str, Any]:
        return {"role": "user", "content": [{"type": "text", "text": text, **more}]}

    marker = {"cache_control": {"type": "ephemeral"}}
    before, recorder = [said(str(number)) for number in range(40)], Recorder()
    recorder.take([*before, said("last", **marker)])
    # The message that had the marker comes again without it, and two new ones follow.
    assert recorder.take([*before, said("last"), said("answer"), said("next", **marker)]) == {40, 41, 42}
    assert recorder.changed == {40, 42} and set(recorder.conversation.overlays) == {42}
    assert recorder.conversation.keys == chain([*before, said("last"), said("answer"), said("next")])


def test_what_stands_before_the_messages_may_change() -> None:
    recorder = Recorder()
    recorder.take(talk(10))
    assert recorder.take(talk(11), head=b'{"system":"be kind, it is noon","messages":') == {20, 21}
    assert recorder.take(talk(12), head=b'{"system":"be kind, it is one","messages" : ') == {22, 23}
    assert recorder.conversation.keys == chain(talk(12))


def test_an_edit_in_the_middle_is_a_branch_from_there() -> None:
    recorder = Recorder()
    recorder.take(talk(5))
    edited = [*talk(2), *turn(7, "no:"), *turn(8)]
    assert recorder.take(edited) == {4, 5, 6, 7}
    assert recorder.conversation.keys == chain(edited)


conversation_lists = st.lists(
    st.sampled_from([*talk(2), {"role": "user", "content": [{"type": "text", "text": "", "cache_control": None}]}]),
    min_size=1,
    max_size=8,
)


@given(st.lists(conversation_lists, min_size=1, max_size=5))
@settings(deadline=None)
def test_whatever_was_remembered_the_chain_is_the_same(requests: list[list[dict[str, Any]]]) -> None:
    recorder = Recorder()
    overlays: dict[int, Any] = {}
    for messages in requests:
        known = recorder.memory.last(TAPE, "messages")
        before = dict(known.overlays) if known else {}
        taken = recorder.take(messages)
        found = recorder.conversation
        assert found.keys == chain(messages)
        assert found.digests == [b'"%b"' % value_digest(message).encode() for message in messages]
        overlays = {index: split_unit([message], "messages")[1] for index, message in enumerate(messages)}
        assert {index: loads(data) for index, data in found.overlays.items()} == {
            index: overlay for index, overlay in overlays.items() if overlay is not None
        }
        assert found.overlaid == sum(map(len, found.overlays.values()))
        if known is found:
            places = set(before) | set(found.overlays)
            assert recorder.changed == {place for place in places if before.get(place) != found.overlays.get(place)}
        assert taken <= set(range(len(messages)))


@given(st.lists(st.lists(st.sampled_from(talk(3)), min_size=1, max_size=6), min_size=1, max_size=5), st.integers(0, 2))
def test_the_request_digest_is_the_same_however_much_of_it_was_hashed_before(
    requests: list[list[dict[str, Any]]], extra: int
) -> None:
    recorder = Recorder()
    for number, messages in enumerate(requests):
        taken = recorder.take(messages)
        value: dict[str, Any] = {"messages": messages}
        value |= dict.fromkeys(("a", "z")[:extra], number // 2)
        members = {name: value_digest(item) for name, item in value.items() if name != "messages"}
        shared = min(taken, default=len(messages))
        assert recorder.conversation.digest("messages", members, shared) == request_digest(value)


def test_conversations_in_parallel_are_each_remembered() -> None:
    recorder = Recorder()
    lanes = [[{"role": "user", "content": f"lane {lane}"}, *talk(10)] for lane in range(MOST)]
    for messages in lanes:
        recorder.take(messages)
    for messages in lanes:
        assert recorder.take([*messages, *turn(11)]) == {21, 22}


def test_a_branch_from_far_back_does_not_push_out_where_it_came_from() -> None:
    recorder = Recorder()
    recorder.take(talk(10))
    recorder.take([*talk(2), *turn(77)])
    assert recorder.take([*talk(10), *turn(11)]) == {20, 21}
    assert recorder.take([*talk(2), *turn(77), *turn(78)]) == {6, 7}


def test_tapes_remember_each_their_own() -> None:
    recorder = Recorder()
    recorder.take(talk(3))
    assert len(recorder.take(talk(3), TAPE._replace(lane=2))) == 6


def test_memory_is_bounded_and_forgets_the_quietest_tape() -> None:
    recorder = Recorder()
    recorder.take(talk(10))
    recorder = Recorder(most=3 * recorder.conversation.counted)
    for lane in (1, 2, 3, 1, 4):
        recorder.take(talk(10), TAPE._replace(lane=lane))
    assert [lane for lane in (1, 2, 3, 4) if recorder.memory.last(TAPE._replace(lane=lane), "messages")] == [1, 3, 4]


def test_a_conversation_too_large_to_remember_is_only_forgotten() -> None:
    recorder = Recorder(most=10)
    assert len(recorder.take(talk(2))) == 4
    assert len(recorder.take(talk(2))) == 4


@pytest.mark.parametrize("turns", [1, 30])
def test_memory_takes_what_it_is_counted_at(turns: int, tmp_path: Path) -> None:
    def record(connection: Connection, number: int) -> int:
        tape = Tape(f"run {number}", 0, 0)
        said = {"model": "m", "system": f"be {number}", "messages": [*turn(number), *talk(turns - 1)]}
        body = json.dumps(said).encode()
        requests.put(connection, tape, "messages", body)
        known = conversations.memory(connection).last(tape, "messages")
        assert known is not None
        return known.counted

    with open_store(tmp_path / "store.sqlite3") as store:
        for number in range(20):
            store.write(partial(record, number=number))
        gc.collect()
        tracemalloc.start()
        try:
            counted = sum(store.write(partial(record, number=number)) for number in range(100, 200))
            gc.collect()
            taken, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert counted / 2 < taken < counted * 1.2


# Where things stand in a body.

spaces = st.sampled_from(["", " ", "\n\t", "  "])
names = st.sampled_from(["model", "messages of old", "système", "input", '"messages":['])


@given(st.lists(any_messages, max_size=4), st.dictionaries(names, any_messages, max_size=3), spaces, st.booleans())
@settings(deadline=None)
def test_messages_are_found_where_they_stand(
    messages: list[dict[str, Any]], around: dict[str, Any], space: str, ascii_only: bool
) -> None:
    def text(value: Any) -> str:
        return json.dumps(value, ensure_ascii=ascii_only)

    members = [f"{text(name)}{space}:{space}{text(value)}" for name, value in around.items()]
    inside = f"{space},{space}".join(map(text, messages))
    members.insert(len(members) // 2, f'"messages"{space}:{space}[{space}{inside}{space}]')
    body = (space + "{" + space + f"{space},".join(members) + space + "}").encode("utf-8", "surrogatepass")
    try:
        body.decode()
    except ValueError:
        return
    start = jsonwalk.start(body, "messages")
    assert start is not None and body[start - 1 : start] == b"["
    found = jsonwalk.items(body, start, first=True)
    assert [form(item) for item in found.items] == [form(item) for item in messages]
    assert body[found.close : found.close + 1] == b"]" and len(found.ends) == len(messages)
    assert all(body[end - 1 : end] == b"}" for end in found.ends)
    for index, end in enumerate(found.ends):
        rest = jsonwalk.items(body, end, first=False)
        assert rest.ends == found.ends[index + 1 :] and rest.close == found.close
    ends = [start, *found.ends]
    assert jsonwalk.common(body, ends, body, start) == len(messages)
    if orjson_writes(around | {"messages": messages}):
        compact = orjson.dumps(around | {"messages": messages})
        placed = jsonwalk.compact(loads(compact), "messages")
        start = jsonwalk.start(compact, "messages")
        assert placed is not None and start == placed[0]
        assert placed[1] == jsonwalk.items(compact, start, first=True)


def orjson_writes(value: Any) -> bool:
    try:
        return bool(orjson.dumps(orjson.loads(orjson.dumps(value))) == orjson.dumps(value))
    except (TypeError, ValueError):
        return False


pieces = st.lists(st.sampled_from([b"a", b"bb", b"ab"]), max_size=8)


@given(pieces, pieces, st.integers(0, 9))
def test_what_two_lists_have_in_common_is_found(one: list[bytes], other: list[bytes], guess: int) -> None:
    ends = [2]
    for piece in one:
        ends.append(ends[-1] + len(piece))
    body, another = b"[[" + b"".join(one), b"---" + b"".join(other)
    shared = jsonwalk.common(body, ends, another, 3, guess)
    assert another[3:].startswith(b"".join(one[:shared]))
    assert shared == len(one) or not another[3:].startswith(b"".join(one[: shared + 1]))


@pytest.mark.parametrize(
    "body",
    [
        b'{"messages":[{"a":1} {"a":2}]}',
        b'{"messages":[{"a":1},]}',
        b'{"messages":[,{"a":1}]}',
        b'{"messages":[{"a":1},3]}',
        b'{"messages":[{"a":1}',
        b'{"messages":[{"a":1,"a":2}]}',
        b'{"messages":[{"a":' + b"[" * 100_000,
        b'{"messages":[{"a":"\xff"}]}',
    ],
)
def test_a_list_that_is_none_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):
        jsonwalk.items(body, body.index(b"[") + 1, first=True)


@pytest.mark.parametrize(
    "body",
    [b"", b"[1]", b'{"a":1 "messages":[]}', b'{"a":1,}', b'{3:1,"messages":[]}', b"{", b'{"a":' + b"[" * 100_000],
)
def test_a_body_that_is_no_object_has_no_messages(body: bytes) -> None:
    with pytest.raises(ValueError):
        jsonwalk.start(body, "messages")


def test_a_member_that_comes_twice_before_the_messages_is_inexact() -> None:
    with pytest.raises(InexactError):
        jsonwalk.start(b'{"a":1,"a":2,"messages":[]}', "messages")
    assert jsonwalk.start(b'{"a":1,"messages":"none"}', "messages") is None
    assert jsonwalk.start(b'{"a":1}', "messages") is None


def test_contents_in_which_a_model_said_one_thing_are_one() -> None:
    said = [{"role": "model", "parts": [{"text": text}]} for text in ("a", "b")]
    talk = [{"role": "user", "parts": [{"text": "hi"}]}, *said, {"role": "user", "parts": [{"text": "ho"}]}]
    assert [len(unit) for unit in units(talk, "contents")] == [1, 2, 1]
    assert [len(unit) for unit in units(talk, "messages")] == [1, 1, 1, 1]
