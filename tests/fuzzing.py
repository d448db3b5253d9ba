"""Targets for fuzzing: each takes bytes, and raises where something that must hold does not. Hypothesis feeds them in
the ordinary tests; coverage-guided, by atheris:

    python -m tests.fuzzing TARGET FOLDER SECONDS    looks for what hypothesis doesn't think of
    python -m tests.fuzzing TARGET FILE              one input again

What a target may meet is the declared errors, and nothing else. What comes out is compared with what is read another
way (`tests.oracles`).
"""

import gc
import json
import os
import re
import sys
import traceback
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FunctionType
from typing import Any
from urllib.parse import unquote, unquote_plus

from sqlalchemy import Connection

from backends.proxy.budget import is_unclear
from backends.proxy.decoding import CannotDecodeError, Decoder
from backends.proxy.headers import Headers, kept, to_client, to_upstream
from backends.proxy.holding import Hold
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
from tests.oracles import (
    CREDENTIALS,
    HOP_BY_HOP,
    PROVIDERS,
    SET_ANEW,
    attempt,
    by_the_standard,
    holds,
    is_deep,
    is_key,
    parameters,
    plain_name,
    written,
)
from tests.proxyrig import compressed
from tests.seeds import CODINGS, CONVERSATIONS, ENDPOINTS, KEYS, LONGEST, TOKENS, coded, pieces, seeds, split

MEMORY = 512
"""MiB that a fuzzer may take. Each levels off far below: what takes more holds on to something."""

FOUND = 77
"""What a fuzzer ends with that found something."""

SLOW = 60
"""Seconds that one input may take. They take milliseconds, but a busy machine may stand still for a while."""


def request(data: bytes) -> None:
    """What is read of a request before it goes on."""
    choice, body = split(data)
    coding = CODINGS[choice % len(CODINGS)].encode()
    try:
        asked = read_asked([(b"content-encoding", coding)], body)
    except RefusedError:
        return
    asked.model.encode("utf-8", "surrogatepass")
    assert asked.plain == body or coding not in (b"", b"identity")
    for protocol, path in ENDPOINTS:
        named = ("m", "stream" in path) if protocol == "gemini" else (asked.model, asked.stream)
        assert PROTOCOLS[protocol].asked(path, asked.model, asked.stream) == named
    unclear, value = is_unclear(asked.plain), asked.parsed.take()
    if value is None:
        assert (asked.model, asked.stream, asked.most_output) == ("", False, None)
        return
    members = json.loads(asked.plain.decode("utf-8", "replace"), object_pairs_hook=list)
    assert unclear or [name.lower() for name, _ in members].count("model") <= 1
    assert list(value) == list(dict(members))
    assert asked.model == (value["model"] if isinstance(value.get("model"), str) else "")
    assert asked.stream is (value.get("stream") is True)
    own = value.get("generationConfig", value.get("generation_config"))
    given = [found for among in (value, own) if isinstance(among, dict) for found in map(among.get, _MOST)]
    most = max((number for number in given if isinstance(number, int) and number >= 0), default=None)
    times = max(value["n"], 1) if isinstance(value.get("n"), int) else 1
    assert asked.most_output == (None if most is None else most * times)


_MOST = ("max_tokens", "max_completion_tokens", "max_output_tokens", "maxOutputTokens")


def decoding(data: bytes) -> None:
    """A coded body in pieces is what it is whole, or neither can be read; and it never becomes more than it may."""
    choice, body = split(data)
    coding = CODINGS[choice % 128 % 7]

    def decoded(parts: list[bytes], limit: int = 1 << 20) -> tuple[bytes, bool]:
        decoder, out = Decoder(coding, limit), b""
        try:
            for part in parts:
                out += decoder.decode(part)
        except CannotDecodeError:
            return out, False
        return out, True

    single, packed = bool(coding) and "," not in coding, body
    if choice & 0x80:
        half = len(body) // 2 if coding in ("gzip", "zstd") else 0
        packed = b"".join(coded(coding, part) for part in (body[:half], body[half:]) if part)
    whole, complete = decoded([packed])
    assert not choice & 0x80 or (whole, complete) == (body, True)
    cut, also = decoded(pieces(choice, packed))
    assert complete is also and (whole == cut if complete else cut.startswith(whole))
    few, fits = decoded(pieces(choice, packed), 100)
    assert cut.startswith(few)
    if single:
        assert len(few) <= 100 and (not complete or fits is (len(whole) <= 100))
        assert not complete or decoded([packed], len(whole)) == (whole, True)
        assert not complete or not whole or not decoded([packed], len(whole) - 1)[1]


