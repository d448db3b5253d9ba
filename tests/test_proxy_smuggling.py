"""Requests that could mean two things, on a real socket: none reaches the provider as another than it was."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.proxyrig import ASK, KEY, LAST_CHUNK, Asked, Client, Rig, chunk, recorded, rig, until, whole

MESSAGE = whole(b"200 OK", recorded("message.json"))
HEAD = f"host: localhost\r\nx-api-key: {KEY}\r\n".encode()
LENGTH = b"content-length: %d\r\n" % len(ASK)
CHUNKED = b"transfer-encoding: chunked\r\n"
OFFER = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAEAAEAAAAIAAAAB\r\n"
SECOND = b"GET /v1/second HTTP/1.1\r\n" + HEAD + b"\r\n"


def post(headers: bytes, body: bytes) -> bytes:
    return b"POST /v1/messages HTTP/1.1\r\n" + HEAD + headers + b"\r\n" + body


def get(target: bytes, headers: bytes = b"") -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\n" + HEAD + headers + b"\r\n"


def host(name: bytes) -> bytes:
    return b"GET /v1/models HTTP/1.1\r\nhost: " + name + b"\r\nx-api-key: " + KEY.encode() + b"\r\n\r\n"


REFUSED = {
    "length and chunks": post(LENGTH + CHUNKED, ASK),
    "chunks and length": post(CHUNKED + b"content-length: 4\r\n", LAST_CHUNK + SECOND),
    "two lengths": post(LENGTH + b"content-length: 3\r\n", ASK),
    "the same length twice": post(LENGTH + LENGTH, ASK),
    "a list of lengths": post(b"content-length: %d, %d\r\n" % (len(ASK), len(ASK)), ASK),
    "an unknown coding": post(b"transfer-encoding: xchunked\r\n", LAST_CHUNK),
    "chunked, then another": post(b"transfer-encoding: chunked, identity\r\n", LAST_CHUNK),
    "another, then chunked": post(b"transfer-encoding: gzip, chunked\r\n", chunk(ASK) + LAST_CHUNK),
    "two codings": post(b"transfer-encoding: identity\r\n" + CHUNKED, chunk(ASK) + LAST_CHUNK),
    "chunked twice": post(CHUNKED + CHUNKED, chunk(ASK) + LAST_CHUNK),
    "identity": post(b"transfer-encoding: identity\r\n", ASK),
    "a quoted coding": post(b'transfer-encoding: "chunked"\r\n', LAST_CHUNK),
    "a coding after a tab": post(b"transfer-encoding: \x0bchunked\r\n", LAST_CHUNK),
    "a coding on the next line": post(b"transfer-encoding:\r\n chunked\r\n", LAST_CHUNK),
    "a folded header": post(LENGTH + b"x-a: b\r\n c\r\n", ASK),
    "a fold before any header": b"GET /v1/models HTTP/1.1\r\n x: y\r\n" + HEAD + b"\r\n",
    "a bare LF after the line": b"GET /v1/models HTTP/1.1\n" + HEAD + b"\r\n",
    "a bare LF after a header": post(LENGTH + b"x-a: b\nx-c: d\r\n", ASK),
    "a bare LF at the end": b"GET /v1/models HTTP/1.1\r\n" + HEAD + b"\n",
    "a bare CR in a value": post(LENGTH + b"x-a: b\rc: d\r\n", ASK),
    "two CRs": post(LENGTH + b"x-a: b\r\r\nc: d\r\n", ASK),
    "NUL in a value": post(LENGTH + b"x-a: b\0c\r\n", ASK),
    "NUL in a name": post(LENGTH + b"x\0a: b\r\n", ASK),
    "a control character": post(LENGTH + b"x-a: b\x01c\r\n", ASK),
    "a space in a name": post(LENGTH + b"x a: b\r\n", ASK),
    "a space before the colon": post(b"content-length : %d\r\n" % len(ASK), ASK),
    "no colon": post(LENGTH + b"x-a\r\n", ASK),
    "no name": post(LENGTH + b": b\r\n", ASK),
    "a name beyond ASCII": post(LENGTH + "x-ä: b\r\n".encode(), ASK),
    "a negative length": post(b"content-length: -1\r\n", ASK),
    "a length with a sign": post(b"content-length: +5\r\n", b"hello"),
    "a hexadecimal length": post(b"content-length: 0x5\r\n", b"hello"),
    "a length in two": post(b"content-length: 1 0\r\n", ASK),
    "no length": post(b"content-length: \r\n", ASK),
    "a length beyond 64 bits": post(b"content-length: 99999999999999999999999\r\n", ASK),
    "the largest length": post(b"content-length: 18446744073709551615\r\n", ASK),
    "a chunk's size after a LF": post(CHUNKED, b"%x\n%b\r\n" % (len(ASK), ASK) + LAST_CHUNK),
    "a chunk's extension with a LF": post(CHUNKED, b"%x;a\n%b\r\n" % (len(ASK), ASK) + LAST_CHUNK),
    "a negative chunk": post(CHUNKED, b"-5\r\nhello\r\n" + LAST_CHUNK),
    "a chunk with 0x": post(CHUNKED, b"0x5\r\nhello\r\n" + LAST_CHUNK),
    "a chunk with a sign": post(CHUNKED, b"+5\r\nhello\r\n" + LAST_CHUNK),
    "a chunk with a space": post(CHUNKED, b"5 \r\nhello\r\n" + LAST_CHUNK),
    "a chunk beyond 64 bits": post(CHUNKED, b"fffffffffffffffff\r\nhello\r\n" + LAST_CHUNK),
    "a chunk without its end": post(CHUNKED, b"5\r\nhelloXX" + LAST_CHUNK),
    "a length in the trailers": post(CHUNKED, chunk(ASK) + b"0\r\ncontent-length: 3\r\n\r\n"),
    "a web socket": get(
        b"/v1/realtime", b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: x\r\n"
    ),
    "HTTP/2 or a web socket": get(b"/v1/x", b"connection: upgrade\r\nupgrade: h2c, websocket\r\n"),
    "HTTP/2 and a web socket": get(b"/v1/x", b"connection: upgrade\r\nupgrade: h2c\r\nupgrade: websocket\r\n"),
    "HTTP/2 twice": get(b"/v1/x", OFFER + b"upgrade: h2c\r\n"),
    "HTTP/2, and a tunnel": b"CONNECT evil:443 HTTP/1.1\r\n" + HEAD + OFFER + b"\r\n" + SECOND,
    "HTTP/2, and length and chunks": post(OFFER + LENGTH + CHUNKED, ASK),
    "HTTP/2, and two lengths": post(LENGTH + OFFER + b"content-length: 3\r\n", ASK),
    "HTTP/2, and an unknown coding": post(OFFER + b"transfer-encoding: xchunked\r\n", LAST_CHUNK),
    "HTTP/2, and another coding, then chunked": post(OFFER + b"transfer-encoding: gzip, chunked\r\n", LAST_CHUNK),
    "HTTP/2, and a chunk with a sign": post(OFFER + CHUNKED, b"+5\r\nhello\r\n" + LAST_CHUNK),
    "HTTP/2, and a folded header": post(OFFER + LENGTH + b"x-a: b\r\n c\r\n", ASK),
    "HTTP/2, and a whole address": get(b"http://evil.example/v1/models", OFFER),
    "HTTP/2 at once": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "an upgrade with a body": post(LENGTH + b"connection: upgrade\r\nupgrade: websocket\r\n", ASK),
    "an upgrade with a request behind": get(b"/v1/x", b"connection: upgrade\r\nupgrade: foo\r\n") + SECOND,
    "a tunnel": b"CONNECT evil:443 HTTP/1.1\r\n" + HEAD + b"\r\n",
    "a tunnel to a whole address": b"CONNECT http://evil:443/ HTTP/1.1\r\n" + HEAD + b"\r\n",
    "an echo": b"TRACE /v1/models HTTP/1.1\r\n" + HEAD + b"\r\n",
    "a method of another protocol": b"PROPFIND /v1/models HTTP/1.1\r\n" + HEAD + b"\r\n",
    "an unknown method": b"FOO /v1/models HTTP/1.1\r\n" + HEAD + b"\r\n",
    "a method in lower case": b"get /v1/models HTTP/1.1\r\n" + HEAD + b"\r\n",
    "a whole address": get(b"http://evil.example/v1/models"),
    "a whole address with a name": get(b"http://a:b@evil.example/v1/models"),
    "a whole address of ours": get(b"http://localhost/v1/models"),
    "no slash": get(b"@evil.example/v1/models"),
    "a dot": get(b".evil.example/v1/models"),
    "only a query": get(b"?a=b"),
    "a fragment": get(b"/v1/models#x"),
    "a fragment after the query": get(b"/v1/models?a=1#x"),
    "a line's end in the path": get(b"/v1/models%0d%0ax-evil:%20y"),
    "NUL in the path": get(b"/v1/models%00"),
    "NUL as it is": get(b"/v1/mod\0els"),
    "a tab in the query": get(b"/v1/models?a\tb"),
    "a CR in the query": get(b"/v1/models?a\rb"),
    "a byte beyond ASCII": get(b"/v1/models?a=\xff"),
    "DEL": get(b"/v1/models\x7f"),
    "a space in the target": get(b"/v1/models x"),
    "dots escaped twice": get(b"/v1/%252e%252e/admin"),
    "dots escaped five times": get(b"/v1/%252525252e%252525252e/admin"),
    "dots with a parameter": get(b"/v1/..;/admin"),
    "dots with a tab between": get(b"/v1/.%09./admin"),
    "dots in too many bytes": get(b"/v1/%c0%ae%c0%ae/admin"),
    "HTTP/1.2": b"GET /v1/models HTTP/1.2\r\n" + HEAD + b"\r\n",
    "RTSP": b"OPTIONS /v1/models RTSP/1.0\r\n" + HEAD + b"\r\n",
    "a host with a user": host(b"localhost:80@evil"),
    "a host with a word for its port": host(b"localhost:evil"),
    "two hosts in one": host(b"localhost, evil"),
    "a host with a path": host(b"localhost/evil"),
    "a host by a short number": host(b"127.1"),
    "no host's name": host(b""),
    "a large head": get(b"/v1/models", b"x-a: " + b"a" * 70_000 + b"\r\n"),
    "many headers": get(b"/v1/models", b"".join(b"x-%d: a\r\n" % number for number in range(300))),
}  # fmt: skip


async def sent(r: Rig, data: bytes) -> tuple[int, Client]:
    """What a client that writes this is answered."""
    client = await r.client()
    client.writer.write(data)
    return int((await client.head()).split(b" ")[1]), client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def proxied(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    async with rig(tmp_path_factory.mktemp("rig"), MESSAGE) as r:
        yield r


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", REFUSED)
async def test_what_has_two_meanings_goes_nowhere(proxied: Rig, name: str) -> None:
    before = len(proxied.provider.asked)
    status, _ = await sent(proxied, REFUSED[name])
    assert status in {400, 403, 405, 413, 426, 431, 505}
    # Neither it nor what hides behind it: the next request is the next that the provider sees.
    status, _ = await sent(proxied, get(b"/v1/after"))
    assert status == 200
    assert [asked.line for asked in proxied.provider.asked[before:]] == [b"GET /v1/after HTTP/1.1"]


@pytest.mark.asyncio(loop_scope="module")
async def test_an_upgrade_is_refused_in_our_words(proxied: Rig, caplog: pytest.LogCaptureFixture) -> None:
    assert (await sent(proxied, REFUSED["a web socket"]))[0] == 426
    assert [record.name for record in caplog.records] == ["multitrack.proxy"]


async def passed(tmp_path: Path, data: bytes, count: int = 1) -> list[Asked]:
    """What the provider sees of this."""
    async with rig(tmp_path, MESSAGE) as r:
        status, client = await sent(r, data)
        assert status == 200
        await until(lambda: True if len(r.provider.asked) >= count else None)
        client.close()
        return r.provider.asked


def framing(asked: Asked) -> list[tuple[bytes, bytes]]:
    return [(name.lower(), value) for name, value in asked.headers if name.lower() not in (b"host", b"x-api-key")]


async def test_requests_behind_each_other_are_two(tmp_path: Path) -> None:
    first, second = await passed(tmp_path, post(LENGTH, ASK) + SECOND, 2)
    assert (first.body, second.line, second.body) == (ASK, b"GET /v1/second HTTP/1.1", b"")


async def test_an_offer_of_http2_is_ignored(tmp_path: Path) -> None:
    """As Java's HttpClient and curl --http2 make it: the answer is in HTTP/1.1, and the connection goes on in that."""
    async with rig(tmp_path, MESSAGE) as r:
        client = await r.client()
        third = post(OFFER + CHUNKED, chunk(ASK[:5]) + chunk(ASK[5:]) + LAST_CHUNK)
        stream = post(OFFER + LENGTH, ASK) + get(b"/v1/models", OFFER) + third + SECOND
        for step in (len(stream), 1, 7, 100):
            before = len(r.provider.asked)
            for at in range(0, len(stream), step):
                client.writer.write(stream[at : at + step])
                await client.writer.drain()
            for _ in range(4):
                status, _, body, _ = await client.answer()
                assert (status, body) == (200, recorded("message.json"))
            first, models, chunked, second = r.provider.asked[before:]
            length = [(b"content-length", b"%d" % len(ASK))]
            assert (first.body, framing(first)) == (ASK, length)
            assert (models.line, models.body, framing(models)) == (b"GET /v1/models HTTP/1.1", b"", [])
            assert (chunked.body, framing(chunked)) == (ASK, length)
            assert (second.line, second.body) == (b"GET /v1/second HTTP/1.1", b"")
        sent = dict((await r.call()).request_headers)
        assert (sent["upgrade"], sent["http2-settings"]) == ("h2c", "AAEAAEAAAAIAAAAB"), "the record has what was sent"


