"""The file of a tape: parts that are checked by hash one by one, and all of them by one.

A first line says what it is and of which version. Each part is a line of JSON (its name, how many rows it has, the
columns, the sizes and the digests of what follows), zstd-compressed bytes, and a line's end. The last line, the part
`end`, has the digest of all of them. Rows are lines of JSON, an array each; a row with bytes ends in their number, and
they follow it.
"""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any

import zstandard

from store.domain.canonical import DIGEST_SIZE, digest

NAME = b"multitrack-tape"
VERSION = 1
"""Goes up when an older reader would misread the file."""

PART_BYTES = 1 << 20
"""About the bytes of a part before a new one is begun: what is in memory, and in a transaction, at once."""

MOST = 1_000_000_000
"""Bytes of a part, unpacked: a blob is as large as SQLite's values may be at most, and is never divided."""

SLACK, FACTOR = 256 * 1024 * 1024, 250
"""A file may unpack to so many bytes and so many times its own: a demo's tape comes to 15 times. More is meant to
fill the disk or the memory."""
ROW_BYTES = 64 * 1024 * 1024
"""Of a row's line: what is larger are bytes, which follow it."""

_LEVEL = 3
_HEAD = 64
_LINE = 4096

Row = Sequence[Any]


class TapeFileError(Exception):
    """The file is no tape that can be read here. The message says what is wrong, and where."""


@dataclass(frozen=True)
class Part:
    """A part as it was read; `at` is where it begins in the file, in bytes."""

    name: str
    columns: tuple[str, ...]
    rows: list[list[Any]]
    at: int


@dataclass(frozen=True)
class Seal:
    """The digest of a whole file, and how many rows it has of each part."""

    digest: str
    counts: dict[str, int]


