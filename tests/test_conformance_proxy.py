"""Every recorded answer through the real proxy: the client gets the provider's bytes, however they are cut or
compressed, the tape has them and what they mean, and nobody sees their end before that is committed."""

import asyncio
import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from backends.proxy.routes import PROTOCOLS as PROVIDERS
from backends.proxy.upstream import Answering
from store import tapes
from tests.conformance import RECORDINGS, Recording, understood
from tests.proxyrig import (
    JSON,
    KEY,
    LAST_CHUNK,
    STREAM,
    SUBAGENT,
    Asked,
    Client,
    Handler,
    chunk,
    compressed,
    fixed,
    rig,
    split,
)
from tests.test_proxy_end import locked, what_comes

PROTOCOLS = ["anthropic", "openai", "gemini"]
CODINGS = ["", "gzip", "br", "zstd"]
CUTS = ["events", "random", "bytes", "whole"]

BODIES = {
    "messages": {"model": "m", "messages": [{"role": "user", "content": "Why?"}]},
    "input": {"model": "m", "input": "Why?"},
    "contents": {"contents": [{"role": "user", "parts": [{"text": "Why?"}]}]},
    "": {"model": "m", "input": "a text"},
}


def of(protocol: str) -> list[Recording]:
    return [recording for recording in RECORDINGS.values() if recording.protocol == protocol]


def cut(recording: Recording, how: str) -> Iterator[bytes]:
    body = recording.body
    if how == "events" and recording.streamed:
        yield from split(body)
        return
    dice, at = random.Random(recording.name), 0
    while at < len(body):
        size = {"bytes": 1, "random": dice.randint(1, 500)}.get(how, len(body))
        yield body[at : at + size]
        at += size


def plays(recording: Recording, how: str, coding: str, *, head: bytes = b"") -> Handler:
    pieces = list(cut(recording, how))
    head += STREAM if recording.streamed else JSON + b"transfer-encoding: chunked\r\n"
    if coding:
        pieces = compressed(coding, pieces)
        head += b"content-encoding: " + coding.encode() + b"\r\n"
    chunks = [chunk(piece) for piece in pieces if piece]
    return fixed(b"%d Status" % recording.status, head, *chunks, LAST_CHUNK)


async def ask(client: Client, recording: Recording) -> None:
    conversation = PROVIDERS[recording.protocol].conversation("POST", recording.path)
    query = "?alt=sse&x=%2F" if recording.streamed and recording.protocol == "gemini" else ""
    body = json.dumps(BODIES[conversation]).encode()
    await client.ask(path=recording.path + query, body=body, headers=f"authorization: Bearer {KEY}\r\n")


def compressed_whole(recording: Recording, how: str, coding: str) -> bytes:
    pieces = list(cut(recording, how))
    return b"".join(compressed(coding, pieces) if coding else pieces)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("coding", CODINGS)
