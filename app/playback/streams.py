"""The text of calls in progress, as far as it had come at a moment."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from widgets.flow import Parts

KEPT: Final = 4096
"""Characters of a call in progress that are shown at most, as of a live one."""


@dataclass(frozen=True)
class Piece:
    """Text that came at a moment, in Unix seconds; its kind is `text`, `reasoning` or `tool`."""

    at: float
    kind: str
    text: str


class Stream:
    """One call's text. `pieces` in the order in which they came. Going forth costs what is new."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self._pieces = pieces
        self._taken = 0
        self._parts: list[tuple[str, str]] = []

    def parts(self, at: float) -> Parts:
        """The end of what had come by then: nothing before the first piece."""
        if self._taken and self._pieces[self._taken - 1].at > at:
            self._taken, self._parts = 0, []
        while self._taken < len(self._pieces) and (piece := self._pieces[self._taken]).at <= at:
            self._taken += 1
            if self._parts and self._parts[-1][0] == piece.kind:
                self._parts[-1] = piece.kind, (self._parts[-1][1] + piece.text)[-KEPT:]
            else:
                self._parts.append((piece.kind, piece.text[-KEPT:]))
        return _end(self._parts)


def _end(parts: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    found: list[tuple[str, str]] = []
    left = KEPT
    for kind, text in reversed(parts):
        if left <= 0:
            break
        found.append((kind, text[-left:]))
        left -= len(text)
    return tuple(reversed(found))


def spread(parts: Parts, first: float, last: float) -> list[Piece]:
    """Words of which nobody knows when they came, spread evenly over the time in which they did."""
    words = [(kind, word) for kind, text in parts for word in _words(text)]
    step = (last - first) / max(len(words), 1)
    return [Piece(first + step * (index + 1), kind, word) for index, (kind, word) in enumerate(words)]


def _words(text: str) -> list[str]:
    """The text in small pieces, none lost."""
    return [text[at : at + 12] for at in range(0, len(text), 12)]