class Pen:
    """Writes a file. The stream takes bytes and is not closed. `seal` ends it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._whole = blake2b(digest_size=DIGEST_SIZE)
        self._counts: dict[str, int] = {}
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL)
        stream.write(b"%b %d\n" % (NAME, VERSION))

    def write(self, name: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
        """Write rows, in as many parts as they need; none for no rows. The last value of a row may be bytes."""
        lines: list[bytes] = []
        count = size = 0
        for row in rows:
            lines.append(line := _line(row))
            count, size = count + 1, size + len(line)
            if size >= PART_BYTES:
                self._part(name, columns, count, b"".join(lines))
                lines, count, size = [], 0, 0
        if count:
            self._part(name, columns, count, b"".join(lines))

    def seal(self) -> Seal:
        """Write the end."""
        seal = Seal(self._whole.hexdigest(), dict(self._counts))
        end = {"part": "end", "rows": seal.counts, "digest": seal.digest}
        self._stream.write(_json(end) + b"\n")
        return seal

    def _part(self, name: str, columns: Sequence[str], count: int, data: bytes) -> None:
        packed = self._compressor.compress(data)
        head = {"part": name, "columns": [*columns], "rows": count, "size": len(data), "digest": digest(data)}
        self._whole.update(_json(head))
        self._counts[name] = self._counts.get(name, 0) + count
        self._stream.write(_json({**head, "packed": len(packed), "check": digest(packed)}) + b"\n" + packed + b"\n")


def is_tape(head: bytes) -> bool:
    """Whether a file that begins so is a tape of ours, of whatever version."""
    return head.startswith(NAME + b" ")


def parts(path: Path) -> Iterator[Part]:
    """The parts of a file, each checked before it is given, and as `end` the digest of all. TapeFileError, OSError."""
    with path.open("rb") as stream:
        yield from _parts(stream, os.fstat(stream.fileno()).st_size)


def _parts(stream: IO[bytes], size: int) -> Iterator[Part]:
    _first(stream.readline(_HEAD))
    whole, counts = blake2b(digest_size=DIGEST_SIZE), dict[str, int]()
    room = SLACK + FACTOR * size
    while True:
        at = stream.tell()
        head = _head(stream.readline(_LINE), at)
        if head.get("part") == "end":
            if head != {"part": "end", "rows": counts, "digest": whole.hexdigest()}:
                raise TapeFileError(f"the end, at byte {at:,}, is not that of the parts before it: the file is damaged")
            if stream.read(1):
                raise TapeFileError(f"there is something after its end, at byte {stream.tell() - 1:,}")
            yield Part("end", ("digest",), [[whole.hexdigest()]], at)
            return
        part, described = _part(stream, head, at, size, room)
        room -= head["size"]
        whole.update(described)
        counts[part.name] = counts.get(part.name, 0) + len(part.rows)
        yield part


def _first(line: bytes) -> None:
    name, _, version = line.strip().partition(b" ")
    if name != NAME or not version.isdigit() or not line.endswith(b"\n"):
        raise TapeFileError("it is no tape of Multitrack's: its first line does not say so")
    if int(version) < 1:
        raise TapeFileError("its first line names no version: the file is damaged")
    if int(version) > VERSION:
        raise TapeFileError(
            f"it was written by a newer Multitrack: it is of version {int(version)}, this one reads up to {VERSION}. "
            "Upgrade Multitrack (`pip install -U multitrack`)"
        )


def _head(line: bytes, at: int) -> dict[str, Any]:
    if not line:
        raise TapeFileError(f"it ends at byte {at:,}, without its end: it was cut off")
    if not line.endswith(b"\n"):
        cut = "it was cut off" if len(line) < _LINE else "it is damaged"
        raise TapeFileError(f"the line at byte {at:,} has no end: {cut}")
    try:
        head = json.loads(line)
    except (ValueError, RecursionError):
        head = None
    if not isinstance(head, dict):
        raise TapeFileError(f"the line at byte {at:,} describes no part: the file is damaged")
    return head


def _part(stream: IO[bytes], head: dict[str, Any], at: int, size: int, room: int) -> tuple[Part, bytes]:
    """A part, and the bytes by which it counts in the digest of all; it may unpack to `room` bytes at most."""
    packed, check = head.pop("packed", None), head.pop("check", None)
    name, columns, rows = head.get("part"), head.get("columns"), head.get("rows")
    if not (
        head.keys() == {"part", "columns", "rows", "size", "digest"}
        and isinstance(name, str)
        and isinstance(columns, list)
        and all(isinstance(column, str) for column in columns)
        and all(type(number) is int and 0 < number <= MOST for number in (rows, head["size"], packed))
    ):
        raise TapeFileError(f"the line at byte {at:,} describes no part: the file is damaged")
    where = f"the part `{name[:40]}` at byte {at:,}"
    if head["size"] > room:
        raise TapeFileError(
            f"up to {where} it would unpack to {SLACK + FACTOR * size - room + head['size']:,} bytes, from a file of "
            f"{size:,}: no tape does"
        )
    if head["rows"] > PART_BYTES:
        raise TapeFileError(f"{where} says that it has {rows:,} rows: the file is damaged")
    if stream.tell() + packed + 1 > size:
        raise TapeFileError(f"{where} is longer than the file: it was cut off")
    bits = stream.read(packed)
    if digest(bits) != check:
        raise TapeFileError(f"{where} is not what its digest says: the file is damaged")
    data = _unpacked(bits, head["size"], where)
    if digest(data) != head["digest"] or stream.read(1) != b"\n":
        raise TapeFileError(f"{where} is not what its digest says: the file is damaged")
    found = [*_rows(data, len(columns), where)]
    if len(found) != rows:
        raise TapeFileError(f"{where} has {len(found)} rows and not {rows}")
    return Part(name, tuple(columns), found, at), _json(head)


def _unpacked(packed: bytes, size: int, where: str) -> bytes:
    try:
        # What the frame says of itself is asked for in memory.
        if zstandard.get_frame_parameters(packed).content_size != size:
            raise TapeFileError(f"{where} is not as large as it says: the file is damaged")
        return zstandard.ZstdDecompressor().decompress(packed, max_output_size=size)
    except (zstandard.ZstdError, MemoryError) as error:
        raise TapeFileError(f"{where} can't be unpacked: the file is damaged") from error


def _rows(data: bytes, columns: int, where: str) -> Iterator[list[Any]]:
    at = 0
    while at < len(data):
        end = data.find(b"\n", at, at + ROW_BYTES)
        try:
            row = json.loads(data[at:end]) if end >= 0 else None
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, list) or len(row) not in (columns, columns + 1):
            raise TapeFileError(f"{where} has a row that is none, {at:,} bytes in it")
        at = end + 1
        if len(row) > columns:
            # The last column is bytes: its number stands for it.
            length = row.pop()
            if type(length) is not int or row[-1] is not None or not 0 <= length < len(data) - at + 1:
                raise TapeFileError(f"{where} has a row whose bytes are not there, {at:,} bytes in it")
            row[-1] = data[at : at + length]
            at += length + 1
        yield row


def _line(row: Row) -> bytes:
    if row and isinstance(row[-1], bytes):
        return b"%b\n%b\n" % (_json([*row[:-1], None, len(row[-1])]), row[-1])
    return _json([*row]) + b"\n"


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("ascii")
