"""Pictures of numbers, out of blocks: ranked bars, and outcomes in a grid. Bars start at zero."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from widgets.ink import Line, cut, width

HALF = "▌"
_CELL = 4
"""Cells of one generation's column in a grid."""


@dataclass(frozen=True)
class Ranked:
    """One bar: its name, its value, and what stands at its right."""

    name: str
    value: float
    said: str
    ink: str = "accent"


def bar(value: float, most: float, cells: int) -> str:
    """A bar in half cells; whatever is more than nothing shows."""
    halves = round(2 * cells * min(max(value, 0.0) / most, 1.0)) if most > 0 else 0
    halves = max(halves, 1) if value > 0 else 0
    return "█" * (halves // 2) + HALF * (halves % 2)


def ranked(rows: Sequence[Ranked], cells: int, title: str, *, names: int = 24) -> list[Line]:
    """Bars under a title, the longest as long as there is room."""
    if not rows:
        return []
    named = min(max(len(row.name) for row in rows), names)
    room = max(cells - named - max(len(row.said) for row in rows) - 4, 6)
    most = max(row.value for row in rows)
    lines: list[Line] = [[(title, "strong")]]
    for row in rows:
        name = cut([(row.name, "text")], named)
        drawn = bar(row.value, most, room)
        gap = " " * (named - width(name) + 1)
        lines.append(
            cut(
                [*name, (gap, "text"), (drawn, row.ink), (" " * (room - len(drawn) + 1), "text"), (row.said, "faint")],
                cells,
            )
        )
    return lines


@dataclass(frozen=True)
class Cell:
    """What became of something in one generation: so many of so many, and how many are still at work."""

    solved: int
    judged: int
    lanes: int

    @property
    def span(self) -> tuple[str, str]:
        """One lane is a glyph, several are a count."""
        if self.lanes == 1:
            if not self.judged:
                return "▶", "accent"
            return ("✔", "good") if self.solved else ("✗", "bad")
        if not self.judged:
            return f"▶{self.lanes}", "accent"
        ink = "good" if self.solved == self.judged else "warn" if self.solved else "bad"
        return f"{self.solved}/{self.judged}", ink


@dataclass(frozen=True)
class Row:
    """One row of a grid: its name, what became of it by generation, what stands at its right."""

    name: str
    cells: Mapping[int, Cell]
    share: float | None
    said: str
    ink: str = "text"


def grid(rows: Sequence[Row], numbers: Sequence[int], cells: int, title: str, *, names: int = 22) -> list[Line]:
    """Rows by generation, with a bar of the share that was solved. Of more generations than fit the last are shown."""
    if not rows:
        return []
    named = min(max(len(row.name) for row in rows), names)
    said = max(len(row.said) for row in rows)
    column = max(_CELL, *(len(cell.span[0]) + 1 for row in rows for cell in row.cells.values()))
    fit = max((cells - named - said - 4) // column, 1)
    shown = numbers[-fit:]
    room = min(cells - named - said - 4 - column * len(shown), 24)
    head: Line = [(" " * named, "text"), *[(f"{number:>{column}}", "faint") for number in shown]]
    lines: list[Line] = [[(title, "strong")], head]
    for row in rows:
        name = cut([(row.name, row.ink)], named)
        line: Line = [*name, (" " * (named - width(name)), "text")]
        for number in shown:
            text, ink = row.cells[number].span if number in row.cells else ("·", "faint")
            line.append((f"{text:>{column}}", ink))
        if room >= 6:
            drawn = bar(row.share or 0.0, 1.0, room)
            line += [("  ", "text"), (drawn, "good"), ("░" * (room - len(drawn)), "frame")]
        lines.append(cut([*line, ("  ", "text"), (row.said, "faint")], cells))
    return lines


def beside(left: Sequence[Line], right: Sequence[Line], cells: int, gap: int = 4) -> list[Line]:
    """Two blocks beside each other; `cells` is the width of the left one."""
    lines: list[Line] = []
    for row in range(max(len(left), len(right))):
        first = cut(left[row], cells) if row < len(left) else []
        second = right[row] if row < len(right) else []
        space = " " * (cells + gap - width(first)) if second else ""
        lines.append([*first, (space, "text"), *second])
    return lines
