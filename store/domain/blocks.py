"""What a message says, block by block: one reader for search, traces and the observer, whatever the protocol.

It reads messages as nodes keep them: of Anthropic's Messages, OpenAI's Chat Completions and Responses, and Gemini. A
block's index is its position in what `blocks` makes of such a message, and the text is what evidence counts its code
points in, so both depend on nothing but the message's JSON value.
"""

import json
from collections.abc import Iterator, Mapping
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


_GIVEN = ("arguments", "input", "action", "operation", "code", "queries")
"""Members in which items of Responses have what a tool is given."""


_PLAIN = {"role", "content"}
_TOLD_BY_TOOLS = ("tool", "function")
"""Roles of the messages in which clients of the Chat protocol send results."""


@dataclass(frozen=True)
class Block:
    """One block. `text` is the words; the input of a tool call as indented JSON with sorted keys; the text of a tool
    result's content; for `OTHER` the block itself as JSON; "" where there are no words.

    `name` is a tool call's tool, an image's media type, a document's title. `id` is the tool call's, on the call and on
    its result; where a protocol has none, the tool's name. `ok` is whether a tool call went well, on its result alone:
    false where the result says that it didn't. `input` is a tool call's, read from JSON where it comes as text.
    """

    kind: BlockKind
    text: str = ""
    name: str = ""
    id: str = ""
    ok: bool | None = None
    input: Any = None


def blocks(message: Mapping[str, Any]) -> tuple[Block, ...]:
    """The blocks of a message. What is unknown or malformed is `OTHER`."""
    content = message.get("content")
    try:
        if isinstance(content, list) and message.keys() == _PLAIN and message["role"] not in _TOLD_BY_TOOLS:
            return tuple(map(_block, content))
        return tuple(_blocks(message))
    except RecursionError:
        return (Block(BlockKind.OTHER),)


def pretty(value: Any) -> str:
    """A JSON value as people read it, the same for the same value."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)


def _blocks(message: Mapping[str, Any]) -> Iterator[Block]:
    parts, kind, role = message.get("parts"), message.get("type"), message.get("role")
    if isinstance(parts, list):
        yield from map(_part, parts)
    elif role is None and isinstance(kind, str):
        yield from _item(kind, message)
    elif role in _TOLD_BY_TOOLS:
        name = _string(message, "tool_call_id") or _string(message, "name")
        yield Block(BlockKind.TOOL_RESULT, _words(message.get("content")), id=name, ok=True)
    else:
        yield from _message(message)


def _message(message: Mapping[str, Any]) -> Iterator[Block]:
    """Of Messages, of Chat Completions, or one of the items of Responses that say something."""
    if thought := _reasoning(message):
        yield Block(BlockKind.REASONING, thought)
    content = message.get("content")
    if isinstance(content, str):
        yield Block(BlockKind.TEXT, content)
    elif isinstance(content, list):
        yield from map(_block, content)
    if refusal := _string(message, "refusal"):
        yield Block(BlockKind.TEXT, refusal)
    if said := _string(message.get("audio"), "transcript"):
        yield Block(BlockKind.TEXT, said)
    calls = message.get("tool_calls")
    for call in [*(calls if isinstance(calls, list) else ()), {"function": message.get("function_call")}]:
        if isinstance(call, dict) and isinstance(asked := call.get("function", call.get("custom")), dict):
            name = _string(asked, "name")
            given = asked.get("arguments", asked.get("input"))
            yield _asked(name, _string(call, "id") or name, given)
        elif call != {"function": None}:
            yield Block(BlockKind.OTHER, pretty(call))


def _reasoning(message: Mapping[str, Any]) -> str:
    """What providers of the Chat protocol say of a model's reasoning, in whatever member; some use two for the same."""
    for name in ("reasoning_content", "reasoning", "reasoning_details", "thinking_blocks"):
        value = message.get(name)
        if isinstance(value, str | list) and (words := _words(value)):
            return words
    return ""


def _block(item: Any) -> Block:
    if not isinstance(item, dict):
        return Block(BlockKind.OTHER, pretty(item))
    kind = _string(item, "type")
    match kind:
        case "text" | "input_text" | "output_text":
            return Block(BlockKind.TEXT, _string(item, "text"))
        case "refusal":
            return Block(BlockKind.TEXT, _string(item, "refusal"))
        case "thinking":
            return Block(BlockKind.REASONING, _string(item, "thinking"))
        case "redacted_thinking":
            return Block(BlockKind.REASONING)
        case "image":
            return Block(BlockKind.IMAGE, name=_string(item.get("source"), "media_type"))
        case "image_url" | "input_image":
            url = item.get("image_url")
            return Block(BlockKind.IMAGE, name=_media_type(url if isinstance(url, str) else _string(url, "url")))
        case "file" | "input_file":
            return Block(BlockKind.DOCUMENT, name=_string(item.get("file", item), "filename"))
        case "input_audio":
            return Block(BlockKind.OTHER, name=_string(item.get("input_audio"), "format"))
        case "document" | "search_result":
            return Block(BlockKind.DOCUMENT, _words(item), name=_string(item, "title"))
    if kind.endswith("tool_use"):
        given = item.get("input")
        text = given if isinstance(given, str) else pretty(given)
        return Block(BlockKind.TOOL_CALL, text, _string(item, "name"), _string(item, "id"), input=given)
    if kind.endswith("tool_result"):
        return Block(BlockKind.TOOL_RESULT, _words(item), id=_string(item, "tool_use_id"), ok=_went_well(item))
    return Block(BlockKind.OTHER, pretty(item))


