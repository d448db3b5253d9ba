"""Nobody gets through without a key, no key gets through at all, and nobody says where a call goes."""

import asyncio
import logging
import socket
from pathlib import Path

import pytest

from backends.proxy import Proxy, Upstream, serve
from store import keys, tapes
from store.database import open_store
from tests.proxyrig import (
    ASK,
    JSON,
    KEY,
    OTHER_KEY,
    SUBAGENT,
    Client,
    Rig,
    prepared,
    provided,
    recorded,
    rig,
    streamed,
    whole,
)
from tests.test_proxy_failures import kind_of

MESSAGE = whole(b"200 OK", recorded("message.json"))


async def refused(r: Rig, *, path: str = "/v1/messages", headers: str, method: str = "POST") -> tuple[int, str]:
    """Ask; status and kind of the answer, which no provider gave and no tape has."""
    client = await r.client()
    await client.ask(method, path, headers=headers)
    status, _, body, proper = await client.answer()
    assert proper and r.provider.asked == [] and r.calls() == []
    return status, kind_of(body)


@pytest.mark.parametrize(
    "headers", ["", "x-api-key: \r\n", f"authorization: Basic {KEY}\r\n", f"cookie: x-api-key={KEY}\r\n"]
)
async def test_without_a_key(tmp_path: Path, headers: str) -> None:
    async with rig(tmp_path, MESSAGE) as r:
        assert await refused(r, headers=headers) == (401, "authentication_error")


