"""Gemini's requests and answers as Chat Completions, and the other way: plain values."""

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.proxy.translation import from_gemini, to_gemini
from backends.proxy.translation.from_gemini import chat, json_schema
from backends.proxy.translation.losses import losses
from backends.proxy.translation.to_gemini import BrokenError
from backends.proxy.translation.untranslatable import UntranslatableError

names = st.sampled_from(
    [
        *("contents", "parts", "role", "text", "thought", "thoughtSignature", "functionCall", "function_response"),
        *("id", "name", "args", "response", "inlineData", "mimeType", "data", "tools", "functionDeclarations"),
        *("parameters", "generationConfig", "thinkingConfig", "thinkingBudget", "toolConfig", "mode", "type"),
    ]
)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from(["model", "user", "text/plain", "ANY", "YQ==", "é", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=5),
    max_leaves=30,
)


@given(values, st.booleans())
def test_any_request_is_translated_or_refused(contents: Any, thinks: bool) -> None:
    body = {**contents, "contents": [contents]} if isinstance(contents, dict) else {"contents": contents}
    try:
        asked = chat(body, thinks=thinks)
    except UntranslatableError:
        return
    assert all(message["role"] in ("system", "user", "assistant", "tool") for message in asked["messages"])
    losses(body, json.loads(json.dumps(asked)))


def turns(*contents: tuple[str, list[dict[str, Any]]]) -> dict[str, Any]:
    return {"contents": [{"role": role, "parts": parts} for role, parts in contents]}


def test_calls_and_results_find_each_other_without_ids() -> None:
    call = {"functionCall": {"name": "read", "args": {"p": 1}}}
    other = {"functionCall": {"name": "list"}}
    result = {"functionResponse": {"name": "read", "response": {"result": "a"}}}
    listed = {"functionResponse": {"name": "list", "response": {"output": ["x"]}}}
    body = turns(
        ("model", [call, call]), ("model", [other]), ("function", [listed, result]), ("user", [result, {"text": "t"}])
    )
    assistant, *results, user = chat(body, thinks=False)["messages"]
    assert [one["id"] for one in assistant["tool_calls"]] == ["call_1", "call_2", "call_3"]
    assert [(one["tool_call_id"], one["content"]) for one in results] == [
        ("call_3", '{"output": ["x"]}'),
        ("call_1", "a"),
        ("call_2", "a"),
    ]
    assert user == {"role": "user", "content": "t"}


def test_a_schema_of_openapi() -> None:
    schema = {
        "type": "OBJECT",
        "nullable": True,
        "propertyOrdering": ["a"],
        "properties": {
            "type": {"type": "STRING", "format": "enum", "enum": ["x"], "nullable": True},
            "a": {"type": "ARRAY", "items": {"type": "INTEGER", "format": "int32"}, "minItems": "1"},
            "b": {"anyOf": [{"type": "NUMBER"}, {"type": "BOOLEAN"}], "nullable": True},
        },
    }
    assert json_schema(schema) == {
        "type": ["object", "null"],
        "properties": {
            "type": {"type": ["string", "null"], "enum": ["x", None]},
            "a": {"type": "array", "items": {"type": "integer", "format": "int32"}, "minItems": 1},
            "b": {"anyOf": [{"type": "number"}, {"type": "boolean"}, {"type": "null"}]},
        },
    }


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        ({"thinkingConfig": {"thinkingLevel": "LOW"}}, {"reasoning_effort": "low"}),
        ({"thinking_config": {"thinking_budget": 1024}}, {"reasoning_effort": "low"}),
        ({"thinkingConfig": {"thinkingBudget": 24576}}, {"reasoning_effort": "high"}),
        ({"thinkingConfig": {"thinkingBudget": -1}}, {"reasoning_effort": "medium"}),
        ({"thinkingConfig": {"thinkingBudget": 0}}, {}),
        ({"responseMimeType": "application/json"}, {"response_format": {"type": "json_object"}}),
        ({"candidateCount": 2, "top_p": 0.5}, {"n": 2, "top_p": 0.5}),
    ],
)
def test_settings(config: dict[str, Any], wanted: dict[str, Any]) -> None:
    asked = chat({"contents": "hi", "generationConfig": config}, thinks=False)
    assert asked == {"messages": [{"role": "user", "content": "hi"}], **wanted}


def test_a_system_instruction_of_several_parts() -> None:
    body = {"system_instruction": {"parts": [{"text": "a"}, {"text": "b"}]}, "contents": "hi"}
    system = chat(body, thinks=False)["messages"][0]
    assert [part["text"] for part in system["content"]] == ["a", "b"]


@pytest.mark.parametrize("mode", ["ANY", "VALIDATED", "AUTO", "NONE"])
def test_which_tools_may_be_called(mode: str) -> None:
    declared = [{"name": "a"}, {"name": "b"}]
    calling = {"mode": mode, "allowedFunctionNames": ["b"]}
    body = {"contents": "hi", "tools": [{"functionDeclarations": declared}]}
    asked = chat({**body, "toolConfig": {"functionCallingConfig": calling}}, thinks=False)
    assert asked["tool_choice"] == {"ANY": "required", "NONE": "none"}.get(mode, "auto")
    named = [tool["function"]["name"] for tool in asked["tools"]]
    assert named == (["b"] if mode in ("ANY", "VALIDATED") else ["a", "b"])


