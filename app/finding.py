"""Search over a run's tapes, as places in its trace."""

from typing import TYPE_CHECKING

from store.domain.blocks import BlockKind, blocks
from store.domain.ids import SubagentId

if TYPE_CHECKING:
    from store.database import Store

HITS = 200
"""Places that a search lists at most."""

Place = tuple[SubagentId, int, str]
"""Where something was found: the subagent, the turn, the key of the item in the trace."""


def find(store: "Store", query: str, run: str) -> list[Place]:
    """Where a run's tapes have it, in the order of the tapes. For a thread. StoreError."""
    from store import tapes
    from store.search import search

    found: dict[str, Place] = {}
    for hit in search(store, query, run=run, prompts=False, limit=HITS):
        who = hit.subagent
        if who is None:
            continue
        key = f"{hit.call} b{hit.block}"
        if hit.kind in (BlockKind.TOOL_CALL, BlockKind.TOOL_RESULT):
            block = blocks(tapes.node(store, hit.node).message)[hit.block]
            key = f"{who.label} t{hit.turn} {block.id}" + (" r" if hit.kind is BlockKind.TOOL_RESULT else "")
        found.setdefault(key, (who, hit.turn, key))
    return sorted(found.values(), key=lambda place: (place[0].generation, place[0].lane, place[1]))
