"""All subagents of one generation, laid out by the room there is: a pane for each, or a list with one live pane."""

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from rich.style import Style
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.geometry import NULL_OFFSET, NULL_SPACING, Region, Size
from textual.layout import ArrangeResult, Layout, WidgetPlacement
from textual.message import Message
from textual.widget import Widget

from widgets.ink import Line, Painted
from widgets.layout import Mode, Plan, Rect, neighbour, plan
from widgets.pane import Pane, View
from widgets.roster import Roster


class _Panes(Layout):
    """Puts each of the wall's children where the plan has it."""

    name = "panes"

    def arrange(self, parent: Widget, children: list[Widget], size: Size, greedy: bool = True) -> ArrangeResult:
        assert isinstance(parent, Wall)
        places = parent.places(size)
        return [
            WidgetPlacement(Region(r.x, r.y, r.width, r.height), NULL_OFFSET, NULL_SPACING, child)
            for child in children
            if (r := places.get(child)) is not None
        ]


class Wall(Painted, can_focus=True):
    """Shows `lanes`, in that order. `selected` is a lane's number; arrows and tab move it, nothing else does.

    Painted, for it is asked for all of its rows in each frame, though panes stand over nearly all of them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "move(-1, 0)", "Left", show=False),
        Binding("right", "move(1, 0)", "Right", show=False),
        Binding("up,k", "move(0, -1)", "Up", show=False),
        Binding("down,j", "move(0, 1)", "Down", show=False),
        Binding("tab", "step(1)", "Next", show=False),
        Binding("shift+tab", "step(-1)", "Previous", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home", "step(-1000000)", "First", show=False),
        Binding("end", "step(1000000)", "Last", show=False),
    ]

    class Chosen(Message):
        """Another subagent is selected."""

        def __init__(self, lane: int) -> None:
            super().__init__()
            self.lane = lane

    class Opened(Message):
        """The operator pointed at a subagent twice."""

        def __init__(self, lane: int) -> None:
            super().__init__()
            self.lane = lane

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id)
        self.selected: int | None = None
        self.lanes: list[int] = []
        """Those that are shown, in order."""
        self._mode = Mode.AUTO
        self._panes: dict[int, Pane] = {}
        self._roster = Roster()
        self._live = Pane(0)
        self._views: Mapping[int, View] = {}
        self._layout = _Panes()
        self._planned: tuple[tuple[int, Size, Mode], Plan] | None = None

    def lines(self, cells: int, height: int) -> Iterable[Line]:
        return ()

    def style_of(self, name: str) -> Style:
        # Nothing is written on it.
        return super().style_of(name).background_style

    def compose(self) -> ComposeResult:
        yield self._roster
        yield self._live

    @property
    def layout(self) -> Layout:
        return self._layout

    @property
    def mode(self) -> Mode:
        """How the operator wants it."""
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        self._mode = mode
        self._lay_out()

    @property
    def listed(self) -> bool:
        """A list and one live pane are shown, not a pane for each."""
        return self._plan(self._room).list is not None

    @property
    def _room(self) -> Size:
        # The width without a scroll bar: whether there is one must not decide the plan.
        return Size(self.size.width + self.scrollbar_size_vertical * self.show_vertical_scrollbar, self.size.height)

    def _plan(self, size: Size) -> Plan:
        key = (len(self.lanes), size, self._mode)
        if self._planned is None or self._planned[0] != key:
            self._planned = key, plan(len(self.lanes), size.width, size.height, self._mode)
        return self._planned[1]

    def places(self, size: Size) -> dict[Widget, Rect]:
        """Where each child stands in a room of this size; those that are not shown have no place."""
        found = self._plan(size)
        if found.list is None:
            return {
                self._panes[lane]: r
                for lane, r in zip(self.lanes, found.panes, strict=True)
                if lane in self._panes
            }  # fmt: skip
        places: dict[Widget, Rect] = {self._roster: found.list}
        if found.live is not None:
            places[self._live] = found.live
        return places

    def hold(self, lanes: Sequence[int], among: Sequence[int] | None = None) -> None:
        """Show exactly these, in this order. `among` are all that there are: panes of those that are left out are kept
        for when they come back."""
        everything = set(lanes if among is None else among)
        gone = [pane for lane, pane in self._panes.items() if lane not in everything]
        if list(lanes) == self.lanes and not gone:
            return
        for pane in gone:
            del self._panes[pane.number]
            pane.remove()
        self.lanes = list(lanes)
        if self.selected not in self.lanes:
            self.selected = self.lanes[0] if self.lanes else None
        self._lay_out()

    def _lay_out(self) -> None:
        found = self._plan(self._room)
        if found.list is None:
            new = [Pane(lane) for lane in self.lanes if lane not in self._panes]
            self._panes.update((pane.number, pane) for pane in new)
            if new and self.is_attached:
                self.mount_all(new)
        self._roster.display = found.list is not None
        self._live.display = found.live is not None
        shown = set(self.lanes) if found.list is None else set()
        for lane, pane in self._panes.items():
            pane.display = lane in shown
        # Textual keeps where children stand for as long as they and the size are the same.
        self._clear_arrangement_cache()
        self.refresh(layout=True)
        self.show(self._views)

    def on_resize(self) -> None:
        self._lay_out()
        self.call_after_refresh(self._bring)

    def show(self, views: Mapping[int, View]) -> None:
        """Bring what is in sight up to date; what is scrolled out of sight is drawn when it comes back."""
        self._views = views
        if self.listed:
            self._roster.show(self.lanes, views)
            if self.selected is not None and self.selected in views:
                self._live.show(views[self.selected])
            return
        for lane in self.lanes:
            pane = self._panes.get(lane)
            if pane is not None and lane in views and (pane.view is None or pane.is_on_screen):
                pane.show(views[lane])

    def select(self, lane: int) -> None:
        """Select a subagent and bring it into sight. One that is not shown changes nothing."""
        if lane in self.lanes and lane != self.selected:
            self.selected = lane
            self._bring()
            self.post_message(self.Chosen(lane))

    def _bring(self) -> None:
        if self.selected is None:
            return
        if self.listed:
            self._roster.bring(self.selected)
        elif (pane := self._panes.get(self.selected)) is not None and pane.is_attached:
            pane.scroll_visible(animate=False)

    def on_pane_selected(self, message: Pane.Selected) -> None:
        message.stop()
        self.focus()
        lane = self.selected if message.lane == self._live.number else message.lane
        if lane is None:
            return
        if message.twice:
            self.post_message(self.Opened(lane))
        else:
            self.select(lane)

    def on_roster_selected(self, message: Roster.Selected) -> None:
        message.stop()
        self.focus()
        self.select(message.lane)

    def action_step(self, by: int) -> None:
        if self.selected is None or not self.lanes:
            return
        index = self.lanes.index(self.selected) + by
        last = len(self.lanes) - 1
        self.select(self.lanes[index % (last + 1) if abs(by) == 1 else min(max(index, 0), last)])

    def action_move(self, dx: int, dy: int) -> None:
        if self.selected is None:
            return
        index = self.lanes.index(self.selected)
        if self.listed:
            self.select(self.lanes[min(max(index + dx + dy, 0), len(self.lanes) - 1)])
        else:
            self.select(self.lanes[neighbour(self._plan(self._room).panes, index, dx, dy)])

    def action_page(self, by: int) -> None:
        found = self._plan(self._room)
        if self.selected is None:
            return
        index = self.lanes.index(self.selected)
        if found.list is not None:
            step = max(found.list.height - 1, 1)
        else:
            top = found.panes[0].y
            step = max(sum(r.y < top + self.size.height for r in found.panes) - 1, 1)
        self.select(self.lanes[min(max(index + by * step, 0), len(self.lanes) - 1)])
