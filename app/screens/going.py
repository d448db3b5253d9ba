"""The way to a place in a trace that may have to be read first."""

from dataclasses import dataclass

from app.spots import OfBlock, OfFault, OfLane, OfResult, OfTold, OfTool, OfTurn
from app.turning import told_key, tool_key
from store.domain.ids import SubagentId


@dataclass
class Goal:
    """Where the cursor goes as soon as that has been read: an item of a turn, by the turn's number or by an event in
    it. `above` are the rows over it, where that was asked for."""

    who: SubagentId
    key: str
    turn: int | None = None
    seq: int | None = None
    above: int | None = None


def goal_of(data: object) -> Goal | None:
    """The way to what an item stands for, in another trace of the same run; None for what is above all subagents."""
    match data:
        case OfLane():
            return Goal(data.who, data.who.label)
        case OfTurn():
            return Goal(data.who, "", data.turn, data.seq or None)
        case OfTool():
            return Goal(data.who, tool_key(data.turn, data.started.tool_call), data.turn.turn)
        case OfResult():
            return Goal(data.who, f"{tool_key(data.tool.turn, data.tool.started.tool_call)} r", data.tool.turn.turn)
        case OfBlock():
            return Goal(data.who, f"{data.call} b{data.block}", data.turn)
        case OfTold():
            return Goal(data.who, told_key(data.who, data.turn, data.node, data.block), data.turn)
        case OfFault():
            return Goal(data.who, f"e{data.seq}", None, data.seq)
    return None
