"""One subagent, live: its frame, its numbers, and the end of what it says and does."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from textual import events
from textual.message import Message

from store.domain.board import Lane
from store.domain.events import SubagentChecked
from store.domain.secrets import shown_line
from store.domain.states import SubagentState
from widgets import gauge
from widgets.flow import Flow, ended, verdict
from widgets.ink import Line, Painted, Row, Span, cut, spread, width
from widgets.labels import Spots
from widgets.lanes import Need
from widgets.states import SUBAGENT, Mark, alert_span

_ROOM = 3
"""Rows from which there is room for how it ended above what came of it."""


@dataclass(frozen=True)
class View:
    """What a pane shows at one moment: plain values."""

    lane: Lane
    flow: Flow
    now: float
    selected: bool = False
    stalled: bool = False
    """No engine works on the run: what looks like running stands still."""
    marked: bool = False
    """It is one of those that the next order goes to."""
    need: Need | None = None
    """Why it needs the operator."""


def mark(view: View) -> Mark:
    """The lane's mark; without an engine nothing runs."""
    found = SUBAGENT[view.lane.state]
    if view.stalled and not view.lane.state.final:
        return Mark("⚠", "no engine", "warn")
    return found


def draw(view: View, cells: int, height: int) -> Sequence[Sequence[Span]]:
    """The pane in a room of this size: framed, framed with one line, or bare."""
    if cells < 8 or height < 2:
        return [cut([*title(view), (" ", "text"), mark(view).span], cells)]
    if height == 2:
        return _bare(view, cells)
    inner = cells - 2
    frame = "frame-selected" if view.selected else view.need.mark[1] if view.need else "frame"
    side = "┃" if view.selected else "│", frame
    rows: list[Row]
    if height == 3:
        rows = [tuple(spread([(" ", "text"), *last(view)], [*_brief(view), (" ", "text")], inner))]
    else:
        rows = [((" ", "text"), *gauge.numbers(view.lane, view.now, inner))]
        body = height - 3
        told = _verdict(view, brief=body < _ROOM)
        body -= len(told)
        flow: list[Row] = [((" ", "text"), *row) for row in view.flow.lines(inner - 2, body)]
        rows += flow + [()] * (body - len(flow)) + told
    return [
        _top(tuple(title(view)), mark(view), view.selected, cells, frame),
        *(_framed(row, side, cells) for row in rows),
        _bottom(view, cells, frame),
    ]


def _framed(row: Row, side: Span, cells: int) -> Row:
    return (side, *spread(row, [], cells - 2), side)


def title(view: View) -> Line:
    """Who it is, and what stands out about it: marked, in need of the operator, without memory."""
    lane = view.lane
    line: Line = [("● ", "accent")] if view.marked else []
    line += [(f"{view.need.mark[0]} ", view.need.mark[1])] if view.need else []
    line += [
        (lane.id.label, "accent" if view.selected else "strong"),
        (" " + _named(lane.plan.strategy.name), "strong"),
    ]
    if lane.plan.clean:
        line.append((" · clean", "warn"))
    return line


_named = lru_cache(1024)(shown_line)
"""A strategy's name stands in every frame."""


@lru_cache(1024)
def _top(name: Row, state: Mark, selected: bool, cells: int, frame: str) -> Row:
    left, right, rule = ("┏", "┓", "━") if selected else ("┌", "┐", "─")
    end: Line = [(" ", frame), state.span, (" ", frame), (rule + right, frame)]
    start: Line = [(left + rule + " ", frame), *name, (" ", frame)]
    if width(start) + width(end) > cells:
        # The glyph carries the state when there is no room for the word; the name gives way after it.
        short: Line = [(" ", frame), (state.glyph, state.ink), (" ", frame), (rule + right, frame)]
        end = short if width(start) + width(end) > cells + 8 else end
    return tuple(spread(start, end, cells, (rule, frame)))


def _bottom(view: View, cells: int, frame: str) -> Line:
    left, right, rule = ("┗", "┛", "━") if view.selected else ("└", "┘", "─")
    said = alert(view)
    if said:
        return [
            (left + rule, frame),
            *spread(cut([(" ", frame), *said, (" ", frame)], cells - 4), [], cells - 4, (rule, frame)),
            (rule + right, frame),
        ]
    return [(left + rule * (cells - 2) + right, frame)]


