"""Two tapes side by side, from where they part."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.screen import ModalScreen

from app import actions, alignment, nodes, tracing
from app.alignment import Alignment, Kind, Pair, Step
from app.screens.going import Goal
from app.spots import OfTurn
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
        Binding("tab", "do('other-tape')", "Another tape", priority=True),
        Binding("shift+tab", "do('previous-tape')", "The tape before", priority=True),
    ]
    CSS: ClassVar[str] = """
    SideScreen { align: left top; background: $background; }
    SideScreen SideBySide { height: 1fr; background: $background; scrollbar-size-vertical: 1; overflow-x: hidden; }
    SideScreen #both { height: 1fr; border-top: solid $frame; }
    SideScreen #both DocView { width: 1fr; }
    SideScreen #one { border-right: solid $frame; padding-right: 1; }
    """

    def __init__(self, board: Board, left: SubagentId, others: Sequence[SubagentId]) -> None:
        super().__init__()
        self.board, self.left = board, left
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
            yield DocView(id="one")
            yield DocView(id="other")
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
        self._read()

    def _read(self) -> None:
        left, right = self.left, self.right

        def read() -> None:
            store = self.studio.feed.store()
            ours = alignment.steps(tracing.read_tape(store, left))
            theirs = alignment.steps(tracing.read_tape(store, right))
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
        left, right = (
            [] if at is None else _step(steps[at])
            for steps, at in zip(self._steps, (pair.left, pair.right), strict=True)
        )
        return Row(left, right, MARKS[pair.kind])

    def _pair(self) -> Pair | None:
        """The pair under the cursor."""
        rows, cursor = self.rows, self.query_one(SideBySide).cursor
        if rows is None or not rows.pairs:
            return None
        at = cursor - (rows.parts is not None and cursor > rows.parts)
        return rows.pairs[min(at, len(rows.pairs) - 1)]

    def _turns(self) -> tuple[OfTurn | None, OfTurn | None]:
        pair = self._pair()
        if pair is None:
            return None, None
        left, right = (
            None if at is None else OfTurn(who, steps[at].turn, list(steps[at].calls), seq=steps[at].seq)
            for who, steps, at in zip((self.left, self.right), self._steps, (pair.left, pair.right), strict=True)
        )
        return left, right

    @on(SideBySide.Pointed)
    def _pointed(self) -> None:
        turns, row, board = self._turns(), self.query_one(SideBySide).cursor, self.board

        def read() -> None:
            store = self.studio.feed.store()
            left, right = (nodes.describe(store, board, turn) if turn is not None else [] for turn in turns)
            self.post_message(Sides(row, left, right))

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
        left, right = self._turns()
        turn = left or right
        self.dismiss(None if turn is None else Goal(turn.who, "", turn.turn, turn.seq or None))

    def do_leave_side(self) -> None:
        self.dismiss(None)

    def on_key_bar_pressed(self, message: KeyBar.Pressed) -> None:
        message.stop()
        self.action_do(message.action)


def _step(step: Step) -> Line:
    line: Line = [(f" turn {step.turn} ", "faint")]
    for number, tool in enumerate(step.tools):
        line.append((f"{' · ' if number else ' '}{named(tool.name, tool.summary)}", "tool"))
        if tool.wrong:
            line.append((f" ✗ {shown_line(tool.result, 40)}", "bad"))
    if step.error:
        line.append((f" ✗ {shown_line(step.error, 60)}", "bad"))
    elif not step.tools:
        line.append((" says only", "faint"))
    return line
