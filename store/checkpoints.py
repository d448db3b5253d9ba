"""The write-ahead log into the store, beside the writing.

SQLite copies the log when a commit has made it long, and that commit waits for the disk, and all behind it. Here a
thread copies on a connection of its own, and nobody waits. What was committed meanwhile is left to the next time; so
under load the log doesn't begin anew until the writer's own limit, where there is then little left to copy.
"""

import logging
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

from store.connecting import connect

log = logging.getLogger("multitrack.store")

PAGES = 4000
"""About how many pages the log gets between two times."""

BACKSTOP = 4 * PAGES
"""Pages in the log at which the writer copies what is left, and the log begins anew: 64 MiB."""

_EACH = 8
"""Pages that a small call adds: it was measured, a dozen calls in a transaction."""

_PAGE = 4096


class Checkpoints:
    """Those of one store, for one thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pages = 0
        """About how many came since the last time."""
        self._thread: threading.Thread | None = None

    def wrote(self, calls: int, size: int) -> None:
        """So many calls, of so many bytes together, are committed."""
        self._pages += calls * _EACH + size // _PAGE
        if self._pages >= PAGES and (self._thread is None or not self._thread.is_alive()):
            self._pages = 0
            self._thread = threading.Thread(target=self._copy, name="checkpoint", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Wait for what is under way."""
        if self._thread is not None:
            self._thread.join()

    def _copy(self) -> None:
        try:
            with closing(connect(self._path)) as driver:
                driver.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.Error as error:
            # The log keeps what it has; what is wrong with the store, the next commit says.
            log.debug("the log could not be copied: %s", error)
