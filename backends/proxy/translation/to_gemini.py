"""Answers of Chat Completions, as LiteLLM gives them, as a Gemini client reads them, whole or as a stream. Plain
values."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from backends.proxy.translation.from_gemini import signature

_REASONS = {
    "stop": "STOP",
    "tool_calls": "STOP",
    "function_call": "STOP",
    "length": "MAX_TOKENS",
    "content_filter": "SAFETY",
    "refusal": "SAFETY",
}


class BrokenError(Exception):
    """An answer that is none, or that broke off."""


def content(completion: Mapping[str, Any], *, thoughts: bool) -> dict[str, Any]:
    """A whole answer; `thoughts` says that the client wants to see them. BrokenError."""
    candidates = []
    for choice in completion.get("choices") or ():
        place = choice.get("index") or 0
        candidate = _Candidate(place, thoughts)
        parts = list(candidate.read(choice.get("message") or {}))
        candidates.append(candidate.ended([*parts, *candidate.rest()], choice.get("finish_reason")))
    if not candidates:
        raise BrokenError("the answer has no choices")
    return {"candidates": candidates, **_told(completion)}


async def events(chunks: AsyncIterator[Mapping[str, Any]], *, thoughts: bool) -> AsyncIterator[dict[str, Any]]:
    """A stream's chunks. Why it ended comes last, with the usage, and only when the model said that it did.
    BrokenError."""
    candidates: dict[int, _Candidate] = {}
    told: dict[str, Any] = {}
    async for chunk in chunks:
        told |= _told(chunk)
        head: dict[str, Any] = {name: told[name] for name in ("modelVersion", "responseId") if name in told}
        for choice in chunk.get("choices") or ():
            place = choice.get("index") or 0
            candidate = candidates.setdefault(place, _Candidate(place, thoughts))
            if parts := list(candidate.read(choice.get("delta") or {})):
                yield {"candidates": [candidate.saying(parts)], **head}
            candidate.reason = choice.get("finish_reason") or candidate.reason
    if not candidates:
        raise BrokenError("the answer has no choices")
    last = [candidate.ended(list(candidate.rest()), candidate.reason) for candidate in candidates.values()]
    yield {"candidates": last, **told}


@dataclass
class _Candidate:
    place: int
    thoughts: bool
    reason: str | None = None
    _calls: dict[int, dict[str, str]] = field(default_factory=dict)
    """Tool calls in the making."""
    _thinking: list[dict[str, Any]] = field(default_factory=list)
    """Signed thinking that goes with the next part that is said."""

    def read(self, said: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The parts that a message, or a piece of one, completes."""
        thought = said.get("reasoning_content")
        self._think(said.get("thinking_blocks"))
        if isinstance(thought, str) and thought and self.thoughts:
            yield {"text": thought, "thought": True}
        for name in ("content", "refusal"):
            if isinstance(text := said.get(name), str) and text:
                yield self._signed({"text": text})
        for order, call in enumerate(said.get("tool_calls") or ()):
            place = call.get("index")
            place = order if place is None else place
            if place not in self._calls:
                # One begins, so those before it are whole.
                yield from self._called()
            made = self._calls.setdefault(place, {"id": "", "name": "", "arguments": ""})
            function = call.get("function") or {}
            made["id"] = made["id"] or call.get("id") or ""
            made["name"] = made["name"] or function.get("name") or ""
            made["arguments"] += function.get("arguments") or ""

    def rest(self) -> Iterator[dict[str, Any]]:
        """The parts that the end completes."""
        yield from self._called()
        if self._thinking:
            yield self._signed({"text": ""})

    def saying(self, parts: list[dict[str, Any]]) -> dict[str, Any]:
        return {"content": {"role": "model", "parts": parts}, "index": self.place}

    def ended(self, parts: list[dict[str, Any]], reason: str | None) -> dict[str, Any]:
        if reason is None:
            raise BrokenError("the answer ended before its end")
        return {**self.saying(parts or [{"text": ""}]), "finishReason": _REASONS.get(reason, "OTHER")}

    def _called(self) -> Iterator[dict[str, Any]]:
        for call in self._calls.values():
            try:
                arguments = json.loads(call["arguments"] or "{}")
            except ValueError as error:
                raise BrokenError(f"what the tool {call['name']} is given is no JSON") from error
            if not isinstance(arguments, dict):
                raise BrokenError(f"what the tool {call['name']} is given is no JSON object")
            yield self._signed({"functionCall": {"id": call["id"], "name": call["name"], "args": arguments}})
        self._calls.clear()

    def _think(self, blocks: Any) -> None:
        """Put signed thinking together from its pieces."""
        for block in blocks or ():
            pieces = self._thinking
            if block.get("type") == "thinking" and pieces and pieces[-1].get("signature") == "":
                said, signed = block.get("thinking") or "", block.get("signature") or ""
                # The piece with the signature has the whole once more.
                pieces[-1]["thinking"] = said if said and signed else pieces[-1]["thinking"] + said
                pieces[-1]["signature"] = signed
            elif block.get("type") == "thinking":
                both = {"thinking": block.get("thinking") or "", "signature": block.get("signature") or ""}
                pieces.append({"type": "thinking", **both})
            else:
                pieces.append({name: value for name, value in block.items() if value is not None})

    def _signed(self, part: dict[str, Any]) -> dict[str, Any]:
        thinking = [block for block in self._thinking if block.get("signature") or block.get("data")]
        self._thinking.clear()
        return {**part, "thoughtSignature": signature(thinking)} if thinking else part


def _told(completion: Mapping[str, Any]) -> dict[str, Any]:
    """What stands beside the content."""
    told: dict[str, Any] = {}
    if usage := completion.get("usage"):
        told["usageMetadata"] = _usage(usage)
    if model := completion.get("model"):
        told["modelVersion"] = model
    if identity := completion.get("id"):
        told["responseId"] = identity
    return told


def _usage(usage: Mapping[str, Any]) -> dict[str, int]:
    prompt, output = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    thoughts = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0
    counts = {
        "promptTokenCount": prompt,
        "candidatesTokenCount": max(output - thoughts, 0),
        "totalTokenCount": usage.get("total_tokens") or prompt + output,
    }
    return (
        counts
        | ({"cachedContentTokenCount": cached} if cached else {})
        | ({"thoughtsTokenCount": thoughts} if thoughts else {})
    )
