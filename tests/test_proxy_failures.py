"""What goes wrong is answered in the provider's own words, and is on the tape like anything else."""

import asyncio
import gc
import json
import socket
import struct
from pathlib import Path

import pytest

from backends.proxy import Proxy, Refusal, Timeouts, Upstream, serve
from store import events, tapes
from store.database import open_store
from store.domain.events import Alert
from store.domain.ids import SubagentId
from tests.proxyrig import (
    ASK,
    JSON,
    LAST_CHUNK,
    OTHER,
    OTHER_KEY,
    STREAM,
    SUBAGENT,
    Asked,
    Client,
    Handler,
    chunk,
    fixed,
    prepared,
    recorded,
    rig,
    split,
    streamed,
    until,
    whole,
)

TEXT = recorded("text.sse")


def kind_of(body: bytes) -> str:
    """The kind of an error in the provider's form."""
    value = json.loads(body)
    assert value["type"] == "error" and value["error"]["message"]
    return str(value["error"]["type"])


@pytest.mark.parametrize(
    ("status", "name", "error"),
    [
        (529, "overloaded", "overloaded_error: Overloaded"),
        (
            429,
            "rate-limited",
            "rate_limit_error: This request would exceed your organization’s rate limit of 40,000 input",
        ),
        (500, "overloaded", "overloaded_error: Overloaded"),
    ],
)
async def test_fault_only_http_200_recorded(tmp_path: Path, status: int, name: str, error: str) -> None:
    body = recorded(f"{name}.json")
    headers = JSON + b"retry-after: 7\r\nx-should-retry: true\r\nrequest-id: req_9\r\n"
    async with rig(tmp_path, whole(b"%d Whatever" % status, body, headers)) as r:
        client = await r.client()
        await client.ask()
        got, answered, bytes_, proper = await client.answer()
        assert (got, bytes_, proper) == (status, body, True)
        assert {(b"retry-after", b"7"), (b"x-should-retry", b"true"), (b"request-id", b"req_9")} <= set(answered)
        call = await r.call()
        assert (call.status, call.complete) == (status, True)
        assert call.error.startswith(error)
        assert tapes.response(r.store, call) == body
        # It was asked once: trying again is the client's to decide.
        assert len(r.provider.asked) == 1


async def test_an_error_that_is_no_json_is_recorded(tmp_path: Path) -> None:
    async with rig(
        tmp_path, whole(b"502 Bad Gateway", b"<html>bad gateway</html>", b"content-type: text/html\r\n")
    ) as r:
        client = await r.client()
        await client.ask()
        assert (await client.answer())[2] == b"<html>bad gateway</html>"
        call = await r.call()
        assert (call.status, call.complete, call.error) == (502, True, "HTTP 502: bad gateway")


