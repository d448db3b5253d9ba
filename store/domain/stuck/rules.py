"""The stuck rules. Each is told one subagent's facts in order and says what it sees, once for each level it reaches.

None looks through a window: what is counted is counted over the whole attempt, on tool, normalised arguments and
normalised result, and is counted anew when the workspace changes, for running the tests again after an edit is no loop.
"""

import re
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from store.domain.safe_text import safe_line
from store.domain.states import AlertLevel, Ending
from store.domain.stuck.facts import Answered, Began, Ended, Fact, Spent, Told, Used, Waited
from store.domain.stuck.normal import (
    asked,
    done,
    error,
    errored,
    failing,
    interrupted,
    is_check,
    key,
    malformed,
    timed_out,
)
from store.domain.subagent_events import Alert, Reference

NOTE, WARNING, STUCK = AlertLevel.NOTE, AlertLevel.WARNING, AlertLevel.STUCK

_EVIDENCE = 8
"""References of one alert: the first ones and the last ones."""
_LIMITS = (Ending.TURNS, Ending.TOKENS, Ending.COST, Ending.TIME)
UNANSWERED_SECONDS = 120.0
"""Seconds of work without an answer from which a subagent hasn't started: image, program and first call take less."""
BUDGET_SHARE = 0.75
"""How much of a limit may be used up before the check has run once."""


@dataclass(frozen=True)
class Moment:
    """A fact, with what the files of the subagent were doing: whether it changed them, and their name since."""

    fact: Fact
    changed: bool = False
    state: str = ""
    check: str = ""
    """The task's check."""


class Rule(Protocol):
    """`thresholds` say at which count it speaks, and how loud; `source` where they come from."""

    name: ClassVar[str]
    sees: ClassVar[str]
    source: ClassVar[str]
    thresholds: ClassVar[Mapping[int, AlertLevel]]

    def take(self, moment: Moment) -> Iterator[Alert]:
        """What it has to say about the moment."""


def _alert(rule: type[Rule], count: int, text: str, evidence: Sequence[Reference]) -> Iterator[Alert]:
    if (level := rule.thresholds.get(count)) is not None:
        half = _EVIDENCE // 2
        kept = evidence if len(evidence) <= _EVIDENCE else (*evidence[:half], *evidence[-half:])
        yield Alert(rule.name, text, tuple(kept), level)


def _what(used: Used) -> str:
    """A call in a few words."""
    given = used.given
    said = next((given[name] for name in ("command", "path", "pattern", "query") if given.get(name)), "")
    if not said:
        said = next((value for value in given.values() if isinstance(value, str) and value), "")
    return safe_line(f"{used.name} {said}".strip(), 100)


@dataclass
class SameCall:
    """The same call with the same result, anywhere since the files changed last."""

    name: ClassVar[str] = "same-call"
    sees: ClassVar[str] = "the same tool, arguments and result, anywhere since the files changed last"
    source: ClassVar[str] = (
        "200 recorded tool-using runs: twice fired on 15, 87 % of them failed; three times on 4, all failed. Others "
        "stop at 4 in a row."
    )
    thresholds: ClassVar[Mapping[int, AlertLevel]] = {2: NOTE, 3: WARNING, 4: STUCK}
    _seen: dict[str, list[Reference]] = field(default_factory=dict)

    def take(self, moment: Moment) -> Iterator[Alert]:
        if moment.changed:
            self._seen.clear()
        used = moment.fact
        if isinstance(used, Used) and not moment.changed and not interrupted(used):
            seen = self._seen.setdefault(key(used.thread, done(used)), [])
            seen.append(used.reference)
            text = f"The same call {len(seen)} times, each with the same result: {_what(used)}"
            yield from _alert(SameCall, len(seen), text, seen)


@dataclass
class SameError:
    """The same error, one after the other."""

    name: ClassVar[str] = "same-error"
    sees: ClassVar[str] = "the same tool fails with the same error, one after the other"
    source: ClassVar[str] = "Others nudge after the same action and error 3 times and stop at 4."
    thresholds: ClassVar[Mapping[int, AlertLevel]] = {3: WARNING, 4: STUCK}
    _rows: dict[str, tuple[str, list[Reference]]] = field(default_factory=dict)

    def take(self, moment: Moment) -> Iterator[Alert]:
        if moment.changed:
            self._rows.clear()
        used = moment.fact
        if not isinstance(used, Used) or interrupted(used):
            return
        if moment.changed or not (what := error(used)):
            self._rows.pop(used.thread, None)
            return
        before, row = self._rows.get(used.thread, ("", []))
        row = [*row, used.reference] if what == before else [used.reference]
        self._rows[used.thread] = what, row
        text = f"The same error {len(row)} times in a row: {_what(used)}: {safe_line(_telling(used), 120)}"
        yield from _alert(SameError, len(row), text, row)


