"""Content codings taken off a copy of a body, piece by piece; what is passed on and stored stays as it came."""

import zlib
from typing import Protocol

import zstandard

LIMIT = 512 * 1024 * 1024
"""The most bytes that one body may decode to: a bomb ends the reading of it, not the passing on."""


class CannotDecodeError(Exception):
    """The coding is unknown here, or the bytes are not in it."""


class _Inflater(Protocol):
    def decompress(self, data: bytes, /) -> bytes: ...


class _Zlib:
    """gzip (with several members) or deflate (with and without its zlib header)."""

    def __init__(self, gzip: bool) -> None:
        self._gzip = gzip
        self._inner = zlib.decompressobj(16 + zlib.MAX_WBITS if gzip else zlib.MAX_WBITS)
        self._begun = False

    def decompress(self, data: bytes, /) -> bytes:
        if not data:
            return b""
        try:
            out = [self._inner.decompress(data)]
        except zlib.error:
            if self._gzip or self._begun:
                raise
            # "deflate" is a zlib stream by the standard and a bare one by what some servers send.
            self._inner = zlib.decompressobj(-zlib.MAX_WBITS)
            out = [self._inner.decompress(data)]
        self._begun = True
        while self._gzip and self._inner.eof and self._inner.unused_data:
            rest = self._inner.unused_data
            self._inner = zlib.decompressobj(16 + zlib.MAX_WBITS)
            out.append(self._inner.decompress(rest))
        return b"".join(out)


class _Zstd:
    """zstd, with several frames."""

    def __init__(self) -> None:
        self._inner = zstandard.ZstdDecompressor().decompressobj(read_across_frames=True)

    def decompress(self, data: bytes, /) -> bytes:
        return self._inner.decompress(data) if data else b""


class _Brotli:
    """br, where one of the two usual packages is installed."""

    def __init__(self) -> None:
        from importlib import import_module

        for name in ("brotli", "brotlicffi"):
            try:
                module = import_module(name)
            except ImportError:
                continue
            self._inner = module.Decompressor()
            return
        raise CannotDecodeError("no brotli decoder is installed")

    def decompress(self, data: bytes, /) -> bytes:
        step = getattr(self._inner, "process", None) or self._inner.decompress
        out: bytes = step(data)
        return out


class Decoder:
    """Takes the codings of a Content-Encoding header off. CannotDecodeError at once when one is unknown."""

    def __init__(self, encoding: str, limit: int = LIMIT) -> None:
        names = [name.strip().lower() for name in encoding.split(",")]
        # The header lists the codings in the order in which they were put on.
        self._layers = [_inflater(name) for name in reversed(names) if name not in ("", "identity")]
        self._left = limit

    @property
    def plain(self) -> bool:
        """Nothing has to be taken off."""
        return not self._layers

    def decode(self, chunk: bytes) -> bytes:
        """What this chunk adds. CannotDecodeError when it isn't in the coding, or decodes to too much."""
        if not self._layers:
            return chunk
        out = bytearray()
        # In small pieces, so that a bomb is noticed before it fills the memory.
        for at in range(0, len(chunk), 4096):
            piece = chunk[at : at + 4096]
            for layer in self._layers:
                try:
                    piece = layer.decompress(piece)
                except CannotDecodeError:
                    raise
                except Exception as error:
                    raise CannotDecodeError(f"not in the coding its header names: {error}") from error
            self._left -= len(piece)
            if self._left < 0:
                raise CannotDecodeError("decodes to more than is read")
            out += piece
        return bytes(out)


def _inflater(name: str) -> _Inflater:
    if name in ("gzip", "x-gzip"):
        return _Zlib(gzip=True)
    if name == "deflate":
        return _Zlib(gzip=False)
    if name == "zstd":
        return _Zstd()
    if name == "br":
        return _Brotli()
    raise CannotDecodeError(f"the coding {name!r} is not known")
