"""The lanes of the next generation: what the rules propose, what the operator makes of it, and what each is told."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from math import isfinite

from backends.harness.choosing import chosen, known
from backends.harness.design import design
from backends.harness.lots import dealt
from backends.harness.strategies import PORTFOLIO
from store.domain.board import Board
from store.domain.commands import PlanChange
from store.domain.limits import Limits
from store.domain.observations import Document
from store.domain.strategy import LanePlan, Strategy
from store.domain.task import Memory, Task

MOST_LANES = 100
"""Subagents of one generation."""
BY_HAND = "The operator chose it."
_AGAIN = "Again, as in generation"


def portfolio_of(task: Task) -> tuple[Strategy, ...]:
    """The strategies that a run's generations are designed from."""
    return task.strategies or PORTFOLIO


def proposed(board: Board, document: Document | None, portfolio: Sequence[Strategy] = ()) -> tuple[LanePlan, ...]:
    """The lanes of the generation after the board's latest, as they would be launched now: with the operator's changes,
    and with what is kept from whom. `document` is the version of the observations that it is told."""
    before = board.generation
    if before is not None and before.passed is not None and before.passed.again:
        return tuple(_again(lane.plan, before.number) for lane in before.lanes.values() if lane.forked_from is None)
    portfolio = portfolio or portfolio_of(board.task)
    plans = (before.planned if before is not None else ()) or design(board, portfolio)
    if board.task.memory is not Memory.OWN or board.order is None:
        return plans
    number = before.number + 1 if before is not None else 1
    lanes = (lane for generation in board.generations.values() for lane in generation.lanes.values())
    kept = Counter(name for lane in lanes for name in lane.plan.without)
    cap, seed = board.task.injected_tokens, board.order.seed
    return dealt(plans, document, cap, seed=seed, generation=number, before=kept)


def changed(
    board: Board, changes: Iterable[PlanChange], portfolio: Sequence[Strategy] = (), *, anew: bool = False
) -> tuple[LanePlan, ...]:
    """The lanes of the next generation with changes of the operator's, all of them or none. ValueError that says what
    is wrong."""
    portfolio = portfolio or portfolio_of(board.task)
    before = board.generation
    plans = {
        plan.lane: plan
        for plan in (before.planned if before is not None and not anew else ()) or design(board, portfolio)
    }
    strategies = known(board, portfolio)
    for change in changes:
        match change.what:
            case "remove":
                _there(plans, change.lane)
                del plans[change.lane]
            case "change":
                plan = _changed(_there(plans, change.lane), change, strategies.values())
                plans[plan.lane] = plan
            case "add":
                lane = max(plans, default=0) + 1
                plans[lane] = _added(lane, change, board, portfolio, strategies.values())
    if not plans:
        raise ValueError("A generation has at least one lane. To end the run, stop it.")
    if len(plans) > MOST_LANES:
        raise ValueError(f"A generation has at most {MOST_LANES} subagents.")
    return tuple(plans.values())


def _again(plan: LanePlan, number: int) -> LanePlan:
    why = plan.why if plan.why.startswith(_AGAIN) else f"{_AGAIN} {number}. {plan.why}".strip()
    return replace(plan, why=why)


def _there(plans: dict[int, LanePlan], lane: int) -> LanePlan:
    if lane not in plans:
        raise ValueError(f"There is no lane {lane}; there are {', '.join(map(str, plans))}.")
    return plans[lane]


def _changed(plan: LanePlan, change: PlanChange, strategies: Iterable[Strategy]) -> LanePlan:
    if not change.strategy.strip() and not change.model.strip() and change.limits == Limits():
        raise ValueError(f"Lane {plan.lane} was given nothing new: name a strategy, a model or limits.")
    if plan.clean:
        raise ValueError(
            f"Lane {plan.lane} is clean, the control: its strategy and its model are the portfolio's, whatever others "
            "found. Remove it, or change another."
        )
    return replace(plan, strategy=_strategy(change, plan.strategy, strategies), why=BY_HAND)


def _added(
    lane: int, change: PlanChange, board: Board, portfolio: Sequence[Strategy], strategies: Iterable[Strategy]
) -> LanePlan:
    number = board.generation.number if board.generation is not None else 0
    in_turn = portfolio[(lane - 1 + number) % len(portfolio)]
    if not change.clean:
        return LanePlan(lane, _strategy(change, in_turn, strategies), False, f"{BY_HAND} It is one more.")
    if change.strategy.strip() or change.model.strip() or change.limits != Limits():
        raise ValueError(
            "A clean lane takes its strategy from the portfolio in turn: it would be no control otherwise."
        )
    return LanePlan(lane, in_turn, True, "Control, one more: no observations, no recall, the portfolio in turn.")


def _strategy(change: PlanChange, before: Strategy, strategies: Iterable[Strategy]) -> Strategy:
    words, model = (text.encode("utf-8", "replace").decode() for text in (change.strategy, change.model))
    strategy = chosen(words, model, before, list(strategies))
    for each in fields(Limits):
        value = getattr(change.limits, each.name)
        if value is not None and not (isfinite(value) and value > 0):
            raise ValueError(f"A limit of {value:g} {each.name} leaves nothing to work with.")
    return replace(strategy, limits=strategy.limits.with_own(change.limits))
