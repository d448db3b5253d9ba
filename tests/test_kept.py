"""What nodes keep of messages, whatever the protocol."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store import exact
from store.dag import keep_answer
from store.domain.canonical import canonical, kept_key
from store.domain.kept import bare, join, join_unit, node_key, role_of, split, split_unit, units
from tests.jsonvalues import CONVERSATIONS, as_json, same

any_conversation = st.sampled_from(sorted(CONVERSATIONS)).flatmap(
    lambda name: st.tuples(st.just(name), st.lists(CONVERSATIONS[name], min_size=1, max_size=4))
)


@given(any_conversation)
@settings(deadline=None)
def test_any_messages_come_apart_and_together(talk: tuple[str, list[dict[str, Any]]]) -> None:
    conversation, items = talk
    back = []
    before = canonical(items)
    for unit in units(items, conversation):
        kept, overlay = split_unit(unit, conversation)
        assert same(join_unit(kept, overlay), list(unit)) or surrogates_met(kept)
        stored, left_out = exact.loads(exact.dumps(kept)), exact.loads(exact.form(overlay))
        if same(stored, kept) and same(left_out, overlay):
            back += join_unit(stored, left_out)
        else:
            back += map(dict, unit)
    assert same(back, items) and canonical(items) == before


def surrogates_met(kept: Any) -> bool:
    """Halves of a character that came in two pieces, which JSON makes one of: such a body is kept as it came."""
    return not same(exact.loads(exact.dumps(kept)), kept)


@given(any_conversation)
@settings(deadline=None)
def test_the_kept_form_is_its_own_kept_form(talk: tuple[str, list[dict[str, Any]]]) -> None:
    conversation, items = talk
    for unit in units(items, conversation):
        kept, _ = split_unit(unit, conversation)
        again, overlay = split(kept, conversation)
        assert same(again, kept) and overlay is None
        assert same(bare(kept), kept)


@given(any_conversation)
@settings(deadline=None)
def test_what_is_stored_of_an_answer_has_the_key_of_the_message(talk: tuple[str, list[dict[str, Any]]]) -> None:
    conversation, items = talk
    for item in items:
        try:
            kept = keep_answer(item, conversation)
        except ValueError:
            continue
        key = node_key("a" * 40, item, conversation)
        assert kept_key("a" * 40, kept.written) == key
        assert kept_key("a" * 40, canonical(bare(exact.loads(kept.data)))) == key


def key(message: dict[str, Any], conversation: str = "messages") -> str:
    assert same(join(*split(message, conversation)), message)
    return node_key(None, message, conversation)


# Chat Completions.

CALL = {"id": "c1", "type": "function", "function": {"name": "bash", "arguments": '{"command":"ls"}'}}
ASKED = {"role": "assistant", "tool_calls": [CALL]}


@pytest.mark.parametrize(
    "message",
    [
        {**ASKED, "content": None},
        {**ASKED, "content": ""},
        {**ASKED, "content": [{"type": "text", "text": ""}]},
        {**ASKED, "content": [], "refusal": None, "annotations": [], "function_call": None, "audio": None},
        {**ASKED, "tool_calls": [{**CALL, "index": 0}]},
        {**ASKED, "provider_specific_fields": {"refusal": None}},
        {**ASKED, "tool_calls": [{**CALL, "provider_specific_fields": {"thought_signature": "x"}}]},
        {**ASKED, "tool_calls": [{**CALL, "function": {"name": "bash", "arguments": '{ "command" : "ls" }'}}]},
        {**ASKED, "reasoning_content": "Two writers.", "reasoning": "Two writers."},
        {**ASKED, "reasoning_details": [{"type": "reasoning.text", "text": "Two writers."}]},
    ],
)
def test_an_answer_of_chat_completions_and_what_clients_make_of_it_are_one(message: dict[str, Any]) -> None:
    assert key(message) == key(ASKED)


@pytest.mark.parametrize(
    "message",
    [
        {**ASKED, "content": "Let me look."},
        {"role": "assistant", "content": ""},
        {**ASKED, "role": "user"},
        {**ASKED, "tool_calls": [{**CALL, "id": "c2"}]},
        {**ASKED, "tool_calls": [{**CALL, "function": {"name": "bash", "arguments": '{"command":"l s"}'}}]},
        {**ASKED, "tool_calls": [{**CALL, "function": {"name": "bash", "arguments": '{"command":"ls","x":null}'}}]},
        {**ASKED, "refusal": "no"},
    ],
)
def test_what_a_message_of_chat_completions_says_counts(message: dict[str, Any]) -> None:
    assert key(message) != key(ASKED)


def test_no_tool_calls_are_none() -> None:
    said = {"role": "assistant", "content": "So."}
    assert key({**said, "tool_calls": []}) == key({**said, "tool_calls": None}) == key(said)


def test_an_answers_reasoning_is_stored_and_no_part_of_the_key() -> None:
    thought = {**ASKED, "content": None, "reasoning_content": "Two writers."}
    kept = keep_answer(thought, "messages")
    assert kept.message["reasoning_content"] == "Two writers." and kept.written == canonical(split(ASKED)[0])


# Responses.


def item_key(item: dict[str, Any]) -> str:
    return key(item, "input")


SAID = {"role": "assistant", "content": [{"type": "output_text", "text": "So."}]}


@pytest.mark.parametrize(
    "item",
    [
        {"role": "assistant", "content": "So."},
        {**SAID, "type": "message", "id": "msg_1", "status": "completed"},
        {"role": "assistant", "content": [{"type": "output_text", "text": "So.", "annotations": [], "logprobs": []}]},
        {"role": "assistant", "content": [{"type": "output_text", "text": "So.", "logprobs": None}], "phase": None},
        {"role": "assistant", "content": [{"type": "output_text", "text": "So.", "annotations": [{"url": "x"}]}]},
        {"role": "assistant", "content": [{"type": "output_text", "text": ""}, *SAID["content"]]},
    ],
)
def test_a_message_of_responses_and_what_clients_make_of_it_are_one(item: dict[str, Any]) -> None:
    assert item_key(item) == item_key(SAID)


def test_a_plain_text_of_a_users_is_input_text() -> None:
    told = {"role": "user", "content": [{"type": "input_text", "text": "hi"}]}
    assert item_key({"role": "user", "content": "hi"}) == item_key({"type": "message", **told}) == item_key(told)
    assert item_key({"role": "assistant", "content": "hi"}) != item_key(told)


def test_ids_of_items_are_the_providers_and_those_of_calls_count() -> None:
    call = {"type": "function_call", "call_id": "c1", "name": "bash", "arguments": '{"command":"ls"}'}
    assert item_key({**call, "id": "fc_1", "status": "completed", "arguments": '{"command": "ls"}'}) == item_key(call)
    assert item_key({**call, "call_id": "c2"}) != item_key(call)
    thought = {"type": "reasoning", "summary": [], "encrypted_content": "gAAAA"}
    assert item_key({**thought, "id": "rs_1", "content": None, "status": None}) == item_key(thought)
    told = {**thought, "content": [{"type": "reasoning_text", "text": "Two writers."}]}
    assert item_key({**thought, "id": "rs_1", "content": []}) == item_key(thought) == item_key(told)
    assert keep_answer(told, "input").message["content"] == told["content"]
    # Each event of a stream has another copy of the same.
    assert item_key({**thought, "encrypted_content": "gAAAB"}) == item_key(thought)
    summary = [{"type": "summary_text", "text": "So."}]
    assert item_key({**thought, "summary": summary}) != item_key(thought)
    result = {"type": "function_call_output", "call_id": "c1", "output": "ok"}
    assert item_key({**result, "id": None, "status": "completed"}) == item_key(result)
    # Of a reference the id is all there is.
    references = [{"type": "item_reference", "id": name} for name in ("a", "b")] + [{"id": "a"}]
    assert len({item_key(reference) for reference in references}) == 3


@pytest.mark.parametrize(
    ("item", "role"),
    [
        ({"type": "reasoning", "summary": []}, "assistant"),
        ({"type": "function_call", "call_id": "c"}, "assistant"),
        ({"type": "function_call_output", "call_id": "c"}, "tool"),
        ({"type": "local_shell_call_output", "id": "c"}, "tool"),
        ({"role": "developer", "content": "x"}, "developer"),
        ({"parts": []}, "user"),
        ({"role": "model", "parts": []}, "model"),
    ],
)
def test_every_message_has_somebody_whose_it_is(item: dict[str, Any], role: str) -> None:
    assert role_of(item) == role


@pytest.mark.parametrize("message", [{}, {"content": "x"}, {"role": 3}, {"role": "é"}, {"id": "x"}])
def test_a_message_of_nobody_is_none(message: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="role"):
        role_of(message)


# Gemini.


def model(*parts: Any) -> dict[str, Any]:
    return {"role": "model", "parts": [{"text": part} if isinstance(part, str) else part for part in parts]}


def unit_key(*contents: dict[str, Any]) -> str:
    (unit,) = units(contents, "contents")
    kept, overlay = split_unit(unit, "contents")
    assert same(join_unit(kept, as_json(overlay)), list(contents))
    return kept_key(None, canonical(kept))


def test_a_stream_in_pieces_is_what_they_say_together() -> None:
    thought = {"text": "Hm.", "thought": True}
    call = {"functionCall": {"name": "bash", "args": {"command": "ls", "x": None}}}
    whole = unit_key(model("Let me look.", call))
    assert unit_key(model("Let ", "me ", "look.", call)) == whole
    assert unit_key(model("Let "), model("me ", "look."), model(call)) == whole
    assert unit_key(model("Let "), model(), {"role": "model"}, model("me look.", call, "")) == whole
    assert unit_key(model(thought, "Let ", thought, "me look.", {**call, "thoughtSignature": "a-_b"})) == whole
    assert unit_key(model(thought), model("Let me look."), model(call, {"text": "", "thoughtSignature": "ab"})) == whole
    assert unit_key(model("Let me ", {"text": "look.", "thoughtSignature": "x", "thought": False}, call)) == whole
    assert unit_key(model("Let me look, ", call)) != whole
    assert unit_key(model(call, "Let me look.")) != whole


def test_what_a_user_says_stays_in_its_pieces() -> None:
    def told(*texts: str) -> dict[str, Any]:
        return {"role": "user", "parts": [{"text": text} for text in texts]}

    assert [len(unit) for unit in units([told("a"), told("b")], "contents")] == [1, 1]
    assert unit_key(told("a", "b")) != unit_key(told("ab"))
    assert unit_key(told("a", "<system-reminder>x</system-reminder>", "")) == unit_key(told("a"))


def test_data_in_the_alphabet_for_urls_is_the_same_data() -> None:
    def image(data: str) -> dict[str, Any]:
        return model({"inlineData": {"mimeType": "image/png", "data": data}})

    assert unit_key(image("a-_b")) == unit_key(image("a+/b"))
    assert unit_key(image("a-/b")) != unit_key(image("a+/b"))


def test_an_answers_thoughts_are_stored_and_no_part_of_the_key() -> None:
    came = model({"text": "Two ", "thought": True}, {"text": "writers.", "thought": True}, "Let ", "me look.")
    kept = keep_answer(came, "contents")
    assert kept.message == model({"text": "Two writers.", "thought": True}, "Let me look.")
    assert kept.written == canonical(model("Let me look."))
    between = keep_answer(model("Let ", {"text": "Hm.", "thought": True}, "me look."), "contents")
    assert between.written == kept.written and len(json.loads(between.data)["parts"]) == 3
