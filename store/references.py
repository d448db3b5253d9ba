"""Where the record names blobs. Whoever deletes must know every place; `tests/test_retention.py` holds the list to the
tables."""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import ColumnElement, Connection, exists, func, literal_column, not_, or_, select, true

from store import overlay
from store.tables import metadata

CALLS = ("overlay", "system", "tools", "parameters", "body", "response", "timing")
"""Columns of `calls` that name a blob. An overlay may name another one, its base."""

OBSERVATIONS = ("document", "text")
"""Columns of `observation_versions` that name a blob."""

EVENTS = "data"
"""The payload of an event may name blobs in any of its fields: whatever looks like a digest is taken for one."""

ATTACHMENTS = "attachments"
"""The column of `nodes` and of `calls` with a JSON list of [path, blob]."""

_calls = metadata.tables["calls"].c
_events = metadata.tables["events"].c
_nodes = metadata.tables["nodes"].c
_places = metadata.tables["tape_nodes"].c
_versions = metadata.tables["observation_versions"].c

_DIGEST = re.compile(r'"([0-9a-f]{40})"')

Where = ColumnElement[bool]


def of_calls(connection: Connection, where: Where) -> Iterator[str]:
    """Blobs that these calls name, and those which their overlays are changes of."""
    seen: set[str] = set()
    for row in connection.execute(select(*(_calls[name] for name in (*CALLS, ATTACHMENTS))).where(where)):
        *named, attachments = row
        yield from filter(None, named)
        if attachments is not None:
            yield from attached(attachments)
        if row.overlay is not None and row.overlay not in seen:
            yield from _bases(connection, row.overlay, seen)


def of_events(connection: Connection, where: Where) -> Iterator[str]:
    """Blobs that these events name, and other things that look so."""
    for (data,) in connection.execute(select(_events[EVENTS]).where(where)):
        yield from named_in(data)


def named_in(data: str) -> list[str]:
    """Blobs that the payload of an event names, and other things that look so."""
    return _DIGEST.findall(data)


def of_observations(connection: Connection, where: Where) -> Iterator[str]:
    """Blobs that these versions of observations name."""
    for row in connection.execute(select(*(_versions[name] for name in OBSERVATIONS)).where(where)):
        yield from row


def of_nodes(connection: Connection, where: Where) -> Iterator[str]:
    """Blobs that are attached to these nodes."""
    attachments = _nodes[ATTACHMENTS]
    for (data,) in connection.execute(select(attachments).where(attachments.is_not(None), where)):
        yield from attached(data)


def attached(data: str) -> Iterator[str]:
    """The blobs in a list of attachments."""
    entries: list[Any] = json.loads(data)
    for _, blob in entries:
        yield blob


def of_runs(connection: Connection, doomed: Any) -> tuple[set[str], set[str]]:
    """All blobs that the runs of this subquery name: where they are written with their name in one job, and in events,
    which may come later than what they name."""
    at_once = _union(
        of_calls(connection, _calls.run.in_(doomed)),
        of_observations(connection, _versions.run.in_(doomed)),
        of_nodes(connection, exists().where(_places.node == _nodes.key, _places.run.in_(doomed))),
    )
    return at_once, set(of_events(connection, _events.run.in_(doomed)))


def of_others(connection: Connection, doomed: Any, after: "Mark | None" = None) -> Iterator[str]:
    """Blobs that anything but those runs names; with `after`, those that may have come since then, and maybe more."""
    calls, events = (true(), true()) if after is None else (after.calls, after.events)
    yield from of_calls(connection, _calls.run.not_in(doomed) & calls)
    yield from of_events(connection, _events.run.not_in(doomed) & events)
    yield from of_observations(connection, _versions.run.not_in(doomed))
    theirs = exists().where(_places.node == _nodes.key, _places.run.in_(doomed))
    others = exists().where(_places.node == _nodes.key, _places.run.not_in(doomed))
    yield from of_nodes(connection, or_(others, not_(theirs)))


class Mark:
    """A moment of the log and the tapes, to ask later what has come since. Read in the transaction that it is of."""

    def __init__(self, connection: Connection) -> None:
        rowid: ColumnElement[int] = literal_column("calls.rowid")
        last = connection.execute(select(func.max(rowid)).select_from(_calls.id.table)).scalar() or 0
        under_way = connection.execute(select(_calls.id).where(_calls.ended.is_(None))).scalars().all()
        event = connection.execute(select(func.max(_events.seq))).scalar() or 0
        self.calls: Where = or_(rowid > last, _calls.id.in_(under_way))
        self.events: Where = _events.seq > event


def _bases(connection: Connection, name: str, seen: set[str]) -> Iterator[str]:
    """The overlays that this one is a change of, as far as they have not been seen."""
    base: str | None = name
    while base is not None and base not in seen:
        seen.add(base)
        try:
            base = overlay.base(connection, base)
        except (KeyError, ValueError):
            return
        if base is not None:
            yield base


def _union(*names: Iterable[str]) -> set[str]:
    return {name for each in names for name in each}
