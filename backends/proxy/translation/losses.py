"""What a translation did not carry: a client's request beside what went to the provider in its place.

Nothing is assumed of either side. A member counts as carried when it, or what the other protocol calls it, is there; a
text of the conversation when it is found anywhere in what was sent. So this also finds what nobody thought of.
"""

import json
from base64 import b64decode
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

_CONVERSATION = (
    *("system", "instructions", "systemInstruction", "system_instruction", "messages", "input", "contents"),
)
_SPOKEN_OTHERWISE = {
    *_CONVERSATION,
    "model",
    "stream",
    "stream_options",
    "encoding_format",
    "tools",
    "functions",
    "store",
}
"""Members that are compared by what is in them, or that only say how the answer is to come."""

_SAME = (
    {"max_tokens", "max_completion_tokens", "max_output_tokens", "num_predict", "maxOutputTokens"},
    {"logprobs", "responseLogprobs"},
    {"top_logprobs", "logprobs"},
    {"dimensions", "outputDimensionality"},
    {"stop", "stop_sequences", "stopSequences"},
    {"thinking", "reasoning", "reasoning_effort", "think", "thinkingConfig", "thinking_config"},
    {"tool_choice", "function_call", "toolConfig", "tool_config", "functionCallingConfig"},
    {"response_format", "text", "output_format", "output_config", "format"}
    | {"responseSchema", "responseJsonSchema", "responseMimeType", "response_schema", "response_mime_type"},
    {"metadata", "user", "user_id"},
    {"top_k", "topK"},
    {"top_p", "topP"},
    {"n", "candidateCount"},
    {"parallel_tool_calls", "disable_parallel_tool_use"},
    {"presence_penalty", "presencePenalty"},
    {"frequency_penalty", "frequencyPenalty"},
)
"""Names of one thing in several protocols."""

_INSIDE = ("options", "generationConfig", "generation_config", "tool_choice", "metadata")
"""Members that hold such names in some protocols."""

_ASKED_INSIDE = ("generationConfig", "generation_config")

_MARKS = {
    **{name: name for name in ("cache_control", "citations", "is_error", "signature", "encrypted_content", "strict")},
    **dict.fromkeys(("thoughtSignature", "thought_signature"), "signature"),
}
"""Members deep in a conversation or a tool that change what is done with it, by what they are called here."""

_GEMINIS = {"googleSearch", "googleSearchRetrieval", "codeExecution", "urlContext", "computerUse", "googleMaps"} | {
    "google_search",
    "google_search_retrieval",
    "code_execution",
    "url_context",
    "computer_use",
    "google_maps",
    "fileSearch",
    "file_search",
}

_NO_TEXT = {
    "type",
    "role",
    "id",
    "tool_use_id",
    "tool_call_id",
    "call_id",
    "name",
    "media_type",
    "status",
    "detail",
} | {
    "mimeType",
    "mime_type",
}
_SHOWN = 60


def losses(asked: Mapping[str, Any], sent: Mapping[str, Any]) -> tuple[str, ...]:
    """What of a request is not in the other, a sentence each."""
    return (*_members(asked, sent), *_tools(asked, sent), *_marks(asked, sent), *_texts(asked, sent))


def _members(asked: Mapping[str, Any], sent: Mapping[str, Any]) -> Iterator[str]:
    there = dict(sent)
    for inside in _INSIDE:
        if isinstance(held := sent.get(inside), dict):
            there = {**held, **there}
    wanted = dict(asked)
    for inside in _ASKED_INSIDE:
        if isinstance(held := wanted.get(inside), dict):
            del wanted[inside]
            wanted.update(held)
    for name, value in wanted.items():
        if name in _SPOKEN_OTHERWISE or value is None or value in ({}, []):
            continue
        names = next((same for same in _SAME if name in same), {name})
        found = [there[one] for one in names if one in there]
        if not found:
            yield f"{name} was not passed on"
        elif _is_number(value) and value not in found and _is_number(found[0]):
            yield f"{name}: {value} became {found[0]}"


def _tools(asked: Mapping[str, Any], sent: Mapping[str, Any]) -> Iterator[str]:
    there = set(_tool_names(sent))
    for name in _tool_names(asked):
        if name not in there:
            yield f"the tool {name} was not passed on"


