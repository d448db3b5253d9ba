"""What a run may cost at most, told before it starts."""

from dataclasses import dataclass

from app.output import duration, money
from store.domain.limits import Limits
from store.domain.task import Task


@dataclass(frozen=True)
class WorstCase:
    """The most that a whole run may use; None is without bound. `subagents` run at most, `at_once` at a time."""

    subagents: int
    at_once: int
    usd: float | None
    tokens: int | None
    seconds: float | None


def worst_case(task: Task) -> WorstCase:
    """Every subagent of every generation uses what it may, until the run's own limits end it.

    Money and tokens add up over subagents. Time adds up over generations alone, for lanes work side by side; the
    check's own time comes on top, once before all and once in each generation.
    """
    lane = _widest(task)
    subagents = task.generations * task.lanes
    per_generation = None if lane.seconds is None else lane.seconds + task.check.seconds
    return WorstCase(
        subagents=subagents,
        at_once=task.lanes,
        usd=_least(task.run_limits.usd, _times(lane.usd, subagents)),
        tokens=_whole(_least(task.run_limits.tokens, _times(lane.tokens, subagents))),
        seconds=_least(task.run_limits.seconds, _times(per_generation, task.generations)),
    )


def described(case: WorstCase) -> str:
    """The worst case in a sentence or two."""
    bounds = [
        "no limit on money" if case.usd is None else f"at most {money(case.usd)}",
        "no limit on tokens" if case.tokens is None else f"{case.tokens:,} tokens",
        "no limit on time" if case.seconds is None else f"{duration(case.seconds)} of work",
    ]
    return (
        f"This run may use: {', '.join(bounds)} ({case.subagents} subagents, {case.at_once} at a time). "
        "Limits are looked at before each call, so the last call of each subagent may go beyond them."
    )


def _widest(task: Task) -> Limits:
    """The limits of the subagent that may use most."""
    own = [task.limits.with_own(strategy.limits) for strategy in task.strategies] or [task.limits]
    return Limits(
        usd=_most([limits.usd for limits in own]),
        tokens=_whole(_most([limits.tokens for limits in own])),
        seconds=_most([limits.seconds for limits in own]),
    )


def _most(values: list[float | None] | list[int | None]) -> float | None:
    known = [value for value in values if value is not None]
    return max(known) if len(known) == len(values) else None


def _least(*values: float | None) -> float | None:
    return min((value for value in values if value is not None), default=None)


def _times(value: float | None, count: int) -> float | None:
    return None if value is None else value * count


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)
