"""What went wrong is said in the provider's own words wherever they can be read, and half an answer is never whole."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.proxy.bodies import LONGEST, READ, is_cut, is_json, told
from backends.proxy.listening import Listener
from backends.proxy.protocol import Answer
from backends.proxy.routes import PROTOCOLS
from store import tapes
from store.domain.safe_text import safe_line
from tests.conformance import JSON, RECORDINGS, STREAMS, listener
from tests.proxyrig import fixed, recorded, rig, whole

KEY = "sk-ant-api03-" + "k" * 40
HTML = b"content-type: text/html\r\n"
OPAQUE = "/v1/files"


def heard(
    body: bytes,
    status: int,
    *,
    protocol: str = "anthropic",
    path: str = OPAQUE,
    kind: bytes = b"",
    length: bool = False,
) -> Answer:
    reader = PROTOCOLS[protocol].reader("POST", path, lambda kind, text: None)
    headers = [(b"content-type", kind)] if kind else JSON
    if length:
        headers = [*headers, (b"content-length", b"%d" % len(body))]
    hearing = Listener(headers, reader)
    hearing.take(body)
    return hearing.finish(body, status)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ({"type": "error", "error": {"type": "rate_limit_error", "message": "Slower."}}, "rate_limit_error: Slower."),
        ({"error": {"message": "Slower.", "type": "tokens", "code": "rate_limit"}}, "rate_limit: Slower."),
        ({"error": {"code": 429, "message": "Slower.", "status": "RESOURCE_EXHAUSTED"}}, "RESOURCE_EXHAUSTED: Slower."),
        ([{"error": {"code": 400, "message": "Bad key", "status": "INVALID_ARGUMENT"}}], "INVALID_ARGUMENT: Bad key"),
        ({"error": "model 'llama9' not found"}, "model 'llama9' not found"),
        ({"error": "invalid_grant", "error_description": "The token is old."}, "invalid_grant: The token is old."),
        ({"timestamp": 1, "status": 404, "error": "Not Found", "message": "No route"}, "Not Found: No route"),
        ({"detail": "Not Found"}, "Not Found"),
        ({"detail": [{"type": "missing", "loc": ["body"], "msg": "Field required"}]}, "missing: Field required"),
        ({"type": "about:blank", "title": "Too many", "status": 429, "detail": "Wait."}, "Wait."),
        ({"object": "error", "message": "Long", "type": "BadRequestError", "code": 400}, "BadRequestError: Long"),
        ({"Message": "User is not authorized"}, "User is not authorized"),
        ({"errors": [{"message": "one"}, {"message": "two"}]}, "one"),
        ("Just a text", "Just a text"),
        ({"status": "error", "message": "Out of luck"}, "Out of luck"),
        ({"unheard": "of"}, ""),
        ({"error": None, "message": 7}, ""),
        ([], ""),
    ],
)  # fmt: skip
def test_the_sentence_is_found_in_the_usual_places(value: Any, sentence: str) -> None:
    assert told(json.dumps(value, indent=2).encode()) == sentence


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (b"upstream connect error or disconnect/reset before headers\nmore\n", "upstream connect error or disconnect"),
        (b"\n\n  no healthy upstream", "no healthy upstream"),
        (b"<html>\n<head><title>502 Bad Gateway</title></head>\n<body>nginx</body>", "502 Bad Gateway"),
        (b"<html><style>p {}</style><p>Blocked &amp; logged</p></html>", "Blocked & logged"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code> <Message>No</Message></Error>", "AccessDenied No"),
        (b"\x1b[31mred\x1b[0m", "␛[31mred␛[0m"),
        (b"\x00\x01\x02", ""),
        (b"\xff\xfe", ""),
        (b"", ""),
        (b"x" * (READ + 1), ""),
    ],
)
def test_of_a_text_the_first_line_is_said(body: bytes, line: str) -> None:
    assert told(body).startswith(line) and bool(told(body)) is bool(line)


def test_keys_are_hidden_and_long_sentences_cut() -> None:
    said = told(json.dumps({"error": {"message": f"Incorrect API key provided: {KEY}. " + "x" * 1000}}).encode())
    assert KEY not in said and "sk-ant-api03-****" in said
    assert len(said) == LONGEST and said.endswith("…")


@given(st.binary(max_size=200) | st.recursive(
    st.none() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["error", "errors", "message", "detail", "type", "code"]), inner, max_size=4),
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_whatever_comes_is_one_safe_line(body: bytes) -> None:
    said = told(body)
    assert len(said) <= LONGEST and said == safe_line(said)


def test_depth_is_no_trouble() -> None:
    assert isinstance(told(b'{"error":' * 50_000 + b"1" + b"}" * 50_000), str)
    assert heard(b'{"error":' * 50_000, 500).whole is False


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "path", ["/v1/messages", "/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/api/chat", OPAQUE,
             "/v1beta/models/m:generateContent", "/v1beta/models/m:streamGenerateContent"],
)  # fmt: skip
def test_each_protocol_says_what_a_gateway_said(protocol: str, path: str) -> None:
    page = heard(b"<title>502 Bad Gateway</title>", 502, protocol=protocol, path=path, kind=b"text/html")
    assert (page.whole, page.error) == (True, "HTTP 502: 502 Bad Gateway")
    unread = heard(b'{"detail":"Not Found"}', 404, protocol=protocol, path=path)
    assert (unread.whole, unread.error) == (True, "HTTP 404: Not Found")
    empty = heard(b"", 503, protocol=protocol, path=path)
    assert empty.error in ("", "HTTP 503") and not empty.messages
    framed = heard(b"", 503, protocol=protocol, path=path, length=True)
    assert framed.whole and framed.error in ("", "HTTP 503")
    moved = heard(b"<title>Moved</title>", 307, protocol=protocol, path=path, kind=b"text/html")
    assert moved.whole and moved.error in ("", "HTTP 307: Moved")
    error = heard(recorded("openai-429.json"), 429, protocol=protocol, path=path)
    assert error.whole and "Rate limit reached for gpt-4.1" in error.error


@pytest.mark.parametrize(
    "name", [name for name, recording in RECORDINGS.items() if not recording.streamed and recording.status >= 400]
)
@pytest.mark.parametrize("opaque", [False, True])
def test_half_an_error_is_not_whole(name: str, opaque: bool) -> None:
    recording = RECORDINGS[name]
    body = recording.body.strip()
    path = OPAQUE if opaque else recording.path
    for end in range(1, len(body)):
        answer = heard(body[:end], recording.status, protocol=recording.protocol, path=path)
        assert not answer.whole, body[:end]
        assert answer.error.startswith(f"HTTP {recording.status}: it breaks off: ")
    assert heard(body, recording.status, protocol=recording.protocol, path=path).whole


@pytest.mark.parametrize("name", [name for name, recording in RECORDINGS.items() if not recording.streamed])
def test_half_a_body_is_not_whole_when_nothing_but_its_end_tells(name: str) -> None:
    recording = RECORDINGS[name]
    body = recording.body.strip()
    for end in range(1, len(body), 3):
        hearing = listener(recording)
        hearing.take(body[:end])
        assert not hearing.finish(body[:end], 200).whole, body[:end]


def test_half_a_line_of_ollamas_is_not_whole() -> None:
    body, kind = b'{"error":"model \'llama9\' not found"}', b"application/x-ndjson"
    ask = {"protocol": "ollama", "path": "/api/chat", "kind": kind}
    assert heard(body, 404, **ask) == Answer(whole=True, error="model 'llama9' not found")  # type: ignore[arg-type] # as named
    for end in range(2, len(body)):
        assert not heard(body[:end], 404, **ask).whole  # type: ignore[arg-type] # as named
        assert not heard(body[:end], 200, **ask).whole  # type: ignore[arg-type] # as named


def test_what_is_no_json_is_not_called_cut() -> None:
    assert not is_cut(b"[2026-11-23] started", thoroughly=True) or not is_json(b"text/plain")
    assert heard(b"[2026-11-23] out of memory", 500, kind=b"text/plain") == Answer(
        whole=True, error="HTTP 500: [2026-11-23] out of memory"
    )
    assert is_json(b"application/problem+json; charset=utf-8") and not is_json(b"application/x-ndjson")
    assert not is_cut(b"\xef\xbb\xbf{}\n", thoroughly=True) and is_cut(b'{"a": {}', thoroughly=True)


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/models/unread"])
async def test_an_error_that_comes_by_half_is_on_the_tape_as_half(tmp_path: Path, path: str) -> None:
    body = recorded("overloaded.json")
    head = b"content-type: application/json\r\n"
    short = fixed(b"529 Overloaded", head + b"content-length: %d\r\n" % len(body), body[:-9], close=True)
    unframed = fixed(b"529 Overloaded", head + b"connection: close\r\n", body[:-9], close=True)
    for handler, said in ((short, "the provider's answer broke off"), (unframed, "HTTP 529: it breaks off: {")):
        folder = tmp_path / said[:4]
        folder.mkdir()
        async with rig(folder, handler) as r:
            client = await r.client()
            await client.ask(path=path)
            status, _, _, _ = await client.answer()
            call = await r.call()
            assert (status, call.status, call.complete) == (529, 529, False)
            assert call.error.startswith(said)
            assert tapes.response(r.store, call) == body[:-9]


async def test_an_unread_path_says_what_the_provider_said(tmp_path: Path) -> None:
    body = json.dumps({"error": {"message": f"No such file; key {KEY}"}}).encode()
    async with rig(tmp_path, whole(b"404 Not Found", body)) as r:
        client = await r.client()
        await client.ask("GET", "/v1/files/x", b"")
        await client.answer()
        call = await r.call()
        assert (call.complete, call.error[:29]) == (True, "HTTP 404: No such file; key s")
        assert KEY not in call.error


async def test_a_page_of_a_load_balancer_is_said(tmp_path: Path) -> None:
    page = b"<html><head><title>504 Gateway Time-out</title></head></html>"
    async with rig(tmp_path, whole(b"504 Gateway Time-out", page, HTML), protocol="openai") as r:
        client = await r.client()
        await client.ask(path="/v1/chat/completions")
        await client.answer()
        call = await r.call()
        assert (call.complete, call.error) == (True, "HTTP 504: 504 Gateway Time-out")


@pytest.mark.parametrize("name", STREAMS)
def test_half_a_stream_is_not_whole(name: str) -> None:
    recording = RECORDINGS[name]
    for end in range(1, recording.end_at, 5):
        hearing = listener(recording)
        hearing.take(recording.body[:end])
        assert not hearing.finish(recording.body[:end], 200).whole, recording.body[:end]
