"""From a piece of evidence to its place in the trace."""

from typing import TYPE_CHECKING

from app.screens.going import Goal
from app.turning import told_key
from store.domain.blocks import BlockKind, blocks
from store.domain.observations import Evidence
from store.domain.tape import SPEAKERS

if TYPE_CHECKING:
    from store.database import Store


def way(store: "Store", evidence: Evidence) -> Goal:
    """The way to the item that shows the span; to its turn where the tape no longer has the node."""
    from store import tapes

    who, turn = evidence.subagent, evidence.turn or None
    try:
        said = tapes.node(store, evidence.node)
        block = blocks(said.message)[evidence.block]
    except (KeyError, IndexError):
        return Goal(who, "", turn) if turn else Goal(who, who.label)
    tool = f"{who.label} t{evidence.turn} {block.id}"
    if block.kind is BlockKind.TOOL_RESULT and block.id:
        return Goal(who, f"{tool} r", turn)
    if block.kind is BlockKind.TOOL_CALL and block.id:
        return Goal(who, tool, turn)
    key = (
        f"{evidence.call} b{evidence.block}"
        if said.role in SPEAKERS
        else told_key(who, evidence.turn, evidence.node, evidence.block)
    )
    return Goal(who, key, turn)
