"""Where screens and rules get their events from. They don't know which feed they hang on."""

import sqlite3
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from store.database import connect
from store.domain.events import Event
from store.errors import explain

if TYPE_CHECKING:
    from store.database import Store

POLL_SECONDS = 0.1
"""How often a waiting feed looks: 10 Hz."""

BATCH = 10_000
"""The most events of one poll, so that catching up with a long run comes in pieces."""


class Feed(Protocol):
    """Events in order, each once. For one thread at a time."""

    @property
    def position(self) -> int:
        """The sequence number of the newest event that it has given."""

    def poll(self) -> list[Event]:
        """The events that have come since, without waiting; none when nothing has."""

    def wait(self, timeout: float) -> list[Event]:
        """The same, but wait for the first one, for so many seconds at most; none when it is closed meanwhile."""

    def close(self) -> None:
        """End a `wait` in another thread, and the feed."""


class Watch:
    """Whether anybody has committed anything to a store. Looking in vain costs microseconds: SQLite counts it. For one
    thread at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # A connection that writes nothing: then `data_version` changes with every commit, of this process too.
        self._driver: sqlite3.Connection | None = None

    def version(self) -> int:
        """A number that changes with every commit. StoreError when the store can't be read."""
        try:
            if self._driver is None:
                self._driver = connect(self._path, query_only=True)
            return int(self._driver.execute("PRAGMA data_version").fetchone()[0])
        except sqlite3.Error as error:
            told = explain(self._path, error)
            if told is None:
                raise
            raise told from error


class LiveFeed:
    """The store's events after a sequence number, of one run or of all, as they are committed, by whatever process.

    StoreError from `poll` and `wait` when the store can't be read.
    """

    def __init__(self, store: "Store", *, after: int = 0, run: str | None = None) -> None:
        self._store = store
        self._run = run
        self._position = after
        self._version: int | None = None
        self._watch = Watch(store.path)
        self._closed = threading.Event()

    @property
    def position(self) -> int:
        return self._position

    def poll(self) -> list[Event]:
        if self._closed.is_set():
            return []
        # The version is read before the events: what is committed in between is seen twice in the version, once here.
        version = self._watch.version()
        if version == self._version:
            return []
        from store import events  # late, with its SQL: whoever only names a feed doesn't need it

        found = events.read(self._store, after=self._position, run=self._run, limit=BATCH)
        if len(found) < BATCH:
            self._version = version
        if found:
            self._position = found[-1].seq
        return found

    def wait(self, timeout: float) -> list[Event]:
        deadline = time.monotonic() + timeout
        while True:
            found = self.poll()
            left = deadline - time.monotonic()
            if found or left <= 0 or self._closed.wait(min(left, POLL_SECONDS)):
                return found

    def close(self) -> None:
        self._closed.set()
