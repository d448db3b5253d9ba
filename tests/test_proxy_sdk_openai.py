"""OpenAI's SDK as the client, the real proxy, and a provider that plays recorded bytes: the client gets what was sent,
and the tape has all of it as the SDK understands it."""

import asyncio
import json
from pathlib import Path
from typing import Any

import openai
import pytest

from backends.proxy import Prices
from store import tapes
from store.domain.limits import Usage
from tests.proxyrig import (
    KEY,
    LAST_CHUNK,
    OTHER_KEY,
    STREAM,
    SUBAGENT,
    Asked,
    Rig,
    chunk,
    fixed,
    recorded,
    rig,
    split,
    streamed,
    until,
    whole,
)

PRICES = Prices.default()
TOOLS: Any = [{"type": "function", "function": {"name": "read", "strict": True, "parameters": {"type": "object"}}}]
ASKED: Any = [{"role": "system", "content": "You repair code."}, {"role": "user", "content": "Why does it fail?"}]


def client_of(r: Rig, key: str = KEY, **more: Any) -> Any:
    return openai.AsyncOpenAI(api_key=key, base_url=f"{r.base_url}/openai/v1", max_retries=0, **more)


def said(value: Any) -> Any:
    """Without what says nothing, and what the SDK puts in itself."""
    if isinstance(value, dict):
        return {
            key: said(item)
            for key, item in value.items()
            if item is not None and key not in ("index", "parsed", "parsed_arguments") and item != []
        }
    return [said(item) for item in value] if isinstance(value, list) else value


def answered(r: Rig, body: bytes) -> list[Any]:
    """The messages that the one call on the tape was answered with, and that the rest of it is there."""
    (call,) = r.calls()
    assert tapes.response(r.store, call) == body
    assert tapes.verify(r.store, SUBAGENT.run) == []
    from tests.conformance import RECORDINGS, understood

    return list(understood(next(each for each in RECORDINGS.values() if each.body == body)).messages)


@pytest.mark.parametrize("name", ["chat-text", "chat-tools", "chat-no-usage", "chat-reasoning", "chat-choices"])
async def test_a_streamed_completion_is_what_the_sdk_makes_of_it(tmp_path: Path, name: str) -> None:
    body = recorded(f"{name}.sse")
    async with rig(tmp_path, streamed(body), protocol="openai", prices=PRICES) as r, client_of(r) as client:
        asked = {"model": "gpt-5-mini", "messages": ASKED, "tools": TOOLS}
        async with client.chat.completions.stream(**asked) as streaming:
            usage = None
            async for event in streaming:
                if event.type == "chunk" and event.chunk.usage:
                    usage = event.chunk.usage
            completion = await streaming.get_final_completion()
        (message,) = answered(r, body)
        assert said(completion.choices[0].message.to_dict()) == said(message)
        (call,) = r.calls()
        assert (call.model, call.protocol, call.stream, call.complete) == ("gpt-5-mini", "openai-chat", True, True)
        assert call.stop_reason == completion.choices[0].finish_reason
        if usage is not None:
            assert call.usage.input + call.usage.cache_read == usage.prompt_tokens
            assert call.usage.output == usage.completion_tokens
            assert call.usage.reasoning == usage.completion_tokens_details.reasoning_tokens
        assert bool(call.notes) is (name in ("chat-choices", "chat-no-usage"))


