"""Where something is in a long list, as marks on one column: as many cells as the screen has rows."""

from collections.abc import Iterable


def marks(rows: Iterable[int], total: int, cells: int) -> list[int]:
    """How many of the rows fall on each cell, of `total` rows shown on so many cells. A list shorter than the
    screen has its marks beside the rows themselves."""
    counts = [0] * max(cells, 0)
    size = max(total, cells)
    for row in rows:
        if 0 <= row < total and cells > 0:
            counts[row * cells // size] += 1
    return counts


def row_at(cell: int, total: int, cells: int) -> int:
    """The first row that a cell stands for."""
    size = max(total, cells, 1)
    return min(-(-cell * size // max(cells, 1)), max(total - 1, 0))


def shade(count: int, most: int) -> str:
    """A mark as thick as what it stands for is much, of the most on any cell."""
    if not count:
        return " "
    return "▐" if count * 4 > most else "│"
