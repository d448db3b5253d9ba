"""The kept form of a message: what its node keeps, and its key covers.

What doesn't change a message's meaning is left out, so that an answer, and the same message as clients send it back,
are one node. `split` takes a message apart into its kept form and an overlay with the rest, and `join` puts them
together; `docs/record.md` lists what is left out, and why. `conversation` is the member of the body that the message
stands in, which says of what protocol it is. The kept form of a kept form is itself.
"""

import json
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any

from store.domain.canonical import canonical, kept_key, parse
from store.domain.turns import goes_on, is_thought, joined, merged, separate

Overlay = dict[str, Any]
"""What a message has beyond its kept form: `edits`, a list of [path, value] (a path's last step is the name of a member
to set, or the index of an item to insert, in this order), `string` when its content was a plain string, and `urlsafe`,
a list of paths of base64 that was written in the alphabet for URLs. With `turns`, a list of [sizes, overlay], several
contents of a model are kept as one, or its texts joined; the sizes are the code points of each part's text, null for a
part of its own."""

Edits = list[list[Any]]

REASONING = frozenset({"reasoning_content", "reasoning", "reasoning_details", "thinking_blocks"})
"""Members of an assistant's message in which providers of the Chat protocol put reasoning."""

_ANSWER_ONLY = frozenset({"id", "model", "stop_reason", "stop_sequence", "stop_details", "usage"}) | frozenset(
    {"container", "context_management", "diagnostics"}
)
_CONTENT, _NOTHING = frozenset({"content"}), frozenset[str]()
_OF_OUTPUT = frozenset({"annotations", "logprobs"})
_FIELDS_OF_CLIENTS = frozenset({"index", "provider_specific_fields"})
_SIGNATURES = frozenset({"thoughtSignature", "thought_signature"})
_CACHE_MARKER = "cache_control"
_DIRECT = {"type": "direct"}
_REMINDER = "<system-reminder>"
_REMINDER_END = "</system-reminder>"
_TO_URL, _FROM_URL = str.maketrans("+/", "-_"), str.maketrans("-_", "+/")


def node_key(parent: str | None, message: Mapping[str, Any], conversation: str = "messages") -> str:
    """The key of a message under its parent's, None at the root of a conversation."""
    return kept_key(parent, canonical(split(message, conversation)[0]))


def units(items: Sequence[Mapping[str, Any]], conversation: str) -> list[list[Mapping[str, Any]]]:
    """The items of a conversation as nodes hold them: one each, but that what a Gemini model said in several contents,
    as clients keep a stream's chunks, is one."""
    found: list[list[Mapping[str, Any]]] = []
    for item in items:
        if conversation == "contents" and found and goes_on(found[-1][-1]) and goes_on(item):
            found[-1].append(item)
        else:
            found.append([item])
    return found


def split_unit(
    unit: Sequence[Mapping[str, Any]], conversation: str, *, reasoning: bool = False
) -> tuple[dict[str, Any], Overlay | None]:
    """`split` for what is one node. With `reasoning`, the parts of an answer that clients may drop are kept."""
    if conversation != "contents":
        return split(unit[0], conversation, reasoning=reasoning)
    turns = [_take(item, conversation, reasoning) for item in unit]
    if len(turns) == 1 and not goes_on(unit[0]):
        return turns[0]
    return merged(turns)


def split(
    message: Mapping[str, Any], conversation: str = "messages", *, reasoning: bool = False
) -> tuple[dict[str, Any], Overlay | None]:
    """A message as its node keeps it, and what that leaves out, None for nothing."""
    if conversation == "contents":
        return split_unit([message], conversation, reasoning=reasoning)
    return _take(message, conversation, reasoning)


def join_unit(kept: Mapping[str, Any], overlay: Overlay | None) -> list[dict[str, Any]]:
    """The items that `split_unit` was given."""
    if overlay is None or "turns" not in overlay:
        return [join(kept, overlay)]
    return [join(item, own) for item, own in separate(kept, overlay["turns"])]


def join(kept: Mapping[str, Any], overlay: Overlay | None) -> dict[str, Any]:
    """The message as it was. Shares with `kept` what the overlay doesn't touch."""
    if overlay is not None and "turns" in overlay:
        return join_unit(kept, overlay)[0]
    message = dict(kept)
    if overlay is None:
        return message
    for path, value in overlay.get("edits", ()):
        place = _place(message, path)
        if isinstance(path[-1], str):
            place[path[-1]] = value
        else:
            place.insert(path[-1], value)
    for path in overlay.get("urlsafe", ()):
        place = _place(message, path)
        place[path[-1]] = place[path[-1]].translate(_TO_URL)
    if overlay.get("string"):
        message["content"] = message["content"][0]["text"]
    return message


def bare(stored: Mapping[str, Any]) -> Mapping[str, Any]:
    """The kept form of what a node stores, which may have an answer's reasoning besides."""
    if not (members := _reasoning_of(stored)).isdisjoint(stored):
        return {name: value for name, value in stored.items() if name not in members}
    parts = stored.get("parts")
    if stored.get("role") == "model" and isinstance(parts, list) and any(map(is_thought, parts)):
        return {**stored, "parts": joined([part for part in parts if not is_thought(part)])[0]}
    return stored


