"""What is understood of an answer: the message to the last field, what it used, and how it ended."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.proxy.anthropic import AnthropicMessages
from backends.proxy.listening import LONGEST_END, Listener
from backends.proxy.prices import Extras
from backends.proxy.protocol import Answer
from store.domain.limits import Usage
from tests.proxyrig import compressed, recorded, split

STREAM = [(b"content-type", b"text/event-stream")]


def understood(body: bytes, *, step: int = 0, headers: list[tuple[bytes, bytes]] | None = None) -> Answer:
    """The answer as the proxy hears it, in one piece or in pieces of a size."""
    return heard(body, step=step, headers=headers)[0]


def heard(
    body: bytes, *, step: int = 0, headers: list[tuple[bytes, bytes]] | None = None
) -> tuple[Answer, list[tuple[str, str]]]:
    live: list[tuple[str, str]] = []
    reader = AnthropicMessages().reader("POST", "/v1/messages", lambda kind, text: live.append((kind, text)))
    listener = Listener(STREAM if headers is None else headers, reader)
    for at in range(0, len(body), step or len(body) or 1):
        listener.take(body[at : at + (step or len(body))])
    return listener.finish(body), live


def content(name: str) -> Any:
    (message,) = understood(recorded(name)).messages
    assert message["role"] == "assistant"
    return message["content"]


def test_text() -> None:
    answer, live = heard(recorded("text.sse"))
    text = (
        "The retry in `reserve()` is not idempotent: a second attempt after the timeout decrements the stock again — "
        "naïve, but common 🙂.\n\nI'll look at the callers."
    )
    assert answer.messages == ({"role": "assistant", "content": [{"type": "text", "text": text}]},)
    assert (answer.whole, answer.error, answer.stop_reason, answer.strange) == (True, "", "end_turn", ())
    assert answer.model == "claude-sonnet-4-5-20250929"
    assert answer.usage == Usage(412, 58, 1536, 0)
    assert "".join(piece for kind, piece in live if kind == "text") == text


@pytest.mark.parametrize("name", ["tools.sse", "tools-crlf.sse"])
def test_fault_streamed_tool_calls_lost(name: str) -> None:
    assert content(name) == [
        {"type": "text", "text": "Let me read both files."},
        {
            "type": "tool_use",
            "id": "toolu_01T1x1fJ34qAmk2tNTrN7Up6",
            "name": "read",
            "input": {
                "path": "shop/stock.py",
                "lines": [1, 80],
                "big": 123456789012345678901234567890,
                "ratio": 1.0,
            },
        },
        {"type": "tool_use", "id": "toolu_01D7FLrfh4GYq7yT1ULFeyMV", "name": "status", "input": {}},
    ]
    answer, live = heard(recorded(name))
    assert answer.stop_reason == "tool_use"
    assert answer.usage == Usage(412, 131, 1536, 2048)
    assert answer.extras == Extras(hour_cache=1024, place="global")
    assert next(piece for kind, piece in live if kind == "tool") == "read"


def test_thinking_keeps_its_signature() -> None:
    thinking, redacted, text = content("thinking.sse")
    assert thinking == {
        "type": "thinking",
        "thinking": "The lock is taken per item, so two orders over the same items in another order can wait for each "
        "other.",
        "signature": "EqQBCgIYAhIM1gbcDa9GJwZA2b3hGgxBdjrkzLoky3dl1pkiMOYds0Wm3Zk9AAAA==",
    }
    assert redacted["type"] == "redacted_thinking" and redacted["data"].startswith("EmwKAhgBEgy3va3pzix")
    assert text == {"type": "text", "text": "Sort the items before locking."}
    _, live = heard(recorded("thinking.sse"))
    assert [kind for kind, _ in live] == ["reasoning"] * 5 + ["text"]


def test_server_tools_and_citations() -> None:
    use, result, text = content("server-tools.sse")
    assert (use["type"], use["input"]) == ("server_tool_use", {"query": "sqlite busy timeout semantics"})
    assert (result["type"], result["content"][0]["page_age"]) == ("web_search_tool_result", None)
    assert text["text"] == "A busy handler sleeps and tries again."
    assert [citation["type"] for citation in text["citations"]] == ["web_search_result_location"]
    answer = understood(recorded("server-tools.sse"))
    assert (answer.usage, answer.extras) == (Usage(2679, 96, 1536, 0), Extras(searches=1, place="global"))


def test_what_is_not_known_is_kept() -> None:
    answer = understood(recorded("unknown.sse"))
    (message,) = answer.messages
    assert message["content"] == [
        {"type": "hologram", "shape": "cube", "text": "known words", "facets": 6},
        {"type": "text", "text": "after"},
    ]
    assert [item["type"] for item in answer.strange] == ["content_block_delta", "context_hint"]
    assert answer.strange[0]["delta"] == {"type": "rotation_delta", "degrees": 90}
    assert (answer.whole, answer.error) == (True, "an event 'unnamed' is no JSON object")


def test_an_error_in_the_middle() -> None:
    answer = understood(recorded("error.sse"))
    assert (answer.whole, answer.error, answer.stop_reason) == (False, "overloaded_error: Overloaded", "")
    assert answer.messages == ({"role": "assistant", "content": [{"type": "text", "text": "I was about to"}]},)


def test_a_tool_input_that_is_no_json_is_kept_as_its_text() -> None:
    (block,) = content("broken-input.sse")
    assert block["input"] == '{"path": "a.py", "new": "unfinis'
    assert understood(recorded("broken-input.sse")).stop_reason == "max_tokens"


def test_half_a_surrogate_pair_is_kept() -> None:
    assert content("surrogate.sse") == [{"type": "text", "text": "half a pair: \ud83d"}]


def test_a_whole_body() -> None:
    answer = understood(recorded("message.json"), headers=[(b"content-type", b"application/json")])
    body = json.loads(recorded("message.json"))
    assert answer.messages == ({"role": "assistant", "content": body["content"]},)
    assert (answer.whole, answer.stop_reason, answer.usage) == (True, "tool_use", Usage(412, 77, 1536, 0))


@pytest.mark.parametrize("name", ["text", "tools", "tools-crlf", "thinking", "server-tools", "unknown", "error"])
@pytest.mark.parametrize("step", [1, 2, 3, 17, 1000])
def test_it_is_the_same_message_in_pieces_of_any_size(name: str, step: int) -> None:
    body = recorded(f"{name}.sse")
    assert understood(body, step=step) == understood(body)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
@pytest.mark.parametrize("step", [1, 64, 0])
def test_it_is_the_same_message_compressed(encoding: str, step: int) -> None:
    body = b"".join(compressed(encoding, split(recorded("tools.sse"))))
    headers = [*STREAM, (b"content-encoding", encoding.encode())]
    assert understood(body, step=step, headers=headers) == understood(recorded("tools.sse"))


@pytest.mark.parametrize("name", ["text", "tools-crlf", "error"])
def test_the_end_of_a_stream_is_safe_from_its_first_byte_however_it_is_cut(name: str) -> None:
    body = recorded(f"{name}.sse")
    end = len(body) - len(split(body)[-1])
    for cut in range(len(body) + 1):
        listener = Listener(STREAM, AnthropicMessages().reader("POST", "/v1/messages", lambda kind, text: None))
        safe = [listener.take(body[:cut]), listener.take(body[cut:])]
        assert all(offset is not None and offset <= end for offset in safe), (cut, safe, end)
        # Between the two bytes of a CRLF, the second one counts to what follows.
        assert listener.ended in (end, end - 1)


def test_events_that_are_not_the_end_are_not_held_back() -> None:
    body = recorded("text.sse")
    listener = Listener(STREAM, AnthropicMessages().reader("POST", "/v1/messages", lambda kind, text: None))
    came = 0
    for event in split(body)[:-1]:
        came += len(event)
        assert listener.take(event) == came
    # Nor is the rest of a long one, once its name is known; nor anything for ever.
    assert listener.take(b"event: content_block_delta\n") == came + 27
    assert listener.take(b"data: " + b"x" * 100) == came + 133
    nameless = Listener(STREAM, AnthropicMessages().reader("POST", "/v1/messages", lambda kind, text: None))
    assert nameless.take(b"data: {") == 0
    assert nameless.take(b"x" * LONGEST_END) == LONGEST_END + 7


EVENTS = [
    event for name in ("text", "tools", "thinking", "unknown", "error") for event in split(recorded(f"{name}.sse"))
]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(EVENTS), max_size=12), st.integers(0, 40))
def test_events_in_any_order_never_raise(events: list[bytes], step: int) -> None:
    understood(b"".join(events), step=step)


FIELDS = [
    "type",
    "index",
    "delta",
    "content_block",
    "message",
    "usage",
    "text",
    "partial_json",
    "error",
    "role",
    "content",
]
NAMES = ["content_block_start", "content_block_delta", "message_delta", "message_start", "error", ""]
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(NAMES), JSON_VALUES), max_size=6))
def test_events_of_any_shape_never_raise(events: list[tuple[str, Any]]) -> None:
    body = b"".join(f"event: {name}\ndata: {json.dumps(value)}\n\n".encode() for name, value in events)
    answer = understood(body)
    assert not answer.whole or "message_stop" in body.decode()


@settings(max_examples=200, deadline=None)
@given(JSON_VALUES)
def test_bodies_of_any_shape_never_raise(value: Any) -> None:
    understood(json.dumps(value).encode(), headers=[])
