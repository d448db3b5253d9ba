"""Content-addressed bytes: outputs, patches, prompts, raw responses. Each is kept once, compressed."""

import threading
from collections.abc import Collection
from functools import lru_cache
from typing import TYPE_CHECKING

import zstandard

from store.domain.canonical import digest
from store.gathering import AnyConnection, Insertion, driver_of, marks, peek, waiting

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from store.database import Store

__all__ = ["compress", "decompress", "digest", "existing", "get", "keep", "load", "newest", "put", "put_new"]

INSERT = Insertion("blobs", ("digest", "size", "data"), or_ignore=True)
_DATA = "SELECT data FROM blobs WHERE digest = ?"
_NEWEST = "SELECT coalesce(max(rowid), 0) FROM blobs"
_RENEW = "UPDATE blobs SET rowid = (SELECT max(rowid) + 1 FROM blobs) WHERE digest = ?"

_codecs = threading.local()

SHORT = 512
"""Bytes up to which nothing is compressed: it would take longer than all else that is done with them, to save some
hundred."""

_PLAIN = b"\x28\xb5\x2f\xfd\xa0"
"""How a zstd frame begins whose one block is as it is: the magic number, and a descriptor that says that the size
follows in four bytes (RFC 8878, 3.1.1). Then, in three, the block's header: its size, its kind, that it is the last."""


def put(connection: AnyConnection, data: bytes) -> str:
    """Keep bytes, inside a job; their digest."""
    name = digest(data)
    if name not in existing(connection, [name]):
        put_new(connection, name, data)
    return name


def keep(connection: AnyConnection, data: bytes) -> str:
    """Keep bytes, inside a job, that only a later job will name; their digest. Whoever collects blobs that nothing
    names leaves those alone that came after an engine began, or after its own beginning; by this one counts as new.
    For engines, which say where they began."""
    name = put(connection, data)
    driver_of(connection).execute(_RENEW, (name,))
    return name


def newest(connection: AnyConnection) -> int:
    """The place of the blob that came last, 0 without one. Places grow, until a store that nobody holds is written
    anew."""
    return int(driver_of(connection).execute(_NEWEST).fetchone()[0])


def get(store: "Store", name: str) -> bytes:
    """The bytes of a blob. KeyError when there is no such blob, ValueError when it is damaged."""
    with store.read() as connection:
        return load(connection, name)


def load(connection: "Connection", name: str) -> bytes:
    """The bytes of a blob, on a connection. KeyError when there is no such blob, ValueError when it is damaged."""
    packed = connection.exec_driver_sql(_DATA, (name,)).scalar_one_or_none()
    if packed is None:
        raise KeyError(f"no blob {name}")
    data = decompress(packed)
    if digest(data) != name:
        raise ValueError(f"blob {name} is not what its digest says")
    return data


def existing(connection: AnyConnection, names: Collection[str]) -> set[str]:
    """Which of these few blobs are kept already."""
    found = peek(connection, _existing(len(names)), [*names])
    late = waiting(connection)
    return {name for (name,) in found}.union(name for name in names if name in late)


def put_new(connection: AnyConnection, name: str, data: bytes) -> None:
    """Keep bytes whose digest the caller has, and of which it thinks that they are new."""
    waiting(connection).add(name)
    INSERT.gather(connection, [(name, len(data), compress(data))])


def compress(data: bytes) -> bytes:
    """Bytes as the store keeps them (zstd)."""
    if len(data) <= SHORT:
        return _PLAIN + len(data).to_bytes(4, "little") + (len(data) << 3 | 1).to_bytes(3, "little") + data
    compressor: zstandard.ZstdCompressor | None = getattr(_codecs, "compressor", None)
    if compressor is None:
        # Making one costs more than using it, and none may be used by two threads at once.
        compressor = _codecs.compressor = zstandard.ZstdCompressor(level=3)
    return compressor.compress(data)


def decompress(data: bytes) -> bytes:
    """Back from `compress`. ValueError when the bytes are damaged."""
    decompressor: zstandard.ZstdDecompressor | None = getattr(_codecs, "decompressor", None)
    if decompressor is None:
        decompressor = _codecs.decompressor = zstandard.ZstdDecompressor()
    try:
        return decompressor.decompress(data)
    except zstandard.ZstdError as error:
        raise ValueError(f"damaged: {error}") from error


@lru_cache
def _existing(count: int) -> str:
    return f"SELECT digest FROM blobs WHERE digest IN ({marks(count)})"  # noqa: S608 - parameters alone
