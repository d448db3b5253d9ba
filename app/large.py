"""Runs too long to be folded event by event each time the app starts: what their boards and panes are made from.

Of a subagent that has ended, its end says what it used; of one at work, its calls do. What panes show of it are its
last turns. That is what a fold of all events comes to, but for what was used before a subagent was started anew.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from store.domain.board import Board
from store.domain.events import Event
from store.domain.ids import OBSERVER, SubagentId

if TYPE_CHECKING:
    from store.database import Store

LARGE = 50_000
"""Events of a run from which on it is too long: to fold so many takes about a second."""
LATELY = 24
"""Turns of a subagent that its pane is folded from."""


def is_large(store: "Store", run: str) -> bool:
    """Whether a run is too long. StoreError."""
    from store import windows

    return windows.many(store, run, LARGE)


def recent(store: "Store", run: str) -> list[Event]:
    """What is told of a run besides its turns, and the last turns of each subagent, in order. StoreError."""
    from store import windows

    until = windows.last(store, run)
    beside = windows.beside(store, run, until=until)
    found = {event.seq: event for event in beside}
    ends = {event.subagent: event.seq for event in beside if event.payload.kind == "subagent.ended"}
    for who in windows.counts(store, run, until=until):
        first = windows.newest(store, who, LATELY, until=until)[0]
        stop = ends.get(who, 0)
        window = windows.within(store, who, first, (stop if stop > first else until) + 1)
        found.update((event.seq, event) for event in window)
    return [found[seq] for seq in sorted(found)]


def board(store: "Store", run: str) -> Board:
    """A run's board. StoreError."""
    from store import tapes, windows

    made = Board(run)
    for event in recent(store, run):
        made.apply(event)
    for generation in made.generations.values():
        if made.order is not None and (generation.reader or made.task.observer_model):
            observer = SubagentId(run, generation.number, OBSERVER)
            generation.observing = replace(tapes.spend(store, observer), seconds=0.0)
        for lane in generation.lanes.values():
            if lane.ended is not None:
                lane.spend = replace(lane.ended.spend, seconds=0.0)
                lane.turn = lane.answered = lane.spend.turns
            elif lane.attempt:
                lane.spend = replace(tapes.spend(store, lane.id), seconds=0.0, turns=lane.turn)
    made.seq = max(made.seq, windows.last(store, run))
    return made
