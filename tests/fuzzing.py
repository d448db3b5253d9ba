"""Targets for fuzzing: each takes bytes, and raises where something that must hold does not. Hypothesis feeds them in
the ordinary tests; `python -m tests.fuzzing TARGET FOLDER SECONDS` has atheris look for what it doesn't think of.

What a target may meet is the declared errors, and nothing else.
"""

import gc
import json
import sys
from collections.abc import Callable
from functools import partial
from itertools import count, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FunctionType
from typing import Any

from sqlalchemy import Connection

from backends.proxy.budget import is_unclear
from backends.proxy.decoding import CannotDecodeError, Decoder
from backends.proxy.headers import Headers, kept, to_client, to_upstream
from backends.proxy.identity import address, host_name, is_odd, kept_query, thread, without_keys
from backends.proxy.incoming import RefusedError, read_asked
from backends.proxy.listening import Listener
from backends.proxy.routes import PROTOCOLS
from backends.proxy.sse import EventReader
from store import exact, jsonwalk, tapes
from store.database import Store, open_store
from store.domain import canonical
from store.domain import kept as forms
from store.domain.safe_text import safe
from store.domain.secrets import mask
from tests.jsonvalues import same
from tests.proxyrig import recorded

CODINGS = (b"", b"gzip", b"br", b"zstd", b"deflate", b"gzip, br", b"br, zstd, gzip", b"x-unknown", b"identity")
CONVERSATIONS = ("messages", "input", "contents", "")
ENDPOINTS = (
    ("anthropic", "/v1/messages"),
    ("openai", "/v1/chat/completions"),
    ("openai", "/v1/responses"),
    ("openai", "/v1/embeddings"),
    ("gemini", "/v1beta/models/m:streamGenerateContent"),
    ("gemini", "/v1beta/models/m:embedContent"),
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


def request(data: bytes) -> None:
    """What is read of a request before it goes on."""
    choice, body = split(data)
    coding = CODINGS[choice % len(CODINGS)]
    try:
        asked = read_asked([(b"content-encoding", coding)], body)
    except RefusedError:
        return
    assert asked.most_output is None or asked.most_output >= 0
    asked.model.encode("utf-8", "surrogatepass")
    assert asked.plain == body or coding not in (b"", b"identity")
    assert is_unclear(asked.plain) in (True, False)
    for protocol, path in ENDPOINTS:
        model, stream = PROTOCOLS[protocol].asked(path, asked.model, asked.stream)
        assert (type(model), type(stream)) == (str, bool)


def decoding(data: bytes) -> None:
    """A coded body in pieces is what it is whole, or neither can be read."""
    choice, body = split(data)
    coding = CODINGS[choice % 7].decode()

    def decoded(parts: list[bytes]) -> tuple[bytes, bool]:
        decoder, out = Decoder(coding, 1 << 20), b""
        try:
            for part in parts:
                out += decoder.decode(part)
        except CannotDecodeError:
            return out, False
        return out, True

    whole, complete = decoded([body] if body else [])
    cut, also = decoded(pieces(choice, body))
    assert complete is also and (whole == cut if complete else cut.startswith(whole))


def head(data: bytes) -> None:
    """A request's path, query and headers."""
    path, _, query = data.decode("latin-1").partition("?")
    found = address("/" + path, (), query)
    assert isinstance(is_odd(found.path), bool)
    assert not address("/", (), without_keys(query)).secret
    assert kept_query(kept_query(query)) == kept_query(query)
    assert without_keys(without_keys(query)) == without_keys(query)
    lines = [line.partition(b":") for line in data.split(b"\n")]
    headers: Headers = [(name, value) for name, _, value in lines]
    host_name(headers)
    assert len(thread(headers)) <= 200
    address("/v1", headers)
    for pairs in (to_upstream(headers), to_upstream(headers, own_key=True), to_client(headers, length=False)):
        assert all(pair in headers for pair in pairs)
    assert len(kept(headers)) <= len(headers)


def events(data: bytes) -> None:
    """An event stream in pieces is what it is whole."""
    choice, stream = split(data)

    def read(parts: list[bytes]) -> list[tuple[str, bytes]]:
        reader, found, came = EventReader(), [], 0
        for part in parts:
            came += len(part)
            for event in reader.feed(part):
                assert 0 <= event.start < event.end <= came
                found.append((event.name, event.data))
            assert reader.start + reader.pending == came
        if (last := reader.finish()) is not None:
            found.append((last.name, last.data))
        return found

    assert read([stream]) == read(pieces(choice, stream)) == read([stream[at : at + 1] for at in range(len(stream))])


def answer(data: bytes) -> None:
    """An answer of any protocol in pieces is what it is whole, and is never too much for its reader."""
    choice, body = split(data)
    protocol, path = ENDPOINTS[choice % len(ENDPOINTS)]
    stream = bool(choice & 0x80)

    def heard(parts: list[bytes]) -> str:
        head = [(b"content-type", b"text/event-stream" if stream else b"application/json")]
        listener = Listener(head, PROTOCOLS[protocol].reader("POST", path, lambda kind, text: None))
        came = 0
        for part in parts:
            came += len(part)
            safe_to = listener.take(part)
            assert safe_to is None or 0 <= safe_to <= came
        said = listener.finish(body)
        assert "fault" not in said.error
        json.dumps(said.messages)
        return repr(said)

    assert heard([body] if body else []) == heard(pieces(choice, body))


def _read(parse: Callable[[bytes], Any], data: bytes) -> tuple[str, Any]:
    """What kept it from being read, "" for nothing, and the value."""
    try:
        return "", parse(data)
    except canonical.InexactError:
        return "inexact", None
    except ValueError:
        return "no JSON", None


def values(data: bytes) -> None:
    """JSON as it is kept: read exactly or not at all, the same fast and slow, and back to the same value."""
    read = [_read(parse, data) for parse in (canonical.parse, exact.parse)]
    assert read[0][0] == read[1][0]
    if read[0][0]:
        return
    value = read[0][1]
    assert same(exact.parse(data), value)
    form = canonical.canonical(value)
    assert same(canonical.parse(form), value) and canonical.canonical(canonical.parse(form)) == form
    assert same(exact.loads(exact.dumps(value)), value)
    assert canonical.request_digest(value) == canonical.request_digest(canonical.parse(form))
    if isinstance(value, dict):
        for conversation in CONVERSATIONS:
            message, overlay = forms.split(value, conversation)
            assert same(forms.join(message, overlay), value)
            again, nothing = forms.split(message, conversation)
            assert same(again, message) and (nothing is None or same(forms.join(again, nothing), message))
        for member in value:
            if isinstance(value[member], list) and all(isinstance(item, dict) for item in value[member]):
                at = jsonwalk.start(data, member)
                assert at is not None
                found = jsonwalk.items(data, at, first=True)
                assert same(found.items, value[member])
                assert data[found.close : found.close + 1] == b"]"


def secrets(data: bytes) -> None:
    """Masking keeps every place, and is done once."""
    text = data.decode("utf-8", "surrogateescape")
    masked = mask(text)
    assert len(masked) == len(text) and mask(masked) == masked
    assert all(a == b or b == "*" for a, b in zip(text, masked, strict=True))
    assert len(mask(safe(text))) == len(safe(text))


def _record(name: str, run: str, body: bytes, conversation: str, connection: Connection) -> None:
    start = tapes.CallStart(name, 1.0, run, None, "p", "POST", "/", body, conversation=conversation)
    end = tapes.CallEnd(id=name, at=2.0, status=200, complete=True, response=b"{}")
    tapes.record_call(connection, start, end)


class Recorded:
    """A request on a tape, and back."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._number = count()

    def __call__(self, data: bytes) -> None:
        choice, body = split(data)
        run = f"r{next(self._number)}"
        conversation = CONVERSATIONS[choice % 4]
        # Twice, and once more with something behind it: what is known of a conversation is used.
        for at, sent in enumerate((body, body, body.replace(b"]", b',{"role":"user","content":"go on"}]', 1))):
            job = partial(_record, f"{run}c{at}", run, sent, conversation)
            self._store.write(job)
        assert tapes.verify(self._store, run) == []


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target for target in (request, decoding, head, events, answer, values, secrets)
}


def seeds(target: str) -> list[bytes]:
    """Where to begin: answers as they were recorded, and what is known to be hard."""
    names = ("text.sse", "chat-text.sse", "responses-text.sse", "gemini-text.sse", "tools-crlf.sse", "message.json")
    bodies = [recorded(name)[:2000] for name in names]
    asks = [
        b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":[{"type":"text","text":"\\ud800","cache_control":{}}]}]}',
        b'{"model":"m","input":[{"type":"function_call_output","call_id":"c","output":"x"}],"n":2}',
        b'{"contents":[{"parts":[{"text":"a"}]}],"generationConfig":{"maxOutputTokens":1e400}}',
        b'{"a":123456789012345678901234567890,"a":0.1,"b":-0.0,"c":1e22}',
        b"key=AIza" + b"x" * 35 + b"&sk-ant-api03-" + b"y" * 95,
    ]
    return [bytes([choice]) + data for choice in (0, 1, 0x80, 0x82, 0x84) for data in (*bodies, *asks)]


def main() -> None:
    """Fuzz one target for some seconds; it ends badly, with the input in the folder, when something does not hold."""
    import atheris  # type: ignore[import-untyped] # it ships no types

    name, folder, length = sys.argv[1:]
    corpus = Path(folder)
    for number, seed in enumerate(seeds(name)):
        (corpus / f"seed{number}").write_bytes(seed)
    options = [
        sys.argv[0],
        str(corpus),
        f"-max_total_time={length}",
        "-max_len=4096",
        f"-artifact_prefix={folder}/bad-",
    ]
    with TemporaryDirectory() as temporary, open_store(Path(temporary) / "store.sqlite3") as store:
        target = Recorded(store) if name == "recorded" else TARGETS[name]
        # Only what is ours: all that is loaded would take minutes.
        for function in gc.get_objects():
            if isinstance(function, FunctionType) and str(function.__module__).startswith(("store.", "backends.")):
                atheris.instrument_func(function)
        atheris.Setup([*options, "-timeout=30", "-rss_limit_mb=4096", "-verbosity=0"], target)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
