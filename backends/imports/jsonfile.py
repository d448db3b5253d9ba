"""JSON files of any size: where their values stand, found without reading them into memory."""

import json
import mmap
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeAlias

from backends.imports import MOST, ImportedFileError
from store.domain.canonical import DIGEST_SIZE

Data: TypeAlias = "mmap.mmap | bytes"
Span = tuple[int, int]
"""Where a value begins and ends, in bytes."""

_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[{}\[\],:"]', re.DOTALL)
_SPACE = re.compile(rb"[ \t\r\n]*")
_BOM = b"\xef\xbb\xbf"
_DEEPEST = 100_000


@contextmanager
def opened(path: Path) -> Iterator[Data]:
    """A file's bytes, read as they are asked for."""
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            yield b""
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield data


def digest_of(*paths: Path) -> str:
    """The digest of files' content."""
    whole = blake2b(digest_size=DIGEST_SIZE)
    for path in paths:
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                whole.update(piece)
    return whole.hexdigest()


def first(data: Data) -> int:
    """Where the first value begins."""
    match = _SPACE.match(data, len(_BOM) if data[: len(_BOM)] == _BOM else 0)
    return match.end() if match else 0


def members(data: Data, at: int) -> Iterator[tuple[Any, Span]]:
    """The members of an object or list that begins there: the name or the index of each, and where it stands; last None
    with where all of it stands. ImportedFileError where it has no end."""
    is_object = data[at : at + 1] == b"{"
    depth, index, name, begin = 0, 0, b"", at + 1
    for match in _TOKEN.finditer(data, at):
        token, here = match[0], match.start()
        if token[:1] == b'"':
            if len(token) < 2:
                break
            if depth == 1 and is_object and not name:
                name = token
        elif token in (b"{", b"["):
            depth += 1
            if depth > _DEEPEST:
                raise ImportedFileError(f"it is nested too deeply, at byte {here:,}")
        elif token == b":" and depth == 1 and is_object:
            begin = here + 1
        elif token in (b"}", b"]") or (token == b"," and depth == 1):
            if depth == 1:
                value = _trimmed(data, begin, here)
                if value[1] > value[0]:
                    yield (_name(name, here) if is_object else index), value
                index, name, begin = index + 1, b"", here + 1
            if token != b",":
                depth -= 1
                if not depth:
                    yield None, (at, match.end())
                    return
    raise ImportedFileError(f"what begins at byte {at:,} has no end: the file was cut off, or is damaged")


def value(data: Data, span: Span, what: str = "") -> Any:
    """A value. ImportedFileError where it is none, or larger than is read."""
    begin, end = span
    where = f"{what or 'the value'} at byte {begin:,}"
    if end - begin > MOST:
        raise ImportedFileError(f"{where} is larger than {MOST:,} bytes")
    return parsed(data[begin:end], where)


def parsed(text: bytes, where: str) -> Any:
    """A JSON value. ImportedFileError that says where it isn't one."""
    try:
        return json.loads(text.decode(), parse_constant=_constant)
    except UnicodeDecodeError as error:
        raise ImportedFileError(f"{where} is not UTF-8, {error.start:,} bytes in it") from error
    except RecursionError as error:
        raise ImportedFileError(f"{where} is nested too deeply") from error
    except ValueError as error:
        raise ImportedFileError(f"{where} is no JSON ({str(error)[:80]})") from error


def dumps(value: Any) -> bytes:
    """A JSON value as it goes into a request: what has no form in UTF-8 is escaped."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def lines(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """The lines of a file that say anything: their number, where they begin, and their text. ImportedFileError for one
    that is larger than is read."""
    with path.open("rb") as file:
        at = number = 0
        while line := file.readline(MOST + 1):
            number += 1
            if len(line) > MOST:
                raise ImportedFileError(f"line {number:,} is longer than {MOST:,} bytes")
            if text := line.removeprefix(_BOM if number == 1 else b"").strip():
                yield number, at, text
            at += len(line)


def _name(token: bytes, at: int) -> str:
    if not token:
        raise ImportedFileError(f"a member without a name stands before byte {at:,}")
    return str(parsed(token, f"the name before byte {at:,}"))


def _trimmed(data: Data, begin: int, end: int) -> Span:
    match = _SPACE.match(data, begin, end)
    begin = match.end() if match else begin
    while end > begin and data[end - 1 : end] in (b" ", b"\t", b"\r", b"\n"):
        end -= 1
    return begin, end


def _constant(text: str) -> float:
    raise ValueError(f"{text} is no JSON")
