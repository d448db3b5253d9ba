"""A subagent's numbers in a line: turns, tokens, cost against its budget, time."""

from store.domain.board import Lane
from widgets import words
from widgets.ink import Line, Span, width
from widgets.lanes import NEARLY

SHORT, LONG = 4, 8
"""Cells of a bar."""
ROOMY = 56
"""Cells from which numbers stand with their words."""


def bar(share: float, cells: int) -> Line:
    """A share as a bar; `!` where it is nearly all, for colour alone tells nobody."""
    share = max(share, 0.0)
    full = min(max(round(cells * share), int(share > 0)), cells)
    ink = "bad" if share >= 1 else "warn" if share >= NEARLY else "accent"
    line: Line = [("▰" * full, ink), ("▱" * (cells - full), "frame")]
    return [*line, ("!", ink)] if share >= NEARLY else line


def fixed(line: Line, cells: int) -> Line:
    """In so many cells, so that columns stand: at the right, the mark of a bar that is nearly full aside."""
    line = line if line and line[-1][0] == "!" else [*line, (" ", "text")]
    return [(" " * max(cells - width(line), 0), "text"), *line]


def turns(lane: Lane) -> str:
    """`7/24`, or `7` where no number of turns is set."""
    return f"{lane.turn}/{lane.limits.turns}" if lane.limits.turns else str(lane.turn)


def cost(lane: Lane, cells: int, *, budget: bool = False) -> Line:
    """The cost, and how much of its budget that is. Where money has no limit, nothing is drawn against it."""
    line: Line = [(words.money(lane.spend), "text")]
    limit = lane.limits.usd
    if limit:
        line += [(" ", "text"), *bar(lane.spend.usd / limit, cells)]
        line += [(f" ${limit:.2f}", "faint")] if budget else []
    return line


def numbers(lane: Lane, now: float, cells: int) -> Line:
    """All of them, in as many words as there is room for."""
    roomy = cells >= ROOMY
    gap: Span = ("  " if roomy else " ", "text")
    line: Line = [(f"turn {turns(lane)}", "text")]
    if lane.limits.turns and not lane.limits.usd:
        line += [(" ", "text"), *bar(lane.turn / lane.limits.turns, LONG if roomy else SHORT)]
    line += [gap, (words.tokens(lane.spend.tokens), "text"), (" tokens" if roomy else "", "faint")]
    line += [gap, *cost(lane, LONG if roomy else SHORT, budget=roomy)]
    line += [gap, (words.duration(lane.work.read(now)), "faint")]
    if lane.injected and cells >= ROOMY + 24:
        line += [gap, (words.count(len(lane.injected), "observation"), "faint")]
    return line


def brief(lane: Lane, now: float) -> Line:
    """What a line shared with a text has room for; always as wide, so that panes above each other stand in columns."""
    limit = lane.limits.usd
    spent = bar(lane.spend.usd / limit, SHORT) if limit else [(words.money(lane.spend), "text")]
    line: Line = [(f"{turns(lane):>5} ", "text"), *fixed(spent, SHORT + 1)]
    return [*line, (f"{words.duration(lane.work.read(now)):>6}", "faint")]
