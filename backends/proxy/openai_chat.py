"""OpenAI's Chat Completions: how an answer is read, streamed or whole, from whoever speaks that protocol."""

from typing import Any

from backends.proxy.openai_usage import error_of, extras_of, usage_of
from backends.proxy.protocol import Answer, Live, loads, loads_quickly
from backends.proxy.sse import Event
from backends.proxy.values import index, items, text

DONE = b"[DONE]"

_ONCE = frozenset({"role", "id", "type", "object"})
"""Members whose text comes whole, with some in every delta; all other text comes in pieces."""

_LIVE = {"content": "text", "refusal": "text", "reasoning_content": "reasoning", "reasoning": "reasoning"}


class ChatReader:
    """Puts the assistant's message together from chunks, or takes it from a body. With several choices the first is
    the message."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._choices: dict[int, dict[str, Any]] = {}
        self._reasons: dict[int, str] = {}
        """Why each choice that is over ended."""
        self._head: dict[str, Any] = {}
        self._usage: Any = None
        self._done = False
        self._error = ""
        self._failed = False
        """An error came in the middle of the stream."""
        self._strange: list[Any] = []
        self.held_from: int | None = None

    def may_end(self, name: str) -> bool:
        return True

    def event(self, event: Event) -> bool:
        if event.data.strip() == DONE:
            self._done = True
            return True
        try:
            value = loads_quickly(event.data)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            self._error = self._error or "a chunk is no JSON object"
            return False
        try:
            self._read(value, event.start)
        except (TypeError, ValueError, KeyError, AttributeError):
            self._strange.append(value)
            self._error = self._error or "a chunk is not of the protocol's form"
        if value.get("error") or event.name == "error":
            # Some send the error's own members at the top.
            self._error, self._failed = error_of(value.get("error") or value), True
            return True
        return False

    def body(self, data: bytes) -> None:
        try:
            value = loads(data)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, list) and value:
            # Google's errors, in its OpenAI manner.
            value = value[0]
        if not isinstance(value, dict):
            self._error = "the body is no JSON object"
            return
        self._head, self._usage = value, value.get("usage")
        if value.get("error"):
            self._error, self._done = error_of(value["error"]), True
        for place, choice in enumerate(items(value.get("choices"))):
            if isinstance(choice, dict) and isinstance(choice.get("message"), dict):
                self._choices[place] = choice["message"]
                self._reasons[place] = text(choice.get("finish_reason"))
        self._done = self._done or bool(self._choices)
        if not self._done:
            self._error = "the body is no completion"

    def answer(self) -> Answer:
        choices = [_whole(self._choices[place]) for place in sorted(self._choices)]
        first = min(self._choices, default=0)
        # With some no [DONE] comes; the answer is whole when every choice has told why it ended.
        over = bool(self._choices) and self._reasons.keys() >= self._choices.keys() and not self._error
        note = f"the answer has {len(choices)} choices, of which the first is recorded as the message"
        return Answer(
            messages=tuple({**choice, "role": text(choice.get("role")) or "assistant"} for choice in choices[:1]),
            model=text(self._head.get("model")),
            usage=usage_of(self._usage),
            extras=extras_of(self._usage, self._head.get("service_tier")),
            stop_reason=self._reasons.get(first, ""),
            whole=(self._done or over) and not self._failed,
            error=self._error,
            strange=(*self._strange, *choices[1:]),
            response_id=text(self._head.get("id")),
            notes=(note,) if len(choices) > 1 else (),
        )

    def _read(self, value: dict[str, Any], start: int) -> None:
        if not self._head.get("id"):
            self._head = {key: value.get(key) for key in ("id", "model", "service_tier")}
        if tier := value.get("service_tier"):
            self._head["service_tier"] = tier
        if usage := value.get("usage"):
            self._usage = usage
        said = False
        for choice in value.get("choices") or ():
            place = index(choice.get("index"))
            delta = choice.get("delta") or {}
            message = self._choices.get(place)
            if message is None:
                message = self._choices[place] = {}
            if delta:
                said = said or any(value for key, value in delta.items() if key != "role")
                _merge(message, delta)
                if place == 0:
                    self._show(delta)
            if reason := choice.get("finish_reason"):
                self._reasons[place] = text(reason)
            if error := choice.get("error"):
                self._error, self._failed = error_of(error), True
        self._hold(start, said)

    def _hold(self, start: int, said: bool) -> None:
        """With every choice over, all but `[DONE]` and the usage may have come."""
        if len(self._reasons) < len(self._choices) or not self._choices:
            self.held_from = None
        elif said or self.held_from is None:
            self.held_from = start

    def _show(self, delta: dict[str, Any]) -> None:
        for key, value in delta.items():
            if not value:
                continue
            if key == "tool_calls":
                for call in value:
                    function = call.get("function") or call.get("custom") or {}
                    for member in ("name", "arguments", "input"):
                        if piece := text(function.get(member)):
                            self._live("tool", piece)
            elif (kind := _LIVE.get(key)) and isinstance(value, str):
                self._live(kind, value)


class _Pieces(list[str]):
    """A text in the making: joined at the end, so that a long one costs its length."""


class _Items:
    """A list in the making. Its entries come in pieces, told apart by their index or, without one, by their id."""

    def __init__(self) -> None:
        self._entries: list[dict[str, Any]] = []
        self._places: dict[int, dict[str, Any]] = {}
        self._plain: list[Any] = []

    def add(self, deltas: list[Any]) -> None:
        for delta in deltas:
            if isinstance(delta, dict):
                _merge(self._entry(delta), delta)
            else:
                self._plain.append(delta)

    def _entry(self, delta: dict[str, Any]) -> dict[str, Any]:
        place, name = delta.get("index"), delta.get("id")
        entry = self._places.get(place) if isinstance(place, int) else None
        if place is None and not name and self._entries:
            entry = self._entries[-1] if "function" in delta else None
        # Some give parallel calls one index, and tell them apart by their ids alone.
        if entry is None or (name and entry.get("id") and entry["id"] != name):
            entry = {}
            self._entries.append(entry)
            if isinstance(place, int):
                self._places[place] = entry
        return entry

    def whole(self) -> list[Any]:
        return [*self._plain, *map(_whole, sorted(self._entries, key=_place))]


def _place(entry: dict[str, Any]) -> int:
    place = entry.get("index")
    return place if isinstance(place, int) else 0


def _merge(into: dict[str, Any], delta: dict[str, Any]) -> None:
    """Take a delta in, as OpenAI's own SDK does: texts grow, objects and lists are merged, other values replace."""
    for key, value in delta.items():
        old = into.get(key)
        if isinstance(value, str):
            if key in _ONCE:
                into[key] = old or value
            elif isinstance(old, _Pieces):
                if not (key == "name" and "".join(old) == value):
                    old.append(value)
            else:
                into[key] = _Pieces([value])
        elif isinstance(value, dict):
            if not isinstance(old, dict):
                old = into[key] = {}
            _merge(old, value)
        elif isinstance(value, list):
            if not isinstance(old, _Items):
                old = into[key] = _Items()
            old.add(value)
        elif value is not None or old is None:
            into[key] = value


def _whole(value: Any, *, inside: str = "") -> Any:
    """What has been merged, as plain JSON. The index of a tool call is the stream's, not the message's."""
    if isinstance(value, _Pieces):
        return "".join(value)
    if isinstance(value, _Items):
        entries = value.whole()
        if inside == "tool_calls" and all(isinstance(entry, dict) for entry in entries):
            return [{key: item for key, item in entry.items() if key != "index"} for entry in entries]
        return entries
    if isinstance(value, dict):
        return {key: _whole(item, inside=key) for key, item in value.items()}
    return value