async def test_a_connection_that_is_reset_is_reported_once(tmp_path: Path) -> None:
    """The provider dies in the middle of an answer: that is on the tape, and asyncio has nothing to add."""
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))

    async def handler(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n" + JSON + b'content-length: 999\r\n\r\n{"type":')
        await writer.drain()
        await begun.wait()
        # Closed so, the connection is reset, as it is when a process dies with bytes unread.
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    begun = asyncio.Event()
    async with rig(tmp_path, handler) as r:
        client = await r.client()
        await client.ask()
        answering = asyncio.create_task(client.answer())
        await until(lambda: r.provider.asked or None)
        begun.set()
        assert not (await answering)[3]
        assert (await r.call()).error.startswith("the provider's answer broke off: ")
    gc.collect()
    assert not reported


async def test_a_connection_that_is_refused(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with prepared(tmp_path / "store.sqlite3") as store:
            async with serve(Proxy(store, upstreams={"anthropic": Upstream(url, "real")})) as address:
                client = Client(*await asyncio.open_connection(address.host, address.port))
                await client.ask()
                status, _, body, _ = await client.answer()
                assert (status, kind_of(body)) == (502, "api_error")
                client.close()
            (call,) = tapes.calls(store)
            assert (call.status, call.complete, call.response) == (None, False, None)
            assert call.error.startswith("the provider could not be reached: ")
            assert tapes.request(store, call) == json.loads(ASK)


async def test_a_provider_that_says_nothing(tmp_path: Path) -> None:
    async def silent(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await asked.gone.wait()

    async with rig(tmp_path, silent, timeouts=Timeouts(silence=0.2)) as r:
        client = await r.client()
        await client.ask()
        status, _, body, _ = await client.answer()
        assert (status, kind_of(body)) == (504, "timeout_error")
        call = await r.call()
        assert call.status is None and call.error.startswith("the provider did not answer in time")


async def test_a_provider_that_falls_silent(tmp_path: Path) -> None:
    first = split(TEXT)[0]

    async def falls_silent(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n" + STREAM + b"\r\n" + chunk(first))
        await asked.gone.wait()

    async with rig(tmp_path, falls_silent, timeouts=Timeouts(silence=0.2)) as r:
        client = await r.client()
        await client.ask()
        assert (await client.answer())[2:] == (first, False)
        call = await r.call()
        assert (call.status, call.complete) == (200, False)
        assert call.error.startswith("the provider's answer broke off")
        assert tapes.response(r.store, call) == first


async def test_fault_a_total_timeout_cuts_long_streams(tmp_path: Path) -> None:
    async def slowly(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n" + STREAM + b"\r\n")
        for event in split(TEXT):
            writer.write(chunk(event))
            await asyncio.sleep(0.08)
        writer.write(LAST_CHUNK)

    # Three times as long as either limit: those are for silence.
    async with rig(tmp_path, slowly, timeouts=Timeouts(connect=0.4, silence=0.4)) as r:
        client = await r.client()
        await client.ask()
        assert (await client.answer())[2:] == (TEXT, True)


@pytest.mark.parametrize(
    ("handler", "came"),
    [
        (streamed(TEXT.removesuffix(split(TEXT)[-1]), cut=True), TEXT.removesuffix(split(TEXT)[-1])),
        (fixed(b"200 OK", STREAM, chunk(TEXT[:700]), b"100\r\nhalf a chu", close=True), TEXT[:700] + b"half a chu"),
        (fixed(b"200 OK", JSON + b"content-length: 500\r\n", b'{"half": ', close=True), b'{"half": '),
        (
            fixed(b"200 OK", STREAM + b"content-encoding: gzip\r\n", chunk(b"\x1f\x8bgarbage"), close=True),
            b"\x1f\x8bgarbage",
        ),
    ],
    ids=["stream", "chunk", "length", "gzip"],
)
async def test_an_answer_that_the_provider_cuts(tmp_path: Path, handler: Handler, came: bytes) -> None:
    async with rig(tmp_path, handler) as r:
        client = await r.client()
        await client.ask()
        status, _, got, proper = await client.answer()
        assert (status, got, proper) == (200, came, False)
        call = await r.call()
        assert (call.status, call.complete) == (200, False)
        assert call.error.startswith("the provider's answer broke off")
        assert tapes.response(r.store, call) == came


async def test_an_answer_whose_framing_breaks(tmp_path: Path) -> None:
    seen = asyncio.Event()

    async def breaks(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n" + STREAM + b"\r\n" + chunk(split(TEXT)[0]))
        await seen.wait()
        writer.write(b"zz\r\nno length\r\n")

    async with rig(tmp_path, breaks) as r:
        client = await r.client()
        await client.ask()
        await client.head()
        assert await client.one_chunk() == split(TEXT)[0]
        seen.set()
        assert await client.chunks() == ([], False)
        call = await r.call()
        assert not call.complete and call.error.startswith("the provider's answer broke off")
        assert tapes.response(r.store, call) == split(TEXT)[0]


async def test_what_came_of_a_message_that_was_cut_is_readable(tmp_path: Path) -> None:
    async with rig(tmp_path, streamed(b"".join(split(TEXT)[:5]), cut=True)) as r:
        client = await r.client()
        await client.ask()
        await client.answer()
        call = await r.call()
        answer = tapes.answer(r.store, call)
        assert answer is not None
        assert answer.message["content"] == [{"type": "text", "text": "The retry in `reserve()` is not"}]
        # What was reported before the cut is charged.
        assert call.usage.input == 412 and call.usd is not None and call.usd > 0


@pytest.mark.parametrize(
    "wire", [b"", b"HTTP/1.1 200 OK\r\ncontent-le", b"this is no HTTP\r\n\r\n", b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n"]
)
async def test_an_answer_that_is_no_http(tmp_path: Path, wire: bytes) -> None:
    async def garbage(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(wire)
        writer.close()

    async with rig(tmp_path, garbage) as r:
        client = await r.client()
        await client.ask()
        status, _, body, _ = await client.answer()
        assert (status, kind_of(body)) == (502, "api_error")
        call = await r.call()
        assert (call.status, call.complete) == (None, False)


@pytest.mark.parametrize(
    ("handler", "error"),
    [
        (whole(b"200 OK", b'{"type": "message", "content": [tru'), "the body is no JSON object"),
        (whole(b"200 OK", b"[1, 2]"), "the body is no JSON object"),
        (whole(b"200 OK", b"\xff\xfe\x00"), "the body is no JSON object"),
        (whole(b"200 OK", b"[" * 100_000), "the body is no JSON object"),
        (streamed(b"event: message_start\ndata: {nonsense\n\n"), "an event 'message_start' is no JSON object"),
        (
            streamed(b'event: content_block_delta\ndata: {"delta": 7}\n\n'),
            "an event 'content_block_delta' is not of the",
        ),
        (streamed(b"no event at all"), "the answer ended before its end"),
        (fixed(b"200 OK", STREAM, LAST_CHUNK), "the answer ended before its end"),
    ],
)
async def test_an_answer_that_is_malformed_passes_and_is_recorded(tmp_path: Path, handler: Handler, error: str) -> None:
    async with rig(tmp_path, handler) as r:
        client = await r.client()
        await client.ask()
        status, _, body, proper = await client.answer()
        assert (status, proper) == (200, True)
        call = await r.call()
        assert not call.complete and call.error.startswith(error)
        assert tapes.response(r.store, call) == body


async def test_all_of_an_answer_that_is_something_else(tmp_path: Path) -> None:
    async with rig(tmp_path, whole(b"200 OK", b'{"ok": true}')) as r:
        client = await r.client()
        await client.ask()
        assert (await client.answer())[2] == b'{"ok": true}'
        call = await r.call()
        assert (call.complete, call.error, call.usage.total) == (True, "the body is no message", 0)


@pytest.mark.parametrize(
    "body",
    [
        b"{not json",
        b"\xff\xfe\xfd",
        b'{"model": "m", "messages": "no list"}',
        b'{"model": 7, "messages": [1, null]}',
        b'{"model": "m", "messages": [{"role": "user", "content": "half a pair: \\ud83d"}]}',
        b'{"model": "m", "model": "n", "messages": [{"role": "user", "content": "a"}]}',
        b'{"model": "m", "messages": [{"role": "user", "content": "a"}], "n": 123456789012345678901234567890}',
    ],
)
async def test_fault_invalid_unicode_stops_the_queue(tmp_path: Path, body: bytes) -> None:
    """Nor does anything else that a client may send."""
    async with rig(tmp_path, streamed(recorded("surrogate.sse"))) as r:
        client = await r.client()
        await client.ask(body=body)
        assert (await client.answer())[2:] == (recorded("surrogate.sse"), True)
        assert r.provider.asked[0].body == body
        await client.ask()
        assert (await client.answer())[3]
        first, second = r.calls()
        assert first.complete and second.complete
        assert tapes.verify(r.store, SUBAGENT.run) == []
        try:
            value = json.loads(body)
        except ValueError:
            value = None
        # A request that can't be taken apart without loss is kept as its bytes.
        kept = tapes.request_body(r.store, first)
        assert kept == body or (value is not None and tapes.request(r.store, first) == value)


async def test_fault_a_client_that_hangs_up_loses_the_turn(tmp_path: Path) -> None:
    first, second, *_ = split(TEXT)

    async def stalls(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n" + STREAM + b"\r\n" + chunk(first) + chunk(second))
        await asked.gone.wait()

    async with rig(tmp_path, stalls) as r:
        client = await r.client()
        await client.ask()
        await client.head()
        await client.one_chunk()
        client.close()
        # The provider is told to stop: nobody pays for what nobody reads.
        await asyncio.wait_for(r.provider.asked[0].gone.wait(), 30)
        call = await r.call()
        assert (call.status, call.complete, call.error) == (200, False, "the client hung up")
        assert tapes.response(r.store, call) == first + second


async def test_a_client_that_hangs_up_before_the_first_byte(tmp_path: Path) -> None:
    async def thinks(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await asked.gone.wait()

    async with rig(tmp_path, thinks) as r:
        client = await r.client()
        await client.ask()
        await until(lambda: r.provider.asked or None)
        client.close()
        await asyncio.wait_for(r.provider.asked[0].gone.wait(), 30)
        call = await r.call()
        assert (call.status, call.complete, call.error, call.response) == (None, False, "the client hung up", None)


async def test_a_request_that_never_becomes_whole_goes_nowhere(tmp_path: Path) -> None:
    async with rig(tmp_path, streamed(TEXT)) as r:
        client = await r.client()
        client.writer.write(
            f"POST /k/{OTHER_KEY}/v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n{{".encode()
        )
        await client.writer.drain()
        client.close()
        client = await r.client()
        await client.ask()
        assert (await client.answer())[3]
        assert len(r.provider.asked) == len(r.calls()) == 1


async def test_a_killed_subagents_calls_are_cut(tmp_path: Path) -> None:
    first = split(TEXT)[0]
    theirs = asyncio.Event()

    async def stalls(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n" + STREAM + b"\r\n" + chunk(first))
        await asyncio.wait(
            {asyncio.ensure_future(asked.gone.wait()), asyncio.ensure_future(theirs.wait())},
            return_when="FIRST_COMPLETED",
        )
        writer.write(chunk(TEXT.removeprefix(first)) + LAST_CHUNK)

    async with rig(tmp_path, stalls) as r:
        mine, other = await r.client(), await r.client()
        await mine.ask()
        await other.ask(path=f"/k/{OTHER_KEY}/v1/messages", headers="")
        for client in (mine, other):
            await client.head()
            assert await client.one_chunk() == first
        r.proxy.cut(SUBAGENT)
        assert await mine.chunks() == ([], False)
        theirs.set()
        assert (await other.chunks())[1]
        by = {call.subagent: call for call in r.calls()}
        assert (by[SUBAGENT].complete, by[SUBAGENT].error) == (False, "the subagent was killed")
        assert tapes.response(r.store, by[SUBAGENT]) == first
        assert by[OTHER].complete
        # Nothing is under way: cutting again does nothing.
        r.proxy.cut(SUBAGENT)


async def test_a_call_that_is_cut_before_it_was_answered_says_why(tmp_path: Path) -> None:
    async def thinks(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await asked.gone.wait()

    async with rig(tmp_path, thinks) as r:
        client = await r.client()
        await client.ask()
        await until(lambda: r.provider.asked or None)
        r.proxy.cut(SUBAGENT, "its budget is spent")
        status, _, body, _ = await client.answer()
        assert status == 503 and b"its budget is spent" in body
        assert (await r.call()).error == "its budget is spent"


async def test_leaving_records_what_is_under_way(tmp_path: Path) -> None:
    async def thinks(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await asked.gone.wait()

    with open_store(tmp_path / "store.sqlite3") as kept:
        async with rig(tmp_path, thinks) as r:
            client = await r.client()
            await client.ask()
            await until(lambda: r.provider.asked or None)
        (call,) = tapes.calls(kept)
        assert (call.ended is not None, call.error) == (True, "the engine stopped")


async def test_a_call_that_is_not_admitted_goes_nowhere_and_is_an_event(tmp_path: Path) -> None:
    asked: list[tuple[SubagentId, str]] = []

    def admit(subagent: SubagentId, model: str) -> Refusal | None:
        asked.append((subagent, model))
        return Refusal("the budget of 0.50 USD is spent", 402) if subagent == SUBAGENT else None

    async with rig(tmp_path, streamed(TEXT), admit=admit) as r:
        client = await r.client()
        await client.ask()
        status, headers, body, proper = await client.answer()
        assert (status, kind_of(body), proper) == (402, "billing_error", True)
        assert b"the budget of 0.50 USD is spent" in body
        assert (b"x-should-retry", b"false") in headers
        assert r.provider.asked == [] and r.calls() == []
        (event,) = [event for event in events.read(r.store) if isinstance(event.payload, Alert)]
        assert (event.subagent, event.payload) == (SUBAGENT, Alert("refused", "the budget of 0.50 USD is spent"))
        client = await r.client()
        await client.ask(path=f"/k/{OTHER_KEY}/v1/messages", headers="")
        assert (await client.answer())[0] == 200
        assert asked == [(SUBAGENT, "claude-sonnet-4-5"), (OTHER, "claude-sonnet-4-5")]


async def test_fault_the_queue_is_full_and_calls_are_dropped_silently(tmp_path: Path) -> None:
    async with rig(tmp_path, streamed(recorded("tools.sse"))) as r:

        async def one(number: int) -> None:
            client = await r.client()
            for turn in range(5):
                body = {
                    "model": "m",
                    "stream": True,
                    "messages": [{"role": "user", "content": f"{number}.{turn} " + "x" * 20_000}],
                }
                await client.ask(body=json.dumps(body).encode())
                assert (await client.answer())[2:] == (recorded("tools.sse"), True)

        await asyncio.gather(*map(one, range(30)))
        calls = r.calls()
        assert len(calls) == len(r.provider.asked) == 150
        assert all(call.complete for call in calls)
        assert len({call.request_digest for call in calls}) == 150


async def test_an_unpriced_model_is_recorded_without_a_price(tmp_path: Path) -> None:
    async with rig(tmp_path, streamed(TEXT.replace(b"claude-sonnet-4-5-20250929", b"scripted-debugger"))) as r:
        client = await r.client()
        await client.ask(body=ASK.replace(b"claude-sonnet-4-5", b"scripted-debugger"))
        await client.answer()
        call = await r.call()
        assert (call.model, call.usage.output, call.usd) == ("scripted-debugger", 58, None)
