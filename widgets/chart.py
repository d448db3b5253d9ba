"""Small charts out of characters, with honest axes: they start at zero, name their scale, and invent no value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from widgets.ink import Line

BARS = "▁▂▃▄▅▆▇"
"""Never a full cell, so that the rows of a list stay apart."""
MARGIN = 4
"""Cells left of an axis: charts above each other line up."""


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
    return "".join(BARS[round(6 * min(max(value, 0) / top, 1))] for value in values)


def chart(series: Sequence[Series], count: int, cells: int, height: int, most: float, title: str) -> list[Line]:
    """Points joined by lines over generations 1 to `count`, from 0 to `most`. Height includes title, axis and numbers.

    Series that meet in a cell: the later one is drawn.
    """
    legend: Line = [(title, "strong")]
    for one in series:
        legend += [("   ", "text"), (f"{one.glyph} ", one.ink), (one.name, "text")]
    plot = max(height - 3, 2)
    margin = max(len(_number(most)) + 1, MARGIN)
    room = max(cells - margin - 2, count)
    step = max(min(room // max(count, 1), 20), 1)
    top = max(most, 1e-9)
    grid: list[dict[int, tuple[str, str]]] = [{} for _ in range(plot)]
    for one in series:
        _trace(grid, one, count, step, plot, top)
    rows: list[Line] = [legend]
    ticks = _ticks(most, plot)
    for row in range(plot):
        label = _number(ticks[row]) if row in ticks else ""
        rows.append(
            [(f"{label:>{margin}}", "faint"), ("┤" if label else "│", "frame"), *_spans(grid[row], count * step)]
        )
    rows.append([(" " * margin + "└", "frame"), *[("─" * (step - 1) + "┴", "frame") for _ in range(count)]])
    rows.append([(" " * (margin + 1), "text"), *[(f"{number:>{step}}", "faint") for number in range(1, count + 1)]])
    return rows


def _trace(
    grid: Sequence[dict[int, tuple[str, str]]], one: Series, count: int, step: int, plot: int, top: float
) -> None:
    """Draw one series: a line of dots, eight to a cell, and its points on it."""

    def share(value: float) -> float:
        return 1.0 - min(max(value / top, 0.0), 1.0)

    points = [(index * step + step - 1, value) for index, value in enumerate(one.values[:count]) if value is not None]
    dots: dict[tuple[int, int], int] = {}
    for (x1, v1), (x2, v2) in pairwise(points):
        y1, y2 = (round(share(value) * (plot - 1)) * 4 + 1.5 for value in (v1, v2))
        steps = max(abs(y2 - y1), (x2 - x1) * 2)
        for number in range(int(steps) + 1):
            x, y = x1 * 2 + (x2 - x1) * 2 * number / steps, y1 + (y2 - y1) * number / steps
            column, row = int(x), int(y)
            cell = column // 2, row // 4
            dots[cell] = dots.get(cell, 0) | _DOTS[row % 4][column % 2]
    for (x, row), bits in dots.items():
        grid[row][x] = (chr(0x2800 + bits), one.ink)
    for x, value in points:
        grid[round(share(value) * (plot - 1))][x] = (one.glyph, one.ink)


_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""The bits of a Braille cell's dots, by row and column."""


def _spans(cells: Mapping[int, tuple[str, str]], count: int) -> Line:
    return [cells.get(x, (" ", "text")) for x in range(count)]


def _ticks(most: float, plot: int) -> dict[int, float]:
    """The rows that have a number: top and bottom, and round ones between them where there is room."""
    step = next((step for step in _STEPS if most / step <= max(plot // 4, 1)), most)
    ticks = (
        {round((1 - step * at / most) * (plot - 1)): step * at for at in range(1, int(most / step) + 1)} if step else {}
    )
    return {row: value for row, value in ticks.items() if 2 <= row <= plot - 2} | {plot - 1: 0.0, 0: most}


_STEPS = (1.0, 2.0, 5.0, 10.0, 20.0, 25.0, 50.0, 100.0, 200.0, 500.0, 1000.0)


def _number(value: float) -> str:
    return f"{value:g}" if value < 1000 else f"{value / 1000:g}k"
