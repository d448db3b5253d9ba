"""OpenAI's Responses: how an answer is read, streamed or whole. It is a list of items, each a message of its own."""

from typing import Any

from backends.proxy.openai_usage import error_of, extras_of, usage_of
from backends.proxy.protocol import Answer, Live, loads, loads_quickly
from backends.proxy.sse import Event
from backends.proxy.values import index, items, members, text

_LAST = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled", "error"})

_PIECES = {
    # event: the list in the item, its index in the event, the member that grows, the kind of live text
    "response.output_text.delta": ("content", "content_index", "text", "text"),
    "response.refusal.delta": ("content", "content_index", "refusal", "text"),
    "response.reasoning_text.delta": ("content", "content_index", "text", "reasoning"),
    "response.reasoning_summary_text.delta": ("summary", "summary_index", "text", "reasoning"),
    "response.function_call_arguments.delta": ("", "", "arguments", "tool"),
    "response.mcp_call_arguments.delta": ("", "", "arguments", "tool"),
    "response.custom_tool_call_input.delta": ("", "", "input", "tool"),
    "response.code_interpreter_call_code.delta": ("", "", "code", "tool"),
}

_STATES = frozenset(
    {"done", "in_progress", "searching", "interpreting", "generating", "completed", "failed", "queued", "partial_image"}
)
"""Last words of events that say how far something is: the item that is done has all of it."""

_PARTS = {
    "response.content_part.added": ("content", "content_index"),
    "response.content_part.done": ("content", "content_index"),
    "response.reasoning_summary_part.added": ("summary", "summary_index"),
    "response.reasoning_summary_part.done": ("summary", "summary_index"),
}


class ResponseReader:
    """Puts the items together from events, or takes them from a body."""

    held_from: int | None = None

    def __init__(self, live: Live) -> None:
        self._live = live
        self._response: dict[str, Any] = {}
        self._items: dict[int, dict[str, Any]] = {}
        self._growing: dict[tuple[int, str, int, str], list[str]] = {}
        """Texts in the making, by item, list, index and member; joined when they are looked at."""
        self._whole = False
        self._error = ""
        self._strange: list[Any] = []

    def may_end(self, name: str) -> bool:
        return name in _LAST

    def event(self, event: Event) -> bool:
        try:
            # Only a piece's numbers don't matter, and nearly all events are pieces.
            piece = event.name in _PIECES or (not event.name and b'.delta"' in event.data[:80])
            value = (loads_quickly if piece else loads)(event.data)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            if event.data.strip() != b"[DONE]":
                self._error = self._error or f"an event {event.name!r} is no JSON object"
            return event.name in _LAST
        kind = text(value.get("type")) or event.name
        try:
            self._read(kind, value)
        except (TypeError, ValueError, KeyError, AttributeError, IndexError):
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
        self._response = value
        if value.get("error"):
            self._error, self._whole = error_of(value["error"]), True
            return
        self._whole = isinstance(value.get("output"), list)
        if not self._whole:
            self._error = "the body is no response"

    def answer(self) -> Answer:
        response = self._response
        # Some send the end without the items that came before it.
        output = items(response.get("output")) or self._output()
        incomplete = members(response.get("incomplete_details"))
        searches = sum(isinstance(item, dict) and item.get("type") == "web_search_call" for item in output)
        return Answer(
            messages=tuple(item for item in output if isinstance(item, dict)),
            model=text(response.get("model")),
            usage=usage_of(response.get("usage")),
            extras=extras_of(response.get("usage"), response.get("service_tier"), searches),
            stop_reason=(text(incomplete.get("reason")) or text(response.get("status"))) if self._whole else "",
            whole=self._whole,
            error=self._error,
            strange=tuple(self._strange),
            response_id=text(response.get("id")),
        )

    def _read(self, kind: str, value: dict[str, Any]) -> None:
        if (place := _PIECES.get(kind)) is not None:
            listed, counted, member, live = place
            key = (self._index(value), listed, index(value.get(counted)), member)
            piece = value["delta"]
            if not isinstance(piece, str):
                raise TypeError(kind)
            self._growing.setdefault(key, []).append(piece)
            self._live(live, piece)
        elif kind == "response.output_item.added":
            self._items[index(value.get("output_index", len(self._items)))] = item = dict(value["item"])
            if name := text(item.get("name")):
                self._live("tool", name)
        elif kind == "response.output_item.done":
            self._items[index_of := self._index(value)] = dict(value["item"])
            self._growing = {key: pieces for key, pieces in self._growing.items() if key[0] != index_of}
        elif (part := _PARTS.get(kind)) is not None:
            listed, counted = part
            item, at = self._items.setdefault(self._index(value), {}), index(value.get(counted))
            _put(item, listed, at, dict(value["part"]))
            if kind.endswith("done"):
                for member in ("text", "refusal"):
                    self._growing.pop((self._index(value), listed, at, member), None)
        elif kind in _LAST:
            self._end(kind, value)
        elif isinstance(value.get("response"), dict):
            # created, queued, in progress
            self._response = value["response"]
        elif kind == "response.output_text.annotation.added":
            part_of = self._items[self._index(value)]["content"][value["content_index"]]
            part_of["annotations"] = [*(part_of.get("annotations") or ()), value["annotation"]]
        elif kind.rpartition(".")[2] not in _STATES and kind != "keepalive":
            self._strange.append(value)

    def _end(self, kind: str, value: dict[str, Any]) -> None:
        if kind == "error":
            said = value.get("error")
            self._error = error_of(said if isinstance(said, dict) else {**value, "type": ""})
            return
        self._response = members(value.get("response")) or self._response
        self._whole = kind in ("response.completed", "response.incomplete")
        if kind == "response.failed":
            self._error = error_of(self._response.get("error"))
        elif kind == "response.cancelled":
            self._error = "cancelled"

    def _index(self, value: dict[str, Any]) -> int:
        """Which item an event is about; the last one, where it doesn't say."""
        return index(value.get("output_index", max(self._items, default=0)))

    def _output(self) -> list[dict[str, Any]]:
        """The items as far as they came."""
        out = {number: dict(item) for number, item in self._items.items()}
        for (number, listed, place, member), pieces in self._growing.items():
            item = out.setdefault(number, {})
            if not listed:
                item[member] = text(item.get(member)) + "".join(pieces)
                continue
            part = dict(_at(item, listed, place))
            part[member] = text(part.get(member)) + "".join(pieces)
            item[listed] = list(items(item.get(listed)))
            _put(item, listed, place, part)
        return [out[number] for number in sorted(out)]


def _at(item: dict[str, Any], listed: str, place: int) -> dict[str, Any]:
    parts = items(item.get(listed))
    return members(parts[place]) if place < len(parts) else {}


def _put(item: dict[str, Any], listed: str, place: int, part: dict[str, Any]) -> None:
    parts = item[listed] = list(items(item.get(listed)))
    if place < len(parts):
        parts[place] = part
    else:
        parts.append(part)
