"""Who is calling: found wherever clients put it, the same in every protocol, and kept nowhere."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import openai
import pytest
from google import genai
from google.genai import errors, types
from hypothesis import given
from hypothesis import strategies as st

from backends.proxy.headers import kept, to_client, to_upstream
from backends.proxy.identity import address, is_odd, kept_query, thread, without_keys
from store import keys
from store.domain.allowance import Allowance, Bound
from store.domain.ids import SubagentId
from tests.proxyrig import JSON, KEY, STREAM, SUBAGENT, Asked, chunk, mint, recorded, rig, until, whole
from tests.test_secrets import KNOWN

PATHS = {
    "anthropic": "/v1/messages",
    "openai": "/v1/chat/completions",
    "gemini": "/v1beta/models/gemini-x:generateContent",
}
BODIES = {
    "anthropic": b'{"model":"m","max_tokens":9,"messages":[]}',
    "openai": b'{"model":"m","messages":[]}',
    "gemini": b'{"contents":[]}',
}
LIMITED = SubagentId(SUBAGENT.run, 3, 1)


def error_of(protocol: str, body: bytes) -> Mapping[str, Any]:
    """What a client of the protocol takes for the error: its kind and its words."""
    value = json.loads(body)
    if protocol == "anthropic":
        assert value["type"] == "error"
    error: Mapping[str, Any] = value["error"]
    return error


KINDS = {
    # protocol: where its kind stands; an unknown key, a limit, a rate, a model
    "anthropic": ("type", "authentication_error", "billing_error", "rate_limit_error", "permission_error"),
    "openai": ("code", "invalid_api_key", "insufficient_quota", "rate_limit_exceeded", "permission_denied"),
    "gemini": ("status", "UNAUTHENTICATED", "RESOURCE_EXHAUSTED", "RESOURCE_EXHAUSTED", "PERMISSION_DENIED"),
}


@pytest.mark.parametrize("protocol", PATHS)
async def test_refusals_are_in_the_words_of_the_protocol(tmp_path: Path, protocol: str) -> None:
    where, unknown, limit, rate, model = KINDS[protocol]
    async with rig(tmp_path, whole(b"200 OK", b"{}"), protocol=protocol) as r:
        mint(r, LIMITED, "mt-limit", Allowance(turns=0))
        mint(r, LIMITED, "mt-rate", Allowance(rate=0))
        mint(r, LIMITED, "mt-model", Allowance(models=("other",)))
        for secret, status, kind, retries in (
            ("mt-nobodys", 401, unknown, b"false"),
            ("mt-limit", 402, limit, b"false"),
            ("mt-rate", 429, rate, None),
            ("mt-model", 403, model, b"false"),
        ):
            for path, headers in (
                (PATHS[protocol], f"authorization: Bearer {secret}\r\n"),
                (PATHS[protocol], f"x-goog-api-key: {secret}\r\n"),
                (f"/k/{secret}/{protocol}{PATHS[protocol]}", ""),
            ):
                client = await r.client()
                await client.ask(path=path, headers=headers, body=BODIES[protocol])
                got, got_headers, body, _ = await client.answer()
                assert (got, error_of(protocol, body)[where]) == (status, kind)
                assert dict(got_headers).get(b"x-should-retry") == retries
                assert (b"retry-after" in dict(got_headers)) is (retries is None)
        assert r.provider.asked == []


@pytest.mark.parametrize("protocol", PATHS)
async def test_a_key_that_dies_ends_what_is_under_way(tmp_path: Path, protocol: str) -> None:
    async def begins(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n" + STREAM + b"\r\n" + chunk(b"data: {}\n\n") * 3)
        await asked.gone.wait()

    async with rig(tmp_path, begins, protocol=protocol) as r:
        clients = [await r.client() for _ in range(3)]
        for client in clients:
            await client.ask(path=PATHS[protocol], body=BODIES[protocol])
            await client.head()
        # As the harness does it when a subagent ends.
        await r.store.writer.write(lambda connection: keys.revoke(connection, SUBAGENT, at=2.0))
        r.proxy.cut(SUBAGENT)
        for client in clients:
            assert not (await client.chunks())[1]
        await until(lambda: True if all(asked.gone.is_set() for asked in r.provider.asked) else None)
        assert [call.error for call in r.calls()] == ["the subagent was killed"] * 3
        client = await r.client()
        await client.ask(path=PATHS[protocol], body=BODIES[protocol])
        status, _, body, _ = await client.answer()
        assert (status, error_of(protocol, body)[KINDS[protocol][0]]) == (401, KINDS[protocol][1])


async def test_other_sdks_give_up_at_a_limit(tmp_path: Path) -> None:
    async with rig(tmp_path, whole(b"200 OK", b"{}"), protocol="openai") as r:
        mint(r, LIMITED, "mt-limit", Allowance(tokens=0))
        async with openai.AsyncOpenAI(base_url=f"{r.base_url}/v1", api_key="mt-limit", max_retries=4) as sdk:
            with pytest.raises(openai.APIStatusError) as refused:
                await sdk.chat.completions.create(model="m", messages=[{"role": "user", "content": "Why?"}])
            assert refused.value.status_code == 402 and "token limit" in str(refused.value)
        assert r.proxy.admission.refused(LIMITED) == {Bound.TOKENS: 1}
    async with rig(tmp_path, whole(b"200 OK", b"{}"), protocol="gemini") as r:
        mint(r, LIMITED, "mt-limit", Allowance(tokens=0))
        options = types.HttpOptions(base_url=r.base_url, retry_options=types.HttpRetryOptions(attempts=4))
        google = genai.Client(api_key="mt-limit", vertexai=False, http_options=options)
        with pytest.raises(errors.ClientError) as said:
            await google.aio.models.generate_content(model="m", contents="Why?")
        assert said.value.code == 402 and "token limit" in str(said.value)
        await google.aio.aclose()
        assert r.proxy.admission.refused(LIMITED) == {Bound.TOKENS: 1}


@pytest.mark.parametrize(
    ("query", "forwarded", "record"),
    [
        (f"key={KEY}", "", "key=***"),
        (f"alt=sse&key={KEY}", "alt=sse", "alt=sse&key=***"),
        (f"key={KEY}&alt=sse", "alt=sse", "key=***&alt=sse"),
        (f"a=1&%6bey={KEY}&b=%20+x&b=", "a=1&b=%20+x&b=", "a=1&%6bey=***&b=%20+x&b="),
        (f"api_key={KEY}&Access_Token=other-secret", "", "api_key=***&Access_Token=***"),
        (f"x;key={KEY};y=1", "x;y=1", "x;key=***;y=1"),
    ],
)
async def test_a_key_in_the_query(tmp_path: Path, query: str, forwarded: str, record: str) -> None:
    path = PATHS["gemini"]
    async with rig(tmp_path, whole(b"200 OK", recorded("gemini.json")), protocol="gemini") as r:
        client = await r.client()
        await client.ask(path=f"{path}?{query}", headers="", body=BODIES["gemini"])
        assert (await client.answer())[0] == 200
        (asked,), call = r.provider.asked, await r.call()
        line = f"POST {path}?{forwarded} HTTP/1.1" if forwarded else f"POST {path} HTTP/1.1"
        assert (asked.line.decode(), call.path) == (line, f"{path}?{record}")
        store = r.store.path
    kept_bytes = b"".join(file.read_bytes() for file in store.parent.glob("store.sqlite3*"))
    assert KEY.encode() not in kept_bytes and b"other-secret" not in kept_bytes


@given(st.text(alphabet="abk=&;%6+.eyKEY", max_size=40))
def test_a_query_without_keys_is_the_same_to_the_letter(query: str) -> None:
    found = address("/", (), query).secret
    if not found and kept_query(query) == query:
        assert without_keys(query) == query
    assert kept_query(kept_query(query)) == kept_query(query)
    assert not address("/", (), without_keys(query)).secret
    assert without_keys(query, own_key=True) == query


def test_a_clients_own_key_goes_on_but_never_a_virtual_one() -> None:
    assert without_keys("a=1&key=AIza", own_key=True) == "a=1&key=AIza"
    assert without_keys(f"a=1&key={KEY}", own_key=True) == "a=1"


@pytest.mark.parametrize("name", [b"Authorization", b"x-api-key", b"X_Api_Key", b"x-goog-api-key"])
@pytest.mark.parametrize("scheme", ["", "Bearer ", "bearer ", "BEARER   "])
def test_a_virtual_key_never_goes_on_however_it_is_written(name: bytes, scheme: str) -> None:
    assert to_upstream([(name, f"{scheme}{KEY}".encode())], own_key=True) == []
    assert to_upstream([(name, f"{scheme}sk-1".encode())], own_key=True) == [(name, f"{scheme}sk-1".encode())]


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({}, ""),
        ({"x-claude-code-session-id": "s"}, "s"),
        ({"x-claude-code-session-id": "s", "x-claude-code-agent-id": "a"}, "a"),
        ({"session-id": "s", "thread-id": "t"}, "t"),
        ({"X-Session-Id": "o"}, "o"),
        ({"thread-id": "x" * 1000}, "x" * 199 + "…"),
        ({"thread-id": "é\x85"}, "é⟨0085⟩"),
    ],
)
async def test_the_agents_own_name_for_who_calls_is_kept(tmp_path: Path, headers: dict[str, str], said: str) -> None:
    pairs = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    assert thread(pairs) == said
    if all(value.isascii() for value in headers.values()):
        async with rig(tmp_path, whole(b"200 OK", recorded("message.json"))) as r:
            client = await r.client()
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            await client.ask(headers=f"x-api-key: {KEY}\r\n{lines}")
            assert (await client.answer())[0] == 200
            assert (await r.call()).thread == said
            # It tells the subagent's threads apart, and is no identity of its own.
            assert (await r.call()).subagent == SUBAGENT


SECRET_NAMES = [
    "Authorization",
    "x-api-key",
    "api-key",
    "X-Goog-Api-Key",
    "Cookie",
    "Proxy-Authorization",
    "Set-Cookie",
]
SECRET_NAMES += ["x_api_key", "X-Auth-Token", "Ocp-Apim-Subscription-Key", "X-Amz-Security-Token", "helicone-auth"]
SECRET_NAMES += ["x-litellm-api-key", "cf-access-client-secret", "X-Secret", "set-cookie2", "x-access-token"]


def test_no_recorded_header_has_a_credential() -> None:
    headers = [(name.encode(), b"other-secret") for name in SECRET_NAMES]
    headers += [(b"x-note", f"my key is {key}".encode()) for key in KNOWN.values()]
    headers += [(b"location", b"https://ada:hunter2@example.com/?key=other-secret")]
    plain = [("anthropic-ratelimit-tokens-remaining", "5"), ("x-claude-code-session-id", "s"), ("authority", "x")]
    plain += [("www-authenticate", "Bearer"), ("idempotency-key", "stainless-python-retry-1"), ("x-note", "é")]
    found = kept([*headers, *((name.encode(), value.encode("latin-1")) for name, value in plain)])
    text = str(found)
    assert "other-secret" not in text and "hunter2" not in text
    assert not any(key in text for key in KNOWN.values())
    assert found[-len(plain) :] == plain and len(found) == len(KNOWN) + 1 + len(plain)


def test_cookies_go_neither_way() -> None:
    assert to_upstream([(b"cookie", b"a=1"), (b"Cookie", b"b"), (b"a", b"b")], own_key=True) == [(b"a", b"b")]
    assert to_client([(b"set-cookie", b"a=1"), (b"Set-Cookie2", b"b"), (b"a", b"b")], length=True) == [(b"a", b"b")]


@given(st.text(max_size=60))
def test_any_path_is_judged(path: str) -> None:
    is_odd("/" + path)


async def test_a_credential_in_a_body_is_kept_but_not_shown(tmp_path: Path) -> None:
    """The record has what was said; masking is for showing it."""
    key = KNOWN["sk-ant-api03-"]
    body = json.dumps({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": f"use {key}"}]}).encode()
    async with rig(tmp_path, whole(b"200 OK", recorded("message.json"), JSON)) as r:
        client = await r.client()
        await client.ask(body=body)
        assert (await client.answer())[0] == 200
        assert r.provider.asked[0].body == body


async def test_a_key_in_the_wrong_place_is_not_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with rig(tmp_path, whole(b"200 OK", b"{}")) as r:
        client = await r.client()
        with caplog.at_level("DEBUG"):
            for path in (
                f"/v1/k/{KEY}/messages",
                f"/v1/{KNOWN['sk-ant-api03-']}",
                f"/k/{KNOWN['sk-proj-']}/v1/messages",
            ):
                await client.ask(path=path, headers="x-api-key: mt-nobodys\r\n")
                assert (await client.answer())[0] == 401
        assert "refused POST" in caplog.text and "sk-ant-api03-****" in caplog.text
        assert not any(key in caplog.text for key in (KEY, *KNOWN.values()))
