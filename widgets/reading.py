"""Where somebody is in a text that is folded into rows, said so that it is the same at any width. No Textual."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from widgets.ink import Line


@dataclass(frozen=True)
class Place:
    """The first row in sight: in which part of the text, and behind how many of its characters, blanks aside."""

    part: int
    letters: int = 0


def place(rows: Sequence[Line], starts: Sequence[int], row: int, gutter: int = 0) -> Place:
    """Which place a row is. `starts` are the rows that parts begin with, `gutter` the spans of each row that are
    none of the text."""
    part = max(bisect_right(starts, row) - 1, 0)
    first = starts[part] if starts else 0
    return Place(part, sum(_letters(one, gutter) for one in rows[first:row]))


def row(rows: Sequence[Line], starts: Sequence[int], where: Place, gutter: int = 0) -> int:
    """The row of a place; of one that is not there, the nearest before."""
    if not starts or where.part < 0:
        return 0
    if where.part >= len(starts):
        return max(len(rows) - 1, 0)
    first, left = starts[where.part], where.letters
    stop = starts[where.part + 1] if where.part + 1 < len(starts) else len(rows)
    if left <= 0:
        return first
    for number in range(first, stop):
        left -= _letters(rows[number], gutter)
        if left < 0:
            return number
    return max(stop - 1, first)


def _letters(line: Line, gutter: int) -> int:
    return sum(len(text) - sum(map(text.count, " \t")) for text, _ in line[gutter:])
