"""The trace as a tree: an outline drawn row by row. It holds no widget for a node and starts nothing."""

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.scrollbar import ScrollTo
from textual.strip import Strip

from store.domain.limits import Spend
from widgets import words
from widgets.ink import Inked, Line, spread
from widgets.labels import Spots
from widgets.minimap import marks, row_at, shade
from widgets.outline import Figures, Item, Outline

TOKENS, COST, TIME, WRONG = 7, 9, 7, 6
"""Cells of the columns at the right."""
COLUMNS = ((44, TOKENS), (54, COST), (66, TIME))
"""From which width on there is room for tokens, cost and time."""


class TraceTree(Inked, ScrollView, can_focus=True):
    """Draws an `Outline`. The cursor is an item, not a row: what grows above never moves it from under the reader."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "cursor(-1)", "Up", show=False),
        Binding("down,j", "cursor(1)", "Down", show=False),
        Binding("pageup,ctrl+u", "page(-1)", "Page up", show=False),
        Binding("pagedown,ctrl+d", "page(1)", "Page down", show=False),
        Binding("home,g", "cursor(-1000000000)", "First", show=False),
        Binding("end,G", "cursor(1000000000)", "Last", show=False),
        Binding("right,l", "unfold", "Unfold", show=False),
        Binding("left,h", "fold", "Fold", show=False),
        Binding("enter,space", "turn", "Fold or unfold", show=False),
    ]

    class Pointed(Message):
        """The cursor is on another item."""

        def __init__(self, item: Item) -> None:
            super().__init__()
            self.item = item

    class Unfolded(Message):
        """An item was unfolded, by the reader."""

        def __init__(self, item: Item) -> None:
            super().__init__()
            self.item = item

    class Chosen(Message):
        """Enter was pressed on an item that can't be unfolded."""

        def __init__(self, item: Item) -> None:
            super().__init__()
            self.item = item

    class Grown(Message):
        """There are other rows than before, or another tree."""

    class Missing(Message):
        """Items are in sight that are yet to be read."""

        def __init__(self, items: list[Item]) -> None:
            super().__init__()
            self.items = items

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id)
        self.outline = Outline()
        self.cursor: Item | None = None
        self._figures = True
        self._hits: frozenset[str] = frozenset()
        self.wrong: Sequence[int] = ()
        """The rows with something wrong, which the map at the right shows."""
        self._map: tuple[tuple[int, int], list[int]] = ((0, 0), [])
        self._missing: list[Item] = []
        self._held: tuple[Item, int] | None = None
        """An item, and the row of the screen where it stays until the operator moves."""
        self._kept = True
        """The cursor stays in sight, until the operator scrolls away from it."""

    def hold(self, outline: Outline, *, figures: bool = True) -> None:
        """Show another tree, from its beginning; with its figures, where it has some."""
        self.outline, self._figures = outline, figures
        self.cursor = outline.rows[0] if outline.rows else None
        self.wrong = ()
        self.scroll_to(0, 0, animate=False)
        self.grown()

    def mark_hits(self, keys: frozenset[str]) -> None:
        """Point out the items that a search found."""
        self._hits = keys
        self.refresh()

    def found(self, item: Item) -> bool:
        """Whether a search found it."""
        return item.key in self._hits and item.depth > 0

    def mark_wrong(self, rows: Sequence[int]) -> None:
        """The rows with something wrong, for the map at the right."""
        if rows != self.wrong:
            self.wrong, self._map = rows, ((0, 0), [])
            self.refresh()

    def grown(self, above: int = 0) -> None:
        """The outline has changed; `above` rows came (or went) over what is in sight."""
        if self.cursor is None and self.outline.rows:
            self.cursor = self.outline.rows[0]
        size = Size(self.scrollable_content_region.width, len(self.outline.rows))
        if size != self.virtual_size:
            self.virtual_size = size
        if above:
            self.scroll_to(y=max(self.scroll_offset.y + above, 0), animate=False, force=True)
        if self._kept or self._held:
            # What was read may have pushed it out.
            self.call_after_refresh(self._show_cursor)
        self.refresh()
        self.post_message(self.Grown())

    def top(self) -> Item | None:
        """The item in the first row in sight."""
        row = self.scroll_offset.y
        return self.outline.at(row) if row < len(self.outline.rows) else None

    def looked_at(self) -> tuple[Item | None, int]:
        """What the reader looks at, and its row: the cursor where it is in sight, or else the first row that is."""
        row = self.outline.row(self.cursor) if self.cursor is not None else None
        if row is not None and 0 <= row - self.scroll_offset.y < self.scrollable_content_region.height:
            return self.cursor, row
        return self.top(), self.scroll_offset.y

    def moved(self, looked_at: tuple[Item | None, int]) -> int:
        """By how many rows that has moved since; nothing where the tree is seen from its beginning."""
        item, before = looked_at
        row = self.outline.row(item) if item is not None and self.scroll_offset.y else None
        return 0 if row is None else row - before

    @property
    def above(self) -> int | None:
        """How many rows in sight are above the cursor; None when it is not in sight itself."""
        item, row = self.looked_at()
        return row - self.scroll_offset.y if item is not None and item is self.cursor else None

    @property
    def held(self) -> Item | None:
        """What stays on its row of the screen until the operator moves."""
        return self._held[0] if self._held else None

    def show_top(self, item: Item) -> None:
        """Bring an item to the top, and leave the cursor where it is, as after scrolling."""
        self._kept, self._held = False, (item, 0)
        self._show_cursor()
        self.call_after_refresh(self._show_cursor)

    def point(self, item: Item, *, scroll: bool = True, above: int | None = None) -> None:
        """Move the cursor to an item, unfolding what hides it; with so many rows `above` it, as far as there are."""
        if self.outline.row(item) is None:
            self.outline.reveal(item)
            self.grown()
        moved = item is not self.cursor
        self.cursor, self._held = item, None if above is None else (item, above)
        if scroll:
            self._kept = True
            self._show_cursor()
            # Once more when what has grown is laid out: until then it can't be scrolled to.
            self.call_after_refresh(self._show_cursor)
        self.refresh()
        if moved:
            self.post_message(self.Pointed(item))

    def _on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._kept, self._held = False, None
        super()._on_mouse_scroll_up(event)

    def _on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._kept, self._held = False, None
        super()._on_mouse_scroll_down(event)

    def _on_scroll_to(self, message: ScrollTo) -> None:
        self._kept, self._held = False, None
        super()._on_scroll_to(message)

    def _show_cursor(self) -> None:
        height = self.scrollable_content_region.height
        if self._held is not None and height and (row := self.outline.row(self._held[0])) is not None:
            y = row - min(self._held[1], height - 1)
            self.scroll_to(y=max(y, 0), animate=False, force=True)
            return
        row = self.outline.row(self.cursor) if self.cursor is not None else None
        if row is not None:
            self.scroll_to_region(Region(0, row, 1, 1), animate=False, force=True)

    def columns(self, cells: int) -> tuple[bool, bool, bool]:
        """Which columns there is room for: tokens, cost, time."""
        root = self.outline.roots[0].figures if self._figures and self.outline.roots else None
        if root is None:
            return False, False, False
        # A column that nothing has a figure for would only take room from the words.
        there = (root.tokens > 0, root.usd > 0 or not root.priced, root.seconds >= 0.5)
        tokens, cost, time = (some and cells >= least for some, (least, _) in zip(there, COLUMNS, strict=True))
        return tokens, cost, time

    def heading(self) -> Line:
        """What stands over the columns."""
        shown = self.columns(self.scrollable_content_region.width)
        names = zip(("tokens", "cost", "time"), COLUMNS, shown, strict=True)
        return [("".join(f"{name:>{size}}" for name, (_, size), on in names if on) + "   ", "faint")]

    def render_line(self, y: int) -> Strip:
        cells = self.scrollable_content_region.width
        row = y + self.scroll_offset.y
        edge = self._edge(y)
        if row >= len(self.outline.rows):
            return self.strip([(" " * (cells - 1), "text"), edge], cells)
        item = self.outline.at(row)
        if item.blank:
            self._miss(item)
        fold = "  " if item.leaf else "▾ " if item.open else "▸ "
        found = self.found(item)
        left: Line = [("›" if found else "", "match"), (("  " * item.depth)[found:] + fold, "faint"), *item.line]
        line = spread(left, self._right(item, cells), cells - 1)
        here = item is self.cursor
        under = self.ink("cursor" if self.has_focus else "cursor-away") if here else None
        return Strip.join([self.strip(line, cells - 1, under), self.strip([edge], 1)])

    def _right(self, item: Item, cells: int) -> Line:
        line: Line = [(f" ✗{item.bad}", "bad")] if item.bad and not item.leaf else []
        tokens, cost, time = self.columns(cells)
        figures = item.figures
        text = f"{words.tokens(figures.tokens) if figures and figures.tokens else '':>{TOKENS}}" if tokens else ""
        text += f"{_money(figures):>{COST}}" if cost else ""
        took = words.duration(figures.seconds) if figures and figures.seconds >= 0.5 else ""
        text += f"{took:>{TIME}}" if time else ""
        line.append((text, "faint"))
        return [*line, (" ", "text")]

    def _edge(self, y: int) -> tuple[str, str]:
        """The map's cell beside a row in sight."""
        height = self.scrollable_content_region.height
        size = (len(self.outline.rows), height)
        if self._map[0] != size:
            self._map = size, marks(self.wrong, *size)
        counts = self._map[1]
        count = counts[y] if y < len(counts) else 0
        return (shade(count, max(counts, default=0)), "bad")

    def _miss(self, item: Item) -> None:
        if not self._missing:
            self.call_later(self._tell_missing)
        self._missing.append(item)

    def _tell_missing(self) -> None:
        missing, self._missing = [item for item in self._missing if item.blank], []
        if missing:
            self.post_message(self.Missing(missing))

    def on_resize(self) -> None:
        self.grown()

    def click_spots(self) -> Spots:
        """For the jump mode: the rows in sight, beside what folds them."""
        top = self.scroll_offset.y
        rows = range(top, min(top + self.size.height, len(self.outline.rows)))
        return [(2 * self.outline.at(row).depth + 1, row - top) for row in rows]

    def on_click(self, event: events.Click) -> None:
        cells = self.scrollable_content_region.width
        if event.x == cells - 1 and self.wrong:
            # The map: there.
            height = self.scrollable_content_region.height
            row = row_at(event.y, len(self.outline.rows), height)
            self.point(self.outline.at(min(self.wrong, key=lambda wrong: abs(wrong - row))))
            return
        row = event.y + self.scroll_offset.y
        if row < len(self.outline.rows):
            item = self.outline.at(row)
            if item is self.cursor or event.x <= 2 * item.depth + 1:
                self.point(item, scroll=False)
                self.action_turn()
            else:
                self.point(item, scroll=False)

    def action_cursor(self, by: int) -> None:
        rows = self.outline.rows
        if not rows:
            return
        now = self.outline.row(self.cursor) if self.cursor else None
        self.point(rows[min(max((now or 0) + by, 0), len(rows) - 1)])

    def action_page(self, by: int) -> None:
        self.action_cursor(by * max(self.size.height - 1, 1))

    def action_unfold(self) -> None:
        item = self.cursor
        if item is None or item.leaf:
            return
        if item.open:
            if item.count:
                self.action_cursor(1)
            return
        self.outline.open(item)
        self.grown()
        self.post_message(self.Unfolded(item))

    def action_fold(self) -> None:
        item = self.cursor
        if item is None:
            return
        if item.open and not item.leaf:
            self.outline.close(item)
            self.grown()
        elif item.parent is not None:
            self.point(item.parent)

    def action_turn(self) -> None:
        if self.cursor is not None and self.cursor.leaf:
            self.post_message(self.Chosen(self.cursor))
        elif self.cursor is not None and self.cursor.open:
            self.action_fold()
        else:
            self.action_unfold()


def _money(figures: Figures | None) -> str:
    if figures is None or (not figures.usd and figures.priced):
        return ""
    return words.money(Spend(usd=figures.usd, priced=figures.priced))