def reasons(message: Mapping[str, Any]) -> bool:
    """Whether an answer has reasoning that its key leaves out."""
    parts = message.get("parts")
    return not _reasoning_of(message).isdisjoint(message) or (isinstance(parts, list) and any(map(is_thought, parts)))


def role_of(message: Mapping[str, Any]) -> str:
    """Whose message it is, also where it doesn't say so: an item of Responses, a content of Gemini. ValueError where
    its role is none that a node can have."""
    role = message.get("role")
    if role is None and ("parts" in message or isinstance(message.get("type"), str)):
        if "parts" in message:
            return "user"
        return "tool" if message["type"].endswith("_output") else "assistant"
    if not isinstance(role, str) or not role.isascii():
        raise ValueError("a message has no role, or none that is ASCII")
    return role


def _take(message: Mapping[str, Any], conversation: str, reasoning: bool) -> tuple[dict[str, Any], Overlay | None]:
    edits: Edits = []
    urlsafe: list[list[Any]] = []
    kept: dict[str, Any] = {}
    string = False
    role, kind = message.get("role"), message.get("type")
    user, assistant = role == "user", role == "assistant"
    dropped = _NOTHING if reasoning else _reasoning_of(message)
    item = conversation == "input"
    left_out = _left_out_of_item if item else _left_out
    said = not item or (isinstance(role, str) and kind in (None, "message"))
    for name, value in message.items():
        if name in dropped:
            edits.append([[name], value])
        elif name == "content" and said and isinstance(value, str | list):
            string = isinstance(value, str)
            text = ("output_text" if assistant else "input_text") if item else "text"
            content = [{"type": text, "text": value}] if isinstance(value, str) else value
            kept[name] = _content(content, user, [name], edits)
        elif name == "parts" and role == "model" and isinstance(value, list):
            kept[name] = _parts(value, False, reasoning, edits, urlsafe)
        elif name == "parts" and conversation == "contents" and isinstance(value, list):
            kept[name] = _parts(value, role in ("user", None), True, edits, urlsafe)
        elif _empty(name, value) or left_out(name, value, message):
            edits.append([[name], value])
        elif name == "tool_calls" and assistant and isinstance(value, list):
            kept[name] = [_tool_call(call, [name, index], edits) for index, call in enumerate(value)]
        elif name == "arguments" and item and isinstance(value, str):
            kept[name] = _arguments(value, [name], edits)
        elif name == "input" and item:
            kept[name] = value
        else:
            kept[name] = _strip(value, [name], edits)
    if assistant and kept.get("content") == [] and kept.get("tool_calls"):
        # Beside tool calls, clients say nothing in many ways.
        del kept["content"]
        edits = [edit for edit in edits if edit[0][0] != "content"]
        edits.append([["content"], message["content"]])
        string = False
    overlay: Overlay = {}
    if edits:
        overlay["edits"] = edits
    if string:
        overlay["string"] = True
    if urlsafe:
        overlay["urlsafe"] = urlsafe
    return kept, overlay or None


def _reasoning_of(message: Mapping[str, Any]) -> frozenset[str]:
    """The members in which it would have reasoning that clients may drop."""
    if message.get("role") == "assistant":
        return REASONING
    return _CONTENT if message.get("type") == "reasoning" and message.get("role") is None else _NOTHING


def _left_out(name: str, value: Any, message: Mapping[str, Any]) -> bool:
    """Of a message of the Messages or the Chat protocol."""
    if name in _ANSWER_ONLY or (message.get("type") == "message" and name not in ("role", "content")):
        return True
    if message.get("role") != "assistant":
        return False
    return name == "provider_specific_fields" or (name in ("annotations", "tool_calls") and value == [])


def _left_out_of_item(name: str, value: Any, item: Mapping[str, Any]) -> bool:
    """Of an item of Responses. An item's id says nothing where the item itself is there; and of reasoning that is
    encrypted each of a stream's events has another copy, of which clients send back the one or the other."""
    role, kind = item.get("role"), item.get("type")
    if name == "id":
        return isinstance(role, str) or (isinstance(kind, str) and kind != "item_reference")
    return (
        name == "status"
        or (name == "type" and isinstance(role, str) and value == "message")
        or (name == "encrypted_content" and kind == "reasoning")
    )


def _content(content: list[Any], user: bool, path: list[Any], edits: Edits) -> list[Any]:
    kept = []
    for index, block in enumerate(content):
        if not isinstance(block, dict):
            kept.append(_strip(block, [*path, index], edits))
        elif block.get("type") in ("text", "input_text", "output_text") and _says_nothing(block.get("text"), user):
            edits.append([[*path, index], block])
        else:
            kept.append(_block(block, [*path, index], edits))
    return kept


