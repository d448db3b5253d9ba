"""A tape in the provider's place: what a client got the first time, to the byte, and never a word to the network."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from sqlalchemy import Connection

from backends.proxy import Proxy, Tape, Timeouts, Upstream, serve
from backends.proxy.answering import Answerer
from store import keys, runs, tapes
from store.database import Store
from store.domain.ids import SubagentId
from store.domain.matching import Request
from store.domain.replay import OnMismatch, Replay
from store.domain.tape import Call
from store.tapes import CallEnd, CallStart, new_call_id
from tests.proxyrig import (
    ASK,
    JSON,
    KEY,
    LAST_CHUNK,
    OTHER_KEY,
    PRICES,
    STREAM,
    SUBAGENT,
    Asked,
    Handler,
    Rig,
    chunk,
    fixed,
    provided,
    recorded,
    rig,
    split,
    streamed,
    until,
    whole,
)

pytestmark = pytest.mark.filterwarnings("ignore:The model 'claude:DeprecationWarning")

AGAIN, OTHER_AGAIN = SubagentId("7k3ac", 2, 3), SubagentId("7k3ac", 2, 4)
AGAIN_KEY, OTHER_AGAIN_KEY = "mt-" + "c" * 32, "mt-" + "d" * 32
PLAYED = Replay(SUBAGENT.run)
LIVE = Replay(SUBAGENT.run, OnMismatch.LIVE)
NEVER = whole(b"200 OK", b'{"from": "the network"}')


def prepare(connection: Connection) -> None:
    runs.create(connection, AGAIN.run, "a replay", at=2.0)
    keys.mint(connection, AGAIN, AGAIN_KEY, at=2.0)
    keys.mint(connection, OTHER_AGAIN, OTHER_AGAIN_KEY, at=2.0)


@asynccontextmanager
async def playing(
    r: Rig, replay: Replay = PLAYED, handler: Handler = NEVER, *, protocol: str = "anthropic", again: bool = False
) -> AsyncIterator[Rig]:
    """Another proxy on the same store, with the first one's tape, and a provider of its own that counts."""
    if not again:
        r.store.write(prepare)
    async with provided(handler) as provider:
        proxy = Proxy(
            r.store,
            upstreams={protocol: Upstream(provider.base_url, "real", protocol)},
            prices=PRICES,
            tape=Tape(r.store, replay, into=AGAIN.run),
        )
        async with serve(proxy) as address:
            made = Rig(r.store, proxy, provider, address.port, r.tail)
            try:
                yield made
            finally:
                for client in made.clients:
                    client.close()


def again(r: Rig) -> list[Call]:
    """The calls of the replay."""
    return tapes.calls(r.store, run=AGAIN.run)


async def ask(
    r: Rig, key: str, body: bytes = ASK, *, method: str = "POST", path: str = "/v1/messages", headers: str = ""
) -> tuple[int, list[tuple[bytes, bytes]], bytes, bool]:
    client = await r.client()
    await client.ask(method, path, body, f"x-api-key: {key}\r\n{headers}")
    return await client.answer()