async def test_bytes_are_the_providers_and_the_tape_has_them(tmp_path: Path, protocol: str, coding: str) -> None:
    recordings = of(protocol)
    async with rig(tmp_path, plays(recordings[0], "whole", coding), protocol=protocol) as r:
        for number, recording in enumerate(recordings):
            # One byte a piece is slow on sockets: one short answer a protocol; without sockets all are cut so.
            cuts = [how for how in CUTS if how != "bytes" or (number == 0 and not coding)]
            for how in cuts:
                r.provider.handler = plays(recording, how, coding)
                client = await r.client()
                await ask(client, recording)
                status, headers, came, proper = await client.answer()
                sent = compressed_whole(recording, how, coding)
                assert (status, came, proper) == (recording.status, sent, True), (recording.name, how)
                assert (b"content-encoding", coding.encode()) in headers or not coding
                call = r.calls()[-1]
                answer = understood(recording)
                assert tapes.response(r.store, call) == sent
                assert (call.complete, call.error) == (recording.complete, recording.error), (recording.name, how)
                assert (call.stop_reason, call.response_id) == (answer.stop_reason, answer.response_id)
                if answer.usage.total:
                    assert call.usage == answer.usage
                assert bool(call.answer) is bool(answer.messages), recording.name
                client.close()
        assert tapes.verify(r.store, SUBAGENT.run) == []


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("coding", CODINGS)
async def test_the_end_waits_for_the_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: str, coding: str
) -> None:
    # Even of an answer that could go out whole.
    monkeypatch.setattr(Answering, "whole", False)
    recordings = of(protocol)

    async def named(asked: Asked, writer: asyncio.StreamWriter) -> None:
        name = asked.line.split(b" ")[1].rpartition(b"name=")[2].decode()
        await plays(RECORDINGS[name], "events", coding)(asked, writer)

    async with rig(tmp_path, named, protocol=protocol) as r:

        async def one(recording: Recording) -> tuple[bytes, bytes]:
            client = await r.client()
            path = f"{recording.path}?name={recording.name}"
            await client.ask(path=path, body=b"{}", headers=f"authorization: Bearer {KEY}\r\n")
            early = await what_comes(client, first=30)
            here[recording.name].set()
            await unlocked.wait()
            return early, await what_comes(client, first=30)

        here, unlocked = {recording.name: asyncio.Event() for recording in recordings}, asyncio.Event()
        tasks = {recording.name: asyncio.create_task(one(recording)) for recording in recordings}
        with locked(r.store.path):
            for event in here.values():
                await event.wait()
            assert r.calls() == []
        unlocked.set()
        for name, task in tasks.items():
            early, late = await task
            # The head was there, and of the body all but the end.
            assert early.startswith(b"HTTP/1.1 ") and late.endswith(LAST_CHUNK), name
            recording = RECORDINGS[name]
            if recording.streamed and not coding:
                assert dechunked(early) == recording.body[: recording.end_at], name
                assert dechunked(early) + dechunked(b"\r\n\r\n" + late) == recording.body, name
        assert [call.ended is not None for call in r.calls()] == [True] * len(recordings)


def dechunked(data: bytes) -> bytes:
    """The body of an answer in chunks, as far as it came."""
    left, out = data.partition(b"\r\n\r\n")[2], b""
    while left:
        size, _, left = left.partition(b"\r\n")
        out += left[: int(size, 16)]
        left = left[int(size, 16) + 2 :]
    return out


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_faults_query_string_dropped_and_repeated_headers_joined(tmp_path: Path, protocol: str) -> None:
    recording = of(protocol)[0]
    head = b"x-ratelimit: 1\r\nx-ratelimit: 2\r\nset-cookie: a=1\r\n"
    async with rig(tmp_path, plays(recording, "events", "", head=head), protocol=protocol) as r:
        client = await r.client()
        headers = f"authorization: Bearer {KEY}\r\nx-beta: one\r\nx-beta: two\r\nx-unknown:  kept \r\n"
        path = recording.path + "?beta=true&&a=%20b+c&a="
        await client.ask(path=path, body=b'{"unknown_field": 1.50,  "model":"m"}', headers=headers)
        _, got, body, proper = await client.answer()
        assert (body, proper) == (recording.body, True)
        assert [value for name, value in got if name == b"x-ratelimit"] == [b"1", b"2"]
        assert r.provider.asked[0].line == f"POST {path} HTTP/1.1".encode()
        assert [value for name, value in r.provider.asked[0].headers if name == b"x-beta"] == [b"one", b"two"]
        assert r.provider.asked[0].body == b'{"unknown_field": 1.50,  "model":"m"}'
        assert KEY.encode() not in r.provider.asked[0].head and b"real" in r.provider.asked[0].head


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_fault_invalid_unicode_stops_the_queue(tmp_path: Path, protocol: str) -> None:
    recording = of(protocol)[0]
    conversation = {"anthropic": "messages", "openai": "messages", "gemini": "contents"}[protocol]
    bodies = [
        b'{"%s":[{"role":"user","content":"half: \\ud83d","parts":[{"text":"\\ud83d"}]}]}' % conversation.encode(),
        b'{"%s":[{"role":"user","content":"\xff\xfe","parts":[]}]}' % conversation.encode(),
        b"\x00",
    ]
    async with rig(tmp_path, plays(recording, "events", ""), protocol=protocol) as r:
        for body in bodies:
            client = await r.client()
            await client.ask(path=recording.path, body=body, headers=f"authorization: Bearer {KEY}\r\n")
            assert (await client.answer())[3]
        assert [asked.body for asked in r.provider.asked] == bodies
        assert [call.complete for call in r.calls()] == [True] * len(bodies)
        assert tapes.verify(r.store, SUBAGENT.run) == []
