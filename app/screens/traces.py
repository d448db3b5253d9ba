"""Traces: the tapes of a run as a tree, and beside it the node under the cursor."""

from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Input

from app import nodes, tracing
from app.faults import Faults, place_of
from app.rollup import reckon
from app.screens.base import bindings
from app.screens.noding import NodeActions
from app.screens.searching import Searching
from app.screens.traced import Caught, Filled, News, Opened, Painted, Placed, Scanned, Turned
from app.spots import OfFault, OfLane, OfTool, OfTurn
from app.trace import PAGE, Lane, Trace
from app.world import Track
from app.wrongs import next_wrong, wrong_rows
from store.domain.ids import SubagentId
from widgets.bars import Bar
from widgets.docview import DocView
from widgets.ink import Line
from widgets.outline import Item
from widgets.tracetree import TraceTree

MARKED = 4000
"""Errors of one subagent that the map shows at most: it has as many cells as the screen has rows."""


@dataclass
class Goal:
    """Where the cursor goes as soon as that has been read: an item of a turn, by the turn's number or by an event in
    it."""

    who: SubagentId
    key: str
    turn: int | None = None
    seq: int | None = None


class TracesScreen(NodeActions, Searching):
    """The tree is read in windows, as it is looked at; so are words, results and requests."""

    NAME: ClassVar[str] = "traces"
    BINDINGS: ClassVar[list[BindingType]] = bindings("traces")

    def __init__(self) -> None:
        super().__init__()
        self.trace: Trace | None = None
        self.faults: Faults | None = None
        """What is shown in place of the whole trace, when it is errors only."""
        self.raw = False
        self._opening: str | None = None
        self._asked: set[object] = set()
        self._goal: Goal | None = None
        self._news = False
        self._mapped: tuple[object, ...] = ()

    def body(self) -> ComposeResult:
        with Horizontal(id="split", classes="full"):
            with Vertical(classes="left"):
                yield Bar(id="tree-head", classes="head")
                yield TraceTree(id="tree")
            with Vertical(classes="right"):
                yield Bar(id="node-head", classes="head")
                yield DocView(id="node")
        yield DocView(id="empty")
        yield Input(placeholder='words, "a phrase", begin*   enter searches, escape leaves', id="search")

    def on_mount(self) -> None:
        self.query_one("#empty", DocView).can_focus = False
        self.treeview.focus()

    @property
    def treeview(self) -> TraceTree:
        return self.query_one(TraceTree)

    @property
    def cursor(self) -> Item | None:
        return self.treeview.cursor

    def banner(self) -> Line:
        return []

    def update(self) -> None:
        track = self.track
        trace = self.trace if self.trace is not None and track is not None and self.trace.run == track.id else None
        self.set_class(trace is None, "empty")
        if track is None or trace is None:
            said = "Reading the tapes …" if track else "No run to show. 1 lists the runs; multitrack demo makes one."
            self.query_one("#empty", DocView).show([[(said, "faint")]], said)
            if track is not None:
                self._open(track)
            return
        if self.world.pointed is not None:
            self._point_at(self.world.pointed)
            self.world.pointed = None
        self._catch_up(track, trace)
        reckon(trace, track.board, self.studio.now() if track.alive else track.board.at)
        self._want()
        self._show_map()
        self.treeview.refresh()
        self._heads()

    # Opening, and going on.

    def _open(self, track: Track) -> None:
        if self._opening == track.id:
            return
        self._opening = run = track.id
        title = track.title

        def read() -> None:
            self.post_message(Opened(tracing.open_run(self.studio.feed.store(), run, title)))

        self.studio.in_thread(read, group="trace")

    @on(Opened)
    def _opened(self, message: Opened) -> None:
        opening, track = message.opening, self.track
        if track is None or opening.run != track.id:
            return
        self._opening = None
        self.trace, self.faults = Trace(opening.run, opening.title, opening), None
        self._asked, self._goal, self._news = set(), None, False
        self.forget_hits()
        self.treeview.hold(self.trace.outline)
        self._look()
        self._scan(opening.run, opening.until)
        self.update()

    def _scan(self, run: str, until: int) -> None:
        def read() -> None:
            found = []
            for portion in tracing.look_for_wrong(self.studio.feed.store(), run, 0, until):
                found += portion
                if not self.is_attached or self.studio.run_name != run:
                    return
            self.post_message(Scanned(run, found, until))

        self.studio.in_thread(read, group="scan")

    @on(Scanned)
    def _scanned(self, message: Scanned) -> None:
        if self.trace is not None and self.trace.run == message.run:
            self.trace.found_wrong(message.events, message.until)
            self._show_faults()
            self._show_map()
            self.treeview.refresh()

    def _catch_up(self, track: Track, trace: Trace) -> None:
        newest = max(self.world.flowed, track.board.seq)
        if newest <= trace.seq or self._news:
            return
        self._news, run, after = True, track.id, trace.seq

        def read() -> None:
            self.post_message(News(run, tracing.read_news(self.studio.feed.store(), run, after)))

        self.studio.in_thread(read, group="news")

    @on(News)
    def _heard(self, message: News) -> None:
        trace, tree = self.trace, self.treeview
        if trace is None or trace.run != message.run:
            return
        self._news = False
        top, before = tree.top(), tree.scroll_offset.y
        trace.apply(message.events)
        self._show_faults()
        row = tree.outline.row(top) if top is not None else None
        tree.grown(above=row - before if row is not None and before else 0)
        cursor = tree.cursor
        if cursor is not None and isinstance(cursor.data, OfTool) and cursor.data.finished:
            self._look()
        self.update()

    # Reading what is looked at.

    @on(TraceTree.Missing)
    def _missing(self, message: TraceTree.Missing) -> None:
        trace = self.trace
        if trace is None:
            return
        faults = [item.data.seq for item in message.items if isinstance(item.data, OfFault)]
        if faults:
            self._read_faults(trace.run, faults)
        for item in message.items:
            if (found := trace.page_of(item)) is not None:
                self._page(*found)

    def _read_faults(self, run: str, seqs: list[int]) -> None:
        def read() -> None:
            self.post_message(Caught(run, tracing.read_events(self.studio.feed.store(), run, seqs)))

        self.studio.in_thread(read, group="faults")

    @on(Caught)
    def _caught(self, message: Caught) -> None:
        if self.faults is not None and self.trace is not None and self.trace.run == message.run:
            self.faults.take(message.events)
            self.treeview.refresh()
            self._look()

    def _page(self, lane: Lane, first: int) -> None:
        """Read a window of turns, after where they begin."""
        trace = self.trace
        assert trace is not None
        who = lane.who
        window = trace.window(lane, first)
        mark = who, first if window else None
        if mark in self._asked:
            return
        self._asked.add(mark)
        if window is None:

            def places() -> None:
                self.post_message(Placed(who, tracing.read_places(self.studio.feed.store(), who)))

            self.studio.in_thread(places, group="places", exclusive=False)
            return
        begins, stop = window

        def read() -> None:
            self.post_message(Turned(tracing.read_page(self.studio.feed.store(), who, first, begins, stop)))

        self.studio.in_thread(read, group="pages", exclusive=False)

    @on(Placed)
    def _placed(self, message: Placed) -> None:
        trace = self.trace
        if trace is not None and message.who.run == trace.run:
            trace.take_places(message.who, message.places)
            self.treeview.grown()
            self._show_map()
            self._land()

    @on(Turned)
    def _turned(self, message: Turned) -> None:
        trace, page = self.trace, message.page
        if trace is None or page.who.run != trace.run:
            return
        cursor = self.treeview.cursor
        blank = cursor is not None and cursor.blank
        self._asked.discard((page.who, page.first))
        trace.take(page)
        self.treeview.grown()
        self._want()
        if blank and cursor is not None and not cursor.blank:
            self._look()
        self._land()

    def _want(self) -> None:
        """Read the words of the turns that are open."""
        for item in self.trace.wanted() if self.trace else ():
            data = item.data
            mark = f"{item.key} {len(data.calls)}" if isinstance(data, OfTurn) else ""
            if isinstance(data, OfTurn) and data.calls and mark not in self._asked:
                self._read(item, data)

    def _read(self, item: Item, data: OfTurn) -> None:
        run, key = data.who.run, item.key

        def read() -> None:
            self.post_message(Filled(run, key, nodes.said(self.studio.feed.store(), data)))

        self.studio.in_thread(read, group="turns", exclusive=False)
        if data.usage.total:
            self._asked.add(f"{key} {len(data.calls)}")

    @on(Filled)
    def _filled(self, message: Filled) -> None:
        trace, tree = self.trace, self.treeview
        item = trace.outline.find(message.turn) if trace and trace.run == message.run else None
        if trace is None or item is None:
            return
        top, before = tree.top(), tree.scroll_offset.y
        trace.fill(item, message.said)
        row = tree.outline.row(top) if top is not None else None
        tree.grown(above=row - before if row is not None and before else 0)
        self._asked.discard(f"{item.key} {len(item.data.calls) if isinstance(item.data, OfTurn) else 0}")
        if item is self.cursor:
            self._look()
        self._land()

    @on(TraceTree.Pointed)
    def _pointed(self) -> None:
        self._look()
        self._heads()
        self.show_keys()

    @on(TraceTree.Unfolded)
    def _unfolded(self) -> None:
        self._want()
        self._show_map()

    @on(TraceTree.Chosen)
    def _chosen(self, message: TraceTree.Chosen) -> None:
        """An error, in the whole trace."""
        data = message.item.data
        if isinstance(data, OfFault):
            self.do_errors()
        elif isinstance(data, OfLane) and self.trace is not None and (lane := self.trace.lane(data.who)) is not None:
            self.treeview.point(lane)

    def _look(self) -> None:
        """Paint the node under the cursor, in a thread."""
        item, track = self.cursor, self.track
        if item is None or track is None or item.blank:
            return
        shown, raw, board = nodes.shown(item.data), self.raw, track.board
        key = (item.key, raw)

        def read() -> None:
            self.post_message(Painted(key, nodes.describe(self.studio.feed.store(), board, shown, raw=raw)))

        self.studio.in_thread(read, group="node")

    @on(Painted)
    def _painted(self, message: Painted) -> None:
        cursor = self.cursor
        if cursor is not None and message.key == (cursor.key, self.raw):
            self.query_one("#node", DocView).show(message.lines, (self.studio.run_name, *message.key))

    def _heads(self) -> None:
        cursor = self.cursor
        if self.trace is None:
            return
        left: Line = [(" errors only" if self.faults else " trace", "strong"), *self.search_line()]
        self.query_one("#tree-head", Bar).show(left, self.treeview.heading())
        right: Line = [(nodes.path(cursor.data), "strong")] if cursor is not None else []
        self.query_one("#node-head", Bar).show(right, [("raw " if self.raw else "", "warn")])

    def _show_map(self) -> None:
        """Where the errors are, beside the tree."""
        trace = self.trace
        if trace is None:
            return
        mark = (trace.outline.version, self.faults is None, sum(len(lane.wrong) for lane in trace.lanes.values()))
        if mark != self._mapped:
            self._mapped = mark
            self.treeview.mark_wrong(wrong_rows(trace, MARKED) if self.faults is None else ())

    # Actions.

    def why_not(self, action: str) -> str:
        if self.trace is None and action in ("errors", "search", "raw", "follow", "next-error", "previous-error"):
            return "there is no trace yet"
        return self.why_not_search(action) or self.why_not_node(action)

    def do_errors(self) -> None:
        trace, tree = self.trace, self.treeview
        if trace is None:
            return
        cursor = tree.cursor
        if self.faults is None:
            self.faults = Faults(trace)
            tree.hold(self.faults.outline)
            tree.point(self.faults.item_of(cursor))
        else:
            self._show_all()
            data = cursor.data if cursor is not None else None
            if isinstance(data, OfFault) and data.event is not None:
                turn, key = place_of(data.event)
                self.go_to(Goal(data.who, key, turn, data.seq))
            elif cursor is not None and (there := trace.outline.find(cursor.key)) is not None:
                tree.point(there)
        self._show_map()
        self._look()
        self._heads()

    def _show_faults(self) -> None:
        """What came is an error, too."""
        if self.faults is None or self.trace is None or self.faults.grow():
            return
        cursor = self.cursor
        self.faults = Faults(self.trace)
        self.treeview.hold(self.faults.outline)
        self.treeview.point(self.faults.item_of(cursor))

    def _show_all(self) -> None:
        """What is gone to may be no error."""
        if self.faults is not None and self.trace is not None:
            self.faults = None
            self.treeview.hold(self.trace.outline)

    def do_next_error(self) -> None:
        self._to_error(1)

    def do_previous_error(self) -> None:
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
        who, seq = found
        run = trace.run

        def read() -> None:
            for event in tracing.read_events(self.studio.feed.store(), run, [seq]):
                turn, key = place_of(event)
                self.studio.call_from_thread(self.go_to, Goal(who, key, turn, seq))

        self.studio.in_thread(read, group="error")

    def do_raw(self) -> None:
        self.raw = not self.raw
        self._look()
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
        self._land()

    def _land(self) -> None:
        trace, goal = self.trace, self._goal
        lane = trace.lanes.get(goal.who) if trace and goal else None
        if trace is None or goal is None or lane is None:
            return
        tree = self.treeview
        item = trace.outline.find(goal.key)
        if item is not None:
            self._goal = None
            tree.point(item)
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
        tree.point(turn)
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
            self._land()
