"""An answer that repeats its client's own key: what the tape keeps of it, however it is packed."""

import asyncio
import json
import tracemalloc
from importlib import import_module

import pytest

from backends.proxy.decoding import PIECE
from backends.proxy.protocol import Answer
from backends.proxy.reflection import REPEATED, Kept, looked_through
from tests.proxyrig import compress

brotli = import_module("brotli")  # which has no types
KEY = b"sk-ant-api03-" + b"Zz9" * 20
STARS = b"*" * len(KEY)
CODINGS = ["gzip", "deflate", "zstd", "br", "gzip, zstd"]


def coded(coding: str, body: bytes) -> bytes:
    for name in coding.split(", "):
        # Of a large body brotli's best takes seconds.
        body = brotli.compress(body, quality=5) if name == "br" else compress(name, body)
    return body


def headers(coding: str, body: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"Content-Encoding", coding.encode()), (b"Content-Length", b"%d" % len(body)), (b"x-a", b"b")]


def notes(kept: Kept) -> tuple[str, ...]:
    return tuple(kept.answer(Answer()).notes)


@pytest.mark.parametrize("coding", CODINGS)
async def test_a_key_is_found_wherever_pieces_end(coding: str) -> None:
    for at in (0, PIECE - len(KEY), PIECE - len(KEY) + 1, PIECE - 30, PIECE - 1, PIECE, 3 * PIECE - 7):
        plain = b"x" * at + KEY + b"y" * (100_000 - at % 977)
        body = coded(coding, plain)
        kept = await looked_through([b"another key, of no use", KEY], headers(coding, body), body)
        assert kept is not None
        assert kept.body == plain.replace(KEY, STARS)
        assert (kept.headers, notes(kept)) == ([(b"x-a", b"b")], (REPEATED,))


@pytest.mark.parametrize("coding", ["", *CODINGS])
async def test_what_has_no_key_stays_as_it_came(coding: str) -> None:
    plain = b"".join(KEY[:n] + b"#" for n in range(len(KEY))) * 50
    body = coded(coding, plain) if coding else plain
    assert await looked_through([KEY], headers(coding, body), body) is None


@pytest.mark.parametrize("coding", ["", *CODINGS])
async def test_a_key_in_the_head_alone_leaves_the_body_as_it_came(coding: str) -> None:
    body = coded(coding, b"{}") if coding else b"{}"
    given = [*headers(coding, body), (b"x-echo", b"Bearer " + KEY)]
    kept = await looked_through([KEY], given, body)
    assert kept is not None
    assert (kept.body, kept.headers, notes(kept)) == (body, [*given[:-1], (b"x-echo", b"Bearer " + STARS)], (REPEATED,))


@pytest.mark.parametrize("coding", ["gzip", "zstd", "br"])
async def test_of_a_bomb_little_is_held_and_it_is_kept_as_it_came(coding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.proxy.reflection.MOST_SEARCHED", 50_000_000)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    body = coded(coding, bytes(100_000_000) + KEY)
    task = asyncio.create_task(others())
    tracemalloc.start()
    try:
        kept = await looked_through([KEY], headers(coding, body), body)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()
        task.cancel()
    assert turns > 100
    assert kept is not None
    assert (kept.body, kept.headers) == (body, headers(coding, body))
    (note,) = notes(kept)
    assert note == "not all of the answer could be searched for the client's own key: decodes to more than is read"


async def test_of_a_bomb_with_the_key_the_rest_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.proxy.reflection.MOST_SEARCHED", 1_000_000)
    body = coded("gzip", KEY + bytes(2_000_000) + KEY)
    kept = await looked_through([KEY], headers("gzip", body), body)
    assert kept is not None
    assert kept.body.startswith(STARS + b"\0") and 900_000 < len(kept.body) <= 1_000_000
    assert notes(kept) == (REPEATED, "what follows is not kept: decodes to more than is read")


async def test_what_cannot_be_unpacked_is_searched_as_it_came() -> None:
    for coding, body in (("gzip", b'{"error":"bad key %b"}' % KEY), ("lzma", KEY + b"\0\1")):
        given = headers(coding, body)
        kept = await looked_through([KEY], given, body)
        assert kept is not None
        assert (kept.body, kept.headers) == (body.replace(KEY, STARS), given)
        said = notes(kept)
        assert said[0] == REPEATED and "not all of the answer could be searched" in said[1]


async def test_one_that_breaks_off_is_searched_as_far_as_it_goes() -> None:
    plain = KEY + b"".join(b"%d " % number for number in range(50_000))
    for cut in (coded("gzip", plain)[:-1000], coded("gzip", plain)[:-5000] + b"\xff" * 5000):
        kept = await looked_through([KEY], headers("gzip", cut), cut)
        assert kept is not None and kept.body.startswith(STARS + b"0 1 2 ")
        assert plain.replace(KEY, STARS).startswith(kept.body[:PIECE])


async def test_stars_are_in_what_was_understood_as_well() -> None:
    body = json.dumps({"error": KEY.decode()}).encode()
    kept = await looked_through([KEY], [], body)
    assert kept is not None
    understood = kept.answer(
        Answer(error=f"bad {KEY.decode()}", messages=({"content": [KEY.decode(), 1]},), notes=("n",))
    )
    assert understood.error == f"bad {STARS.decode()}"
    assert list(understood.messages) == [{"content": [STARS.decode(), 1]}]
    assert tuple(understood.notes) == ("n", REPEATED)
