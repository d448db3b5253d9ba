"""A model's answer, put together from the events of its stream without changing what it holds."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Block = dict[str, Any]


@dataclass(frozen=True)
class ToolCall:
    """A tool call of an answer. `input` is None when its JSON was cut off or broken."""

    id: str
    name: str
    input: Any


@dataclass
class Answer:
    """An answer as far as it has come. It is `complete` when its last event was seen."""

    content: list[Block] = field(default_factory=list)
    stop_reason: str = ""
    explanation: str = ""
    complete: bool = False
    _json: dict[int, str] = field(default_factory=dict)
    _broken: set[str] = field(default_factory=set)

    def add(self, event: Mapping[str, Any]) -> None:
        """Take the next event. KeyError, TypeError or IndexError when it isn't what the protocol says."""
        kind = event.get("type")
        if kind == "content_block_start":
            if event["index"] != len(self.content):
                raise IndexError("the blocks of the answer are out of order")
            self.content.append(dict(event["content_block"]))
        elif kind == "content_block_delta":
            self._add_delta(event["index"], event["delta"])
        elif kind == "content_block_stop":
            self._close(event["index"])
        elif kind == "message_delta":
            delta = event["delta"]
            self.stop_reason = delta.get("stop_reason") or self.stop_reason
            self.explanation = (delta.get("stop_details") or {}).get("explanation") or self.explanation
        elif kind == "message_stop":
            for index in list(self._json):
                self._close(index)
            self.complete = True

    def _add_delta(self, index: int, delta: Mapping[str, Any]) -> None:
        block = self.content[index]
        kind = delta.get("type")
        if kind == "text_delta":
            block["text"] = block.get("text", "") + delta["text"]
        elif kind == "input_json_delta":
            self._json[index] = self._json.get(index, "") + delta["partial_json"]
        elif kind == "thinking_delta":
            block["thinking"] = block.get("thinking", "") + delta["thinking"]
        elif kind == "signature_delta":
            block["signature"] = delta["signature"]
        elif kind == "citations_delta":
            block["citations"] = [*(block.get("citations") or []), delta["citation"]]

    def _close(self, index: int) -> None:
        text = self._json.pop(index, "")
        if text:
            try:
                self.content[index]["input"] = json.loads(text)
            except ValueError:
                # It must go back as an object; that it was none is answered as malformed.
                self.content[index]["input"] = {}
                self._broken.add(str(self.content[index].get("id")))

    @property
    def message(self) -> Block:
        """The answer as the message that goes back in the next request."""
        return {"role": "assistant", "content": sendable(self.content)}

    @property
    def tool_calls(self) -> list[ToolCall]:
        """The tool calls, in order."""
        calls = tool_calls(self.message)
        return [ToolCall(call.id, call.name, None) if call.id in self._broken else call for call in calls]

    @property
    def text(self) -> str:
        """The words of the answer."""
        return text(self.message)


def tool_calls(message: Mapping[str, Any]) -> list[ToolCall]:
    """The tool calls of an assistant message, in order."""
    return [
        ToolCall(str(block.get("id", "")), str(block.get("name", "")), block.get("input"))
        for block in _blocks(message)
        if block.get("type") == "tool_use"
    ]


def text(message: Mapping[str, Any]) -> str:
    """The words of a message."""
    return "\n".join(str(block.get("text", "")) for block in _blocks(message) if block.get("type") == "text").strip()


def sendable(content: list[Block]) -> list[Block]:
    """The blocks as the provider takes them back: it refuses empty text and half a surrogate pair."""
    kept = [block for block in content if block and not (block.get("type") == "text" and not block.get("text"))]
    return [_encodable(block) for block in kept]


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode() if not value.isascii() else value
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    return value


def _blocks(message: Mapping[str, Any]) -> list[Block]:
    content = message.get("content")
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [block for block in content or [] if isinstance(block, dict)]