@dataclass
class Errors:
    """Tool calls that fail, one after the other, each in its own way."""

    name: ClassVar[str] = "errors"
    sees: ClassVar[str] = "tool calls that could not do what they were asked, one after the other"
    source: ClassVar[str] = "200 recorded tool-using runs: three in a row fired on 5, all failed."
    thresholds: ClassVar[Mapping[int, AlertLevel]] = {3: WARNING}
    _rows: dict[str, list[tuple[str, Reference]]] = field(default_factory=dict)

    def take(self, moment: Moment) -> Iterator[Alert]:
        if moment.changed:
            self._rows.clear()
        used = moment.fact
        if not isinstance(used, Used) or interrupted(used):
            return
        if moment.changed or not errored(used):
            self._rows.pop(used.thread, None)
            return
        row = self._rows.setdefault(used.thread, [])
        row.append((error(used), used.reference))
        if len({what for what, _ in row}) > 1:
            # All of them alike is another rule's.
            text = f"{len(row)} tool calls in a row failed, the last with: {safe_line(_telling(used), 120)}"
            yield from _alert(Errors, len(row), text, [where for _, where in row])


@dataclass
class Alternating:
    """Two calls in turn, whatever they result in."""

    name: ClassVar[str] = "alternating"
    sees: ClassVar[str] = "two calls in turn, whatever they result in, with no change of the files between"
    source: ClassVar[str] = "Others stop at ABAB over 6 steps."
    thresholds: ClassVar[Mapping[int, AlertLevel]] = {6: STUCK}
    _rows: dict[str, deque[tuple[str, Reference]]] = field(default_factory=dict)

    def take(self, moment: Moment) -> Iterator[Alert]:
        if moment.changed:
            self._rows.clear()
        used = moment.fact
        if not isinstance(used, Used) or moment.changed or interrupted(used):
            return
        row = self._rows.setdefault(used.thread, deque())
        this = asked(used)
        if row and row[-1][0] == this:
            row.clear()
        elif len(row) > 1 and row[-2][0] != this:
            # The last one and this may begin another pair.
            row = self._rows[used.thread] = deque([row[-1]])
        row.append((this, used.reference))
        text = f"Two calls in turn, {len(row) // 2} times each; the last was: {_what(used)}"
        yield from _alert(Alternating, len(row), text, [where for _, where in row])


@dataclass
class NoAction:
    """Messages that ask for no tool call."""

    name: ClassVar[str] = "no-action"
    sees: ClassVar[str] = "answers that ask for no tool call, one after the other, with nothing said to it between"
    source: ClassVar[str] = "Others stop at three messages with no action."
    thresholds: ClassVar[Mapping[int, AlertLevel]] = {3: STUCK}
    _rows: dict[str, list[Reference]] = field(default_factory=dict)

    def take(self, moment: Moment) -> Iterator[Alert]:
        said = moment.fact
        if isinstance(said, Told):
            self._rows.clear()
        if not isinstance(said, Answered) or not said.offered:
            return
        if said.tools:
            self._rows.pop(said.thread, None)
            return
        row = self._rows.setdefault(said.thread, [])
        row.append(said.reference)
        text = f"{len(row)} answers in a row without a tool call: {safe_line(said.text, 120)}"
        yield from _alert(NoAction, len(row), text, row)


@dataclass
class Malformed:
    """Answers whose tool calls can't be carried out, or that were cut off before there was one."""

    name: ClassVar[str] = "malformed"
    sees: ClassVar[str] = "answers in a row of which no tool call could be understood, or that were cut off before one"
    source: ClassVar[str] = "Others stop at 3 malformed answers."
    thresholds: ClassVar[Mapping[int, AlertLevel]] = {3: STUCK}
    _rows: dict[str, list[tuple[int, Reference]]] = field(default_factory=dict)

    def take(self, moment: Moment) -> Iterator[Alert]:
        fact = moment.fact
        match fact:
            case Used():
                if not malformed(fact):
                    if not interrupted(fact):
                        self._rows.pop(fact.thread, None)
                    return
                said = _telling(fact)
            case Answered(cut=True, tools=0):
                said = "cut off for its length"
            case _:
                return
        row = self._rows.setdefault(fact.thread, [])
        if row and row[-1][0] == fact.turn:
            return
        row.append((fact.turn, fact.reference))
        text = f"{len(row)} malformed answers in a row: {safe_line(said, 120)}"
        yield from _alert(Malformed, len(row), text, [where for _, where in row])


