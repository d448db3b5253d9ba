"""The Anthropic Messages protocol: how its answers are read, streamed or whole, and how its errors look."""

import json
from typing import Any

import orjson

from backends.proxy.prices import Extras
from backends.proxy.protocol import Answer, AnswerReader, Live, OpaqueReader, loads, loads_quickly
from backends.proxy.sse import Event
from backends.proxy.values import number, text
from store.domain.limits import Usage

_ERROR_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}

_LAST = frozenset({"message_stop", "error"})


class AnthropicMessages:
    """Messages and what stands beside it; other paths pass through unread."""

    name = "anthropic"

    def endpoint(self, method: str, path: str) -> str:
        return self.name

    def conversation(self, method: str, path: str) -> str:
        # A count is of the conversation that would be sent, and kept like it.
        ends = ("/v1/messages", "/v1/messages/count_tokens")
        return "messages" if method == "POST" and path.rstrip("/").endswith(ends) else ""

    def asked(self, path: str, model: str, stream: bool) -> tuple[str, bool]:
        return model, stream

    def is_call(self, method: str, path: str) -> bool:
        return method == "POST" and path.rstrip("/").endswith("/v1/messages")

    def reader(self, method: str, path: str, live: Live) -> AnswerReader:
        return MessageReader(live) if self.is_call(method, path) else OpaqueReader()

    def credentials(self, api_key: str) -> list[tuple[bytes, bytes]]:
        return [(b"x-api-key", api_key.encode())]

    def error(self, status: int, message: str, kind: str = "") -> bytes:
        kind = kind or _ERROR_KINDS.get(status, "api_error")
        return orjson.dumps({"type": "error", "error": {"type": kind, "message": message}})


class MessageReader:
    """Puts the assistant's message together from a stream, or takes it from a body."""

    held_from: int | None = None

    def __init__(self, live: Live) -> None:
        self._live = live
        self._start: dict[str, Any] = {}
        self._blocks: dict[int, _Block] = {}
        self._usage: dict[str, Any] = {}
        self._stop_reason = ""
        self._whole = False
        self._error = ""
        self._strange: list[Any] = []

    def may_end(self, name: str) -> bool:
        return name in _LAST

    def event(self, event: Event) -> bool:
        try:
            # Only a delta's numbers don't matter, and nearly all events are deltas.
            value = (loads_quickly if event.name == "content_block_delta" else loads)(event.data)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            self._error = self._error or f"an event {event.name!r} is no JSON object"
            return event.name in _LAST
        kind = text(value.get("type")) or event.name
        try:
            self._read(kind, value)
        except (TypeError, ValueError, KeyError, AttributeError):
            self._strange.append(value)
            self._error = self._error or f"an event {kind!r} is not of the protocol's form"
        return kind in _LAST or event.name in _LAST

    def body(self, data: bytes) -> None:
        try:
            value = loads(data)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            self._error = "the body is no JSON object"
            return
        if value.get("type") == "error":
            self._error = _error_text(value.get("error"))
            self._whole = True
            return
        self._start = value
        self._note_usage(value.get("usage"))
        self._stop_reason = text(value.get("stop_reason"))
        self._whole = isinstance(value.get("content"), list)
        if not self._whole:
            self._error = "the body is no message"

    def answer(self) -> Answer:
        return Answer(
            messages=() if (message := self._message()) is None else (message,),
            model=text(self._start.get("model")),
            usage=Usage(
                input=self._count("input_tokens"),
                output=self._count("output_tokens"),
                cache_read=self._count("cache_read_input_tokens"),
                cache_write=self._count("cache_creation_input_tokens"),
            ),
            extras=self._extras(),
            stop_reason=self._stop_reason,
            whole=self._whole,
            error=self._error,
            strange=tuple(self._strange),
            response_id=text(self._start.get("id")),
        )

    def _read(self, kind: str, value: dict[str, Any]) -> None:
        match kind:
            case "content_block_delta":
                block = self._blocks.get(index := _index(value))
                if block is None:
                    # A delta of a block that never began is kept in one that has nothing else.
                    block = self._blocks[index] = _Block({})
                if not block.add(value["delta"], self._live):
                    self._strange.append(value)
            case "content_block_start":
                self._blocks[_index(value)] = block = _Block(dict(value["content_block"]))
                block.show(self._live)
            case "message_start":
                self._start = dict(value["message"])
                self._note_usage(self._start.get("usage"))
            case "message_delta":
                self._stop_reason = text(value["delta"].get("stop_reason")) or self._stop_reason
                self._note_usage(value.get("usage"))
            case "message_stop":
                self._whole = True
            case "error":
                self._error = _error_text(value.get("error"))
            case "ping" | "content_block_stop":
                pass
            case _:
                self._strange.append(value)

    def _message(self) -> dict[str, Any] | None:
        role = self._start.get("role")
        if not isinstance(role, str):
            return None
        if self._blocks:
            content: Any = [self._blocks[index].whole() for index in sorted(self._blocks)]
        else:
            content = self._start.get("content", [])
        return {"role": role, "content": content}

    def _note_usage(self, usage: Any) -> None:
        # Counts are running totals; what a later report leaves out stays as it was.
        if isinstance(usage, dict):
            self._usage.update((key, value) for key, value in usage.items() if value is not None)

    def _count(self, key: str) -> int:
        return number(self._usage.get(key))

    def _extras(self) -> Extras:
        cache = self._usage.get("cache_creation")
        tools = self._usage.get("server_tool_use")
        return Extras(
            hour_cache=number(cache.get("ephemeral_1h_input_tokens")) if isinstance(cache, dict) else 0,
            searches=number(tools.get("web_search_requests")) if isinstance(tools, dict) else 0,
            place=text(self._usage.get("inference_geo")).lower(),
            speed=text(self._usage.get("speed")).lower(),
        )