async def test_with_an_unknown_key(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with rig(tmp_path, MESSAGE) as r:
        unknown = "mt-" + "z" * 32
        with caplog.at_level(logging.WARNING, "multitrack.proxy"):
            assert await refused(r, headers=f"x-api-key: {unknown}\r\n") == (401, "authentication_error")
            assert await refused(r, path=f"/k/{unknown}/v1/messages", headers="") == (401, "authentication_error")
            assert await refused(r, path=f"/k/{KEY}x/v1/messages", headers="") == (401, "authentication_error")
        assert [record.getMessage() for record in caplog.records] == [
            "refused POST /v1/messages: the key is unknown, or was revoked with its subagent"
        ] * 3


async def test_a_key_dies_with_its_subagent(tmp_path: Path) -> None:
    async with rig(tmp_path, MESSAGE) as r:
        client = await r.client()
        await client.ask()
        assert (await client.answer())[0] == 200
        r.store.write(lambda connection: keys.revoke(connection, SUBAGENT, at=2.0))
        await client.ask()
        assert (await client.answer())[0] == 401
        client = await r.client()
        await client.ask(headers=f"x-api-key: {OTHER_KEY}\r\n")
        assert (await client.answer())[0] == 200
        assert len(r.provider.asked) == len(r.calls()) == 2


@pytest.mark.parametrize(
    "headers",
    [
        f"x-api-key: {KEY}\r\n",
        f"authorization: Bearer {KEY}\r\n",
        f"x-api-key: {KEY}\r\nauthorization: Bearer other-secret\r\ncookie: session=other-secret\r\n",
        f"X-API-KEY: {KEY}\r\nX-Goog-Api-Key: other-secret\r\nAPI-Key: other-secret\r\n",
        f"x-api-key: {KEY}\r\nx-api-key: other-secret\r\n",
    ],
)
async def test_no_credential_that_comes_in_goes_out_or_is_kept(
    tmp_path: Path, headers: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer = JSON + b"set-cookie: __cf_bm=other-secret; HttpOnly\r\nx-kept: yes\r\n"
    async with rig(tmp_path, whole(b"200 OK", recorded("message.json"), answer)) as r:
        client = await r.client()
        with caplog.at_level(logging.DEBUG):
            await client.ask(headers=headers)
            status, *_ = await client.answer()
        if headers.count("api-key:") == 2 and "Goog" not in headers:
            # Two keys are one that nobody has.
            assert status == 401
            return
        (asked,) = r.provider.asked
        assert [value for name, value in asked.headers if name.lower() == b"x-api-key"] == [b"real"]
        assert KEY.encode() not in asked.head and b"other-secret" not in asked.head
        (call,) = r.calls()
        assert ("x-kept", "yes") in call.response_headers
        for text in (str(call), caplog.text):
            assert KEY not in text and "other-secret" not in text
        store = r.store.path
    kept = b"".join(path.read_bytes() for path in store.parent.glob("store.sqlite3*"))
    assert KEY.encode() not in kept and b"other-secret" not in kept


async def test_a_key_in_the_path_is_not_kept(tmp_path: Path) -> None:
    async with rig(tmp_path, MESSAGE) as r:
        client = await r.client()
        await client.ask(path=f"/k/{KEY}/v1/messages?beta=true", headers="")
        assert (await client.answer())[0] == 200
        assert KEY.encode() not in r.provider.asked[0].head
        store = r.store.path
    assert KEY.encode() not in b"".join(path.read_bytes() for path in store.parent.glob("store.sqlite3*"))


async def test_the_real_key_is_nowhere_but_on_the_wire_to_the_provider(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    real = "sk-ant-api03-the-real-one"
    upstream_repr = ""
    with caplog.at_level(logging.DEBUG):
        async with provided(streamed(recorded("error.sse"))) as provider:
            upstream = Upstream(provider.base_url, real)
            upstream_repr = repr(upstream)
            with prepared(tmp_path / "store.sqlite3") as store:
                async with serve(Proxy(store, upstreams={"anthropic": upstream})) as address:
                    client = Client(*await asyncio.open_connection(address.host, address.port))
                    await client.ask()
                    assert (await client.answer())[3]
                    client.close()
            assert real.encode() in provider.asked[0].head
    assert real not in upstream_repr and real not in caplog.text
    assert real.encode() not in b"".join(path.read_bytes() for path in tmp_path.glob("store.sqlite3*"))


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "0.0.0.0", "[::2]:1"])
async def test_another_hosts_name_is_refused(tmp_path: Path, host: str) -> None:
    """A web page whose name was pointed at loopback."""
    async with rig(tmp_path, MESSAGE) as r:
        client = await r.client()
        client.writer.write(f"GET /v1/models HTTP/1.1\r\nhost: {host}\r\nx-api-key: {KEY}\r\n\r\n".encode())
        status, _, body, _ = await client.answer()
        assert (status, kind_of(body)) == (403, "permission_error")
        assert r.provider.asked == []


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:1", "localhost:4000", "LOCALHOST", "[::1]:9"])
async def test_loopbacks_names_are_taken(tmp_path: Path, host: str) -> None:
    async with rig(tmp_path, MESSAGE) as r:
        client = await r.client()
        client.writer.write(f"GET /v1/models HTTP/1.1\r\nhost: {host}\r\nx-api-key: {KEY}\r\n\r\n".encode())
        assert (await client.answer())[0] == 200


@pytest.mark.parametrize("hosts", ["", "host: localhost\r\nhost: localhost\r\n"])
async def test_a_request_has_one_host(tmp_path: Path, hosts: str) -> None:
    async with rig(tmp_path, MESSAGE) as r:
        client = await r.client()
        client.writer.write(f"GET /v1/models HTTP/1.1\r\n{hosts}x-api-key: {KEY}\r\n\r\n".encode())
        assert (await client.answer())[0] == 400
        assert r.provider.asked == []


async def test_web_pages_are_refused(tmp_path: Path) -> None:
    async with rig(tmp_path, MESSAGE) as r:
        for origin in ("https://evil.example", "null", "http://127.0.0.1"):
            headers = f"x-api-key: {KEY}\r\norigin: {origin}\r\n"
            assert await refused(r, headers=headers) == (403, "permission_error")
        client = await r.client()
        await client.ask("OPTIONS", headers="origin: null\r\naccess-control-request-method: POST\r\n", body=b"")
        _, headers_back, _, _ = await client.answer()
        assert not [name for name, _ in headers_back if name.startswith(b"access-control")]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/../admin",
        "/v1/%2e%2E/admin",
        "/v1/..%2fadmin",
        "/../../etc/passwd",
        "/./v1/messages",
        f"/k/{KEY}/../../x",
        "/v1/\\..\\x",
        "/v1/%2e%2e%5cx",
    ],
)
async def test_a_path_that_climbs_is_refused(tmp_path: Path, path: str) -> None:
    async with rig(tmp_path, MESSAGE) as r:
        assert await refused(r, path=path, headers=f"x-api-key: {KEY}\r\n") == (400, "invalid_request_error")


