"""What the generations and subagents of a trace used, on their items."""

from collections.abc import Iterator

from app.spots import OfLane
from app.trace import Lane, Trace
from store.domain.board import Board
from store.domain.limits import Spend
from widgets.outline import Figures, Item


def reckon(trace: Trace, board: Board, now: float) -> bool:
    """What generations and subagents used so far, by the board; before it is read, by their ends. Whether that is
    something else than before."""
    before = [item.figures for item in _items(trace)]
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
    return before != [item.figures for item in _items(trace)]


def _items(trace: Trace) -> Iterator[Item]:
    root = trace.outline.roots[0]
    yield root
    for generation in root.children:
        yield generation
        yield from generation.children


def _spend(lane: Lane, board: Board, now: float) -> Spend:
    known = board.lane(lane.who)
    if known is not None and known.attempt:
        return known.spent(now) + known.lost
    return lane.ended.spend if lane.ended is not None else Spend()


def _figures(spend: Spend) -> Figures | None:
    if not spend.usage.total and not spend.seconds:
        return None
    return Figures(spend.usage.total, spend.usd, spend.seconds, spend.priced)
