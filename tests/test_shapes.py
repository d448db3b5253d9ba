"""Requests of every protocol on the tape: whatever comes, in whatever order, is rebuilt."""

import json
import random
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store import blobs, tapes
from store.attachments import LEAST, put_back, take
from store.database import Store, open_store
from store.domain.blocks import blocks
from store.domain.canonical import request_digest
from store.domain.ids import SubagentId
from tests.jsonvalues import CONVERSATIONS, any_text, same, values
from tests.taping import ONE, TWO, closed, count, opened


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "store.sqlite3") as store:
        yield store


SLOW = settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
SYSTEM = {"messages": "system", "input": "instructions", "contents": "systemInstruction"}

names = ["model", "metadata", "tools", "zz", "stream", "messages", "input", "contents"]
around = st.dictionaries(st.sampled_from(names), values | st.lists(values, max_size=2), max_size=3)


@st.composite
def histories(draw: st.DrawFn, conversation: str) -> list[bytes]:
    """Requests of agents whose conversations go on, are edited, compacted, tried again and led in parallel, written in
    this way and that."""
    message = CONVERSATIONS[conversation]
    talks = [draw(st.lists(message, min_size=1, max_size=4))]
    others = draw(around)
    bodies = []
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(talks) - 1))
        talk = list(talks[at])
        match draw(st.sampled_from(["on", "on", "on", "again", "edit", "back", "compact", "beside", "insert"])):
            case "on":
                talk += draw(st.lists(message, min_size=1, max_size=3))
            case "edit":
                talk[draw(st.integers(0, len(talk) - 1))] = draw(message)
            case "back":
                talk = talk[: draw(st.integers(1, len(talk)))]
            case "compact":
                talk = [draw(message), *talk[-1:]]
            case "insert":
                talk.insert(draw(st.integers(0, len(talk))), draw(message))
            case "beside":
                talks.append(draw(st.lists(message, min_size=1, max_size=2)))
                at, talk = len(talks) - 1, talks[-1]
        talks[at] = talk
        if draw(st.integers(0, 3)) == 0:
            others = draw(around)
        if draw(st.integers(0, 4)) == 0:
            others[SYSTEM[conversation]] = draw(values)
        members = [(name, value) for name, value in others.items() if name != conversation]
        members.insert(draw(st.integers(0, len(members))), (conversation, talk))
        compact = draw(st.booleans())
        text = json.dumps(
            dict(members), ensure_ascii=draw(st.booleans()), separators=(",", ":") if compact else (", ", " : ")
        )
        bodies.append(text.encode("utf-8", "backslashreplace"))
    return bodies


@pytest.mark.parametrize("conversation", sorted(CONVERSATIONS))
@given(st.data())
@SLOW
def test_any_history_is_rebuilt(store: Store, conversation: str, data: st.DataObject) -> None:
    run = f"r{random.getrandbits(60)}"
    made = []
    for body in data.draw(histories(conversation)):
        call = opened(store, body, SubagentId(run, 1, 1), conversation=conversation)
        if data.draw(st.booleans()):
            said = data.draw(st.lists(CONVERSATIONS[conversation], max_size=2))
            call = closed(store, call, said, response=b"bytes")
        made.append((call, body))
    for call, body in made:
        assert same(tapes.request(store, call), json.loads(body))
        assert call.request_digest == request_digest(json.loads(body))
    assert tapes.verify(store, run) == []


def body_of(**members: Any) -> bytes:
    return json.dumps(members, separators=(",", ":")).encode()


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "input_text", "text": text}]}


def said(text: str) -> dict[str, Any]:
    return {"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": text}]}


# Responses.


def test_an_answer_of_several_items_is_several_nodes(store: Store) -> None:
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA"}
    call = {
        "type": "function_call",
        "id": "fc_1",
        "call_id": "c1",
        "name": "ls",
        "arguments": "{}",
        "status": "completed",
    }
    first = opened(store, body_of(model="m", input="fix it"), conversation="input")
    first = closed(store, first, [thought, call], response_id="resp_1")
    answers = tapes.answers(store, first)
    assert [answer.role for answer in answers] == ["assistant", "assistant"]
    assert answers[0].parent == first.tail and answers[1].parent == answers[0].node
    assert first.answer == answers[1].node and first.response_id == "resp_1"
    assert [blocks(answer.message)[0].kind.value for answer in answers] == ["reasoning", "tool_call"]
    told = {"type": "function_call_output", "call_id": "c1", "output": "shop.py"}
    kept = [
        user("fix it"),
        {**thought, "content": None},
        {k: v for k, v in call.items() if k not in ("id", "status")},
        told,
    ]
    second = opened(store, body_of(model="m", input=kept), conversation="input")
    assert [message.node for message in tapes.messages(store, second)][:3] == [
        first.tail,
        answers[0].node,
        first.answer,
    ]
    assert count(store, "nodes") == 4
    assert tapes.request(store, first)["input"] == "fix it" and tapes.request(store, second)["input"] == kept
    assert tapes.verify(store, "abcde") == []


