"""Content codings come off whole however the bytes are cut, and nothing that claims to be in one does harm."""

import gc
import gzip
import resource
import tracemalloc
import zlib
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.proxy.decoding import PIECE, CannotDecodeError, Decoder, pieces
from backends.proxy.headers import get, kept, to_client, to_upstream
from backends.proxy.holding import Hold
from tests.proxyrig import compress

brotli = import_module("brotli")  # which has no types
PLAIN = b"The quick brown fox. " * 50


def bare(data: bytes) -> bytes:
    inner = zlib.compressobj(wbits=-15)
    return inner.compress(data) + inner.flush()


CODED = {
    "gzip": gzip.compress(PLAIN),
    "x-gzip": gzip.compress(PLAIN),
    "deflate": zlib.compress(PLAIN),
    "zstd": zstandard.ZstdCompressor().compress(PLAIN),
    "br": brotli.compress(PLAIN),
    "identity": PLAIN,
    "": PLAIN,
    "gzip, zstd": zstandard.ZstdCompressor().compress(gzip.compress(PLAIN)),
    " GZIP ": gzip.compress(PLAIN),
}


@pytest.mark.parametrize("encoding", CODED)
@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_it_comes_off_in_pieces_of_any_size(encoding: str, step: int) -> None:
    decoder, body = Decoder(encoding), CODED[encoding]
    assert b"".join(decoder.decode(body[at : at + step]) for at in range(0, len(body), step)) == PLAIN


@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_members_and_frames_follow_each_other(step: int) -> None:
    for encoding, body in (
        ("gzip", gzip.compress(b"one ") + gzip.compress(b"two ") + gzip.compress(b"three")),
        ("zstd", b"".join(zstandard.ZstdCompressor().compress(part) for part in (b"one ", b"two ", b"three"))),
    ):
        decoder = Decoder(encoding)
        assert b"".join(decoder.decode(body[at : at + step]) for at in range(0, len(body), step)) == b"one two three"


@pytest.mark.parametrize("encoding", CODED)
def test_nothing_of_a_decoder_outlives_it(encoding: str) -> None:
    """A window of zstd's takes megabytes, and a proxy runs for days."""

    def alive() -> int:
        gc.collect()
        return sum(type(found).__module__ == Decoder.__module__ for found in gc.get_objects())

    before = alive()
    for _ in range(3):
        Decoder(encoding).decode(CODED[encoding])
    assert alive() == before


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd", "br"])
def test_nothing_of_a_bomb_outlives_it(encoding: str) -> None:
    bomb = compress(encoding, bytes(1 << 20))

    def refuse(times: int) -> int:
        for _ in range(times):
            with pytest.raises(CannotDecodeError):
                Decoder(encoding, 1000).decode(bomb)
        gc.collect()
        return resident()

    before = refuse(50)
    # What libraries allocate themselves only the system counts: 200 buffers of 128 KiB are 25 MiB.
    assert refuse(200) - before < 8 << 20


def resident() -> int:
    """Bytes of memory that this process has; where the system doesn't tell, at their most so far."""
    if (statm := Path("/proc/self/statm")).exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def test_deflate_may_lack_its_header() -> None:
    assert Decoder("deflate").decode(bare(PLAIN)) == PLAIN
    decoder = Decoder("deflate")
    assert b"".join(decoder.decode(bytes([byte])) for byte in bare(PLAIN)) == PLAIN


@pytest.mark.parametrize("encoding", ["lzma", "gzip, compress", "br;q=1"])
def test_an_unknown_coding_is_said_at_once(encoding: str) -> None:
    with pytest.raises(CannotDecodeError, match="not known"):
        Decoder(encoding)


def bomb(encoding: str, data: bytes) -> bytes:
    """Data with codings put on in their order."""
    for name in filter(None, encoding.split(", ")):
        data = brotli.compress(data, quality=5) if name == "br" else compress(name, data)
    return data


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd", "br", "gzip, gzip", "gzip, br", "zstd, gzip, br"])
def test_a_bomb_is_not_decoded(encoding: str) -> None:
    """Neither kept nor made: what comes out at once is bounded, however little goes in."""
    packed = bomb(encoding, bytes(100_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(CannotDecodeError, match="more than is read"):
            Decoder(encoding, limit=1_000_000).decode(packed)
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd", "br"])
def test_as_much_as_is_read_is_read(encoding: str) -> None:
    packed = bomb(encoding, bytes(300_000))
    assert Decoder(encoding, limit=300_000).decode(packed) == bytes(300_000)
    with pytest.raises(CannotDecodeError, match="more than is read"):
        Decoder(encoding, limit=299_999).decode(packed)


def test_a_body_has_few_codings() -> None:
    with pytest.raises(CannotDecodeError, match="4 codings"):
        Decoder("gzip, gzip, gzip, gzip")


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["gzip", "deflate", "zstd", "br", "gzip, zstd"]), st.lists(st.binary(max_size=30), max_size=5))
def test_garbage_is_refused_or_read_and_nothing_else(encoding: str, given: list[bytes]) -> None:
    decoder = Decoder(encoding)
    with suppress(CannotDecodeError):
        for piece in given:
            decoder.decode(piece)
    with suppress(CannotDecodeError):
        list(pieces(encoding, b"".join(given)))