def _tool_names(body: Mapping[str, Any]) -> Iterator[str]:
    for tool in (*_list(body.get("tools")), *_list(body.get("functions"))):
        if not isinstance(tool, dict):
            continue
        # Gemini lists functions inside a tool, and has its own by their names.
        yield from (name for name in tool if name in _GEMINIS)
        for one in (*_list(tool.get("functionDeclarations")), *_list(tool.get("function_declarations")), tool):
            function = one.get("function") if isinstance(one, dict) else None
            named = function if isinstance(function, dict) else one
            if isinstance(named, dict) and isinstance(name := named.get("name", named.get("type")), str):
                yield name


def _marks(asked: Mapping[str, Any], sent: Mapping[str, Any]) -> Iterator[str]:
    wanted, arrived = _counted(asked), _counted(sent)
    # LiteLLM has what Claude signed in there, on its way to an OpenAI client and back.
    arrived["encrypted_content"] += max(arrived["signature"] - wanted["signature"], 0)
    for name in dict.fromkeys(_MARKS.values()):
        if missing := max(wanted[name] - arrived[name], 0):
            yield f"{name}: {missing} of {wanted[name]} were not passed on"


def _counted(body: Mapping[str, Any]) -> Counter[str]:
    counts: Counter[str] = Counter()
    open_: list[Any] = [body.get(name) for name in (*_CONVERSATION, "tools")]
    while open_:
        value = open_.pop()
        if isinstance(value, dict):
            counts.update(mark for name, mark in _MARKS.items() if value.get(name))
            open_.extend(value.values())
        elif isinstance(value, list):
            open_.extend(value)
    return counts


def _texts(asked: Mapping[str, Any], sent: Mapping[str, Any]) -> Iterator[str]:
    arrived = {text for name in sent for _, text in _leaves(sent[name], name)}
    missing = [
        (where, text)
        for name in _CONVERSATION
        for where, text in _leaves(asked.get(name), name)
        if text not in arrived and text.strip()
    ]
    if missing:
        # A text may have become a part of a larger one.
        everything = "\n".join(arrived)
        missing = [(where, text) for where, text in missing if text.strip() not in everything]
    kinds: dict[str, list[str]] = {}
    for where, text in missing:
        kinds.setdefault(where, []).append(text)
    for where, texts in kinds.items():
        many, verb = (f"{len(texts)} texts", "were") if len(texts) > 1 else ("a text", "was")
        first = texts[0] if len(texts[0]) <= _SHOWN else texts[0][: _SHOWN - 1] + "…"
        yield f"{where}: {many} of {sum(map(len, texts)):,} characters {verb} not passed on: {_quoted(first)}"


def _leaves(value: Any, where: str) -> Iterator[tuple[str, str]]:
    """The texts in a value, each with the kind of block, or the member, that it is in. A text that is JSON, as a tool's
    arguments are in some protocols, counts as its value."""
    open_ = [(where, value)]
    while open_:
        where, value = open_.pop()
        if isinstance(value, str):
            if value[:1] == "{" and (inner := _object(value)) is not None:
                open_.append((where, inner))
            else:
                yield where, value
        elif isinstance(value, dict):
            if isinstance(data := value.get("data"), str) and isinstance(mime := _mime(value), str):
                yield where, _data(data, mime)
                continue
            kind = value.get("type")
            inside = kind if isinstance(kind, str) and kind not in ("text", "message") else where
            open_.extend((inside, item) for name, item in value.items() if name not in _NO_TEXT and name not in _MARKS)
        elif isinstance(value, list):
            open_.extend((where, item) for item in value)


def _mime(value: Mapping[str, Any]) -> Any:
    return value.get("mimeType", value.get("mime_type"))


def _data(data: str, mime: str) -> str:
    """Gemini's data: base64 of either alphabet; what is a text arrives as one elsewhere."""
    data = data.translate({ord("-"): "+", ord("_"): "/"})
    try:
        return b64decode(data).decode() if mime.startswith("text/") else data
    except ValueError:
        return data


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).encode("utf-8", "backslashreplace").decode()


def _object(text: str) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
