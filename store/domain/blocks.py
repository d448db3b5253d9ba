"""What a message says, block by block: one reader for search, traces and the observer.

It reads messages as nodes keep them. A block's index is its position in such a message, and the text is what evidence
counts its code points in, so both depend on nothing but the message's JSON value.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class BlockKind(StrEnum):
    """What a block is. The value is the word that people see, and that the search index keeps."""

    TEXT = "text"
    REASONING = "reasoning"
    TOOL_CALL = "tool_call"
    TOOL_RESULT = "tool_result"
    IMAGE = "image"
    DOCUMENT = "document"
    OTHER = "other"


@dataclass(frozen=True)
class Block:
    """One block. `text` is the words; the input of a tool call as indented JSON with sorted keys; the text of a tool
    result's content; for `OTHER` the block itself as JSON; "" where there are no words.

    `name` is a tool call's tool, an image's media type, a document's title. `id` is the tool call's, on the call and on
    its result. `ok` is whether a tool call went well, on its result alone. `input` is a tool call's.
    """

    kind: BlockKind
    text: str = ""
    name: str = ""
    id: str = ""
    ok: bool | None = None
    input: Any = None


def blocks(message: Mapping[str, Any]) -> tuple[Block, ...]:
    """The blocks of a message of the Anthropic Messages protocol. What is unknown or malformed is `OTHER`."""
    content = message.get("content")
    if isinstance(content, str):
        return (Block(BlockKind.TEXT, content),)
    if not isinstance(content, list):
        return ()
    return tuple(_block(item) for item in content)


def pretty(value: Any) -> str:
    """A JSON value as people read it, the same for the same value."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)


def _block(item: Any) -> Block:
    try:
        return _read(item)
    except RecursionError:
        return Block(BlockKind.OTHER)


def _read(item: Any) -> Block:
    if not isinstance(item, dict):
        return Block(BlockKind.OTHER, pretty(item))
    kind = _string(item, "type")
    match kind:
        case "text":
            return Block(BlockKind.TEXT, _string(item, "text"))
        case "thinking":
            return Block(BlockKind.REASONING, _string(item, "thinking"))
        case "redacted_thinking":
            return Block(BlockKind.REASONING)
        case "image":
            return Block(BlockKind.IMAGE, name=_string(item.get("source"), "media_type"))
        case "document" | "search_result":
            return Block(BlockKind.DOCUMENT, _words(item), name=_string(item, "title"))
    if kind.endswith("tool_use"):
        given = item.get("input")
        text = given if isinstance(given, str) else pretty(given)
        return Block(BlockKind.TOOL_CALL, text, _string(item, "name"), _string(item, "id"), input=given)
    if kind.endswith("tool_result"):
        return Block(BlockKind.TOOL_RESULT, _words(item), id=_string(item, "tool_use_id"), ok=_went_well(item))
    return Block(BlockKind.OTHER, pretty(item))


def _went_well(result: dict[str, Any]) -> bool:
    """A client's tool says `is_error`; the provider's own say it in their content: an error's type, an exit code."""
    if result.get("is_error"):
        return False
    content = result.get("content")
    if not isinstance(content, dict):
        return True
    return not _string(content, "type").endswith("_error") and not content.get("return_code")


def _words(item: Any) -> str:
    """The text in a piece of content, in the order in which it stands, a line's end between two pieces."""
    if isinstance(item, str):
        return item
    if isinstance(item, list):
        return "\n".join(words for words in map(_words, item) if words)
    if not isinstance(item, dict):
        return ""
    if item.get("type") == "base64":
        return ""
    # `source` holds a document's text, `stdout` and `stderr` what the provider's own sandbox printed.
    members = ("title", "text", "content", "source", "data", "stdout", "stderr", "error_code", "error_message", "url")
    return "\n".join(words for words in (_words(item.get(name)) for name in members) if words)


def _string(item: Any, name: str) -> str:
    value = item.get(name) if isinstance(item, dict) else None
    return value if isinstance(value, str) else ""
