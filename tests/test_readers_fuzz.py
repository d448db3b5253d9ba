"""Whatever a provider sends, its reader takes it, and says what it can't read; and it is the same in any pieces."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.proxy.holding import Hold
from backends.proxy.listening import Listener
from backends.proxy.protocol import Answer
from backends.proxy.routes import PROTOCOLS
from tests.conformance import CHAT, JSON, RECORDINGS, RESPONSES, STREAM, STREAMED, STREAMS
from tests.proxyrig import split

PATHS = {
    "messages": ("anthropic", "/v1/messages"),
    "chat": ("openai", CHAT),
    "responses": ("openai", RESPONSES),
    "gemini": ("gemini", STREAMED),
}

FIELDS = [
    "type",
    "index",
    "delta",
    "choices",
    "message",
    "usage",
    "text",
    "content",
    "role",
    "error",
    "candidates",
    "parts",
    "output",
    "item",
    "response",
    "output_index",
    "content_index",
    "summary_index",
    "part",
    "finish_reason",
    "finishReason",
    "tool_calls",
    "function",
    "name",
    "arguments",
    "id",
    "code",
    "status",
    "functionCall",
    "thought",
    "usageMetadata",
    "promptTokenCount",
    "prompt_tokens",
    "completion_tokens_details",
    "content_block",
    "partial_json",
    "input_tokens",
    "stop_reason",
]

KINDS = [
    "response.created",
    "response.output_item.added",
    "response.output_item.done",
    "response.output_text.delta",
    "response.content_part.added",
    "response.content_part.done",
    "response.reasoning_summary_text.delta",
    "response.function_call_arguments.delta",
    "response.output_text.annotation.added",
    "response.completed",
    "response.failed",
    "error",
    "keepalive",
    "ping",
]
STEPS = [
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
]
BLOCKS = ["text", "thinking", "redacted_thinking", "tool_use", "server_tool_use", "image"]
DELTAS = ["text_delta", "input_json_delta", "thinking_delta", "signature_delta", "citations_delta", "other"]

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(KINDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=5),
    max_leaves=16,
)


def shaped(**members: Any) -> st.SearchStrategy[Any]:
    """An object that has those members, or lacks some; each is at times anything."""
    return st.fixed_dictionaries({}, optional={name: value | VALUES for name, value in members.items()})


INDEX = st.integers(0, 2) | st.none()
PIECE = st.text(max_size=4) | st.none()
PART = shaped(type=st.just("output_text"), text=PIECE, thought=st.booleans(), functionCall=VALUES)
CALL = shaped(index=INDEX, id=PIECE, function=shaped(name=PIECE, arguments=PIECE))
DELTA = shaped(role=PIECE, content=PIECE, refusal=PIECE, tool_calls=st.lists(CALL, max_size=2), reasoning=PIECE)
CHOICE = shaped(index=INDEX, delta=DELTA, message=DELTA, finish_reason=PIECE, error=VALUES)
CANDIDATE = shaped(index=INDEX, content=shaped(parts=st.lists(PART, max_size=2), role=PIECE), finishReason=PIECE)
ITEM = shaped(type=PIECE, id=PIECE, content=st.lists(PART, max_size=2), summary=st.lists(PART), arguments=PIECE)
COUNTS = ["input_tokens", "output_tokens", "prompt_tokens", "completion_tokens", "cache_read_input_tokens"]
COUNTS += ["promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "cachedContentTokenCount"]
USAGE = st.dictionaries(st.sampled_from(COUNTS), st.integers(-2, 1 << 70) | VALUES, min_size=1, max_size=4)
WHOLE = shaped(id=PIECE, model=PIECE, status=PIECE, output=st.lists(ITEM, max_size=2), usage=USAGE, error=VALUES)
BLOCK = shaped(type=st.sampled_from(BLOCKS), text=PIECE, thinking=PIECE, id=PIECE, name=PIECE, input=VALUES)
GROWTH = shaped(type=st.sampled_from(DELTAS), text=PIECE, partial_json=PIECE, thinking=PIECE, signature=PIECE)
MESSAGE = shaped(id=PIECE, model=PIECE, role=PIECE, content=st.lists(BLOCK, max_size=2), usage=USAGE)
SHAPES = {
    "messages": shaped(
        type=st.sampled_from([*STEPS, "error"]),
        message=MESSAGE,
        index=INDEX,
        content_block=BLOCK,
        delta=GROWTH | shaped(stop_reason=PIECE, stop_sequence=PIECE),
        usage=USAGE,
        error=VALUES,
    )
    | MESSAGE,
    "chat": shaped(id=PIECE, model=PIECE, choices=st.lists(CHOICE, max_size=3), usage=USAGE, error=VALUES),
    "responses": shaped(
        type=st.sampled_from(KINDS),
        output_index=INDEX,
        content_index=INDEX,
        summary_index=INDEX,
        item=ITEM,
        part=PART,
        delta=PIECE,
        annotation=VALUES,
        response=WHOLE,
    )
    | WHOLE,
    "gemini": shaped(
        candidates=st.lists(CANDIDATE, max_size=3),
        usageMetadata=USAGE,
        promptFeedback=VALUES,
        modelVersion=PIECE,
        error=VALUES,
    ),
}

EVENTS = {
    name: [event for stream in STREAMS if RECORDINGS[stream].path == path for event in split(RECORDINGS[stream].body)]
    for name, (_, path) in PATHS.items()
}


def heard(
    name: str, body: bytes, *, step: int = 0, headers: list[tuple[bytes, bytes]] = STREAM, sound: bool = False
) -> Answer:
    protocol, path = PATHS[name]
    listener = Listener(headers, PROTOCOLS[protocol].reader("POST", path, lambda kind, text: None))
    hold, gone = Hold(None), b""
    for at in range(0, len(body), step or len(body) or 1):
        piece = body[at : at + (step or len(body))]
        gone += hold.take(piece, listener.take(piece))
        # An event whose name contradicts its data is known for the last one only when it is whole.
        assert listener.ended is None or len(gone) <= listener.ended or not sound
    assert gone + hold.rest() == body
    answer = listener.finish(body)
    assert "a fault of the reader's own" not in answer.error, body
    # What the record can hold.
    assert {type(said) for said in (answer.error, answer.model, answer.stop_reason, answer.response_id)} == {str}
    assert all(0 <= count < 1 << 60 for count in vars(answer.usage).values())
    assert all(isinstance(message, dict) for message in answer.messages)
    json.dumps(answer.messages)
    return answer


@pytest.mark.parametrize("name", PATHS)
@settings(max_examples=100, deadline=None)
@given(data=st.data(), step=st.integers(0, 30))
def test_events_of_any_shape(name: str, data: st.DataObject, step: int) -> None:
    named = st.sampled_from([*KINDS, *STEPS, "", "", ""])
    values = data.draw(st.lists(st.tuples(named, SHAPES[name] | VALUES), max_size=6))
    body = b"".join(
        (f"event: {kind}\n" if kind else "").encode() + f"data: {json.dumps(value)}\n\n".encode()
        for kind, value in values
    )
    assert repr(heard(name, body, step=step)) == repr(heard(name, body))


@pytest.mark.parametrize("name", PATHS)
@settings(max_examples=100, deadline=None)
@given(data=st.data(), step=st.integers(0, 40))
def test_recorded_events_in_any_order(name: str, data: st.DataObject, step: int) -> None:
    body = b"".join(data.draw(st.lists(st.sampled_from(EVENTS[name]), max_size=12)))
    assert heard(name, body, step=step, sound=True) == heard(name, body)


@pytest.mark.parametrize(
    ("name", "error", "more"),
    [
        ("chat", {"error": {"message": "no"}}, {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}),
        ("gemini", {"error": {"message": "no"}}, {"candidates": [{"content": {}, "finishReason": "STOP"}]}),
    ],
)
def test_an_error_stays_held_back_whatever_comes_after_it(name: str, error: Any, more: Any) -> None:
    body = b"".join(f"data: {json.dumps(value)}\n\n".encode() for value in (more, error, more, more))
    for step in (1, 20, 0):
        heard(name, body, step=step, sound=True)


@pytest.mark.parametrize("name", PATHS)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_bodies_of_any_shape(name: str, data: st.DataObject) -> None:
    value = data.draw(SHAPES[name] | st.lists(SHAPES[name], max_size=2) | VALUES)
    heard(name, json.dumps(value).encode(), headers=JSON)


@pytest.mark.parametrize("name", PATHS)
@settings(max_examples=60, deadline=None)
@given(body=st.binary(max_size=200))
def test_any_bytes(name: str, body: bytes) -> None:
    heard(name, body)
    heard(name, body, headers=JSON)
    heard(name, b"data: " + body + b"\n\n")
