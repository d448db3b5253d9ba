"""What of ours is what in OpenTelemetry's GenAI conventions. They are still in development: all that depends on them is
here, so that a new version of them changes one module.

The conventions: https://github.com/open-telemetry/semantic-conventions-genai, docs/gen-ai/gen-ai-spans.md and
gen-ai-agent-spans.md, as of November 2026. What they have no word for is under `multitrack.`.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from backends.export.span import Kind, Span, Value, of_call, of_generation, of_run, of_subagent, span_id, trace_id
from store.domain.ids import OBSERVER, SubagentId
from store.domain.limits import Usage
from store.domain.secrets import mask
from store.domain.tape import Call

VERSION = "2026-11"
"""Of the conventions, as the scope of the spans says it: the month in which their text was read."""

PROVIDERS = {"anthropic": "anthropic", "openai": "openai", "gemini": "gcp.gemini"}
"""`gen_ai.provider.name` by the protocol that the provider speaks."""

WORKFLOW = "multitrack"
"""The name of what a run is; which run it was says the attribute `multitrack.run`."""

_MESSAGE = 500
"""Characters of an error's text in a status."""

_TYPE = re.compile(r"([A-Za-z][A-Za-z0-9_.-]{2,60})(?::|$)")
_TRANSPORT = (
    ("hung up", "client_disconnected"),
    ("in time", "timeout"),
    ("could not be reached", "connection_error"),
    ("broke off", "connection_error"),
    ("before its end", "incomplete"),
    ("engine died", "engine_died"),
    ("stopped", "cancelled"),
    ("killed", "cancelled"),
)


def call_span(call: Call, request: Mapping[str, Any], content: Mapping[str, Value | None], model: str) -> Span:
    """A model call that has ended. `request` are the parameters of its body, `content` the attributes with what was
    said, `model` the one that answered, "" where it is not known."""
    operation = _operation(call)
    usage = call.usage
    told = usage.total > 0
    attributes: dict[str, Value | None] = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": _provider(call),
        "gen_ai.request.model": call.model or None,
        "gen_ai.conversation.id": _conversation(call),
        "gen_ai.request.stream": True if call.stream else None,
        **_parameters(request),
        "gen_ai.response.id": call.response_id or None,
        "gen_ai.response.model": model or None,
        "gen_ai.response.finish_reasons": [call.stop_reason] if call.stop_reason else None,
        "gen_ai.response.time_to_first_chunk": (
            call.first_byte - call.started if call.stream and call.first_byte is not None else None
        ),
        **(_usage(usage) if told else {}),
        "error.type": error_type(call),
        "http.request.method": call.method,
        "url.path": call.path.partition("?")[0],
        "http.response.status_code": call.status,
        "multitrack.call.id": call.id,
        "multitrack.call.source": call.source or None,
        "multitrack.call.notes": list(call.notes) or None,
        "multitrack.cost.usd": call.usd if told else None,
        **_place(call.run, call.subagent),
        **content,
    }
    parent = of_call(call.parent) if call.parent is not None else _caller(call.run, call.subagent)
    return Span(
        trace_id(call.run),
        of_call(call.id),
        parent,
        f"{operation} {call.model}" if operation and call.model else operation or call.method,
        call.started,
        call.ended if call.ended is not None else call.started,
        Kind.CLIENT,
        attributes,
        mask(call.error)[:_MESSAGE] if call.error else None,
    )


def _caller(run: str, who: SubagentId | None) -> bytes:
    """The span of who made a call. The observer's model has none of its own: its calls are its generation's."""
    if who is None:
        return of_run(run)
    return of_generation(who.run, who.generation) if who.lane == OBSERVER else of_subagent(who)


def tool_span(
    run: str,
    subagent: SubagentId | None,
    name: str,
    tool_call: str,
    start: float,
    end: float,
    *,
    ok: bool,
    content: Mapping[str, Value | None] | None = None,
) -> Span:
    """A tool call that ran. `tool_call` is the provider's id of it."""
    attributes: dict[str, Value | None] = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": name,
        "gen_ai.tool.call.id": tool_call or None,
        "gen_ai.tool.type": "function",
        "gen_ai.conversation.id": str(subagent) if subagent else None,
        "error.type": None if ok else "tool_error",
        **_place(run, subagent),
        **(content or {}),
    }
    parent = _caller(run, subagent)
    # An agent may give the same id twice: when it begins tells them apart.
    name_of = span_id("tool", run, subagent, tool_call, name, round(start * 1e6))
    error = None if ok else "the tool reported an error"
    return Span(trace_id(run), name_of, parent, f"execute_tool {name}", start, end, attributes=attributes, error=error)


def agent_span(
    subagent: SubagentId,
    name: str,
    model: str,
    start: float,
    end: float,
    *,
    usage: Usage,
    ending: str,
    solved: bool | None,
    error: str | None,
) -> Span:
    """A subagent from its launch to its end. `ending` is how it ended, "" while it works; `error` for one that could
    not do its work."""
    attributes: dict[str, Value | None] = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": name,
        "gen_ai.agent.id": str(subagent),
        "gen_ai.conversation.id": str(subagent),
        "gen_ai.request.model": model or None,
        **(_usage(usage) if usage.total else {}),
        "error.type": ending if error is not None else None,
        "multitrack.ending": ending or None,
        "multitrack.solved": solved,
        **_place(subagent.run, subagent),
    }
    parent = of_generation(subagent.run, subagent.generation)
    return Span(
        trace_id(subagent.run),
        of_subagent(subagent),
        parent,
        f"invoke_agent {name}",
        start,
        end,
        attributes=attributes,
        error=None if error is None else mask(error)[:_MESSAGE],
    )


