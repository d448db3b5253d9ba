"""What a user is told when the store cannot do its work."""

import sqlite3
from pathlib import Path

BUSY_SECONDS = 10.0
"""How long a process waits for another one's write before it gives up."""


class StoreError(Exception):
    """Something about the store that its user can put right; the message says what, where and how."""


_WORDS = {
    sqlite3.SQLITE_FULL: "could not be written: the disk is full. Free some space and try again",
    sqlite3.SQLITE_IOERR: "could not be read or written (input/output error): look whether its disk is full, or gone",
    sqlite3.SQLITE_BUSY: f"has been locked by another process for {BUSY_SECONDS:.0f} s. End it, or try again",
    sqlite3.SQLITE_LOCKED: "is locked by another connection of this process. Try again",
    sqlite3.SQLITE_READONLY: "is read-only. Make the file and its folder writable, or name another store with --store",
    sqlite3.SQLITE_PERM: "may not be accessed. Look at the permissions of the file and its folder",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened. Look whether its folder exists and is writable",
    sqlite3.SQLITE_NOTADB: "is not a SQLite database. Name another store with --store, or move that file away",
    sqlite3.SQLITE_CORRUPT: "is damaged. Move it away and restore a copy; `sqlite3 FILE .recover` may save what it has",
    sqlite3.SQLITE_TOOBIG: "cannot take a single value of more than 1 GB",
    sqlite3.SQLITE_NOMEM: "could not be used: the machine is out of memory",
}


def explain(path: Path, error: BaseException) -> StoreError | None:
    """The word for the user about a database error (SQLAlchemy's or the driver's own); None for one that is not the
    store's fault but its caller's, such as a broken constraint."""
    cause = getattr(error, "orig", None) or error
    if not isinstance(cause, sqlite3.Error):
        return None
    code = getattr(cause, "sqlite_errorcode", None)
    words = _WORDS.get(code & 0xFF) if isinstance(code, int) else None
    return None if words is None else StoreError(f"The store {path} {words}.")