LARGE = b"".join(b"%d " % number for number in range(200_000))


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd", "br", "gzip, zstd, br", ""])
def test_a_whole_body_is_read_a_piece_at_a_time(encoding: str) -> None:
    packed = bomb(encoding, LARGE)
    found = list(pieces(encoding, packed))
    # Brotli rounds up.
    assert b"".join(found) == LARGE and max(map(len, found)) <= (2 * PIECE if encoding == "br" else PIECE)
    # A body that breaks off says what it says up to there.
    cut = b"".join(pieces(encoding, packed[:-1000]))
    assert LARGE.startswith(cut) and 2 * len(cut) > len(LARGE)
    with pytest.raises(CannotDecodeError, match="more than is read"):
        list(pieces(encoding, packed, len(LARGE) - 1))
    assert len(b"".join(pieces(encoding, packed, len(LARGE)))) == len(LARGE)


def test_pieces_of_what_else_is_in_use() -> None:
    for encoding, body in CODED.items():
        assert b"".join(pieces(encoding, body)) == PLAIN
    assert b"".join(pieces("deflate", bare(PLAIN))) == PLAIN
    for encoding, parts in (
        ("gzip", (gzip.compress(b"one "), gzip.compress(b"two"))),
        ("zstd", (bomb("zstd", b"one "), bomb("zstd", b"two"))),
    ):
        assert b"".join(pieces(encoding, b"".join(parts))) == b"one two"
    for encoding in ("lzma", "gzip, gzip, gzip, gzip"):
        with pytest.raises(CannotDecodeError):
            list(pieces(encoding, b""))
    for encoding in ("gzip", "deflate", "zstd", "br"):
        assert list(pieces(encoding, b"")) in ([], [b""])


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd", "br", "gzip, gzip", "zstd, gzip, br"])
def test_pieces_of_a_bomb_are_small(encoding: str) -> None:
    packed = bomb(encoding, bytes(100_000_000))
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        assert sum(map(len, pieces(encoding, packed))) == 100_000_000
        assert tracemalloc.get_traced_memory()[1] - before < 1_000_000
    finally:
        tracemalloc.stop()


PIECES = st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=10)


@given(PIECES)
def test_a_body_with_a_length_is_held_at_its_last_byte(pieces: list[bytes]) -> None:
    body = b"".join(pieces)
    hold = Hold(len(body))
    assert b"".join(hold.take(piece, None) for piece in pieces) == body[:-1]
    assert hold.rest() == body[-1:]


@given(PIECES)
def test_a_body_without_one_is_held_at_its_last_piece(pieces: list[bytes]) -> None:
    hold = Hold(None)
    assert b"".join(hold.take(piece, None) for piece in pieces) == b"".join(pieces[:-1])
    assert hold.rest() == pieces[-1]


@given(PIECES, st.lists(st.integers(0, 30), min_size=10, max_size=10))
def test_an_event_stream_is_held_from_where_its_end_may_be(pieces: list[bytes], behind: list[int]) -> None:
    hold, came, gone = Hold(None), 0, b""
    for piece, back in zip(pieces, behind, strict=False):
        came += len(piece)
        safe = max(came - back, 0)
        gone += hold.take(piece, safe)
        assert len(gone) >= safe
    assert gone + hold.rest() == b"".join(pieces)


def test_headers_are_compared_without_case_and_kept_in_order() -> None:
    headers = [(b"Connection", b"X-Hop"), (b"x-hop", b"1"), (b"B", b"2"), (b"a", b"3"), (b"b", b"4"), (b"Cookie", b"c")]
    assert to_upstream(headers) == [(b"B", b"2"), (b"a", b"3"), (b"b", b"4")]
    assert get(headers, b"b") == b"2, 4" and get(headers, b"none") == b""
    assert kept([(b"Authorization", b"x"), (b"Set-Cookie", b"y"), (b"Date", b"\xe9")]) == [("Date", "é")]
    lengthy = [(b"Content-Length", b"3"), (b"Transfer-Encoding", b"chunked")]
    assert to_client(lengthy, length=True) == [(b"Content-Length", b"3")]
    assert to_client(lengthy, length=False) == []
