"""Rows of a table that only grows, newest first, a slice of it at a time: so no look is long, and what is rare is found
soon all the same."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from store.finding.hits import Hit
from store.finding.looking import Look

_LEAST = 64
"""Rows that are looked at in the first go; in each after it twice as many."""


class Slices(ABC):
    """One way of looking through a table, as `looking.Source`. The first column of its rows says where they stand."""

    def __init__(self, look: Look, size: int, most: int, over: int = 0) -> None:
        """`size` is how much of the table the first look is over; each that finds little is over twice as much. `most`
        are the rows that are looked at in one go. What is not `over` that place is left to others."""
        self.done = False
        self._look = look
        self._size = size
        self._most = most
        self._over = over
        self._count = min(_LEAST, most)
        self._high: int | None = None

    def portion(self, limit: int) -> list[Hit]:
        """The next places of one slice."""
        if self._high is None:
            self._high = self._newest()
        low = max(self._high - self._size, self._over)
        rows = self._rows(low, self._high, self._count)
        found: list[Hit] = []
        for row in rows:
            self._high = row[0] - 1
            if (hit := self._hit(row)) is not None:
                found.append(hit)
                if len(found) == limit:
                    return found
        if len(rows) < self._count:
            self._high, self._size = low, 2 * self._size
            self.done = low <= self._over
        self._count = min(2 * self._count, self._most)
        return found

    @abstractmethod
    def _newest(self) -> int:
        """Where the newest row stands, 0 without one."""

    @abstractmethod
    def _rows(self, low: int, high: int, count: int) -> Sequence[Any]:
        """At most so many rows over one place and up to the other, newest first."""

    @abstractmethod
    def _hit(self, row: Any) -> Hit | None:
        """What a row is a place of, if it is one."""