def _item(kind: str, item: Mapping[str, Any]) -> Iterator[Block]:
    """An item of Responses that is no message."""
    name = _string(item, "call_id") or _string(item, "id")
    if kind == "reasoning":
        yield Block(BlockKind.REASONING, _words(item.get("content")) or _words(item.get("summary")))
    elif kind == "image_generation_call":
        yield Block(BlockKind.IMAGE, name=_string(item, "output_format"))
    elif kind.endswith("_output"):
        yield Block(BlockKind.TOOL_RESULT, _words(item.get("output")), id=name, ok=not item.get("error"))
    elif kind.endswith("_call"):
        tool = _string(item, "name") or kind.removesuffix("_call")
        given = next((item[member] for member in _GIVEN if item.get(member) is not None), None)
        yield _asked(tool, name or tool, given)
        # The provider's own tools have their results with them.
        results = [item[member] for member in ("output", "outputs", "results", "error") if item.get(member)]
        if results:
            yield Block(BlockKind.TOOL_RESULT, _words(results), id=name or tool, ok=not item.get("error"))
    else:
        told = {member: value for member, value in item.items() if member != "encrypted_content"}
        yield Block(BlockKind.OTHER, pretty(told))


def _part(part: Any) -> Block:
    """A part of a content of Gemini."""
    if not isinstance(part, dict):
        return Block(BlockKind.OTHER, pretty(part))
    if isinstance(text := part.get("text"), str):
        return Block(BlockKind.REASONING if part.get("thought") is True else BlockKind.TEXT, text)
    for member, value in part.items():
        if not isinstance(value, dict):
            continue
        name = _string(value, "name")
        match member:
            case "functionCall":
                return _asked(name, _string(value, "id") or name, value.get("args"))
            case "functionResponse":
                response = value.get("response")
                ok = not (isinstance(response, dict) and response.get("error"))
                return Block(BlockKind.TOOL_RESULT, _told(response), id=_string(value, "id") or name, ok=ok)
            case "executableCode":
                return _asked("code_execution", "code_execution", _string(value, "code"))
            case "codeExecutionResult":
                ok = _string(value, "outcome") in ("", "OUTCOME_OK")
                return Block(BlockKind.TOOL_RESULT, _string(value, "output"), id="code_execution", ok=ok)
            case "inlineData" | "fileData":
                media = _string(value, "mimeType")
                if media.startswith("image/"):
                    return Block(BlockKind.IMAGE, name=media)
                return Block(BlockKind.DOCUMENT, name=_string(value, "displayName") or media)
    return Block(BlockKind.OTHER, pretty(part))


def _told(response: Any) -> str:
    """What a tool of Gemini's says: an object, which mostly has one text in it."""
    if isinstance(response, dict) and len(response) == 1:
        (only,) = response.values()
        if isinstance(only, str):
            return only
    return "" if response is None else pretty(response)


def _asked(tool: str, name: str, given: Any) -> Block:
    """A call of a tool, whose input may be JSON in a text."""
    if isinstance(given, str):
        try:
            read = json.loads(given)
        except ValueError:
            read = None
        if not isinstance(read, dict):
            return Block(BlockKind.TOOL_CALL, given, tool, name, input=given)
        given = read
    return Block(BlockKind.TOOL_CALL, "" if given is None else pretty(given), tool, name, input=given)


def _media_type(url: str) -> str:
    """Of a URL that is the data itself."""
    return url[len("data:") :].partition(",")[0].partition(";")[0] if url.startswith("data:") else ""


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
    members = (
        *(
            "title",
            "text",
            "thinking",
            "summary",
            "content",
            "source",
            "data",
            "logs",
            "stdout",
            "stderr",
            "error_code",
        ),
        *("error_message", "message", "url"),
    )
    return "\n".join(words for words in (_words(item.get(name)) for name in members) if words)


def _string(item: Any, name: str) -> str:
    value = item.get(name) if isinstance(item, dict) else None
    return value if isinstance(value, str) else ""
