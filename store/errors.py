"""What a user is told when the store cannot do its work."""

import sqlite3
from pathlib import Path

BUSY_SECONDS = 10.0
"""How long a process waits for another one's write before it gives up."""


class StoreError(Exception):
    """Something about the store that its user can put right; the message says what, where and how. `reason` says in few
    words what, without naming files, for whoever is not its user."""

    def __init__(self, message: str, reason: str = "the store cannot be used") -> None:
        super().__init__(message)
        self.reason = reason


_WORDS = {
    sqlite3.SQLITE_FULL: "could not be written: the disk is full. Free some space and try again",
    sqlite3.SQLITE_IOERR: "could not be read or written (input/output error): look whether its disk is full, or gone",
    sqlite3.SQLITE_BUSY: f"has been locked by another process for {BUSY_SECONDS:.0f} s. End it, or try again",
    sqlite3.SQLITE_LOCKED: "is locked by another connection of this process. Try again",
    sqlite3.SQLITE_READONLY: "is read-only. Make it, the files beside it and its folder writable, or name another one",
    sqlite3.SQLITE_PERM: "may not be accessed. Look at the permissions of the file and its folder",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened. Look whether its folder exists and is writable",
    sqlite3.SQLITE_NOTADB: "is not a SQLite database. Name another store with --store, or move that file away",
    sqlite3.SQLITE_CORRUPT: "is damaged. Move it away and restore a copy; `sqlite3 FILE .recover` may save what it has",
    sqlite3.SQLITE_TOOBIG: "cannot take a single value of more than 1 GB",
    sqlite3.SQLITE_NOMEM: "could not be used: the machine is out of memory",
}

_REASONS = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_IOERR: "the disk fails",
    sqlite3.SQLITE_BUSY: "the store is locked",
    sqlite3.SQLITE_READONLY: "the store is read-only",
}


_PASSING = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def stale(error: BaseException) -> bool:
    """Whether the store failed in a way that may be a connection's own, which it keeps when the trouble has passed."""
    code = getattr(getattr(error, "orig", None) or error, "sqlite_errorcode", None)
    return isinstance(code, int) and code & 0xFF in _WORDS.keys() - _PASSING


def explain(path: Path, error: BaseException) -> StoreError | None:
    """The word for the user about a database error (SQLAlchemy's or the driver's own); None for one that is not the
    store's fault but its caller's, such as a broken constraint."""
    cause = getattr(error, "orig", None) or error
    if not isinstance(cause, sqlite3.Error):
        return None
    code = getattr(cause, "sqlite_errorcode", None)
    if not isinstance(code, int) or code & 0xFF not in _WORDS:
        return None
    reason = _REASONS.get(code & 0xFF, "the store cannot be used")
    return StoreError(f"The store {path} {_WORDS[code & 0xFF]}.", reason)