def alert(view: View) -> Line:
    """The last alert, or else why it needs the operator, where its state doesn't say it already."""
    lane = view.lane
    if lane.alert:
        more = f" (+{lane.alerts - 1})" if lane.alerts > 1 else ""
        return [alert_span(lane.level, shown_line(lane.alert) + more)]
    if view.need and lane.state not in (SubagentState.PAUSED, SubagentState.FAILED):
        return [(f"⚠ {shown_line(view.need.words)}", "warn")]
    return []


def _brief(view: View) -> Line:
    return [(" ", "text"), *gauge.brief(view.lane, view.now)]


def last(view: View) -> Line:
    """What it does or did last, in a line: a need and a verdict before all else."""
    lane = view.lane
    if view.need and (said := alert(view)):
        return said
    if lane.state is SubagentState.FAILED and lane.idle and lane.ended is not None:
        return [(ended(lane.ended), "bad")]
    if lane.checked:
        return [(_came_of(lane, lane.checked, brief=True), SUBAGENT[lane.state].ink)]
    if lane.tool:
        return [("› " + shown_line(lane.tool), "tool")]
    rows = view.flow.lines(200, 1)
    return [*rows[-1]] if rows else [(shown_line(lane.last), "faint")]


def _bare(view: View, cells: int) -> list[Line]:
    pointer: Span = ("▌", "frame-selected") if view.selected else (" ", "text")
    # A gap at the right parts it from its neighbour, for it has no frame.
    return [
        spread([pointer, *title(view)], [mark(view).span], cells - 2),
        spread([pointer, (" ", "text"), *last(view)], _brief(view), cells - 2),
    ]


def _verdict(view: View, *, brief: bool) -> list[Row]:
    lane = view.lane
    if lane.checked is not None:
        state = SUBAGENT[lane.state]
        return [((f" {state.glyph} {_came_of(lane, lane.checked, brief=brief)}", state.ink),)]
    if lane.state is SubagentState.CHECKING:
        return [((" ◐ the harness checks the patch in a clean sandbox", "accent"),)]
    return []


def _came_of(lane: Lane, checked: SubagentChecked, *, brief: bool) -> str:
    """What came of it in a line. Where there is no other, why it could not work says more than that it did nothing."""
    if brief and lane.state is SubagentState.FAILED and checked.result is None and lane.ended is not None:
        return ended(lane.ended)
    return verdict(checked)


def seen(view: View) -> tuple[object, ...]:
    """All that a reader could see change."""
    lane = view.lane
    # A running clock changes a pane once a second at most.
    return (
        id(lane), id(view.flow), view.flow.version, view.selected, view.stalled, view.marked, view.need, lane.state,
        lane.turn, lane.spend, lane.limits, lane.alerts, lane.level, lane.tool, lane.last, lane.checked,
        int(lane.work.read(view.now)),
    )  # fmt: skip


class Pane(Painted):
    """The widget. It keeps its size and is drawn anew only when `show` brings something new."""

    class Selected(Message):
        """The operator pointed at a pane, once or `twice`."""

        def __init__(self, lane: int, *, twice: bool = False) -> None:
            super().__init__()
            self.lane, self.twice = lane, twice

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
        self.view: View | None = None
        self.drawn = 0
        """How often it was laid out anew."""
        self._seen: tuple[object, ...] = ()

    def show(self, view: View) -> None:
        """Take the moment's values; redraw only what a reader would see change."""
        values = seen(view)
        self.view = view
        if values != self._seen:
            self._seen = values
            self.repaint()

    def lines(self, cells: int, height: int) -> Iterable[Sequence[Span]]:
        self.drawn += 1
        return draw(self.view, cells, height) if self.view else ()

    def click_spots(self) -> Spots:
        """For the jump mode: its state is read, so its label stands on its frame."""
        return [(0, 0)]

    def on_click(self, event: events.Click) -> None:
        event.stop()
        self.post_message(self.Selected(self.number, twice=event.chain > 1))