def _block(block: dict[str, Any], path: list[Any], edits: Edits) -> dict[str, Any]:
    kept = {}
    output = block.get("type") == "output_text"
    for name, value in block.items():
        # A tool's input is the tool's own business: null and `cache_control` mean there what the tool wants.
        if name == "input":
            kept[name] = value
        elif _empty(name, value) or (name == "citations" and value == []) or (output and name in _OF_OUTPUT):
            edits.append([[*path, name], value])
        elif name == "caller" and _strip(value, [], []) == _DIRECT:
            # The default, which answers spell out and clients drop.
            edits.append([[*path, name], value])
        else:
            kept[name] = _strip(value, [*path, name], edits)
    return kept


def _tool_call(call: Any, path: list[Any], edits: Edits) -> Any:
    """One of the Chat protocol."""
    if not isinstance(call, dict):
        return _strip(call, path, edits)
    kept = {}
    for name, value in call.items():
        if _empty(name, value) or name in _FIELDS_OF_CLIENTS:
            edits.append([[*path, name], value])
        elif name == "function" and isinstance(value, dict) and isinstance(value.get("arguments"), str):
            rest = _strip({key: item for key, item in value.items() if key != "arguments"}, [*path, name], edits)
            kept[name] = {**rest, "arguments": _arguments(value["arguments"], [*path, name, "arguments"], edits)}
        else:
            kept[name] = _strip(value, [*path, name], edits)
    return kept


def _arguments(text: str, path: list[Any], edits: Edits) -> str:
    """A tool call's arguments less their spacing, which clients that read and write them change."""
    try:
        value = parse(text) if text else {}
        compact = json.dumps(value, ensure_ascii=False, separators=(",", ":")) if isinstance(value, dict) else text
    except (ValueError, RecursionError):
        return text
    if compact != text:
        edits.append([path, text])
    return compact


def _parts(parts: list[Any], user: bool, reasoning: bool, edits: Edits, urlsafe: list[list[Any]]) -> list[Any]:
    """The parts of a Gemini content. A signature goes with reasoning, and clients drop it or send it on, or move it."""
    kept = []
    for index, part in enumerate(parts):
        path = ["parts", index]
        if not isinstance(part, dict):
            kept.append(_strip(part, path, edits))
            continue
        if not reasoning and is_thought(part):
            edits.append([path, part])
            continue
        mark, one = len(edits), {}
        for name, value in part.items():
            if value is None or name in _SIGNATURES or (name == "thought" and value is False):
                edits.append([[*path, name], value])
            elif name in ("functionCall", "functionResponse") and isinstance(value, dict):
                one[name] = {
                    key: item for key, item in value.items() if item is not None or key in ("args", "response")
                }
                edits += [[[*path, name, key], item] for key, item in value.items() if key not in one[name]]
            elif name == "inlineData" and isinstance(value, dict):
                one[name] = _inline(value, [*path, name], edits, urlsafe)
            else:
                one[name] = _strip(value, [*path, name], edits)
        if not one or (one.keys() <= {"text", "thought"} and _says_nothing(one.get("text"), user)):
            edits[mark:] = [[path, part]]
        else:
            kept.append(one)
    return kept


def _inline(value: dict[str, Any], path: list[Any], edits: Edits, urlsafe: list[list[Any]]) -> dict[str, Any]:
    """Data, in base64's own alphabet: a client may send back in that for URLs what came in the other one."""
    kept: dict[str, Any] = _strip(value, path, edits)
    data = kept.get("data")
    if isinstance(data, str) and ("-" in data or "_" in data) and "+" not in data and "/" not in data:
        kept["data"] = data.translate(_FROM_URL)
        urlsafe.append([*path, "data"])
    return kept


def _place(message: dict[str, Any], path: Sequence[Any]) -> Any:
    """Where a path leads to but for its last step, each thing on the way made a copy."""
    place: Any = message
    for step in path[:-1]:
        place[step] = copy(place[step])
        place = place[step]
    return place


def _strip(value: Any, path: list[Any], edits: Edits) -> Any:
    if isinstance(value, dict):
        kept = {}
        for name, item in value.items():
            if name == "input":
                kept[name] = item
            elif _empty(name, item):
                edits.append([[*path, name], item])
            else:
                kept[name] = _strip(item, [*path, name], edits)
        return kept
    if isinstance(value, list):
        return [_strip(item, [*path, index], edits) for index, item in enumerate(value)]
    return value


def _empty(name: str, value: Any) -> bool:
    return value is None or name == _CACHE_MARKER


def _says_nothing(text: Any, user: bool) -> bool:
    return isinstance(text, str) and (not text or (user and _is_reminder(text)))


def _is_reminder(text: str) -> bool:
    """Nothing but reminders. One that quotes the closing tag is taken for more than that, and kept."""
    position, found = 0, False
    text = text.strip()
    while text.startswith(_REMINDER, position):
        end = text.find(_REMINDER_END, position)
        if end < 0:
            return False
        found, position = True, end + len(_REMINDER_END)
        while position < len(text) and text[position].isspace():
            position += 1
    return found and position == len(text)
