"""What goes through the proxy goes through untouched, both ways, and as it comes."""

import asyncio
import gzip
import json
from pathlib import Path

import pytest

from store import tapes
from tests.proxyrig import (
    ASK,
    JSON,
    KEY,
    LAST_CHUNK,
    OTHER,
    OTHER_KEY,
    STREAM,
    SUBAGENT,
    Asked,
    chunk,
    compress,
    fixed,
    recorded,
    rig,
    split,
    streamed,
    whole,
)

STREAMS = ["text", "tools", "tools-crlf", "thinking", "server-tools", "unknown", "error", "broken-input", "surrogate"]


@pytest.mark.parametrize("name", STREAMS)
async def test_a_stream_comes_through_to_the_byte(tmp_path: Path, name: str) -> None:
    body = recorded(f"{name}.sse")
    async with rig(tmp_path, streamed(body)) as r:
        client = await r.client()
        await client.ask()
        status, _, got, proper = await client.answer()
        assert (status, got, proper) == (200, body, True)
        assert tapes.response(r.store, await r.call()) == body


@pytest.mark.parametrize("step", [1, 7, 64])
async def test_a_stream_in_pieces_of_any_size_comes_through_to_the_byte(tmp_path: Path, step: int) -> None:
    body = recorded("tools-crlf.sse")
    pieces = [chunk(body[i : i + step]) for i in range(0, len(body), step)]
    async with rig(tmp_path, fixed(b"200 OK", STREAM, *pieces, LAST_CHUNK)) as r:
        client = await r.client()
        await client.ask()
        assert (await client.answer())[2:] == (body, True)
        call = await r.call()
        assert (call.complete, call.error, call.stop_reason) == (True, "", "tool_use")


