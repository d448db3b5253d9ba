"""The Anthropic SDK as the client, the real proxy, and a provider that plays recorded bytes: the agent gets what was
sent, and the tape has all of it."""

import asyncio
import json
from pathlib import Path
from typing import Any

import anthropic
import pytest

from store import tapes
from store.tail import TailReader, tail_path
from tests.proxyrig import (
    KEY,
    LAST_CHUNK,
    OTHER,
    OTHER_KEY,
    STREAM,
    SUBAGENT,
    Asked,
    Handler,
    Rig,
    chunk,
    recorded,
    rig,
    split,
    streamed,
    until,
    whole,
)

pytestmark = pytest.mark.filterwarnings("ignore:The model 'claude:DeprecationWarning")

SYSTEM = [{"type": "text", "text": "You repair code.", "cache_control": {"type": "ephemeral"}}]
TOOLS: list[Any] = [
    {"name": "read", "description": "Read a file.", "input_schema": {"type": "object", "properties": {"path": {}}}}
]
FIRST: list[Any] = [{"role": "user", "content": "Why does the check fail?"}]


def client_of(r: Rig, key: str = KEY, **more: Any) -> Any:
    return anthropic.AsyncAnthropic(api_key=key, base_url=r.base_url, max_retries=0, **more)


async def stream(client: Any, messages: list[Any], **more: Any) -> Any:
    """The message that the SDK makes of a stream."""
    asked = {"model": "claude-sonnet-4-5", "max_tokens": 1024, "messages": messages, **more}
    async with client.messages.stream(**asked) as streaming:
        return await streaming.get_final_message()


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def plays(*bodies: bytes) -> Handler:
    """Answers with one stream after another."""
    left = list(bodies)

    async def handler(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await streamed(left.pop(0))(asked, writer)

    return handler


@pytest.mark.parametrize("name", ["text", "tools", "tools-crlf", "thinking", "server-tools"])
async def test_the_sdk_reads_the_same_message_as_the_tape(tmp_path: Path, name: str) -> None:
    async with rig(tmp_path, streamed(recorded(f"{name}.sse"))) as r, client_of(r) as client:
        message = await stream(client, FIRST)
        (call,) = r.calls()
        answer = tapes.answer(r.store, call)
        assert answer is not None
        # A null says nothing, and is not kept.
        assert without_nulls(message.to_dict()["content"]) == without_nulls(answer.message["content"])
        assert (call.stop_reason, call.usage.output) == (message.stop_reason, message.usage.output_tokens)


async def test_fault_tool_results_system_prompt_and_tool_definitions_not_kept(tmp_path: Path) -> None:
    """And the answer and the same message sent back are one node, though the model's name is dated in the one."""
    async with rig(tmp_path, plays(recorded("tools.sse"), recorded("text.sse"))) as r, client_of(r) as client:
        first = await stream(client, FIRST, system=SYSTEM, tools=TOOLS)
        results = [
            {"type": "tool_result", "tool_use_id": block.id, "content": f"result of {block.name}"}
            for block in first.content
            if block.type == "tool_use"
        ]
        second = [
            *FIRST,
            {"role": "assistant", "content": [block.to_dict() for block in first.content]},
            {"role": "user", "content": results},
        ]
        await stream(client, second, system=SYSTEM, tools=TOOLS)
        before, after = r.calls()
        assert before.model == "claude-sonnet-4-5" and b"claude-sonnet-4-5-2025" in tapes.response(r.store, before)
        nodes = tapes.messages(r.store, after)
        assert [node.role for node in nodes] == ["user", "assistant", "user"]
        assert nodes[0].node == before.tail and nodes[1].node == before.answer
        rebuilt = tapes.request(r.store, after)
        assert (rebuilt["system"], rebuilt["tools"], rebuilt["messages"][2]["content"]) == (SYSTEM, TOOLS, results)
        assert rebuilt == json.loads(r.provider.asked[1].body)
        assert tapes.verify(r.store, SUBAGENT.run) == []


async def test_fault_identical_prompts_of_two_subagents_become_one_session(tmp_path: Path) -> None:
    async with rig(tmp_path, streamed(recorded("text.sse"))) as r:
        async with client_of(r) as mine, client_of(r, OTHER_KEY) as theirs:
            await asyncio.gather(stream(mine, FIRST), stream(theirs, FIRST))
        (one,), (other,) = tapes.calls(r.store, subagent=SUBAGENT), tapes.calls(r.store, subagent=OTHER)
        assert one.id != other.id and (one.tail, one.answer) == (other.tail, other.answer)


async def test_an_answer_that_is_not_streamed(tmp_path: Path) -> None:
    async with rig(tmp_path, whole(b"200 OK", recorded("message.json"))) as r, client_of(r) as client:
        message = await client.messages.create(model="claude-sonnet-4-5", max_tokens=10, messages=FIRST)
        assert message.to_dict() == json.loads(recorded("message.json"))
        (call,) = r.calls()
        assert (call.stream, call.complete, call.stop_reason) == (False, True, "tool_use")
        assert call.usd == pytest.approx((412 + 1536) * 3e-6 + 77 * 15e-6)


async def test_counting_tokens(tmp_path: Path) -> None:
    async with rig(tmp_path, whole(b"200 OK", recorded("count_tokens.json"))) as r, client_of(r) as client:
        counted = await client.messages.count_tokens(model="claude-sonnet-4-5", messages=FIRST)
        assert counted.input_tokens == 2095
        assert [call.path for call in r.calls()] == ["/v1/messages/count_tokens"]


async def test_the_key_as_a_bearer_token_and_in_the_base_url(tmp_path: Path) -> None:
    async with rig(tmp_path, streamed(recorded("text.sse"))) as r:
        for client in (
            anthropic.AsyncAnthropic(auth_token=KEY, base_url=r.base_url, max_retries=0),
            anthropic.AsyncAnthropic(api_key="unused", base_url=f"{r.base_url}/k/{KEY}", max_retries=0),
        ):
            async with client:
                await stream(client, FIRST)
        assert [call.subagent for call in r.calls()] == [SUBAGENT, SUBAGENT]
        assert b"unused" not in r.provider.asked[1].head


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (429, "rate-limited.json", "RateLimitError"),
        (529, "overloaded.json", "OverloadedError"),
        (400, "overloaded.json", "BadRequestError"),
    ],
)
async def test_the_sdk_knows_the_providers_errors(tmp_path: Path, status: int, body: str, error: str) -> None:
    async with rig(tmp_path, whole(b"%d Error" % status, recorded(body))) as r, client_of(r) as client:
        with pytest.raises(anthropic.APIStatusError) as caught:
            await stream(client, FIRST)
        assert caught.value.status_code == status and type(caught.value).__name__ == error
        assert caught.value.body == json.loads(recorded(body))


