"""Events whose numbers indexes give, newest first: uses of a tool by all who used it, and what came of a few calls."""

import json
from collections.abc import Callable, Iterator, Sequence
from heapq import heapify, heappop, heapreplace
from typing import TYPE_CHECKING, Any

from store.domain.ids import SubagentId
from store.finding.hits import Hit
from store.finding.looking import Look
from store.gathering import driver_of
from store.windows import NO_END, WRONG

if TYPE_CHECKING:
    import sqlite3

LEAST, MOST = 64, 512
"""Events that are looked at in one go: first, and then twice as many up to."""
CHUNK = 256
"""Uses by one subagent that are read at once, at most."""
TOOL = "lower(json_extract(data, '$.name'))"
STARTED = "kind = 'tool.started'"
ANSWERED = (
    "FROM events INDEXED BY ix_events_answered WHERE kind = 'call.finished' AND run = ? AND generation = ? AND lane = ?"
)
OF_CALL = "json_extract(data, '$.call')"
_ROW = "SELECT seq, at, run, generation, lane, kind, data FROM events WHERE seq = ?"
_GENERATION, _LANE = "coalesce(generation, 0)", "coalesce(lane, 0)"
_USED = f"FROM events INDEXED BY ix_events_tools WHERE {STARTED} AND {TOOL} = ? AND run = ?"
_BY = f"{_USED} AND {_GENERATION} = ? AND {_LANE} = ?"
_WRONG_BY = (
    f"SELECT seq FROM events INDEXED BY ix_events_wrong WHERE {WRONG} AND seq >= ? AND seq < ? AND run = ? "  # noqa: S608
    "AND generation = ? AND lane = ?"
)
_TRIES = "SELECT id FROM calls WHERE parent IN (SELECT value FROM json_each(?))"
_ENDS = f"SELECT seq {ANSWERED} AND {OF_CALL} IN (SELECT value FROM json_each(?))"  # noqa: S608
_NEXT = f"SELECT seq {ANSWERED} AND seq > ? ORDER BY seq LIMIT 1"

Using = tuple[str, str, int, int]
"""A tool's name, and who used it: run, generation and lane, zeros for nobody."""


class Listed:
    """Looks at these events, one after the other, as `looking.Source`."""

    def __init__(self, look: Look, seqs: Iterator[int | None], hit: Callable[[Any], Hit | None]) -> None:
        """A number that is None says that it takes time to find the next one."""
        self.done = False
        self._look = look
        self._seqs = seqs
        self._hit = hit
        self._count = LEAST

    def portion(self, limit: int) -> list[Hit]:
        """The next places."""
        found: list[Hit] = []
        for _ in range(self._count):
            seq = next(self._seqs, 0)
            if seq is None:
                return found
            if not seq:
                self.done = True
                break
            row = self._look.connection.exec_driver_sql(_ROW, (seq,)).first()
            if row is not None and (hit := self._hit(row)) is not None:
                found.append(hit)
                if len(found) == limit:
                    return found
        self._count = min(2 * self._count, MOST)
        return found


def used(look: Look, names: Sequence[str]) -> Iterator[int]:
    """Uses of these tools, by all who are looked at: as many lists as there are who used one, merged."""
    heap: list[tuple[int, Using]] = []
    for using in _using(look, names):
        seq = driver_of(look.connection).execute(f"SELECT max(seq) {_BY}", using).fetchone()[0]
        if seq is not None:
            heap.append((-seq, using))
    heapify(heap)
    read: dict[Using, list[int]] = {}
    counts: dict[Using, int] = {}
    while heap:
        seq, using = -heap[0][0], heap[0][1]
        yield seq
        if not read.get(using):
            counts[using] = min(4 * counts.get(using, 1), CHUNK)
            rows = driver_of(look.connection).execute(
                f"SELECT seq {_BY} AND seq < ? ORDER BY seq DESC LIMIT ?",
                (*using, seq, counts[using]),
            )
            read[using] = [before for (before,) in rows][::-1]
        if read[using]:
            heapreplace(heap, (-read[using].pop(), using))
        else:
            heappop(heap)


def _using(look: Look, names: Sequence[str]) -> Iterator[Using]:
    scope = look.scope
    for name in names:
        if scope.whos is not None:
            yield from ((name, who.run, who.generation, who.lane) for who in scope.whos)
            continue
        for run in scope.runs:
            for generation in _following(look, _GENERATION, name, run):
                for lane in _following(look, _LANE, name, run, generation):
                    yield name, run, generation, lane


def _following(look: Look, column: str, *of: Any) -> Iterator[int]:
    """All values of a column of the index, each of which leads to the next: however often the tool was used."""
    where = f"{_USED} AND {_GENERATION} = ?" if len(of) > 2 else _USED
    after = -1
    while True:
        row = driver_of(look.connection).execute(
            f"SELECT {column} {where} AND {column} > ? ORDER BY {column} LIMIT 1",
            (*of, after),
        )
        found = row.fetchone()
        if found is None:
            return
        yield (after := found[0])


def followed(look: Look, names: Sequence[str] | None) -> Iterator[int | None]:
    """What came of the few calls that are right: uses of these tools, or what went wrong for None. All that follows the
    end of one, up to the end of the subagent's next, is of it."""
    few = look.called.few or ()
    ids = [name for _, name in few]
    ids += [name for (name,) in driver_of(look.connection).execute(_TRIES, (json.dumps(ids),))]
    told = json.dumps(ids)
    seqs: set[int] = set()
    for who in sorted(look.scope.whos or ()):
        seqs |= _of(driver_of(look.connection), who, told, names)
        yield None
    yield from sorted(seqs, reverse=True)


def _of(driver: "sqlite3.Connection", who: SubagentId, ids: str, names: Sequence[str] | None) -> set[int]:
    whose = who.run, who.generation, who.lane
    seqs: set[int] = set()
    for (end,) in driver.execute(_ENDS, (*whose, ids)).fetchall():
        row = driver.execute(_NEXT, (*whose, end)).fetchone()
        following = row[0] if row is not None else NO_END
        if names is None:
            seqs.update(seq for (seq,) in driver.execute(_WRONG_BY, (end, following, *whose)))
        for name in names or ():
            rows = driver.execute(f"SELECT seq {_BY} AND seq > ? AND seq < ?", (name, *whose, end, following))
            seqs.update(seq for (seq,) in rows)
    return seqs