def head(data: bytes) -> None:
    """A request's path, query and headers."""
    line, *rest = data.split(b"\n")
    path, _, query = line.decode("latin-1").partition("?")
    found = address(path, (), query)
    assert isinstance(is_odd(found.path), bool)
    steps = [segment.partition(";")[0] for segment in re.split(r"[/\\]", unquote(path))]
    if {".", ".."} & {*steps} or re.search("%(?:[01][0-9a-f]|7f)", path, re.IGNORECASE):
        assert is_odd(path)
    given = parameters(query)
    secrets = [unquote_plus(value) for name, equals, value in given if equals and is_key(name)]
    assert path.startswith("/k/") or found.secret == (secrets[0] if secrets else "")
    clean = [part for part in given if any(part) and not (part[1] and is_key(part[0]))]
    assert [part for part in parameters(without_keys(query)) if any(part)] == clean
    assert without_keys(query) == query or without_keys(query)[:1] not in ("&", ";")
    starred = [(name, equals, "***" if equals and is_key(name) else value) for name, equals, value in given]
    assert parameters(kept_query(query)) == starred
    own = parameters(without_keys(query, own_key=True))
    assert not any(is_key(name) and unquote_plus(value).startswith("mt-") for name, _, value in own)
    headers: Headers = [(name, value.strip()) for name, _, value in (part.partition(b":") for part in rest) if name]
    host_name(headers)
    assert len(thread(headers)) <= 200
    address("/v1", headers)
    gone = HOP_BY_HOP | {
        part.strip().lower() for name, value in headers if name.lower() == b"connection" for part in value.split(b",")
    }
    assert to_upstream(headers) == [
        pair for pair in headers if plain_name(pair[0]) not in gone | CREDENTIALS | SET_ANEW
    ]
    # The client's own keys for the provider go on, and never one that is a virtual key.
    own_key = [pair for pair in headers if plain_name(pair[0]) not in gone | (CREDENTIALS - PROVIDERS) | SET_ANEW]
    assert to_upstream(headers, own_key=True) == [
        (name, value)
        for name, value in own_key
        if plain_name(name) not in PROVIDERS or not re.search(rb"(?:^|\s)mt-", value)
    ]
    cookies = {b"set-cookie", b"set-cookie2"}
    assert to_client(headers, length=True) == [pair for pair in headers if plain_name(pair[0]) not in gone | cookies]
    assert not {b"content-length", *cookies} & {plain_name(name) for name, _ in to_client(headers, length=False)}
    assert not CREDENTIALS & {plain_name(name.encode("latin-1")) for name, _ in kept(headers)}
    assert [len(value) for name, value in kept(headers)] == [
        len(value) for name, value in headers if name.decode("latin-1") in dict(kept(headers))
    ]


_BLANK_LINE = re.compile(rb"(?>\r\n|\r|\n)[\r\n]")


def events(data: bytes) -> None:
    """An event stream in pieces is what it is whole."""
    choice, stream = split(data)

    def read(parts: list[bytes]) -> list[tuple[str, bytes]]:
        reader, found, came = EventReader(), [], 0
        for part in parts:
            came += len(part)
            for event in reader.feed(part):
                assert 0 <= event.start < event.end <= came
                # Behind a line's end: a byte order mark is one only where the stream begins.
                assert by_the_standard(b"\n" + stream[event.start : event.end]) == [(event.name, event.data)]
                found.append((event.name, event.data))
            assert reader.start + reader.pending == came
            assert not _BLANK_LINE.search(stream, reader.start, came)
        if (last := reader.finish()) is not None:
            found.append((last.name, last.data))
        return found

    expected = by_the_standard(stream)
    assert read([stream]) == expected
    assert read(pieces(choice, stream)) == expected
    assert len(stream) > 500 or read([stream[at : at + 1] for at in range(len(stream))]) == expected


