"""A search as the operator has it before them: what was typed, what was found, and where they are in it. No screen."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.screens.going import Goal
from app.turning import told_key
from store.domain.blocks import BlockKind
from store.domain.marking import Mark, spans
from store.domain.query import HELP, Query, Term, parse
from store.domain.secrets import shown_line
from store.domain.tape import SPEAKERS
from widgets.ink import Line, clean, over
from widgets.results import Result

if TYPE_CHECKING:
    from store.domain.marking import Excerpt
    from store.finding import Hit

FIRST, PAGE = 30, 100
"""Places that are looked for first, and then at a time."""
LEAD = 24
"""Characters of a line that are shown before what matched in it, where there are many."""
LOOK = 0.05
"""Seconds of one look: after each the operator may have typed on."""

_WORDS = {
    BlockKind.TEXT.value: "says", BlockKind.REASONING.value: "thinks", BlockKind.TOOL_CALL.value: "calls",
    BlockKind.TOOL_RESULT.value: "result", "tool.finished": "✗", "tool.started": "›", "call.finished": "✗ call",
    "alert": "⚠ alert", "subagent.ended": "✗ ended", "subagent.checked": "✗ check",
}  # fmt: skip


@dataclass
class Search:
    """What was asked for, of one run or of all. `number` is another one for each question: what an earlier one found
    comes too late. `at` is the place that the cursor is on, -1 before the first was gone to."""

    text: str = ""
    everywhere: bool = False
    run: str | None = None
    query: Query = field(default_factory=Query)
    number: int = 0
    hits: "list[Hit]" = field(default_factory=list)
    done: bool = True
    at: int = -1

    def ask(self, text: str, run: str | None, *, typing: bool, everywhere: bool) -> bool:
        """Ask for something; whether that is something else than before, and can be looked for."""
        query = parse(text, typing=typing)
        same = (query, everywhere, run) == (self.query, self.everywhere, self.run)
        self.text = text
        if same and not query.problems:
            return False
        self.query, self.everywhere, self.run = query, everywhere, run
        self.number += 1
        self.hits, self.at = [], -1
        self.done = query.empty or bool(query.problems)
        return not self.done

    def took(self, number: int, hits: "Sequence[Hit]", *, done: bool) -> bool:
        """Take what was found; whether it is for what is asked now."""
        if number != self.number:
            return False
        self.hits += hits
        self.done = done
        return True

    def step(self, by: int) -> "Hit | None":
        """The next place that can be gone to, or the one before; from the last on to the first when all are known."""
        if not self.hits:
            return None
        self.at = (self.at + by) % len(self.hits) if self.at >= 0 or by > 0 else len(self.hits) - 1
        return self.hits[self.at]

    def heading(self) -> Line:
        """What was asked for, and where among the places the cursor is, in a few words."""
        if self.query.empty:
            return []
        if self.hits:
            count = f"{len(self.hits):,}{'' if self.done else '+'}"
            place = f"{self.at + 1} of {count}" if self.at >= 0 else f"{count} found"
        else:
            place = "nothing" if self.done else "…"
        return [(f"  / {shown_line(self.text, 24)}: {place}", "warn")]

    def bar(self, run: str, cells: int) -> tuple[Line, Line]:
        """Where it looks and how much it found; at the right the keys, as far as there is room."""
        where = "all runs" if self.everywhere else f"run {run}"
        count = f"{len(self.hits):,}{'' if self.done else '+'} found" if self.hits else ""
        left: Line = [(" search ", "strong"), (where, "text"), (f"  {count}", "faint")]
        keys = (("tab", "this run" if self.everywhere else "all runs"), ("↑↓", "choose"), ("enter", "go there"),
                ("esc", "leave"))  # fmt: skip
        right: Line = []
        for key, word in keys if cells >= 70 else keys[:1]:
            right += [(f" {key}", "key"), (f" {word} ", "faint")]
        return left, right

    def word(self) -> Line:
        """What stands in the place of results while there are none."""
        if self.query.problems:
            return [(shown_line(self.query.problems[0]), "warn")]
        if self.query.empty:
            return [(HELP, "faint")]
        if not self.done:
            return [("looking …", "faint")]
        where = "any run" if self.everywhere else "this run"
        return [(f"Nothing in {where} has that.", "warn"),
                ("" if self.everywhere else "  tab looks at all runs", "faint")]  # fmt: skip


def result(hit: "Hit", *, run: bool) -> Result:
    """A place as the list shows it; with its `run`, where they are of several."""
    where: Line = [(f"{shown_line(hit.run, 12)} ", "faint")] if run else []
    if hit.who is not None:
        where.append((f"{hit.who.label} ", "strong"))
    if hit.turn:
        where.append((f"turn {hit.turn} ", "text"))
    prompt = hit.role not in ("", "assistant") and hit.kind == BlockKind.TEXT
    word = "told" if prompt else _WORDS.get(hit.kind, hit.kind)
    where.append((word, "bad" if "✗" in word else "warn" if "⚠" in word else "tool"))
    if hit.tool_call or hit.kind in ("tool.finished", "tool.started"):
        where.append((f" {shown_line(hit.name, 20)}", "tool"))
    found = hit.excerpt
    return Result(where, marked(found), [_faint(line) for line in found.before], [_faint(line) for line in found.after])


def marked(found: "Excerpt") -> Line:
    """A line with what matched in an ink of its own."""
    line: Line = []
    at = max(found.marks[0][0] - LEAD, 0) if found.marks else 0
    # What matched is to be seen in a narrow list, too.
    at = at if at > LEAD else 0
    if at:
        line.append(("…", "faint"))
    for start, end in found.marks:
        line += [(clean(found.line[at:start]), "text"), (clean(found.line[start:end]), "match")]
        at = end
    line.append((clean(found.line[at:]), "text"))
    return [(text.lstrip() if number == 0 else text, ink) for number, (text, ink) in enumerate(line)]


def highlit(lines: Sequence[Line], query: Query) -> tuple[Sequence[Line], int | None]:
    """A node's lines with what was searched for in an ink of its own, and the first line that has some of it."""
    texts = ["".join(text for text, _ in line) for line in lines]
    found = spans("\n".join(texts), query.terms) if query.terms else []
    if not found:
        return lines, None
    result, first, at, marks = list(lines), None, 0, deque(found)
    for number, text in enumerate(texts):
        end = at + len(text)
        inside: list[Mark] = []
        while marks and marks[0][0] <= end:
            inside.append((max(marks[0][0] - at, 0), min(marks[0][1], end) - at))
            if marks[0][1] > end:
                # A phrase may go on in the next line.
                break
            marks.popleft()
        if inside:
            result[number] = over(lines[number], inside, "match")
            first = number if first is None else first
        at = end + 1
    return result, first


def quotation(quote: str) -> Query:
    """A query for what somebody quoted: its first line that has words, to the letter."""
    line = next((line.strip() for line in clean(quote).split("\n") if line.strip()), "")
    return Query(terms=(Term(line),)) if line else Query()


def _faint(line: str) -> Line:
    return [(clean(line.rstrip()), "faint")]


def goal(hit: "Hit") -> Goal | None:
    """The way to a place in its run's trace; None where that has none."""
    who = hit.who
    if who is None:
        return None
    tool = f"{who.label} t{hit.turn} {hit.tool_call}"
    match hit.kind:
        case "tool.finished" | BlockKind.TOOL_RESULT if hit.tool_call:
            return Goal(who, f"{tool} r", hit.turn, hit.seq or None)
        case "tool.started" | BlockKind.TOOL_CALL if hit.tool_call:
            return Goal(who, tool, hit.turn, hit.seq or None)
        case _ if hit.seq:
            return Goal(who, f"e{hit.seq}", None, hit.seq)
    said = hit.role in SPEAKERS
    key = f"{hit.call} b{hit.block}" if said else told_key(who, hit.turn or 0, hit.node, hit.block)
    return Goal(who, key, hit.turn or None)
