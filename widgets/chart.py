"""Small charts out of characters, with honest axes: they start at zero, name their scale, and invent no value."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from widgets.ink import Line

BARS = " ▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Series:
    """Values by generation (None: not known yet), a point glyph and an ink."""

    name: str
    values: Sequence[float | None]
    glyph: str = "●"
    ink: str = "accent"


def spark(values: Sequence[float], most: float | None = None) -> str:
    """One character a value, from zero to `most` (the largest value when None)."""
    top = max(most if most is not None else max(values, default=0.0), 1e-9)
    return "".join(BARS[max(1, round(8 * min(max(value, 0) / top, 1)))] for value in values)


def chart(series: Sequence[Series], count: int, cells: int, height: int, most: float, title: str) -> list[Line]:
    """Points joined by lines over generations 1 to `count`, from 0 to `most`. Height includes title, axis and numbers.

    Series that meet in a cell: the later one is drawn.
    """
    legend: Line = [(title, "strong")]
    for one in series:
        legend += [("   ", "text"), (f"{one.glyph} ", one.ink), (one.name, "text")]
    plot = max(height - 3, 2)
    margin = len(_number(most)) + 1
    room = max(cells - margin - 2, count)
    step = max(min(room // max(count, 1), 12), 1)
    top = max(most, 1e-9)
    grid: list[dict[int, tuple[str, str]]] = [{} for _ in range(plot)]
    for one in series:
        _trace(grid, one, count, step, plot, top)
    rows: list[Line] = [legend]
    for row in range(plot):
        value = most if row == 0 else 0.0 if row == plot - 1 else None
        label = _number(value) if value is not None else ""
        rows.append(
            [(f"{label:>{margin}}", "faint"), ("┤" if label else "│", "frame"), *_spans(grid[row], count * step)]
        )
    rows.append([(" " * margin + "└", "frame"), *[("─" * (step - 1) + "┴", "frame") for _ in range(count)]])
    rows.append([(" " * (margin + 1), "text"), *[(f"{number:>{step}}", "faint") for number in range(1, count + 1)]])
    return rows


def _trace(
    grid: Sequence[dict[int, tuple[str, str]]], one: Series, count: int, step: int, plot: int, top: float
) -> None:
    def y(value: float) -> int:
        return plot - 1 - round((plot - 1) * min(max(value / top, 0.0), 1.0))

    points = [(index * step + step - 1, value) for index, value in enumerate(one.values[:count]) if value is not None]
    for (x1, v1), (x2, v2) in itertools.pairwise(points):
        for x in range(x1 + 1, x2):
            at = y(v1 + (v2 - v1) * (x - x1) / (x2 - x1))
            grid[at].setdefault(x, ("·", one.ink))
    for x, value in points:
        grid[y(value)][x] = (one.glyph, one.ink)


def _spans(cells: Mapping[int, tuple[str, str]], count: int) -> Line:
    return [cells.get(x, (" ", "text")) for x in range(count)]


def _number(value: float) -> str:
    return f"{value:g}" if value < 1000 else f"{value / 1000:g}k"