def generation_span(run: str, generation: int, start: float, end: float) -> Span:
    """A generation, from its design to its observations. The conventions have no word for it."""
    attributes: dict[str, Value | None] = {"multitrack.run": run, "multitrack.generation": generation}
    span = of_generation(run, generation)
    return Span(trace_id(run), span, of_run(run), "generation", start, end, attributes=attributes)


def run_span(run: str, start: float, end: float, *, state: str, error: str | None = None) -> Span:
    """A run, or a bare recording."""
    attributes: dict[str, Value | None] = {
        "gen_ai.operation.name": "invoke_workflow",
        "gen_ai.workflow.name": WORKFLOW,
        "error.type": state if error is not None else None,
        "multitrack.run": run,
        "multitrack.state": state,
    }
    told = None if error is None else mask(error)[:_MESSAGE]
    name = f"invoke_workflow {WORKFLOW}"
    return Span(trace_id(run), of_run(run), b"", name, start, end, attributes=attributes, error=told)


def error_type(call: Call) -> str | None:
    """What went wrong, in one of few words: the provider's own, the status, or ours. None when nothing did."""
    if not call.error:
        return None
    if call.status is not None and (match := _TYPE.match(call.error)) and " " not in match[1]:
        return match[1]
    for words, name in _TRANSPORT:
        if words in call.error:
            return name
    return str(call.status) if call.status is not None and call.status >= 400 else "_OTHER"


def _operation(call: Call) -> str | None:
    """None for what is beside a model's work: a list of models, a count of tokens."""
    path = call.path.partition("?")[0].rstrip("/").lower()
    if "embed" in path.rpartition("/")[2]:
        return "embeddings"
    if not call.conversation or path.endswith("tokens"):
        return None
    if call.conversation == "contents":
        return "generate_content"
    return "text_completion" if path.endswith("/completions") and not path.endswith("/chat/completions") else "chat"


def _provider(call: Call) -> str:
    speaks = call.protocol.partition("-")[0]
    known = PROVIDERS.get(speaks, speaks)
    # A provider of another name speaks the protocol of one that is known by it.
    return known if call.provider in PROVIDERS or not call.provider else call.provider


def _conversation(call: Call) -> str | None:
    if call.subagent is None:
        return call.thread or None
    return f"{call.subagent}/{call.thread}" if call.thread else str(call.subagent)


def _usage(usage: Usage) -> dict[str, Value | None]:
    """Ours are disjoint; there, input has what was cached in it, and output what was thought."""
    return {
        "gen_ai.usage.input_tokens": usage.input + usage.cache_read + usage.cache_write,
        "gen_ai.usage.output_tokens": usage.output,
        "gen_ai.usage.cache_read.input_tokens": usage.cache_read or None,
        "gen_ai.usage.cache_creation.input_tokens": usage.cache_write or None,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning or None,
    }


def _place(run: str, subagent: SubagentId | None) -> dict[str, Value | None]:
    return {
        "multitrack.run": run,
        "multitrack.generation": subagent.generation if subagent else None,
        "multitrack.lane": subagent.lane if subagent else None,
    }


_WHOLE = {
    "gen_ai.request.max_tokens": ("max_tokens", "max_completion_tokens", "max_output_tokens", "maxOutputTokens"),
    "gen_ai.request.seed": ("seed",),
}
_NUMBERS = {
    "gen_ai.request.temperature": ("temperature",),
    "gen_ai.request.top_p": ("top_p", "topP"),
    "gen_ai.request.top_k": ("top_k", "topK"),
    "gen_ai.request.frequency_penalty": ("frequency_penalty", "frequencyPenalty"),
    "gen_ai.request.presence_penalty": ("presence_penalty", "presencePenalty"),
}
_STOPS = ("stop_sequences", "stop", "stopSequences")


def _parameters(request: Mapping[str, Any]) -> dict[str, Value | None]:
    """The parameters of a request under the names that the conventions give them."""
    inner = request.get("generationConfig")
    given: Mapping[str, Any] = {**request, **inner} if isinstance(inner, Mapping) else request
    found: dict[str, Value | None] = {}
    for name, ours in _WHOLE.items():
        value = _first(given, ours)
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
            found[name] = value
    for name, ours in _NUMBERS.items():
        value = _first(given, ours)
        if isinstance(value, int | float) and not isinstance(value, bool):
            found[name] = float(value)
    choices = _first(given, ("n", "candidateCount"))
    if isinstance(choices, int) and not isinstance(choices, bool) and 1 < choices < 2**31:
        found["gen_ai.request.choice.count"] = choices
    stops = _first(given, _STOPS)
    stops = [stops] if isinstance(stops, str) else stops
    if isinstance(stops, Sequence) and stops and all(isinstance(stop, str) for stop in stops):
        found["gen_ai.request.stop_sequences"] = list(stops)
    return found


def _first(given: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((given[name] for name in names if given.get(name) is not None), None)
