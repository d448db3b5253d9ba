"""Where in a trace something went wrong."""

from bisect import bisect_left
from collections.abc import Mapping

from app.spots import OfEvent, OfGeneration, OfLane, OfTurn
from app.trace import Lane, Trace
from store.domain.ids import SubagentId
from widgets.outline import Item


def wrong_rows(trace: Trace, most: int) -> list[int]:
    """The visible rows with something wrong, or what it is folded away in; at most so many of one subagent, spread
    over all of its tape."""
    rows: list[int] = []
    for lane in trace.lanes.values():
        if not lane.wrong:
            continue
        row = trace.outline.row(lane.item)
        if row is None and lane.item.parent is not None:
            row = trace.outline.row(lane.item.parent)
        elif row is not None and lane.item.open and lane.places is not None:
            step = max(len(lane.wrong) // most, 1)
            places = (min(max(lane.place(seq), 0), lane.turns) for seq in lane.wrong[::step])
            found = (trace.outline.row_of(lane.item, place) for place in places)
            rows += [one for one in found if one is not None]
            continue
        if row is not None:
            rows.append(row)
    return rows


def next_wrong(trace: Trace, item: Item | None, by: int) -> tuple[SubagentId, int] | None:
    """The first error after an item, or (`by` is -1) the last before it, in the order of the tree."""
    wrong = [lane for lane in trace.lanes.values() if lane.wrong]
    who, first, stop = _spot(item, trace.lanes)
    if who is not None:
        lane = trace.lanes[who]
        at = bisect_left(lane.wrong, stop) if by > 0 else bisect_left(lane.wrong, first) - 1
        if 0 <= at < len(lane.wrong):
            return who, lane.wrong[at]
        wrong = [lane for lane in wrong if (lane.who > who if by > 0 else lane.who < who)]
    elif item is not None and isinstance(item.data, OfGeneration):
        number = item.data.number
        wrong = [lane for lane in wrong if (lane.who.generation >= number if by > 0 else lane.who.generation < number)]
    elif by < 0:
        wrong = []
    if not wrong:
        return None
    nearest = (min if by > 0 else max)(wrong, key=lambda lane: lane.who)
    return nearest.who, nearest.wrong[0 if by > 0 else -1]


def _spot(item: Item | None, lanes: Mapping[SubagentId, Lane]) -> tuple[SubagentId | None, int, int]:
    """Whose an item is, the event with which it begins, and one after which others come."""
    after = 0
    while item is not None:
        data = item.data
        if isinstance(data, OfEvent) and data.event.subagent in lanes:
            return data.event.subagent, data.event.seq, data.event.seq + 1
        if isinstance(data, OfTurn) and data.who in lanes:
            lane = lanes[data.who]
            own = item.parent is lane.item
            begins = data.seq or (lane.places[item.place] if lane.places is not None and own else 0)
            known = lane.places is not None and own and item.place + 1 < len(lane.places)
            ends = lane.places[item.place + 1] if lane.places is not None and known else 2**62
            if after:
                return data.who, begins, ends
            return data.who, begins, begins
        if isinstance(data, OfLane) and data.who in lanes:
            return data.who, 0, 0
        after = 1
        item = item.parent
    return None, 0, 0
