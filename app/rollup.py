"""What the generations and subagents of a trace used, on their items."""

from app.spots import OfLane
from app.trace import Lane, Trace
from store.domain.board import Board
from store.domain.limits import Spend
from widgets.outline import Figures


def reckon(trace: Trace, board: Board, now: float) -> None:
    """What generations and subagents used so far, by the board; before it is read, by their ends."""
    total = Spend()
    for generation in trace.outline.roots[0].children:
        spends = []
        for item in generation.children:
            lane = trace.lanes[item.data.who] if isinstance(item.data, OfLane) else None
            if lane is not None:
                spends.append(_spend(lane, board, now))
                item.figures = _figures(spends[-1])
        whole = sum(spends, Spend())
        generation.figures = _figures(whole) if spends else None
        total += whole
    trace.outline.roots[0].figures = _figures(total)


def _spend(lane: Lane, board: Board, now: float) -> Spend:
    known = board.lane(lane.who)
    if known is not None and known.attempt:
        return known.spent(now) + known.lost
    return lane.ended.spend if lane.ended is not None else Spend()


def _figures(spend: Spend) -> Figures | None:
    if not spend.usage.total and not spend.seconds:
        return None
    return Figures(spend.usage.total, spend.usd, spend.seconds, spend.priced)
