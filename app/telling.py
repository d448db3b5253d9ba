"""What a trace is read in, and the lines of its subagents."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from store.domain.events import Event, SubagentRestarted
from store.domain.ids import OBSERVER, SubagentId
from store.domain.secrets import shown_line
from store.domain.states import SubagentState
from store.domain.strategy import LanePlan, Strategy
from widgets.ink import Line, Span
from widgets.outline import Item
from widgets.states import SUBAGENT

PAGE = 64
"""Turns that are read at once."""
WORD = 8
"""Cells for a subagent's state: most words fit."""


@dataclass(frozen=True)
class Opening:
    """What of a run is read before its trace is shown. `until` is the last event that it knows; `live` has the events
    of subagents that are at work, from the beginning of one of their latest turns on."""

    run: str
    title: str
    until: int = 0
    beside: Sequence[Event] = ()
    counts: Mapping[SubagentId, int] = field(default_factory=dict)
    live: Mapping[SubagentId, tuple[int, Sequence[Event]]] = field(default_factory=dict)
    """With how many turns there were before those."""


@dataclass(frozen=True)
class Page:
    """A window of a subagent's turns: the number of the first, the events they begin with, all that is told in them."""

    who: SubagentId
    first: int
    begins: Sequence[int]
    events: Sequence[Event]


def broke_off(event: Event) -> Span:
    """Where a tape broke off: the line that says so."""
    if isinstance(event.payload, SubagentRestarted):
        return "◌ begins anew", "warn"
    return "◌ goes on under another engine", "warn"


def lane_line(who: SubagentId, plan: LanePlan, note: str) -> Line:
    """A subagent that has not begun; `note` says what is particular about it."""
    line: Line = [(f"{who.label} ", "strong")]
    if who.lane != OBSERVER:
        line.append(_state(SubagentState.QUEUED))
    line += [("clean · " if plan.clean else "", "warn"), (shown_line(plan.strategy.name), "text")]
    if note:
        line.append((f" {note}", "accent"))
    return line


def asked_plan(model: str) -> LanePlan:
    """What stands for a plan where the observer's model was asked: that is no attempt."""
    return LanePlan(OBSERVER, Strategy(f"the observer’s model {model}", ""), clean=False)


def mark(lane: Item, state: SubagentState) -> None:
    """Show a subagent's state."""
    lane.line = [lane.line[0], _state(state), *lane.line[2:]]


def _state(state: SubagentState) -> Span:
    """Before the strategy, which may be cut off: what has come of it is what one looks for."""
    state_mark = SUBAGENT[state]
    return f"{state_mark.glyph} {state_mark.word:<{WORD}}  ", state_mark.ink