def answer(data: bytes) -> None:
    """An answer of any protocol in pieces, coded or not, is what it is whole; it is never too much for its reader, and
    its end is held back."""
    choice, body = split(data)
    protocol, path = ENDPOINTS[choice % 0x40 % len(ENDPOINTS)]
    stream = bool(choice & 0x80)

    def agrees(rest: bytes) -> bool:
        """The next event has one name, which its data don't contradict: only what comes first is known early."""
        name, said = by_the_standard(rest)[0]
        problem, value = attempt(json.loads, said)
        kind = value.get("type") if not problem and isinstance(value, dict) else None
        names = re.findall(rb"(?:^|[\r\n])event:", rest[: rest.find(said)])
        return len(names) < 2 and kind in (None, "", name or kind)

    def heard(parts: list[bytes], coding: str = "") -> str:
        head = [(b"content-type", b"text/event-stream" if stream else b"application/json")]
        head += [(b"content-encoding", coding.encode())] if coding else []
        listener = Listener(head, PROTOCOLS[protocol].reader("POST", path, lambda kind, text: None))
        hold, came, gone = Hold(None), 0, 0
        for part in parts:
            came += len(part)
            safe_to = listener.take(part)
            assert safe_to is None or 0 <= safe_to <= came
            gone += len(hold.take(part, safe_to))
            assert listener.ended is None or gone <= listener.ended or not agrees(body[listener.ended :])
        assert came == gone + len(hold.rest())
        if not coding and len(parts) == 1 and listener.ended is not None:
            before = Listener(head, PROTOCOLS[protocol].reader("POST", path, lambda kind, text: None))
            before.take(body[: listener.ended])
            assert before.ended is None
        said = listener.finish(b"".join(parts))
        assert "a fault of the reader's own" not in said.error
        json.dumps(said.messages)
        return repr(said)

    whole = heard([body] if body else [])
    assert whole == heard(pieces(choice, body))
    if choice & 0x40:
        coding = CODINGS[1:5][len(body) % 4]
        assert whole == heard(compressed(coding, pieces(choice, body)), coding)


def _taken_apart(item: dict[str, Any], conversation: str) -> None:
    """A message and its kept form, which is that of itself."""
    message, overlay = forms.split(item, conversation)
    assert same(forms.join(message, overlay), item)
    again, nothing = forms.split(message, conversation)
    assert same(again, message) and (nothing is None or same(forms.join(again, nothing), message))


def values(data: bytes) -> None:
    """JSON as it is kept: read exactly or not at all, the same fast and slow, and back to the same value."""
    read = [attempt(parse, data) for parse in (canonical.parse, exact.parse)]
    assert read[0][0] == read[1][0]
    problem, value = read[0]
    if problem == "inexact" and not is_deep(data):
        # It was met before the end was: what comes after may be no JSON.
        no_json, roughly = attempt(json.loads, data)
        assert no_json or not holds(roughly, written(data.decode()))
    if problem or is_deep(data):
        return
    assert same(read[1][1], value) and holds(value, written(data.decode()))
    form = canonical.canonical(value)
    assert form == json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    assert same(canonical.parse(form), value)
    assert same(exact.loads(exact.dumps(value)), value)
    assert exact.form(value) == exact.form(canonical.parse(form))
    assert canonical.request_digest(value) == canonical.request_digest(canonical.parse(form))
    if isinstance(value, dict):
        for conversation in CONVERSATIONS:
            items = value.get(conversation)
            for item in [value, *(items if isinstance(items, list) else [])]:
                if isinstance(item, dict):
                    _taken_apart(item, conversation)
        for member in value:
            if isinstance(value[member], list) and all(isinstance(item, dict) for item in value[member]):
                at = jsonwalk.start(data, member)
                assert at is not None
                found = jsonwalk.items(data, at, first=True)
                assert same(found.items, value[member])
                assert data[found.close : found.close + 1] == b"]"
                for begin, end, item in zip([at, *found.ends], found.ends, found.items, strict=False):
                    assert same(exact.loads(data[begin:end].strip(b" \t\r\n,")), item)


