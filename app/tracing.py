"""A trace as it is read from the record: what is needed to open it, then windows of it. For threads; draws nothing."""

from array import array
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from app.trace import Opening, Page
from store.domain.events import Event, SubagentEnded, SubagentLaunched, SubagentRestarted
from store.domain.ids import SubagentId

if TYPE_CHECKING:
    from store.database import Store

LATEST = 2
"""Turns of a subagent at work that are read when its trace is opened."""


def open_run(store: "Store", run: str, title: str, until: int | None = None) -> Opening:
    """What a trace begins with; `until` is the last event that counts, None for all there are. StoreError."""
    from store import windows

    last = windows.last(store, run) if until is None else until
    beside = windows.beside(store, run, until=last)
    counts = windows.counts(store, run, until=last)
    live: dict[SubagentId, tuple[int, Sequence[Event]]] = {}
    for who in _at_work(beside):
        begins = windows.newest(store, who, LATEST, until=last)
        if begins:
            live[who] = counts.get(who, 0) - len(begins), windows.within(store, who, begins[0], last + 1)
    return Opening(run, title, last, beside, counts, live)


def _at_work(beside: Sequence[Event]) -> set[SubagentId]:
    found: set[SubagentId] = set()
    for event in beside:
        if event.subagent is not None and isinstance(event.payload, SubagentLaunched):
            found.add(event.subagent)
        elif event.subagent is not None and isinstance(event.payload, SubagentEnded | SubagentRestarted):
            found.discard(event.subagent)
    return found


def read_places(store: "Store", who: SubagentId) -> "array[int]":
    """Where a subagent's turns begin. StoreError."""
    from store import windows

    return windows.places(store, who)


def read_page(store: "Store", who: SubagentId, first: int, begins: Sequence[int], stop: int) -> Page:
    """A window of turns. StoreError."""
    from store import windows

    return Page(who, first, begins, windows.within(store, who, begins[0], stop) if begins else ())


def read_tape(store: "Store", who: SubagentId) -> list[Event]:
    """All that is told of a subagent. StoreError."""
    from store import windows

    begins = windows.newest(store, who, 1)
    first = windows.places(store, who)[:1] if begins else ()
    return windows.within(store, who, first[0]) if first else []


def read_news(store: "Store", run: str, after: int, until: int | None = None) -> list[Event]:
    """What has happened since. StoreError."""
    from store import events

    found = events.read(store, run=run, after=after, limit=4096)
    return found if until is None else [event for event in found if event.seq <= until]


def look_for_wrong(store: "Store", run: str, after: int, until: int) -> Iterator[list[Event]]:
    """What went wrong, in portions. StoreError."""
    from store import windows

    return windows.wrong(store, run, after=after, until=until)


def read_events(store: "Store", run: str, seqs: Sequence[int]) -> list[Event]:
    """These events. StoreError."""
    from store import windows

    return windows.these(store, run, seqs)


def read_faults(store: "Store", run: str, seqs: Sequence[int]) -> list[Event]:
    """These events, and before them the beginnings of the tool calls that ended with one. StoreError."""
    from store import windows

    found = windows.these(store, run, seqs)
    return [*windows.begun(store, found), *found]
