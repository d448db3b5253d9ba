"""A run's log, folded into what its rules say."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from backends.rules import Raised
from backends.rules.reading import Reading
from store import events
from store.domain.board import Board
from store.domain.events import Alert, Event
from store.domain.ids import SubagentId
from store.domain.lane import Lane
from store.domain.states import SubagentState
from store.domain.stuck import Watcher
from store.domain.stuck.facts import Fact, Waited

if TYPE_CHECKING:
    from store.database import Store

BATCH = 2_000
"""Events of one reading."""

Identity = tuple[SubagentId, str, str, int]


class Watching:
    """Every subagent of a run, watched from the run's first event on. `again`: what is on record counts too."""

    def __init__(self, store: "Store", run: str, *, again: bool = False) -> None:
        self._store, self._run, self._again = store, run, again
        self._board = Board(run)
        self._reading = Reading(store)
        self._watchers: dict[SubagentId, Watcher] = {}
        self._known: set[Identity] | None = None
        """The alerts that were raised already, as far as they count."""

    def look(self, now: float | None) -> list[Raised]:
        """What is to be said of the events that have come, and of those who are waited for, at a time."""
        if self._known is None:
            self._known = set() if self._again else {identity(event) for event in self._alerts()}
        raised: list[Raised] = []
        while batch := events.read(self._store, after=self._board.seq, run=self._run, limit=BATCH):
            for event in batch:
                self._board.apply(event)
                raised += self._take(event)
        if now is not None:
            for lane in self._waiting():
                raised += self._tell(lane.id, self._waited(lane, now), now)
        return raised

    def _alerts(self) -> Iterator[Event]:
        after = 0
        while batch := events.read(self._store, after=after, run=self._run, limit=BATCH):
            after = batch[-1].seq
            yield from (event for event in batch if isinstance(event.payload, Alert) and event.subagent is not None)

    def _take(self, event: Event) -> Iterator[Raised]:
        who = event.subagent
        lane = self._board.lane(who) if who is not None else None
        if who is not None and lane is not None:
            for fact in self._reading.facts(event, self._board, lane):
                yield from self._tell(who, fact, event.at)

    def _tell(self, who: SubagentId, fact: Fact, at: float) -> Iterator[Raised]:
        watcher = self._watchers.get(who)
        if watcher is None:
            check = self._board.order.task.check.command if self._board.order is not None else ""
            watcher = self._watchers[who] = Watcher(check)
        assert self._known is not None
        for alert in watcher.take(fact):
            this = _identity(who, alert)
            if this not in self._known:
                self._known.add(this)
                yield Raised(who, at, alert)

    def _waiting(self) -> list[Lane]:
        """Those at work that have had no answer."""
        generation = self._board.generation
        lanes = generation.lanes.values() if generation is not None and self._board.finished is None else ()
        return [lane for lane in lanes if lane.state is SubagentState.RUNNING and not lane.answered and lane.work.since]

    def _waited(self, lane: Lane, now: float) -> Waited:
        return Waited(seq=self._reading.launched(lane.id), at=now, seconds=lane.work.read(now))


def identity(event: Event) -> Identity:
    """By which an alert on record is known. Its event is a subagent's."""
    assert isinstance(event.payload, Alert)
    assert event.subagent is not None
    return _identity(event.subagent, event.payload)


def _identity(who: SubagentId, alert: Alert) -> Identity:
    return who, alert.rule, str(alert.level), alert.evidence[-1].seq if alert.evidence else 0
