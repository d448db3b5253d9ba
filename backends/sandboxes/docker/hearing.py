"""Listening to a command in a container until it says that it has ended."""

import time

from backends.sandboxes.docker.attached import STDOUT, Attached
from backends.sandboxes.process import Excerpt

_FREE = 16 * 1024 * 1024
"""Bytes that a command may print at full speed; after that it is read 64 KiB a millisecond, as by the local sandbox."""
_RATE = 64 * 1024 * 1000


class Hearing:
    """The output of one command (see `scripts.RUN`). `end` is the secret word that its last line begins with; `code`
    is None when that never came, and `out_of_memory` counts the programs that were killed for memory so far."""

    def __init__(self, attached: Attached, end: str, cap: int) -> None:
        self._attached, self._end = attached, end.encode()
        self._excerpt = Excerpt(cap)
        self._tail = b""
        self.code: int | None = None
        self.out_of_memory = 0

    @property
    def ended(self) -> bool:
        """Whether the command said so."""
        return self.code is not None

    def listen(self) -> None:
        """Listen to the end. Blocks."""
        while (piece := self._attached.read()) is not None:
            kind, data = piece
            if kind == STDOUT and self.take(data):
                self._leave()
                return
            if self._excerpt.total > _FREE:
                time.sleep(len(data) / _RATE)
        self._excerpt.add(self._tail)
        self._tail = b""

    def take(self, data: bytes) -> bool:
        """Take the next bytes; whether they are the last."""
        data = self._tail + data
        at = data.find(self._end)
        if at < 0:
            # The word may have come in part.
            keep = min(len(self._end) - 1, len(data))
            self._excerpt.add(data[: len(data) - keep])
            self._tail = data[len(data) - keep :]
            return False
        words, newline, _ = data[at + len(self._end) :].partition(b"\n")
        if not newline:
            self._excerpt.add(data[:at])
            self._tail = data[at:]
            return False
        self._excerpt.add(data[:at])
        self._tail = b""
        code, memory = words.split()
        self.code, self.out_of_memory = int(code), int(memory)
        return True

    def kept(self) -> tuple[bytes, int, int]:
        """See `Excerpt.kept`."""
        return self._excerpt.kept()

    def _leave(self) -> None:
        """Let it go, and wait until it has: the next command must not find it still there."""
        try:
            self._attached.write(b"\n")
        except ConnectionError:
            return
        while self._attached.read() is not None:
            pass