async def test_the_sdk_knows_our_errors(tmp_path: Path) -> None:
    async with rig(tmp_path, streamed(recorded("text.sse"))) as r:
        async with client_of(r, "mt-" + "z" * 32) as client:
            with pytest.raises(anthropic.AuthenticationError, match="unknown, or was revoked"):
                await stream(client, FIRST)
        r.execute("CREATE TRIGGER broken BEFORE INSERT ON calls BEGIN SELECT RAISE(ABORT, 'no space'); END")
        async with client_of(r) as client:
            with pytest.raises(Exception, match=r"recording proxy|incomplete"):
                await stream(client, FIRST)


async def test_an_error_in_the_middle_of_a_stream(tmp_path: Path) -> None:
    async with rig(tmp_path, streamed(recorded("error.sse"))) as r, client_of(r) as client:
        with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
            await stream(client, FIRST)
        (call,) = r.calls()
        assert (call.status, call.complete, call.error) == (200, False, "overloaded_error: Overloaded")


async def test_a_stream_that_breaks_is_no_message_for_the_sdk(tmp_path: Path) -> None:
    body = recorded("tools.sse")
    async with rig(tmp_path, streamed(body.removesuffix(split(body)[-1]), cut=True)) as r, client_of(r) as client:
        with pytest.raises(Exception, match=r"incomplete|closed|peer"):
            await stream(client, FIRST)
        assert not (await r.call()).complete


async def test_streaming_text_is_seen_as_it_comes_and_gone_when_it_is_on_the_tape(tmp_path: Path) -> None:
    events, go = split(recorded("thinking.sse")), asyncio.Event()

    async def half(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n" + STREAM + b"\r\n" + b"".join(map(chunk, events[:6])))
        await go.wait()
        writer.write(b"".join(map(chunk, events[6:])) + LAST_CHUNK)

    async with rig(tmp_path, half) as r, client_of(r) as client:
        reader = TailReader(tail_path(r.store.path))

        def live() -> str | None:
            r.tail.flush()
            tail = reader.read().get(SUBAGENT)
            return "".join(text for kind, text in tail.parts if kind == "reasoning") if tail else None

        task = asyncio.create_task(stream(client, FIRST))
        await until(lambda: (live() or "").endswith("over the same") or None)
        go.set()
        await task
        await until(lambda: live() is None or None)
        reader.close()