def secrets(data: bytes) -> None:
    """Masking keeps every place, is done once, and hides what is known."""
    choice, body = split(data)
    text = body.decode("utf-8", "surrogateescape")
    masked = mask(text)
    assert len(masked) == len(text) and mask(masked) == masked
    assert all(a == b or (b == "*" and not a.isspace()) for a, b in zip(text, masked, strict=True))
    assert len(mask(safe(text))) == len(safe(text))
    key, at = KEYS[choice % len(KEYS)], choice * len(text) // 256
    shown = mask(f"{text[:at]} {key} {text[at:]}")[at + 1 :][: len(key)]
    assert key not in shown and "****" in shown


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
        # Twice, and with something behind it, and before it: what is known of a conversation is used.
        longer = body.replace(b"]", b',{"role":"user","content":"go on"}]', 1)
        for at, sent in enumerate((body, body, longer, longer.replace(b"{", b'{"x":1,', 1))):
            name = f"{run}c{at}"
            self._store.write(partial(_record, name, run, sent, conversation))
            self._comes_back(tapes.call(self._store, name), sent)
        assert tapes.verify(self._store, run) == []

    def _comes_back(self, call: tapes.Call, sent: bytes) -> None:
        if call.body is not None:
            assert tapes.request_body(self._store, call) == sent
        elif sent and not is_deep(sent):
            assert same(tapes.request(self._store, call), canonical.parse(sent))
            assert call.request_digest == canonical.request_digest(canonical.parse(sent))


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target for target in (request, decoding, head, events, answer, values, secrets)
}
NAMES = (*TARGETS, "recorded")


def main() -> None:
    """Fuzz one target for some seconds; it ends badly, with the input in the folder, when something does not hold. Or
    give it one input."""
    name, place = sys.argv[1], Path(sys.argv[2])
    with TemporaryDirectory() as temporary:
        # A fuzzer ends where it stands: what it leaves is in its folder.
        again = place.is_file()
        with open_store((Path(temporary) if again else place) / "store.sqlite3") as store:
            target = Recorded(store) if name == "recorded" else TARGETS[name]
            if again:
                target(place.read_bytes())
            else:
                _fuzz(name, target, place, int(sys.argv[3]))


def _fuzz(name: str, target: Callable[[bytes], None], folder: Path, seconds: int) -> None:
    import atheris  # type: ignore[import-untyped] # it ships no types

    def watched(data: bytes) -> None:
        try:
            target(data)
        except Exception:  # noqa: BLE001 - whatever it was
            # Here and now: libFuzzer's alarm may end a process that is on its way out, and the input with it.
            (folder / "bad-input").write_bytes(data)
            traceback.print_exc()
            os._exit(FOUND)

    corpus, tokens = folder / "corpus", folder / "tokens"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds(name)):
        (corpus / f"seed{number}").write_bytes(seed)
    tokens.write_text("".join('"' + "".join(map(r"\x{:02x}".format, token)) + '"\n' for token in TOKENS))
    options = {
        "max_total_time": seconds,
        "max_len": LONGEST,
        "dict": tokens,
        "artifact_prefix": f"{folder}/bad-",
        "timeout": SLOW,
        "report_slow_units": SLOW,
        "rss_limit_mb": MEMORY,
        "print_final_stats": 1,
    }
    # Only what is ours: all that is loaded would take minutes.
    for function in gc.get_objects():
        if isinstance(function, FunctionType) and str(function.__module__).startswith(("store.", "backends.")):
            atheris.instrument_func(function)
    atheris.Setup([sys.argv[0], str(corpus), *(f"-{option}={value}" for option, value in options.items())], watched)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
