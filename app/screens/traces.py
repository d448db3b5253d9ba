"""Traces: the tapes of a run as a tree, and beside it the node under the cursor."""

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical

from app import actions, nodes, orders, tracing
from app.faults import Faults, place_of
from app.finding import highlit, quotation
from app.rollup import reckon
from app.screens.base import NO_RUN, bindings
from app.screens.commanding import CommandingScreen
from app.screens.going import Goal
from app.screens.noding import NodeActions, lane_of
from app.screens.returning import note_trace, return_to_trace
from app.screens.searching import Searching
from app.screens.traced import Painted
from app.screens.windowing import Windowing
from app.spots import OfEvent, OfFault, OfLane
from app.trace import PAGE
from app.unfolding import Unfolding, find
from app.wrongs import next_wrong, wrong_rows
from store.domain import board
from store.domain.events import Alert
from store.domain.ids import SubagentId
from widgets.bars import Bar
from widgets.docview import DocView
from widgets.ink import Line
from widgets.outline import Item
from widgets.reading import Place
from widgets.tracetree import TraceTree

MARKED = 4000
"""Errors of one subagent that the map shows at most: it has as many cells as the screen has rows."""


class TracesScreen(Windowing, NodeActions, Searching, CommandingScreen):
    """The tree is read in windows, as it is looked at; so are words, results and requests."""

    NAME: ClassVar[str] = "traces"
    CSS: ClassVar[str] = "TracesScreen #split > .left { width: 50%; }"
    BINDINGS: ClassVar[list[BindingType]] = bindings("traces")

    def __init__(self) -> None:
        super().__init__()
        self.raw = False
        self._returned = False
        self._goal: Goal | None = None
        self._quoted = ("", "")
        """An item, and what is quoted of it: that is marked there."""
        self.unfolding = Unfolding()
        self.node_back: tuple[str, Place] | None = None
        """A node, and where one read in it."""
        self._mapped: tuple[object, ...] = ()
        self._known = ""
        """The run whose board had been read when its node was painted last."""

    def body(self) -> ComposeResult:
        with Horizontal(id="split", classes="full"):
            with Vertical(classes="left"):
                yield Bar(id="tree-head", classes="head")
                yield TraceTree(id="tree")
            with Vertical(classes="right"):
                yield Bar(id="node-head", classes="head")
                yield DocView(id="node")
        yield DocView(id="empty")
        yield from self.search_parts()

    def on_mount(self) -> None:
        self.query_one("#empty", DocView).can_focus = False
        self.treeview.focus()

    def banner(self) -> Line:
        return []

    @property
    def reading(self) -> bool:
        return super().reading or self.at_work("trace")

    def opened(self) -> None:
        self._goal, self._mapped = None, ()
        self.unfolding, self.node_back = Unfolding(), None
        self.forget_hits()
        if not self._returned:
            self._returned = True
            return_to_trace(self)

    def note(self) -> None:
        if self._returned:
            note_trace(self)

    def update(self) -> None:
        track = self.track
        trace = self.trace if self.trace is not None and track is not None and self.trace.run == track.id else None
        recording = track is not None and track.recording
        self.set_class(trace is None or recording, "empty")
        if track is None or trace is None or recording:
            said = "Reading the tapes …" if track else NO_RUN.format(actions.key("runs"))
            if track is not None and recording:
                said = f"A recording of calls, without turns. `multitrack trace {track.id}` prints them as a tree."
            self.query_one("#empty", DocView).show([[(said, "faint")]], said)
            if track is not None and not recording:
                self._open(track)
            return
        if self.world.pointed is not None:
            self._point_at(self.world.pointed)
            self.world.pointed = None
        if self.studio.sought is not None:
            goal, quote = self.studio.sought
            self.studio.sought = None
            self._quoted = goal.key, quote
            self.go_to(goal)
        self._catch_up(track, trace)
        if track.read and self._known != track.id:
            # The trace may be there first, and what is said of a run is on its board.
            self._known = track.id
            self.look()
        if reckon(trace, track.board, self.studio.now() if track.alive else track.board.at):
            self.treeview.refresh()
        self._want()
        self.show_map()
        self._heads()

    @on(TraceTree.Pointed)
    def _pointed(self) -> None:
        self.look()
        self._heads()
        self.show_keys()

    @on(TraceTree.Unfolded)
    def _unfolded(self) -> None:
        self._want()

    @on(TraceTree.Grown)
    def _grown(self) -> None:
        # Whoever read or folded what: in a playback that stands nothing else would tell the map.
        self.show_map()

    @on(TraceTree.Chosen)
    def _chosen(self, message: TraceTree.Chosen) -> None:
        """An error, in the whole trace."""
        data = message.item.data
        if isinstance(data, OfFault):
            self.do_errors()
        elif isinstance(data, OfLane) and self.trace is not None and (lane := self.trace.lane(data.who)) is not None:
            self.treeview.point(lane)

    def look(self) -> None:
        """Paint the node under the cursor, in a thread."""
        item, track = self.cursor, self.track
        if item is None or track is None or item.blank:
            return
        shown, raw, board = nodes.shown(item.data), self.raw, track.board
        key, now, query = self._node_key(item), self.until_when, self.search.query
        if item.key == self._quoted[0]:
            query = quotation(self._quoted[1])

        def read() -> None:
            lines = nodes.describe(self.studio.feed.store(), board, shown, raw=raw, now=now)
            self.post_message(Painted(key, *highlit(lines, query)))

        self.studio.in_thread(read, group="node")

    @on(Painted)
    def _painted(self, message: Painted) -> None:
        cursor = self.cursor
        if cursor is not None and message.key == self._node_key(cursor):
            # What was searched for is gone to only where it was found: elsewhere one reads from the beginning.
            at = message.at or 0 if self.treeview.found(cursor) or cursor.key == self._quoted[0] else 0
            back = self.node_back[1] if self.node_back and self.node_back[0] == cursor.key else None
            if back is not None or self._goal is None:
                self.node_back = None
            self.query_one("#node", DocView).show(message.lines, (self.studio.run_name, *message.key), at, back)

    def _node_key(self, item: Item) -> tuple[str, bool, int]:
        """What the node is of, how it is shown, and what is marked in it."""
        return item.key, self.raw, self.search.number

    def _heads(self) -> None:
        cursor = self.cursor
        if self.trace is None:
            return
        left: Line = [(" errors only" if self.faults else " trace", "strong"), *self.search_line()]
        self.query_one("#tree-head", Bar).show(left, self.treeview.heading())
        right: Line = [(nodes.path(cursor.data), "strong")] if cursor is not None else []
        self.query_one("#node-head", Bar).show(right, [("raw " if self.raw else "", "warn")])

    def show_map(self) -> None:
        """Where the errors are, beside the tree."""
        trace = self.trace
        if trace is None:
            return
        lanes = trace.lanes.values()
        wrong, placed = sum(len(lane.wrong) for lane in lanes), sum(lane.places is not None for lane in lanes)
        mark = (trace.outline.version, self.faults is None, wrong, placed)
        if mark != self._mapped:
            self._mapped = mark
            self.treeview.mark_wrong(wrong_rows(trace, MARKED) if self.faults is None else ())

    # Actions.

    def why_not(self, action: str) -> str:
        if self.trace is None and action in ("errors", "search", "raw", "follow", "next-fault", "previous-fault"):
            return "there is no trace yet"
        return self.why_not_search(action) or self.why_not_node(action) or super().why_not(action)

    # Orders to the subagent under the cursor.

    @property
    def chosen(self) -> Sequence[board.Lane]:
        who = lane_of(self.cursor) if self.trace is not None else None
        lane = self.world.lane(who) if who is not None else None
        return [lane] if lane is not None else []

    @property
    def generation(self) -> board.Generation | None:
        who = lane_of(self.cursor) if self.trace is not None else None
        return self.track.generation(who.generation) if self.track and who else None

    def in_footer(self, action: actions.Action) -> bool:
        # Beside an alert stands what can be done about it; else the node's own keys need the room.
        cursor = self.cursor if self.trace is not None else None
        data = cursor.data if cursor is not None else None
        event = data.event if isinstance(data, OfEvent | OfFault) else None
        on_alert = event is not None and isinstance(event.payload, Alert)
        return super().in_footer(action) and (on_alert or action.id not in orders.TO_SUBAGENTS)

    def do_errors(self) -> None:
        trace, tree = self.trace, self.treeview
        if trace is None:
            return
        cursor = tree.cursor
        if self.faults is None:
            self.faults = Faults(trace)
            tree.hold(self.faults.outline, figures=False)
            tree.point(self.faults.item_of(cursor))
        else:
            self._show_all()
            data = cursor.data if cursor is not None else None
            if isinstance(data, OfFault):
                self._to_event(data.who, data.seq)
            elif cursor is not None and (there := trace.outline.find(cursor.key)) is not None:
                tree.point(there)
        self.show_map()
        self.look()
        self._heads()

    def _show_all(self) -> None:
        """What is gone to may be no error."""
        if self.faults is not None and self.trace is not None:
            self.faults = None
            self.treeview.hold(self.trace.outline)

    def do_next_fault(self) -> None:
        self._to_error(1)

    def do_previous_fault(self) -> None:
        self._to_error(-1)

    def _to_error(self, by: int) -> None:
        """The next error after the cursor, or the last before it, whether it has been read or not."""
        trace, tree = self.trace, self.treeview
        if trace is None:
            return
        if self.faults is not None:
            tree.action_cursor(by)
            return
        found = next_wrong(trace, tree.cursor, by)
        if found is None:
            self.studio.say("No more errors that way.", "warning")
            return
        self._to_event(*found)

    def _to_event(self, who: SubagentId, seq: int) -> None:
        """Go to where an event is told of; it may have to be read first."""
        run = self.studio.run_name or ""

        def read() -> None:
            for event in tracing.read_events(self.studio.feed.store(), run, [seq]):
                turn, key = place_of(event)
                self.studio.call_from_thread(self.go_to, Goal(who, key, turn, seq))

        self.studio.in_thread(read, group="error")

    def do_raw(self) -> None:
        self.raw = not self.raw
        self.look()
        self._heads()

    def do_follow(self) -> None:
        trace = self.trace
        if trace is None:
            return
        self._show_all()
        lane = self.cursor
        while lane is not None and not isinstance(lane.data, OfLane):
            lane = lane.parent
        newest = trace.newest(lane) or trace.newest()
        if newest is not None:
            trace.outline.reveal(newest)
            trace.outline.open(newest)
            self.treeview.grown()
            self.treeview.point(newest)
            self._want()

    def _point_at(self, who: SubagentId) -> None:
        trace = self.trace
        lane = trace.lane(who) if trace else None
        if trace is not None and lane is not None:
            self._show_all()
            trace.outline.reveal(lane)
            trace.outline.open(lane)
            self.treeview.grown()
            self.treeview.point(lane)
            self.treeview.focus()

    # Going somewhere that may have to be read first.

    def go_to(self, goal: Goal) -> None:
        """Bring the cursor there; what was on the way to another place is given up."""
        self._show_all()
        self._goal = goal
        self.land()

    def land(self) -> None:
        self._land()
        trace, tree = self.trace, self.treeview
        if trace is None:
            return
        looked_at = tree.looked_at()
        if self.unfolding.left and self.unfolding.go_on(trace):
            tree.grown(above=tree.moved(looked_at))
            self._want()
        # Until the operator moves.
        still = self._goal is None and self.unfolding.shown in (None, tree.held)
        if still and (top := self.unfolding.top(trace)) is not None:
            tree.show_top(top)

    def _land(self) -> None:
        trace, goal = self.trace, self._goal
        lane = trace.lanes.get(goal.who) if trace and goal else None
        if trace is None or goal is None or lane is None:
            return
        tree = self.treeview
        item = find(trace, goal.key)
        if item is not None:
            self._goal = None
            tree.point(item, above=goal.above)
            return
        turn = trace.turn(goal.who, goal.turn) if goal.turn is not None else None
        if turn is None and lane.places is None:
            self._page(lane, 0)
        elif turn is None and goal.seq is None:
            self._find(goal)
        elif turn is None and goal.seq is not None:
            place = lane.place(goal.seq)
            turn = trace.outline.child(lane.item, place) if place >= 0 else lane.item
            if turn.blank:
                tree.point(turn)
                self._page(lane, place // PAGE * PAGE)
                return
        if turn is None:
            tree.point(lane.item)
            return
        if not turn.leaf:
            trace.outline.reveal(turn)
            trace.outline.open(turn)
            tree.grown()
        tree.point(turn, above=goal.above)
        if turn.loaded:
            # It is not there, or said otherwise: as near as that.
            self._goal = None
        self._want()

    def _find(self, goal: Goal) -> None:
        """The event that a turn begins with, by its number."""
        who, turn = goal.who, goal.turn or 0

        def read() -> None:
            from store import windows

            found = windows.numbered(self.studio.feed.store(), who, turn)
            self.studio.call_from_thread(self._knows, goal, found[-1][1] if found else 0)

        self.studio.in_thread(read, group="goal")

    def _knows(self, goal: Goal, seq: int) -> None:
        if goal is self._goal:
            goal.seq = seq
            self.land()
