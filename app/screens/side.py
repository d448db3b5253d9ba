"""Two tapes side by side, from where they part."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.screen import ModalScreen

from app import actions, alignment, beside
from app.alignment import Alignment, Kind, Pair, Step
from app.screens.going import Goal
from store.domain.board import Board
from store.domain.ids import SubagentId
from store.domain.secrets import shown_line
from widgets import words
from widgets.bars import Bar, KeyBar
from widgets.docview import DocView
from widgets.flow import named
from widgets.ink import Line
from widgets.sidebyside import Row, SideBySide
from widgets.states import SUBAGENT

if TYPE_CHECKING:
    from app.studio import Studio

MARKS = {
    Kind.SAME: ("=", "faint"),
    Kind.RESULT: ("~", "warn"),
    Kind.OTHER: ("!", "bad"),
    Kind.LEFT: ("<", "removed"),
    Kind.RIGHT: (">", "added"),
}


class Aligned(Message):
    """Both tapes have been read."""

    def __init__(self, left: Sequence[Step], right: Sequence[Step], rows: Alignment) -> None:
        super().__init__()
        self.left, self.right, self.rows = left, right, rows


class Sides(Message):
    """Both turns of a row have been painted."""

    def __init__(self, row: int, left: list[Line], right: list[Line]) -> None:
        super().__init__()
        self.row, self.left, self.right = row, left, right


class SideScreen(ModalScreen[Goal]):
    """Ends with the place to go to in the trace, or with nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            # First of all: `enter` and letters are theirs here, whatever is focused.
            Binding(",".join(action.keys), f"do('{action.id}')", action.title, priority=True, id=action.id)
            for action in actions.ACTIONS
            if actions.SIDE in action.where
        ),
        Binding("tab", "app.focus_next", "The next part", show=False),
        Binding("shift+tab", "app.focus_previous", "The part before", show=False),
    ]
    CSS: ClassVar[str] = """
    SideScreen { align: left top; background: $background; }
    SideScreen SideBySide { height: 1fr; background: $background; scrollbar-size-vertical: 1; overflow-x: hidden; }
    SideScreen #both { height: 1fr; }
    SideScreen #both Vertical { width: 1fr; }
    SideScreen #both DocView { height: 1fr; padding-left: 1; }
    SideScreen #left { border-right: solid $frame; }
    """

    def __init__(
        self,
        board: Board,
        left: SubagentId,
        others: Sequence[SubagentId],
        until: int | None = None,
        now: float = math.inf,
    ) -> None:
        """`until` and `now` are the last event and the time that a playback has come to."""
        super().__init__()
        self.board, self.left = board, left
        self._until, self._now = until, now
        self.others = list(others)
        self.at = 0
        self._steps: tuple[Sequence[Step], Sequence[Step]] = (), ()
        self.rows: Alignment | None = None

    @property
    def studio(self) -> "Studio":
        return cast("Studio", self.app)

    @property
    def right(self) -> SubagentId:
        return self.others[self.at]

    def compose(self) -> ComposeResult:
        yield Bar(id="side-head", classes="head")
        yield Bar(id="side-told", classes="head")
        yield SideBySide(id="sides")
        with Horizontal(id="both"):
            for side, view in (("left", "one"), ("right", "other")):
                with Vertical(id=side):
                    yield Bar(id=f"{view}-head", classes="head")
                    yield DocView(id=view)
        yield KeyBar()

    def on_mount(self) -> None:
        self.query_one(KeyBar).show(
            [
                (action.id, actions.key_name(action.keys[0]), action.title)
                for action in actions.on(actions.SIDE)
                if action.footer
            ]
        )
        self.query_one(SideBySide).focus()
        one, other = self.query_one("#one", DocView), self.query_one("#other", DocView)
        self.watch(one, "scroll_y", lambda y: self._together(one, other, y), init=False)
        self.watch(other, "scroll_y", lambda y: self._together(other, one, y), init=False)
        self._read()

    def _together(self, moved: DocView, other: DocView, y: float) -> None:
        """Both turns are read together: what the reader moves takes the other along."""
        if moved.has_focus or moved.mouse_hover:
            other.scroll_to(y=y, animate=False)

    def _read(self) -> None:
        left, right, until = self.left, self.right, self._until

        def read() -> None:
            store = self.studio.feed.store()
            ours, theirs = beside.read(store, left, right, until)
            self.post_message(Aligned(ours, theirs, alignment.align(ours, theirs)))

        self._head()
        self.studio.in_thread(read, group="side")

    def _head(self) -> None:
        half = max(self.app.size.width // 2, 20)
        ours, theirs = (self._lane(who) for who in (self.left, self.right))
        left = "".join(text for text, _ in ours)
        self.query_one("#side-head", Bar).show([*ours, (" " * max(half - len(left), 2), "text"), *theirs])

    def _lane(self, who: SubagentId) -> Line:
        lane = self.board.lane(who)
        if lane is None:
            return [(f" {who.label}", "strong")]
        mark = SUBAGENT[lane.state]
        turns = words.count(lane.turn, "turn")
        return [
            (f" {who.label} ", "strong"),
            (shown_line(lane.plan.strategy.name, 20), "text"),
            (" · clean" if lane.plan.clean else "", "warn"),
            (f"  {mark.glyph} {mark.word}", mark.ink),
            (f"  {turns} {words.money(lane.spend)}", "faint"),
        ]

    @on(Aligned)
    def _aligned(self, message: Aligned) -> None:
        self._steps, self.rows = (message.left, message.right), message.rows
        rows = message.rows
        lines = [self._row(pair) for pair in rows.pairs]
        if rows.parts is not None:
            lines.insert(rows.parts, Row([], [], rule=self._parting(rows)))
        counts = rows.counts
        told: Line = [
            (f" {counts[Kind.SAME]} the same", "faint"),
            (f" · {counts[Kind.RESULT]} with another result", "warn"),
        ]
        told.append((f" · {counts[Kind.OTHER] + counts[Kind.LEFT] + counts[Kind.RIGHT]} other", "bad"))
        self.query_one("#side-told", Bar).show(told)
        self.query_one(SideBySide).show(lines, 0 if rows.parts is None else rows.parts + 1)

    def _parting(self, rows: Alignment) -> str:
        assert rows.parts is not None
        pair = rows.pairs[rows.parts]
        ours, theirs = (
            None if at is None else steps[at].turn
            for steps, at in zip(self._steps, (pair.left, pair.right), strict=True)
        )
        if ours is None or theirs is None:
            return f"{(self.left if theirs is None else self.right).label} goes on alone"
        return "they part here" if rows.parts else "they part from the beginning"

    def _row(self, pair: Pair) -> Row:
        left, right = self._both(pair)
        same = alignment.shared(left, right) if left is not None and right is not None else frozenset()
        # Of two turns that are the same nothing would be left.
        hidden = same if pair.kind is Kind.OTHER else frozenset()
        (one, came), (other, other_came) = (
            ([], []) if step is None else (_step(step, hidden), _came(step, same, told=pair.kind is Kind.RESULT))
            for step in (left, right)
        )
        return Row(one, other, MARKS[pair.kind], left_came=came, right_came=other_came)

    def _both(self, pair: Pair) -> tuple[Step | None, Step | None]:
        left, right = (
            None if at is None else steps[at] for steps, at in zip(self._steps, (pair.left, pair.right), strict=True)
        )
        return left, right

    def _pair(self) -> Pair | None:
        """The pair under the cursor."""
        rows, cursor = self.rows, self.query_one(SideBySide).cursor
        if rows is None or not rows.pairs:
            return None
        at = cursor - (rows.parts is not None and cursor > rows.parts)
        return rows.pairs[min(at, len(rows.pairs) - 1)]

    @on(SideBySide.Pointed)
    def _pointed(self) -> None:
        pair, row, now = self._pair(), self.query_one(SideBySide).cursor, self._now
        left, right = self._both(pair) if pair is not None else (None, None)
        for view, who, step in (("one", self.left, left), ("other", self.right, right)):
            said: Line = [(f" {who.label}", "strong"), (f" turn {step.turn}" if step else " has none here", "faint")]
            self.query_one(f"#{view}-head", Bar).show(said)

        def read() -> None:
            self.post_message(Sides(row, *beside.turns(self.studio.feed.store(), left, right, now)))

        self.studio.in_thread(read, group="sides")

    @on(Sides)
    def _painted(self, message: Sides) -> None:
        if message.row == self.query_one(SideBySide).cursor:
            for name, lines in (("#one", message.left), ("#other", message.right)):
                self.query_one(name, DocView).show(lines, (name, self.right, message.row))

    def action_do(self, action: str) -> None:
        """Carry out an action of the registry."""
        getattr(self, f"do_{action.replace('-', '_')}")()

    def do_next_difference(self) -> None:
        self._differ(1)

    def do_previous_difference(self) -> None:
        self._differ(-1)

    def _differ(self, by: int) -> None:
        if self.rows is None:
            return
        view = self.query_one(SideBySide)
        at = view.cursor - (self.rows.parts is not None and view.cursor > self.rows.parts)
        found = self.rows.next(at, by)
        if found is not None:
            view.point(found + (self.rows.parts is not None and found >= self.rows.parts))

    def do_parting(self) -> None:
        if self.rows is not None and self.rows.parts is not None:
            self.query_one(SideBySide).point(self.rows.parts + 1)

    def do_other_tape(self) -> None:
        self._take(1)

    def do_previous_tape(self) -> None:
        self._take(-1)

    def _take(self, by: int) -> None:
        self.at = (self.at + by) % len(self.others)
        self._read()

    def do_swap(self) -> None:
        self.left, self.others[self.at] = self.right, self.left
        self._read()

    def do_go_turn(self) -> None:
        pair = self._pair()
        left, right = self._both(pair) if pair is not None else (None, None)
        step = left or right
        who = self.left if left is not None else self.right
        self.dismiss(None if step is None else Goal(who, "", step.turn, step.seq or None))

    def do_leave_side(self) -> None:
        self.dismiss(None)

    def on_key_bar_pressed(self, message: KeyBar.Pressed) -> None:
        message.stop()
        self.action_do(message.action)


def _step(step: Step, hidden: frozenset[tuple[object, ...]]) -> Line:
    """A turn in a line: what it has in common with the other one is counted, for what differs is looked for."""
    line: Line = [(f" turn {step.turn} ", "faint")]
    left = [tool for tool in step.tools if not alignment.is_shared(tool, hidden)]
    if more := len(step.tools) - len(left):
        line.append((f" {more} the same{' ·' if left else ''}", "faint"))
    for number, tool in enumerate(left):
        line.append((f"{' · ' if number else ' '}{named(tool.name, tool.summary)}", "bad" if tool.wrong else "tool"))
    if not step.tools and not step.error:
        line.append((" says only", "faint"))
    return line


def _came(step: Step, same: frozenset[tuple[object, ...]], *, told: bool) -> Line:
    """What came of it, where that went wrong, or differs: `told` says that it does."""
    if step.error:
        return [(f" ✗ {shown_line(step.error, 60)}", "bad")]
    wrong = [tool for tool in step.tools if tool.wrong]
    other = [tool for tool in step.tools if told and tool.wrong is not None and not alignment.is_shared(tool, same)]
    for tool in [*wrong, *other]:
        mark = ("✗", "bad") if tool.wrong else ("✔", "good")
        return [(f" {mark[0]} {shown_line(tool.result, 40)}", mark[1])]
    return []
