"""The Messages protocol: what a request must be, and an answer as JSON or as a stream of events."""

import hashlib
import json
import math
from collections.abc import Iterator
from typing import Any

from backends.practice.model.conversation import Json
from backends.practice.model.policy import Reply

MODEL = "scripted-debugger"
BYTES_PER_TOKEN = 3.6
"""About what tokenisers make of code and English; the real number depends on the model."""
_ROLES = ("user", "assistant")
_FAST_PIECES = 3
"""Into how many pieces a block is cut when nobody watches."""
_STATUS = {
    400: "invalid_request_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "request_too_large",
    500: "api_error",
}


def error(status: int, message: str) -> bytes:
    """The body of a refusal."""
    return _json({"type": "error", "error": {"type": _STATUS[status], "message": message}})


def problem(request: Any, *, counting: bool = False) -> tuple[int, str] | None:
    """What is wrong with a request: the status and the message; None when nothing is."""
    if not isinstance(request, dict):
        return 400, "the body must be a JSON object"
    if not isinstance(request.get("model"), str):
        return 400, "model: Field required"
    if request["model"] != MODEL:
        return 404, f"model: {request['model']}"
    most = request.get("max_tokens")
    if not counting and (not isinstance(most, int) or isinstance(most, bool) or most < 1):
        return 400, "max_tokens: an integer of at least 1 is required"
    messages = request.get("messages")
    if not isinstance(messages, list) or not messages:
        return 400, "messages: at least one message is required"
    open_calls: set[str] = set()
    for i, message in enumerate(messages):
        found = _message(f"messages.{i}", message, open_calls)
        if found:
            return 400, found
    if open_calls and messages[-1]["role"] == "user":
        return 400, f"messages: `tool_use` ids without `tool_result`: {', '.join(sorted(open_calls))}"
    if messages[0]["role"] != "user":
        return 400, "messages.0: the first message must be the user's"
    if messages[-1]["role"] != "user":
        return 400, "messages: the last message must be the user's; this model does not go on from its own"
    return _rest(request)


def _rest(request: Json) -> tuple[int, str] | None:
    if not _texts(request.get("system", "")):
        return 400, "system: a text or a list of text blocks is required"
    tools = request.get("tools", [])
    if not isinstance(tools, list) or any(not isinstance(t, dict) or not isinstance(t.get("name"), str) for t in tools):
        return 400, "tools: a list of tools with a name is required"
    return None


def _message(where: str, message: Any, open_calls: set[str]) -> str | None:
    if not isinstance(message, dict) or message.get("role") not in _ROLES:
        return f"{where}.role: Input should be 'user' or 'assistant'"
    content = message.get("content")
    if isinstance(content, str):
        return None if content else f"{where}.content: text is empty"
    if not isinstance(content, list) or not content:
        return f"{where}.content: a text or a list of blocks is required"
    for j, block in enumerate(content):
        at = f"{where}.content.{j}"
        if not isinstance(block, dict) or not isinstance(block.get("type"), str):
            return f"{at}.type: Field required"
        if block["type"] == "text" and not isinstance(block.get("text"), str):
            return f"{at}.text: Field required"
        if block["type"] == "tool_use":
            if not all(isinstance(block.get(k), str) for k in ("id", "name")) or not isinstance(
                block.get("input"), dict
            ):
                return f"{at}: id, name and input are required"
            open_calls.add(block["id"])
        if block["type"] == "tool_result":
            if block.get("tool_use_id") not in open_calls:
                return f"{at}: unexpected `tool_use_id` found in `tool_result` blocks: {block.get('tool_use_id')}"
            if not _texts(block.get("content", "")):
                return f"{at}.content: a text or a list of blocks is required"
            open_calls.discard(block["tool_use_id"])
    return None


def _texts(content: Any) -> bool:
    """A text, or a list of blocks."""
    if isinstance(content, str):
        return True
    return isinstance(content, list) and all(
        isinstance(block, dict) and (block.get("type") != "text" or isinstance(block.get("text"), str))
        for block in content
    )


def tokens(value: Any) -> int:
    """About how many tokens a JSON value takes."""
    return math.ceil(len(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")) / BYTES_PER_TOKEN)


def usage(request: Json, reply: Reply) -> dict[str, int]:
    """Tokens in and out. What lies before the last two messages counts as read from the cache, if the request asks for
    one."""
    messages = request["messages"]
    head = tokens([request.get("system", ""), request.get("tools", [])])
    before, latest = tokens(messages[:-2]), tokens(messages[-2:])
    cached = '"cache_control"' in json.dumps(request)
    again = head + before if cached and len(messages) > 1 else 0
    return {
        "input_tokens": 0 if cached else head + before + latest,
        "cache_creation_input_tokens": (head + before + latest - again) if cached else 0,
        "cache_read_input_tokens": again,
        "output_tokens": tokens(list(reply.blocks)),
    }


def message(request: Json, reply: Reply) -> dict[str, Any]:
    """The answer as one JSON value."""
    digest = hashlib.blake2b(_json([request["messages"], list(reply.blocks)]), digest_size=12).hexdigest()
    return {
        "id": f"msg_{digest}",
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": list(reply.blocks),
        "stop_reason": reply.stop_reason,
        "stop_sequence": None,
        "usage": usage(request, reply),
    }


def events(request: Json, reply: Reply, *, words: bool) -> Iterator[bytes]:
    """The answer as a stream, an event at a time; `words` is whether text comes word by word, or in few pieces."""
    whole = message(request, reply)
    begun = {**whole, "content": [], "stop_reason": None, "usage": {**whole["usage"], "output_tokens": 1}}
    yield _event("message_start", {"message": begun})
    yield _event("ping", {})
    for index, block in enumerate(reply.blocks):
        yield from _block(index, block, words=words)
    ended = {"stop_reason": reply.stop_reason, "stop_sequence": None}
    yield _event("message_delta", {"delta": ended, "usage": {"output_tokens": whole["usage"]["output_tokens"]}})
    yield _event("message_stop", {})


def _block(index: int, block: Json, *, words: bool) -> Iterator[bytes]:
    kind = block["type"]
    if kind == "thinking":
        start: dict[str, Any] = {"thinking": "", "signature": ""}
        text, delta, key = block["thinking"], "thinking_delta", "thinking"
    elif kind == "text":
        start, text, delta, key = {"text": ""}, block["text"], "text_delta", "text"
    else:
        start = {"id": block["id"], "name": block["name"], "input": {}}
        text, delta, key = json.dumps(block["input"], ensure_ascii=False), "input_json_delta", "partial_json"
    yield _event("content_block_start", {"index": index, "content_block": {"type": kind, **start}})
    for piece in _pieces(text, words=words):
        yield _event("content_block_delta", {"index": index, "delta": {"type": delta, key: piece}})
    if kind == "thinking":
        signed = {"type": "signature_delta", "signature": block["signature"]}
        yield _event("content_block_delta", {"index": index, "delta": signed})
    yield _event("content_block_stop", {"index": index})


def _pieces(text: str, *, words: bool) -> Iterator[str]:
    if words:
        start = 0
        for i in range(1, len(text)):
            if text[i] == " " and text[i - 1] != " ":
                yield text[start:i]
                start = i
        yield text[start:]
        return
    step = max(math.ceil(len(text) / _FAST_PIECES), 1)
    for start in range(0, len(text), step):
        yield text[start : start + step]


def _event(kind: str, data: Json) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), _json({"type": kind, **data}))


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")
