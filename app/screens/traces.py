"""Traces: the tape of a run as a tree, and beside it the node under the cursor."""

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import Input

from app import nodes
from app.finding import Place, find
from app.screens.base import StudioScreen, bindings
from app.trace import OfBlock, OfEvent, OfGeneration, OfLane, OfResult, OfRun, OfTool, OfTry, OfTurn, Shown, Trace
from store.domain.blocks import Block
from store.domain.ids import SubagentId
from store.domain.secrets import shown_line
from widgets.bars import Bar
from widgets.docview import DocView
from widgets.ink import Line
from widgets.outline import Item
from widgets.tracetree import TraceTree


class Filled(Message):
    """The words of a turn have been read."""

    def __init__(self, run: str, turn: str, said: Sequence[tuple[str, Sequence[Block]]]) -> None:
        super().__init__()
        self.run, self.turn, self.said = run, turn, said


class Painted(Message):
    """A node has been painted; `key` names it."""

    def __init__(self, key: tuple[str, bool], lines: list[Line]) -> None:
        super().__init__()
        self.key, self.lines = key, lines


class Found(Message):
    """What a search found: places, in the order of the tape."""

    def __init__(self, query: str, hits: list[Place]) -> None:
        super().__init__()
        self.query, self.hits = query, hits


class TracesScreen(StudioScreen):
    """The tree is folded from events; words, results and requests are read when they are looked at."""

    NAME: ClassVar[str] = "traces"
    BINDINGS: ClassVar[list[BindingType]] = bindings("traces")

    def __init__(self) -> None:
        super().__init__()
        self.trace: Trace | None = None
        self.raw = False
        self.errors_only = False
        self._asked: set[str] = set()
        self._hits: list[Place] = []
        self._hit = -1
        self._query = ""
        self._landing = False

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
        self.query_one(TraceTree).focus()

    def update(self) -> None:
        world, track = self.world, self.track
        self.set_class(track is None or not world.flowed, "empty")
        if track is None or not world.flowed:
            said = "Reading the tapes …" if track else "No run to show. 1 lists the runs; multitrack demo makes one."
            self.query_one("#empty", DocView).show([[(said, "faint")]], said)
            return
        tree = self.query_one(TraceTree)
        if self.trace is None or self.trace.run != track.id:
            self.trace = Trace(track.id, track.title)
            self._hits, self._hit, self._asked = [], -1, set()
            self.trace.apply(world.past)
            tree.hold(self.trace.outline)
            self._filter()
            self._look()
        elif len(world.past) > self.trace.taken:
            self._grow(lambda trace: trace.apply(world.past[trace.taken :]))
        if world.pointed is not None:
            self._point_at(world.pointed)
            world.pointed = None
        self._want()
        self._heads()

    def banner(self) -> Line:
        return []

    def _grow(self, change: Callable[[Trace], None]) -> None:
        """Change the outline, and leave the first row in sight where it is."""
        trace, tree = self.trace, self.query_one(TraceTree)
        if trace is None:
            return
        top, before = tree.top(), tree.scroll_offset.y
        change(trace)
        if self.errors_only:
            trace.outline.rebuild()
        row = trace.outline.row(top) if top is not None else None
        tree.grown(above=row - before if row is not None and before else 0)
        if tree.cursor is not None and isinstance(tree.cursor.data, OfTool) and tree.cursor.data.finished:
            self._look()

    def _want(self) -> None:
        """Read the words of the turns that are open."""
        trace = self.trace
        if trace is None:
            return
        for item in trace.wanted():
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
        trace = self.trace
        item = trace.outline.find(message.turn) if trace and trace.run == message.run else None
        if trace is not None and item is not None:
            self._grow(lambda trace: trace.fill(item, message.said))
            if self._landing:
                self._go_to_hit()

    # The node beside the tree.

    @on(TraceTree.Pointed)
    def _pointed(self) -> None:
        self._look()
        self._heads()

    @on(TraceTree.Unfolded)
    def _unfolded(self) -> None:
        self._want()

    def _look(self) -> None:
        """Paint the node under the cursor, in a thread."""
        tree, track = self.query_one(TraceTree), self.track
        item = tree.cursor
        if item is None or track is None:
            return
        shown, raw, board = _shown(item), self.raw, track.board
        key = (item.key, raw)

        def read() -> None:
            self.post_message(Painted(key, nodes.describe(self.studio.feed.store(), board, shown, raw=raw)))

        self.studio.in_thread(read, group="node")

    @on(Painted)
    def _painted(self, message: Painted) -> None:
        cursor = self.query_one(TraceTree).cursor
        if cursor is not None and message.key == (cursor.key, self.raw):
            self.query_one("#node", DocView).show(message.lines, (self.studio.run_name, *message.key))

    def _heads(self) -> None:
        trace, cursor = self.trace, self.query_one(TraceTree).cursor
        if trace is None:
            return
        errors = trace.outline.roots[0].bad
        left: Line = [(" errors only" if self.errors_only else " trace", "strong")]
        if self._query:
            place = f"{self._hit + 1} of {len(self._hits)}" if self._hits else "nothing"
            left.append((f"  / {shown_line(self._query, 24)}: {place}", "warn"))
        self.query_one("#tree-head", Bar).show(left, [(f"✗{errors} " if errors else "", "bad")])
        right: Line = [(_path(cursor), "strong")] if cursor is not None else []
        self.query_one("#node-head", Bar).show(right, [("raw " if self.raw else "", "warn")])

    # Actions.

    def why_not(self, action: str) -> str:
        if self.trace is None and action in ("errors", "search", "raw", "follow"):
            return "there is no trace yet"
        if action in ("next-hit", "previous-hit") and not self._hits:
            return "nothing was searched for; / searches" if not self._query else "nothing was found"
        return ""

    def do_errors(self) -> None:
        self.errors_only = not self.errors_only
        self._filter()
        self._heads()

    def _filter(self) -> None:
        trace, tree = self.trace, self.query_one(TraceTree)
        if trace is None:
            return
        if self.errors_only:
            stack = list(trace.outline.roots)
            while stack:
                item = stack.pop()
                if item.bad and not item.leaf:
                    item.open = True
                    stack += item.children
        trace.outline.only((lambda item: item.bad > 0 or item.depth == 0) if self.errors_only else None)
        cursor = tree.cursor
        while cursor is not None and trace.outline.row(cursor) is None:
            cursor = cursor.parent
        tree.grown()
        if cursor is not None:
            tree.point(cursor)

    def _show_all(self) -> None:
        """What is gone to may be no error."""
        if self.errors_only:
            self.errors_only = False
            self._filter()
            self._heads()

    def do_raw(self) -> None:
        self.raw = not self.raw
        self._look()
        self._heads()

    def do_follow(self) -> None:
        trace, tree = self.trace, self.query_one(TraceTree)
        if trace is None:
            return
        lane = tree.cursor
        while lane is not None and not isinstance(lane.data, OfLane):
            lane = lane.parent
        newest = trace.newest(lane) or trace.newest()
        if newest is not None:
            self._show_all()
            trace.outline.reveal(newest)
            trace.outline.open(newest)
            tree.grown()
            tree.point(newest)
            self._want()

    def _point_at(self, who: SubagentId) -> None:
        trace, tree = self.trace, self.query_one(TraceTree)
        lane = trace.lane(who) if trace else None
        if trace is not None and lane is not None:
            self._show_all()
            trace.outline.reveal(lane)
            trace.outline.open(lane)
            tree.grown()
            tree.point(lane)
            tree.focus()

    # Search.

    def do_search(self) -> None:
        field = self.query_one(Input)
        field.add_class("on")
        field.value = ""
        field.focus()

    def on_key(self, event: events.Key) -> None:
        if event.key == "escape" and self.query_one(Input).has_class("on"):
            self._leave_search()

    def _leave_search(self) -> None:
        self.query_one(Input).remove_class("on")
        self.query_one(TraceTree).focus()

    @on(Input.Submitted)
    def _search(self, message: Input.Submitted) -> None:
        message.stop()
        self._leave_search()
        query, run = message.value.strip(), self.studio.run_name
        self._query, self._hits, self._hit = query, [], -1
        self.query_one(TraceTree).mark_hits(frozenset())
        if not query:
            self._heads()
            return

        def read() -> None:
            self.post_message(Found(query, find(self.studio.feed.store(), query, run or "")))

        self.studio.in_thread(read, group="search")

    @on(Found)
    def _found(self, message: Found) -> None:
        if message.query != self._query:
            return
        self._hits = message.hits
        self.query_one(TraceTree).mark_hits(frozenset(key for _, _, key in message.hits))
        self.show_keys()
        if self._hits:
            self._step(1)
        else:
            self.studio.say(f"Nothing in this run has “{shown_line(self._query, 60)}”.", "warning")
            self._heads()

    def do_next_hit(self) -> None:
        self._step(1)

    def do_previous_hit(self) -> None:
        self._step(-1)

    def _step(self, by: int) -> None:
        self._hit = (self._hit + by) % len(self._hits) if self._hit >= 0 or by > 0 else len(self._hits) - 1
        self._go_to_hit()
        self._heads()

    def _go_to_hit(self) -> None:
        """Show the hit: its own node when it is there, else its turn, whose words are then read."""
        trace, tree = self.trace, self.query_one(TraceTree)
        who, turn, key = self._hits[self._hit]
        if trace is None:
            return
        self._show_all()
        item = trace.outline.find(key) or trace.turn(who, turn) or trace.lane(who)
        if item is None:
            return
        trace.outline.reveal(item)
        if isinstance(item.data, OfTurn):
            trace.outline.open(item)
        tree.grown()
        tree.point(item)
        # A node that is not there yet is gone to as soon as its turn has been read.
        self._landing = item.key != key and not item.loaded
        self._want()


def _shown(item: Item) -> Shown:
    data = item.data
    assert isinstance(data, OfRun | OfGeneration | OfLane | OfTurn | OfTry | OfBlock | OfTool | OfResult | OfEvent)
    return data


def _path(item: Item) -> str:
    """Where a node is, in words."""
    match item.data:
        case OfRun():
            return f"run {item.data.run}"
        case OfGeneration():
            return f"generation {item.data.number}"
        case OfLane():
            return f"subagent {item.data.who.label}"
        case OfTurn():
            return f"{item.data.who.label} · turn {item.data.turn}"
        case OfTry():
            return f"{item.data.who.label} · turn {item.data.turn} · a route’s try"
        case OfTool():
            return f"{item.data.who.label} · turn {item.data.turn.turn} · {shown_line(item.data.started.name)}"
        case OfResult():
            tool = item.data.tool
            return f"{tool.who.label} · turn {tool.turn.turn} · {shown_line(tool.started.name)} · result"
        case OfBlock():
            return f"{item.data.who.label} · turn {item.data.turn} · {item.data.kind.value.replace('_', ' ')}"
        case OfEvent():
            return item.data.event.payload.kind
    return ""
