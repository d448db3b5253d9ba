"""A plain connection to a store, as all of ours are set up."""

import sqlite3
from pathlib import Path
from typing import Literal

from store.errors import BUSY_SECONDS
from store.gathering import Gathering

Durability = Literal["process", "full"]
"""What a commit survives: the death of the process, or the machine's as well."""

WAL_BYTES = 64 * 1024 * 1024
"""What the write-ahead log shrinks to when it has grown beyond it."""

CHECKPOINT_PAGES = 4000
"""Pages of 4 KiB in the write-ahead log after which they are copied into the store: four times SQLite's own 1,000, for
copying waits twice for the disk, and a page that changed often is copied once."""


def connect(
    path: Path,
    *,
    durability: Durability = "process",
    query_only: bool = False,
    checkpoint_pages: int = CHECKPOINT_PAGES,
) -> Gathering:
    """A plain connection to a store that exists; the caller begins and ends transactions. sqlite3.Error."""
    # Opened as a URI so that a missing file is an error, not a new store. An explicit check_same_thread, because a
    # connection goes from thread to thread, one at a time.
    uri = f"{path.absolute().as_uri()}?mode=rw"
    driver = sqlite3.connect(
        uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, factory=Gathering
    )
    try:
        driver.execute(f"PRAGMA synchronous = {'FULL' if durability == 'full' else 'NORMAL'}")
        driver.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
        driver.execute(f"PRAGMA wal_autocheckpoint = {checkpoint_pages}")
        driver.execute("PRAGMA temp_store = MEMORY")
        if query_only:
            driver.execute("PRAGMA query_only = ON")
    except BaseException:
        driver.close()
        raise
    return driver
