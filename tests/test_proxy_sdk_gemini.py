"""Google's SDK as the client, the real proxy, and a provider that plays recorded bytes: the client gets what was sent,
and the tape has all of it as the SDK understands it."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from google import genai
from google.genai import errors, types

from backends.proxy import Prices
from store import tapes
from store.domain.limits import Usage
from tests.conformance import RECORDINGS, understood
from tests.proxyrig import (
    JSON,
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
    whole,
)

pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class:DeprecationWarning")

PRICES = Prices.default()
MODEL = "gemini-2.5-pro"
SYSTEM = types.GenerateContentConfig(system_instruction="You repair code.", temperature=0.0)


def client_of(r: Rig, key: str = KEY) -> Any:
    return genai.Client(api_key=key, http_options=types.HttpOptions(base_url=f"{r.base_url}/gemini")).aio


def joined(parts: list[Any]) -> list[Any]:
    """Parts as one content has them: texts that follow one another are one."""
    out: list[Any] = []
    for part in parts:
        value = part.model_dump(exclude_none=True, by_alias=True, mode="json")
        if value == {"text": ""}:
            continue
        if out and value.keys() == out[-1].keys() <= {"text", "thought"}:
            out[-1]["text"] += value["text"]
        else:
            out.append(value)
    return out


def safe(value: Any) -> Any:
    """Base64 in one alphabet: the SDK writes the one for URLs."""
    return json.loads(json.dumps(value).replace("-", "+").replace("_", "/"))


@pytest.mark.parametrize("name", ["gemini-text", "gemini-poem", "gemini-tool", "gemini-thoughts"])
async def test_a_stream_is_what_the_sdk_makes_of_it(tmp_path: Path, name: str) -> None:
    body = recorded(f"{name}.sse")
    async with rig(tmp_path, streamed(body), protocol="gemini", prices=PRICES) as r, client_of(r) as client:
        parts: list[Any] = []
        last: Any = None
        async for part in await client.models.generate_content_stream(model=MODEL, contents="Why?", config=SYSTEM):
            last = part
            parts += part.candidates[0].content.parts or []
        assert last is not None and last.usage_metadata is not None
        (message,) = understood(RECORDINGS[f"{name}.sse"]).messages
        assert message["role"] == "model" and safe(joined(parts)) == safe(message["parts"])
        (call,) = r.calls()
        assert (call.model, call.stream, call.protocol, call.conversation) == (MODEL, True, "gemini", "contents")
        assert (call.complete, call.stop_reason, tapes.response(r.store, call)) == (True, "STOP", body)
        used = last.usage_metadata
        assert call.usage.input + call.usage.cache_read == used.prompt_token_count
        assert call.usage.reasoning == (used.thoughts_token_count or 0)
        assert call.usage.output == used.candidates_token_count + call.usage.reasoning
        assert tapes.request(r.store, call) == json.loads(r.provider.asked[0].body)
        assert tapes.verify(r.store, SUBAGENT.run) == []


async def test_a_whole_answer_its_price_and_its_key(tmp_path: Path) -> None:
    handler = whole(b"200 OK", recorded("gemini.json"))
    async with rig(tmp_path, handler, protocol="gemini", prices=PRICES) as r, client_of(r) as client:
        answer = await client.models.generate_content(model=MODEL, contents="Why?", config=SYSTEM)
        assert answer.text == "I'll read both."
        assert r.provider.asked[0].line == b"POST /v1/models/gemini-2.5-pro:generateContent HTTP/1.1"
        head = r.provider.asked[0].head
        assert b"x-goog-api-key: real" in head and KEY.encode() not in head
        (call,) = r.calls()
        assert (call.usage, call.stream, call.complete) == (Usage(512, 160, 1536, 0, 64), False, True)
        assert call.usd == pytest.approx(512 * 1.25e-6 + 160 * 1e-5 + 1536 * 1.25e-7)


@pytest.mark.parametrize("headers", [f"x-goog-api-key: {KEY}\r\n", ""])
async def test_a_stream_as_an_array_and_the_key_in_the_query(tmp_path: Path, headers: str) -> None:
    """As plain HTTP clients ask: the key is taken out, the rest of the query goes on to the byte."""
    body = recorded("gemini-array.json")
    pieces = [chunk(body[at : at + 700]) for at in range(0, len(body), 700)]
    handler = fixed(b"200 OK", JSON + b"transfer-encoding: chunked\r\n", *pieces, LAST_CHUNK)
    async with rig(tmp_path, handler, protocol="gemini", prices=PRICES) as r:
        query = "?a=%20b&&c" if headers else f"?a=%20b&key={KEY}&&c"
        client = await r.client()
        path = f"/v1beta/models/{MODEL}:streamGenerateContent"
        await client.ask(path=path + query, body=b'{"contents":[{"parts":[{"text":"Why?"}]}]}', headers=headers)
        assert (await client.answer())[2:] == (body, True)
        assert r.provider.asked[0].line == f"POST {path}?a=%20b&&c HTTP/1.1".encode()
        (call,) = r.calls()
        assert call.path == path + (query if headers else "?a=%20b&key=***&&c")
        assert (call.model, call.stream, call.subagent) == (MODEL, True, SUBAGENT)
        assert (call.complete, call.usage.reasoning, call.stop_reason) == (True, 64, "STOP")
        assert understood(RECORDINGS["gemini-array.json"]) == understood(RECORDINGS["gemini-thoughts.sse"])
        assert KEY.encode() not in r.provider.asked[0].head + r.store.path.read_bytes()


async def test_counts_and_embeddings_are_no_turns(tmp_path: Path) -> None:
    async with rig(tmp_path, whole(b"200 OK", recorded("gemini-count.json")), protocol="gemini") as r:
        async with client_of(r) as client:
            assert (await client.models.count_tokens(model=MODEL, contents="Why?")).total_tokens == 31
            r.provider.handler = whole(b"200 OK", recorded("gemini-embedding.json"))
            await client.models.embed_content(model="gemini-embedding-001", contents="a text")
        counted, embedded = r.calls()
        assert (counted.usage, counted.answer, counted.complete) == (Usage(), None, True)
        assert (embedded.model, embedded.answer, embedded.complete) == ("gemini-embedding-001", None, True)
        # It doesn't say what that cost.
        assert embedded.usage.input and embedded.notes and embedded.usd is None


@pytest.mark.parametrize("streaming", [True, False])
async def test_fault_only_http_200_recorded(tmp_path: Path, streaming: bool) -> None:
    body = recorded("gemini-429.json")
    handler = whole(b"429 Too Many Requests", body, b"retry-after: 7\r\ncontent-type: application/json\r\n")
    async with rig(tmp_path, handler, protocol="gemini") as r, client_of(r) as client:

        async def ask() -> None:
            if not streaming:
                await client.models.generate_content(model=MODEL, contents="Why?")
                return
            async for _ in await client.models.generate_content_stream(model=MODEL, contents="Why?"):
                pass

        with pytest.raises(errors.ClientError) as caught:
            await ask()
        assert (caught.value.code, caught.value.status) == (429, "RESOURCE_EXHAUSTED")
        assert caught.value.details == json.loads(body)
        call = r.calls()[0]
        assert (call.status, call.error) == (429, "RESOURCE_EXHAUSTED: You exceeded your current quota.")


async def test_our_errors_are_in_the_providers_form(tmp_path: Path) -> None:
    async with rig(tmp_path, whole(b"200 OK", b"{}"), protocol="gemini") as r:
        async with client_of(r, "mt-" + "z" * 32) as client:
            with pytest.raises(errors.ClientError) as caught:
                await client.models.generate_content(model=MODEL, contents="Why?")
        assert (caught.value.code, caught.value.status) == (401, "UNAUTHENTICATED")
        assert caught.value.message is not None and "unknown, or was revoked" in caught.value.message


async def test_a_blocked_prompt_and_an_error_in_the_middle(tmp_path: Path) -> None:
    async with rig(tmp_path, streamed(recorded("gemini-blocked.sse")), protocol="gemini") as r:
        async with client_of(r) as client:
            async for part in await client.models.generate_content_stream(model=MODEL, contents="Why?"):
                assert part.prompt_feedback.block_reason == "PROHIBITED_CONTENT"
            r.provider.handler = streamed(recorded("gemini-error.sse"))
            with pytest.raises(errors.ServerError, match="overloaded"):
                async for _ in await client.models.generate_content_stream(model=MODEL, contents="Why?"):
                    pass
        blocked, failed = [await r.call(number) for number in (0, 1)]
        assert (blocked.complete, blocked.stop_reason, blocked.usage) == (True, "PROHIBITED_CONTENT", Usage(8))
        assert (failed.complete, failed.error) == (
            False,
            "UNAVAILABLE: The model is overloaded. Please try again later.",
        )


async def test_fault_a_client_that_hangs_up_loses_the_turn(tmp_path: Path) -> None:
    events = split(recorded("gemini-text.sse"))

    async def stays(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n" + STREAM + b"\r\n" + b"".join(map(chunk, events[:2])))
        await asked.gone.wait()

    async with rig(tmp_path, stays, protocol="gemini") as r:
        client = await r.client()
        path = f"/v1beta/models/{MODEL}:streamGenerateContent?alt=sse"
        await client.ask(path=path, body=b'{"contents":[]}')
        await client.head()
        # What may not be the last event goes on at once.
        came = b""
        while len(came) < sum(map(len, events[:2])):
            came += await client.one_chunk()
        assert came == b"".join(events[:2])
        client.close()
        call = await r.call()
        assert (call.error, call.complete, call.usage.output) == ("the client hung up", False, 114)
        assert tapes.response(r.store, call) == b"".join(events[:2])


async def test_the_end_waits_for_the_commit(tmp_path: Path) -> None:
    """The last event goes out when its record is committed, though none is the last by the protocol."""
    body = recorded("gemini-text.sse")
    async with rig(tmp_path, streamed(body), protocol="gemini") as r:
        r.execute("CREATE TRIGGER broken BEFORE INSERT ON calls BEGIN SELECT RAISE(ABORT, 'no space'); END")
        client = await r.client()
        await client.ask(path=f"/v1beta/models/{MODEL}:streamGenerateContent?alt=sse", body=b'{"contents":[]}')
        status, _, came, proper = await client.answer()
        assert status == 503 or (not proper and b"finishReason" not in came and body.startswith(came))


async def test_fault_streamed_tool_calls_and_their_results_lost(tmp_path: Path) -> None:
    """Nor the system prompt; and what the SDK's chat sends back is the node of the answer."""
    bodies = [recorded("gemini-tool.sse"), recorded("gemini-text.sse")]

    async def plays(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await streamed(bodies.pop(0))(asked, writer)

    async with rig(tmp_path, plays, protocol="gemini", prices=PRICES) as r, client_of(r) as client:
        chat = client.chats.create(model=MODEL, config=SYSTEM)
        async for _ in await chat.send_message_stream("What is the capital of the user's country?"):
            pass
        result = types.Part.from_function_response(name="get_country", response={"result": "Mexico"})
        async for _ in await chat.send_message_stream(result):
            pass
        before, after = r.calls()
        nodes = tapes.messages(r.store, after)
        assert (nodes[0].node, nodes[1].node) == (before.tail, before.answer)
        assert [node.role for node in nodes] == ["user", "model", "user"]
        assert tapes.request(r.store, after) == json.loads(r.provider.asked[1].body)
        assert tapes.verify(r.store, SUBAGENT.run) == []


async def test_fault_identical_prompts_of_two_subagents_become_one_session(tmp_path: Path) -> None:
    async with rig(tmp_path, whole(b"200 OK", recorded("gemini.json")), protocol="gemini") as r:
        async with client_of(r) as mine, client_of(r, OTHER_KEY) as theirs:
            for client in (mine, theirs):
                await client.models.generate_content(model=MODEL, contents="Why?")
        one, other = r.calls()
        assert one.subagent != other.subagent and (one.tail, one.answer) == (other.tail, other.answer)
