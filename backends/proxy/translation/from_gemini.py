"""A Gemini request as one of Chat Completions, which LiteLLM takes on from there. Plain values.

LiteLLM's own adapter for these clients is not used: it gives every call of one tool the same id, leaves out pictures,
all of a system instruction but its first part, which tools may be called and thoughts, and ends a stream that broke as
if it were whole.
"""

import json
import re
from base64 import b64decode, b64encode
from binascii import Error
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from backends.proxy.translation.untranslatable import UntranslatableError

OPAQUE = b"multitrack:thinking:"
"""Begins a thought signature of ours: another provider's thinking, as JSON, which a client gives back unread."""

_SETTINGS = {
    "maxOutputTokens": "max_tokens",
    "temperature": "temperature",
    "topP": "top_p",
    "topK": "top_k",
    "candidateCount": "n",
    "stopSequences": "stop",
    "presencePenalty": "presence_penalty",
    "frequencyPenalty": "frequency_penalty",
    "seed": "seed",
    "responseLogprobs": "logprobs",
    "logprobs": "top_logprobs",
}
_CHOICES = {"AUTO": "auto", "ANY": "required", "VALIDATED": "auto", "NONE": "none"}
_EFFORTS = ((2047, "low"), (4095, "medium"))
"""Up to which budget of thinking tokens an effort goes, as LiteLLM has it; "high" beyond."""

_CAPITAL = re.compile(r"(?<=[a-z])([A-Z])")


def chat(body: Mapping[str, Any], *, thinks: bool) -> dict[str, Any]:
    """The members of a Chat Completions request. `thinks` says that it goes to a model that wants its own thinking
    back. UntranslatableError."""
    if member(body, "cachedContent") is not None:
        raise UntranslatableError("cachedContent names what another provider keeps: send the whole conversation")
    contents = body.get("contents")
    contents = [contents] if isinstance(contents, str | dict) else contents
    if not isinstance(contents, list) or not contents:
        raise UntranslatableError("contents: a list of contents is required")
    asked: dict[str, Any] = {"messages": [*_system(member(body, "systemInstruction")), *_messages(contents, thinks)]}
    config = member(body, "generationConfig")
    asked.update(_settings(config if isinstance(config, dict) else {}))
    if tools := list(_tools(body.get("tools"))):
        asked["tools"] = tools
        asked.update(_choice(member(body, "toolConfig"), tools))
    return asked


def member(value: Any, name: str) -> Any:
    """A member, whose name may also be written with underscores."""
    if not isinstance(value, dict):
        return None
    found = value.get(name)
    return value.get(_CAPITAL.sub(r"_\1", name).lower()) if found is None else found


