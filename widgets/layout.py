"""Where the panes of a wall go: pure arithmetic on cells."""

from dataclasses import dataclass
from math import ceil, log

FULL_WIDTH, FULL_HEIGHT = 36, 5
"""Room that a pane with a frame, its numbers and two lines of text needs."""
SHAPE = 3.2
"""Cells of width for each line of height: about the shape in which running text reads well."""
HEIGHTS = (3, 2)
"""Compact panes: framed with one line, and two bare lines."""


@dataclass(frozen=True)
class Rect:
    """A pane's place, in cells."""

    x: int
    y: int
    width: int
    height: int


def arrange(count: int, width: int, height: int) -> list[Rect]:
    """Places for `count` panes in reading order. Fills the room; where they don't fit, they go on below it (the wall
    scrolls). Never wider than the room, never of no size."""
    if count <= 0:
        return []
    width, height = max(width, 1), max(height, 1)
    best: tuple[float, int] | None = None
    for rows in range(1, count + 1):
        columns = ceil(count / rows)
        if ceil(count / columns) != rows:
            continue
        w, h = width // columns, height // rows
        if (columns > 1 and w < FULL_WIDTH) or h < FULL_HEIGHT:
            continue
        cost = abs(log(w / h / SHAPE))
        if best is None or cost < best[0]:
            best = cost, columns
    if best is not None:
        return _place(count, best[1], width, height)
    columns = max(width // FULL_WIDTH, 1)
    rows = ceil(count / columns)
    compact = next((h for h in HEIGHTS if rows * h <= height), HEIGHTS[-1])
    return _place(count, columns, width, max(rows * compact, height))


def _place(count: int, columns: int, width: int, height: int) -> list[Rect]:
    rows = ceil(count / columns)
    # Rows as even as possible: 5 in 3 columns are 3 and 2, 7 in 3 columns are 3, 2 and 2.
    lengths = [count // rows + (row < count % rows) for row in range(rows)]
    rects: list[Rect] = []
    for row, length in enumerate(lengths):
        top, bottom = height * row // rows, height * (row + 1) // rows
        for column in range(length):
            left, right = width * column // length, width * (column + 1) // length
            rects.append(Rect(left, top, max(right - left, 1), max(bottom - top, 1)))
    return rects


def neighbour(rects: list[Rect], index: int, dx: int, dy: int) -> int:
    """The pane that one looks at when going from `index` in a direction; `index` where there is none."""
    here = rects[index]
    cx, cy = here.x + here.width / 2, here.y + here.height / 2
    best, best_cost = index, float("inf")
    for other, rect in enumerate(rects):
        ox, oy = rect.x + rect.width / 2 - cx, rect.y + rect.height / 2 - cy
        along = ox * dx + oy * dy
        across = abs(ox * dy) + abs(oy * dx)
        if other == index or along <= 0:
            continue
        cost = along + across * (2 if dx else 1)
        if cost < best_cost:
            best, best_cost = other, cost
    return best
