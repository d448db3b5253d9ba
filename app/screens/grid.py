"""Grid: every subagent of a generation, live."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Input

from app import actions
from app.screens.ask import Jump, Place
from app.screens.base import NARROW, bindings, run_banner
from app.screens.returning import Return, note
from app.screens.sorting import SortingScreen
from app.strip import strip, zoomed
from app.waiting import waiting
from app.zoom import Words, Zoom, read_words
from store.domain.board import Generation, Lane
from store.domain.events import Event
from store.domain.ids import SubagentId
from store.domain.secrets import shown_line
from widgets.bars import Bar
from widgets.docview import DocView
from widgets.ink import Line
from widgets.lanes import FILTERS, Filter, Seat, need, next_needing
from widgets.matrix import Matrix
from widgets.pane import View, mark
from widgets.tape import TapeView
from widgets.wall import Wall

_MARGINS = 6
"""Cells beside what is shown where there are no panes."""


class GridScreen(SortingScreen):
    """The wall of panes, a whole tape over it, or all generations side by side. `looking` is the generation that is
    looked back at; None follows the latest."""

    NAME: ClassVar[str] = "grid"
    BINDINGS: ClassVar[list[BindingType]] = bindings("grid")

    def __init__(self) -> None:
        super().__init__()
        self.looking: int | None = None
        self.zoom: Zoom | None = None
        self._held: tuple[str | None, int] = (None, 0)
        self._pulse: tuple[object, ...] = ()
        self._return: Return | None = Return(self)

    def body(self) -> ComposeResult:
        yield Bar(id="strip")
        yield Input(id="filter", placeholder=FILTERS)
        yield Wall(id="wall")
        yield TapeView(id="tape")
        yield Matrix(id="matrix")
        yield DocView(id="empty")

    def on_mount(self) -> None:
        self.query_one(DocView).can_focus = False
        self.query_one("#filter", Input).can_focus = False
        self.wall.focus()

    @property
    def besides(self) -> bool:
        """Generations stand side by side."""
        return self.has_class("besides")

    @property
    def generation(self) -> Generation | None:
        return self.track.generation(self.looking) if self.track else None

    @property
    def lane(self) -> Lane | None:
        """The selected lane."""
        if self.besides:
            return self.query_one(Matrix).lane
        generation, selected = self.generation, self.wall.selected
        return generation.lanes.get(selected) if generation and selected is not None else None

    @property
    def chosen(self) -> Sequence[Lane]:
        generation = self.generation
        if self.marked and generation and not (self.besides or self.zoom):
            return [generation.lanes[number] for number in sorted(self.marked) if number in generation.lanes]
        return [self.lane] if self.lane else []

    # What is shown.

    def update(self) -> None:
        track, generation = self.track, self.generation
        if self._held[0] != self.studio.run_name:
            self._leave_run()
            generation = track.generation(None) if track else None
        back, self._return = self._return if generation else None, None if generation else self._return
        if back is not None:
            back.before()
            generation = self.generation
        self.set_class(generation is None, "empty")
        if track is None or generation is None:
            self._held = self.studio.run_name, 0
            self.query_one("#strip", Bar).show([])
            self.query_one("#empty", DocView).show(waiting(track, self.size.width - _MARGINS), "waiting")
            return
        if self._held != (track.id, generation.number):
            self._held = track.id, generation.number
            self.marked.clear()
            self.order.settle(self.seats(generation))
        self.show_panes()
        if back is not None:
            back.after()

    def note(self) -> None:
        if self._return is None:
            note(self)

    def _leave_run(self) -> None:
        self.looking, self.zoom = None, None
        self.marked.clear()
        self.order.filter = Filter()
        self.remove_class("zoomed", "besides")

    def on_screen_resume(self) -> None:
        # Nobody was reading: whoever needs the operator comes forward.
        if self.generation is not None:
            self.order.settle(self.seats(self.generation))
        super().on_screen_resume()

    def tick(self) -> None:
        super().tick()
        # Nothing said, nothing happened, the same second: nothing to look at.
        said = sum(flow.version for flow in self.world.flows.values())
        pulse = (self.world.version, said, int(self.now), self.size, *self.handled.values())
        if pulse != self._pulse:
            self._pulse = pulse
            self.show_panes()

    def show_panes(self) -> None:
        """Bring the panes up to date; the wall draws only those that changed."""
        track, generation = self.track, self.generation
        if track is None or generation is None or self._held != (track.id, generation.number):
            return
        if self.besides:
            self.query_one(Matrix).show(track.board.generations, self.now)
            self.query_one("#strip", Bar).show(
                [(" Generations side by side", "strong")], [(actions.key("beside"), "key"), (" back ", "text")]
            )
            return
        seats, wall = self.seats(generation), self.wall
        if self.zoom is not None:
            self._show_tape(self.zoom, seats)
            return
        self.order.keep(seats)
        wall.hold(self.order.lanes, list(seats))
        wall.show({number: self._view(seats[number]) for number in self.order.lanes})
        line = strip(seats, self.order, self.marked & seats.keys(), wall.mode, self.size.width)
        self.query_one("#strip", Bar).show(*line)

    def _view(self, seat: Seat) -> View:
        lane, number = seat.lane, seat.lane.id.lane
        return View(
            lane,
            self.world.flow(lane.id),
            seat.now,
            number == self.wall.selected,
            seat.stalled,
            seat.marked,
            need(seat),
        )

    def banner(self) -> Line:
        track, generation = self.track, self.generation
        if track is None or generation is None or generation.number == track.latest:
            return run_banner(track, self.size.width, self.NAME)
        line: Line = [(f" ← looking back at generation {generation.number}", "banner")]
        if self.size.width >= NARROW:
            line.append(((f": {generation.solved(clean=False)} of {generation.count(clean=False)} solved, "
                         f"{generation.known} observations known after it"), "text"))  # fmt: skip
        return [
            *line,
            (f"  {actions.key('later')}", "key"),
            (f" on to {generation.number + 1}, the latest is {track.latest}", "text"),
        ]

    def on_wall_chosen(self) -> None:
        self.show_panes()
        self.show_keys()

    def on_wall_opened(self) -> None:
        self.studio.action_do("zoom")

    def on_matrix_chosen(self) -> None:
        self.show_keys()

    def why_not(self, action: str) -> str:
        generation = self.generation
        if action in ("tape", "zoom", "mark") and self.lane is None:
            return "no subagent is selected"
        if action in self.ON_PANES and (self.besides or self.zoom):
            return "the panes are not shown; escape goes back to them"
        if action == "earlier" and (generation is None or generation.number <= 1):
            return "this is the first generation"
        if action == "later" and (generation is None or self.track is None or generation.number >= self.track.latest):
            return "this is the latest generation"
        if generation is None and action in (
            "jump",
            "filter",
            "order",
            "renew",
            "view",
            "beside",
            "mark-all",
            "attend",
        ):
            return "there is no subagent yet"
        if action == "attend" and generation and next_needing(self.seats(generation).values(), None) is None:
            return "no subagent needs you"
        if action == "renew" and generation and not self.order.stale(self.seats(generation)):
            return "filter and order are up to date"
        if action == "clear" and not (self.zoom or self.besides or self.marked or self.order.filter.text):
            return "there is nothing to clear"
        return super().why_not(action)

    # Going about.

    def do_tape(self) -> None:
        if self.lane is not None:
            self.studio.open_tape(self.lane.id)

    def do_attend(self) -> None:
        if self.generation is None:
            return
        lane = next_needing(self.seats(self.generation).values(), self.wall.selected)
        if lane is not None:
            self._go(self.generation.lanes[lane].id)

    def do_jump(self) -> None:
        track, generation = self.track, self.generation
        if track is None or generation is None:
            return
        places = [
            Place(lane.id, shown_line(lane.plan.strategy.name, 30), mark(self._view(Seat(lane, self.now))).span)
            for one in track.board.generations.values()
            for lane in one.lanes.values()
        ]

        def answered(who: SubagentId | None) -> None:
            if who is not None:
                self._go(who)

        self.app.push_screen(Jump(places, generation.number), answered)

    def _go(self, who: SubagentId) -> None:
        """Select a subagent of any generation, whatever is shown."""
        generation = self.generation
        if generation is None or self.track is None:
            return
        if who.generation != generation.number:
            self.look_at(who.generation)
        if who.lane not in self.order.lanes:
            # It was asked for by name: a filter that hides it gives way.
            self.apply_filter(Filter())
        if self.besides:
            self.stand_beside(False)
        self.wall.select(who.lane)
        if self.zoom is not None:
            self.show_tape_of(who)

    def do_earlier(self) -> None:
        if self.generation is not None:
            self.look_at(self.generation.number - 1)

    def do_later(self) -> None:
        if self.generation is not None:
            self.look_at(self.generation.number + 1)

    def look_at(self, number: int) -> None:
        if self.track is not None:
            self.looking = None if number >= self.track.latest else number
            if self.zoom is not None:
                self.show_tape_of(SubagentId(self.track.id, number, self.zoom.who.lane))
            self.redraw()
            self.show_panes()

    def do_clear(self) -> None:
        if self.has_class("filtering"):
            self.leave_filter()
            self.apply_filter(Filter())
        elif self.zoom is not None:
            self.show_tape_of(None)
        elif self.besides:
            self.stand_beside(False)
        elif self.marked:
            self.marked.clear()
            self.changed()
        else:
            self.apply_filter(Filter())

    def changed(self) -> None:
        self.show_panes()
        self.show_keys()

    # Generations side by side.

    def do_beside(self) -> None:
        self.stand_beside(not self.besides)

    def stand_beside(self, on: bool) -> None:
        lane = self.lane
        self.zoom = None
        self.remove_class("zoomed")
        self.set_class(on, "besides")
        matrix = self.query_one(Matrix)
        if on:
            self.show_panes()
            if lane is not None:
                matrix.point(lane)
            matrix.focus()
        else:
            self.wall.focus()
            if lane is not None and self.generation is not None and lane.id.generation != self.generation.number:
                self.look_at(lane.id.generation)
            if lane is not None:
                self.wall.select(lane.id.lane)
        self.changed()

    # A whole tape.

    def do_zoom(self) -> None:
        lane = self.lane
        if self.zoom is not None:
            self.show_tape_of(None)
        elif lane is not None:
            if self.besides:
                self.stand_beside(False)
            self.show_tape_of(lane.id)

    def show_tape_of(self, who: SubagentId | None) -> None:
        self.zoom = Zoom(who) if who is not None else None
        self.set_class(self.zoom is not None, "zoomed")
        if self.zoom is None:
            if self.generation is not None:
                self.order.settle(self.seats(self.generation))
            self.wall.focus()
        else:
            self.query_one(TapeView).focus()
        self.changed()

    def _show_tape(self, tape: Zoom, seats: Mapping[int, Seat]) -> None:
        seat = seats.get(tape.who.lane)
        if seat is None or tape.who.generation != seat.lane.id.generation:
            self.show_tape_of(None)
            return
        view, live = self.query_one(TapeView), self.world.flow(tape.who)
        new = tape.wanted(self.world.past)
        if new is not None:
            self._read(tape, new)
        tape.stream(live)
        view.show(tape.flow if tape.ready else live)
        if tape.ready and tape.back is not None:
            view.go_to(tape.back)
            tape.back = None
        line = zoomed(self._view(seat), self.size.width, following=view.following, below=view.below, ready=tape.ready)
        self.query_one("#strip", Bar).show(*line)

    def _read(self, tape: Zoom, new: list[Event]) -> None:
        def read() -> None:
            try:
                words = read_words(self.studio.feed.store(), new)
            except Exception:
                self.app.call_from_thread(tape.take, new, ({}, {}))
                raise
            self.app.call_from_thread(self._took, tape, new, words)

        self.studio.in_thread(read, group="tape", exclusive=False)

    def _took(self, tape: Zoom, new: list[Event], words: Words) -> None:
        tape.take(new, words)
        if tape is self.zoom:
            self.show_panes()

    def on_tape_view_moved(self) -> None:
        if self.zoom is not None:
            self.show_panes()

    def on_tape_view_step(self, message: TapeView.Step) -> None:
        self.wall.action_step(message.by)
        generation, lane = self.generation, self.wall.selected
        if generation is not None and lane in generation.lanes:
            self.show_tape_of(generation.lanes[lane].id)