def test_a_request_goes_on_from_the_answer_that_the_provider_keeps(store: Store) -> None:
    first = opened(store, body_of(model="m", input="fix it"), conversation="input")
    first = closed(store, first, [said("Which?")], response_id="resp_1")
    body = body_of(model="m", previous_response_id="resp_1", input=[user("that one"), user("there")])
    second = closed(store, opened(store, body, conversation="input"), [said("Done.")], response_id="resp_2")
    assert second.base == first.answer and second.notes == ()
    whole = tapes.messages(store, second)
    assert [message.depth for message in whole] == [0, 1, 2, 3] and whole[1].node == first.answer
    assert tapes.request(store, second) == json.loads(body)
    third = opened(store, body_of(model="m", previous_response_id="resp_2", input=[]), conversation="input")
    assert (third.tail, third.base) == (second.answer, second.answer)
    assert tapes.request(store, third)["input"] == []
    # The same said without the provider's memory is the same conversation.
    again = [user("fix it"), said("Which?"), user("that one"), user("there")]
    fourth = opened(store, body_of(model="m", input=again), conversation="input")
    assert fourth.tail == second.tail and fourth.base is None
    assert tapes.verify(store, "abcde") == []


@pytest.mark.parametrize("more", [{"previous_response_id": "resp_x"}, {"conversation": "conv_1"}])
def test_what_was_said_before_and_is_not_known_is_noted(store: Store, more: dict[str, str]) -> None:
    closed(
        store, opened(store, body_of(input="fix it"), TWO, conversation="input"), [said("Which?")], response_id="resp_x"
    )
    body = body_of(model="m", input=[user("that one")], **more)
    call = opened(store, body, conversation="input")
    assert call.base is None and len(call.notes) == 1 and "said before" in call.notes[0]
    call = closed(store, call, [said("Done.")], notes=["And something else."])
    assert len(call.notes) == 2 and call.notes[1] == "And something else."
    assert tapes.request(store, call) == json.loads(body) and tapes.verify(store, "abcde") == []


def test_an_answer_is_found_by_its_id_through_an_index(store: Store) -> None:
    from store.requests import _ANSWERED

    with store.read() as connection:
        text = _ANSWERED.replace("?", "''")
        plan = [row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}")]
    assert any("ix_calls_response_id" in line for line in plan)


@pytest.mark.parametrize("conversation", ["input", "contents", "messages", ""])
@pytest.mark.parametrize("value", [[], "", 3, None, [1], ["a"], [{}], {"a": 1}])
def test_a_conversation_that_is_none_keeps_the_body(store: Store, conversation: str, value: Any) -> None:
    body = body_of(model="m", stream=True, **{conversation or "input": value})
    call = opened(store, body, conversation=conversation)
    assert (call.model, call.stream) == (("m", True) if conversation else (call.model, call.stream))
    assert same(tapes.request(store, call), json.loads(body)) and tapes.verify(store, "abcde") == []
    assert (call.body is None) == (value == "" and conversation == "input")


def test_a_body_that_is_no_conversation_is_kept_as_it_came(store: Store) -> None:
    body = body_of(model="m", input=["a", "b"])
    call = opened(store, body, conversation="")
    assert tapes.request_body(store, call) == body and call.tail is None
    assert call.request_digest == request_digest(json.loads(body))


# What is beside the messages.


def test_each_protocol_has_its_own_word_for_the_system_prompt(store: Store) -> None:
    for conversation, name in SYSTEM.items():
        item = {"role": "user", "parts": [{"text": "a"}]} if conversation == "contents" else user("a")
        body = body_of(**{name: "be kind", conversation: [item], "tools": [1], "system_prompt": "x"})
        call = opened(store, body, conversation=conversation)
        assert call.system is not None and blobs.get(store, call.system) == b'"be kind"'
        assert call.tools is not None and tapes.request(store, call) == json.loads(body)
    assert tapes.verify(store, "abcde") == []


# Attachments.

PICTURE = random.Random(5).randbytes(LEAST)
BASE64 = b64encode(PICTURE).decode()


def attached(store: Store) -> list[Any]:
    with store.read() as connection:
        found = connection.exec_driver_sql("SELECT attachments FROM nodes WHERE attachments IS NOT NULL").scalars()
        return [json.loads(one) for one in found]


