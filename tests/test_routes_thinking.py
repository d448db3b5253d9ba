"""Claude behind clients of OpenAI's: it refuses to think on after tool calls whose thinking it doesn't get back."""

import json
from typing import Any

import pytest

from tests.proxyrig import recorded, whole
from tests.routesrig import Rigged

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
WHY: Any = {"role": "user", "content": "Why does the check fail?"}


async def test_a_responses_client_gives_claude_its_thinking_back(r: Rigged) -> None:
    blocks = [
        {"type": "thinking", "thinking": "It is the lock.", "signature": "c2ln"},
        {"type": "tool_use", "id": "toolu_1", "name": "read", "input": {"path": "a.py"}},
    ]
    answer = json.loads(recorded("message.json")) | {"content": blocks, "stop_reason": "tool_use"}
    r.answers("anthropic", whole(b"200 OK", json.dumps(answer).encode()), whole(b"200 OK", recorded("message.json")))
    tools = [{"type": "function", "name": "read", "parameters": READ["input_schema"], "strict": False}]
    asked: Any = {"model": "gpt-by-claude", "tools": tools, "reasoning": {"effort": "high"}}
    first = await r.openai().responses.create(input=[WHY], **asked)
    said = [item.model_dump(exclude_none=True) for item in first.output]
    result = {"type": "function_call_output", "call_id": "toolu_1", "output": "the text of a"}
    await r.openai().responses.create(input=[WHY, *said, result], **asked)
    assert r.asked("anthropic", 1)["messages"][1]["content"] == blocks
    assert r.asked("anthropic", 1)["thinking"]["type"] == "enabled"
    # Without it, Claude would refuse: it is asked not to think, and the call says so.
    await r.openai().responses.create(
        input=[WHY, *(item for item in said if item["type"] != "reasoning"), result], **asked
    )
    assert "thinking" not in r.asked("anthropic", 2)
    calls, _ = r.calls()
    assert "reasoning was not passed on" in calls[2].notes
    assert not any("not passed on" in note for note in calls[1].notes)


async def test_a_chat_client_asks_claude_to_think_only_where_it_can(r: Rigged) -> None:
    r.answers("anthropic", whole(b"200 OK", recorded("message.json")))
    used = {"id": "call_1", "type": "function", "function": {"name": "read", "arguments": "{}"}}
    turns: Any = [WHY, {"role": "assistant", "tool_calls": [used]}]
    turns.append({"role": "tool", "tool_call_id": "call_1", "content": "the text of a"})
    asked: Any = {"model": "gpt-by-claude", "tools": [READ_CHAT], "reasoning_effort": "high"}
    await r.openai().chat.completions.create(messages=[WHY], **asked)
    await r.openai().chat.completions.create(messages=turns, **asked)
    assert "thinking" in r.asked("anthropic", 0) and "thinking" not in r.asked("anthropic", 1)
    assert "reasoning_effort was not passed on" in r.calls()[0][1].notes
