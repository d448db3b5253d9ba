"""Marks, filter and order: which subagents the grid shows, and which of them the next order goes to."""

from typing import ClassVar

from textual.widgets import Input

from app.screens.commanding import CommandingScreen
from store.domain.board import Generation
from widgets.lanes import Filter, Order, Seat, parse
from widgets.layout import Mode
from widgets.wall import Wall


class SortingScreen(CommandingScreen):
    """A screen with a wall. Nothing on it changes its place by itself: filter and order are those of the moment when
    they were asked for."""

    ON_PANES: ClassVar[frozenset[str]] = frozenset({"mark", "mark-all", "filter", "order", "renew", "view", "attend"})
    """What needs the panes in sight."""

    def __init__(self) -> None:
        super().__init__()
        self.order = Order()
        self.marked: set[int] = set()

    @property
    def wall(self) -> Wall:
        return self.query_one(Wall)

    @property
    def now(self) -> float:
        """The clock; it stands where no engine works."""
        track = self.track
        return self.studio.now() if track is None or track.alive else track.board.at

    def seats(self, generation: Generation) -> dict[int, Seat]:
        """All lanes of a generation, as the operator's view of them."""
        stalled, now, still_open = self.track is not None and self.track.interrupted, self.now, self.open
        return {
            number: Seat(lane, now, number in self.marked, self.handled.get(lane.id, 0), still_open, stalled)
            for number, lane in generation.lanes.items()
        }

    def changed(self) -> None:
        """Show what the operator has just asked for."""
        raise NotImplementedError

    def do_mark(self) -> None:
        if self.wall.selected is not None:
            self.marked ^= {self.wall.selected}
            self.changed()

    def do_mark_all(self) -> None:
        shown = set(self.order.lanes)
        self.marked = self.marked - shown if shown <= self.marked else self.marked | shown
        self.changed()

    def do_order(self) -> None:
        self.order.sort = self.order.sort.next
        self.do_renew()

    def do_renew(self) -> None:
        if self.generation is not None:
            self.order.settle(self.seats(self.generation))
            self.changed()

    def do_view(self) -> None:
        modes = list(Mode)
        self.wall.mode = modes[(modes.index(self.wall.mode) + 1) % len(modes)]
        self.changed()

    def do_filter(self) -> None:
        field = self.query_one("#filter", Input)
        self.add_class("filtering")
        field.can_focus = True
        field.value = self.order.filter.text
        # At once: whoever types fast means the next key for the filter.
        self.set_focus(field)

    def on_input_changed(self, event: Input.Changed) -> None:
        if self.has_class("filtering"):
            found = parse(event.value)
            if not found.trouble:
                self.apply_filter(found)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        found = parse(event.value)
        if found.trouble:
            self.studio.say(found.trouble, "warning")
        else:
            # Of what is typed fast not all may have been told yet.
            self.leave_filter()
            self.apply_filter(found)

    def leave_filter(self) -> None:
        """Go back from typing a filter to the panes."""
        self.remove_class("filtering")
        self.query_one("#filter", Input).can_focus = False
        self.set_focus(self.wall)

    def apply_filter(self, found: Filter) -> None:
        """Show only what a filter lets through."""
        self.order.filter = found
        self.do_renew()
