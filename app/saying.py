"""What the calls of a turn were told, and what they said, read from the record. For threads."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.callnodes import as_of
from app.spots import OfBlock, OfTold, OfTool, OfTurn
from store.domain.blocks import Block, BlockKind, blocks
from store.domain.secrets import shown_line
from store.domain.tape import Call, Message

if TYPE_CHECKING:
    from store.database import Store

GIST = 200
"""Characters of what a turn said that its line has."""
SYSTEM = "system"


@dataclass(frozen=True)
class Told:
    """A block of what a call's model was told since it last spoke. `node` is that of its message, "" for the system
    prompt that came with it; `index` counts the blocks of the message."""

    call: str
    node: str
    index: int
    role: str
    block: Block


def said(store: "Store", turn: OfTurn, now: float = math.inf) -> list[tuple[str, tuple[Block, ...]]]:
    """The words of a turn's calls that have finished; in a playback, by the recorded time that it is `now`."""
    from store import tapes

    found: list[tuple[str, tuple[Block, ...]]] = []
    for name in turn.calls:
        call = as_of(tapes.call(store, name), now)
        if call.ended is not None:
            found.append((name, words_of(store, call)))
    return found


def told(store: "Store", turn: OfTurn) -> list[Told]:
    """What the model was told in a turn: the prompt before the first one, then what a user says between. Results of
    tools are with their calls."""
    from store import tapes

    if not turn.calls:
        return []
    call = tapes.call(store, turn.calls[0])
    messages = tapes.told(store, call)
    found: list[Told] = []
    if not messages or messages[0].parent is None:
        system = tapes.system(store, call)
        found = [Told(call.id, "", 0, SYSTEM, Block(BlockKind.TEXT, system))] if system else []
    for message in messages:
        found += [Told(call.id, message.node, index, message.role, block) for index, block in _words(message)]
    return found


def _words(message: Message) -> list[tuple[int, Block]]:
    return [
        (index, block)
        for index, block in enumerate(blocks(message.message))
        if block.kind is not BlockKind.TOOL_RESULT and (block.text.strip() or block.name)
    ]


def of_told(store: "Store", spot: OfTold) -> Block:
    """A block of what a call was told."""
    from store import tapes

    if not spot.node:
        return Block(BlockKind.TEXT, tapes.system(store, tapes.call(store, spot.call)))
    return blocks(tapes.node(store, spot.node).message)[spot.block]


def gists(store: "Store", turns: Iterable[tuple[str, Sequence[str]]], now: float = math.inf) -> Mapping[str, str]:
    """The beginning of what turns said, by their keys; of each its calls are given."""
    from store import tapes

    found: dict[str, str] = {}
    for key, calls in turns:
        words = ""
        for name in reversed(calls):
            call = as_of(tapes.call(store, name), now)
            words = words or next((block.text for block in words_of(store, call) if block.text.strip()), "")
        found[key] = shown_line(words.strip(), GIST)
    return found


def words(store: "Store", call: str, node: str = "") -> str:
    """The text of one message of a call, by its node; "" is that of its answer."""
    from store import tapes

    if node:
        found: Iterable[Block] = blocks(tapes.node(store, node).message)
    else:
        last = tapes.answer(store, tapes.call(store, call))
        found = blocks(last.message) if last is not None else ()
    return "\n\n".join(block.text for block in found if block.kind is BlockKind.TEXT and block.text)


def block(store: "Store", spot: OfBlock) -> Block:
    """A block of a call's answer."""
    return answer(store, spot.call)[spot.block]


def asked(store: "Store", tool: OfTool) -> Block | None:
    """The block of the answer that asked for a tool."""
    for name in reversed(tool.turn.calls):
        for one in answer(store, name):
            if one.kind is BlockKind.TOOL_CALL and one.id == tool.started.tool_call:
                return one
    return None


def answer(store: "Store", call: str) -> tuple[Block, ...]:
    """What a call said, block by block."""
    from store import tapes

    return words_of(store, tapes.call(store, call))


def words_of(store: "Store", call: Call) -> tuple[Block, ...]:
    """The same of a call as it is known now."""
    from store import tapes

    return tuple(block for message in tapes.answers(store, call) for block in blocks(message.message))