async def streamed(*choices: dict[str, Any], usage: Any = None) -> list[dict[str, Any]]:
    async def chunks() -> AsyncIterator[dict[str, Any]]:
        for choice in choices:
            yield {"id": "c", "model": "m", "choices": [choice]}
        if usage:
            yield {"id": "c", "choices": [], "usage": usage}

    return [event async for event in to_gemini.events(chunks(), thoughts=True)]


def delta(index: int = 0, finish: str | None = None, **said: Any) -> dict[str, Any]:
    return {"index": index, "delta": said, "finish_reason": finish}


def piece(place: int, arguments: str, name: str | None = None) -> dict[str, Any]:
    call = {"index": place, "id": f"id_{place}" if name else None}
    return delta(tool_calls=[{**call, "function": {"name": name, "arguments": arguments}}])


def parts(events: Sequence[dict[str, Any]], place: int = 0) -> list[dict[str, Any]]:
    found = [one for event in events for one in event["candidates"] if one["index"] == place]
    return [part for one in found for part in one["content"]["parts"]]


async def test_tool_calls_in_pieces_side_by_side() -> None:
    events = await streamed(
        piece(0, '{"a"', "one"),
        piece(0, ": 1}"),
        piece(1, "", "two"),
        delta(finish="tool_calls"),
        usage={"prompt_tokens": 3},
    )
    assert [part["functionCall"] for part in parts(events)] == [
        {"id": "id_0", "name": "one", "args": {"a": 1}},
        {"id": "id_1", "name": "two", "args": {}},
    ]
    (last,) = events[-1]["candidates"]
    assert last["finishReason"] == "STOP" and events[-1]["usageMetadata"]["promptTokenCount"] == 3
    assert all("finishReason" not in event["candidates"][0] for event in events[:-1])


async def test_several_candidates() -> None:
    events = await streamed(delta(content="a"), delta(1, content="b"), delta(finish="stop"), delta(1, finish="length"))
    assert (parts(events, 0)[0], parts(events, 1)[0]) == ({"text": "a"}, {"text": "b"})
    assert [one["finishReason"] for one in events[-1]["candidates"]] == ["STOP", "MAX_TOKENS"]


async def test_thinking_goes_with_the_part_that_follows_it_and_comes_back() -> None:
    block = {"type": "thinking", "thinking": "It is the lock.", "signature": "c2ln"}
    pieces = [{**block, "thinking": text, "signature": ""} for text in ("It is", " the lock.")]
    events = await streamed(
        *(delta(reasoning_content=one["thinking"], thinking_blocks=[one]) for one in pieces),
        delta(thinking_blocks=[block]),
        delta(thinking_blocks=[{"type": "redacted_thinking", "data": "ZGF0"}]),
        piece(0, "{}", "one"),
        delta(finish="tool_calls"),
    )
    thought, also, called = parts(events)
    assert thought == {"text": "It is", "thought": True} and also["thought"]
    assert called["functionCall"]["name"] == "one"
    urlsafe = called["thoughtSignature"].translate({ord("+"): "-", ord("/"): "_"}).rstrip("=")
    for signature in (called["thoughtSignature"], urlsafe):
        body = turns(("model", [thought, also, {**called, "thoughtSignature": signature}]))
        (message,) = chat(body, thinks=True)["messages"]
        assert message["thinking_blocks"] == [block, {"type": "redacted_thinking", "data": "ZGF0"}]
        assert message["content"] is None and "thinking_blocks" not in chat(body, thinks=False)["messages"][0]


@pytest.mark.parametrize(
    "choices",
    [
        [],
        [delta(content="a")],
        [piece(0, '{"a', "one"), delta(finish="tool_calls")],
        [piece(0, "7", "one"), delta(finish="tool_calls")],
    ],
)
async def test_what_is_no_whole_answer_breaks(choices: list[dict[str, Any]]) -> None:
    with pytest.raises(BrokenError):
        await streamed(*choices)


def test_a_whole_answer() -> None:
    message = {"content": "a", "refusal": "b", "reasoning_content": "hm", "tool_calls": None}
    usage = {"prompt_tokens": 9, "completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 2}}
    completion = {"id": "c", "model": "m", "choices": [{"message": message, "finish_reason": "odd"}], "usage": usage}
    answer = to_gemini.content(completion, thoughts=False)
    (candidate,) = answer["candidates"]
    assert candidate["content"] == {"role": "model", "parts": [{"text": "a"}, {"text": "b"}]}
    assert candidate["finishReason"] == "OTHER" and (answer["responseId"], answer["modelVersion"]) == ("c", "m")
    assert answer["usageMetadata"] == {
        "promptTokenCount": 9,
        "candidatesTokenCount": 3,
        "totalTokenCount": 14,
        "thoughtsTokenCount": 2,
    }
    with pytest.raises(BrokenError):
        to_gemini.content({"choices": []}, thoughts=False)


def test_a_signature_of_somebody_else_is_not_read() -> None:
    for signature in ("b2YgR2VtaW5p", "!", "", "bXVsdGl0cmFjazp0aGlua2luZzp7", 7):
        body = turns(("model", [{"text": "a", "thoughtSignature": signature}]))
        assert "thinking_blocks" not in chat(body, thinks=True)["messages"][0]
    assert from_gemini.shows_thoughts({"generation_config": {"thinking_config": {"include_thoughts": True}}})