async def test_a_whole_completion_its_price_and_its_raw_response(tmp_path: Path) -> None:
    head = b"x-request-id: req_1\r\nopenai-processing-ms: 12\r\ncontent-type: application/json\r\n"
    handler = whole(b"200 OK", recorded("chat.json"), head)
    async with rig(tmp_path, handler, protocol="openai", prices=PRICES) as r, client_of(r) as client:
        raw = await client.chat.completions.with_raw_response.create(model="gpt-4.1", messages=ASKED, tools=TOOLS)
        assert (raw.headers["x-request-id"], raw.headers["openai-processing-ms"]) == ("req_1", "12")
        completion = raw.parse()
        assert completion.to_dict() == json.loads(recorded("chat.json"))
        (message,) = answered(r, recorded("chat.json"))
        assert message == completion.choices[0].message.to_dict()
        (call,) = r.calls()
        assert (call.usage, call.complete) == (Usage(156, 77, 256), True)
        assert call.usd == pytest.approx(156 * 2e-6 + 77 * 8e-6 + 256 * 0.5e-6)
        head_sent = r.provider.asked[0].head
        assert r.provider.asked[0].line == b"POST /v1/chat/completions HTTP/1.1"
        assert b"authorization: Bearer real" in head_sent and KEY.encode() not in head_sent


@pytest.mark.parametrize("name", ["responses-text", "responses-reasoning", "responses-tools", "responses-incomplete"])
async def test_a_streamed_response_is_what_the_sdk_makes_of_it(tmp_path: Path, name: str) -> None:
    body = recorded(f"{name}.sse")
    async with rig(tmp_path, streamed(body), protocol="openai", prices=PRICES) as r, client_of(r) as client:
        final: Any = None
        async for event in await client.responses.create(model="gpt-5", input="Why?", stream=True):
            if event.type in ("response.completed", "response.incomplete"):
                final = event.response
        assert [said(item.to_dict()) for item in final.output] == [said(item) for item in answered(r, body)]
        (call,) = r.calls()
        assert (call.protocol, call.conversation, call.complete) == ("openai-responses", "input", True)
        assert call.usage.input + call.usage.cache_read == final.usage.input_tokens
        assert (call.usage.output, call.usage.reasoning) == (
            final.usage.output_tokens,
            final.usage.output_tokens_details.reasoning_tokens,
        )
        assert call.stop_reason == ("max_output_tokens" if name == "responses-incomplete" else "completed")


async def test_a_response_by_the_sdks_own_accumulation_and_a_whole_one(tmp_path: Path) -> None:
    body = recorded("responses-tools.sse")
    async with rig(tmp_path, streamed(body), protocol="openai", prices=PRICES) as r, client_of(r) as client:
        async with client.responses.stream(model="gpt-5", input="Why?") as streaming:
            final = await streaming.get_final_response()
        assert [said(item.to_dict()) for item in final.output] == [said(item) for item in answered(r, body)]
        (call,) = r.calls()
        # A web search costs extra.
        tokens = 512 * 1.25e-6 + 1536 * 1.25e-7 + 160 * 1e-5
        assert call.usd == pytest.approx(tokens + 0.01)
        r.provider.handler = whole(b"200 OK", recorded("response.json"))
        response = await client.responses.create(model="gpt-5", input="Why?")
        assert [item.type for item in response.output] == ["reasoning", "function_call"]


async def test_embeddings_and_models_are_no_messages(tmp_path: Path) -> None:
    async with rig(tmp_path, whole(b"200 OK", recorded("embeddings.json")), protocol="openai", prices=PRICES) as r:
        async with client_of(r) as client:
            made = await client.embeddings.create(
                model="text-embedding-3-small", input="a text", encoding_format="float"
            )
            assert made.usage.prompt_tokens == 8
            r.provider.handler = whole(b"200 OK", recorded("models.json"))
            assert [model.id async for model in client.models.list()] == ["gpt-5"]
            r.provider.handler = whole(b"404 Not Found", recorded("openai-404.json"))
            with pytest.raises(openai.NotFoundError):
                await client.embeddings.create(model="non-existent", input="a text")
        embedded, listed, refused = r.calls()
        assert embedded.usage == Usage(8) and embedded.usd == pytest.approx(8 * 2e-8)
        assert (embedded.answer, listed.answer, embedded.conversation) == (None, None, "")
        assert json.loads(tapes.response(r.store, embedded)) == json.loads(recorded("embeddings.json"))
        assert (listed.path, listed.status, listed.usd) == ("/v1/models", 200, 0.0)
        assert (refused.status, refused.complete) == (404, True)
        assert refused.error.startswith("model_not_found: The model `non-existent-embedding-model`")
        assert tapes.request(r.store, embedded)["input"] == "a text"


