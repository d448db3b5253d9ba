"""Where fuzzing begins: answers as providers sent them, requests in which their messages come back, in every coding,
and what is known to be hard."""

import json
from itertools import pairwise
from typing import Any

from backends.proxy.routes import PROTOCOLS
from tests.conformance import RECORDINGS, Recording, understood
from tests.proxyrig import compress, recorded
from tests.proxyrig import split as events_of

CODINGS = ("", "gzip", "br", "zstd", "deflate", "gzip, br", "br, zstd, gzip", "x-unknown", "identity")
CONVERSATIONS = ("messages", "input", "contents", "")
ENDPOINTS = (
    ("anthropic", "/v1/messages"),
    ("openai", "/v1/chat/completions"),
    ("openai", "/v1/responses"),
    ("openai", "/v1/embeddings"),
    ("gemini", "/v1beta/models/m:streamGenerateContent"),
    ("gemini", "/v1beta/models/m:embedContent"),
)

LONGEST = 8192
"""Bytes of an input. The recorded answers have up to 10,000; the longest lose events from their middle."""

KEYS = (
    "sk-ant-api03-" + "Ab3_" * 24,
    "sk-proj-" + "x9Yz" * 12,
    "AIzaSy" + "D4e-" * 9,
    "ghp_" + "a1B2" * 9,
    "mt-" + "k7Qp" * 8,
    "AKIA" + "J7QX" * 4,
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
    "Authorization: Basic dXNlcjpwYXNzd29yZDEyMzQ=",
    "https://user:hunter2@example.com",
    "?key=0123456789abcdef",
    "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\n-----END PRIVATE KEY-----",
)
"""Secrets of known forms."""

TOKENS = (
    *(
        b"{",
        b"}",
        b"[",
        b"]",
        b":",
        b",",
        b'"',
        b"\\",
        b"\\u",
        b"\\ud83d",
        b"\xf0\x9f\x98\x80",
        b"\xff",
        b"\xed\xa0\x80",
    ),
    *(b"\n", b"\r", b"\r\n", b"\n\n", b" ", b"data: ", b"event: ", b"event:message_stop", b"[DONE]", b"\xef\xbb\xbf"),
    *(b"null", b"true", b"1e400", b"-0.0", b"0.1", b"9" * 30, b"NaN", b'"model"', b'"messages"', b'"content"'),
    *(b'"max_tokens"', b'"n":2', b'"stream":true', b'"role":"assistant"', b'"text"', b'"parts"', b'"input"', b'"type"'),
    *(b"sk-ant-api03-", b"eyJ", b"-----BEGIN PRIVATE KEY-----", b"://", b"@", b"key=", b"%", b"%2e", b"/", b"?", b";"),
    *(b"connection: ", b"host: ", b"x-api-key: ", b"x_api_key:", b"authorization: bearer mt-", b"cookie:", b"/k/"),
)
"""What inputs are made of."""

