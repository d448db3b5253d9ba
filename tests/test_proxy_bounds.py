"""What a client may hold of the proxy before anybody knows who it is, and after: bounded, so that others go on."""

import asyncio
import gzip
import json
from pathlib import Path

import pytest

from backends.proxy import Proxy, Upstream, serve
from backends.proxy.incoming import RefusedError, Share
from store import tapes
from store.domain.allowance import Allowance
from store.domain.ids import SubagentId
from tests.proxyrig import (
    ASK,
    JSON,
    KEY,
    OTHER_KEY,
    SUBAGENT,
    Asked,
    Client,
    compress,
    mint,
    prepared,
    provided,
    recorded,
    rig,
    until,
    whole,
)

MESSAGE = whole(b"200 OK", recorded("message.json"))
START = f"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\nx-api-key: {KEY}\r\n".encode()


async def works(r_client: Client) -> bool:
    """A whole call goes through."""
    await r_client.ask()
    return (await r_client.answer())[0] == 200


async def test_half_requests_hold_nobody_up_and_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.proxy.connection.HEAD_SECONDS", 0.5)
    monkeypatch.setattr("backends.proxy.incoming.BODY_SECONDS", 0.5)
    async with rig(tmp_path, MESSAGE) as r:
        halves = [b"", b"\r\n", b"POST /v1/mess", START[:-5], START, START + b"content-length: 100\r\n\r\n{"]
        slow = [await r.client() for _ in range(40)]
        for number, client in enumerate(slow):
            client.writer.write(halves[number % len(halves)])
        assert await works(await r.client())
        for number, client in enumerate(slow):
            said = await client.rest()
            assert (b"408" in said) is (number % len(halves) == len(halves) - 1)
        # One that is kept alive is held to it as well, from the first byte of its next request.
        client = await r.client()
        assert await works(client)
        client.writer.write(START)
        assert await client.rest() == b""
        assert len(r.calls()) == 2


async def test_a_head_that_never_ends_is_cut(tmp_path: Path) -> None:
    async with rig(tmp_path, MESSAGE) as r:
        client = await r.client()
        client.writer.write(START + b"x-a: ")
        try:
            for _ in range(100):
                client.writer.write(b"a" * 65_536)
                await client.writer.drain()
        except ConnectionError:
            pass
        assert (await client.head()).startswith(b"HTTP/1.1 431")
        assert await works(await r.client())


