"""A list of lines with a cursor, which stays on what it is on, at the height where it is, whatever comes and goes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from widgets.ink import Inked, Line, spread
from widgets.labels import Spots


@dataclass(frozen=True)
class Row:
    """One line. `key` names what it is about; "" is a heading, which the cursor passes over. `right` stays when `left`
    has no room."""

    key: str
    left: tuple[tuple[str, str], ...]
    right: tuple[tuple[str, str], ...] = ()


class PickList(Inked, ScrollView, can_focus=True):
    """Nothing moves under a reader: the line under the cursor stays where it is on the screen when lines above it come
    or go, and where it goes itself, the cursor is on what has come in its place."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup,ctrl+u", "page(-1)", "Page up", show=False),
        Binding("pagedown,ctrl+d", "page(1)", "Page down", show=False),
        Binding("home,g", "move(-1000000)", "First", show=False),
        Binding("end,G", "move(1000000)", "Last", show=False),
        Binding("enter", "choose", "Choose", show=False),
    ]

    class Pointed(Message):
        """The cursor is on another line."""

        def __init__(self, of: "PickList", key: str) -> None:
            super().__init__()
            self.of, self.key = of, key

        @property
        def control(self) -> "PickList":
            return self.of

    class Chosen(Message):
        """Enter was pressed, or the line under the cursor clicked."""

        def __init__(self, of: "PickList", key: str) -> None:
            super().__init__()
            self.of, self.key = of, key

        @property
        def control(self) -> "PickList":
            return self.of

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id, classes=classes)
        self._rows: Sequence[Row] = ()
        self.cursor = ""
        """The key of the line that the cursor is on, "" where there is none."""

    @property
    def keys(self) -> list[str]:
        """What can be pointed at, in order."""
        return [row.key for row in self._rows if row.key]

    def show(self, rows: Sequence[Row]) -> None:
        """Take the lines of the moment."""
        if rows == self._rows:
            return
        before, keys = self._rows, [row.key for row in rows]
        was = self._at(before, self.cursor)
        self._rows = rows
        if self.cursor not in keys or not self.cursor:
            there = set(keys)
            gone_on = [row.key for row in before[was + 1 :]] if was >= 0 else []
            back = [row.key for row in reversed(before[:was])] if was >= 0 else []
            left = (key for key in (*gone_on, *back, *keys) if key and key in there)
            self.cursor = next(left, "")
        at = self._at(rows, self.cursor)
        size = Size(self.size.width, len(rows))
        if size != self.virtual_size:
            self.virtual_size = size
        if was >= 0 and at >= 0 and at != was:
            top = max(self.scroll_offset.y + at - was, 0)
            self.scroll_to(0, top, animate=False, force=True)
            self.call_after_refresh(self._in_sight)
        self.refresh()

    def point(self, key: str) -> None:
        """Put the cursor on a line that is there, and bring that in sight."""
        if key and key != self.cursor and key in self.keys:
            self.cursor = key
            self.refresh()
            self.post_message(self.Pointed(self, key))
        self._in_sight()

    def _in_sight(self) -> None:
        at = self._at(self._rows, self.cursor)
        if at >= 0:
            # The first line's heading comes along.
            top = 0 if not any(row.key for row in self._rows[:at]) else at
            self.scroll_to_region(Region(0, top, 1, at - top + 1), animate=False, force=True)

    @staticmethod
    def _at(rows: Sequence[Row], key: str) -> int:
        return next((at for at, row in enumerate(rows) if key and row.key == key), -1)

    def action_move(self, by: int) -> None:
        keys = self.keys
        if keys:
            at = keys.index(self.cursor) if self.cursor in keys else 0
            self.point(keys[min(max(at + by, 0), len(keys) - 1)])

    def action_page(self, by: int) -> None:
        self.action_move(by * max(self.size.height - 1, 1))

    def action_choose(self) -> None:
        if self.cursor:
            self.post_message(self.Chosen(self, self.cursor))

    def on_resize(self) -> None:
        size = Size(self.size.width, len(self._rows))
        if size != self.virtual_size:
            self.virtual_size = size
        self.call_after_refresh(self._in_sight)

    def click_spots(self) -> Spots:
        """For the jump mode: the lines in sight that can be pointed at."""
        top = self.scroll_offset.y
        return [(0, y) for y, row in enumerate(self._rows[top : top + self.size.height]) if row.key]

    def on_click(self, event: events.Click) -> None:
        at = event.y + self.scroll_offset.y
        key = self._rows[at].key if at < len(self._rows) else ""
        if not key:
            return
        if key == self.cursor:
            self.post_message(self.Chosen(self, key))
        else:
            self.point(key)

    def render_line(self, y: int) -> Strip:
        cells = self.scrollable_content_region.width
        at = y + self.scroll_offset.y
        if at >= len(self._rows):
            return Strip.blank(cells, self.style_of(""))
        row = self._rows[at]
        here = bool(row.key) and row.key == self.cursor
        lead: Line = [("▌" if here else " ", "accent")]
        line = [*lead, *spread(list(row.left), list(row.right), max(cells - 1, 0))]
        return self.strip(line, cells, self.ink("cursor" if self.has_focus else "cursor-away") if here else None)
