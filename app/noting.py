"""A node of a trace made an observation: the operator's words, with the place on the tape that they rest on."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from app.spots import OfBlock, OfBranch, OfResult, OfTold, OfTool, OfTurn, Shown
from store.domain.blocks import Block, BlockKind, blocks
from store.domain.ids import SubagentId
from store.domain.observations import Evidence, Priority
from store.domain.observations import changes as do
from store.domain.secrets import shown_line

if TYPE_CHECKING:
    from store.database import Store

QUOTED = 240
"""Characters of the longest quote."""

Place = tuple[str, str, int, Block]
"""A call, a node that is on its tape, and a block of that."""


def evidence(store: "Store", spot: Shown) -> Evidence | None:
    """The first line that a node says, where it stands on the tape; None for what no message has. StoreError."""
    match spot:
        case OfTold():
            places, who, turn = _told(store, spot), spot.who, spot.turn
        case OfBlock():
            places, who, turn = _said(store, spot.call, spot.block), spot.who, spot.turn
        case OfTurn():
            places, who, turn = _turn(store, spot), spot.who, spot.turn
        case OfTool():
            places, who, turn = _asked(store, spot), spot.who, spot.turn.turn
        case OfResult() | OfBranch():
            places, who, turn = _answered(store, spot.tool), spot.who, spot.tool.turn.turn
        case _:
            return None
    found = (_quoted(who, turn, place) for place in places)
    return next(filter(None, found), None)


def added(words: str, priority: Priority, where: str, quote: str, seen: Evidence | None) -> do.Add:
    """The observation: where it rests on no message, its text says where it was seen, and quotes what was there."""
    said = shown_line(quote, QUOTED)
    if seen is None:
        words = f"{words.strip()}\nSeen in {shown_line(where)}{f': “{said}”' if said else ''}"
    return do.Add(words, priority, evidence=(seen,) if seen is not None else ())


def _quoted(who: SubagentId, turn: int, place: Place) -> Evidence | None:
    call, node, block, found = place
    start = 0
    for line in found.text.split("\n"):
        if quote := line.strip()[:QUOTED].encode("utf-8", "ignore").decode():
            start += line.index(quote[:1])
            if found.text.startswith(quote, start):
                return Evidence(who, call, node, block, start, start + len(quote), quote, turn)
            return None
        start += len(line) + 1
    return None


def _told(store: "Store", spot: OfTold) -> Iterator[Place]:
    from store import tapes

    if spot.node:
        yield spot.call, spot.node, spot.block, blocks(tapes.node(store, spot.node).message)[spot.block]


def _blocks(store: "Store", call: str) -> Iterator[Place]:
    """What a call said, block by block."""
    from store import tapes

    for message in tapes.answers(store, tapes.call(store, call)):
        for index, block in enumerate(blocks(message.message)):
            yield call, message.node, index, block


def _said(store: "Store", call: str, number: int) -> Iterator[Place]:
    yield from [place for at, place in enumerate(_blocks(store, call)) if at == number]


def _turn(store: "Store", turn: OfTurn) -> Iterator[Place]:
    """Its words before its calls of tools."""
    found = [place for call in reversed(turn.calls) for place in _blocks(store, call)]
    yield from sorted(found, key=lambda place: place[3].kind is not BlockKind.TEXT)


def _asked(store: "Store", tool: OfTool) -> Iterator[Place]:
    for call in reversed(tool.turn.calls):
        for place in _blocks(store, call):
            if place[3].kind is BlockKind.TOOL_CALL and place[3].id == tool.started.tool_call:
                yield place


def _answered(store: "Store", tool: OfTool) -> Iterator[Place]:
    """What a tool gave back, as the next call told it; what was asked of it where no call has."""
    from store import tapes

    calls = tapes.calls(store, subagent=tool.who)
    last = next((at for at, call in enumerate(calls) if call.id == (tool.turn.calls or [""])[-1]), len(calls))
    for call in calls[last + 1 :]:
        for message in tapes.told(store, call):
            for index, block in enumerate(blocks(message.message)):
                if block.kind is BlockKind.TOOL_RESULT and block.id == tool.started.tool_call:
                    yield call.id, message.node, index, block
                    return
    yield from _asked(store, tool)
