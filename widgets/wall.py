"""All panes of one generation, laid out by the room there is."""

from collections.abc import Mapping
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.geometry import NULL_OFFSET, NULL_SPACING, Region, Size
from textual.layout import ArrangeResult, Layout, WidgetPlacement
from textual.message import Message
from textual.widget import Widget

from widgets.layout import Rect, arrange, neighbour
from widgets.pane import Pane, View


class _Panes(Layout):
    name = "panes"

    def arrange(self, parent: Widget, children: list[Widget], size: Size, greedy: bool = True) -> ArrangeResult:
        rects = arrange(len(children), size.width, size.height)
        return [
            WidgetPlacement(Region(r.x, r.y, r.width, r.height), NULL_OFFSET, NULL_SPACING, child)
            for child, r in zip(children, rects, strict=True)
        ]


class Wall(Widget, can_focus=True):
    """Holds one `Pane` for each lane. `selected` is a lane's number; arrows and tab move it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "move(-1, 0)", "Left", show=False),
        Binding("right", "move(1, 0)", "Right", show=False),
        Binding("up", "move(0, -1)", "Up", show=False),
        Binding("down", "move(0, 1)", "Down", show=False),
        Binding("tab", "step(1)", "Next", show=False),
        Binding("shift+tab", "step(-1)", "Previous", show=False),
        Binding("home", "step(-1000000)", "First", show=False),
        Binding("end", "step(1000000)", "Last", show=False),
    ]

    class Chosen(Message):
        """Another pane is selected."""

        def __init__(self, lane: int) -> None:
            super().__init__()
            self.lane = lane

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id)
        self.selected: int | None = None
        self._panes: dict[int, Pane] = {}
        self._layout = _Panes()

    @property
    def layout(self) -> Layout:
        return self._layout

    @property
    def lanes(self) -> list[int]:
        """The lanes that have a pane, in order."""
        return list(self._panes)

    def hold(self, lanes: list[int]) -> None:
        """Have exactly these panes. Mounts and removes only when the lanes are others than before."""
        if list(self._panes) == lanes:
            return
        self.remove_children()
        self._panes = {lane: Pane(lane) for lane in lanes}
        if self.selected not in self._panes:
            self.selected = lanes[0] if lanes else None
        self.mount_all(self._panes.values())

    def show(self, views: Mapping[int, View]) -> None:
        """Bring the visible panes up to date; those scrolled out of sight are drawn when they come back."""
        for lane, pane in self._panes.items():
            if lane in views and (pane.view is None or pane.is_on_screen):
                pane.show(views[lane])

    def select(self, lane: int) -> None:
        """Select a pane and bring it into sight. An unknown lane changes nothing."""
        if lane in self._panes and lane != self.selected:
            self.selected = lane
            self._panes[lane].scroll_visible(animate=False)
            self.post_message(self.Chosen(lane))

    def on_pane_selected(self, message: Pane.Selected) -> None:
        message.stop()
        self.focus()
        self.select(message.lane)

    def action_step(self, by: int) -> None:
        lanes = list(self._panes)
        if self.selected is None or not lanes:
            return
        index = lanes.index(self.selected) + by
        self.select(lanes[index % len(lanes) if abs(by) == 1 else min(max(index, 0), len(lanes) - 1)])

    def action_move(self, dx: int, dy: int) -> None:
        lanes = list(self._panes)
        if self.selected is None:
            return
        rects = [Rect(r.x, r.y, r.width, r.height) for r in (pane.virtual_region for pane in self._panes.values())]
        self.select(lanes[neighbour(rects, lanes.index(self.selected), dx, dy)])
