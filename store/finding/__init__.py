"""Search over the record for people: places on the tapes, newest first, a portion at a time.

`store.search` is what a subagent recalls with: ranked, over one run's past. This one looks at all runs or some, by
words and filters (`store.domain.query`), and finds events and calls as well as words. A portion takes no longer than it
is allowed to, however much there is to look at.
"""

import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from store.domain.payload import Payload
from store.domain.query import Query
from store.finding import answers, happened, passages
from store.finding.calls import called
from store.finding.hits import Hit
from store.finding.looking import Look, Source
from store.finding.scope import resolve

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from store.database import Store

__all__ = ["Finder", "Hit"]


class Finder:
    """One search. `more` goes on where it stopped; for one thread at a time."""

    def __init__(
        self,
        store: "Store",
        query: Query,
        wrong: Callable[[Payload], bool],
        *,
        runs: Collection[str] | None = None,
        until: float = float("inf"),
    ) -> None:
        """`wrong` says whether an event is an error. `runs` are those to look at, None for all there are; what happened
        after `until` (Unix seconds) is not found: a playback has yet to come to it."""
        self._store = store
        self._query = query
        self._wrong = wrong
        self._runs = runs
        self._until = until
        self._look: Look | None = None
        self._sources: list[Source] = []
        self.done = query.empty or bool(query.problems)
        """All has been looked at."""

    def more(self, limit: int, seconds: float = float("inf")) -> list[Hit]:
        """The next places, at most so many, and those that are found within so many seconds. StoreError."""
        end = time.monotonic() + seconds
        found: list[Hit] = []
        if self.done:
            return found
        with self._store.read() as connection:
            if self._look is None:
                self._begin(connection)
            assert self._look is not None
            self._look.connection = connection
            while self._sources and len(found) < limit:
                found += self._sources[0].portion(limit - len(found))
                if self._sources[0].done:
                    self._sources.pop(0)
                # However little time there is, each look gets on.
                if time.monotonic() >= end:
                    break
        self.done = not self._sources
        return found

    def _begin(self, connection: "Connection") -> None:
        scope = resolve(connection, self._query, self._runs)
        right = called(connection, self._query, scope)
        self._look = Look(connection, self._query, scope.only(right.whos), self._until, right)
        nothing = self._look.scope.nothing or right.nothing
        self._sources = [] if nothing else _sources(self._look, self._wrong)


def _sources(look: Look, wrong: Callable[[Payload], bool]) -> list[Source]:
    query = look.query
    if query.errors:
        return [*happened.errors(look, wrong), answers.Failed(look)]
    if query.terms:
        return [passages.Words(look)]
    if query.tools:
        return [happened.tools(look)]
    if look.called.few is not None:
        return [answers.Few(look)]
    return [answers.OfSubagents(look) if query.agents or query.generations else answers.Answers(look)]