async def test_no_client_says_where_a_call_goes(tmp_path: Path) -> None:
    """Neither by an absolute target, nor by a path that looks like one, nor by a header."""
    async with provided(MESSAGE) as elsewhere, rig(tmp_path, MESSAGE) as r:
        for target in (
            f"{elsewhere.base_url}/v1/messages",
            f"//127.0.0.1:{elsewhere.port}/v1/messages",
            f"/@127.0.0.1:{elsewhere.port}/v1/messages",
            f"/http://127.0.0.1:{elsewhere.port}/v1/messages",
        ):
            client = await r.client()
            forwarded = (
                f"x-forwarded-host: 127.0.0.1:{elsewhere.port}\r\nforwarded: host=127.0.0.1:{elsewhere.port}\r\n"
            )
            await client.ask(path=target, headers=f"x-api-key: {KEY}\r\n{forwarded}")
            await client.answer()
        assert elsewhere.asked == []
        assert {dict(asked.headers)[b"Host"] for asked in r.provider.asked} == {f"127.0.0.1:{r.provider.port}".encode()}


async def test_a_redirect_is_the_clients_to_follow(tmp_path: Path) -> None:
    async with provided(MESSAGE) as elsewhere:
        location = f"location: {elsewhere.base_url}/v1/messages\r\n".encode()
        async with rig(tmp_path, whole(b"307 Temporary Redirect", b"", location)) as r:
            client = await r.client()
            await client.ask()
            status, headers, _, _ = await client.answer()
            assert status == 307 and (b"location", f"{elsewhere.base_url}/v1/messages".encode()) in headers
            assert elsewhere.asked == [] and (await r.call()).status == 307


@pytest.mark.parametrize(
    "smuggled",
    [
        f"content-length: {len(ASK)}\r\ntransfer-encoding: chunked\r\n",
        f"content-length: {len(ASK)}\r\ncontent-length: 3\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "transfer-encoding : chunked\r\n",
        f"content-length: +{len(ASK)}\r\n",
    ],
)
async def test_a_request_with_two_meanings_is_refused(tmp_path: Path, smuggled: str) -> None:
    async with rig(tmp_path, MESSAGE) as r:
        client = await r.client()
        client.writer.write(
            f"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\nx-api-key: {KEY}\r\n{smuggled}\r\n".encode() + ASK
        )
        assert (await client.head()).startswith(b"HTTP/1.1 400")
        await client.rest()
        assert r.provider.asked == []


@pytest.mark.parametrize(
    "line",
    [
        b"GET /v1/m\xffdels HTTP/1.1",
        b"CONNECT elsewhere:443 HTTP/1.1",
        b"GET * HTTP/1.1",
        b"GET  HTTP/1.1",
        b"PRI * HTTP/2.0",
        b"\x16\x03\x01\x02\x00\x01",
    ],
)
async def test_a_strange_request_line_goes_nowhere(tmp_path: Path, line: bytes) -> None:
    async with rig(tmp_path, MESSAGE) as r:
        client = await r.client()
        client.writer.write(line + f"\r\nhost: localhost\r\nx-api-key: {KEY}\r\n\r\n".encode())
        assert (await client.head()).startswith((b"HTTP/1.1 400", b"HTTP/1.1 505"))
        assert r.provider.asked == [] and r.calls() == []


