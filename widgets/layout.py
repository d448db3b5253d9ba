"""Where the panes of a wall go: pure arithmetic on cells."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from math import ceil, log

FULL_WIDTH, FULL_HEIGHT = 36, 5
"""Room that a pane with a frame, its numbers and two lines of text needs."""
SHAPE = 3.2
"""Cells of width for each line of height: about the shape in which running text reads well."""
HEIGHTS = (4, 3, 2)
"""Compact panes: framed with its numbers and one line, framed with one line, and two bare lines."""
BESIDE = 100
"""Cells of width from which the live pane of a list stands beside it, not below."""
LIST_WIDTH = 56
"""Cells that a list takes beside its live pane."""
LIVE_HEIGHT = 6
"""Lines that the live pane below a list has at least, where there are so many."""


@dataclass(frozen=True)
class Rect:
    """A pane's place, in cells."""

    x: int
    y: int
    width: int
    height: int


class Mode(Enum):
    """How the operator wants the lanes. AUTO takes panes for as long as they all fit."""

    AUTO = "as it fits"
    PANES = "panes"
    LIST = "list"


@dataclass(frozen=True)
class Plan:
    """A pane's place for each lane; or, when there is no room for that, a list and one live pane."""

    panes: tuple[Rect, ...] = ()
    list: Rect | None = None
    live: Rect | None = None


def plan(count: int, width: int, height: int, mode: Mode = Mode.AUTO) -> Plan:
    """How `count` lanes are shown in a room of this size."""
    width, height = max(width, 1), max(height, 1)
    if count <= 0:
        return Plan()
    panes = arrange(count, width, height)
    fits = max(rect.y + rect.height for rect in panes) <= height
    if mode is Mode.PANES or (mode is Mode.AUTO and fits):
        return Plan(tuple(panes))
    return _with_list(count, width, height)


def _with_list(count: int, width: int, height: int) -> Plan:
    if width >= BESIDE:
        left = min(LIST_WIDTH, width // 2)
        return Plan((), Rect(0, 0, left, height), Rect(left, 0, width - left, height))
    rows = min(count, max(height - max(LIVE_HEIGHT, height // 2), 1))
    if rows >= height:
        return Plan((), Rect(0, 0, width, height))
    return Plan((), Rect(0, 0, width, rows), Rect(0, rows, width, height - rows))


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
    # Compact panes are of one height: a row that is a line taller would be drawn in another form.
    compact = next((h for h in HEIGHTS if rows * h <= height), HEIGHTS[-1])
    return _columns(count, columns, width, compact)


def _columns(count: int, columns: int, width: int, height: int) -> list[Rect]:
    """Compact panes stand in columns, so that the eye can run down them."""
    rects: list[Rect] = []
    for index in range(count):
        row, column = divmod(index, columns)
        left, right = width * column // columns, width * (column + 1) // columns
        rects.append(Rect(left, row * height, max(right - left, 1), height))
    return rects


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


def neighbour(rects: Sequence[Rect], index: int, dx: int, dy: int) -> int:
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
