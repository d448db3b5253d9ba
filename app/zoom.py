"""The whole tape of one subagent, as far as it was read: events from the world, words and results from the record."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from store.domain.events import CallFinished, Event, ToolFinished
from store.domain.ids import SubagentId
from widgets.flow import Flow, Parts
from widgets.reading import Place

if TYPE_CHECKING:
    from store.database import Store

Words = tuple[Mapping[str, Parts], Mapping[str, str]]
"""What calls said, by call, and what tools gave back, by blob."""


class Zoom:
    """Knows how many of the run's events are on the tape. One reader works at a time: `wanted`, then `take`."""

    def __init__(self, who: SubagentId) -> None:
        self.who = who
        self.flow = Flow(kept=None)
        self.ready = False
        """The past has been read once."""
        self.back: Place | None = None
        """Where to go when it has been."""
        self._taken = 0
        self._past: Sequence[Event] = ()
        self._reading = False

    def wanted(self, past: Sequence[Event]) -> list[Event] | None:
        """The subagent's events that are to be read now, None when there is nothing to do. `past` are all events of its
        run so far; another list, or a shorter one, is another past, and the tape begins anew."""
        if self._reading:
            return None
        if past is not self._past or len(past) < self._taken:
            self._past, self._taken, self.flow = past, 0, Flow(kept=None)
        if len(past) == self._taken and self.ready:
            return None
        new = [event for event in past[self._taken :] if event.subagent == self.who]
        self._taken = len(past)
        if not new and self.ready:
            return None
        self._reading = True
        return new

    def take(self, events: Sequence[Event], words: Words) -> None:
        """Put on the tape what was read; without words when they could not be."""
        said, results = words
        for event in events:
            self.flow.apply(event, said, results)
        self._reading, self.ready = False, True

    def stream(self, live: Flow) -> None:
        """Take over what the call in progress has said so far."""
        if live.streaming is not None:
            self.flow.stream(*live.streaming)


def read_words(store: "Store", events: Sequence[Event]) -> Words:
    """The words and the results of one subagent's events. Runs in a thread. StoreError."""
    from app.feeds import words_of
    from store import blobs

    said = words_of(store, [event.payload.call for event in events if isinstance(event.payload, CallFinished)])
    results: dict[str, str] = {}
    for event in events:
        if isinstance(event.payload, ToolFinished) and event.payload.result:
            try:
                results[event.payload.result] = blobs.get(store, event.payload.result).decode("utf-8", "replace")
            except KeyError:
                continue
    return said, results
