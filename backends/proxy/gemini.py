"""Google's Gemini protocol: generateContent, streamed as events or as a JSON array, or whole."""

import json
import re
from typing import Any

import orjson

from backends.proxy.prices import Extras
from backends.proxy.protocol import Answer, AnswerReader, Live, OpaqueReader, loads, loads_quickly
from backends.proxy.sse import Event
from backends.proxy.values import index, items, members, number, text
from store.domain.limits import Usage

_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "RESOURCE_EXHAUSTED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
    529: "UNAVAILABLE",
}
"""google.rpc.Code by HTTP status."""

_PATH = re.compile(r"(?:^|/)(?:models|tunedModels|endpoints)/([^/:]+):(\w+)$")
_CALLS = frozenset({"generateContent", "streamGenerateContent"})
_EMBEDDINGS = frozenset({"embedContent", "batchEmbedContents"})


class Gemini:
    """The Gemini API; other methods and paths pass through unread."""

    name = "gemini"

    def is_call(self, method: str, path: str) -> bool:
        return method == "POST" and _method(path) in _CALLS

    def endpoint(self, method: str, path: str) -> str:
        return self.name

    def conversation(self, method: str, path: str) -> str:
        return "contents" if self.is_call(method, path) else ""

    def asked(self, path: str, model: str, stream: bool) -> tuple[str, bool]:
        match = _match(path)
        if match is None:
            return model.removeprefix("models/"), False
        return match[1], match[2].startswith("stream")

    def reader(self, method: str, path: str, live: Live) -> AnswerReader:
        if self.is_call(method, path) or (method == "POST" and _method(path) in _EMBEDDINGS):
            return ContentReader(live)
        return OpaqueReader()

    def credentials(self, api_key: str) -> list[tuple[bytes, bytes]]:
        return [(b"x-goog-api-key", api_key.encode())]

    def error(self, status: int, message: str, kind: str = "") -> bytes:
        kind = kind or _STATUSES.get(status, "INTERNAL" if status >= 500 else "FAILED_PRECONDITION")
        return orjson.dumps({"error": {"code": status, "message": message, "status": kind}})


