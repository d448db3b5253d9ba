"""Observations in the store: every version of a run's document."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, insert, select

from store import blobs, events
from store.domain.codec import decode, decode_payload, encode
from store.domain.events import ObservationsWritten
from store.domain.observations import Document, live, render
from store.domain.observations.history import Stacks, stacks
from store.jsontext import dumps, loads
from store.tables import metadata

if TYPE_CHECKING:
    from store.database import Store

_versions = metadata.tables["observation_versions"]
_events = metadata.tables["events"]


OPERATOR = "operator"
"""Who writes a version: the operator, the observer, or its model."""
OBSERVER = "observer"


@dataclass(frozen=True)
class Version:
    """One version of a run's observations; `author` is `observer`, `model` or `operator`. `what` is what the operator
    did, in words; `undoes` is the version that this one takes back, 0 for a change of its own."""

    version: int
    at: float
    author: str
    what: str = ""
    undoes: int = 0


def save(
    connection: Connection,
    document: Document,
    *,
    author: str,
    at: float,
    what: str = "",
    undoes: int = 0,
    always: bool = False,
) -> int:
    """Keep the document as the run's next version; its number. A document that says what the latest says already is
    that version: nothing is written, unless it takes another back, or `always`."""
    latest = _row(connection, document.run, None)
    version = latest.version if latest is not None else 0
    same = latest is not None and _document(blobs.load(connection, latest.document)) == replace(
        document, version=version
    )
    if same and not undoes and not always:
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
    payload = ObservationsWritten(version=version, author=author, known=len(live(document)), what=what, undoes=undoes)
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
        rows = connection.execute(query).all()
        told = {} if not rows else _told(connection, run)
    return [Version(*row, *told.get(row.version, ())) for row in rows]


def proposed(known: Sequence[Version]) -> int:
    """The latest version that the observer or its model wrote, 0 when there is none: what a person changes is changed
    against that."""
    return next((one.version for one in reversed(known) if one.author != OPERATOR), 0)


class Past:
    """The versions of a run, for what is undone or restored."""

    def __init__(self, store: "Store", run: str) -> None:
        self._store, self._run = store, run

    def document(self, version: int) -> Document | None:
        """A version; None when there is none of that number."""
        return load(self._store, self._run, version) if version > 0 else None

    def stacks(self) -> Stacks:
        """What can be taken back, and done again."""
        mine = (one for one in versions(self._store, self._run) if one.author == OPERATOR)
        return stacks((one.version, one.undoes) for one in mine)


def _told(connection: Connection, run: str) -> dict[int, tuple[str, int]]:
    """What the events say of each version beside what its row has."""
    table = _events.c
    query = select(table.data).where(table.run == run, table.kind == ObservationsWritten.kind)
    told: dict[int, tuple[str, int]] = {}
    for (data,) in connection.execute(query):
        payload = decode_payload(ObservationsWritten.kind, loads(data))
        if isinstance(payload, ObservationsWritten):
            told[payload.version] = payload.what, payload.undoes
    return told


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
