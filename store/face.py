"""The face of observations: a file that people edit while it is written.

A reader sees the old text or the new one, never half of either. And nothing that another program saves is written over
unseen: the new text changes places with the file in one step of the system's, and what then comes out is looked at.
"""

import codecs
import contextlib
import ctypes
import errno
import os
import stat
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

_CURRENT = -100
"""AT_FDCWD on Linux: relative to the current folder."""
_SWAP = 2
"""RENAME_EXCHANGE of Linux's renameat2(2), RENAME_SWAP of macOS's renamex_np(2)."""
_CANNOT = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}


class Face:
    """One file. `aside` is what stood in it before it was last replaced, until `forget`: a program that had it open may
    still be writing it, and an engine that is killed leaves it for the next one."""

    def __init__(self, path: Path) -> None:
        # Where somebody has put a link, the file that it leads to is the face, and the link stays.
        self.path = path = Path(os.path.realpath(path))
        self._aside = path.parent / f".{path.name}.before"

    @property
    def names(self) -> tuple[str, str]:
        """The names that people's words may come in under."""
        return self.path.name, self._aside.name

    @property
    def text(self) -> str | None:
        """What the file says; None when there is none. OSError."""
        return _read(self.path)

    @property
    def aside(self) -> str | None:
        """What it said before; None when nobody wants to know any more."""
        return _read(self._aside)

    def forget(self) -> None:
        """What it said before is kept elsewhere."""
        self._aside.unlink(missing_ok=True)

    def age(self, now: float) -> float:
        """Seconds since somebody wrote it last, by the file system's clock."""
        return _age(self.path, now)

    def aside_age(self, now: float) -> float:
        """The same of what stood there before."""
        return _age(self._aside, now)

    def replace(self, text: str, expected: str | None) -> bool:
        """Put the text into the file, which was last seen to say `expected`. False when something else stood there:
        that is `aside` now, or still in the file where the system can't swap two files. OSError.

        `aside` is to be looked at, and forgotten, before.
        """
        new = written(self.path, text)
        try:
            if expected is None:
                return _put(new, self.path)
            with contextlib.suppress(OSError):
                # Whoever may read or write it still may.
                new.chmod(stat.S_IMODE(self.path.stat().st_mode))
            new.replace(self._aside)
            try:
                if exchange(self._aside, self.path):
                    return self.aside == expected
            except FileNotFoundError:
                # It was taken away meanwhile.
                self._aside.replace(self.path)
                return True
            if self.text != expected:
                return False
            self._aside.replace(self.path)
            return True
        finally:
            new.unlink(missing_ok=True)


def write_face(path: Path, text: str) -> None:
    """Write the file where nobody edits it, so that a reader sees the old text or the new one. OSError."""
    new = written(path, text)
    try:
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def written(path: Path, text: str) -> Path:
    """The text in a file of its own beside `path`, safe on the disk. OSError."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.new-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            # A lone surrogate has no bytes; a person's file can't bring one, and everything else is made safe.
            file.write(text.encode("utf-8", "replace"))
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
    return Path(name)


def sweep(path: Path) -> None:
    """Take away what a writer that was killed left half written."""
    for left in path.parent.glob(f".{path.name}.new-*"):
        left.unlink(missing_ok=True)


def exchange(one: Path, other: Path) -> bool:
    """Let two files change places in one step. False where the system or the file system can't; OSError when one of
    them is not there, or may not be changed."""
    swap = _system_call()
    if swap is None:
        return False
    if swap(os.fsencode(one), os.fsencode(other)) == 0:
        return True
    code = ctypes.get_errno()
    if code in _CANNOT:
        return False
    raise OSError(code, os.strerror(code), str(other))


@cache
def _system_call() -> Callable[[bytes, bytes], int] | None:
    library = ctypes.CDLL(None, use_errno=True)
    if sys.platform == "darwin":
        call = getattr(library, "renamex_np", None)
        return (lambda one, other: int(call(one, other, _SWAP))) if call is not None else None
    call = getattr(library, "renameat2", None)
    return (lambda one, other: int(call(_CURRENT, one, _CURRENT, other, _SWAP))) if call is not None else None


def _put(new: Path, path: Path) -> bool:
    """Put a file where there is none. False when there is one."""
    try:
        os.link(new, path)
    except FileExistsError:
        return False
    except OSError:
        # Not every file system can have a file under two names.
        if path.exists():
            return False
        new.replace(path)
    return True


def _read(path: Path) -> str | None:
    try:
        return decoded(path.read_bytes())
    except FileNotFoundError:
        return None


def decoded(data: bytes) -> str:
    """What a person's editor or shell wrote, whatever its encoding: UTF-8, UTF-16 with its mark, or letters of Windows
    or Latin-1, also a few of them among UTF-8."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
    return data.decode("utf-8-sig", _AS_LETTERS)


def _letters(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    found = error.object[error.start : error.end]
    try:
        return found.decode("cp1252"), error.end
    except UnicodeDecodeError:
        return found.decode("latin-1"), error.end


_AS_LETTERS = "multitrack.letters"
codecs.register_error(_AS_LETTERS, _letters)


def _age(path: Path, now: float) -> float:
    try:
        return max(now - path.stat().st_mtime, 0.0)
    except FileNotFoundError:
        return float("inf")
