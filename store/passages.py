"""What was said on the tapes into the full-text index, which `store.search` searches.

A passage is one block of one node on one subagent's tape, put in with the call that first had it: a node that two
subagents share is found on both tapes, and once on each.
"""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from store.domain.blocks import BlockKind, blocks
from store.gathering import AnyConnection, Insertion

if TYPE_CHECKING:
    from store.dag import Kept, Tape

NAMES = ("text", "call", "node", "block", "run", "generation", "lane", "role", "kind")
"""The columns of a passage."""

INSERT = Insertion("passages", NAMES)

OPEN, CLOSE = "\ue000", "\ue001"
"""Private-use characters that mark what matched; no passage has them."""

UNSTORABLE = re.compile(f"[\x00\ud800-\udfff{OPEN}{CLOSE}]")
# An escape in a tool call's JSON would be read as part of the word behind it: it becomes a space and what it means.
_ESCAPE = re.compile(r"\\(?:u[0-9a-f]{4}|.)")
_ESCAPED = {r"\n": " \n", r"\t": " \t", r"\"": ' "', r"\\": " \\"}


def index(connection: AnyConnection, tape: "Tape", call: str, nodes: Iterable[tuple[str, "Kept"]]) -> None:
    """Put nodes that are new on a tape into the index, inside the job that puts them there."""
    rows = [
        (_indexed(block.text, block.kind), call, key, position, *tape, kept.role, block.kind.value)
        for key, kept in nodes
        for position, block in enumerate(blocks(kept.message))
        if block.text
    ]
    if rows:
        INSERT.gather(connection, rows)


def _indexed(words: str, kind: BlockKind) -> str:
    """A block's text as it is indexed: as long as the text, so that places are the same in both."""
    if kind is BlockKind.TOOL_CALL:
        words = _ESCAPE.sub(lambda match: _ESCAPED.get(match[0], " " * len(match[0])), words)
    return UNSTORABLE.sub("\ufffd", words)
