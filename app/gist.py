"""What a block of a message says, on one line."""

from typing import Any

from store.domain.blocks import Block, BlockKind
from store.domain.safe_text import safe_line
from store.domain.secrets import mask

LINE = 100
"""Characters of it."""

_LOOKED_AT = 20 * LINE
"""Characters of a text that are looked at: a key that is cut off is hidden all the same."""


def gist(block: Block) -> str:
    """A tool call's input by its members; of any other block its beginning. Cut, without control characters and
    keys."""
    text = _members(block.input) if block.kind is BlockKind.TOOL_CALL else block.text.lstrip()
    return safe_line(mask(text[:_LOOKED_AT]), LINE)


def _members(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_members(item)}" for name, item in value.items())
    return str(value)