@dataclass
class Timeouts:
    """Commands that run out of time."""

    name: ClassVar[str] = "timeouts"
    sees: ClassVar[str] = "commands that were killed for their time, with none between that ended by itself"
    source: ClassVar[str] = "Others stop at 3 command timeouts in a row."
    thresholds: ClassVar[Mapping[int, AlertLevel]] = {3: STUCK}
    _rows: dict[str, list[Reference]] = field(default_factory=dict)

    def take(self, moment: Moment) -> Iterator[Alert]:
        used = moment.fact
        if not isinstance(used, Used) or used.name != "run" or interrupted(used):
            return
        if not timed_out(used):
            self._rows.pop(used.thread, None)
            return
        row = self._rows.setdefault(used.thread, [])
        row.append(used.reference)
        yield from _alert(Timeouts, len(row), f"{len(row)} commands in a row ran out of time: {_what(used)}", row)


@dataclass
class RepeatedText:
    """One answer that says the same over and over."""

    name: ClassVar[str] = "repeated-text"
    sees: ClassVar[str] = "the same 50 characters 10 times in one answer, code aside"
    source: ClassVar[str] = "Others stop at the same 50 characters 10 times."
    thresholds: ClassVar[Mapping[int, AlertLevel]] = {10: STUCK}
    size: ClassVar[int] = 50
    least: ClassVar[int] = 6
    """Different characters that make them words: a ruled line has fewer."""
    most: ClassVar[int] = 200_000
    """Characters of an answer that are looked at."""

    def take(self, moment: Moment) -> Iterator[Alert]:
        said = moment.fact
        if not isinstance(said, Answered) or len(said.text) < self.size * 10:
            return
        text = re.sub(r"```.*?(?:```|\Z)", "", said.text[: self.most], flags=re.DOTALL)
        counts = Counter(text[at : at + self.size] for at in range(len(text) - self.size + 1))
        for piece, count in counts.most_common(20):
            if count < 10:
                return
            if len(set(piece)) >= self.least and text.count(piece) >= 10:
                told = f"One answer says the same {text.count(piece)} times: {safe_line(piece, 60)}"
                yield from _alert(RepeatedText, 10, told, [said.reference])
                return


@dataclass
class TestsUnchanged:
    """The same tests go on failing, whatever is edited."""

    __test__ = False
    name: ClassVar[str] = "tests-unchanged"
    sees: ClassVar[str] = "the same tests fail as before so many edits"
    source: ClassVar[str] = "Multitrack's own; the number of edits is a choice: 3 to look, 6 to step in."
    thresholds: ClassVar[Mapping[int, AlertLevel]] = {3: WARNING, 6: STUCK}
    _edits: list[Reference] = field(default_factory=list)
    _runs: dict[str, tuple[str, int, Reference, int]] = field(default_factory=dict)
    """By command: what failed, after how many edits it did so first, where that is, and what was said of it."""

    def take(self, moment: Moment) -> Iterator[Alert]:
        used = moment.fact
        if moment.changed:
            self._edits.append(moment.fact.reference)
        if not isinstance(used, Used) or not is_check(used.command, moment.check) or interrupted(used):
            return
        what = asked(used)
        if used.exit_code == 0:
            self._runs.pop(what, None)
        elif used.exit_code is not None and not timed_out(used):
            signature, before = failing(used), len(self._edits)
            known = self._runs.get(what)
            if known is None or known[0] != signature:
                self._runs[what] = signature, before, used.reference, 0
                return
            _, since, first, told = known
            edits = before - since
            reached = max((count for count in self.thresholds if count <= edits), default=0)
            if reached > told:
                self._runs[what] = signature, since, first, reached
                text = f"The same tests fail after {edits} edits: {_what(used)}"
                evidence = [first, *self._edits[since:], used.reference]
                yield from _alert(TestsUnchanged, reached, text, evidence)


