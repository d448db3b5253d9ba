"""A text that is read: lines of spans, folded to the width and scrolled."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip

from widgets import reading
from widgets.ink import Inked, Line, wrap_line
from widgets.reading import Place

LAID_OUT = 4
"""Cells; narrower than this is not yet laid out, for nobody could read it."""


class DocView(Inked, ScrollView, can_focus=True):
    """Shows one text at a time. Nothing moves under a reader: another text starts at its top, the same text that has
    grown stays where it is."""

    ALLOW_SELECT: ClassVar[bool] = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "scroll_up", "Up", show=False),
        Binding("down,j", "scroll_down", "Down", show=False),
        Binding("pageup,ctrl+u", "page_up", "Page up", show=False),
        Binding("pagedown,ctrl+d", "page_down", "Page down", show=False),
        Binding("home,g", "scroll_home", "Top", show=False),
        Binding("end,G", "scroll_end", "Bottom", show=False),
    ]

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id, classes=classes)
        self._key: object = None
        self._lines: Sequence[Line] = ()
        self._rows: list[Line] = []
        self._starts: list[int] = []
        """The row that each line begins with."""
        self._back: Place | None = None
        """Where to go as soon as there is room to read."""
        self._cells = self._height = 0

    @property
    def place(self) -> Place:
        """Where one reads."""
        return self._back or reading.place(self._rows, self._starts, self.scroll_offset.y)

    def show(self, lines: Sequence[Line], key: object = None, at: int = 0, back: Place | None = None) -> None:
        """Show a text; `key` names it, so that its newer version keeps the reader's place. Another one begins with its
        line `at` in sight, or where one was in it."""
        fresh = key is None or key != self._key
        self._key, self._lines = key, lines
        if fresh:
            self._back = back
        self._fold()
        if fresh and back is None:
            first = self._starts[at] if at < len(self._starts) else len(self._rows)
            self.scroll_to(0, max(first - self.size.height // 3, 0), animate=False, force=True)

    @property
    def text(self) -> str:
        """What it shows, as plain text."""
        return "\n".join("".join(text for text, _ in line) for line in self._lines)

    def _fold(self) -> None:
        cells = self.scrollable_content_region.width
        if cells < LAID_OUT:
            # Shown before it has its place: folded to the screen, and again when the place is known.
            cells = max(self.app.size.width, 1)
        else:
            # With or without a scroll bar by what there is to show, not by which of them was there before.
            cells += self.scrollbar_size_vertical * self.show_vertical_scrollbar
            height = self.scrollable_content_region.height
            if next(islice(self._folded(cells), height, None), None) is not None:
                cells = max(cells - self.styles.scrollbar_size_vertical, 1)
        self._cells, self._height = cells, self.size.height
        self._rows, self._starts = [], []
        for line in self._lines:
            self._starts.append(len(self._rows))
            self._rows += wrap_line(line, cells)
        size = Size(cells, len(self._rows))
        if size != self.virtual_size:
            self.virtual_size = size
        if self._back is not None and self.scrollable_content_region.width >= LAID_OUT:
            there, self._back = self._back, None
            self.scroll_to(0, reading.row(self._rows, self._starts, there), animate=False, force=True)
        self.refresh()

    def _folded(self, cells: int) -> Iterator[Line]:
        return (row for line in self._lines for row in wrap_line(line, cells))

    def on_resize(self) -> None:
        if (self.scrollable_content_region.width, self.size.height) != (self._cells, self._height):
            if self.scroll_offset.y:
                # Another width is no other place.
                self._back = self.place
            self._fold()

    def render_line(self, y: int) -> Strip:
        cells = self.scrollable_content_region.width
        row = y + self.scroll_offset.y
        if row >= len(self._rows):
            return Strip.blank(cells, self.style_of(""))
        strip = self.strip(self._rows[row], cells)
        span = self.text_selection.get_span(row) if self.text_selection else None
        if span is not None:
            start, end = span
            strip = self._select(strip, start, strip.cell_length if end < 0 else end)
        return strip.apply_offsets(0, row)

    def _select(self, strip: Strip, start: int, end: int) -> Strip:
        style = self.screen.get_component_rich_style("screen--selection", partial=True)
        parts = strip.crop(0, start), strip.crop(start, end), strip.crop(end)
        return Strip.join(
            (parts[0], Strip([Segment(s.text, (s.style or Style()) + style) for s in parts[1]]), parts[2])
        )

    def get_selection(self, selection: Selection) -> tuple[str, str]:
        """What the mouse has marked: ctrl+c copies it."""
        rows = ("".join(text for text, _ in row) for row in self._rows)
        return selection.extract("\n".join(rows)), "\n"

    def selection_updated(self, selection: Selection | None) -> None:
        self.refresh()
