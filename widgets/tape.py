"""One subagent's whole tape, scrolling: it follows at its end, and stands still under whoever reads further up."""

from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip

from widgets import reading
from widgets.flow import Flow, Part, whole
from widgets.ink import Inked, Line
from widgets.reading import Place

LAID_OUT = 8
"""Cells; narrower than this is not laid out."""
ERRORS = ("failure", "alert", "stuck")


class TapeView(Inked, ScrollView, can_focus=True):
    """Shows a flow that keeps all of its parts. Only what is new is folded; what stands above never moves."""

    ALLOW_SELECT: ClassVar[bool] = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "by(-1)", "Up", show=False),
        Binding("down,j", "by(1)", "Down", show=False),
        Binding("pageup,ctrl+u", "pages(-1)", "Page up", show=False),
        Binding("pagedown,ctrl+d", "pages(1)", "Page down", show=False),
        Binding("home", "to(0)", "Top", show=False),
        Binding("end,G", "to(1000000000)", "End", show=False),
        Binding("n", "fault(1)", "Next fault", show=False),
        Binding("N", "fault(-1)", "Fault before", show=False),
        Binding("left,shift+tab", "step(-1)", "Subagent before", show=False),
        Binding("right,tab", "step(1)", "Next subagent", show=False),
    ]

    class Moved(Message):
        """It was scrolled, or has grown."""

    class Step(Message):
        """The operator wants the tape of a neighbour."""

        def __init__(self, by: int) -> None:
            super().__init__()
            self.by = by

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id)
        self._flow: Flow | None = None
        self._rows: list[Line] = []
        self._faults: list[int] = []
        self._starts: list[int] = []
        """The row that each part begins with."""
        self._back: Place | None = None
        """Where to go as soon as that is there."""
        self._folded = 0
        """Parts that have their rows; the rows after `_settled` are of what still streams."""
        self._settled = 0
        self._cells = 0
        self._version = -1
        self._following = True

    @property
    def following(self) -> bool:
        """It stands at its end, and goes along."""
        return self._following

    @property
    def place(self) -> Place | None:
        """Where one reads; None at its end, which it follows."""
        if self._back is not None:
            return self._back
        if self._following or not self._rows:
            return None
        return reading.place(self._rows, [*self._starts, self._settled], self.scroll_offset.y, 1)

    def go_to(self, there: Place) -> None:
        """Go to a place, now or as soon as it is laid out."""
        self._following, self._back = False, there
        self._land()

    def _land(self) -> None:
        if self._back is not None and self._cells >= LAID_OUT:
            there, self._back = self._back, None
            self._go(reading.row(self._rows, [*self._starts, self._settled], there, 1))

    @property
    def below(self) -> int:
        """Rows below what is in sight."""
        return max(len(self._rows) - self.scroll_offset.y - self.size.height, 0)

    def show(self, flow: Flow) -> None:
        """Take another tape, or what is new of this one."""
        if flow is not self._flow:
            self._flow, self._following, self._back = flow, True, None
            self._begin()
        elif flow.version != self._version:
            self._fold()

    def _begin(self) -> None:
        self._rows, self._faults, self._starts, self._folded, self._settled = [], [], [], 0, 0
        self._cells = self.scrollable_content_region.width
        self._fold()

    def _fold(self) -> None:
        flow = self._flow
        if flow is None or self._cells < LAID_OUT:
            return
        self._version = flow.version
        del self._rows[self._settled :]
        for part in [flow.parts[index] for index in range(self._folded, len(flow.parts))]:
            self._add(part)
        self._folded, self._settled = len(flow.parts), len(self._rows)
        for part in flow.streamed:
            if part.text.strip():
                self._rows += whole(part, self._cells - 1)
        size = Size(self._cells, len(self._rows))
        if size != self.virtual_size:
            self.virtual_size = size
        if self._following:
            self.scroll_to(y=max(len(self._rows) - self.size.height, 0), animate=False, force=True, immediate=True)
        self._land()
        self.refresh()
        self.post_message(self.Moved())

    def _add(self, part: Part) -> None:
        self._starts.append(len(self._rows))
        if part.kind in ERRORS:
            self._faults.append(len(self._rows))
        if part.kind == "turn" and self._rows:
            self._rows.append([])
        self._rows += whole(part, self._cells - 1)

    def on_resize(self) -> None:
        if self.scrollable_content_region.width != self._cells:
            self._back = self.place
            self._begin()
        elif self._following:
            self._go(len(self._rows))

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if self._flow is not None and old_value != new_value:
            self.post_message(self.Moved())

    def _on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._following = False
        super()._on_mouse_scroll_up(event)

    def _on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        super()._on_mouse_scroll_down(event)
        self.call_after_refresh(self._at_end)

    def _at_end(self) -> None:
        self._following = self.scroll_offset.y + self.size.height >= len(self._rows)

    def _go(self, row: int) -> None:
        most = max(len(self._rows) - self.size.height, 0)
        row = min(max(row, 0), most)
        self._following = row >= most
        self.scroll_to(y=row, animate=False, force=True, immediate=True)
        self.post_message(self.Moved())

    def action_by(self, rows: int) -> None:
        self._go(self.scroll_offset.y + rows)

    def action_pages(self, pages: int) -> None:
        self._go(self.scroll_offset.y + pages * max(self.size.height - 1, 1))

    def action_to(self, row: int) -> None:
        self._go(row)

    def action_fault(self, by: int) -> None:
        """To the next thing that went wrong, or the one before."""
        here = self.scroll_offset.y
        rows = [row for row in self._faults if (row > here if by > 0 else row < here)]
        if rows:
            self._go(rows[0] if by > 0 else rows[-1])
        else:
            self.app.bell()

    def action_step(self, by: int) -> None:
        self.post_message(self.Step(by))

    def render_line(self, y: int) -> Strip:
        cells = self.scrollable_content_region.width
        row = y + self.scroll_offset.y
        if row >= len(self._rows):
            return Strip.blank(cells, self.style_of(""))
        return self.strip([(" ", "text"), *self._rows[row]], cells).apply_offsets(0, row)

    def get_selection(self, selection: Selection) -> tuple[str, str]:
        """What the mouse has marked: ctrl+c copies it."""
        rows = ("".join([" ", *(text for text, _ in row)]) for row in self._rows)
        return selection.extract("\n".join(rows)), "\n"
