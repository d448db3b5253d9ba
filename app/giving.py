"""A node handed on: its text as it is, where it is written, and the program that shows it."""

import json
import re
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING

from app import nodes, saying
from app.spots import OfBlock, OfBranch, OfFault, OfResult, OfTold, OfTool, OfTry, OfTurn, Shown
from store.domain.blocks import Block, BlockKind
from store.domain.board import Board
from store.domain.events import ToolFinished
from store.domain.secrets import shown

if TYPE_CHECKING:
    from store.database import Store

_SGR = re.compile(r"\x1b\[[0-9;]{0,40}m")
"""Colours: in a text that is handed on they are noise."""
EDITORS, PAGERS = ("nano", "vi"), ("less", "more")
"""What is asked for when the operator named none, in this order."""


def text(store: "Store", board: Board, spot: Shown, *, raw: bool = False) -> str:
    """A node's text: its own words as they are, secrets hidden and controls made visible; of what has none, what the
    screen says of it. StoreError."""
    if not raw:
        match spot:
            case OfTold():
                return shown(_words(saying.of_told(store, spot)))
            case OfBlock():
                return shown(_words(saying.block(store, spot)))
            case OfResult():
                return shown(_SGR.sub("", nodes.output(store, spot.tool)))
            case OfTool() | OfBranch():
                tool = spot.tool if isinstance(spot, OfBranch) else spot
                asked = saying.asked(store, tool)
                output = _SGR.sub("", nodes.output(store, tool))
                return shown("\n\n".join(filter(None, (_words(asked) if asked else "", output))))
            case OfFault() if spot.event is not None and isinstance(spot.event.payload, ToolFinished):
                return shown(nodes.blob(store, spot.event.payload.result) or spot.event.payload.summary)
    lines = nodes.describe(store, board, spot, raw=raw)
    return "\n".join("".join(piece for piece, _ in line) for line in lines)


def _words(block: Block) -> str:
    if block.kind is BlockKind.TOOL_CALL and isinstance(block.input, dict):
        return f"{block.name} {json.dumps(block.input, indent=2, ensure_ascii=False)}"
    return block.text


def file_name(spot: Shown, *, raw: bool = False) -> str:
    """What a node's file is called: whose it is, its turn and what it is, so that an editor knows it."""
    who = getattr(spot, "who", None)
    name = [who.label if who is not None else "run"]
    end = "txt"
    match spot:
        case OfTurn() | OfTry():
            name += [f"turn-{spot.turn}"]
        case OfBlock():
            name += [f"turn-{spot.turn}", spot.kind.value.replace("_", "-")]
            end = "md" if spot.kind in (BlockKind.TEXT, BlockKind.REASONING) else end
        case OfTold():
            name += [f"turn-{spot.turn}", "".join(c for c in spot.role if c.isalnum())[:20]]
            end = "md"
        case OfTool() | OfBranch() | OfResult():
            tool = spot if isinstance(spot, OfTool) else spot.tool
            name += [f"turn-{tool.turn.turn}", "".join(c for c in tool.started.name if c.isalnum() or c in "-_")[:40]]
            name += ["result"] if isinstance(spot, OfResult) else []
        case OfFault():
            name += [f"event-{spot.seq}"]
    return f"{'-'.join(filter(None, name))}{'-raw' if raw else ''}.{end}"


def program(environ: Mapping[str, str], kind: str, found: Mapping[str, bool]) -> list[str]:
    """The operator's editor or pager with its arguments; the first of the usual ones that was found; [] without one.
    ValueError when what they set can't be read."""
    names = ("VISUAL", "EDITOR") if kind == "editor" else ("PAGER",)
    for name in names:
        if asked := environ.get(name, "").strip():
            try:
                return shlex.split(asked)
            except ValueError as error:
                raise ValueError(f"{name} can't be read: {error}") from error
    usual = EDITORS if kind == "editor" else PAGERS
    return next(([one] for one in usual if found.get(one)), [])
