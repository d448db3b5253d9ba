"""Real SDKs whose models are answered by providers of another protocol: what the client gets, what reaches the
provider, and that both are on the tape."""

import json
from typing import Any

import pytest

from store import tapes
from tests.proxyrig import SUBAGENT, recorded, streamed, whole
from tests.routesrig import Rigged, chunks, completion, tool_call

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.filterwarnings("ignore:The model 'claude:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Inheritance class:DeprecationWarning"),
]

READ: Any = {
    "name": "read",
    "description": "Read a file.",
    "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
}
READ_CHAT: Any = {
    "type": "function",
    "function": {"name": "read", "description": "Read a file.", "strict": True, "parameters": READ["input_schema"]},
}
PDF = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0x" * 9}
SYSTEM: Any = [{"type": "text", "text": "You repair code.", "cache_control": {"type": "ephemeral"}}]
WHY: Any = {"role": "user", "content": "Why does the check fail?"}


async def message(client: Any, *, stream: bool, **asked: Any) -> Any:
    asked = {"max_tokens": 500, **asked}
    if not stream:
        return await client.messages.create(**asked)
    async with client.messages.stream(**asked) as streaming:
        return await streaming.get_final_message()


@pytest.mark.parametrize("stream", [True, False])
async def test_an_anthropic_client_is_answered_by_an_openai_model(r: Rigged, stream: bool) -> None:
    calls = [tool_call(0, "read", '{"path": "shop/stock.py"}'), tool_call(1, "read", '{"path": "shop/cart.py"}')]
    if stream:
        r.answers(
            "openai",
            chunks({"role": "assistant", "content": "Let me "}, {"content": "look."}, *calls, finish="tool_calls"),
            chunks({"role": "assistant", "content": "It sells twice."}),
        )
    else:
        both_calls = [{k: v for k, v in call["tool_calls"][0].items() if k != "index"} for call in calls]
        r.answers(
            "openai",
            completion({"content": "Let me look.", "tool_calls": both_calls}, "tool_calls"),
            completion({"content": "It sells twice."}),
        )
    client = r.anthropic()
    asked: Any = {"model": "claude-by-openai", "system": SYSTEM, "tools": [READ]}
    first = await message(client, stream=stream, messages=[WHY], **asked)
    assert [block.type for block in first.content] == ["text", "tool_use", "tool_use"]
    assert first.content[0].text == "Let me look." and first.stop_reason == "tool_use"
    assert [block.input for block in first.content[1:]] == [{"path": "shop/stock.py"}, {"path": "shop/cart.py"}]
    assert (first.usage.input_tokens, first.usage.output_tokens) == (70, 7)
    results = [
        {"type": "tool_result", "tool_use_id": block.id, "content": f"the text of {block.input['path']}"}
        for block in first.content[1:]
    ]
    turns = [WHY, {"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
    second = await message(client, stream=stream, messages=turns, **asked)
    assert (second.content[0].text, second.stop_reason) == ("It sells twice.", "end_turn")

    sent = r.asked("openai", 1)
    assert (sent["model"], sent.get("stream", False), sent["max_completion_tokens"]) == ("gpt-5.1", stream, 500)
    assert [message["role"] for message in sent["messages"]] == ["system", "user", "assistant", "tool", "tool"]
    assert [call["id"] for call in sent["messages"][2]["tool_calls"]] == ["call_0", "call_1"]
    assert [message["content"] for message in sent["messages"][3:]] == [
        "the text of shop/stock.py",
        "the text of shop/cart.py",
    ]
    assert sent["tools"][0]["function"]["parameters"] == READ["input_schema"]

    (one, two), made = r.calls()
    assert [call.parent for call in made] == [one.id, two.id]
    assert (one.protocol, one.model, one.path, one.complete) == ("anthropic", "claude-by-openai", "/v1/messages", True)
    answer = tapes.answer(r.store, one)
    assert answer is not None and tapes.messages(r.store, two)[1].node == one.answer
    upstream = made[0]
    assert (upstream.provider, upstream.protocol, upstream.model) == ("openai", "openai-chat", "gpt-5.1")
    assert (upstream.usage.input, upstream.usage.cache_read, upstream.usage.output) == (70, 40, 7)
    assert upstream.usd is not None and upstream.usd > 0
    assert tapes.response(r.store, upstream).startswith(b"data: {" if stream else b"{")
    assert tapes.request(r.store, upstream) == r.asked("openai", 0)
    # Counted once, though both sides are there.
    assert (one.usage.total, one.usd) == (0, 0.0)
    assert one.notes[0] == "openai/gpt-5.1 answered for claude-by-openai"
    assert "cache_control: 1 of 1 were not passed on" in one.notes


async def test_what_a_translation_cannot_carry_is_on_the_call(r: Rigged) -> None:
    r.answers("openai", chunks({"role": "assistant", "content": "Yes."}))
    thought = {"type": "thinking", "thinking": "It must be the lock.", "signature": "c2lnbmVk"}
    await message(
        r.anthropic(default_headers={"anthropic-beta": "context-1m-2025-08-07"}),
        stream=True,
        model="claude-by-openai",
        extra_body={
            "top_k": 5,
            "metadata": {"user_id": "u-1"},
            "thinking": {"type": "enabled", "budget_tokens": 2000},
            "container": "c-1",
            "stop_sequences": ["END"],
        },
        tools=[READ, {"type": "web_search_20250305", "name": "web_search"}],
        messages=[
            WHY,
            {"role": "assistant", "content": [thought, {"type": "text", "text": "The lock."}]},
            {
                "role": "user",
                "content": [
                    {
                        "type": "document",
                        "title": "the log",
                        "source": {"type": "text", "media_type": "text/plain", "data": "line 1 of the log"},
                        "citations": {"enabled": True},
                    },
                    {"type": "document", "title": "the plan", "source": PDF},
                    {"type": "text", "text": "Are you sure?", "cache_control": {"type": "ephemeral"}},
                ],
            },
        ],
    )
    call, _ = r.both()
    sent = r.asked("openai")
    assert "top_k" not in sent and "container" not in sent and sent["reasoning_effort"] == "low"
    assert set(call.notes[1:]) >= {
        "top_k was not passed on",
        "container was not passed on",
        "stop_sequences was not passed on",
        "the tool web_search was not passed on",
        "cache_control: 1 of 1 were not passed on",
        "citations: 1 of 1 were not passed on",
        "signature: 1 of 1 were not passed on",
        'document: a text of 8 characters was not passed on: "the plan"',
        'thinking: a text of 20 characters was not passed on: "It must be the lock."',
        "anthropic-beta was not passed on: context-1m-2025-08-07",
    }
    # What has another name or place there, and arrived, is no loss.
    assert sent["messages"][-1]["content"][0]["text"] == "the log\n\nline 1 of the log"
    assert not any(note.startswith(("max_tokens", "metadata", "thinking was")) for note in call.notes)


@pytest.mark.parametrize("stream", [True, False])
async def test_an_anthropic_client_is_answered_by_ollama(r: Rigged, stream: bool) -> None:
    head = {"model": "qwen3:8b", "created_at": "2026-11-01T00:00:00Z"}
    call = {"function": {"name": "read", "arguments": {"path": "shop/stock.py"}}}
    end = {"done": True, "done_reason": "stop", "prompt_eval_count": 31, "eval_count": 9}
    if stream:
        said: list[dict[str, Any]] = [
            {"content": "Let me "},
            {"content": "look."},
            {"content": "", "tool_calls": [call]},
        ]
        lines = [{**head, "message": {"role": "assistant", **each}, "done": False} for each in said]
        lines.append({**head, "message": {"role": "assistant", "content": ""}, **end})
        body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        r.answers("ollama", whole(b"200 OK", body, b"content-type: application/x-ndjson\r\n"))
    else:
        said_whole = {"role": "assistant", "content": "Let me look.", "tool_calls": [call]}
        r.answers("ollama", whole(b"200 OK", json.dumps({**head, "message": said_whole, **end}).encode()))
    got = await message(r.anthropic(), stream=stream, model="claude-by-ollama", messages=[WHY], tools=[READ])
    assert got.content[0].text == "Let me look." and got.content[1].input == {"path": "shop/stock.py"}
    assert r.providers["ollama"].asked[0].line == b"POST /api/chat HTTP/1.1"
    _, (made,) = r.both()
    assert (made.protocol, made.model, made.usage.input, made.usage.output) == ("ollama", "qwen3:8b", 31, 9)
    answer = tapes.answer(r.store, made)
    assert answer is not None and answer.message["tool_calls"] == [call]


@pytest.mark.parametrize("stream", [True, False])
async def test_an_openai_client_is_answered_by_an_anthropic_model(r: Rigged, stream: bool) -> None:
    if stream:
        r.answers("anthropic", streamed(recorded("tools.sse")), streamed(recorded("text.sse")))
    else:
        r.answers("anthropic", whole(b"200 OK", recorded("message.json")))
    client = r.openai()
    asked: Any = {"model": "gpt-by-claude", "tools": [READ_CHAT], "max_completion_tokens": 300}
    system = {"role": "system", "content": "You repair code."}
    first = await chat(client, stream=stream, messages=[system, WHY], **asked)
    wanted = tapes.answer(r.store, r.calls()[1][0])
    assert wanted is not None
    uses = [block for block in wanted.message["content"] if block["type"] == "tool_use"]
    assert [(call["id"], call["name"], json.loads(call["arguments"])) for call in first["tool_calls"]] == [
        (use["id"], use["name"], use["input"]) for use in uses
    ]
    assert first["content"] == wanted.message["content"][0]["text"]
    calls = [
        {"id": call["id"], "type": "function", "function": {"name": call["name"], "arguments": call["arguments"]}}
        for call in first["tool_calls"]
    ]
    results = [{"role": "tool", "tool_call_id": call["id"], "content": f"result {call['id']}"} for call in calls]
    turns = [system, WHY, {"role": "assistant", "content": first["content"], "tool_calls": calls}, *results]
    await chat(client, stream=stream, messages=turns, **asked)
    sent = r.asked("anthropic", 1)
    assert [each["role"] for each in sent["messages"]] == ["user", "assistant", "user"]
    assert [(block["type"], block["tool_use_id"]) for block in sent["messages"][2]["content"]] == [
        ("tool_result", call["id"]) for call in calls
    ]
    assert sent["system"][0]["text"] == "You repair code." and sent["max_tokens"] == 300
    (one, two), made = r.calls()
    assert (one.protocol, made[0].protocol, made[0].provider) == ("openai-chat", "anthropic", "anthropic")
    assert made[0].usage.total > 0 and made[0].usd and one.complete and two.complete
    assert tapes.verify(r.store, SUBAGENT.run) == []


async def chat(client: Any, *, stream: bool, **asked: Any) -> dict[str, Any]:
    """The message that the SDK makes: content, and tool calls with id, name and arguments."""
    if not stream:
        whole_message = (await client.chat.completions.create(**asked)).choices[0].message
        content, calls = whole_message.content, whole_message.tool_calls or []
    else:
        async with client.chat.completions.stream(**asked) as streaming:
            whole_message = (await streaming.get_final_completion()).choices[0].message
            content, calls = whole_message.content, whole_message.tool_calls or []
    made = [{"id": each.id, "name": each.function.name, "arguments": each.function.arguments} for each in calls]
    return {"content": content, "tool_calls": made}


@pytest.mark.parametrize("stream", [True, False])
async def test_a_responses_client_is_answered_by_an_anthropic_model(r: Rigged, stream: bool) -> None:
    r.answers("anthropic", streamed(recorded("tools.sse")) if stream else whole(b"200 OK", recorded("message.json")))
    given: Any = [
        WHY,
        {"type": "function_call", "call_id": "call_1", "name": "read", "arguments": '{"path": "a"}'},
        {"type": "function_call_output", "call_id": "call_1", "output": "the text of a"},
    ]
    asked: Any = {
        "model": "gpt-by-claude",
        "instructions": "You repair code.",
        "input": given,
        "tools": [{"type": "function", "name": "read", "parameters": READ["input_schema"], "strict": False}],
    }
    client = r.openai()
    if stream:
        async with client.responses.stream(**asked) as streaming:
            numbers = [event.sequence_number async for event in streaming]
            assert numbers == sorted(set(numbers))
            answer = await streaming.get_final_response()
    else:
        answer = await client.responses.create(**asked)
    _, (made,) = r.both()
    wanted = tapes.answer(r.store, made)
    assert wanted is not None
    uses = [block for block in wanted.message["content"] if block["type"] == "tool_use"]
    assert answer.output_text == wanted.message["content"][0]["text"]
    assert [(item.call_id, json.loads(item.arguments)) for item in answer.output if item.type == "function_call"] == [
        (use["id"], use["input"]) for use in uses
    ]
    sent = r.asked("anthropic")
    assert sent["messages"][2]["content"][0]["tool_use_id"] == "call_1"
    assert sent["messages"][2]["content"][0]["content"] == "the text of a"


@pytest.mark.parametrize("stream", [True, False])
async def test_an_anthropic_client_is_answered_by_a_gemini_model(r: Rigged, stream: bool) -> None:
    r.answers("gemini", streamed(recorded("gemini-text.sse")) if stream else whole(b"200 OK", recorded("gemini.json")))
    got = await message(r.anthropic(), stream=stream, model="claude-by-gemini", system=SYSTEM, messages=[WHY])
    _, (made,) = r.both()
    wanted = tapes.answer(r.store, made)
    assert wanted is not None and (made.protocol, made.model, made.complete) == ("gemini", "gemini-2.5-pro", True)
    texts = [part["text"] for part in wanted.message["parts"] if "text" in part and not part.get("thought")]
    assert "".join(block.text for block in got.content if block.type == "text") == "".join(texts) != ""
    assert made.usage.output > 0 and r.asked("gemini")["system_instruction"]


@pytest.mark.parametrize("stream", [True, False])
async def test_a_gemini_client_is_renamed_in_its_path_and_not_translated(r: Rigged, stream: bool) -> None:
    name = "gemini-text.sse" if stream else "gemini.json"
    r.answers("gemini", streamed(recorded(name)) if stream else whole(b"200 OK", recorded(name)))
    models = r.gemini().models
    asked: Any = {"model": "gemini-by-gemini", "contents": "Why?"}
    if stream:
        assert [chunk async for chunk in await models.generate_content_stream(**asked)]
    else:
        assert (await models.generate_content(**asked)).text
    line = r.providers["gemini"].asked[0].line
    assert b"/models/gemini-2.5-pro:" + (b"stream" if stream else b"generate") in line
    call, (made,) = r.both()
    assert tapes.response(r.store, call) == tapes.response(r.store, made) == recorded(name)


async def test_counting_tokens_for_a_model_of_another_protocol(r: Rigged) -> None:
    counted = await r.anthropic().messages.count_tokens(model="claude-by-openai", messages=[WHY], tools=[READ])
    assert 10 < counted.input_tokens < 100
    (call,), made = r.calls()
    assert made == [] and (call.complete, call.usage.total) == (True, 0)
    assert call.notes == ("counted by LiteLLM as for openai/gpt-5.1, not reported by a provider",)