async def test_what_hides_in_an_offer_of_http2_is_no_request(tmp_path: Path) -> None:
    """Its body is a body, and a head that is too large is none."""
    (asked,) = await passed(tmp_path, post(OFFER + b"content-length: %d\r\n" % len(SECOND), SECOND))
    assert asked.body == SECOND
    async with rig(tmp_path, MESSAGE) as r:
        status, _ = await sent(r, get(b"/v1/models", OFFER + b"x-a: " + b"a" * 70_000 + b"\r\n"))
        assert (status, r.provider.asked) == (431, [])


async def test_a_request_in_a_body_is_a_body(tmp_path: Path) -> None:
    for headers, body in (
        (b"content-length: %d\r\n" % len(SECOND), SECOND),
        (CHUNKED, chunk(SECOND) + LAST_CHUNK),
        (CHUNKED, b"%x;ext=1;%b\r\n%b\r\n" % (len(SECOND), b"a" * 5000, SECOND) + LAST_CHUNK),
    ):
        (asked,) = await passed(tmp_path, post(headers, body))
        assert (asked.body, framing(asked)) == (SECOND, [(b"content-length", b"%d" % len(SECOND))])


async def test_trailers_are_no_headers(tmp_path: Path) -> None:
    trailers = b"x-evil: 1\r\nx-api-key: other\r\nhost: evil\r\nconnection: content-length\r\n"
    (asked,) = await passed(tmp_path, post(CHUNKED, chunk(ASK) + b"0\r\n" + trailers + b"\r\n"))
    assert (asked.body, framing(asked)) == (ASK, [(b"content-length", b"%d" % len(ASK))])


