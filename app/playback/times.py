"""When the things of a recorded run are played, and what stands on its timeline. Plain values; no clock.

Time is kept in two measures: recorded, in Unix seconds, and played, in seconds from the beginning at 1×. They differ
by silences: a stretch in which nothing was recorded, no event and no piece of a streamed answer, and which took longer
than `SILENCE`, is played in `SILENCE`. All else takes as long as it took. Where no times were kept, events follow each
other by `BEAT`.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Final

from store.domain.events import Event, TurnStarted
from store.domain.states import AlertLevel

SILENCE: Final = 2.0
"""Seconds that any longer silence takes."""
BEAT: Final = 0.4
"""Seconds from one event to the next where no times were kept."""
_FEW = 8
"""Events that may well have happened at one moment."""


class Kind(StrEnum):
    """What a mark on the timeline is of."""

    ERROR = "error"
    ALERT = "alert"
    SOLVED = "solved"
    GENERATION = "generation"
    GATE = "gate"
    END = "end"


TELLING: Final = (Kind.ERROR, Kind.ALERT, Kind.SOLVED)
"""What an operator looks for."""


@dataclass(frozen=True)
class Mark:
    """`count` is how many events have happened when this one just has. `level` is an alert's."""

    count: int
    kind: Kind
    text: str
    level: AlertLevel | None = None

    @property
    def look(self) -> str:
        """What it is drawn as: alerts by their level."""
        return self.kind.value if self.level in (None, AlertLevel.WARNING) else str(self.level)


class Times:
    """The times of a run's events, which are in the order of the log; where the clock went back, time stands still.

    `streams` are the stretches in which answers streamed, in Unix seconds. Without `squeezed` silences take their time.
    `mark` says what stands on the timeline for an event, the count of events that have happened by then given.
    """

    def __init__(
        self,
        events: Sequence[Event],
        streams: Iterable[tuple[float, float]] = (),
        *,
        squeezed: bool = True,
        mark: Callable[[int, Event], Mark | None],
    ) -> None:
        self.squeezed = squeezed
        self.recorded: list[float] = []
        """When each event happened."""
        latest = events[0].at if events else 0.0
        for event in events:
            latest = max(latest, event.at)
            self.recorded.append(latest)
        self.timeless = len(self) > _FEW and self.took < 0.001 * len(self)
        """No times were kept, as of a tape from elsewhere: all of it is told to have happened at one moment."""
        self._from, self._to = self._even() if self.timeless else self._knots(streams)
        self.played: list[float] = (
            [BEAT * index for index in range(len(self))]
            if self.timeless
            else [self.play_of(at) for at in self.recorded]
        )
        """When each event is played."""
        self.marks: list[Mark] = []
        self.turns: list[int] = []
        """How many events have happened when each turn has just begun."""
        for count, event in enumerate(events, 1):
            if isinstance(event.payload, TurnStarted):
                self.turns.append(count)
            elif (found := mark(count, event)) is not None:
                self.marks.append(found)

    def __len__(self) -> int:
        return len(self.recorded)

    @property
    def duration(self) -> float:
        """Seconds that all of it takes to play at 1×."""
        return self.played[-1] if self.played else 0.0

    @property
    def took(self) -> float:
        """Seconds that it took."""
        return self.recorded[-1] - self.recorded[0] if self.recorded else 0.0

    def count(self, played: float) -> int:
        """How many events have happened by a moment of the playback."""
        return bisect_right(self.played, played)

    def moment(self, count: int) -> float:
        """The moment of the playback at which that many events have happened, the last of them just now."""
        return self.played[min(count, len(self.played)) - 1] if count > 0 and self.played else 0.0

    def play_of(self, recorded: float) -> float:
        """The moment of the playback that shows a recorded one."""
        return _along(recorded, self._from, self._to)

    def recorded_of(self, played: float) -> float:
        """The recorded moment that is shown at one of the playback. Within a squeezed silence it goes quicker."""
        return _along(played, self._to, self._from)

    def mark(self, count: int, by: int, kinds: Sequence[Kind] = TELLING) -> Mark | None:
        """The next mark of these kinds after so many events; with `by` < 0 the one before. None where there is none."""
        marks = self.of(tuple(kinds))
        counts = [mark.count for mark in marks]
        at = bisect_right(counts, count) if by > 0 else bisect_left(counts, count) - 1
        return marks[at] if 0 <= at < len(marks) else None

    def turn(self, count: int, by: int) -> int | None:
        """How many events have happened when the next turn has just begun, or the one before."""
        at = bisect_right(self.turns, count) if by > 0 else bisect_left(self.turns, count) - 1
        return self.turns[at] if 0 <= at < len(self.turns) else None

    def of(self, kinds: Sequence[Kind]) -> list[Mark]:
        """The marks of some kinds, in order."""
        return [mark for mark in self.marks if mark.kind in kinds]

    @cached_property
    def shares(self) -> tuple[float, ...]:
        """Where each event lies on the timeline, from 0 to 1."""
        return tuple(played / self.duration for played in self.played) if self.duration else (0.0,) * len(self)

    def _even(self) -> tuple[list[float], list[float]]:
        return [self.recorded[0], self.recorded[-1]], [0.0, BEAT * (len(self) - 1)]

    def _knots(self, streams: Iterable[tuple[float, float]]) -> tuple[list[float], list[float]]:
        """Where the two measures part: between two knots both run evenly."""
        if not self.recorded:
            return [0.0], [0.0]
        first, last = self.recorded[0], self.recorded[-1]
        clipped = ((max(start, first), min(end, last)) for start, end in streams)
        busy = sorted([*((at, at) for at in self.recorded), *((a, b) for a, b in clipped if a <= b)])
        recorded, played = [first], [0.0]
        until = first
        for start, end in busy:
            if self.squeezed and start - until > SILENCE:
                moment = played[-1] + until - recorded[-1]
                recorded += [until, start]
                played += [moment, moment + SILENCE]
            until = max(until, end)
        recorded.append(last)
        played.append(played[-1] + last - recorded[-2])
        return recorded, played


def _along(value: float, knots: list[float], others: list[float]) -> float:
    """A value of one measure in the other."""
    at = min(max(bisect_right(knots, value), 1), len(knots) - 1)
    if at == 0:
        return others[0]
    low, high = knots[at - 1], knots[at]
    share = (min(max(value, low), high) - low) / (high - low) if high > low else 1.0
    return others[at - 1] + share * (others[at] - others[at - 1])
