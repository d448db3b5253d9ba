"""What the next generation may cost, by what lanes of this run have cost so far."""

from collections.abc import Sequence
from dataclasses import dataclass

from store.domain.board import Board
from store.domain.lane import Lane
from store.domain.limits import Spend
from store.domain.strategy import LanePlan


@dataclass(frozen=True)
class Outlook:
    """Money in US dollars. `spent` is what the run has used; `expected` what the next generation costs when its lanes
    cost what lanes of their model did on average, `low` and `high` when they cost what the cheapest and the dearest
    did: None where no price is known. `based_on` counts the lanes that this rests on. `most` is the most that limits
    let it cost, None without such a limit."""

    spent: Spend
    expected: float | None
    low: float | None
    high: float | None
    based_on: int
    most: float | None


def outlook(board: Board, plans: Sequence[LanePlan], now: float) -> Outlook:
    """What these lanes may cost."""
    over = [lane for generation in board.generations.values() for lane in generation.lanes.values() if _tells(lane)]
    models = [plan.strategy.model or board.task.model for plan in plans]
    costs = {model: _of_model(over, model) for model in models}
    known = [costs[model] for model in models if costs[model]]
    spent = board.spent(now)
    limits = [board.task.limits.with_own(plan.strategy.limits).usd for plan in plans]
    bounded = [limit for limit in limits if limit is not None]
    most = sum(bounded) if len(bounded) == len(limits) else None
    whole = board.task.run_limits.usd
    if whole is not None:
        left = max(whole - spent.usd, 0.0)
        most = left if most is None else min(most, left)
    complete = bool(plans) and len(known) == len(plans)
    return Outlook(
        spent=spent,
        expected=sum(sum(each) / len(each) for each in known) if complete else None,
        low=sum(map(min, known)) if complete else None,
        high=sum(map(max, known)) if complete else None,
        based_on=sum(map(len, costs.values())),
        most=most,
    )


def _tells(lane: Lane) -> bool:
    """A lane whose cost says something of the next one's."""
    return lane.checked is not None and not lane.idle and lane.spend.priced and bool(lane.spend.usage.total)


def _of_model(lanes: Sequence[Lane], model: str) -> list[float]:
    """What lanes of a model cost: those of the latest generation that had any, for what is told grows."""
    own = [lane for lane in lanes if lane.model == model]
    latest = max((lane.id.generation for lane in own), default=0)
    return [lane.spend.usd for lane in own if lane.id.generation == latest]