async def test_escapes_go_on_as_they_are(tmp_path: Path) -> None:
    for target in (
        b"/v1/files/a%20b%2Fc%C3%A9",
        b"/v1/100%25",
        b"/v1/%zz%",
        b'/v1/x?a=%0d%0ab&c="<>{}|^`',
        b"//evil/v1/models",
    ):
        (asked,) = await passed(tmp_path, get(target))
        assert asked.line == b"GET " + target + b" HTTP/1.1"


async def test_hop_by_hop_headers_and_those_that_connection_names_end_here(tmp_path: Path) -> None:
    hop = b"connection: close, X-Named, x-other\r\nx-named: 1\r\nX-OTHER: 2\r\nte: trailers\r\nkeep-alive: 5\r\n"
    more = (
        b"proxy-connection: close\r\nproxy-authorization: Basic x\r\nx-kept: 3\r\ncontent_length: 9\r\nx_api_key: y\r\n"
    )
    (asked,) = await passed(tmp_path, get(b"/v1/models", hop + more))
    assert framing(asked) == [(b"x-kept", b"3")]


async def test_an_answers_hop_by_hop_headers_end_here(tmp_path: Path) -> None:
    head = (
        b"connection: x-named\r\nx-named: 1\r\nkeep-alive: 9\r\nproxy-authenticate: x\r\nupgrade: h3\r\nx-kept: 2\r\n"
    )
    async with rig(tmp_path, whole(b"200 OK", b"{}", head)) as r:
        client = await r.client()
        await client.ask()
        _, headers, _, _ = await client.answer()
        assert dict(headers) == {b"x-kept": b"2", b"content-length": b"2"}


async def test_an_answer_cannot_put_another_before_it(tmp_path: Path) -> None:
    """What an upstream writes into its headers stays in them."""
    for head in (
        b"x-a: b\rHTTP/1.1 200 OK\r\n",
        b"x-a: b\0c\r\n",
        b"x-a : b\r\n",
        b"transfer-encoding: chunked\r\n",
        b"content-length: 1\r\n",
    ):
        async with rig(tmp_path, whole(b"200 OK", b"{}", head)) as r:
            client = await r.client()
            await client.ask()
            status, headers, body, _ = await client.answer()
            assert (status, body) == (200, b"{}") or status == 502 or body == b""
            assert len([name for name, _ in headers if name == b"content-length"]) <= 1