def each(*handlers: Handler) -> Handler:
    """Answers with one handler after another."""
    left = list(handlers)

    async def handler(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await left.pop(0)(asked, writer)

    return handler


ANSWERS: dict[str, tuple[Handler, str, str, bytes]] = {
    "stream": (streamed(recorded("thinking.sse")), "POST", "/v1/messages?beta=true", ASK),
    "gzip": (streamed(recorded("tools.sse"), encoding="gzip"), "POST", "/v1/messages", ASK),
    "zstd": (streamed(recorded("text.sse"), encoding="zstd"), "POST", "/v1/messages", ASK),
    "body": (whole(b"200 OK", recorded("message.json")), "POST", "/v1/messages", ASK),
    "count": (whole(b"200 OK", recorded("count_tokens.json")), "POST", "/v1/messages/count_tokens", ASK),
    "probe": (fixed(b"200 OK", b"content-length: 25\r\nx-seen: yes\r\n"), "HEAD", "/", b""),
    "models": (whole(b"200 OK", recorded("models.json")), "GET", "/v1/models?limit=5", b""),
    "missing": (whole(b"404 Not Found", b"{}"), "GET", "/v1/nowhere", b""),
    "busy": (whole(b"529 Overloaded", recorded("overloaded.json"), b"retry-after: 3\r\n" + JSON), "POST", "/v1/x", ASK),
    "error": (streamed(recorded("error.sse")), "POST", "/v1/messages", ASK),
    "cut": (streamed(recorded("text.sse")[:400], cut=True), "POST", "/v1/messages", ASK),
    "short": (fixed(b"200 OK", JSON + b"content-length: 99\r\n", b'{"a":', close=True), "POST", "/v1/messages", ASK),
    "unended": (streamed(b"".join(split(recorded("text.sse"))[:-1])), "POST", "/v1/messages", ASK),
    "nothing": (fixed(b"204 No Content", b"x-seen: yes\r\n"), "DELETE", "/v1/files/file_1", b""),
    "repeated": (
        fixed(b"200 OK", b"x-a: 1\r\nx-b: 2\r\nx-a: 3\r\ncontent-length: 2\r\n", b"{}"),
        "POST",
        "/v1/files",
        b"--abcdefgh12345\r\nfile\r\n--abcdefgh12345--\r\n",
    ),
}


@pytest.mark.parametrize("what", ANSWERS)
async def test_what_was_answered_is_answered_again(tmp_path: Path, what: str) -> None:
    handler, method, path, body = ANSWERS[what]
    async with rig(tmp_path, handler) as r:
        first = await ask_as(r, KEY, method, path, body)
        call = await r.call()
        async with playing(r) as p:
            assert await ask_as(p, AGAIN_KEY, method, path, body) == first
            assert p.provider.asked == []
            played = await until(lambda: next((c for c in again(r) if c.ended is not None), None))
        same = (
            "status",
            "error",
            "complete",
            "stop_reason",
            "usage",
            "response_headers",
            "response",
            "model",
            "stream",
        )
        assert [getattr(played, name) for name in same] == [getattr(call, name) for name in same]
        assert (played.source, played.subagent, played.notes) == (f"tape:{call.id}", AGAIN, ())
        assert played.usd == 0.0, "what comes from a tape costs nothing"
        assert played.answer == call.answer


async def ask_as(r: Rig, key: str, method: str, path: str, body: bytes) -> Any:
    if method != "HEAD":
        return await ask(r, key, body, method=method, path=path)
    client = await r.client()
    await client.ask(method, path, body, f"x-api-key: {key}\r\n")
    return await client.head()


async def test_who_could_not_be_reached_is_not_reached_again(tmp_path: Path) -> None:
    async def silent(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await asked.gone.wait()

    async def gone(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with rig(tmp_path, each(silent, gone), timeouts=Timeouts(silence=0.2)) as r:
        first = [await ask(r, KEY) for _ in range(2)]
        assert [status for status, *_ in first] == [504, 502]
        async with playing(r) as p:
            assert [await ask(p, AGAIN_KEY) for _ in range(2)] == first
            assert p.provider.asked == []
        assert [call.error for call in again(r)] == [call.error for call in r.calls()[:2]]


async def test_tries_are_answered_as_they_were_then_try_for_try(tmp_path: Path) -> None:
    busy = whole(b"429 Too Many Requests", recorded("rate-limited.json"), b"retry-after: 0\r\n" + JSON)
    tries = each(busy, whole(b"529 Overloaded", recorded("overloaded.json")), streamed(recorded("hello.sse")))
    async with rig(tmp_path, tries) as r:
        asked: Any = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Why?"}]}

        async def said(r: Rig, key: str) -> Any:
            client = anthropic.AsyncAnthropic(api_key=key, base_url=r.base_url, max_retries=4)
            async with client, client.messages.stream(**asked) as stream:
                return await stream.get_final_message()

        first = await said(r, KEY)
        async with playing(r) as p:
            second = await said(p, AGAIN_KEY)
            assert p.provider.asked == []
        assert first.to_dict() == second.to_dict()
        assert [call.status for call in again(r)] == [429, 529, 200]
        assert [call.source for call in again(r)] == [
            f"tape:{call.id}" for call in tapes.calls(r.store, subagent=SUBAGENT)
        ]


@pytest.mark.parametrize("name", ["chat-text", "chat-tools", "responses-text", "responses-tools"])
async def test_openais_sdk_cannot_tell(tmp_path: Path, name: str) -> None:
    async def events(r: Rig, key: str) -> list[Any]:
        base = f"{r.base_url}/openai/v1"
        async with openai.AsyncOpenAI(api_key=key, base_url=base, max_retries=0) as client:
            if name.startswith("chat"):
                said: Any = [{"role": "user", "content": "Why?"}]
                stream: Any = await client.chat.completions.create(model="gpt-4.1", messages=said, stream=True)
            else:
                stream = await client.responses.create(model="gpt-5", input="Why?", stream=True)
            return [event.to_dict() async for event in stream]

    async with rig(tmp_path, streamed(recorded(f"{name}.sse")), protocol="openai") as r:
        first = await events(r, KEY)
        async with playing(r, protocol="openai") as p:
            assert await events(p, AGAIN_KEY) == first
            assert p.provider.asked == []
        (call,) = again(r)
        assert tapes.response(r.store, call) == recorded(f"{name}.sse")


async def test_each_subagent_has_its_own_tape(tmp_path: Path) -> None:
    handlers = [streamed(recorded(f"{name}.sse")) for name in ("text", "thinking", "tools", "hello")]
    async with rig(tmp_path, each(*handlers)) as r:
        mine = [(await ask(r, KEY))[2]]
        others = [(await ask(r, OTHER_KEY))[2]]
        mine.append((await ask(r, KEY))[2])
        others.append((await ask(r, OTHER_KEY))[2])
        async with playing(r) as p:
            assert [(await ask(p, OTHER_AGAIN_KEY))[2] for _ in range(2)] == others
            assert [(await ask(p, AGAIN_KEY))[2] for _ in range(2)] == mine


async def test_what_is_not_on_the_tape_is_refused_with_the_difference(tmp_path: Path) -> None:
    async with rig(tmp_path, streamed(recorded("text.sse"))) as r:
        await ask(r, KEY)
        other = ASK.replace(b"Why?", b"How?\x7f")
        async with playing(r) as p:
            async with anthropic.AsyncAnthropic(api_key=AGAIN_KEY, base_url=p.base_url, max_retries=3) as client:
                with pytest.raises(anthropic.BadRequestError) as caught:
                    await client.messages.create(**json.loads(other.replace(b'"stream":true,', b'"stream":false,')))
            # `stream` is another one as well.
            error: Any = caught.value.body
            assert error["error"]["type"] == "invalid_request_error"
            assert "it is not on the tape of run 7k3ab" in error["error"]["message"]
            assert "- content: Why?\n+ content: How?␡" in error["error"]["message"]
            assert p.provider.asked == []
        (call,) = again(r)
        assert (call.status, call.source, call.error) == (None, "", "it is not on the tape of run 7k3ab")
        assert "- content: Why?\n+ content: How?␡" in call.notes[0]


async def test_each_call_answers_once(tmp_path: Path) -> None:
    async with rig(tmp_path, streamed(recorded("text.sse"))) as r:
        await ask(r, KEY)
        async with playing(r) as p:
            assert (await ask(p, AGAIN_KEY))[0] == 200
            status, _, body, _ = await ask(p, AGAIN_KEY)
            assert status == 400
            assert b"Nothing is left there" in body
            assert p.provider.asked == []


async def test_where_misses_go_live_they_are_recorded_with_the_difference(tmp_path: Path) -> None:
    async with rig(tmp_path, streamed(recorded("text.sse"))) as r:
        await ask(r, KEY)
        async with playing(r, LIVE, streamed(recorded("hello.sse"))) as p:
            other = ASK.replace(b"Why?", b"How?")
            assert (await ask(p, AGAIN_KEY, other))[2] == recorded("hello.sse")
            assert (await ask(p, AGAIN_KEY))[2] == recorded("text.sse")
            assert [asked.body for asked in p.provider.asked] == [other]
        live, played = again(r)
        assert (live.source, live.complete) == ("", True)
        assert live.notes[0].startswith("Asked live, for it is not on the tape of run 7k3ab.\n@@ body.messages[0]")
        assert played.source.startswith("tape:")


async def test_a_call_that_is_only_built_alike_answers_when_asked_to(tmp_path: Path) -> None:
    async with rig(tmp_path, streamed(recorded("text.sse"))) as r:
        await ask(r, KEY)
        (first,) = r.calls()
        async with playing(r, Replay(SUBAGENT.run, soft=True)) as p:
            assert (await ask(p, AGAIN_KEY, ASK.replace(b"user", b"assistant")))[0] == 400, "another role"
            assert (await ask(p, AGAIN_KEY, ASK.replace(b"Why?", b"How?")))[2] == recorded("text.sse")
            assert p.provider.asked == []
        _, soft = again(r)
        assert soft.source == f"tape:{first.id}"
        assert soft.notes[0].splitlines() == [
            "A call that is only alike has answered this one.",
            "@@ body.messages[0].content @@",
            "  max_tokens: 64",
            "- content: Why?",
            "+ content: How?",
            "  role: user",
            "  model: claude-sonnet-4-5",
        ]


async def test_the_pace_is_that_of_the_recording(tmp_path: Path) -> None:
    events = split(recorded("text.sse"))

    async def slowly(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n" + STREAM + b"\r\n")
        for event in events:
            writer.write(chunk(event))
            await writer.drain()
            # Until the client has it: so it comes in a piece of its own.
            while event not in b"".join(seen) and event is not events[-1]:  # noqa: ASYNC110 - a list tells nobody
                await asyncio.sleep(0.001)
        writer.write(LAST_CHUNK)

    seen: list[bytes] = []

    async def pieces(r: Rig, key: str) -> list[bytes]:
        client = await r.client()
        await client.ask(headers=f"x-api-key: {key}\r\n")
        await client.head()
        out: list[bytes] = []
        while sum(map(len, out)) < len(recorded("text.sse")):
            out.append(await client.one_chunk())
            seen.append(out[-1])
        return out

    async with rig(tmp_path, slowly) as r:
        first = await pieces(r, KEY)
        assert len(first) > 3
        call = await r.call()
        async with playing(r, Replay(SUBAGENT.run, paced=True)) as p:
            assert await pieces(p, AGAIN_KEY) == first
        async with playing(r, LIVE, again=True) as p:
            assert (await ask(p, AGAIN_KEY))[2] != b"".join(first), "used already"
        # Where the times of the pieces were not kept, they are those of the whole.
        r.execute(
            f"UPDATE calls SET timing = NULL, first_byte = started + 0.05, ended = started + 0.5 WHERE id = '{call.id}'"
        )
        r.execute(f"DELETE FROM calls WHERE run = '{AGAIN.run}'")
        async with playing(r, Replay(SUBAGENT.run, paced=True), again=True) as p:
            assert b"".join(evenly := await pieces(p, AGAIN_KEY)) == b"".join(first)
            assert len(evenly) > 3
        (again_,) = again(r)
        assert again_.timing is not None


async def test_what_our_own_side_ended_is_left_out(tmp_path: Path) -> None:
    async def stalls(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n" + STREAM + b"\r\n" + chunk(split(recorded("text.sse"))[0]))
        await writer.drain()
        await asked.gone.wait()

    async with rig(tmp_path, each(stalls, stalls, streamed(recorded("hello.sse")))) as r:
        client = await r.client()
        await client.ask()
        await client.head()
        client.close()
        assert (await r.call()).error == "the client hung up"
        client = await r.client()
        await client.ask()
        await client.head()
        r.proxy.cut(SUBAGENT)
        assert (await r.call(1)).error == "the subagent was killed"
        await ask(r, KEY)
        async with playing(r) as p:
            assert (await ask(p, AGAIN_KEY))[2] == recorded("hello.sse")


async def test_what_was_used_is_told_by_the_record(tmp_path: Path) -> None:
    async with rig(tmp_path, each(*[streamed(recorded(f"{name}.sse")) for name in ("text", "tools", "hello")])) as r:
        for _ in range(3):
            await ask(r, KEY)
        _, second, third = r.calls()
        async with playing(r) as p:
            assert (await ask(p, AGAIN_KEY))[2] == recorded("text.sse")
        # An engine that was killed left the second open: its answer reached nobody.
        start = CallStart(new_call_id(9.0, b"12345"), 9.0, AGAIN.run, AGAIN, "anthropic", "POST", "/v1/messages", ASK)
        start = start._replace(source=f"tape:{second.id}")
        r.store.write(lambda connection: tapes.open_call(connection, start))
        r.store.write(lambda connection: tapes.orphans(connection, AGAIN.run, 10.0))
        async with playing(r, again=True) as p:
            assert (await ask(p, AGAIN_KEY))[2] == recorded("tools.sse")
            assert (await ask(p, AGAIN_KEY))[2] == recorded("hello.sse")
            assert (await ask(p, AGAIN_KEY))[0] == 400
        assert third.id in again(r)[-2].source


async def test_a_client_that_is_no_subagent_has_the_whole_tape(tmp_path: Path) -> None:
    async with rig(tmp_path, each(streamed(recorded("text.sse")), streamed(recorded("tools.sse")))) as r:
        await ask(r, KEY)
        await ask(r, OTHER_KEY)
        r.store.write(prepare)
        async with provided(NEVER) as provider:
            tape = Tape(r.store, PLAYED, into=AGAIN.run)
            upstreams = {"anthropic": Upstream(provider.base_url, own_key=True)}
            async with serve(Proxy(r.store, upstreams=upstreams, open_to=AGAIN.run, tape=tape)) as address:
                p = Rig(r.store, r.proxy, provider, address.port, r.tail)
                assert [(await ask(p, "sk-own"))[2] for _ in range(2)] == [recorded("text.sse"), recorded("tools.sse")]
                assert (await ask(p, "sk-own"))[0] == 400
                for client in p.clients:
                    client.close()
            assert provider.asked == []
        assert [call.subagent for call in again(r)] == [None] * 3


def taped(store: Store, calls: Sequence[tuple[str, bytes, str]]) -> list[str]:
    """Record calls of the subagent: the thread, the body, and whose behalf they were made on."""
    ids = []
    for number, (thread, body, parent) in enumerate(calls):
        at = 100.0 + number
        start = CallStart(
            id=new_call_id(at, b"%05d" % number),
            at=at,
            run=SUBAGENT.run,
            subagent=SUBAGENT,
            provider="anthropic",
            method="POST",
            path="/v1/messages",
            body=body,
            thread=thread,
            parent=parent or None,
        )
        end = CallEnd(start.id, at + 0.5, 200, complete=True, response=b"{}")
        store.write(partial(tapes.record_call, start=start, end=end))
        ids.append(start.id)
    return ids


async def test_threads_and_calls_on_anothers_behalf(tmp_path: Path) -> None:
    """Children with the same prompt play one recorded child each, whatever they are called; a call that was made on
    another's behalf is no client's."""

    def live(notes: Sequence[str]) -> Answerer:
        raise AssertionError("asked live")

    async with rig(tmp_path, NEVER) as r:
        r.store.write(prepare)
        more = ASK.replace(b"Why?", b"And then?")
        ids = taped(
            r.store,
            [
                ("", ASK, "somebody"),
                ("", ASK, ""),
                ("a1", ASK, ""),
                ("b1", ASK, ""),
                ("a1", more, ""),
                ("b1", more, ""),
            ],
        )
        tape = Tape(r.store, PLAYED, into=AGAIN.run)
        asks = [("x", ASK), ("y", ASK), ("", ASK), ("y", more), ("x", more)]
        sources = [
            tape.answerer(Request("POST", "/v1/messages", json.loads(body)), AGAIN, thread, live).source
            for thread, body in asks
        ]
        assert sources == [f"tape:{ids[place]}" for place in (2, 3, 1, 5, 4)]
        assert tape.over(AGAIN)
        tape.rewind(AGAIN)
        assert not tape.over(AGAIN)


async def test_a_compressed_request_is_compared_by_what_it_says(tmp_path: Path) -> None:
    async with rig(tmp_path, streamed(recorded("text.sse"))) as r:
        await ask(r, KEY, gzip.compress(ASK), headers="content-encoding: gzip\r\n")
        async with playing(r) as p:
            assert (await ask(p, AGAIN_KEY))[2] == recorded("text.sse")


async def test_a_tape_that_cannot_be_read_answers_nothing(tmp_path: Path) -> None:
    async with rig(tmp_path, streamed(recorded("text.sse"))) as r:
        await ask(r, KEY)
        (call,) = r.calls()
        r.execute(f"DELETE FROM blobs WHERE digest = '{call.parameters}'")
        async with playing(r) as p:
            status, _, body, _ = await ask(p, AGAIN_KEY)
            assert (status, json.loads(body)["error"]["type"]) == (400, "invalid_request_error")
            assert b"as far as that can be read" in body
            assert p.provider.asked == []