@pytest.mark.parametrize(
    ("status", "name", "error", "told"),
    [
        (429, "openai-429", "RateLimitError", "rate_limit_exceeded: Rate limit reached"),
        (500, "openai-500", "InternalServerError", "server_error: The server had an error"),
        (404, "openai-404", "NotFoundError", "model_not_found: The model"),
    ],
)
async def test_fault_only_http_200_recorded(tmp_path: Path, status: int, name: str, error: str, told: str) -> None:
    body = recorded(f"{name}.json")
    handler = whole(b"%d Error" % status, body, b"retry-after: 7\r\ncontent-type: application/json\r\n")
    for path in ("chat", "responses"):
        (tmp_path / path).mkdir()
        async with rig(tmp_path / path, handler, protocol="openai") as r, client_of(r) as client:
            if path == "chat":
                asking = client.chat.completions.create(model="gpt-5", messages=ASKED, stream=True)
            else:
                asking = client.responses.create(model="gpt-5", input="Why?", stream=True)
            with pytest.raises(openai.APIStatusError) as caught:
                await asking
            assert (caught.value.status_code, type(caught.value).__name__) == (status, error)
            assert caught.value.response.headers["retry-after"] == "7" and caught.value.response.content == body
            (call,) = r.calls()
            assert (call.status, call.complete) == (status, True) and call.error.startswith(told)


async def test_our_errors_are_in_the_providers_form(tmp_path: Path) -> None:
    async with rig(tmp_path, whole(b"200 OK", b"{}"), protocol="openai") as r:
        async with client_of(r, "mt-" + "z" * 32) as client:
            with pytest.raises(openai.AuthenticationError) as caught:
                await client.chat.completions.create(model="gpt-5", messages=ASKED)
        assert caught.value.code == "invalid_api_key" and "unknown, or was revoked" in caught.value.message
        r.execute("CREATE TRIGGER broken BEFORE INSERT ON calls BEGIN SELECT RAISE(ABORT, 'no space'); END")
        async with client_of(r) as client:
            with pytest.raises(openai.InternalServerError, match="could not be recorded"):
                await client.responses.create(model="gpt-5", input="Why?")


@pytest.mark.parametrize(
    ("path", "name", "told"),
    [
        ("responses", "responses-error", "rate_limit_exceeded: Rate limit reached."),
        ("responses", "responses-failed", "server_error: The model failed to generate a response."),
        ("chat", "chat-error", "400: Token limit reached"),
    ],
)
async def test_an_error_in_the_middle_of_a_stream(tmp_path: Path, path: str, name: str, told: str) -> None:
    async with rig(tmp_path, streamed(recorded(f"{name}.sse")), protocol="openai") as r, client_of(r) as client:
        failed = False
        try:
            if path == "chat":
                async for _ in await client.chat.completions.create(model="m", messages=ASKED, stream=True):
                    pass
            else:
                async for event in await client.responses.create(model="m", input="Why?", stream=True):
                    failed = failed or event.type in ("response.failed", "error")
        except openai.APIError:
            failed = True
        assert failed
        call = await r.call()
        assert (call.status, call.complete, call.error) == (200, False, told)
        # What came before it was said.
        assert call.answer is not None


