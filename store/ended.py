"""A run's calls as they end, for whoever tells of them: a line on a terminal, a span to a collector."""

import threading
import time
from typing import TYPE_CHECKING

from store.domain.tape import Call
from store.feed import POLL_SECONDS, Watch

if TYPE_CHECKING:
    from store.database import Store


class EndedCalls:
    """The calls of a run that end from now on, each once, in the order of their ends; with `past`, those before too.
    For one thread at a time. StoreError from `poll` and `wait` when the store can't be read."""

    def __init__(self, store: "Store", run: str, *, past: bool = False) -> None:
        self._store = store
        self._run = run
        self._watch = Watch(store.path)
        self._version: int | None = None
        self._last = 0
        self._under_way: set[str] = set()
        self._closed = threading.Event()
        if not past:
            from store import tapes  # late, with its SQL

            self._last, self._under_way = tapes.standing(store, run)

    def poll(self) -> list[Call]:
        """The calls that have ended since, without waiting."""
        # The version is read first: what is committed in between is seen twice in it, once here.
        version = self._watch.version()
        if version == self._version:
            return []
        from store import tapes

        last, calls = tapes.recorded(self._store, self._run, self._last, self._under_way)
        # Rows are numbered anew when the newest ones are deleted.
        self._version, self._last = version, last
        self._under_way = {call.id for call in calls if call.ended is None}
        return [call for call in calls if call.ended is not None]

    def wait(self, timeout: float) -> list[Call]:
        """The same, but wait for the first one, for so many seconds at most; what there is when it is closed."""
        deadline = time.monotonic() + timeout
        while True:
            found = self.poll()
            left = deadline - time.monotonic()
            if found or left <= 0 or self._closed.wait(min(left, POLL_SECONDS)):
                return found or self.poll()

    def close(self) -> None:
        """End a `wait` in another thread."""
        self._closed.set()
