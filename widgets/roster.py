"""Many subagents as a list: one row each, drawn row by row. The live pane beside it shows the selected one."""

from collections.abc import Mapping, Sequence

from textual import events
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from store.domain.secrets import shown_line
from widgets import gauge, words
from widgets.ink import Inked, Line, cut, spread, width
from widgets.labels import Spots
from widgets.pane import View, alert, last, mark, seen

NAME = 24
"""Cells of a strategy's name at most."""


def row(view: View, cells: int) -> Line:
    """One subagent in a line: what identifies it and its state always, the rest by the room there is."""
    lane = view.lane
    state = mark(view)
    left: Line = [
        ("▌" if view.selected else " ", "frame-selected"),
        ("●" if view.marked else " ", "accent"),
        view.need.mark if view.need else (" ", "text"),
        (f" {lane.id.label:<6}", "accent" if view.selected else "strong"),
    ]
    right: Line = [(f" {state.glyph} {state.word:<9}", state.ink), (f"{gauge.turns(lane):>7} ", "text")]
    right += gauge.fixed(gauge.cost(lane, gauge.SHORT), 13)
    if cells >= 72:
        right += [(f"{words.tokens(lane.spend.tokens):>7}", "text")]
        right += [(f"{words.duration(lane.work.read(view.now)):>7} ", "faint")]
    room = cells - width(left) - width(right)
    name: Line = [(shown_line(lane.plan.strategy.name), "strong")]
    if lane.plan.clean:
        name.append((" · clean", "warn"))
    if room <= NAME + 12:
        return [*left, *spread(name, [], max(room, 0)), *right]
    said = alert(view) or last(view)
    return [*left, *spread(cut(name, NAME), [], NAME), *right, *spread([(" ", "text"), *said], [], room - NAME)]


class Roster(Inked, ScrollView, can_focus=False):
    """The list. What is selected is the wall's to say."""

    class Selected(Message):
        """The operator pointed at a row."""

        def __init__(self, lane: int) -> None:
            super().__init__()
            self.lane = lane

    def __init__(self) -> None:
        super().__init__()
        self._views: Mapping[int, View] = {}
        self._lanes: Sequence[int] = ()
        self._seen: dict[int, object] = {}

    def show(self, lanes: Sequence[int], views: Mapping[int, View]) -> None:
        """Take the moment's values, in this order; only rows that changed are drawn again."""
        self._views = views
        before, self._seen = self._seen, {lane: seen(views[lane]) for lane in lanes if lane in views}
        if list(lanes) != list(self._lanes):
            self._lanes = list(lanes)
            self._measure()
            self.refresh()
            return
        top = self.scroll_offset.y
        for y, lane in enumerate(self._lanes[top : top + self.size.height]):
            if before.get(lane) != self._seen.get(lane):
                self.refresh(Region(0, y, self.size.width, 1))

    def _measure(self) -> None:
        size = Size(self.scrollable_content_region.width, len(self._lanes))
        if size != self.virtual_size:
            self.virtual_size = size

    def on_resize(self) -> None:
        self._measure()

    def bring(self, lane: int) -> None:
        """Scroll so far that a lane's row is in sight."""
        if lane in self._lanes:
            self.scroll_to_region(Region(0, self._lanes.index(lane), 1, 1), animate=False, force=True)

    def render_line(self, y: int) -> Strip:
        cells = self.scrollable_content_region.width
        index = y + self.scroll_offset.y
        if index >= len(self._lanes) or (view := self._views.get(self._lanes[index])) is None:
            return Strip.blank(cells, self.style_of(""))
        return self.strip(row(view, cells), cells, self.ink("cursor") if view.selected else None)

    def click_spots(self) -> Spots:
        """For the jump mode: the rows in sight."""
        return [(0, y) for y in range(min(self.size.height, len(self._lanes) - self.scroll_offset.y))]

    def on_click(self, event: events.Click) -> None:
        event.stop()
        index = event.y + self.scroll_offset.y
        if index < len(self._lanes):
            self.post_message(self.Selected(self._lanes[index]))
