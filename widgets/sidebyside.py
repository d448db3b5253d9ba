"""Two columns of rows beside each other, a mark between them; one row has the cursor."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from widgets.ink import Inked, Line, Span, cut, spread
from widgets.labels import Spots


@dataclass(frozen=True)
class Row:
    """What stands at the left, what at the right, and the mark between; `rule` is a line across both instead. What came
    of each stands at the end of its half."""

    left: Line
    right: Line
    mark: Span = (" ", "faint")
    rule: str = ""
    left_came: Line = field(default_factory=list)
    right_came: Line = field(default_factory=list)


class SideBySide(Inked, ScrollView, can_focus=True):
    """Draws only the rows in sight. The cursor never stands on a rule."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "cursor(-1)", "Up", show=False),
        Binding("down,j", "cursor(1)", "Down", show=False),
        Binding("pageup,ctrl+u", "page(-1)", "Page up", show=False),
        Binding("pagedown,ctrl+d", "page(1)", "Page down", show=False),
        Binding("home,g", "cursor(-1000000000)", "First", show=False),
        Binding("end,G", "cursor(1000000000)", "Last", show=False),
    ]

    class Pointed(Message):
        """The cursor is on another row."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id)
        self.rows: Sequence[Row] = ()
        self.cursor = 0

    def show(self, rows: Sequence[Row], cursor: int = 0) -> None:
        """Take other rows."""
        self.rows = rows
        size = Size(self.scrollable_content_region.width, len(rows))
        if size != self.virtual_size:
            self.virtual_size = size
        self.point(cursor)

    def point(self, row: int) -> None:
        """Move the cursor to a row, or to the next one that is no rule."""
        row = min(max(row, 0), max(len(self.rows) - 1, 0))
        if self.rows and self.rows[row].rule:
            row = row + 1 if row + 1 < len(self.rows) else max(row - 1, 0)
        self.cursor = row
        self._show_cursor()
        self.call_after_refresh(self._show_cursor)
        self.refresh()
        self.post_message(self.Pointed())

    def _show_cursor(self) -> None:
        self.scroll_to_region(Region(0, self.cursor, 1, 1), animate=False, force=True)

    def render_line(self, y: int) -> Strip:
        cells = self.scrollable_content_region.width
        at = y + self.scroll_offset.y
        if at >= len(self.rows):
            return Strip.blank(cells, self.style_of(""))
        row = self.rows[at]
        if row.rule:
            text = f" {row.rule} "
            side = max((cells - len(text)) // 2, 0)
            return self.strip([("─" * side, "frame"), (text, "accent"), ("─" * cells, "frame")], cells)
        half = (cells - 3) // 2
        line = [*_half(row.left, row.left_came, half), (" ", "text"), row.mark, (" ", "text")]
        line += _half(row.right, row.right_came, cells - half - 3)
        under = self.ink("cursor" if self.has_focus else "cursor-away") if at == self.cursor else None
        return self.strip(line, cells, under)

    def on_resize(self) -> None:
        self.virtual_size = Size(self.scrollable_content_region.width, len(self.rows))

    def click_spots(self) -> Spots:
        """For the jump mode: the rows in sight."""
        return [(0, y) for y in range(min(self.size.height, len(self.rows) - self.scroll_offset.y))]

    def on_click(self, event: events.Click) -> None:
        row = event.y + self.scroll_offset.y
        if row < len(self.rows):
            self.point(row)

    def action_cursor(self, by: int) -> None:
        target = self.cursor + by
        if 0 <= target < len(self.rows) and self.rows[target].rule:
            target += 1 if by > 0 else -1
        self.point(target)

    def action_page(self, by: int) -> None:
        self.action_cursor(by * max(self.size.height - 1, 1))


def _half(line: Line, came: Line, cells: int) -> Line:
    """What came of it has up to two fifths of the room."""
    return spread(line, cut(came, 2 * cells // 5), cells)
