"""Calls that are safe and not on the tape yet: a file beside the store, to which each is written before its client sees
the answer's end.

Putting a call on the tape takes a scribe a quarter of a millisecond, and a client that waits for it makes no other call
meanwhile. Writing it here takes some microseconds, and is as good against `kill -9`: what the kernel has, no process
can take with it. What a file still has when its owner is gone, whoever opens the store next puts on the tape
(`store.recovering`), and so does the owner's scribe, when it outlives it.

A file begins with who owns it, who also holds a lock on it while it lives; then come the calls, each with its length
and its checksum. Its end may be torn.
"""

import fcntl
import glob
import os
import secrets
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from store.lock import try_lock

MOST = 16 * 1024 * 1024
"""Bytes of a journal from which on calls wait for their commit, until none in it does: then it begins anew."""

LARGEST = 32 * 1024
"""Bytes of a call that still goes in. A larger one waits for its commit: writing it twice, and making room for so much
in memory, takes longer than that (a fifth of the calls/s at 150 KB)."""

_NAME = "-calls-"
_OWNER = struct.Struct("<8sQ")
_MAGIC = b"mtcalls1"
_HEAD = struct.Struct("<II")


class Journal:
    """The journal of one process, which is made with its first call."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self._descriptor: int | None = None
        self._path: Path | None = None
        self._size = 0
        self._hopeless = False

    @property
    def path(self) -> Path | None:
        """Where it is; None while it is not there."""
        return self._path

    def add(self, call: bytes) -> bool:
        """Write a call; whether it is safe now. It isn't where the journal or the disk has no room, and where there can
        be no journal."""
        if len(call) > LARGEST or self._size > MOST or (descriptor := self._opened()) is None:
            return False
        data = _HEAD.pack(len(call), zlib.crc32(call)) + call
        try:
            whole = os.write(descriptor, data) == len(data)
        except OSError:
            whole = False
        if whole:
            self._size += len(data)
        else:
            # What follows a torn call could not be read.
            with suppress(OSError):
                os.ftruncate(descriptor, _OWNER.size + self._size)
        return whole

    def clear(self) -> None:
        """All of it is on the tape."""
        if self._size and self._descriptor is not None:
            os.ftruncate(self._descriptor, _OWNER.size)
            self._size = 0

    def close(self) -> None:
        """Give it up. What is still in it stays, for who opens the store next."""
        if self._descriptor is None or self._path is None:
            return
        if not self._size:
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = self._path = None

    def _opened(self) -> int | None:
        if self._descriptor is None and not self._hopeless:
            try:
                self._open()
            except OSError:
                # Calls then wait for their commits, and who can't commit either has an error that says why.
                self._hopeless = True
        return self._descriptor

    def _open(self) -> None:
        path = self._store.with_name(f"{self._store.name}{_NAME}{secrets.token_hex(4)}")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.write(descriptor, _OWNER.pack(_MAGIC, os.getpid())) != _OWNER.size:
                raise OSError("no room")
        except BaseException:
            path.unlink(missing_ok=True)
            os.close(descriptor)
            raise
        self._descriptor, self._path = descriptor, path


class Left:
    """A journal that its owner left, locked."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    def calls(self) -> Iterator[bytes]:
        """What is in it, in order, as far as it is whole."""
        with os.fdopen(os.dup(self._descriptor), "rb") as file:
            file.seek(_OWNER.size)
            while len(head := file.read(_HEAD.size)) == _HEAD.size:
                size, checksum = _HEAD.unpack(head)
                call = file.read(size) if size <= LARGEST else b""
                if len(call) != size or zlib.crc32(call) != checksum:
                    return
                yield call

    def remove(self) -> None:
        """All of it is on the tape."""
        self._path.unlink(missing_ok=True)


def left(store: Path) -> Iterator[Left]:
    """The journals beside a store whose owners are gone, each until the next is asked for. One that another process is
    just putting on the tape is waited for."""
    with suppress(OSError):
        for path in sorted(store.parent.glob(f"{glob.escape(store.name)}{_NAME}*")):
            with suppress(OSError):
                descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
                try:
                    if _taken(descriptor):
                        yield Left(path, descriptor)
                finally:
                    os.close(descriptor)


def _taken(descriptor: int) -> bool:
    """Take the lock of a journal whose owner is gone."""
    if try_lock(descriptor, fcntl.LOCK_EX):
        return True
    head = os.pread(descriptor, _OWNER.size, 0)
    if len(head) < _OWNER.size or _lives(_OWNER.unpack(head)[1]):
        return False
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return True


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    # It may have been killed, and be waited for by nobody yet.
    with suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    return True