IMAGE = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo" * 8}
ASKS: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        "messages",
        {
            "model": "claude-sonnet-4-5",
            "max_tokens": 64,
            "stream": True,
            "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
            "tools": [{"name": "ls", "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}}}],
            "metadata": {"user_id": "user_1_session_2"},
            "messages": [
                {"role": "user", "content": "Why?"},
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "Hm.", "signature": "EqQBCkYIBxgCKkA="},
                        {"type": "tool_use", "id": "toolu_1", "name": "ls", "input": {"path": ".", "cache_control": 1}},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "tool_result",
                            "tool_use_id": "toolu_1",
                            "content": [{"type": "image", "source": IMAGE}],
                        },
                        {"type": "text", "text": "<system-reminder>today</system-reminder>"},
                        {"type": "text", "text": "Go on.", "cache_control": {"type": "ephemeral"}, "citations": None},
                    ],
                },
            ],
        },
    ),
    (
        "messages",
        {
            "model": "gpt-4.1",
            "max_completion_tokens": 9,
            "n": 2,
            "messages": [
                {"role": "developer", "content": "Be brief."},
                {
                    "role": "assistant",
                    "content": None,
                    "reasoning_content": "Hm.",
                    "tool_calls": [
                        {"id": "c1", "type": "function", "index": 0, "function": {"name": "f", "arguments": '{"a": 1}'}}
                    ],
                },
                {"role": "tool", "tool_call_id": "c1", "content": "x"},
                {"role": "assistant", "content": "", "annotations": [], "refusal": None},
                {"role": "assistant", "tool_calls": [{"id": "c2", "function": {"name": "f", "arguments": ""}}]},
            ],
        },
    ),
    (
        "input",
        {
            "model": "gpt-4o-mini",
            "instructions": "Be brief.",
            "max_output_tokens": 16,
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "Why?"}]},
                {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA"},
                {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "ls", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c1", "output": "x", "status": "completed"},
            ],
        },
    ),
    ("input", {"model": "gpt-4o-mini", "input": "Go on.", "previous_response_id": "resp_1", "store": True}),
    (
        "contents",
        {
            "systemInstruction": {"parts": [{"text": "Be brief."}]},
            "contents": [
                {"parts": [{"text": "Why?"}]},
                {"role": "model", "parts": [{"text": "Hm", "thought": True}, {"text": "Be"}]},
                {
                    "role": "model",
                    "parts": [{"text": "cause"}, {"functionCall": {"name": "f", "args": {}, "id": None}}],
                },
                {"role": "user", "parts": [{"inlineData": {"mimeType": "image/png", "data": "a-_b"}}]},
            ],
            "generationConfig": {"maxOutputTokens": 100, "temperature": 0.5},
        },
    ),
)
"""Requests as agents send them: the member with the conversation, and the value."""

HARD = (
    b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":[{"type":"text","text":"\\ud800"}]}]}',
    b'{"contents":[{"parts":[{"text":"a"}]}],"generationConfig":{"maxOutputTokens":1e400}}',
    b'{"a":123456789012345678901234567890,"b":-0.0,"c":1e22,"d":0.1,"e":1E+2}',
    b'{"model":"m","a":1,"a":0.1,"\\u006dodel":"n"}',
    b'{"model":"m","MODEL":"n","stream":1,"max_tokens":0}',
    b'{"max_tokens":5,"max_completion_tokens":9,"n":3,"stream":"true"}',
    b' {"messages" : [ {"role":"user", "content":"\xc3\xa9"} , {"role":"user","content":"b"} ] , "Model":"n"}',
)
HEADS = (
    b"/v1/messages?beta=true\nhost: 127.0.0.1:8080\nx-api-key: mt-secret\nconnection: x-a, close\nx-a: 1",
    b"/k/mt-1/v1/chat/completions\nHost: localhost\nAuthorization: bearer sk-1\nx-claude-code-session-id: 1f\nte: x",
    b"/v1beta/models/m:generateContent?alt=sse&key=AIza1&x=%2e;api_key=mt-2\nx_goog_api_key: 3\nCookie: a=b\nexpect: 1",
    b"/v1/a?KEY=1&a=2&k%65y=3\nConnection: X-A\nx-a: 1\nAuthorization: BEARER mt-1",
    b"/v1\\..\\a?&a=1;api_key=2",
    b"/v1/a%0db",
    b"/v1/a/%2e%2e/..;x/\\b\ncontent-length: 3\nset-cookie: c=d\nx-amz-security-token: 9\nuser-agent: x/1 (key=abc)",
)


def split(data: bytes) -> tuple[int, bytes]:
    """A choice, and the rest."""
    return (data[0], data[1:]) if data else (0, b"")


def pieces(choice: int, data: bytes) -> list[bytes]:
    """The data cut up, somehow that depends on it."""
    cuts, step = [0], choice % 7 + 1
    while cuts[-1] < len(data):
        cuts.append(min(cuts[-1] + 1 + data[cuts[-1]] % (step * 3), len(data)))
    return [data[a:b] for a, b in pairwise(cuts)]