@pytest.mark.parametrize(
    ("conversation", "item"),
    [
        (
            "messages",
            {
                "role": "user",
                "content": [
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": BASE64}},
                    {"type": "text", "text": "see", "cache_control": {"type": "ephemeral"}},
                ],
            },
        ),
        (
            "messages",
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{BASE64}"}}],
            },
        ),
        (
            "input",
            {"role": "user", "content": [{"type": "input_image", "image_url": f"data:image/png;base64,{BASE64}"}]},
        ),
        ("input", {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": BASE64}),
        ("contents", {"role": "user", "parts": [{"inlineData": {"mimeType": "image/png", "data": BASE64}}]}),
        (
            "contents",
            {
                "role": "model",
                "parts": [
                    {"text": "a"},
                    {"text": "b"},
                    {"inlineData": {"mimeType": "image/png", "data": BASE64.replace("+", "-").replace("/", "_")}},
                ],
            },
        ),
    ],
)
def test_an_image_is_one_blob_wherever_it_comes_again(store: Store, conversation: str, item: dict[str, Any]) -> None:
    other = (
        {"role": "user", "parts": [{"text": "x"}]} if conversation == "contents" else {"role": "user", "content": "x"}
    )
    talks = [[item], [other, item], [item, other, item]]
    for talk in talks:
        call = closed(store, opened(store, body_of(**{conversation: talk}), conversation=conversation), item)
        assert tapes.request(store, call) == {conversation: talk}
        assert BASE64 in json.dumps([message.message for message in tapes.messages(store, call)])
    found = attached(store)
    assert len(found) >= 3 and {blob for one in found for _, blob in one} == {blobs.digest(PICTURE)}
    assert blobs.get(store, blobs.digest(PICTURE)) == PICTURE
    with store.read() as connection:
        assert connection.exec_driver_sql("SELECT max(length(message)) FROM nodes").scalar_one() < 1000
    assert tapes.verify(store, "abcde") == []


@pytest.mark.parametrize(
    "text",
    [
        BASE64[:-1],
        BASE64 + "\n",
        "\n".join(BASE64[at : at + 76] for at in range(0, len(BASE64), 76)),
        f"data:image/png,{BASE64}!",
        BASE64[:-4] + "AB==",
        "a" * 3 * LEAST,
        "x y" * LEAST,
        b64encode(PICTURE[:30]).decode(),
    ],
)
def test_what_looks_like_data_comes_back_to_the_letter(store: Store, text: str) -> None:
    message = {"role": "user", "content": [{"type": "text", "text": text}]}
    call = opened(store, body_of(messages=[message]))
    assert tapes.request(store, call) == {"messages": [message]} and tapes.verify(store, "abcde") == []


@given(
    st.recursive(
        any_text | st.sampled_from([BASE64, f"data:a/b;base64,{BASE64}", BASE64 + "=", "A" * LEAST]),
        lambda items: st.lists(items, max_size=3) | st.dictionaries(any_text, items, max_size=3),
    )
)
@settings(deadline=None)
def test_data_is_taken_out_and_put_back(value: Any) -> None:
    message = {"content": value}
    before = json.dumps(message)
    left, places, found = take(message)
    assert json.dumps(message) == before
    assert json.dumps(put_back(left, json.loads(json.dumps(places)), found.__getitem__)) == before
    assert BASE64 not in json.dumps(left).replace(BASE64 + "=", "")


OTHER_PICTURE = random.Random(6).randbytes(LEAST)


def pictured(conversation: str, picture: bytes) -> dict[str, Any]:
    """What a request has beside its messages, with a picture in each of its parts."""
    data = b64encode(picture).decode()
    system: dict[str, Any] = {
        "messages": [
            {"type": "text", "text": "Compare with this."},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}},
        ],
        "input": [{"role": "developer", "content": [{"type": "input_image", "image_url": f"data:a/b;base64,{data}"}]}],
        "contents": {"parts": [{"inlineData": {"mimeType": "image/png", "data": data}}]},
    }
    tools = [{"type": "image_generation", "input_image_mask": {"image_url": f"data:a/b;base64,{data}"}}]
    prompt = {"id": "p", "variables": {"picture": {"type": "input_image", "image_url": f"data:a/b;base64,{data}"}}}
    return {SYSTEM[conversation]: system[conversation], "tools": tools, "prompt": prompt}


