"""A run's trace as it is read: what is told besides its turns, its lanes' turns by number, and their events in windows.

Nothing here reads more of a run than it returns, so a run of a million nodes opens like a small one. The indexes that
see to it are partial ones: to be used, a query must repeat their conditions to the letter.
"""

from array import array
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from store.domain.codec import decode_payload
from store.domain.events import Event
from store.domain.ids import SubagentId
from store.jsontext import loads

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from store.database import Store

_ROW = "SELECT seq, at, run, generation, lane, kind, data FROM events"
_LAST = "SELECT coalesce(max(seq), 0) FROM events WHERE run = ?"
_MANY = "SELECT seq FROM events WHERE run = ? ORDER BY seq LIMIT 1 OFFSET ?"
_BESIDE = (
    f"{_ROW} INDEXED BY ix_events_beside WHERE run = ? AND seq > ? AND seq <= ? AND kind NOT IN ('turn.started', "
    "'call.started', 'call.finished', 'tool.started', 'tool.finished', 'program.said') ORDER BY seq"
)
_UNDER = "coalesce(json_extract(data, '$.under'), '')"
_TURNS = "FROM events INDEXED BY ix_events_turns WHERE run = ? AND kind = 'turn.started'"
_COUNTS = f"SELECT generation, lane, count(*) {_TURNS} AND {_UNDER} = '' AND seq <= ? GROUP BY generation, lane"
_OF_LANE = f"{_TURNS} AND generation = ? AND lane = ? AND {_UNDER} = ? AND seq <= ?"
_PLACES = f"SELECT seq {_OF_LANE} ORDER BY seq"
_NEWEST = f"SELECT seq {_OF_LANE} ORDER BY seq DESC LIMIT ?"
_NUMBERED = f"SELECT {_UNDER}, seq {_TURNS} AND generation = ? AND lane = ? AND json_extract(data, '$.turn') = ?"
_WITHIN = f"{_ROW} WHERE run = ? AND seq >= ? AND seq < ? AND generation = ? AND lane = ? ORDER BY seq"
_BEGUN = (
    f"{_ROW} WHERE run = ? AND seq < ? AND generation = ? AND lane = ? AND kind = 'tool.started' "
    "ORDER BY seq DESC LIMIT 1"
)
WRONG = (
    "((kind = 'tool.finished' AND (instr(data, '\"ok\":false') OR instr(data, '\"ok\": false') OR "
    "instr(data, 'exit code') OR instr(data, 'timed out'))) OR (kind = 'call.finished' AND "
    "NOT instr(data, '\"error\":\"\"')) OR kind IN ('alert', 'subagent.ended', 'subagent.checked'))"
)
"""Events in which something may have gone wrong."""
_WRONG = (
    f"{_ROW} INDEXED BY ix_events_wrong WHERE run = ? AND seq > ? AND seq <= ? AND generation IS NOT NULL "
    f"AND lane IS NOT NULL AND {WRONG} "
    "ORDER BY seq"
)
NO_END = 2**62
"""A sequence number that no event reaches."""
STRIDE = 200_000
"""Sequence numbers that one query for what went wrong covers."""


def last(store: "Store", run: str) -> int:
    """The last event of a run, 0 before the first."""
    with store.read() as connection:
        return int(connection.exec_driver_sql(_LAST, (run,)).scalar_one())


def many(store: "Store", run: str, count: int) -> bool:
    """Whether a run has more events than that."""
    with store.read() as connection:
        return connection.exec_driver_sql(_MANY, (run, count)).first() is not None


def beside(store: "Store", run: str, *, after: int = 0, until: int = NO_END) -> list[Event]:
    """What is told of a run besides its turns, in order: designs, starts, ends, verdicts, alerts."""
    with store.read() as connection:
        return _events(connection, _BESIDE, (run, after, until))


def counts(store: "Store", run: str, *, until: int = NO_END) -> dict[SubagentId, int]:
    """How many turns of its own each subagent has begun."""
    with store.read() as connection:
        rows = connection.exec_driver_sql(_COUNTS, (run, until)).all()
    return {SubagentId(run, generation, lane): count for generation, lane, count in rows}


def places(store: "Store", who: SubagentId, *, under: str = "", until: int = NO_END) -> "array[int]":
    """The events with which a subagent's turns begin: its own, or those of what one of its tool calls began. They take
    eight bytes each."""
    with store.read() as connection:
        rows = connection.exec_driver_sql(_PLACES, (who.run, who.generation, who.lane, under, until))
        return array("q", (seq for (seq,) in rows))


def newest(store: "Store", who: SubagentId, count: int, *, until: int = NO_END) -> list[int]:
    """The last few of `places`."""
    with store.read() as connection:
        rows = connection.exec_driver_sql(_NEWEST, (who.run, who.generation, who.lane, "", until, count)).all()
    return [seq for (seq,) in reversed(rows)]


def numbered(store: "Store", who: SubagentId, turn: int) -> list[tuple[str, int]]:
    """Where a turn of that number begins, oldest first, each with the tool call that it is under: more than one where
    it was begun again."""
    with store.read() as connection:
        rows = connection.exec_driver_sql(_NUMBERED, (who.run, who.generation, who.lane, turn)).all()
    return sorted(((under, seq) for under, seq in rows), key=lambda found: found[1])


def within(store: "Store", who: SubagentId, first: int, stop: int = NO_END) -> list[Event]:
    """A subagent's events from one to before another."""
    with store.read() as connection:
        return _events(connection, _WITHIN, (who.run, first, stop, who.generation, who.lane))


def these(store: "Store", run: str, seqs: Sequence[int]) -> list[Event]:
    """Events by their numbers, in order."""
    marks = ", ".join("?" * len(seqs))
    with store.read() as connection:
        return _events(connection, f"{_ROW} WHERE seq IN ({marks}) AND run = ? ORDER BY seq", (*seqs, run))


def begun(store: "Store", ended: Sequence[Event]) -> list[Event]:
    """The beginnings of tool calls whose ends these are, as far as they are the last before them."""
    found: list[Event] = []
    with store.read() as connection:
        for event in ended:
            if event.payload.kind == "tool.finished":
                found += _events(connection, _BEGUN, (event.run, event.seq, event.generation, event.lane))
    return found


def wrong(store: "Store", run: str, *, after: int = 0, until: int = NO_END) -> Iterator[list[Event]]:
    """Events in which something may have gone wrong, in portions: failed calls and tools, ends, verdicts, alerts. An
    empty portion says that it is still at it."""
    end = min(until, last(store, run))
    while after < end:
        stop = min(after + STRIDE, end)
        with store.read() as connection:
            yield _events(connection, _WRONG, (run, after, stop))
        after = stop


def _events(connection: "Connection", statement: str, values: Sequence[object]) -> list[Event]:
    rows = connection.exec_driver_sql(statement, tuple(values))
    return [
        Event(seq, at, run, generation, lane, decode_payload(kind, loads(data)))
        for seq, at, run, generation, lane, kind, data in rows
    ]
