"""How the Traces screen reads: what a trace begins with, then what is looked at, and what happens meanwhile."""

import math

from textual import on

from app import nodes, saying, tracing
from app.faults import Faults
from app.screens.base import StudioScreen
from app.screens.going import Goal, goal_of
from app.screens.traced import Caught, Filled, News, Opened, Placed, Scanned, Turned, Worded
from app.spots import OfFault, OfTool, OfTurn
from app.trace import PAGE, Lane, Trace
from app.turning import label, speechless
from app.world import Track
from store.domain.events import Event
from widgets.outline import Item
from widgets.tracetree import TraceTree

LEAP = 50_000
"""Events from which on a trace is opened anew, rather than told what happened meanwhile."""


class Windowing(StudioScreen):
    """Reads in threads, which post what they found; what came for another trace is left."""

    def __init__(self) -> None:
        super().__init__()
        self.trace: Trace | None = None
        self.faults: Faults | None = None
        """What is shown in place of the whole trace, when it is errors only."""
        self._opening: str | None = None
        self._asked: set[object] = set()
        self._back: object = None
        self._news = self._gists = False

    @property
    def treeview(self) -> TraceTree:
        return self.query_one(TraceTree)

    @property
    def cursor(self) -> Item | None:
        return self.treeview.cursor

    def look(self) -> None:
        """Show the node under the cursor."""

    def land(self) -> None:
        """Go on to where the cursor is to go."""

    def go_to(self, goal: Goal) -> None:
        """Bring the cursor there."""

    def show_map(self) -> None:
        """Show where the errors are."""

    def opened(self) -> None:
        """It is another trace."""

    # Opening, and going on.

    def _open(self, track: Track) -> None:
        if self._opening == track.id:
            return
        self._opening = run = track.id
        title, until = track.title, self._until(track)

        def read() -> None:
            self.post_message(Opened(tracing.open_run(self.studio.feed.store(), run, title, until)))

        self.studio.in_thread(read, group="trace")

    def _until(self, track: Track) -> int | None:
        """The last event that a playback has come to; None when all that is recorded counts."""
        return None if self.studio.playback is None else max(self.world.flowed, track.board.seq)

    def _again(self, track: Track) -> None:
        """Open the same run as it is now, and stand there again."""
        self._back = self.cursor.data if self.cursor is not None else None
        self._opening = None
        self._open(track)

    @on(Opened)
    def _opened(self, message: Opened) -> None:
        opening, track = message.opening, self.track
        if track is None or opening.run != track.id:
            return
        self._opening = None
        self.trace, self.faults = Trace(opening.run, opening.title, opening), None
        self._asked, self._news, self._gists = set(), False, False
        # First: what is done now may point at an item in it.
        self.treeview.hold(self.trace.outline)
        self.opened()
        back, self._back = self._back, None
        if back is not None and (goal := goal_of(back)) is not None:
            self.go_to(goal)
        self.look()
        self._scan(opening.run, opening.until)
        self.update()

    def _scan(self, run: str, until: int) -> None:
        def read() -> None:
            found: list[Event] = []
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
            self.show_map()
            self.treeview.refresh()

    def _catch_up(self, track: Track, trace: Trace) -> None:
        newest, until = max(self.world.flowed, track.board.seq), self._until(track)
        if (until is not None and until < trace.seq) or newest - trace.seq > LEAP:
            self._again(track)
        if newest <= trace.seq or self._news or self._opening:
            return
        self._news, run, after = True, track.id, trace.seq

        def read() -> None:
            self.post_message(News(run, tracing.read_news(self.studio.feed.store(), run, after, until)))

        self.studio.in_thread(read, group="news")

    @on(News)
    def _heard(self, message: News) -> None:
        trace, tree = self.trace, self.treeview
        if trace is None or trace.run != message.run:
            return
        self._news = False
        looked_at = tree.looked_at()
        trace.apply(message.events)
        self._show_faults()
        tree.grown(above=tree.moved(looked_at))
        cursor = tree.cursor
        if cursor is not None and isinstance(cursor.data, OfTool) and cursor.data.finished:
            self.look()
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
            self.post_message(Caught(run, tracing.read_faults(self.studio.feed.store(), run, seqs)))

        self.studio.in_thread(read, group="faults")

    @on(Caught)
    def _caught(self, message: Caught) -> None:
        if self.faults is not None and self.trace is not None and self.trace.run == message.run:
            self.faults.take(message.events)
            self.treeview.refresh()
            self.look()

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
            self.show_map()
            self.land()

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
            self.look()
        self.land()

    @property
    def until_when(self) -> float:
        """What comes later in a playback is on the tape already, and not to be told. In Unix seconds."""
        return self.studio.now() if self.studio.playback is not None else math.inf

    def _want(self) -> None:
        """Read the words of the turns that are open."""
        for item in self.trace.wanted() if self.trace else ():
            data = item.data
            mark = f"{item.key} {len(data.calls)}" if isinstance(data, OfTurn) else ""
            if isinstance(data, OfTurn) and data.calls and mark not in self._asked:
                self._read(item, data)
        self._want_gists()

    def _want_gists(self) -> None:
        """Read how turns begin that asked for no tool: their lines say it."""
        trace = self.trace
        turns = speechless(trace.turns())[:PAGE] if trace is not None and not self._gists else []
        if trace is None or not turns:
            return
        self._gists, run, now = True, trace.run, self.until_when
        asked = [(turn.key, list(turn.data.calls)) for turn in turns if isinstance(turn.data, OfTurn)]

        def read() -> None:
            self.post_message(Worded(run, saying.gists(self.studio.feed.store(), asked, now)))

        self.studio.in_thread(read, group="gists")

    @on(Worded)
    def _worded(self, message: Worded) -> None:
        trace = self.trace
        if trace is None or trace.run != message.run:
            return
        self._gists = False
        for key, says in message.says.items():
            turn = trace.outline.find(key)
            if turn is not None and isinstance(turn.data, OfTurn):
                turn.data.says = says
                label(turn)
        self.treeview.refresh()
        self._want_gists()

    def _read(self, item: Item, data: OfTurn) -> None:
        run, key, now = data.who.run, item.key, self.until_when

        def read() -> None:
            store = self.studio.feed.store()
            self.post_message(Filled(run, key, nodes.said(store, data, now), nodes.told(store, data)))

        self.studio.in_thread(read, group="turns", exclusive=False)
        if data.usage.total:
            self._asked.add(f"{key} {len(data.calls)}")

    @on(Filled)
    def _filled(self, message: Filled) -> None:
        trace, tree = self.trace, self.treeview
        item = trace.outline.find(message.turn) if trace and trace.run == message.run else None
        if trace is None or item is None:
            return
        looked_at = tree.looked_at()
        trace.fill(item, message.said, message.told)
        tree.grown(above=tree.moved(looked_at))
        self._asked.discard(f"{item.key} {len(item.data.calls) if isinstance(item.data, OfTurn) else 0}")
        if item is self.cursor:
            self.look()
        self.land()

    def _show_faults(self) -> None:
        """What came is an error, too."""
        if self.faults is None or self.trace is None or self.faults.grow():
            return
        cursor = self.cursor
        self.faults = Faults(self.trace)
        self.treeview.hold(self.faults.outline, figures=False)
        self.treeview.point(self.faults.item_of(cursor))
