"""Content codings taken off a copy of a body, piece by piece; what is passed on and stored stays as it came."""

import zlib
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import chain
from typing import IO, Any, Protocol, cast

import zstandard

LIMIT = 512 * 1024 * 1024
"""The most bytes that one body may decode to: a bomb ends the reading of it, not the passing on."""

MOST_CODINGS = 3
"""On one body; nearly all have one. Each takes memory for its decoder."""


PIECE = 64 * 1024
"""Bytes that are unpacked at a time where they are looked through alone."""

_GZIP = 16 + zlib.MAX_WBITS


class CannotDecodeError(Exception):
    """The coding is unknown here, or the bytes are not in it."""


class TooLargeError(CannotDecodeError):
    """It decodes to more than is read."""

    def __init__(self) -> None:
        super().__init__("decodes to more than is read")


class _Inflater(Protocol):
    def decompress(self, data: bytes, room: int, /) -> bytes:
        """What the data adds, at most so many bytes: no more than that is ever made. TooLargeError."""


class _Gzip:
    """gzip, with several members."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(_GZIP)

    def decompress(self, data: bytes, room: int, /) -> bytes:
        if not data:
            return b""
        out = [self._inner.decompress(data, room + 1)]
        room -= len(out[0])
        while self._inner.eof and self._inner.unused_data and room >= 0:
            rest = self._inner.unused_data
            self._inner = zlib.decompressobj(_GZIP)
            out.append(self._inner.decompress(rest, room + 1))
            room -= len(out[-1])
        if room < 0:
            raise TooLargeError
        return b"".join(out)


class _Deflate:
    """deflate: a zlib stream by the standard, and a bare one by what some servers send. Its first two bytes tell."""

    def __init__(self) -> None:
        self._head = b""
        self._inner: Any = None

    def decompress(self, data: bytes, room: int, /) -> bytes:
        if self._inner is None:
            data = self._head = self._head + data
            if len(data) < 2:
                return b""
            self._inner = zlib.decompressobj(_deflate_bits(data))
        out: bytes = self._inner.decompress(data, room + 1)
        if len(out) > room:
            raise TooLargeError
        return out


def _deflate_bits(head: bytes) -> int:
    # RFC 1950, 2.2: the method, the size of the window, and a check of these two bytes.
    zlibs = head[0] & 0x8F == 8 and (head[0] << 8 | head[1]) % 31 == 0
    return zlib.MAX_WBITS if zlibs else -zlib.MAX_WBITS


class _Sink:
    """Takes what comes out of a decoder, 128 KiB at most at a time; what there is no room for is dropped."""

    def __init__(self) -> None:
        self.out: list[bytes] = []
        self.room = 0

    def write(self, piece: bytes) -> int:
        self.room -= len(piece)
        if self.room >= 0:
            self.out.append(bytes(piece))
        return len(piece)


class _Zstd:
    """zstd, with several frames. Its writer is no friend of the garbage collector's: were it to hold who holds it,
    neither would ever go; and what it writes to may not raise, or a buffer is lost."""

    STEP = 4096
    """Bytes that are given to it at a time: of a bomb that makes 128 MiB at most, of which nothing is kept."""

    def __init__(self) -> None:
        self._sink = _Sink()
        self._inner = zstandard.ZstdDecompressor().stream_writer(cast("IO[bytes]", self._sink))

    def decompress(self, data: bytes, room: int, /) -> bytes:
        sink, view = self._sink, memoryview(data)
        sink.out, sink.room = [], room
        for at in range(0, len(data), self.STEP):
            self._inner.write(view[at : at + self.STEP])
            if sink.room < 0:
                raise TooLargeError
        return b"".join(sink.out)


class _Brotli:
    """br."""

    def __init__(self) -> None:
        brotli = import_module("brotli")

        self._inner = brotli.Decompressor()

    def decompress(self, data: bytes, room: int, /) -> bytes:
        out: bytes = self._inner.process(data, output_buffer_limit=room + 1)
        if len(out) > room:
            raise TooLargeError
        return out


class Decoder:
    """Takes the codings of a Content-Encoding header off. CannotDecodeError at once when one is unknown."""

    def __init__(self, encoding: str, limit: int = LIMIT) -> None:
        self._layers: list[_Inflater] = [_INFLATERS[_known(name)]() for name in _codings(encoding)]
        self._left = limit

    @property
    def plain(self) -> bool:
        """Nothing has to be taken off."""
        return not self._layers

    def decode(self, chunk: bytes) -> bytes:
        """What this chunk adds. CannotDecodeError when it isn't in the coding, or decodes to too much."""
        if not self._layers:
            return chunk
        for layer in self._layers:
            try:
                chunk = layer.decompress(chunk, self._left)
            except CannotDecodeError:
                raise
            except Exception as error:
                raise _not_so(error) from error
        self._left -= len(chunk)
        return chunk