@pytest.mark.parametrize("conversation", ["messages", "input", "contents"])
def test_a_picture_beside_the_messages_is_kept_once_with_those_in_them(store: Store, conversation: str) -> None:
    def said_by(who: str, text: str) -> dict[str, Any]:
        member = "parts" if conversation == "contents" else "content"
        return {"role": who, member: [{"text": text, **({} if conversation == "contents" else {"type": "text"})}]}

    picture = {
        "messages": {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": BASE64}},
        "input": {"type": "input_image", "image_url": f"data:image/png;base64,{BASE64}"},
        "contents": {"inlineData": {"mimeType": "image/png", "data": BASE64}},
    }[conversation]
    asks = {"role": "user", "parts" if conversation == "contents" else "content": [picture]}
    talk = [asks]
    sent = []
    for turn in range(3):
        # The words are those of before, the picture another one, and then that of before.
        body = {**pictured(conversation, OTHER_PICTURE if turn == 1 else PICTURE), conversation: list(talk)}
        sent.append((opened(store, body_of(**body), conversation=conversation), body))
        talk += [said_by("user", f"and {turn}?")]
    with store.read() as connection:
        for call, body in sent:
            assert call.body is None and tapes.request(store, call) == body
            assert call.request_digest == request_digest(body)
            for part in (call.system, call.tools, call.parameters):
                assert part is not None and len(blobs.load(connection, part)) < 500
        named = [{blob for _, blob in json.loads(call.attachments or "")} for call, _ in sent]
        one, other = blobs.digest(PICTURE), blobs.digest(OTHER_PICTURE)
        assert named == [{one}, {other}, {one}]
        assert (sent[0][0].system, sent[0][0].tools) == (sent[1][0].system, sent[1][0].tools)
        large = connection.exec_driver_sql("SELECT digest FROM blobs WHERE size >= 1000").scalars().all()
        assert set(large) == {one, other}
    assert tapes.verify(store, "abcde") == []
    with_text = opened(
        store,
        body_of(**{conversation: [said_by("user", "Hi.")], SYSTEM[conversation]: "x y " * LEAST}),
        conversation=conversation,
    )
    assert with_text.attachments is None and tapes.verify(store, "abcde") == []


# Damage.


@pytest.mark.parametrize(
    ("sql", "problem"),
    [
        (f"DELETE FROM blobs WHERE digest = '{blobs.digest(PICTURE)}'", "no blob"),
        ("UPDATE nodes SET attachments = NULL", "not what its key says"),
        ("UPDATE nodes SET attachments = '[['", "node"),
        ('UPDATE nodes SET attachments = \'[[["content",9],"x"]]\' WHERE attachments IS NOT NULL', "damaged"),
        ("UPDATE nodes SET role = 'tool'", "out of its place"),
        ("DELETE FROM nodes WHERE depth >= 3", "is missing"),
        ("DELETE FROM nodes WHERE depth = 4", "its answer's node is missing"),
        ("DELETE FROM tape_nodes", "not on its tape"),
        ("DELETE FROM passages", "not in the index"),
        ("UPDATE calls SET base = 'x' WHERE base IS NOT NULL", "does not go on from its base"),
        ("UPDATE calls SET base = NULL", "not the one that was sent"),
        ("UPDATE calls SET tail = answer", "not the one that was sent"),
        ("UPDATE calls SET conversation = 'messages'", "not the one that was sent"),
        ("UPDATE calls SET conversation = 'what'", "damaged"),
        ("UPDATE calls SET overlay = NULL", "not the one that was sent"),
        ("UPDATE calls SET parameters = system", "damaged"),
        ("UPDATE calls SET attachments = NULL", "not the one that was sent"),
        ("UPDATE calls SET attachments = '[['", "damaged"),
        (f"DELETE FROM blobs WHERE digest = '{blobs.digest(OTHER_PICTURE)}'", "no blob"),
        ("UPDATE calls SET timing = response", "in the middle"),
        ("DELETE FROM blobs WHERE digest IN (SELECT response FROM calls)", "no blob"),
        ("UPDATE calls SET request_digest = ''", "not the one that was sent"),
    ],
)
def test_damage_is_found(store: Store, sql: str, problem: str) -> None:
    picture = {"role": "user", "content": [{"type": "input_image", "image_url": f"data:image/png;base64,{BASE64}"}]}
    first = opened(store, body_of(input=[user("see"), picture], instructions="be kind"), ONE, conversation="input")
    closed(store, first, [said("So.")], response_id="resp_1", response=b"a\xff", timing=b"\x01\x01")
    beside = {**pictured("input", OTHER_PICTURE), "instructions": "be kind", "previous_response_id": "resp_1"}
    body = body_of(input="and now?", **beside)
    closed(store, opened(store, body, conversation="input"), [said("Done.")], response=b"b\xff")
    assert tapes.verify(store, "abcde") == []
    store.write(lambda connection: connection.exec_driver_sql(sql).rowcount)
    assert any(problem in line for line in tapes.verify(store, "abcde")), tapes.verify(store, "abcde")