@dataclass
class TreeReturns:
    """What was done is undone, and done again."""

    name: ClassVar[str] = "tree-returns"
    sees: ClassVar[str] = "the files are as they were once before, with other changes between"
    source: ClassVar[str] = "Multitrack's own: taking a trial back is work, going in circles is not."
    thresholds: ClassVar[Mapping[int, AlertLevel]] = {1: NOTE, 2: WARNING, 3: STUCK}
    _seen: dict[str, list[Reference]] = field(default_factory=lambda: {"": []})
    _now: str = ""

    def take(self, moment: Moment) -> Iterator[Alert]:
        if not moment.changed or moment.state == self._now:
            return
        self._now = moment.state
        back = self._now in self._seen
        seen = self._seen.setdefault(self._now, [])
        seen.append(moment.fact.reference)
        returns = len(seen) - (self._now != "")
        if back:
            where = "as they were at first" if not self._now else f"as they were at turn {_turn(moment)}"
            times = "again" if returns == 1 else f"for the {_nth(returns)} time"
            yield from _alert(TreeReturns, returns, f"The files are {where}, {times}", seen)


@dataclass
class NoCheck:
    """The budget goes, and nothing was tried."""

    name: ClassVar[str] = "no-check"
    sees: ClassVar[str] = (
        f"{BUDGET_SHARE:.0%} of a limit is used up, or all of it, and neither check nor tests have run"
    )
    source: ClassVar[str] = "Multitrack's own; the share is a choice that leaves a quarter to act in."
    thresholds: ClassVar[Mapping[int, AlertLevel]] = {1: WARNING}
    _over: bool = False

    def take(self, moment: Moment) -> Iterator[Alert]:
        fact = moment.fact
        if self._over:
            return
        if isinstance(fact, Used) and is_check(fact.command, moment.check):
            self._over = True
        elif isinstance(fact, Spent) and fact.share >= BUDGET_SHARE:
            self._over = True
            text = f"{min(fact.share, 1.0):.0%} of its {fact.limit} is used up, and the check has not run once"
            yield from _alert(NoCheck, 1, text, [fact.reference])
        elif isinstance(fact, Ended) and fact.ending in _LIMITS:
            self._over = True
            text = f"It reached its {fact.ending} without running the check once"
            yield from _alert(NoCheck, 1, text, [fact.reference])


@dataclass
class NeverStarted:
    """Its program, or its model, never said anything."""

    name: ClassVar[str] = "never-started"
    sees: ClassVar[str] = f"it ended, or worked for {UNANSWERED_SECONDS:.0f} seconds, without one answer of its model"
    source: ClassVar[str] = "332 published trials: 153 had never started their agent, 109 of them labelled failed."
    thresholds: ClassVar[Mapping[int, AlertLevel]] = {1: STUCK}
    _over: bool = False

    def take(self, moment: Moment) -> Iterator[Alert]:
        match moment.fact:
            case Answered():
                self._over = True
            case Waited(seconds=seconds) as fact if not self._over and seconds >= UNANSWERED_SECONDS:
                self._over = True
                yield from _alert(
                    NeverStarted, 1, f"No answer of its model in {seconds:.0f} s of work", [fact.reference]
                )
            case Ended(ending=ending, detail=detail) as fact if not self._over:
                self._over = True
                if ending is not Ending.KILLED:
                    why = f": {safe_line(detail, 200)}" if detail else ""
                    text = f"It ended ({ending}) without one answer of its model{why}"
                    yield from _alert(NeverStarted, 1, text, [fact.reference])
            case _:
                pass


RULES: tuple[type[Rule], ...] = (
    SameCall,
    SameError,
    Errors,
    Alternating,
    NoAction,
    Malformed,
    Timeouts,
    RepeatedText,
    TestsUnchanged,
    TreeReturns,
    NoCheck,
    NeverStarted,
)
"""Every rule, in the order in which they speak."""


def _telling(used: Used) -> str:
    """The last line of a result: what went wrong mostly stands there."""
    lines = [line for line in used.text.splitlines() if line.strip()]
    return (lines[-1] if used.name == "run" else lines[0]) if lines else ""


def _turn(moment: Moment) -> int:
    return moment.fact.turn


def _nth(number: int) -> str:
    return {2: "second", 3: "third"}.get(number, f"{number}th")


def fresh() -> list[Rule]:
    """All rules, with nothing counted."""
    return [rule() for rule in RULES]


def forgets_all(fact: Fact) -> bool:
    """It begins anew in a new sandbox."""
    return isinstance(fact, Began) and fact.afresh