def pieces(encoding: str, body: bytes, limit: int = LIMIT) -> Iterator[bytes]:
    """A whole body without its codings, for who has no use for all of it at once: about PIECE bytes at a time, and no
    more are ever made. CannotDecodeError as `Decoder`, when it comes to that place."""
    unpacked: Iterator[bytes] = (body[at : at + PIECE] for at in range(0, len(body), PIECE))
    for name in _codings(encoding):
        unpacked = _UNPACKED[_known(name)](unpacked)
    while True:
        try:
            piece = next(unpacked, None)
        except CannotDecodeError:
            raise
        except Exception as error:
            raise _not_so(error) from error
        if piece is None:
            return
        limit -= len(piece)
        if limit < 0:
            raise TooLargeError
        yield piece


def _inflated(packed: Iterator[bytes], wbits: int) -> Iterator[bytes]:
    inner = zlib.decompressobj(wbits)
    for data in packed:
        rest = data
        while True:
            if inner.eof:
                if wbits != _GZIP or not rest:
                    break
                inner = zlib.decompressobj(wbits)
            out = inner.decompress(rest, PIECE)
            yield out
            rest = inner.unused_data if inner.eof else inner.unconsumed_tail
            # With its room full it may have more to say of what it was given.
            if not rest and len(out) < PIECE:
                break


def _gunzipped(packed: Iterator[bytes]) -> Iterator[bytes]:
    return _inflated(packed, _GZIP)


def _undeflated(packed: Iterator[bytes]) -> Iterator[bytes]:
    head = b""
    for data in packed:
        head += data
        if len(head) >= 2:
            break
    else:
        return
    yield from _inflated(chain((head,), packed), _deflate_bits(head))


def _unzstd(packed: Iterator[bytes]) -> Iterator[bytes]:
    reader = zstandard.ZstdDecompressor().stream_reader(cast("IO[bytes]", _Source(packed)), read_across_frames=True)
    while piece := reader.read(PIECE):
        yield piece


class _Source:
    """Pieces as something to read from."""

    def __init__(self, packed: Iterator[bytes]) -> None:
        self._packed = packed

    def read(self, _: int) -> bytes:
        """The next that has anything in it, whatever its size; b"" at the end."""
        return next(filter(None, self._packed), b"")


def _unbrotli(packed: Iterator[bytes]) -> Iterator[bytes]:
    inner = import_module("brotli").Decompressor()
    for data in packed:
        out = inner.process(data, output_buffer_limit=PIECE)
        # With its room full it may have more to say of what it was given.
        while out or not inner.can_accept_more_data():
            yield out
            out = inner.process(b"", output_buffer_limit=PIECE)


_INFLATERS: dict[str, Callable[[], _Inflater]] = {"gzip": _Gzip, "deflate": _Deflate, "zstd": _Zstd, "br": _Brotli}
_UNPACKED: dict[str, Callable[[Iterator[bytes]], Iterator[bytes]]] = {
    "gzip": _gunzipped,
    "deflate": _undeflated,
    "zstd": _unzstd,
    "br": _unbrotli,
}


def _codings(encoding: str) -> list[str]:
    """The codings to take off, in this order."""
    names = [name.strip().lower() for name in encoding.split(",")]
    # The header lists them in the order in which they were put on.
    put_on = [name for name in reversed(names) if name not in ("", "identity")]
    if len(put_on) > MOST_CODINGS:
        raise CannotDecodeError(f"it has {len(put_on)} codings")
    return put_on


def _known(name: str) -> str:
    plain = "gzip" if name == "x-gzip" else name
    if plain not in _UNPACKED:
        raise CannotDecodeError(f"the coding {name!r} is not known")
    return plain


def _not_so(error: Exception) -> CannotDecodeError:
    return CannotDecodeError(f"not in the coding its header names: {error}")
