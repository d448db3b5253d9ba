"""The trace as a tree: an outline drawn row by row. It holds no widget for a node and starts nothing."""

from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from widgets.ink import Inked, Line, spread
from widgets.outline import Item, Outline


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
        """An item was unfolded whose children are not loaded yet."""

        def __init__(self, item: Item) -> None:
            super().__init__()
            self.item = item

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id)
        self.outline = Outline()
        self.cursor: Item | None = None
        self._hits: frozenset[str] = frozenset()

    def hold(self, outline: Outline) -> None:
        """Show another tree, from its beginning."""
        self.outline = outline
        self.cursor = outline.rows[0] if outline.rows else None
        self.scroll_to(0, 0, animate=False)
        self.grown()

    def mark_hits(self, keys: frozenset[str]) -> None:
        """Point out the items that a search found."""
        self._hits = keys
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
        self.refresh()

    def top(self) -> Item | None:
        """The item in the first row in sight."""
        row = self.scroll_offset.y
        return self.outline.rows[row] if row < len(self.outline.rows) else None

    def point(self, item: Item, *, scroll: bool = True) -> None:
        """Move the cursor to an item, unfolding what hides it."""
        if self.outline.row(item) is None:
            self.outline.reveal(item)
            self.grown()
        moved = item is not self.cursor
        self.cursor = item
        if scroll:
            self._show_cursor()
            # Once more when what has grown is laid out: until then it can't be scrolled to.
            self.call_after_refresh(self._show_cursor)
        self.refresh()
        if moved:
            self.post_message(self.Pointed(item))

    def _show_cursor(self) -> None:
        row = self.outline.row(self.cursor) if self.cursor is not None else None
        if row is not None:
            self.scroll_to_region(Region(0, row, 1, 1), animate=False, force=True)

    def render_line(self, y: int) -> Strip:
        cells = self.scrollable_content_region.width
        row = y + self.scroll_offset.y
        if row >= len(self.outline.rows):
            return Strip.blank(cells, self.style_of(""))
        item = self.outline.rows[row]
        fold = "  " if item.leaf else "▾ " if item.open else "▸ "
        left: Line = [("  " * item.depth + fold, "faint"), *item.line]
        right: Line = [(f" ✗{item.bad}", "bad"), (" ", "text")] if item.bad and not item.leaf else []
        if item.key in self._hits:
            left.insert(0, ("›", "match"))
        line = spread(left, right, cells)
        return self.strip(
            line, cells, self.ink("cursor" if self.has_focus else "cursor-away") if self._here(item) else None
        )

    def _here(self, item: Item) -> bool:
        return item is self.cursor

    def on_resize(self) -> None:
        self.grown()

    def on_click(self, event: events.Click) -> None:
        row = event.y + self.scroll_offset.y
        if row < len(self.outline.rows):
            item = self.outline.rows[row]
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
            if item.children:
                self.action_cursor(1)
            return
        self.outline.open(item)
        self.grown()
        if not item.loaded:
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
        if self.cursor is not None and self.cursor.open:
            self.action_fold()
        else:
            self.action_unfold()
