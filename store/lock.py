"""Operating-system locks that die with their process: one engine a run, and engines against migrations.

They are `flock`s on open files. The files are never removed (that would race with whoever is about to lock them), and
their descriptors are not inherited by programs that are started, so that no sandbox's child keeps a lock.
"""

import fcntl
import json
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from store.errors import StoreError

LOOKING_SECONDS = 5.0
"""How long to put up with processes that look at a lock one after the other."""


@dataclass(frozen=True)
class Holder:
    """Which process holds a lock. `pid` is 0 while it has not yet written its name."""

    pid: int
    host: str


class RunLock:
    """The lock of a run's engine."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Take the lock without waiting for whoever has it; whether it is ours now. StoreError when the file can't
        be opened."""
        if self._descriptor is not None:
            return True
        descriptor = open_lock(self.path)
        deadline = time.monotonic() + LOOKING_SECONDS
        while not try_lock(descriptor, fcntl.LOCK_EX):
            # Shared, it is held by those who only look whether it is held: for an instant.
            if not try_lock(descriptor, fcntl.LOCK_SH) or time.monotonic() > deadline:
                os.close(descriptor)
                return False
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            time.sleep(0.001)
        name = json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode()
        os.pwrite(descriptor, name, 0)
        os.ftruncate(descriptor, len(name))
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Give it back. Safe to call twice."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> "RunLock":
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()


def holder(path: Path) -> Holder | None:
    """Who holds the lock, None when nobody does. Shares it for an instant, to find out."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"The lock {path} cannot be read ({error.strerror}).") from error
    try:
        if try_lock(descriptor, fcntl.LOCK_SH):
            return None
        try:
            name = json.loads(os.pread(descriptor, 4096, 0))
            return Holder(int(name["pid"]), str(name["host"]))
        except (ValueError, KeyError, TypeError):
            return Holder(0, "")
    finally:
        os.close(descriptor)


def open_lock(path: Path) -> int:
    """A descriptor of the lock file, which is made when it is missing. StoreError when that can't be done."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"The lock {path} cannot be opened ({error.strerror}). Make its folder writable.") from error


def try_lock(descriptor: int, kind: int) -> bool:
    """Take the lock on an open file without waiting (`LOCK_EX` or `LOCK_SH`); whether that went well."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
