"""Observations in the store: every version of a run's document, and its face as a file."""

import contextlib
import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, insert, select

from store import blobs, events
from store.domain.codec import decode, encode
from store.domain.events import ObservationsWritten
from store.domain.observations import Document, live, render
from store.jsontext import dumps, loads
from store.tables import metadata

if TYPE_CHECKING:
    from store.database import Store

_versions = metadata.tables["observation_versions"]


@dataclass(frozen=True)
class Version:
    """One version of a run's observations; `author` is `observer`, `model` or `operator`."""

    version: int
    at: float
    author: str


def save(connection: Connection, document: Document, *, author: str, at: float) -> int:
    """Keep the document as the run's next version; its number. A document that says what the latest says already is
    that version: nothing is written."""
    latest = _row(connection, document.run, None)
    version = latest.version if latest is not None else 0
    if latest is not None and _document(blobs.load(connection, latest.document)) == replace(document, version=version):
        return version
    version += 1
    document = replace(document, version=version)
    connection.execute(
        insert(_versions).values(
            run=document.run,
            version=version,
            at=at,
            author=author,
            document=blobs.put(connection, dumps(encode(document)).encode()),
            text=blobs.put(connection, _bytes(render(document))),
        )
    )
    payload = ObservationsWritten(version=version, author=author, known=len(live(document)))
    events.append(connection, document.run, [payload], at=at)
    return version


def load(store: "Store", run: str, version: int | None = None) -> Document | None:
    """The document of a version, by default the latest; None when there is none."""
    with store.read() as connection:
        row = _row(connection, run, version)
        return _document(blobs.load(connection, row.document)) if row is not None else None


def text(store: "Store", run: str, version: int | None = None) -> str | None:
    """The Markdown of a version, by default the latest; None when there is none."""
    with store.read() as connection:
        row = _row(connection, run, version)
        return blobs.load(connection, row.text).decode() if row is not None else None


def versions(store: "Store", run: str) -> list[Version]:
    """All versions, oldest first."""
    table = _versions.c
    query = select(table.version, table.at, table.author).where(table.run == run).order_by(table.version)
    with store.read() as connection:
        return [Version(*row) for row in connection.execute(query)]


def write_face(path: Path, text: str) -> None:
    """Write the file so that a reader sees the old text or the new one, never half of either. OSError."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(_bytes(text))
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


def _row(connection: Connection, run: str, version: int | None) -> "Row[Any, Any, Any] | None":
    table = _versions.c
    query = select(table.version, table.document, table.text).where(table.run == run)
    query = query.order_by(table.version.desc()) if version is None else query.where(table.version == version)
    return connection.execute(query.limit(1)).first()


def _document(data: bytes) -> Document:
    return decode(Document, loads(data.decode()))


def _bytes(text: str) -> bytes:
    # A lone surrogate has no bytes; a person's file can't bring one, and everything else is made safe.
    return text.encode("utf-8", "replace")
