"""What a search found, as a list: a row for each place, and around the one under the cursor its context."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from widgets.ink import Inked, Line, width
from widgets.labels import Spots

HEAD = 30
"""Cells for where a place is, in rows of 100 cells and more; else a third of them."""


@dataclass(frozen=True)
class Result:
    """One place: where it is, the line that matched, and the lines before and after it. All of it is text to draw."""

    where: Line
    line: Line
    before: Sequence[Line] = ()
    after: Sequence[Line] = ()

    @property
    def rows(self) -> int:
        """Rows that it takes under the cursor."""
        return 1 + len(self.before) + len(self.after)


class Results(Inked, ScrollView, can_focus=False):
    """A list with a cursor, which stays where it is when more is found. It never takes the keys from who types."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "choose", "Go there", show=False)]

    class Chosen(Message):
        """A place was clicked a second time."""

    class Pointed(Message):
        """The cursor is on another place."""

    class Ending(Message):
        """The cursor comes near the end of what was found so far."""

    NEAR: ClassVar[int] = 10

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id)
        self._results: Sequence[Result] = ()
        self._word: Line = []
        self.cursor = 0

    def show(self, results: Sequence[Result], word: Line, cursor: int) -> None:
        """Show these; `word` stands there when there are none."""
        self._results, self._word = results, word
        self.cursor = min(max(cursor, 0), max(len(results) - 1, 0))
        self._fit()
        if not self.cursor:
            self.scroll_to(0, 0, animate=False, force=True)
        self.refresh()

    def move(self, by: int) -> None:
        """Move the cursor."""
        if not self._results:
            return
        self.cursor = min(max(self.cursor + by, 0), len(self._results) - 1)
        self._fit()
        here = self._results[self.cursor]
        self.scroll_to_region(Region(0, self.cursor, 1, here.rows), animate=False, force=True)
        self.refresh()
        self.post_message(self.Pointed())
        if self.cursor >= len(self._results) - self.NEAR:
            self.post_message(self.Ending())

    @property
    def page(self) -> int:
        """Places that a page has."""
        return max(self.size.height - 4, 1)

    def _fit(self) -> None:
        more = self._results[self.cursor].rows - 1 if self._results else 0
        size = Size(self.scrollable_content_region.width, len(self._results) + more)
        if size != self.virtual_size:
            self.virtual_size = size

    def on_resize(self) -> None:
        self._fit()

    def _at(self, row: int) -> tuple[int, int] | None:
        """Which place a row belongs to, and which of its rows it is: 0 is that with what matched."""
        if not self._results:
            return None
        here = self._results[self.cursor]
        starts = (0, self.cursor, self.cursor + here.rows)
        if bisect_right(starts, row) == 2 and row >= self.cursor:
            return self.cursor, row - self.cursor - len(here.before)
        place = row if row < self.cursor else row - here.rows + 1
        return (place, 0) if place < len(self._results) else None

    def render_line(self, y: int) -> Strip:
        cells = self.scrollable_content_region.width
        if not self._results:
            return self.strip([(" ", "text"), *self._word], cells) if y == 0 else Strip.blank(cells, self.style_of(""))
        found = self._at(y + self.scroll_offset.y)
        if found is None:
            return Strip.blank(cells, self.style_of(""))
        place, part = found
        result = self._results[place]
        here = place == self.cursor
        room = HEAD if cells >= 100 else cells // 3
        if part:
            lines = result.before if part < 0 else result.after
            line = lines[part if part < 0 else part - 1]
            return self.strip([("▌", "accent"), (" " * (room + 1), "text"), *line], cells)
        head = _padded(result.where, room)
        bar = ("▌" if here else " ", "accent")
        return self.strip([bar, *head, (" ", "text"), *result.line], cells, self.ink("cursor") if here else None)

    def click_spots(self) -> Spots:
        """For the jump mode: the first row in sight of each place."""
        found = ((self._at(y + self.scroll_offset.y), y) for y in range(self.size.height))
        firsts = {place[0]: y for place, y in reversed([(place, y) for place, y in found if place is not None])}
        return [(0, y) for y in sorted(firsts.values())]

    def on_click(self, event: events.Click) -> None:
        found = self._at(event.y + self.scroll_offset.y)
        if found is None:
            return
        if found[0] == self.cursor:
            self.post_message(self.Chosen())
        else:
            self.move(found[0] - self.cursor)


def _padded(line: Line, cells: int) -> Line:
    from widgets.ink import cut

    short = cut(line, cells)
    return [*short, (" " * max(cells - width(short), 0), "text")]
