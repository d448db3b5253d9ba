"""The line above the panes: who needs the operator, and what the grid shows. Pure."""

from collections import Counter
from collections.abc import Collection, Mapping

from app import actions
from store.domain.secrets import shown_line
from store.domain.states import SubagentState
from widgets import gauge
from widgets.ink import Line, width
from widgets.lanes import Order, Seat, Sort, needing
from widgets.layout import Mode
from widgets.pane import View, mark
from widgets.states import SUBAGENT


def key(action: str) -> str:
    """The key of an action, as people write it."""
    return actions.key(action)


def strip(
    seats: Mapping[int, Seat], order: Order, marked: Collection[int], mode: Mode, cells: int
) -> tuple[Line, Line]:
    """Its left and its right side. It is always there: a line that came and went would move what is read."""
    right: Line = []
    if marked:
        right.append((f"● {len(marked)} marked  ", "accent"))
    if order.filter.text:
        right += [
            (f"{len(order.lanes)} of {len(seats)} ", "text"),
            (shown_line(order.filter.text, 30) + "  ", "accent"),
        ]
    if order.stale(seats):
        right += [(key("renew"), "key"), (" renew  ", "text")]
    if cells >= 100 or order.sort is not Sort.NEED:
        right.append((f"by {order.sort.value} ", "faint"))
    if mode is not Mode.AUTO:
        right.append((f"· {mode.value} ", "faint"))
    return _left(seats, cells - width(right) - 2), right


def _left(seats: Mapping[int, Seat], cells: int) -> Line:
    needed = needing(seats.values())
    if not needed:
        return _counts(seats)
    line: Line = [(f" ⚠ {len(needed)} need{'s' if len(needed) == 1 else ''} you", "banner")]
    line += [("  ", "text"), (key("attend"), "key"), (" go ", "text")]
    for seat, need in needed:
        room = cells - width(line)
        if room < 16:
            break
        said = shown_line(need.words, min(room - 10, 36))
        line += [(f"  {seat.lane.id.label}", "strong"), (f" {said}", need.mark[1])]
    return line


def _counts(seats: Mapping[int, Seat]) -> Line:
    stalled = any(seat.stalled for seat in seats.values())
    counted = Counter(seat.lane.state for seat in seats.values())
    line: Line = []
    for state in SubagentState:
        if counted[state]:
            shown = SUBAGENT[state]
            glyph, ink = ("⚠", "warn") if stalled and not state.final else (shown.glyph, shown.ink)
            line.append((f" {glyph} {counted[state]} {shown.word} ", ink))
    return line


def zoomed(view: View, cells: int, *, following: bool, below: int, ready: bool) -> tuple[Line, Line]:
    """The same line over a whole tape."""
    lane = view.lane
    left: Line = [(f" {lane.id.label} ", "accent"), (shown_line(lane.plan.strategy.name, 30), "strong")]
    left += [(" · clean", "warn")] if lane.plan.clean else []
    left += [("  ", "text"), mark(view).span]
    if cells >= 76:
        left += [("  ", "text"), *gauge.numbers(lane, view.now, max(cells - width(left) - 30, 0))]
    if not ready:
        return left, [("reading the tape … ", "faint")]
    if following:
        return left, [("follows " if not lane.state.final else "the end ", "faint")]
    return left, [(f"{below} rows below  ", "banner"), ("end", "key"), (" follow ", "text")]
