"""What is understood of answers of OpenAI's protocol, also as others speak it."""

import json
from typing import Any

import pytest

from backends.proxy.listening import LONGEST_END, Listener
from backends.proxy.openai import OpenAI
from backends.proxy.prices import Extras
from backends.proxy.protocol import Answer
from store.domain.limits import Usage
from tests.conformance import CHAT, JSON, RECORDINGS, RESPONSES, STREAM, understood
from tests.proxyrig import recorded, split

Events = list[dict[str, Any]]


def heard(body: bytes, path: str = CHAT, *, streamed: bool = True) -> tuple[Answer, list[tuple[str, str]]]:
    live: list[tuple[str, str]] = []
    reader = OpenAI().reader("POST", path, lambda kind, text: live.append((kind, text)))
    listener = Listener(STREAM if streamed else JSON, reader)
    listener.take(body)
    return listener.finish(body), live


def chunks(*deltas: dict[str, Any], done: bool = True, **last: Any) -> bytes:
    """A stream of one choice with those deltas."""
    values: Events = [{"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    values.append({"id": "c", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], **last})
    body = b"".join(b"data: %s\n\n" % json.dumps(value).encode() for value in values)
    return body + b"data: [DONE]\n\n" * done


def message(body: bytes) -> Any:
    (said,) = heard(body)[0].messages
    return said


def tool(*pieces: dict[str, Any]) -> dict[str, Any]:
    return {"tool_calls": list(pieces)}


def test_fault_streamed_tool_calls_lost() -> None:
    answer, live = heard(recorded("chat-tools.sse"))
    (said,) = answer.messages
    assert said == {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": id_,
                "type": "function",
                "function": {"name": "get_current_weather", "arguments": json.dumps({"location": place})},
            }
            for id_, place in (
                ("call_oJL2dc4GjWVxqBtWlGLwjbsR", "Seattle, WA"),
                ("call_ON3lp1OWsbw2obNRD43KVDp6", "San Francisco, CA"),
            )
        ],
    }
    assert (answer.stop_reason, answer.usage, answer.model) == ("tool_calls", Usage(75, 51), "gpt-4o-mini-2024-07-18")
    assert live[:3] == [("tool", "get_current_weather"), ("tool", '{"lo'), ("tool", "catio")]
    assert (answer.response_id, answer.notes) == ("chatcmpl-ASv9jfgm5JguNGaR9o9u94HpuhV7T", ())


def test_text_and_every_kind_of_token() -> None:
    answer, live = heard(recorded("chat-text.sse"))
    text = "The retry in `reserve()` is not idempotent: naïve, but common 🙂."
    assert answer.messages == ({"role": "assistant", "content": text, "refusal": None},)
    assert "".join(piece for kind, piece in live if kind == "text") == text
    assert answer.usage == Usage(input=512, output=96, cache_read=1536, reasoning=64)
    assert answer.extras == Extras(tier="default")


def test_another_vendors_reasoning() -> None:
    answer, live = heard(recorded("chat-reasoning.sse"))
    (said,) = answer.messages
    assert said["reasoning_content"] == "The lock is taken twice." and said["content"] == "Release it first."
    assert [kind for kind, _ in live] == ["reasoning", "reasoning", "text", "text"]
    assert answer.usage == Usage(20, 20, 10, reasoning=12)


def test_of_several_choices_the_first_is_the_message() -> None:
    answer, live = heard(recorded("chat-choices.sse"))
    assert answer.messages == ({"role": "assistant", "content": "Yes.", "refusal": None},)
    assert [choice["refusal"] for choice in answer.strange] == ["I can't do that."]
    assert answer.notes == ("the answer has 2 choices, of which the first is recorded as the message",)
    assert "".join(text for _, text in live) == "Yes."


def test_what_came_before_an_error_in_the_middle() -> None:
    answer, _ = heard(recorded("chat-error.sse"))
    (said,) = answer.messages
    assert said["reasoning"] == "We need to respond to a greeting. The user"
    (detail,) = said["reasoning_details"]
    assert detail["text"] == said["reasoning"] and detail["type"] == "reasoning.text"
    assert answer.error == "400: Token limit reached" and not answer.whole
    # It counts more tokens of reasoning than of output.
    assert answer.usage == Usage(43, 10, reasoning=10)


@pytest.mark.parametrize(
    "pieces",
    [
        # Each call told apart by its id alone: one index for all, or none.
        [
            {"index": 0, "id": "a", "function": {"name": "x", "arguments": "{}"}},
            {"index": 0, "id": "b", "function": {}},
        ],
        [{"id": "a", "function": {"name": "x", "arguments": "{}"}}, {"id": "b", "function": {}}],
    ],
)
def test_parallel_calls_without_an_index_of_their_own(pieces: Events) -> None:
    first, second = pieces
    second["function"] = {"name": "y", "arguments": '{"b": 1}'}
    calls = message(chunks(tool(first), tool(second)))["tool_calls"]
    assert [(call["id"], call["function"]["name"]) for call in calls] == [("a", "x"), ("b", "y")]
    assert calls[1]["function"]["arguments"] == '{"b": 1}'
    assert message(chunks(tool(first, second)))["tool_calls"] == calls


