"""A run's events, and what had come of them after any number of them.

A board is folded from the last one that was kept before the wanted place; one is kept every `EVERY` events. A lane's
flow needs the lane's last events alone, for it shows no more.
"""

import copy
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, Final, TypeVar

from store.domain.board import Board
from store.domain.events import CallFinished, CallStarted, Event
from store.domain.ids import SubagentId
from widgets.flow import Flow, Parts

EVERY: Final = 4096
"""Events from one kept board to the next."""
LATELY: Final = 160
"""Events of a lane that its flow is folded from: a flow keeps fewer parts."""
HEARD: Final = 3
"""Calls of each lane whose words are read: more than a pane shows."""

Words = Callable[[Iterable[str]], Mapping[str, Parts]]
"""Reads what calls said, by call."""

T = TypeVar("T")


def copied(value: T) -> T:
    """A copy that shares with the original only what never changes."""
    change: Any = value
    kind = type(change)
    if kind in _ATOMS:
        return value
    if kind is dict:
        if set(map(type, change.values())) <= _ATOMS:
            return dict(change)  # type: ignore[return-value]  # the same kind
        return {key: copied(each) for key, each in change.items()}  # type: ignore[return-value]  # the same kind
    if kind is list:
        return [copied(each) for each in change]  # type: ignore[return-value]  # the same kind
    if kind is set:
        return set(change)  # type: ignore[return-value]  # the same kind
    if not is_dataclass(kind) or _frozen(kind):
        _ATOMS.add(kind)
        return value
    new: Any = copy.copy(change)
    for field in fields(change):
        setattr(new, field.name, copied(getattr(change, field.name)))
    return new  # type: ignore[no-any-return]  # a copy is of the same kind


def _frozen(kind: Any) -> bool:
    return bool(kind.__dataclass_params__.frozen)


_ATOMS: set[type] = {str, int, float, bool, type(None), tuple, frozenset, bytes}


class Reel:
    """All events of one run, in order. For one thread at a time."""

    def __init__(self, run: str, events: Sequence[Event]) -> None:
        self.run = run
        self.events = events
        self._kept: dict[int, Board] = {0: Board(run)}
        self._of: dict[SubagentId, list[int]] = {}
        """Where in the log each lane's events are."""
        self._final: dict[SubagentId, Flow] = {}
        """The flows of lanes that are over: nothing changes them any more."""
        for index, event in enumerate(events):
            if event.subagent is not None:
                self._of.setdefault(event.subagent, []).append(index)

    def __len__(self) -> int:
        return len(self.events)

    def board(self, count: int) -> Board:
        """The board after so many events: nobody else has this one."""
        start = max(kept for kept in self._kept if kept <= count)
        board = copied(self._kept[start])
        for index in range(start, count):
            board.apply(self.events[index])
            done = index + 1
            if done % EVERY == 0 and done not in self._kept:
                self._kept[done] = copied(board)
        return board

    def flows(self, count: int, words: Words) -> dict[SubagentId, Flow]:
        """What the lanes have said and done of late, after so many events. `words` may leave out what it doesn't know
        yet: then it is asked again the next time."""
        flows = {who: self._final[who] for who in self._of if who in self._final and self.over(who, count)}
        recent = {
            who: found for who, where in self._of.items() if who not in flows and (found := self._recent(where, count))
        }
        calls = [call for found in recent.values() for call in _ended(found)[-HEARD:]]
        said = words(calls)
        for who, found in recent.items():
            flow = flows[who] = Flow()
            for event in found:
                flow.apply(event, said)
            whole = all(call in said for call in _ended(found)[-HEARD:])
            if whole and self.over(who, count) and _open(found) is None:
                self._final[who] = flow
        return flows

    def under_way(
        self, count: int, before: Mapping[SubagentId, str] | None = None, since: int = 0
    ) -> dict[SubagentId, str]:
        """The calls that have begun and not ended after so many events, by subagent; of several the last. `before`
        are those after `since` events, where they are known: then it costs what is new."""
        known = before is not None
        changed = {self.events[index].subagent for index in range(since, count)} if known else self._of.keys()
        found = dict(before or {})
        for who in changed:
            if who is None:
                continue
            call = _open(self._recent(self._of[who], count))
            if call is None:
                found.pop(who, None)
            else:
                found[who] = call
        return found

    def over(self, who: SubagentId, count: int) -> bool:
        """All that is recorded of a lane has happened."""
        where = self._of.get(who)
        return not where or where[-1] < count

    def index(self, seq: int) -> int:
        """How many events come before the one of this number in the log, or of the next one that there is."""
        return bisect_left(self.events, seq, key=lambda event: event.seq)

    def _recent(self, where: list[int], count: int) -> list[Event]:
        end = bisect_right(where, count - 1)
        return [self.events[index] for index in where[max(end - LATELY, 0) : end]]


def _open(events: Sequence[Event]) -> str | None:
    """The call that began last of those that have not ended."""
    ended: set[str] = set()
    for event in reversed(events):
        payload = event.payload
        if isinstance(payload, CallFinished):
            ended.add(payload.call)
        elif isinstance(payload, CallStarted) and not payload.parent and payload.call not in ended:
            return payload.call
    return None


def _ended(events: Iterable[Event]) -> list[str]:
    return [event.payload.call for event in events if isinstance(event.payload, CallFinished)]
