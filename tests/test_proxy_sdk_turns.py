"""Fault: the answer and the same message sent back become two nodes. What SDKs make of a recorded answer and send back,
in each way in which it can be dumped, is the node of that answer, for every protocol."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest
from google import genai
from google.genai import types

from store import tapes
from tests.proxyrig import KEY, SUBAGENT, Asked, Handler, Rig, recorded, rig, streamed, whole

pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class:DeprecationWarning")

Dump = Callable[[Any], Any]

DUMPS: dict[str, Dump] = {
    "to_dict": lambda model: model.to_dict(),
    "dump": lambda model: model.model_dump(),
    "dump without null": lambda model: model.model_dump(exclude_none=True),
    "dump of what was set": lambda model: model.model_dump(mode="json", exclude_unset=True),
    "json": lambda model: json.loads(model.to_json()),
}


def plays(*handlers: Handler) -> Handler:
    left = list(handlers)

    async def handler(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await left.pop(0)(asked, writer)

    return handler


def answer_of(name: str) -> Handler:
    body = recorded(name)
    return streamed(body) if name.endswith(".sse") else whole(b"200 OK", body)


def client_of(r: Rig) -> Any:
    return openai.AsyncOpenAI(api_key=KEY, base_url=f"{r.base_url}/openai/v1", max_retries=0)


def assert_one_conversation(r: Rig, *, answers: int = 1) -> None:
    """The second call's conversation begins with the first one's, its answer included."""
    before, after = r.calls()
    nodes = [message.node for message in tapes.messages(r.store, after)]
    told = [message.node for message in tapes.answers(r.store, before)]
    assert len(told) == answers
    asked = [message.node for message in tapes.messages(r.store, before)]
    assert nodes[: len(asked)] == asked and nodes[len(asked) : len(asked) + answers] == told
    assert before.answer == told[-1]
    assert tapes.request(r.store, after) == json.loads(r.provider.asked[1].body)
    assert tapes.verify(r.store, SUBAGENT.run) == []


@pytest.mark.parametrize("dump", DUMPS)
@pytest.mark.parametrize("name", ["chat-text.sse", "chat-tools.sse", "chat-reasoning.sse", "chat.json"])
async def test_chat(tmp_path: Path, name: str, dump: str) -> None:
    first: Any = [{"role": "system", "content": "You repair code."}, {"role": "user", "content": "Why?"}]
    async with rig(tmp_path, plays(answer_of(name), answer_of("chat.json")), protocol="openai") as r:
        async with client_of(r) as client:
            if name.endswith(".json"):
                completion = await client.chat.completions.create(model="m", messages=first)
            else:
                async with client.chat.completions.stream(model="m", messages=first) as streaming:
                    completion = await streaming.get_final_completion()
            back = DUMPS[dump](completion.choices[0].message)
            await client.chat.completions.create(model="m", messages=[*first, back, {"role": "user", "content": "So?"}])
        assert_one_conversation(r)


@pytest.mark.parametrize("dump", DUMPS)
@pytest.mark.parametrize(
    ("name", "count"),
    [("responses-text.sse", 1), ("responses-tools.sse", 5), ("responses-reasoning.sse", 2), ("response.json", 2)],
)
async def test_responses(tmp_path: Path, name: str, count: int, dump: str) -> None:
    async with rig(tmp_path, plays(answer_of(name), answer_of("response.json")), protocol="openai") as r:
        async with client_of(r) as client:
            if name.endswith(".json"):
                final = await client.responses.create(model="m", input="Why?")
            else:
                async with client.responses.stream(model="m", input="Why?") as streaming:
                    final = await streaming.get_final_response()
            back = [DUMPS[dump](item) for item in final.output]
            asked: Any = [{"role": "user", "content": "Why?"}, *back, {"role": "user", "content": "So?"}]
            await client.responses.create(model="m", input=asked)
        assert_one_conversation(r, answers=count)


async def test_responses_as_agents_keep_them(tmp_path: Path) -> None:
    """Item by item as each is done, without the last event's copies; there, encrypted reasoning is another."""
    async with rig(
        tmp_path, plays(answer_of("responses-tools.sse"), answer_of("response.json")), protocol="openai"
    ) as r:
        async with client_of(r) as client:
            items: dict[int, Any] = {}
            async for event in await client.responses.create(model="m", input="Why?", stream=True):
                if event.type == "response.output_item.done":
                    items[event.output_index] = event.item.to_dict()
            back = [items[index] for index in sorted(items)]
            results = [
                {"type": "function_call_output", "call_id": item["call_id"], "output": "done"}
                for item in back
                if item["type"] == "function_call"
            ]
            await client.responses.create(
                model="m", input=[{"role": "user", "content": "Why?"}, *back, *results], extra_body={"x": 1}
            )
        assert_one_conversation(r, answers=5)
        assert [message.role for message in tapes.messages(r.store, r.calls()[1])][-2:] == ["tool", "tool"]


@pytest.mark.parametrize("name", ["gemini-text.sse", "gemini-tool.sse", "gemini-thoughts.sse", "gemini.json"])
async def test_gemini(tmp_path: Path, name: str) -> None:
    async with rig(tmp_path, plays(answer_of(name), answer_of("gemini-text.sse")), protocol="gemini") as r:
        options = types.HttpOptions(base_url=f"{r.base_url}/gemini")
        async with genai.Client(api_key=KEY, http_options=options).aio as client:
            # The SDK's chat keeps the contents of a stream's chunks one by one.
            chat = client.chats.create(model="gemini-2.5-pro")
            if name.endswith(".json"):
                await chat.send_message("Why?")
            else:
                async for _ in await chat.send_message_stream("Why?"):
                    pass
            async for _ in await chat.send_message_stream("So?"):
                pass
        assert_one_conversation(r)


async def test_gemini_as_its_own_agent_keeps_it(tmp_path: Path) -> None:
    """Joined, and without thoughts."""
    async with rig(
        tmp_path, plays(answer_of("gemini-thoughts.sse"), answer_of("gemini-text.sse")), protocol="gemini"
    ) as r:
        parts = [
            {"text": "I'll read both 🙂"},
            *json.loads(recorded("gemini-array.json"))[4]["candidates"][0]["content"]["parts"],
        ]
        first = {"role": "user", "parts": [{"text": "Why?"}]}
        bodies: Any = [{"contents": [first]}, {"contents": [first, {"role": "model", "parts": parts}, first]}]
        for body in bodies:
            client = await r.client()
            path = "/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse"
            await client.ask(path=path, body=json.dumps(body).encode(), headers=f"x-goog-api-key: {KEY}\r\n")
            assert (await client.answer())[3]
        assert_one_conversation(r)