async def test_a_request_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.proxy.incoming.LARGEST_REQUEST", 1 << 20)
    async with rig(tmp_path, MESSAGE) as r:
        client = await r.client()
        head = f"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\nx-api-key: {KEY}\r\n"
        client.writer.write(f"{head}content-length: {2 << 20}\r\n\r\n".encode())
        status, _, body, _ = await client.answer()
        assert (status, kind_of(body)) == (413, "request_too_large")
        client = await r.client()
        client.writer.write(
            f"{head}transfer-encoding: chunked\r\n\r\n".encode() + b"80000\r\n" + b"x" * 0x80000 + b"\r\n"
        )
        client.writer.write(b"80001\r\n" + b"x" * 0x80001 + b"\r\n")
        assert (await client.answer())[0] == 413
        assert r.provider.asked == [] and r.calls() == []


async def test_a_refusal_reaches_a_client_that_is_still_sending(tmp_path: Path) -> None:
    """Closing on it would reset the connection, and the answer would be lost with it."""
    async with rig(tmp_path, MESSAGE) as r:
        client = await r.client()
        await client.ask(body=b"x" * 5_000_000, headers="")
        assert (await client.answer())[0] == 401
        # And the connection is good for another try.
        await client.ask()
        assert (await client.answer())[0] == 200


async def test_older_http_is_refused(tmp_path: Path) -> None:
    async with rig(tmp_path, MESSAGE) as r:
        client = await r.client()
        client.writer.write(f"GET /v1/models HTTP/1.0\r\nhost: localhost\r\nx-api-key: {KEY}\r\n\r\n".encode())
        assert (await client.head()).startswith(b"HTTP/1.1 505")
        assert r.provider.asked == []


async def test_fault_listens_on_every_interface(tmp_path: Path) -> None:
    with open_store(tmp_path / "store.sqlite3") as store:
        proxy = Proxy(store, upstreams={"anthropic": Upstream("http://127.0.0.1:9")})
        for host in ("0.0.0.0", "::", ""):
            with pytest.raises(ValueError, match=r"interface|address"):
                async with serve(proxy, host=host):
                    pass
        async with serve(proxy) as address:
            assert address.host == "127.0.0.1"
            with socket.socket() as other:
                # The same port on another address of this machine is free: nothing listens there.
                other.bind(("127.0.0.2", address.port))


async def test_no_signal_handler_is_touched(tmp_path: Path) -> None:
    import signal

    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    async with rig(tmp_path, MESSAGE):
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.parametrize(
    "url", ["ftp://x", "https://", "https://user:pw@api.example", "https://api.example/?a=1", "api.example"]
)
def test_an_upstream_is_a_plain_address(url: str) -> None:
    with pytest.raises(ValueError, match="upstream"):
        Upstream(url)


async def test_an_upstream_may_have_a_path(tmp_path: Path) -> None:
    async with provided(MESSAGE) as provider:
        with prepared(tmp_path / "store.sqlite3") as store:
            upstreams = {
                "first": Upstream(provider.base_url),
                "gateway": Upstream(f"{provider.base_url}/team/a/", "real"),
            }
            async with serve(Proxy(store, upstreams=upstreams)) as address:
                client = Client(*await asyncio.open_connection(address.host, address.port))
                await client.ask(path="/gateway/v1/messages?x=1")
                await client.answer()
                await client.ask(path="/v1/messages")
                await client.answer()
                client.close()
            assert [asked.line for asked in provider.asked] == [
                b"POST /team/a/v1/messages?x=1 HTTP/1.1",
                b"POST /v1/messages HTTP/1.1",
            ]
            # One without a key of its own gets none.
            assert b"x-api-key" not in provider.asked[1].head.lower()
            assert [call.provider for call in tapes.calls(store)] == ["gateway", "first"]
