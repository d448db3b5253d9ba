"""The runs as rows of a table that fits its columns to the room."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from widgets.ink import Inked, Line, Span, cut, spread, width
from widgets.labels import Spots
from widgets.states import Mark


@dataclass(frozen=True)
class RunRow:
    """One run as the list shows it; every field is text to draw. `curve` has two sparklines."""

    id: str
    mark: Mark
    generation: str
    solved: str
    clean: str
    observations: str
    cost: str
    curve: tuple[str, str]
    age: str
    title: str
    note: str = ""


_COLUMNS: tuple[tuple[str, int, bool, int], ...] = (
    ("run", 6, False, 0),
    ("state", 13, False, 0),
    ("gen", 5, True, 0),
    ("solved", 6, True, 0),
    ("clean", 5, True, 110),
    ("obs", 4, True, 0),
    ("cost", 8, True, 0),
    ("obs/solved", 11, False, 60),
    ("age", 8, True, 100),
    ("title", 0, False, 0),
)
"""Heading, cells (0: what is left), right-aligned, and the width from which the column is shown."""


class RunList(Inked, ScrollView, can_focus=True):
    """A list with a cursor. The cursor stays on its run when others come."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "move(-10)", "Page up", show=False),
        Binding("pagedown", "move(10)", "Page down", show=False),
        Binding("home,g", "move(-1000000)", "First", show=False),
        Binding("end,G", "move(1000000)", "Last", show=False),
    ]

    class Pointed(Message):
        """The cursor is on another run."""

        def __init__(self, run: str) -> None:
            super().__init__()
            self.run = run

    class Opened(Message):
        """A run was clicked a second time."""

        def __init__(self, run: str) -> None:
            super().__init__()
            self.run = run

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id, classes=classes)
        self._rows: Sequence[RunRow] = ()
        self.cursor = ""

    def show(self, rows: Sequence[RunRow]) -> None:
        """Take the rows of the moment."""
        if rows == self._rows:
            return
        self._rows = rows
        if rows and self.cursor not in {row.id for row in rows}:
            self.cursor = rows[0].id
        size = Size(self.size.width, len(rows) + 1)
        if size != self.virtual_size:
            self.virtual_size = size
        self.refresh()

    def point(self, run: str) -> None:
        """Put the cursor on a run that is there."""
        names = [row.id for row in self._rows]
        if run in names and run != self.cursor:
            self.cursor = run
            self.scroll_to_region(Region(0, names.index(run) + 1, 1, 1), animate=False, force=True)
            self.refresh()
            self.post_message(self.Pointed(run))

    def action_move(self, by: int) -> None:
        names = [row.id for row in self._rows]
        if names:
            at = names.index(self.cursor) if self.cursor in names else 0
            self.point(names[min(max(at + by, 0), len(names) - 1)])

    def click_spots(self) -> Spots:
        """For the jump mode: the rows in sight."""
        return [(0, y + 1) for y in range(min(self.size.height - 1, len(self._rows) - self.scroll_offset.y))]

    def on_click(self, event: events.Click) -> None:
        at = event.y + self.scroll_offset.y - 1
        if 0 <= at < len(self._rows):
            run = self._rows[at].id
            if run == self.cursor:
                self.post_message(self.Opened(run))
            else:
                self.point(run)

    def render_line(self, y: int) -> Strip:
        cells = self.scrollable_content_region.width
        at = y + self.scroll_offset.y
        if at == 0 or y == 0:
            return self.strip(_line(_HEADINGS, cells - 1), cells)
        if at - 1 >= len(self._rows):
            return Strip.blank(cells, self.style_of(""))
        row = self._rows[at - 1]
        here = row.id == self.cursor
        line: Line = [("▌" if here else " ", "accent"), *_line(_cells(row), cells - 2)]
        return self.strip(line, cells, self.ink("cursor" if self.has_focus else "cursor-away") if here else None)


def _cells(row: RunRow) -> list[tuple[Line, Line]]:
    """What stands in each column: what gives way when there is no room, and what stays."""
    observed, solved = row.curve
    note: Line = [(f" {row.note}", "warn")] if row.note else []
    cells: list[Line] = [
        [(row.id, "strong")],
        [row.mark.span],
        [(row.generation, "text")],
        [(row.solved, "text")],
        [(row.clean, "faint")],
        [(row.observations, "text")],
        [(row.cost, "text")],
        [(observed, "accent"), (" ", "text"), (solved, "good")],
        [(row.age, "faint")],
    ]
    return [*((cell, _NONE) for cell in cells), ([(row.title, "text")], note)]


_NONE: Line = []
_HEADINGS: list[tuple[Line, Line]] = [
    ([((" " if not index else "") + heading, "faint")], _NONE) for index, (heading, *_) in enumerate(_COLUMNS)
]
TITLED = 40
"""Cells of the title's column from which there is room for a note beside it."""


def _line(cells: Sequence[tuple[Line, Line]], room: int) -> Line:
    line: Line = []
    for (_, size, right, least), (cell, note) in zip(_COLUMNS, cells, strict=True):
        if room < least:
            continue
        if not size:
            left = max(room - width(line), 0)
            return [*line, *spread(cell, note if left >= TITLED else [], left)]
        cell = cut(cell, size)
        pad: Span = (" " * (size - width(cell)), "text")
        line += [pad, *cell] if right else [*cell, pad]
        line.append(("  ", "text"))
    return line