async def test_a_new_connection_takes_the_place_of_an_idle_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.proxy.connection.most_connections", lambda: 20)
    release = asyncio.Event()

    async def thinks(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        await MESSAGE(asked, writer)

    async with rig(tmp_path, thinks) as r:
        working = await r.client()
        await working.ask()
        await until(lambda: r.provider.asked or None)
        idle = [await r.client() for _ in range(60)]
        newest = await r.client()
        release.set()
        assert await works(newest)
        assert (await working.answer())[0] == 200

        def gone() -> int:
            return sum(client.reader.at_eof() or client.reader.exception() is not None for client in idle)

        await until(lambda: True if gone() >= 40 else None)


async def test_where_all_are_at_work_another_is_turned_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.proxy.connection.most_connections", lambda: 2)
    release = asyncio.Event()

    async def thinks(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        await MESSAGE(asked, writer)

    async with rig(tmp_path, thinks) as r:
        busy = [await r.client() for _ in range(2)]
        for client in busy:
            await client.ask()
        await until(lambda: True if len(r.provider.asked) == 2 else None)
        another = await r.client()
        assert (await another.head()).startswith(b"HTTP/1.1 503")
        release.set()
        for client in busy:
            assert (await client.answer())[0] == 200


async def test_a_body_that_still_comes_after_a_refusal_has_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backends.proxy.connection.LINGER_SECONDS", 0.3)
    async with rig(tmp_path, MESSAGE) as r:
        client = await r.client()
        client.writer.write(b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\n\r\nx")
        assert (await client.answer())[0] == 401
        assert await client.rest() == b""


def test_bodies_share_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.proxy.incoming.MOST_BODIES", 100)
    taken: dict[object, int] = {}
    one, two, other = Share(taken), Share(taken), Share(taken)
    one.client = two.client = SUBAGENT
    other.client = None
    one.take(60)
    other.take(90)
    with pytest.raises(RefusedError) as refused:
        two.take(50)
    assert (refused.value.status, refused.value.retry_after) == (429, 1.0)
    two.give_back()
    one.take(40)
    for share in (one, two, other, one):
        share.give_back()
    assert taken == {}


async def test_bodies_under_way_are_bounded_for_each_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.proxy.incoming.MOST_BODIES", 300_000)
    release = asyncio.Event()

    async def thinks(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        await MESSAGE(asked, writer)

    large = json.dumps({"model": "m", "messages": [], "x": "x" * 200_000}).encode()
    async with rig(tmp_path, thinks) as r:
        first, second, other = await r.client(), await r.client(), await r.client()
        await first.ask(body=large)
        await until(lambda: r.provider.asked or None)
        await second.ask(body=large)
        status, headers, body, _ = await second.answer()
        assert status == 429 and (b"retry-after", b"1") in headers and b"rate_limit_error" in body
        await other.ask(body=large, headers=f"x-api-key: {OTHER_KEY}\r\n")
        release.set()
        assert (await first.answer())[0] == (await other.answer())[0] == 200
        await second.ask(body=large)
        assert (await second.answer())[0] == 200


@pytest.mark.parametrize("encoding", ["gzip", "zstd", "br", "gzip, gzip"])
async def test_a_body_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backends.proxy.incoming.LARGEST_REQUEST", 1 << 20)
    bomb = bytes(20_000_000)
    for name in encoding.split(", "):
        bomb = compress(name, bomb)
    async with rig(tmp_path, MESSAGE) as r:
        client = await r.client()
        await client.ask(body=bomb, headers=f"x-api-key: {KEY}\r\ncontent-encoding: {encoding}\r\n")
        assert (await client.answer())[0] == 413
        assert r.provider.asked == [] and await works(client)


async def test_a_body_of_too_many_values_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small one that takes a hundred times its size when it is read."""
    monkeypatch.setattr("backends.proxy.incoming.UNCOUNTED", 1 << 20)
    monkeypatch.setattr("backends.proxy.incoming.MOST_VALUES", 500_000)
    many = gzip.compress(b'{"messages":[' + b"[]," * 400_000 + b"[]]}")
    async with rig(tmp_path, MESSAGE) as r:
        client = await r.client()
        await client.ask(body=many, headers=f"x-api-key: {KEY}\r\ncontent-encoding: gzip\r\n")
        assert (await client.answer())[0] == 413
        text = json.dumps(
            {"model": "m", "messages": [{"role": "user", "content": "a, [b] {c}" * 50_000 + "x" * 10**6}]}
        )
        await client.ask(body=text.encode())
        assert (await client.answer())[0] == 200


async def test_a_key_may_be_tied_to_an_address(tmp_path: Path) -> None:
    tied = SubagentId(SUBAGENT.run, 2, 9)
    async with rig(tmp_path, MESSAGE) as r:
        mint(r, tied, "mt-here", Allowance(peer="127.0.0.1"))
        mint(r, tied, "mt-there", Allowance(peer="172.18.0.5"))
        client = await r.client()
        await client.ask(headers="x-api-key: mt-here\r\n")
        assert (await client.answer())[0] == 200
        await client.ask(headers="x-api-key: mt-there\r\n")
        status, headers, body, _ = await client.answer()
        assert (status, json.loads(body)["error"]["type"]) == (403, "permission_error")
        assert (b"x-should-retry", b"false") in headers
        # From elsewhere it is the other way round: the address is the connection's, whatever a header says.
        reader, writer = await asyncio.open_connection("127.0.0.1", r.port, local_addr=("127.0.0.2", 0))
        elsewhere = Client(reader, writer)
        await elsewhere.ask(headers="x-api-key: mt-here\r\nx-forwarded-for: 127.0.0.1\r\nforwarded: for=127.0.0.1\r\n")
        assert (await elsewhere.answer())[0] == 403
        elsewhere.close()
        assert len(r.provider.asked) == 1


async def test_one_proxy_at_two_addresses(tmp_path: Path) -> None:
    async with provided(MESSAGE) as provider:
        with prepared(tmp_path / "store.sqlite3") as store:
            proxy = Proxy(store, upstreams={"anthropic": Upstream(provider.base_url, "real")})

            async def ask(address: str, port: int, host: str) -> int:
                client = Client(*await asyncio.open_connection(address, port))
                client.writer.write(
                    f"POST /v1/messages HTTP/1.1\r\nhost: {host}\r\nx-api-key: {KEY}\r\n"
                    f"content-length: {len(ASK)}\r\n\r\n".encode()
                    + ASK
                )
                status = (await client.answer())[0]
                client.close()
                return status

            async with serve(proxy) as loopback:
                assert await ask("127.0.0.1", loopback.port, "127.0.0.2") == 403
                async with serve(proxy, host="127.0.0.2") as gateway:
                    assert gateway.base_url == f"http://127.0.0.2:{gateway.port}"
                    assert await ask("127.0.0.2", gateway.port, f"127.0.0.2:{gateway.port}") == 200
                    assert await ask("127.0.0.1", loopback.port, "localhost") == 200
                # Only what hangs on the address that is left has ended.
                with pytest.raises(OSError):
                    await asyncio.open_connection("127.0.0.2", gateway.port)
                assert await ask("127.0.0.1", loopback.port, "127.0.0.2") == 403
                assert await ask("127.0.0.1", loopback.port, "localhost") == 200
            with pytest.raises(OSError):
                await asyncio.open_connection("127.0.0.1", loopback.port)
            assert len(tapes.calls(store)) == 3


async def test_leaving_an_address_ends_its_clients_calls(tmp_path: Path) -> None:
    async def thinks(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await asked.gone.wait()

    async with provided(thinks) as provider:
        with prepared(tmp_path / "store.sqlite3") as store:
            proxy = Proxy(store, upstreams={"anthropic": Upstream(provider.base_url, "real")})
            async with serve(proxy):
                async with serve(proxy, host="127.0.0.2") as gateway:
                    client = Client(*await asyncio.open_connection("127.0.0.2", gateway.port))
                    await client.ask()
                    await until(lambda: provider.asked or None)
                (call,) = tapes.calls(store)
                assert (call.ended is not None, call.error) == (True, "the client hung up")
                client.close()


REAL = "sk-ant-api03-" + "Zz9" * 20
ECHOES = {
    "a body": (b"400 Bad Request", JSON, [f'{{"error":"bad key {REAL}, {REAL}."}}'.encode()]),
    "pieces": (b"200 OK", JSON, [b'{"key":"', *(bytes([byte]) for byte in REAL.encode()), b'", "x": "sk-', b'ant"}']),
    "two pieces": (b"200 OK", b"", [b"the key is " + REAL[:30].encode(), REAL[30:].encode() + b" and that is that"]),
    "a broken end": (b"200 OK", b"", [b"the key is " + REAL[:30].encode()]),
    "an event stream": (
        b"200 OK",
        b"content-type: text/event-stream\r\n",
        [f'event: ping\ndata: {{"type":"ping","key":"{REAL}"}}\n\n'.encode(), b"event: ping\ndata: {}\n\n"],
    ),
    "a header": (b"401 Unauthorized", f"x-echo: Bearer {REAL}\r\nwww-authenticate: x {REAL}\r\n".encode(), [b"no"]),
}


@pytest.mark.parametrize("name", ECHOES)
async def test_an_answer_that_repeats_the_real_key_has_stars_for_it(tmp_path: Path, name: str) -> None:
    status, headers, pieces = ECHOES[name]
    body = b"".join(pieces)

    async def echoes(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 %b\r\n%bcontent-length: %d\r\n\r\n" % (status, headers, len(body)))
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)

    async with provided(echoes) as provider:
        with prepared(tmp_path / "store.sqlite3") as store:
            async with serve(Proxy(store, upstreams={"anthropic": Upstream(provider.base_url, REAL)})) as address:
                client = Client(*await asyncio.open_connection(address.host, address.port))
                await client.ask()
                got_status, got_headers, got, proper = await client.answer()
                client.close()
            assert REAL.encode() in provider.asked[0].head
            assert proper and got_status == int(status[:3])
            assert got == body.replace(REAL.encode(), b"*" * len(REAL))
            assert REAL not in str(got_headers)
            (call,) = tapes.calls(store)
            assert tapes.response(store, call) == got and REAL not in str(call)
    assert REAL.encode() not in b"".join(path.read_bytes() for path in tmp_path.glob("store.sqlite3*"))


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd"])
async def test_a_compressed_answer_that_repeats_the_real_key_breaks_off(tmp_path: Path, encoding: str) -> None:
    plain = b"x" * 100_000 + REAL.encode() + b"y" * 100_000
    packed = compress(encoding, plain)
    head = JSON + b"content-encoding: " + encoding.encode() + b"\r\n"
    async with provided(whole(b"200 OK", packed, head)) as provider:
        with prepared(tmp_path / "store.sqlite3") as store:
            async with serve(Proxy(store, upstreams={"anthropic": Upstream(provider.base_url, REAL)})) as address:
                client = Client(*await asyncio.open_connection(address.host, address.port))
                await client.ask()
                status, _, body, proper = await client.answer()
                client.close()
            assert status == 502 or not proper
            assert packed not in body
            (call,) = tapes.calls(store)
            assert call.error == "the provider's answer has the provider's own key in it"


@pytest.mark.parametrize("encoding", ["", "gzip", "zstd"])
async def test_a_clients_own_key_comes_back_to_it_and_is_not_kept(tmp_path: Path, encoding: str) -> None:
    said = {"type": "error", "error": {"type": "authentication_error", "message": f"invalid x-api-key: {REAL}"}}
    plain = json.dumps(said).encode()
    packed = compress(encoding, plain) if encoding else plain
    head = JSON + f"x-echo: {REAL}\r\n".encode()
    head += f"content-encoding: {encoding}\r\n".encode() if encoding else b""
    async with provided(whole(b"401 Unauthorized", packed, head)) as provider:
        with prepared(tmp_path / "store.sqlite3") as store:
            upstreams = {"anthropic": Upstream(provider.base_url, None, own_key=True)}
            async with serve(Proxy(store, upstreams=upstreams, open_to=SUBAGENT.run)) as address:
                client = Client(*await asyncio.open_connection(address.host, address.port))
                await client.ask(headers=f"x-api-key: {REAL}\r\n")
                status, headers, body, proper = await client.answer()
                client.close()
            assert (status, body, proper, dict(headers)[b"x-echo"]) == (401, packed, True, REAL.encode())
            (call,) = tapes.calls(store)
            stars = "*" * len(REAL)
            assert call.error == f"authentication_error: invalid x-api-key: {stars}"
            assert tapes.response(store, call) == plain.replace(REAL.encode(), stars.encode())
            assert call.notes == ("stars stand for the client's own key, which this answer repeats",)
            lengths = [value for name, value in call.response_headers if name == "content-length"]
            assert lengths == ([] if encoding else [str(len(plain))])
            assert tapes.verify(store, SUBAGENT.run) == []
    assert REAL.encode() not in b"".join(path.read_bytes() for path in tmp_path.glob("store.sqlite3*"))


async def test_answers_are_untouched_otherwise(tmp_path: Path) -> None:
    """Whatever begins as the key does, in whatever pieces."""
    body = b"".join(REAL[:n].encode() + b"#" for n in range(len(REAL))) + REAL[:-1].encode()

    async def says(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body))
        for at in range(0, len(body), 7):
            writer.write(body[at : at + 7])
            await writer.drain()
            await asyncio.sleep(0)

    async with provided(says) as provider:
        with prepared(tmp_path / "store.sqlite3") as store:
            async with serve(Proxy(store, upstreams={"anthropic": Upstream(provider.base_url, REAL)})) as address:
                client = Client(*await asyncio.open_connection(address.host, address.port))
                await client.ask()
                assert (await client.answer())[2] == body
                client.close()
