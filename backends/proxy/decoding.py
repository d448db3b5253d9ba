"""Content codings taken off a copy of a body, piece by piece; what is passed on and stored stays as it came."""

import zlib
from importlib import import_module
from typing import IO, Any, Protocol, cast

import zstandard

LIMIT = 512 * 1024 * 1024
"""The most bytes that one body may decode to: a bomb ends the reading of it, not the passing on."""

MOST_CODINGS = 3
"""On one body; nearly all have one. Each takes memory for its decoder."""


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
        self._inner = zlib.decompressobj(16 + zlib.MAX_WBITS)

    def decompress(self, data: bytes, room: int, /) -> bytes:
        if not data:
            return b""
        out = [self._inner.decompress(data, room + 1)]
        room -= len(out[0])
        while self._inner.eof and self._inner.unused_data and room >= 0:
            rest = self._inner.unused_data
            self._inner = zlib.decompressobj(16 + zlib.MAX_WBITS)
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
            # RFC 1950, 2.2: the method, the size of the window, and a check of these two bytes.
            zlibs = data[0] & 0x8F == 8 and (data[0] << 8 | data[1]) % 31 == 0
            self._inner = zlib.decompressobj(zlib.MAX_WBITS if zlibs else -zlib.MAX_WBITS)
        out: bytes = self._inner.decompress(data, room + 1)
        if len(out) > room:
            raise TooLargeError
        return out


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
        names = [name.strip().lower() for name in encoding.split(",")]
        # The header lists the codings in the order in which they were put on.
        put_on = [name for name in reversed(names) if name not in ("", "identity")]
        if len(put_on) > MOST_CODINGS:
            raise CannotDecodeError(f"it has {len(put_on)} codings")
        self._layers = [_inflater(name) for name in put_on]
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
                raise CannotDecodeError(f"not in the coding its header names: {error}") from error
        self._left -= len(chunk)
        return chunk


def _inflater(name: str) -> _Inflater:
    if name in ("gzip", "x-gzip"):
        return _Gzip()
    if name == "deflate":
        return _Deflate()
    if name == "zstd":
        return _Zstd()
    if name == "br":
        return _Brotli()
    raise CannotDecodeError(f"the coding {name!r} is not known")