def coded(coding: str, body: bytes) -> bytes:
    """A body in those codings, put on in their order."""
    for name in filter(None, coding.split(", ")):
        body = compress(name, body)
    return body


def _short(body: bytes) -> bytes:
    events = events_of(body)
    while len(body) >= LONGEST and len(events) > 2:
        del events[len(events) // 2]
        body = b"".join(events)
    return body[: LONGEST - 1]


def _conversation(recording: Recording) -> str:
    return PROTOCOLS[recording.protocol].conversation("POST", recording.path)


def _asks() -> list[tuple[str, bytes]]:
    """Requests: those above, and those in which what was answered comes back."""
    again = [
        (member, {"model": "m", member: [*asked, *said]})
        for recording in RECORDINGS.values()
        if (member := _conversation(recording)) and (said := understood(recording).messages)
        for asked in [next(value[member][:1] for name, value in ASKS if name == member)]
    ]
    written = [(member, json.dumps(value, separators=(",", ":")).encode()) for member, value in (*ASKS, *again)]
    spaced = [(member, json.dumps(value, indent=1, ensure_ascii=False).encode()) for member, value in ASKS]
    return [(member, body[:LONGEST]) for member, body in (*written, *spaced, *(("messages", body) for body in HARD))]


def _choice(name: str, of: tuple[str, ...]) -> bytes:
    return bytes([of.index(name)])


def seeds(target: str) -> list[bytes]:
    """Inputs of a target that is in `tests.fuzzing`."""
    if target == "head":
        return list(HEADS)
    if target == "secrets":
        plain = [bytes([at]) + f'first "{key}",\n{key}\\n'.encode() for at, key in enumerate(KEYS)]
        # A letter that is two in lower case.
        return plain + [bytes([255 - at]) + "\u0130".encode() * 9 for at in range(len(KEYS))]
    asks = _asks()
    if target == "recorded":
        return [_choice(member, CONVERSATIONS) + body for member, body in asks]
    if target == "values":
        return [body for _, body in asks]
    if target == "request":
        some = [_choice(name, CODINGS) + coded(name, asks[0][1]) for name in CODINGS[1:7]]
        return [b"\0" + body for _, body in asks] + some
    if target == "decoding":
        bodies = asks[0][1], recorded("text.sse"), b"x" * 3000
        packed = [_choice(name, CODINGS) + coded(name, body) for name in CODINGS[:7] for body in bodies]
        return packed + [bytes([0x80 + at]) + body for at in range(7) for body in bodies]
    answers = [(one, _short(one.body)) for one in RECORDINGS.values()]
    answers += [
        (RECORDINGS["hello.sse"], recorded(name)) for name in ("tools-crlf.sse", "unknown.sse", "surrogate.sse")
    ]
    if target == "events":
        small = [
            b"\0event: a\r\ndata:  b\r\n\r\ndata\r\n\r\n",
            b"\0\xef\xbb\xbf\xef\xbb\xbfdata: a\r\rdata: b\n\n:\ndata: c",
        ]
        return small + [bytes([at % 7]) + body for at, (one, body) in enumerate(answers) if one.streamed]
    return [
        bytes([at | (0x80 if one.streamed else 0) | packed]) + body
        for one, body in answers
        for at in [_endpoint(one)]
        for packed in (0, 0x40)
        if at is not None
    ]


def _endpoint(recording: Recording) -> int | None:
    """That of those above whose answers have the same reader."""

    def reader(protocol: str, path: str) -> type:
        return type(PROTOCOLS[protocol].reader("POST", path, lambda kind, text: None))

    own = reader(recording.protocol, recording.path)
    return next((at for at, endpoint in enumerate(ENDPOINTS) if reader(*endpoint) is own), None)