class _Block:
    """One content block in the making. Pieces are joined at the end, so that a long block costs its length."""

    def __init__(self, start: dict[str, Any]) -> None:
        self._start = start
        self._pieces: dict[str, list[str]] = {}

    def show(self, live: Live) -> None:
        """What the block's start already says."""
        for key, kind in (("text", "text"), ("thinking", "reasoning"), ("name", "tool")):
            if said := text(self._start.get(key)):
                live(kind, said)

    def add(self, delta: dict[str, Any], live: Live) -> bool:
        """Take a delta in; False for a kind that isn't known."""
        match delta["type"]:
            case "text_delta":
                self._join("text", delta["text"])
                live("text", delta["text"])
            case "input_json_delta":
                self._join("input", delta["partial_json"])
                live("tool", delta["partial_json"])
            case "thinking_delta":
                self._join("thinking", delta["thinking"])
                live("reasoning", delta["thinking"])
            case "signature_delta":
                self._start["signature"] = delta["signature"]
            case "citations_delta":
                self._start["citations"] = [*(self._start.get("citations") or ()), delta["citation"]]
            case "compaction_delta":
                self._start["content"] = delta["content"]
            case _:
                return False
        return True

    def _join(self, key: str, piece: str) -> None:
        if not isinstance(piece, str):
            raise TypeError(key)
        self._pieces.setdefault(key, []).append(piece)

    def whole(self) -> dict[str, Any]:
        """The block as it stands."""
        block = dict(self._start)
        for key, pieces in self._pieces.items():
            joined = "".join(pieces)
            if key == "input":
                block[key] = _input(joined, block.get("input"))
            else:
                block[key] = text(block.get(key)) + joined
        return block


def _input(said: str, start: Any) -> Any:
    """A tool call's input: the JSON value, the text itself where it is none, what the start said where it is empty."""
    if not said:
        return start
    try:
        return json.loads(said)
    except (ValueError, RecursionError):
        return said


def _error_text(error: Any) -> str:
    if not isinstance(error, dict):
        return "error"
    return f"{text(error.get('type')) or 'error'}: {text(error.get('message'))}".rstrip(": ")


def _index(value: dict[str, Any]) -> int:
    index = value["index"]
    if not isinstance(index, int):
        raise TypeError("index")
    return index
