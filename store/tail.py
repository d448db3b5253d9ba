"""Text that is still streaming, in a small throw-away database beside the store: one row a subagent, the tail of the
call in progress.

Nothing depends on it. Whatever goes wrong with it costs screens a few moments of live text and nobody anything else, so
its errors are not raised; a file that is missing or damaged is made anew.
"""

import logging
import os
import sqlite3
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from store.domain.ids import SubagentId
from store.jsontext import dumps, loads

log = logging.getLogger(__name__)

KEPT = 4096
"""Characters kept of a call in progress: more than the largest pane shows of it."""

_DAMAGED = {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}


def tail_path(store: Path) -> Path:
    """The throw-away database of a store."""
    return store.with_name(store.name + ".tail")


@dataclass(frozen=True)
class Tail:
    """The end of a call in progress: pieces of text, each with its kind (`text`, `reasoning` or `tool`)."""

    call: str
    parts: tuple[tuple[str, str], ...]


@dataclass
class _Stream:
    """The tail as it grows."""

    call: str
    parts: list[tuple[str, str]] = field(default_factory=list)
    length: int = 0
    dirty: bool = False
    """Its subagent is among those to be written."""

    def add(self, kind: str, text: str) -> None:
        if self.parts and self.parts[-1][0] == kind:
            self.parts[-1] = (kind, self.parts[-1][1] + text)
        else:
            self.parts.append((kind, text))
        self.length += len(text)
        if self.length > 2 * KEPT:
            self.trim()

    def trim(self) -> None:
        while self.length > KEPT:
            kind, text = self.parts[0]
            over = self.length - KEPT
            if len(text) > over:
                self.parts[0] = (kind, text[over:])
                self.length = KEPT
            else:
                del self.parts[0]
                self.length -= len(text)


class TailWriter:
    """An engine's side: `put` what streams in, `flush` ten times a second. For one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._streams: dict[SubagentId, _Stream] = {}
        self._by_call: dict[str, _Stream] = {}
        """The same streams: a call's name is found quicker than a subagent's, and there is one for each piece."""
        self._dirty: set[SubagentId] = set()
        self._ended: list[str] = []
        self._driver: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None

    def put(self, subagent: SubagentId, call: str, kind: str, text: str) -> None:
        """More text of a call. The first of another call takes the place of the one before."""
        stream = self._by_call.get(call)
        if stream is None:
            self._forget(subagent)
            stream = self._by_call[call] = self._streams[subagent] = _Stream(call)
        stream.add(kind, text)
        if not stream.dirty:
            stream.dirty = True
            self._dirty.add(subagent)

    def clear(self, subagent: SubagentId) -> None:
        """Its call is on the tape: nothing is in progress."""
        self._forget(subagent)
        self._dirty.add(subagent)

    def clear_run(self, run: str) -> None:
        """Nothing is in progress in a run, whatever an engine before this one left."""
        for subagent in [subagent for subagent in self._streams if subagent.run == run]:
            self._forget(subagent)
        self._dirty = {subagent for subagent in self._dirty if subagent.run != run}
        self._ended.append(run)

    def flush(self) -> None:
        """Write what has changed, at once. When another engine is writing just now, the next flush does it."""
        if not self._dirty and not self._ended:
            return
        try:
            driver = self._open()
            driver.execute("BEGIN IMMEDIATE")
            try:
                driver.executemany("DELETE FROM tails WHERE run = ?", [(run,) for run in self._ended])
                driver.executemany(
                    "DELETE FROM tails WHERE run = ? AND generation = ? AND lane = ?",
                    [(s.run, s.generation, s.lane) for s in self._dirty if s not in self._streams],
                )
                driver.executemany(
                    "INSERT OR REPLACE INTO tails VALUES (?, ?, ?, ?, ?)",
                    [self._row(s) for s in self._dirty if s in self._streams],
                )
                driver.execute("COMMIT")
            except BaseException:
                if driver.in_transaction:
                    driver.execute("ROLLBACK")
                raise
        except (sqlite3.Error, OSError) as error:
            self._failed(error)
        else:
            for subagent in self._dirty & self._streams.keys():
                self._streams[subagent].dirty = False
            self._dirty.clear()
            self._ended.clear()

    def close(self) -> None:
        """Write what has changed, and stop."""
        self.flush()
        self._drop()

    def _forget(self, subagent: SubagentId) -> None:
        stream = self._streams.pop(subagent, None)
        if stream is not None:
            del self._by_call[stream.call]

    def _row(self, subagent: SubagentId) -> tuple[str, int, int, str, str]:
        stream = self._streams[subagent]
        stream.trim()
        return subagent.run, subagent.generation, subagent.lane, stream.call, dumps(stream.parts)

    def _open(self) -> sqlite3.Connection:
        # Another engine may have made the file anew.
        if self._driver is not None and _identity(self._path) != self._file:
            self._drop()
        if self._driver is None:
            with suppress(FileExistsError):
                os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            self._driver = _connect(self._path)
            self._file = _identity(self._path)
            self._driver.execute("PRAGMA journal_mode = WAL")
            self._driver.execute(
                "CREATE TABLE IF NOT EXISTS tails (run TEXT, generation INTEGER, lane INTEGER, call TEXT, parts TEXT, "
                "PRIMARY KEY (run, generation, lane)) WITHOUT ROWID"
            )
        return self._driver

    def _failed(self, error: sqlite3.Error | OSError) -> None:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_BUSY:
            return
        log.warning("the live text cannot be written to %s: %s", self._path, error)
        self._drop()
        # A file of some other layout says `no such column`: a plain error.
        if code in _DAMAGED or code == sqlite3.SQLITE_ERROR:
            for suffix in ("", "-wal", "-shm"):
                with suppress(OSError):
                    self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
            self._dirty |= set(self._streams)

    def _drop(self) -> None:
        if self._driver is not None:
            with suppress(sqlite3.Error):
                self._driver.close()
            self._driver = None


class TailReader:
    """A screen's side. For one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._driver: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._version: int | None = None
        self._tails: dict[SubagentId, Tail] = {}

    def read(self) -> dict[SubagentId, Tail]:
        """What is in progress, by subagent; the same dictionary as before when nothing has changed."""
        try:
            identity = _identity(self._path)
            if identity != self._file:
                self.close()
                self._file = identity
                self._tails = {}
            if identity is None:
                return self._tails
            if self._driver is None:
                self._driver = _connect(self._path)
            version = self._driver.execute("PRAGMA data_version").fetchone()[0]
            if version != self._version:
                rows = self._driver.execute("SELECT run, generation, lane, call, parts FROM tails").fetchall()
                self._tails = {
                    SubagentId(run, generation, lane): Tail(call, tuple((kind, text) for kind, text in loads(parts)))
                    for run, generation, lane, call, parts in rows
                }
                self._version = version
        except (sqlite3.Error, OSError, ValueError, TypeError):
            self.close()
            self._tails = {}
        return self._tails

    def close(self) -> None:
        """Let go of the file."""
        if self._driver is not None:
            with suppress(sqlite3.Error):
                self._driver.close()
        self._driver = self._version = None


def _connect(path: Path) -> sqlite3.Connection:
    driver = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=0, isolation_level=None, check_same_thread=False
    )
    driver.execute("PRAGMA synchronous = OFF")
    return driver


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file it is at the moment; None when there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino
