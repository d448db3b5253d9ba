"""Rules that see that nothing comes of it: tests, files, budget, and whether it began at all."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from store.domain.safe_text import safe_line
from store.domain.states import AlertLevel, Ending
from store.domain.stuck.facts import Answered, Ended, Spent, Used, Waited
from store.domain.stuck.normal import asked, failing, interrupted, is_check, timed_out, tries
from store.domain.stuck.rule import NOTE, STUCK, WARNING, Moment, alert, what
from store.domain.subagent_events import Alert, Reference

_LIMITS = (Ending.TURNS, Ending.TOKENS, Ending.COST, Ending.TIME)
UNANSWERED_SECONDS = 120.0
"""Seconds of work without an answer from which a subagent hasn't started: image, program and first call take less."""
BUDGET_SHARE = 0.75
"""How much of a limit may be used up before the check has run once."""


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
        this = asked(used)
        if used.exit_code == 0:
            self._runs.pop(this, None)
        elif used.exit_code is not None and not timed_out(used):
            signature, before = failing(used), len(self._edits)
            known = self._runs.get(this)
            if known is None or known[0] != signature:
                self._runs[this] = signature, before, used.reference, 0
                return
            _, since, first, told = known
            edits = before - since
            reached = max((count for count in self.thresholds if count <= edits), default=0)
            if reached > told:
                self._runs[this] = signature, since, first, reached
                text = f"The same tests fail after {edits} edits: {what(used)}"
                evidence = [first, *self._edits[since:], used.reference]
                yield from alert(TestsUnchanged, reached, text, evidence)


@dataclass
class TreeReturns:
    """Files that were tried once are tried again as they were."""

    name: ClassVar[str] = "tree-returns"
    sees: ClassVar[str] = (
        "a command is run on files that are as they were when one was run before, with other changes between"
    )
    source: ClassVar[str] = (
        "Multitrack's own: taking a trial back is work, going in circles is not; so what counts is what was tried."
    )
    thresholds: ClassVar[Mapping[int, AlertLevel]] = {1: NOTE, 2: WARNING, 3: STUCK}
    _tried: dict[str, list[Reference]] = field(default_factory=dict)
    _now: str | None = None
    """The files that a command was run on last."""
    _told: int = 0

    def take(self, moment: Moment) -> Iterator[Alert]:
        used = moment.fact
        if not isinstance(used, Used) or not tries(used.command) or interrupted(used) or moment.state == self._now:
            return
        self._now = moment.state
        tried = self._tried.setdefault(moment.state, [])
        tried.append(used.reference)
        returns = len(tried) - 1
        if returns > self._told:
            self._told = returns
            where = "at first" if not moment.state else "once before"
            text = f"The files are as they were {where}, {_again(returns)}, and are tried again: {what(used)}"
            yield from alert(TreeReturns, returns, text, tried)


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
            yield from alert(NoCheck, 1, text, [fact.reference])
        elif isinstance(fact, Ended) and fact.ending in _LIMITS:
            self._over = True
            text = f"It reached its {fact.ending} without running the check once"
            yield from alert(NoCheck, 1, text, [fact.reference])


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
                yield from alert(
                    NeverStarted, 1, f"No answer of its model in {seconds:.0f} s of work", [fact.reference]
                )
            case Ended(ending=ending, detail=detail) as fact if not self._over:
                self._over = True
                if ending is not Ending.KILLED:
                    why = f": {safe_line(detail, 200)}" if detail else ""
                    text = f"It ended ({ending}) without one answer of its model{why}"
                    yield from alert(NeverStarted, 1, text, [fact.reference])
            case _:
                pass


def _again(times: int) -> str:
    return {1: "again", 2: "for the second time", 3: "for the third time"}.get(times, f"{times} times")