async def test_event_boundaries_are_kept(tmp_path: Path) -> None:
    """Each event goes on when it comes, alone, and before the next one has come."""
    events = split(recorded("text.sse"))
    seen = asyncio.Event()

    async def one_by_one(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n" + STREAM + b"\r\n")
        for event in events:
            writer.write(chunk(event))
            if b"message_stop" not in event:
                await asyncio.wait_for(seen.wait(), 30)
                seen.clear()
        writer.write(LAST_CHUNK)

    async with rig(tmp_path, one_by_one) as r:
        client = await r.client()
        await client.ask()
        await client.head()
        for event in events[:-1]:
            assert await client.one_chunk() == event
            seen.set()
        assert await client.chunks() == ([events[-1]], True)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
async def test_a_compressed_stream_goes_on_as_it_comes_and_is_read(tmp_path: Path, encoding: str) -> None:
    body = recorded("tools.sse")
    async with rig(tmp_path, streamed(body, encoding=encoding)) as r:
        client = await r.client()
        await client.ask(headers=f"x-api-key: {KEY}\r\naccept-encoding: gzip, deflate, zstd\r\n")
        _, headers, got, proper = await client.answer()
        assert proper and (b"content-encoding", encoding.encode()) in headers
        assert (b"accept-encoding", b"gzip, deflate, zstd") in r.provider.asked[0].headers
        call = await r.call()
        assert tapes.response(r.store, call) == got != body
        assert (call.complete, call.stop_reason, call.usage.output) == (True, "tool_use", 131)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
async def test_a_compressed_body_comes_through_and_is_read(tmp_path: Path, encoding: str) -> None:
    body = compress(encoding, recorded("message.json"))
    async with rig(tmp_path, whole(b"200 OK", body, JSON + b"content-encoding: " + encoding.encode() + b"\r\n")) as r:
        client = await r.client()
        await client.ask()
        assert (await client.answer())[2:] == (body, True)
        call = await r.call()
        assert (call.complete, call.stop_reason, call.usage.output) == (True, "tool_use", 77)
        assert tapes.response(r.store, call) == body


async def test_a_coding_that_is_not_known_goes_through_and_says_so(tmp_path: Path) -> None:
    handler = fixed(b"200 OK", STREAM + b"content-encoding: lzma\r\n", chunk(b"\x00\x01"), chunk(b"\x02"), LAST_CHUNK)
    async with rig(tmp_path, handler) as r:
        client = await r.client()
        await client.ask()
        assert (await client.answer())[2:] == (b"\x00\x01\x02", True)
        call = await r.call()
        assert (call.complete, call.error) == (False, "the answer could not be read: the coding 'lzma' is not known")
        assert tapes.response(r.store, call) == b"\x00\x01\x02"


async def test_trailing_white_space_stays(tmp_path: Path) -> None:
    body = recorded("message.json")
    assert body.endswith(b"\n \n")
    async with rig(tmp_path, whole(b"200 OK", body)) as r:
        client = await r.client()
        ask = b'  {"model": "claude-sonnet-4-5",\n "messages": [{"role":"user","content":"a"}] }\n\n'
        await client.ask(body=ask)
        assert (await client.answer())[2:] == (body, True)
        assert r.provider.asked[0].body == ask


async def test_fault_query_string_dropped(tmp_path: Path) -> None:
    async with rig(tmp_path, whole(b"200 OK", recorded("message.json"))) as r:
        client = await r.client()
        path = "/v1/messages?beta=true&x=%2Fa%20b+c&x=2;d&e="
        await client.ask(path=path)
        await client.answer()
        assert r.provider.asked[0].line == f"POST {path} HTTP/1.1".encode()
        assert (await r.call()).path == path


async def test_fault_repeated_headers_joined(tmp_path: Path) -> None:
    answer = JSON + b"x-twice: one\r\nlink: a=1\r\nX-Twice: two\r\nlink: b=2\r\nrequest-id: req_1\r\n"
    async with rig(tmp_path, whole(b"200 OK", recorded("message.json"), answer)) as r:
        client = await r.client()
        await client.ask(headers=f"x-api-key: {KEY}\r\nanthropic-beta: b-two\r\nAnthropic-Beta: a-one\r\nx-new: 1\r\n")
        _, headers, _, _ = await client.answer()
        asked = [value for name, value in r.provider.asked[0].headers if name.lower() == b"anthropic-beta"]
        assert asked == [b"b-two", b"a-one"]
        assert [value for name, value in headers if name.lower() == b"x-twice"] == [b"one", b"two"]
        assert [value for name, value in headers if name == b"link"] == [b"a=1", b"b=2"]
        assert (b"request-id", b"req_1") in headers


async def test_nothing_is_added_to_a_request(tmp_path: Path) -> None:
    async with rig(tmp_path, whole(b"200 OK", b"{}")) as r:
        client = await r.client()
        await client.ask(headers=f"x-api-key: {KEY}\r\n")
        await client.answer()
        names = [name.lower() for name, _ in r.provider.asked[0].headers]
        assert sorted(names) == [b"content-length", b"host", b"x-api-key"]
        assert (b"Host", f"127.0.0.1:{r.provider.port}".encode()) in r.provider.asked[0].headers


async def test_hop_by_hop_headers_end_here_both_ways(tmp_path: Path) -> None:
    answer = (
        JSON + b"connection: x-secret-hop\r\nx-secret-hop: 1\r\nkeep-alive: timeout=5\r\ntrailer: x\r\nx-kept: 1\r\n"
    )
    async with rig(tmp_path, whole(b"200 OK", recorded("message.json"), answer)) as r:
        client = await r.client()
        mine = "connection: keep-alive, x-mine\r\nx-mine: 1\r\nte: trailers\r\nproxy-authorization: a\r\nx-ok: 1\r\n"
        await client.ask(headers=f"x-api-key: {KEY}\r\n" + mine)
        _, headers, _, _ = await client.answer()
        asked = {name.lower() for name, _ in r.provider.asked[0].headers}
        assert asked == {b"content-length", b"host", b"x-api-key", b"x-ok"}
        assert {name for name, _ in headers} == {b"content-type", b"content-length", b"x-kept"}


async def test_a_compressed_request_goes_out_as_it_came_and_is_read(tmp_path: Path) -> None:
    body = gzip.compress(ASK)
    async with rig(tmp_path, whole(b"200 OK", recorded("message.json"))) as r:
        client = await r.client()
        await client.ask(body=body, headers=f"x-api-key: {KEY}\r\ncontent-encoding: gzip\r\n")
        await client.answer()
        assert r.provider.asked[0].body == body
        assert (b"content-encoding", b"gzip") in r.provider.asked[0].headers
        call = await r.call()
        assert call.model == "claude-sonnet-4-5"
        assert tapes.request(r.store, call) == json.loads(ASK)


async def test_a_chunked_request_is_taken(tmp_path: Path) -> None:
    async with rig(tmp_path, whole(b"200 OK", recorded("message.json"))) as r:
        client = await r.client()
        head = (
            f"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\nx-api-key: {KEY}\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        client.writer.write(head.encode() + chunk(ASK[:40]) + chunk(ASK[40:]) + LAST_CHUNK)
        assert (await client.answer())[0] == 200
        assert r.provider.asked[0].body == ASK


async def test_a_head_probe_goes_through_and_is_recorded(tmp_path: Path) -> None:
    async with rig(tmp_path, fixed(b"404 Not Found", b"content-length: 1234\r\nx-probe: yes\r\n")) as r:
        client = await r.client()
        await client.ask("HEAD", "/", b"")
        head = await client.head()
        assert head.startswith(b"HTTP/1.1 404") and b"x-probe: yes" in head and b"content-length: 1234" in head
        # The connection is fit for the next request: nothing of a body was sent.
        await client.ask("HEAD", "/v1/models", b"")
        assert (await client.head()).startswith(b"HTTP/1.1 404")
        calls = r.calls()
        assert [(c.method, c.path, c.status, c.response_size) for c in calls] == [
            ("HEAD", "/", 404, 0),
            ("HEAD", "/v1/models", 404, 0),
        ]


async def test_count_tokens_and_unknown_paths_pass_through_and_are_recorded(tmp_path: Path) -> None:
    body = recorded("count_tokens.json")
    async with rig(tmp_path, whole(b"200 OK", body)) as r:
        client = await r.client()
        await client.ask(path="/v1/messages/count_tokens?beta=true")
        assert (await client.answer())[2] == body
        await client.ask("GET", "/v1/something/else", b"")
        assert (await client.answer())[2] == body
        counted, other = r.calls()
        assert (counted.path, counted.model, counted.complete) == (
            "/v1/messages/count_tokens?beta=true",
            "claude-sonnet-4-5",
            True,
        )
        assert (counted.usage.total, counted.usd, counted.answer) == (0, 0.0, None)
        assert (other.method, other.path, other.status, other.complete) == ("GET", "/v1/something/else", 200, True)
        assert tapes.response(r.store, other) == body


async def test_the_key_may_stand_in_front_of_the_path(tmp_path: Path) -> None:
    async with rig(tmp_path, whole(b"200 OK", recorded("message.json"))) as r:
        client = await r.client()
        for path in (f"/k/{OTHER_KEY}/v1/messages?a=1", f"/k/{OTHER_KEY}/anthropic/v1/messages?a=1"):
            await client.ask(path=path, headers="")
            assert (await client.answer())[0] == 200
        assert [asked.line for asked in r.provider.asked] == [b"POST /v1/messages?a=1 HTTP/1.1"] * 2
        assert [(c.subagent, c.path) for c in r.calls()] == [(OTHER, "/v1/messages?a=1")] * 2


@pytest.mark.parametrize(
    "header", ["x-api-key: {}", "authorization: Bearer {}", "Authorization: bearer  {}", "x-goog-api-key: {}"]
)
async def test_the_key_is_found_in_any_usual_header(tmp_path: Path, header: str) -> None:
    async with rig(tmp_path, whole(b"200 OK", recorded("message.json"))) as r:
        client = await r.client()
        await client.ask(headers=header.format(KEY) + "\r\n")
        assert (await client.answer())[0] == 200
        assert r.calls()[0].subagent == SUBAGENT


async def test_a_slow_client_holds_the_provider_back(tmp_path: Path) -> None:
    """Backpressure from end to end: a provider can't send more than buffers on the way take."""
    sent = 0
    piece = chunk(b"x" * 65536)
    total = 2000

    async def flood(asked: Asked, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(total):
            writer.write(piece)
            await writer.drain()
            sent += 1
        writer.write(LAST_CHUNK)

    async with rig(tmp_path, flood) as r:
        reader, writer = await asyncio.open_connection("127.0.0.1", r.port, limit=1024)
        writer.write(f"GET /v1/files/x HTTP/1.1\r\nhost: localhost\r\nx-api-key: {KEY}\r\n\r\n".encode())
        # Without reading: what is sent comes to a stand well before the end.
        before = -1
        while sent != before or not sent:
            before = sent
            await asyncio.sleep(0.3)
        assert 0 < sent < total / 2
        left = total * 65536
        while left > 0 and (data := await asyncio.wait_for(reader.read(1 << 20), 30)):
            left -= len(data)
        assert sent == total
        writer.close()


async def test_a_large_request_goes_through(tmp_path: Path) -> None:
    text = "0123456789" * 600_000
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}).encode()
    async with rig(tmp_path, whole(b"200 OK", recorded("message.json"))) as r:
        client = await r.client()
        await client.ask(body=body)
        assert (await client.answer())[0] == 200
        assert r.provider.asked[0].body == body


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_headers_pass_byte_by_byte_in_whatever_encoding(tmp_path: Path, method: str) -> None:
    """HTTP gives bytes beyond ASCII no meaning, and Latin-1 is what they mostly are."""
    values = ["café".encode("latin-1"), "café".encode(), bytes(range(0x80, 0x100)), b"\xff", b"a\tb"]
    lines = b"".join(b"x-%d: %b\r\n" % (number, value) for number, value in enumerate(values))
    body = ASK if method == "POST" else b""
    async with rig(tmp_path, whole(b"200 OK", recorded("message.json"), JSON + lines)) as r:
        client = await r.client()
        for number in range(2):
            head = f"{method} /v1/messages HTTP/1.1\r\nhost: 127.0.0.1\r\nx-api-key: {KEY}\r\n".encode()
            client.writer.write(head + lines + b"content-length: %d\r\n\r\n" % len(body) + body)
            status, headers, got, _ = await client.answer()
            assert (status, got) == (200, recorded("message.json"))
            assert [value for name, value in headers if name.startswith(b"x-")] == values
            asked = r.provider.asked[number]
            sent = [value for name, value in asked.headers if name.startswith(b"x-") and name != b"x-api-key"]
            assert (sent, asked.body) == (values, body)
            call = await r.call(number)
            for kept in (call.request_headers, call.response_headers):
                assert [value.encode("latin-1") for name, value in kept if name.startswith("x-")] == values
        first, second = r.provider.asked
        assert first.gone is second.gone, "both went over one connection"
