"""The store: one SQLite file in WAL mode at this version's schema, read by many threads, written by one."""

import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from store import journal
from store.connecting import Durability, connect
from store.errors import StoreError, explain
from store.lock import open_lock, try_lock
from store.migrations import APPLICATION, HEAD, REVISIONS
from store.writer import Writer, forbid

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

__all__ = ["Durability", "Store", "StoreError", "connect", "open_store"]

T = TypeVar("T")

MIGRATION_SECONDS = 60.0
"""How long to wait for another process that is migrating the store."""


class Store:
    """An open store. May be shared by threads; not by processes: each opens its own."""

    def __init__(self, path: Path, *, durability: Durability = "process") -> None:
        self.path = path
        self.durability: Durability = durability
        self.writer = Writer(path, self._writing, lost=self._begin_anew)
        self._reading: Engine | None = None
        self._lock = threading.Lock()

    @contextmanager
    def read(self) -> "Iterator[Connection]":
        """A connection that sees one state of the store from its first query on, and cannot write. StoreError when the
        store can't be read."""
        from sqlalchemy.exc import DBAPIError

        with self._lock:
            if self._reading is None:
                self._reading = _engine(lambda: connect(self.path, query_only=True))
        try:
            with self._reading.connect() as connection:
                yield connection
        except DBAPIError as error:
            told = explain(self.path, error)
            if told is None:
                raise
            raise told from error

    def write(self, job: "Callable[[Connection], T]") -> T:
        """Run a job on the writer and wait until it is committed. On an event loop: `writer.write`."""
        return self.writer.submit(job).result()

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keep the store at this schema: an engine holds it for as long as it lives, and nobody migrates it meanwhile.
        StoreError when it is being migrated, or has been by a newer version."""
        descriptor = open_lock(_lock_path(self.path))
        try:
            if not try_lock(descriptor, fcntl.LOCK_SH):
                raise StoreError(
                    f"The store {self.path} is being migrated or cleared up by another process. Try again soon."
                )
            if not _ready(self.path):
                raise StoreError(f"The store {self.path} was replaced while it was open. Start again.")
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Whether nobody holds the store; then nobody begins to, until the block is left."""
        descriptor = open_lock(_lock_path(self.path))
        try:
            yield try_lock(descriptor, fcntl.LOCK_EX)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Finish the queued writes and close all connections. Safe to call twice."""
        self.writer.close()
        self._begin_anew()

    def _begin_anew(self) -> None:
        """Let go of the connections that nobody reads on. As long as one is open, SQLite shares what it knows of a file
        with every new one, also that it could not be written when it still was read-only."""
        with self._lock:
            if self._reading is not None:
                self._reading.dispose()
                self._reading = None

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _writing(self) -> "Engine":
        from sqlalchemy import event

        engine = _engine(lambda: connect(self.path, durability=self.durability), begin=False)
        event.listen(engine, "commit", forbid)
        event.listen(engine, "rollback", forbid)
        return engine


def open_store(path: Path, *, durability: Durability = "process") -> Store:
    """Open the store, made and migrated as needed, with all that a recorder which is gone has left in its journal.

    StoreError when the file is none of ours, or of a newer version, or can't be read or written, or when it needs a
    migration while an engine holds it.
    """
    path = path.expanduser().absolute()
    try:
        if not _ready(path):
            _bring_to_head(path)
        _make_private(path)
        if any(True for _ in journal.left(path)):
            from store.recovering import recover

            recover(path)
    except StoreError:
        raise
    except Exception as error:
        cause = getattr(error, "orig", None) or error
        raise explain(path, error) or StoreError(f"The store {path} cannot be opened: {cause}.") from error
    return Store(path, durability=durability)


def _exists(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StoreError(f"The store {path} cannot be reached ({error.strerror}).") from error


def _ready(path: Path) -> bool:
    """Whether the store is at head, and in WAL mode, which a restored copy may not be. StoreError, sqlite3.Error."""
    if not _exists(path):
        return False
    with closing(connect(path, query_only=True)) as driver:
        return _revision(path, driver) == HEAD and driver.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def _revision(path: Path, driver: sqlite3.Connection) -> str | None:
    """The schema of a store, one that this version knows; None for an empty file."""
    if driver.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
        return None
    if driver.execute("PRAGMA application_id").fetchone() != (APPLICATION,):
        raise StoreError(f"{path} is a SQLite database, but no store of Multitrack's. Name another file with --store.")
    revision = driver.execute("SELECT version_num FROM alembic_version").fetchone()[0]
    if revision not in REVISIONS:
        raise StoreError(
            f"The store {path} was made by a newer Multitrack: its schema is {revision}, this version knows up to "
            f"{HEAD}. Upgrade Multitrack (`pip install -U multitrack`), or name another store with --store."
        )
    return str(revision)


def _bring_to_head(path: Path) -> None:
    """Make or migrate the store while nobody else does, and no engine holds it."""
    descriptor = open_lock(_lock_path(path))
    try:
        deadline = time.monotonic() + MIGRATION_SECONDS
        held = 0
        while not try_lock(descriptor, fcntl.LOCK_EX):
            # Shared holders are engines; or another one here, who looks, for an instant.
            held = held + 1 if try_lock(descriptor, fcntl.LOCK_SH) else 0
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            if _ready(path):
                return
            if held > 10:
                raise StoreError(
                    f"The store {path} needs a migration to schema {HEAD}, but an engine of an older Multitrack is "
                    f"using it. Stop its runs first, or name another store with --store."
                )
            if time.monotonic() > deadline:
                raise StoreError(f"The store {path} is being migrated by another process. Try again later.")
            time.sleep(0.05)
        if not _exists(path):
            _create(path)
        if not _ready(path):
            _migrate(path)
    finally:
        os.close(descriptor)


def _create(path: Path) -> None:
    """An empty file that only its user can read."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        pass
    except OSError as error:
        raise StoreError(f"The store {path} cannot be made ({error.strerror}). Make its folder writable.") from error


def _migrate(path: Path) -> None:
    from store.migrations import create, upgrade

    with closing(connect(path, durability="full")) as driver:
        driver.execute("PRAGMA journal_mode = WAL")
        if _revision(path, driver) is None:
            create(driver)
            return
        with _engine(lambda: driver, begin=False).connect() as connection:
            upgrade(connection)
            connection.detach()


_BESIDE = ("", "-wal", "-shm", ".lock", ".tail", ".tail-wal", ".tail-shm")
"""What a store's files are called, after its own name."""


def _make_private(path: Path) -> None:
    """Let nobody but its user read what was said: a store that was copied or restored may have become readable."""
    for suffix in _BESIDE:
        file = path.with_name(path.name + suffix)
        with suppress(OSError):
            status = file.stat()
            if status.st_uid == os.getuid() and status.st_mode & 0o077:
                file.chmod(status.st_mode & 0o700)


def _lock_path(path: Path) -> Path:
    return path.with_name(path.name + ".lock")


def _engine(creator: Callable[[], sqlite3.Connection], *, begin: bool = True) -> "Engine":
    """SQLAlchemy on the driver's connections. With `begin`, each use of a connection is one transaction for reading."""
    from sqlalchemy import create_engine, event
    from sqlalchemy.pool import NullPool, QueuePool

    if not begin:
        return create_engine("sqlite://", creator=creator, poolclass=NullPool)
    engine = create_engine("sqlite://", creator=creator, poolclass=QueuePool, pool_size=8, max_overflow=-1)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    return engine
