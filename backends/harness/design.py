"""The design of a generation: which strategy works in which lane, by rule.

The first batch takes the portfolio in turn. A later one keeps what got on, and moves lanes that got stuck to another
approach. A lane without memory is designed from its number alone: what earlier attempts found must not reach it, by its
strategy either.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from store.domain.board import Board, Lane
from store.domain.states import Ending
from store.domain.strategy import LanePlan, Strategy
from store.domain.task import Memory

CHECK_OFTEN = "Run the check before the first edit and after every edit."
ONE_CHANGE = "Start from what earlier attempts found to help, then try one further change at a time."

_NOT_ITS_FAULT = {
    Ending.NEVER_STARTED,
    Ending.PROVIDER,
    Ending.RATE_LIMITED,
    Ending.LOGIN_LOST,
    Ending.CRASHED,
    Ending.KILLED,
}


@dataclass(frozen=True)
class Result:
    """What became of an attempt, as far as the design looks at it. `failures` is what the check counts on its patch,
    `before` on the unchanged code; None where it counts nothing."""

    lane: int
    strategy: Strategy
    solved: bool
    ending: Ending
    failures: int | None
    before: int | None
    changed: bool

    @property
    def gained(self) -> int:
        """By how much it lowered the failures."""
        if self.failures is None or self.before is None:
            return 0
        return max(self.before - self.failures, 0)


def design(board: Board, portfolio: Sequence[Strategy]) -> tuple[LanePlan, ...]:
    """The lanes of the generation after the board's latest."""
    task = board.task
    number = board.generation.number + 1 if board.generation else 1
    first_clean = task.lanes - task.clean_lanes + 1
    previous = {} if task.memory is not Memory.OWN else _results(board)
    return tuple(
        _plan(lane, number, clean=lane >= first_clean, previous=previous, portfolio=portfolio)
        for lane in range(1, task.lanes + 1)
    )


def _plan(
    lane: int, generation: int, *, clean: bool, previous: dict[int, Result], portfolio: Sequence[Strategy]
) -> LanePlan:
    in_turn = portfolio[(lane - 1 + generation - 1) % len(portfolio)]
    if clean:
        return LanePlan(lane, in_turn, True, "Control: no observations, no recall, the portfolio in turn.")
    before = previous.get(lane)
    if before is None:
        return LanePlan(lane, in_turn, False, "The portfolio in turn.")
    strategy, why = _follow_up(before, previous, portfolio, in_turn)
    return LanePlan(lane, strategy, False, why)


def _follow_up(
    before: Result, previous: dict[int, Result], portfolio: Sequence[Strategy], in_turn: Strategy
) -> tuple[Strategy, str]:
    if before.solved:
        return before.strategy, "It solved the task; the same again, to see whether that was luck."
    if before.ending in _NOT_ITS_FAULT:
        return before.strategy, f"It could not show what it is worth ({before.ending}); the same again."
    if not before.changed:
        return (
            _with_heuristic(in_turn, CHECK_OFTEN),
            f"Its last attempt left nothing changed ({before.ending}); another approach, and the check early.",
        )
    if before.gained:
        return (
            _with_heuristic(before.strategy, ONE_CHANGE),
            f"It brought the check from {before.before} failures to {before.failures}; on from there.",
        )
    used = {result.strategy.name for result in previous.values() if result.gained or result.solved}
    fresh = next((strategy for strategy in _from(portfolio, in_turn) if strategy.name not in used), in_turn)
    return (
        _with_heuristic(fresh, ONE_CHANGE),
        f"“{before.strategy.name}” got stuck without lowering the failures; “{fresh.name}” instead.",
    )


def _from(portfolio: Sequence[Strategy], first: Strategy) -> list[Strategy]:
    start = next((index for index, strategy in enumerate(portfolio) if strategy.name == first.name), 0)
    return [*portfolio[start:], *portfolio[:start]]


def _with_heuristic(strategy: Strategy, line: str) -> Strategy:
    if line in strategy.heuristics:
        return strategy
    return replace(strategy, heuristics=(line, *strategy.heuristics))


def _results(board: Board) -> dict[int, Result]:
    if board.generation is None:
        return {}
    baseline = board.baseline.results[-1].failures if board.baseline and board.baseline.results else None
    return {number: _result(lane, baseline) for number, lane in board.generation.lanes.items() if not lane.plan.clean}


def _result(lane: Lane, baseline: int | None) -> Result:
    checked = lane.checked
    return Result(
        lane=lane.plan.lane,
        strategy=lane.plan.strategy,
        solved=lane.solved,
        ending=lane.ended.ending if lane.ended else Ending.KILLED,
        failures=checked.result.failures if checked and checked.result else None,
        before=baseline,
        changed=bool(checked and checked.patch),
    )