async def test_fault_a_client_that_hangs_up_loses_the_turn(tmp_path: Path) -> None:
    first, *_ = events = split(recorded("chat-text.sse"))

    async def stays(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n" + STREAM + b"\r\n" + b"".join(map(chunk, events[:3])))
        await asked.gone.wait()

    async with rig(tmp_path, stays, protocol="openai") as r, client_of(r) as client:
        streaming = await client.chat.completions.create(model="gpt-5", messages=ASKED, stream=True)
        await anext(aiter(streaming))
        await streaming.close()
        call = await r.call()
        assert (call.error, call.complete) == ("the client hung up", False)
        assert first in tapes.response(r.store, call) and call.answer is not None


async def test_a_stream_that_breaks_is_recorded_as_far_as_it_came(tmp_path: Path) -> None:
    events = split(recorded("responses-tools.sse"))
    # In the middle of the arguments of two calls at once.
    cut = next(i for i, event in enumerate(events) if b"ock.py" in event)
    handler = fixed(b"200 OK", STREAM, *map(chunk, events[:cut]), close=True)
    async with rig(tmp_path, handler, protocol="openai") as r, client_of(r) as client:
        with pytest.raises(Exception, match=r"incomplete|closed|peer|TransferEncoding"):
            async for _ in await client.responses.create(model="gpt-5", input="Why?", stream=True):
                pass
        call = await r.call()
        assert not call.complete and "broke off" in call.error
        assert tapes.response(r.store, call) == b"".join(events[:cut])


async def test_fault_streamed_tool_calls_and_their_results_lost(tmp_path: Path) -> None:
    """Nor the system prompt and the tools; and the answer and the same message sent back are one node."""
    bodies = [recorded("chat-tools.sse"), recorded("chat-text.sse")]

    async def plays(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await streamed(bodies.pop(0))(asked, writer)

    async with rig(tmp_path, plays, protocol="openai", prices=PRICES) as r, client_of(r) as client:
        asked = {"model": "gpt-4o-mini", "tools": TOOLS}
        async with client.chat.completions.stream(messages=ASKED, **asked) as streaming:
            message = (await streaming.get_final_completion()).choices[0].message
        results = [
            {"role": "tool", "tool_call_id": call.id, "content": f"{call.function.arguments}: rain"}
            for call in message.tool_calls
        ]
        back = {"role": "assistant", "tool_calls": [call.to_dict() for call in message.tool_calls]}
        async with client.chat.completions.stream(messages=[*ASKED, back, *results], **asked) as streaming:
            await streaming.until_done()
        before, after = r.calls()
        nodes = tapes.messages(r.store, after)
        assert [node.role for node in nodes] == ["system", "user", "assistant", "tool", "tool"]
        assert (nodes[1].node, nodes[2].node) == (before.tail, before.answer)
        assert tapes.request(r.store, after) == json.loads(r.provider.asked[1].body)
        assert before.model == "gpt-4o-mini" and tapes.verify(r.store, SUBAGENT.run) == []


async def test_fault_identical_prompts_of_two_subagents_become_one_session(tmp_path: Path) -> None:
    async with rig(tmp_path, streamed(recorded("responses-text.sse")), protocol="openai") as r:
        async with client_of(r) as mine, client_of(r, OTHER_KEY) as theirs:
            await asyncio.gather(*(each.responses.create(model="m", input="Why?") for each in (mine, theirs)))
        one, other = await until(lambda: calls if len(calls := r.calls()) == 2 else None)
        assert one.subagent != other.subagent and one.tail == other.tail


async def test_azures_paths_and_its_api_key_header(tmp_path: Path) -> None:
    handler = fixed(b"200 OK", STREAM, *map(chunk, split(recorded("chat-tools.sse"))), LAST_CHUNK)
    async with rig(tmp_path, handler, protocol="azure", prices=PRICES) as r:
        azure = openai.AsyncAzureOpenAI(
            api_key=KEY, azure_endpoint=r.base_url, api_version="2024-10-21", azure_deployment="mine", max_retries=0
        )
        async with azure as client:
            async for _ in await client.chat.completions.create(model="mine", messages=ASKED, stream=True):
                pass
        line = r.provider.asked[0].line
        assert line == b"POST /openai/deployments/mine/chat/completions?api-version=2024-10-21 HTTP/1.1"
        head = r.provider.asked[0].head
        assert b"api-key: real" in head and b"authorization" not in head and KEY.encode() not in head
        (call,) = r.calls()
        # A deployment's name has no price; the model's that answered has one.
        assert call.model == "mine" and call.usd == pytest.approx(75 * 0.15e-6 + 51 * 0.6e-6)