def test_names_ids_and_types_that_come_again_with_every_piece() -> None:
    piece = {"index": 0, "id": "a", "type": "function"}
    pieces = [{**piece, "function": {"name": "read", "arguments": part}} for part in ('{"p"', ":1}")]
    (call,) = message(chunks(*[tool(piece) for piece in pieces]))["tool_calls"]
    assert call == {"id": "a", "type": "function", "function": {"name": "read", "arguments": '{"p":1}'}}


def test_arguments_without_an_index_go_on_with_the_last_call() -> None:
    started = {"id": "a", "function": {"name": "x", "arguments": ""}}
    (call,) = message(chunks(tool(started), tool({"function": {"arguments": "{}"}})))["tool_calls"]
    assert call["function"] == {"name": "x", "arguments": "{}"}


def test_members_that_nobody_knows_are_put_together_as_the_sdk_does() -> None:
    deltas: Events = [
        {
            "role": "assistant",
            "thinking_blocks": [{"index": 0, "type": "thinking", "thinking": "Fi"}],
            "audio": {"id": "x"},
        },
        {
            "thinking_blocks": [{"index": 0, "thinking": "rst.", "signature": "s"}],
            "audio": {"data": "AA"},
            "flag": True,
        },
        {"audio": {"data": "BB", "expires_at": 5}, "words": ["a"], "content": "ok"},
        {"words": ["b"], "role": "assistant"},
    ]
    assert message(chunks(*deltas)) == {
        "role": "assistant",
        "thinking_blocks": [{"index": 0, "type": "thinking", "thinking": "First.", "signature": "s"}],
        "audio": {"id": "x", "data": "AABB", "expires_at": 5},
        "flag": True,
        "words": ["a", "b"],
        "content": "ok",
    }


def test_a_long_answer_costs_its_length() -> None:
    body = chunks(*[{"content": "word "} for _ in range(20_000)])
    assert len(message(body)["content"]) == 100_000


def test_a_stream_without_its_done_is_whole_when_it_told_why_it_ended() -> None:
    assert heard(chunks({"content": "ok"}, done=False))[0].whole
    cut = b"".join(split(chunks({"content": "ok"}, done=False))[:-1])
    assert not heard(cut)[0].whole


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14}, Usage(10, 4)),
        # Reasoning beside the completion, not in it.
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 4,
                "total_tokens": 20,
                "completion_tokens_details": {"reasoning_tokens": 6},
            },
            Usage(10, 10, reasoning=6),
        ),
        ({"prompt_tokens": 10, "completion_tokens": 1, "prompt_cache_hit_tokens": 8}, Usage(2, 1, 8)),
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 1,
                "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 5},
            },
            Usage(2, 1, 3, 5),
        ),
        ({"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": 5}}, Usage(0, 0, 5)),
        ({"prompt_tokens": "many", "completion_tokens": True}, Usage()),
    ],
)
def test_usage_of_other_vendors(usage: dict[str, Any], expected: Usage) -> None:
    assert heard(chunks({"content": "ok"}, usage=usage))[0].usage == expected


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"error": {"message": "no", "type": "invalid_request_error", "code": null}}', "invalid_request_error: no"),
        (b'{"error": {"message": "no", "code": 429}}', "429: no"),
        (b'{"error": "model \'x\' not found"}', "model 'x' not found"),
        (b'[{"error": {"code": 400, "message": "bad key", "status": "INVALID_ARGUMENT"}}]', "400: bad key"),
    ],
)
def test_errors_of_other_vendors(body: bytes, error: str) -> None:
    answer, _ = heard(body, streamed=False)
    assert (answer.error, answer.whole, answer.messages) == (error, True, ())


def test_an_error_in_a_choice() -> None:
    body = b'data: {"choices":[{"index":0,"delta":{"content":"a"},"error":{"code":504,"message":"idle"}}]}\n\n'
    answer, _ = heard(body)
    assert (answer.error, answer.whole) == ("504: idle", False)


def test_the_items_of_a_response() -> None:
    answer, live = heard(recorded("responses-tools.sse"), RESPONSES)
    assert [item["type"] for item in answer.messages] == [
        "reasoning",
        "web_search_call",
        "message",
        "function_call",
        "function_call",
    ]
    assert answer.usage == Usage(512, 160, 1536, reasoning=64)
    assert answer.extras == Extras(searches=1, tier="default")
    assert (answer.stop_reason, answer.whole, answer.response_id) == ("completed", True, "resp_1")
    told = {kind: "".join(text for its, text in live if its == kind) for kind in ("text", "reasoning", "tool")}
    assert told["text"] == "I'll read both 🙂" and told["reasoning"].startswith("**Reading both files**")
    assert told["tool"] == 'readstatus{"path":"shop/st{}ock.py","lines":[1,80]}'


