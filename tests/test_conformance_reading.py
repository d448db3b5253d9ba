"""Every recorded answer, however its bytes are cut or compressed: it is understood as the same, its bytes go on as they
came, and its end is held back from its first byte."""

import random
from collections.abc import Iterator

import pytest

from backends.proxy.decoding import Decoder
from backends.proxy.holding import Hold
from backends.proxy.listening import Listener
from backends.proxy.routes import PROTOCOLS
from tests.conformance import RECORDINGS, STREAMS, listener, understood
from tests.proxyrig import compressed, split

CODINGS = ["gzip", "br", "zstd", "deflate"]


def pieces(body: bytes, step: int) -> Iterator[bytes]:
    """The body in pieces of that size, or of random ones (0)."""
    random_ = random.Random(body[:64])
    at = 0
    while at < len(body):
        size = step or random_.randint(1, 300)
        yield body[at : at + size]
        at += size


@pytest.mark.parametrize("name", RECORDINGS)
@pytest.mark.parametrize("step", [1, 0, 10**9])
def test_it_is_the_same_answer_in_any_pieces(name: str, step: int) -> None:
    recording, heard = RECORDINGS[name], listener(RECORDINGS[name])
    for piece in pieces(recording.body, step):
        heard.take(piece)
    answer = heard.finish(recording.body)
    assert answer == understood(recording)
    assert (answer.whole, answer.error) == (recording.complete, recording.error)


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("headers", [[], [(b"content-type", b"text/plain")], [(b"content-type", b"application/json")]])
def test_a_stream_that_a_gateway_sends_as_something_else_is_read(name: str, headers: list[tuple[bytes, bytes]]) -> None:
    recording = RECORDINGS[name]
    heard = Listener(headers, PROTOCOLS[recording.protocol].reader("POST", recording.path, lambda kind, text: None))
    for piece in pieces(recording.body, 0):
        heard.take(piece)
    assert heard.finish(recording.body) == understood(recording)


@pytest.mark.parametrize("name", RECORDINGS)
@pytest.mark.parametrize("coding", CODINGS)
def test_it_is_the_same_answer_compressed(name: str, coding: str) -> None:
    recording = RECORDINGS[name]
    parts = split(recording.body) if recording.streamed else [recording.body]
    body = b"".join(compressed(coding, parts))
    for step in (1, 0, 10**9):
        heard = listener(recording, coding=coding)
        for piece in pieces(body, step):
            heard.take(piece)
        assert heard.finish(body) == understood(recording)


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("step", [1, 0, 10**9])
def test_bytes_go_on_as_they_came_all_but_the_end(name: str, step: int) -> None:
    recording = RECORDINGS[name]
    body, end = recording.body, recording.end_at
    hold, heard, gone = Hold(None), listener(recording), b""
    for piece in pieces(body, step):
        gone += hold.take(piece, heard.take(piece))
        assert len(gone) <= end, (gone[end:], step)
    assert gone == body[: len(gone)] and gone + hold.rest() == body
    if step == 1:
        # Nothing else was held back.
        assert len(gone) >= end - 1


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("coding", CODINGS)
def test_the_end_of_a_compressed_stream_is_held(name: str, coding: str) -> None:
    recording = RECORDINGS[name]
    hold, heard, gone = Hold(None), listener(recording, coding=coding), b""
    came = compressed(coding, split(recording.body))
    for piece in came:
        gone += hold.take(piece, heard.take(piece))
    assert gone + hold.rest() == b"".join(came)
    assert recording.end not in Decoder(coding).decode(gone)[recording.end_at :]
    assert len(Decoder(coding).decode(gone)) == recording.end_at


@pytest.mark.parametrize("length", [False, True])
@pytest.mark.parametrize("coding", CODINGS)
def test_the_end_of_a_compressed_body_is_held_though_only_the_codings_own_end_follows(
    coding: str, length: bool
) -> None:
    recording = RECORDINGS["chat.json"]
    body = recording.body
    came = compressed(coding, [body[:40], body[40:]])
    assert Decoder(coding).decode(b"".join(came[:2])) == body
    hold, heard, gone = Hold(len(b"".join(came)) if length else None), listener(recording, coding=coding), b""
    for piece in came:
        gone += hold.take(piece, heard.take(piece))
    assert Decoder(coding).decode(gone) == body[:40] and gone + hold.rest() == b"".join(came)
    assert heard.finish(b"".join(came)) == understood(recording)


def test_an_event_of_a_protocol_that_nobody_knows_waits_for_the_next() -> None:
    recording = RECORDINGS["chat-tools.sse"]
    from backends.proxy.listening import Listener
    from backends.proxy.routes import PROTOCOLS

    reader = PROTOCOLS["openai"].reader("POST", "/v1/threads/runs", lambda kind, text: None)
    heard, hold = Listener(recording.headers, reader), Hold(None)
    came = gone = b""
    for event in split(recording.body):
        gone += hold.take(event, heard.take(event))
        assert gone == came
        came += event
    assert heard.finish(came).whole