def json_schema(schema: Any) -> Any:
    """Gemini's kind of a schema (of OpenAPI) as JSON Schema."""
    if isinstance(schema, list):
        return [json_schema(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made: dict[str, Any] = {}
    for name, value in schema.items():
        match name:
            case "type" if isinstance(value, str):
                made[name] = value.lower()
            case "properties" | "$defs" | "defs" if isinstance(value, dict):
                made[name] = {key: json_schema(inner) for key, inner in value.items()}
            case "items" | "anyOf" | "prefixItems" | "additionalProperties":
                made[name] = json_schema(value)
            case "any_of":
                made["anyOf"] = json_schema(value)
            case "minItems" | "maxItems" | "minLength" | "maxLength" | "minProperties" | "maxProperties":
                # 64 bits are a text there.
                made[name] = int(value) if isinstance(value, str) and value.isdigit() else value
            case "nullable" | "propertyOrdering" | "property_ordering":
                pass
            case "format" if value == "enum":
                pass
            case _:
                made[name] = value
    if schema.get("nullable") is True:
        if isinstance(made.get("type"), str):
            made["type"] = [made["type"], "null"]
            if isinstance(made.get("enum"), list):
                made["enum"] = [*made["enum"], None]
        elif isinstance(made.get("anyOf"), list):
            made["anyOf"] = [*made["anyOf"], {"type": "null"}]
    return made


def _system(instruction: Any) -> Iterator[dict[str, Any]]:
    if isinstance(instruction, str):
        yield {"role": "system", "content": instruction}
    elif parts := [{"type": "text", "text": part["text"]} for part in _parts(instruction) if _is_text(part)]:
        yield {"role": "system", "content": parts[0]["text"] if len(parts) == 1 else parts}


def _messages(contents: Sequence[Any], thinks: bool) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    calls = _Calls()
    for content in contents:
        if isinstance(content, str):
            content = {"parts": [{"text": content}]}
        if not isinstance(content, dict):
            raise UntranslatableError("contents: each is an object with parts")
        if content.get("role") == "model":
            said = _said(_parts(content), calls, thinks)
            if messages and messages[-1]["role"] == "assistant":
                # What came in pieces is one turn.
                messages[-1] = _joined(messages[-1], said)
            else:
                messages.append(said)
        else:
            messages += _given(_parts(content), calls)
    return messages


class _Calls:
    """Which call a result belongs to, where clients leave out the ids: those of the last turn, in order, by name."""

    def __init__(self) -> None:
        self._open: list[tuple[str, str]] = []
        self._made = 0

    def called(self, given: Any, name: str) -> str:
        self._made += 1
        # The same one each time, for the sake of a provider's prompt cache.
        call = given if isinstance(given, str) and given else f"call_{self._made}"
        self._open.append((call, name))
        return call

    def answered(self, given: Any, name: str) -> str:
        found = next((one for one in self._open if (one[0] == given if given else one[1] == name)), None)
        if found is not None:
            self._open.remove(found)
            return found[0]
        return given if isinstance(given, str) and given else f"call_of_{name}"


def _said(parts: Sequence[dict[str, Any]], calls: _Calls, thinks: bool) -> dict[str, Any]:
    """The assistant's message."""
    texts: list[str] = []
    used: list[dict[str, Any]] = []
    thinking: list[Any] = []
    for part in parts:
        if thinks:
            thinking += _thinking(member(part, "thoughtSignature"))
        if _is_text(part) and not part.get("thought"):
            texts.append(part["text"])
        elif isinstance(call := member(part, "functionCall"), dict):
            name = str(call.get("name") or "")
            arguments = json.dumps(call.get("args") or {}, ensure_ascii=False)
            used.append(
                {
                    "id": calls.called(call.get("id"), name),
                    "type": "function",
                    "function": {"name": name, "arguments": arguments},
                }
            )
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts) or None}
    if used:
        message["tool_calls"] = used
    if thinking:
        message["thinking_blocks"] = thinking
    return message