@pytest.mark.parametrize("name", ["responses-tools", "responses-text", "responses-reasoning"])
def test_a_response_without_its_end_has_the_same_items(name: str) -> None:
    """Also with an end that doesn't repeat them; ids and encrypted reasoning may differ between the two."""
    events = split(recorded(f"{name}.sse"))
    end = next(i for i, event in enumerate(events) if b'"response.completed"' in event)
    without = heard(b"".join(events[:end]), RESPONSES)[0]
    whole = understood(RECORDINGS[f"{name}.sse"])
    assert [plain(item) for item in without.messages] == [plain(item) for item in whole.messages]
    assert not without.whole and without.stop_reason == ""
    bare = b'data: {"type":"response.completed","response":{"status":"completed","output":[]}}\n\n'
    assert heard(b"".join(events[:end]) + bare, RESPONSES)[0].messages == without.messages


def plain(item: Any) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key not in ("encrypted_content", "id")}


@pytest.mark.parametrize("name", ["responses-tools", "responses-reasoning"])
def test_a_response_is_read_as_far_as_it_came(name: str) -> None:
    """Cut anywhere, what came of each item is there: it only ever grows."""
    events, before = split(recorded(f"{name}.sse")), 0
    for cut in range(len(events)):
        answer, _ = heard(b"".join(events[:cut]), RESPONSES)
        size = len(json.dumps([plain(item) for item in answer.messages]))
        # An item that is done has another status, and may have less to say of it.
        assert size >= before - 20, (cut, answer.messages)
        before = max(size, before)


def test_deltas_in_the_middle_of_a_response() -> None:
    events = split(recorded("responses-tools.sse"))
    cut = next(i for i, event in enumerate(events) if b"ock.py" in event)
    answer, _ = heard(b"".join(events[:cut]), RESPONSES)
    *_, first, second = answer.messages
    assert (first["arguments"], second["arguments"]) == ('{"path":"shop/st', "{}")
    failed = understood(RECORDINGS["responses-failed.sse"])
    assert failed.messages[0]["content"][0]["text"] == "I was about to"


def test_events_of_a_response_that_nobody_knows() -> None:
    strange = b'event: response.hologram.delta\ndata: {"type":"response.hologram.delta","delta":"x"}\n\n'
    broken = b"event: response.output_text.delta\ndata: {}\n\n"
    answer, _ = heard(strange + broken + recorded("responses-text.sse"), RESPONSES)
    assert [value.get("type") for value in answer.strange] == ["response.hologram.delta", None]
    assert answer.whole and answer.messages == understood(RECORDINGS["responses-text.sse"]).messages
    assert answer.error == "an event 'response.output_text.delta' is not of the protocol's form"


def test_a_last_event_is_held_however_long_it_is() -> None:
    reader = OpenAI().reader("POST", RESPONSES, lambda kind, text: None)
    listener = Listener(STREAM, reader)
    head = b"event: response.completed\n"
    assert listener.take(head) == 0
    assert listener.take(b"data: " + b"x" * LONGEST_END * 2) == 0


def test_embeddings_are_read_beside_their_vectors() -> None:
    answer, _ = heard(recorded("embeddings.json"), "/v1/embeddings", streamed=False)
    assert answer == Answer(model="text-embedding-3-small", usage=Usage(8), whole=True)
    odd = b'{"usage": {"prompt_tokens": 3}, "data": [], "model": "m"}'
    assert heard(odd, "/v1/embeddings", streamed=False)[0].usage == Usage(3)
    assert heard(b"[]", "/v1/embeddings", streamed=False)[0].error == "the body is no JSON object"


@pytest.mark.parametrize(
    ("path", "endpoint", "conversation"),
    [
        ("/v1/chat/completions", "openai-chat", "messages"),
        ("/openai/deployments/mine/chat/completions", "openai-chat", "messages"),
        ("/v1/responses", "openai-responses", "input"),
        ("/v1/responses/", "openai-responses", "input"),
        ("/v1/responses/resp_1/cancel", "openai", ""),
        ("/v1/embeddings", "openai", ""),
        ("/v1/models", "openai", ""),
    ],
)
def test_the_endpoint_is_the_paths_end(path: str, endpoint: str, conversation: str) -> None:
    protocol = OpenAI()
    assert (protocol.endpoint("POST", path), protocol.conversation("POST", path)) == (endpoint, conversation)
    assert protocol.is_call("POST", path) is bool(conversation) and not protocol.is_call("GET", path)


def test_our_errors_in_its_form() -> None:
    said = {status: json.loads(OpenAI().error(status, "no"))["error"] for status in (400, 401, 402, 403, 429, 500, 504)}
    assert all(set(error) == {"message", "type", "param", "code"} for error in said.values())
    assert [said[status]["code"] for status in (401, 402, 429)] == [
        "invalid_api_key",
        "insufficient_quota",
        "rate_limit_exceeded",
    ]
    assert said[500]["type"] == "server_error" and said[400]["type"] == "invalid_request_error"
    assert json.loads(OpenAI().error(403, "no", "mine"))["error"]["type"] == "mine"
