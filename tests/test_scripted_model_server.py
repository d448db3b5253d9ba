"""The scripted model over HTTP: the Messages protocol as the provider speaks it, from a process that never outlives
its owner."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from backends.harness.strategies import PORTFOLIO
from backends.practice import MODEL, model_command
from backends.practice.model.server import start
from store.domain.ids import SubagentId
from tests import rehearsal
from tests.rehearsal import Lane

HELLO = {"model": MODEL, "max_tokens": 100, "messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture(scope="module")
def request_of_a_subagent() -> dict[str, Any]:
    return Lane(rehearsal.bench("two"), SubagentId("run", 1, 1), PORTFOLIO[0], "", None).request()


@pytest.fixture
async def address() -> AsyncIterator[str]:
    server = await start(seed=1, pace=0.0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


async def post(url: str, body: Any, **more: Any) -> tuple[int, Any]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with aiohttp.ClientSession() as session, session.post(url, data=data, **more) as answer:
        return answer.status, json.loads(await answer.read())


def events(stream: bytes) -> list[dict[str, Any]]:
    """The events of a stream, whose names must be those of their data."""
    found = []
    for block in stream.decode().strip().split("\n\n"):
        name, data = block.split("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    return found


@pytest.mark.parametrize("pace", [0.0, 5000.0])
async def test_the_sdk_reads_the_stream_as_the_same_message(pace: float, request_of_a_subagent: dict[str, Any]) -> None:
    from anthropic import AsyncAnthropic

    server = await start(seed=1, pace=pace)
    port = server.sockets[0].getsockname()[1]
    async with AsyncAnthropic(base_url=f"http://127.0.0.1:{port}", api_key="x", max_retries=0) as client:
        whole = await client.messages.create(**request_of_a_subagent)
        async with client.messages.stream(**request_of_a_subagent) as stream:
            streamed = await stream.get_final_message()
    server.close()
    assert [block.to_dict() for block in streamed.content] == [block.to_dict() for block in whole.content]
    assert {block.type for block in whole.content} == {"thinking", "text", "tool_use"}
    assert whole.stop_reason == streamed.stop_reason == "tool_use"
    assert whole.usage.input_tokens == streamed.usage.input_tokens > 500
    assert whole.usage.output_tokens == streamed.usage.output_tokens > 50
    assert whole.model == MODEL


async def test_words_come_one_by_one_when_somebody_watches(request_of_a_subagent: dict[str, Any]) -> None:
    lengths = {}
    for pace in (0.0, 5000.0):
        server = await start(seed=1, pace=pace)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/messages"
        body = {**request_of_a_subagent, "stream": True}
        async with aiohttp.ClientSession() as session, session.post(url, json=body) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            found = events(await answer.read())
        server.close()
        kinds = [event["type"] for event in found]
        assert kinds[:2] == ["message_start", "ping"]
        assert kinds[-2:] == ["message_delta", "message_stop"]
        assert kinds.count("content_block_start") == kinds.count("content_block_stop") >= 4
        deltas = [event["delta"] for event in found if event["type"] == "content_block_delta"]
        assert {delta["type"] for delta in deltas} == {
            *("thinking_delta", "signature_delta", "text_delta", "input_json_delta")
        }
        text = "".join(delta.get("text", "") for delta in deltas)
        lengths[pace] = len(deltas), text
    assert lengths[5000.0][0] > 2 * lengths[0.0][0]
    assert lengths[5000.0][1] == lengths[0.0][1]


async def test_cache_markers_show_in_the_usage(address: str, request_of_a_subagent: dict[str, Any]) -> None:
    url = f"{address}/v1/messages"
    _, plain = await post(url, request_of_a_subagent)
    marked = json.loads(json.dumps(request_of_a_subagent))
    marked["system"][0]["cache_control"] = {"type": "ephemeral"}
    _, first = await post(url, marked)
    assert plain["usage"]["cache_read_input_tokens"] == plain["usage"]["cache_creation_input_tokens"] == 0
    assert first["usage"]["cache_creation_input_tokens"] > 0
    results = [
        {"type": "tool_result", "tool_use_id": block["id"], "content": "exit code 0"}
        for block in first["content"]
        if block["type"] == "tool_use"
    ]
    more = [{"role": "assistant", "content": first["content"]}, {"role": "user", "content": results}]
    _, second = await post(url, {**marked, "messages": [*marked["messages"], *more]})
    assert second["usage"]["cache_read_input_tokens"] > second["usage"]["cache_creation_input_tokens"] > 0


CALL = {"type": "tool_use", "id": "t1", "name": "run", "input": {"command": "ls"}}
USER, ASSISTANT = {"role": "user", "content": "a"}, {"role": "assistant", "content": [CALL]}


@pytest.mark.parametrize(
    ("body", "status", "kind", "says"),
    [
        (b"{", 400, "invalid_request_error", "no JSON"),
        (b"\xff\xfe", 400, "invalid_request_error", "no JSON"),
        ([], 400, "invalid_request_error", "must be a JSON object"),
        ({}, 400, "invalid_request_error", "model"),
        ({**HELLO, "model": "gpt-1"}, 404, "not_found_error", "model: gpt-1"),
        ({**HELLO, "max_tokens": 0}, 400, "invalid_request_error", "max_tokens"),
        ({**HELLO, "max_tokens": "9"}, 400, "invalid_request_error", "max_tokens"),
        ({**HELLO, "messages": []}, 400, "invalid_request_error", "messages"),
        ({**HELLO, "messages": [{"role": "system", "content": "x"}]}, 400, "invalid_request_error", "messages.0.role"),
        ({**HELLO, "messages": [{"role": "user", "content": ""}]}, 400, "invalid_request_error", "empty"),
        ({**HELLO, "messages": [{"role": "user", "content": [{"text": "x"}]}]}, 400, "invalid_request_error", "type"),
        (
            {**HELLO, "messages": [{"role": "user", "content": [7]}]},
            400,
            "invalid_request_error",
            "messages.0.content.0",
        ),
        ({**HELLO, "messages": [USER, ASSISTANT]}, 400, "invalid_request_error", "last message"),
        ({**HELLO, "messages": [ASSISTANT, USER]}, 400, "invalid_request_error", "tool_result"),
        ({**HELLO, "messages": [USER, ASSISTANT, USER]}, 400, "invalid_request_error", "t1"),
        ({**HELLO, "system": 7}, 400, "invalid_request_error", "system"),
        ({**HELLO, "tools": [{}]}, 400, "invalid_request_error", "tools"),
        (
            {**HELLO, "messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t9"}]}]},
            400,
            "invalid_request_error",
            "t9",
        ),
    ],
)
async def test_odd_requests_are_refused_in_the_providers_form(
    address: str, body: Any, status: int, kind: str, says: str
) -> None:
    answered, value = await post(f"{address}/v1/messages", body)
    assert answered == status
    assert value["type"] == "error"
    assert value["error"]["type"] == kind
    assert says in value["error"]["message"]


async def test_other_paths_methods_and_counting(address: str) -> None:
    assert (await post(f"{address}/v1/complete", HELLO))[0] == 404
    status, counted = await post(
        f"{address}/v1/messages/count_tokens?beta=true", {k: HELLO[k] for k in ("model", "messages")}
    )
    assert status == 200
    assert counted["input_tokens"] > 0
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{address}/v1/messages") as answer:
            assert answer.status == 405
        async with session.head(address) as answer:
            assert answer.status == 200
        for _ in range(3):
            async with session.post(f"{address}/v1/messages", json=HELLO) as answer:
                assert (await answer.json())["stop_reason"] == "end_turn"


async def raw(address: str, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(address.rpartition(":")[2]))
    writer.write(data)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"POST /v1/messages HTTP/1.1\r\ncontent-length: x\r\n\r\n", b"400"),
        (b"POST /v1/messages HTTP/1.1\r\ncontent-length: 99999999999\r\n\r\n", b"413"),
        (b"POST /v1/messages HTTP/1.1\r\ncontent-encoding: gzip\r\ncontent-length: 1\r\n\r\nx", b"400"),
        (b"POST /v1/messages HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (b"POST /v1/messages HTTP/1.1\r\nhost", b"400"),
        (b"GET /" + b"x" * 200_000 + b" HTTP/1.1\r\n\r\n", b"400"),
    ],
    ids=["no line", "no length", "too long", "compressed", "bad chunk", "broken off", "long head"],
)
async def test_what_is_no_http_is_refused_and_the_server_goes_on(address: str, data: bytes, status: bytes) -> None:
    answer = await raw(address, data)
    assert answer.startswith(b"HTTP/1.1 " + status), answer[:200]
    assert (await post(f"{address}/v1/messages", HELLO))[0] == 200


async def test_chunked_bodies_and_expectations_are_understood(address: str) -> None:
    body = json.dumps(HELLO).encode()
    pieces = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:10], body[10:]))
    head = (
        b"POST /v1/messages HTTP/1.1\r\nexpect: 100-continue\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    )
    answer = await raw(address, head + pieces + b"0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")


async def test_a_caller_who_hangs_up_costs_nothing(request_of_a_subagent: dict[str, Any]) -> None:
    server = await start(seed=1, pace=20.0)
    port = server.sockets[0].getsockname()[1]
    body = json.dumps({**request_of_a_subagent, "stream": True}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /v1/messages HTTP/1.1\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
    await reader.readuntil(b"message_start")
    writer.close()
    assert (await post(f"http://127.0.0.1:{port}/v1/messages", HELLO))[0] == 200
    server.close()


def test_the_program_ends_when_its_standard_input_closes() -> None:
    process = subprocess.Popen(model_command(7), stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/")
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        port = json.loads(process.stdout.readline())["port"]
        status, value = asyncio.run(post(f"http://127.0.0.1:{port}/v1/messages", HELLO))
        assert status == 200
        assert value["type"] == "message"
        process.stdin.close()
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_the_program_loads_nothing_slow() -> None:
    probe = "import sys, backends.practice.model.server; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    slow = {"aiohttp", "anthropic", "litellm", "pydantic", "sqlalchemy", "sqlmodel", "textual", "uvicorn"}
    assert {name.partition(".")[0] for name in done.stdout.split()} & slow == set()