def _joined(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    joined = {**one, "content": (one["content"] or "") + (other["content"] or "") or None}
    for name in ("tool_calls", "thinking_blocks"):
        if both := [*one.get(name, ()), *other.get(name, ())]:
            joined[name] = both
    return joined


def _thinking(signature: Any) -> list[Any]:
    """The thinking in a signature of ours; nothing in anybody else's."""
    if not isinstance(signature, str):
        return []
    try:
        data = b64decode(signature.translate({ord("-"): "+", ord("_"): "/"}) + "=" * (-len(signature) % 4))
        blocks = json.loads(data.removeprefix(OPAQUE)) if data.startswith(OPAQUE) else []
    except (Error, ValueError, RecursionError):
        return []
    return blocks if isinstance(blocks, list) else []


def signature(thinking: Sequence[Any]) -> str:
    """A thought signature that has thinking in it."""
    return b64encode(OPAQUE + json.dumps(thinking).encode()).decode()


def _given(parts: Sequence[dict[str, Any]], calls: _Calls) -> list[dict[str, Any]]:
    """What a user or a tool says: results first, for they follow the calls."""
    results: list[dict[str, Any]] = []
    content: list[dict[str, Any]] = []
    for part in parts:
        if _is_text(part):
            content.append({"type": "text", "text": part["text"]})
        elif isinstance(given := member(part, "functionResponse"), dict):
            name = str(given.get("name") or "")
            results.append(
                {
                    "role": "tool",
                    "tool_call_id": calls.answered(given.get("id"), name),
                    "content": _result(given.get("response")),
                }
            )
            content += [_data(inner) for inner in _parts(given)]
        else:
            content.append(_data(part))
    if len(content) == 1 and content[0]["type"] == "text":
        return [*results, {"role": "user", "content": content[0]["text"]}]
    return [*results, {"role": "user", "content": content}] if content or not results else results


def _result(response: Any) -> str:
    # The members that the protocol, and Google's SDK, have for a result that is only a text.
    if isinstance(response, dict) and len(response) == 1:
        for name in ("output", "result"):
            if isinstance(text := response.get(name), str):
                return text
    return json.dumps(response, ensure_ascii=False)


def _data(part: dict[str, Any]) -> dict[str, Any]:
    """A picture, a sound or a document."""
    if isinstance(inline := member(part, "inlineData"), dict):
        kind, data = str(member(inline, "mimeType") or ""), inline.get("data")
        if not isinstance(data, str):
            raise UntranslatableError("inlineData: data in base64 is required")
        data = data.translate({ord("-"): "+", ord("_"): "/"})
        if kind.startswith("image/"):
            return {"type": "image_url", "image_url": {"url": f"data:{kind};base64,{data}"}}
        if kind.startswith("audio/"):
            form = kind.partition("/")[2].removeprefix("x-").replace("mpeg", "mp3")
            return {"type": "input_audio", "input_audio": {"data": data, "format": form}}
        if kind.startswith("text/"):
            try:
                return {"type": "text", "text": b64decode(data + "=" * (-len(data) % 4)).decode()}
            except ValueError as error:
                raise UntranslatableError(f"inlineData: the {kind} is no text in base64") from error
        name = str(member(inline, "displayName") or "file")
        return {"type": "file", "file": {"filename": name, "file_data": f"data:{kind};base64,{data}"}}
    if isinstance(file := member(part, "fileData"), dict):
        kind, uri = str(member(file, "mimeType") or ""), str(member(file, "fileUri") or "")
        if uri.startswith("https://") and kind.startswith("image/") and "googleapis.com/" not in uri:
            return {"type": "image_url", "image_url": {"url": uri}}
        raise UntranslatableError(f"fileData names what another provider keeps or fetches ({uri}): send its data")
    raise UntranslatableError(f"a part of the contents is of no kind that is translated ({', '.join(part) or 'empty'})")


def _tools(tools: Any) -> Iterator[dict[str, Any]]:
    for tool in tools if isinstance(tools, list) else ():
        declared = member(tool, "functionDeclarations")
        for one in declared if isinstance(declared, list) else ():
            if not isinstance(one, dict):
                continue
            function = {name: one[name] for name in ("name", "description") if one.get(name) is not None}
            schema = member(one, "parametersJsonSchema")
            schema = json_schema(one.get("parameters")) if schema is None else schema
            function["parameters"] = {"type": "object", "properties": {}} if schema is None else schema
            yield {"type": "function", "function": function}


def _choice(config: Any, tools: list[dict[str, Any]]) -> dict[str, Any]:
    """Which tools may, or must, be called. Where only some may, the others are left out."""
    calling = member(config, "functionCallingConfig")
    mode = str(member(calling, "mode") or "").upper()
    allowed = member(calling, "allowedFunctionNames")
    chosen: dict[str, Any] = {"tool_choice": _CHOICES[mode]} if mode in _CHOICES else {}
    if isinstance(allowed, list) and allowed and mode in ("ANY", "VALIDATED"):
        chosen["tools"] = [tool for tool in tools if tool["function"].get("name") in allowed]
    return chosen


def _settings(config: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, said in _SETTINGS.items():
        if (value := member(config, name)) is not None:
            yield said, value
    schema = member(config, "responseJsonSchema")
    schema = json_schema(member(config, "responseSchema")) if schema is None else schema
    if schema is not None:
        yield "response_format", {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    elif member(config, "responseMimeType") == "application/json":
        yield "response_format", {"type": "json_object"}
    thinking = member(config, "thinkingConfig")
    level, budget = member(thinking, "thinkingLevel"), member(thinking, "thinkingBudget")
    if isinstance(level, str) and level.upper() != "THINKING_LEVEL_UNSPECIFIED":
        yield "reasoning_effort", level.lower()
    elif isinstance(budget, int) and budget:
        # Less than none is as much as the model finds right. None at all is what not every model can.
        efforts = (effort for most, effort in _EFFORTS if budget <= most)
        yield "reasoning_effort", "medium" if budget < 0 else next(efforts, "high")


def shows_thoughts(body: Mapping[str, Any]) -> bool:
    """Whether the client wants to see what the model thinks."""
    config = member(member(body, "generationConfig"), "thinkingConfig")
    return member(config, "includeThoughts") is True


def _parts(content: Any) -> list[dict[str, Any]]:
    parts = content.get("parts") if isinstance(content, dict) else None
    parts = [parts] if isinstance(parts, dict) else parts
    return [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []


def _is_text(part: Mapping[str, Any]) -> bool:
    return isinstance(part.get("text"), str)