class ContentReader:
    """Puts the model's content together from chunks, or takes it from a body. With several candidates the first is the
    message. The protocol has no last event: the end of the body is the end."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._contents: dict[int, _Content] = {}
        self._reasons: dict[int, str] = {}
        """Why each candidate that is over ended."""
        self._blocked = ""
        self._head: dict[str, Any] = {}
        self._usage: dict[str, Any] = {}
        self._searches = 0
        self._done = False
        self._cut = False
        """The array of a stream breaks off."""
        self._embedded = False
        """The answer is vectors, and no content."""
        self._error = ""
        self._strange: list[Any] = []
        self.held_from: int | None = None

    def may_end(self, name: str) -> bool:
        return True

    def event(self, event: Event) -> bool:
        try:
            value = _loads(event.data)
        except (ValueError, RecursionError):
            value = None
        said = self._chunk(value)
        if not self._over():
            self.held_from = None
        elif said or self.held_from is None:
            self.held_from = event.start
        return bool(self._error) and isinstance(value, dict) and "error" in value

    def body(self, data: bytes) -> None:
        try:
            value, cut = loads(data), False
        except (ValueError, RecursionError):
            value, cut = _elements(data), True
        if isinstance(value, dict):
            self._done = True
            self._chunk(value, whole=True)
            return
        # Without `alt=sse` a stream is one array, whose elements come as they are made.
        for chunk in value if isinstance(value, list) and value else [None]:
            self._chunk(chunk)
            self._done = self._done or (isinstance(chunk, dict) and "error" in chunk)
        self._cut = cut

    def answer(self) -> Answer:
        contents = [self._contents[place].joined() for place in sorted(self._contents)]
        note = f"the answer has {len(contents)} candidates, of which the first is recorded as the message"
        usage = self._usage
        prompt, cached = number(usage.get("promptTokenCount")), number(usage.get("cachedContentTokenCount"))
        thoughts = number(usage.get("thoughtsTokenCount"))
        return Answer(
            messages=tuple(contents[:1]),
            model=text(self._head.get("modelVersion")),
            usage=Usage(
                input=max(prompt - cached, 0) + number(usage.get("toolUsePromptTokenCount")),
                output=number(usage.get("candidatesTokenCount")) + thoughts,
                cache_read=cached,
                reasoning=thoughts,
            ),
            extras=Extras(
                searches=self._searches,
                audio_input=_of_modality(usage.get("promptTokensDetails"), "AUDIO"),
                audio_output=_of_modality(usage.get("candidatesTokensDetails"), "AUDIO"),
                image_output=_of_modality(usage.get("candidatesTokensDetails"), "IMAGE"),
            ),
            stop_reason=self._reasons.get(min(self._contents, default=0), "") or self._blocked,
            whole=not self._cut and (self._done or (self._over() and not self._error)),
            error=self._error,
            strange=(*self._strange, *contents[1:]),
            response_id=text(self._head.get("responseId")),
            uncounted=self._embedded and not prompt,
            notes=(note,) if len(contents) > 1 else (),
        )

    def _over(self) -> bool:
        """All that belongs to an answer may have come."""
        return bool(self._blocked or self._reasons) and self._reasons.keys() >= self._contents.keys()

    def _chunk(self, value: Any, *, whole: bool = False) -> bool:
        """Read a chunk, which may be the `whole` answer; whether it had anything of the content."""
        if isinstance(value, dict) and isinstance(inner := value.get("response"), dict):
            # As Code Assist wraps it.
            value = inner
        if not isinstance(value, dict):
            self._error = self._error or "a piece of the answer is no JSON object"
            return False
        try:
            return self._read(value, whole=whole)
        except (TypeError, ValueError, KeyError, AttributeError):
            self._strange.append(value)
            self._error = self._error or "a piece of the answer is not of the protocol's form"
            return False

    def _read(self, value: dict[str, Any], *, whole: bool) -> bool:
        if error := value.get("error"):
            self._error = _error_text(error)
            return False
        self._embedded = self._embedded or "embedding" in value or "embeddings" in value
        for key in ("modelVersion", "responseId"):
            if value.get(key):
                self._head[key] = value[key]
        # Counts are running totals.
        self._usage.update((key, count) for key, count in members(value.get("usageMetadata")).items() if count)
        self._blocked = text(members(value.get("promptFeedback")).get("blockReason")) or self._blocked
        said = False
        for candidate in value.get("candidates") or ():
            place = index(candidate.get("index"))
            if content := candidate.get("content"):
                said = bool(content.get("parts")) or said
                self._contents.setdefault(place, _Content(merge=not whole)).add(
                    content, self._live if place == 0 else None
                )
            if reason := candidate.get("finishReason"):
                self._reasons[place] = text(reason)
            queries = items(members(candidate.get("groundingMetadata")).get("webSearchQueries"))
            self._searches = max(self._searches, len(queries))
        return said


class _Content:
    """A model's content in the making. Texts that follow one another are one, unless a signature belongs to them."""

    def __init__(self, *, merge: bool) -> None:
        self._merge = merge
        self._role = ""
        self._parts: list[dict[str, Any]] = []
        self._growing: list[str] | None = None
        """The pieces of the last part's text, when more may come."""

    def add(self, content: dict[str, Any], live: Live | None) -> None:
        self._role = self._role or text(content.get("role"))
        for part in content.get("parts") or ():
            if not isinstance(part, dict):
                raise TypeError("part")
            if live is not None:
                _show(part, live)
            plain = part.keys() <= {"text", "thought"} and isinstance(part.get("text"), str)
            if not (plain and self._merge):
                self._close()
                self._parts.append(part)
            elif self._growing is not None and bool(self._parts[-1].get("thought")) == bool(part.get("thought")):
                self._growing.append(part["text"])
            else:
                self._close()
                self._parts.append(dict(part))
                self._growing = [part["text"]]

    def _close(self) -> None:
        if self._growing is not None:
            self._parts[-1]["text"] = "".join(self._growing)
            self._growing = None

    def joined(self) -> dict[str, Any]:
        """The content so far."""
        self._close()
        parts = self._parts
        if self._merge:
            # The last chunk of a stream often has an empty text.
            parts = [part for part in parts if part != {"text": ""}] or parts[:1]
        return {"role": self._role or "model", "parts": parts}


def _show(part: dict[str, Any], live: Live) -> None:
    if said := text(part.get("text")):
        live("reasoning" if part.get("thought") else "text", said)
    if call := members(part.get("functionCall")):
        live("tool", text(call.get("name")))
        live("tool", json.dumps(call.get("args") or {}, ensure_ascii=False))
    if code := text(members(part.get("executableCode")).get("code")):
        live("tool", code)


def _error_text(error: Any) -> str:
    said = members(error)
    kind = text(said.get("status")) or str(said.get("code") or "error")
    return f"{kind}: {text(said.get('message'))}".rstrip(": ")


def _of_modality(details: Any, modality: str) -> int:
    """Tokens of that modality in a list of counts."""
    counts = (members(detail) for detail in items(details))
    return sum(number(count.get("tokenCount")) for count in counts if count.get("modality") == modality)


def _method(path: str) -> str:
    match = _match(path)
    return match[2] if match else ""


def _match(path: str) -> re.Match[str] | None:
    """The model and the method that a path names."""
    return _PATH.search(path.replace("%3A", ":").replace("%3a", ":"))


def _loads(data: bytes) -> Any:
    # A number matters in what a tool is given, and nowhere else.
    return (loads if b"unction" in data else loads_quickly)(data)


def _elements(data: bytes) -> list[Any] | None:
    """The elements of an array that breaks off, as far as they are whole; None for what is none."""
    said = data.decode("utf-8", "replace").lstrip()
    if not said.startswith("["):
        return None
    decoder, at = json.JSONDecoder(), 1
    out: list[Any] = []
    while True:
        while at < len(said) and said[at] in " \t\r\n,":
            at += 1
        try:
            value, at = decoder.raw_decode(said, at)
        except (ValueError, RecursionError):
            return out
        out.append(value)
