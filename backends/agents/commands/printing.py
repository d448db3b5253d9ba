"""What a program prints, in bounded memory: its end, and the lines that nobody was told of yet."""

from collections import deque

from store.domain.safe_text import drawn, safe_line

END = 8192
"""Characters that are kept of the end."""
LINES = 20
"""Lines told at once: a pane shows few, and a log is no place for more."""
TOLD = 1000
"""Lines told in all."""
WIDTH = 300


class Printed:
    """The output of one program, as it comes."""

    def __init__(self) -> None:
        self._rest = b""
        self._end = ""
        self._news: deque[str] = deque(maxlen=LINES)
        self._skipped = 0
        self._told = 0

    @property
    def end(self) -> str:
        """The end of what it has printed."""
        return self._end + _text(self._rest)

    def add(self, data: bytes) -> None:
        """It printed this."""
        whole, newline, self._rest = (self._rest + data).rpartition(b"\n")
        if len(self._rest) > 4 * END:
            self._rest = self._rest[-END:]
        if not newline:
            return
        text = _text(whole)
        self._end = f"{self._end}{text}\n"[-END:]
        for line in text.split("\n"):
            if shown := safe_line(line, WIDTH):
                self._skipped += len(self._news) == LINES
                self._news.append(shown)

    def news(self) -> tuple[tuple[str, ...], int]:
        """The lines that are new, the last of them where there are many, and how many are left out."""
        lines, skipped = tuple(self._news), self._skipped
        self._news.clear()
        self._skipped = 0
        room = max(TOLD - self._told, 0)
        self._told += len(lines)
        return lines[:room], skipped + len(lines[room:]) if lines[:room] else 0


def _text(data: bytes) -> str:
    return drawn(data.decode(errors="replace"))
