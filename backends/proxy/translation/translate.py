"""One call through LiteLLM: a request in one protocol, sent in another, its answer in the first one's form.

In the worker's process only: LiteLLM is imported here. Of a request only members that are known go on, for LiteLLM
takes everything else as orders to itself (`api_base`, `mock_response`, …) or hands it to a provider that doesn't know
it. What stays behind is found by who compares both sides.
"""

import json
import logging
from array import array
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Mapping
from typing import Any, Protocol

import litellm
from litellm.llms.anthropic.chat.transformation import AnthropicConfig
from litellm.llms.anthropic.pass_through.adapters.handler import LiteLLMMessagesToCompletionTransformationHandler
from litellm.llms.anthropic.pass_through.adapters.transformation import LiteLLMAnthropicMessagesAdapter
from litellm.llms.ollama.common_utils import OllamaModelInfo

from backends.proxy.translation import from_gemini, to_gemini
from backends.proxy.translation.untranslatable import UntranslatableError

litellm.telemetry = False
litellm.drop_params = True
litellm.suppress_debug_info = True
litellm.num_retries = 0
litellm.modify_params = False
litellm.disable_hf_tokenizer_download = True
litellm.use_chat_completions_url_for_anthropic_messages = True

# What goes wrong at a provider is on the tape, and told to the client: a traceback for each says nothing more.
logging.getLogger("LiteLLM").setLevel(logging.CRITICAL)

SILENCE = 24 * 3600.0
"""Seconds. The proxy, through which every call goes, has the limits that count."""

_ANTHROPIC = (
    *("max_tokens", "messages", "metadata", "output_config", "output_format", "stop_sequences", "system"),
    *("temperature", "thinking", "tool_choice", "tools", "top_p"),
)
_CHAT = (
    *("frequency_penalty", "function_call", "functions", "logit_bias", "logprobs", "max_completion_tokens"),
    *("max_tokens", "messages", "modalities", "n", "parallel_tool_calls", "presence_penalty", "reasoning_effort"),
    *("response_format", "seed", "stop", "stream_options", "temperature", "tool_choice", "tools", "top_logprobs"),
    *("top_p", "user", "verbosity", "web_search_options"),
)
_RESPONSES = (
    *("include", "input", "instructions", "max_output_tokens", "metadata", "parallel_tool_calls", "reasoning"),
    *("temperature", "text", "tool_choice", "tools", "top_p", "truncation", "user"),
)

Body = bytes | AsyncIterator[bytes]
"""An answer: whole, or the pieces of an event stream."""


def _static_model_info(_: Any, model: str, api_base: str | None = None, api_key: str | None = None) -> dict[str, Any]:
    """What LiteLLM would ask an Ollama server for, at any time, waiting for the answer in the event loop."""
    limits = dict.fromkeys(("max_tokens", "max_input_tokens", "max_output_tokens"))
    costs = dict.fromkeys(("input_cost_per_token", "output_cost_per_token"), 0.0)
    known = {"key": model, "litellm_provider": "ollama", "mode": "chat", "supports_function_calling": True}
    return {**known, **limits, **costs}


setattr(OllamaModelInfo, "get_runtime_model_info", _static_model_info)  # noqa: B010 - no other word for it


async def translate(
    endpoint: str, request: dict[str, Any], deployment: str, base: str, secret: str, *, stream: bool
) -> Body:
    """Answer a request of that endpoint by that deployment, reached at `base` under the secret. UntranslatableError, or
    whatever LiteLLM raises."""
    ask = _ENDPOINTS.get(endpoint)
    if ask is None:
        raise UntranslatableError(f"requests of {endpoint} are not translated")
    options = {
        "api_base": base,
        "api_key": "none",
        "extra_headers": {"x-multitrack-attempt": secret},
        "timeout": SILENCE,
        "num_retries": 0,
        "max_retries": 0,
    }
    return await ask(request, deployment, options, stream=stream)


def count(endpoint: str, request: dict[str, Any], deployment: str) -> dict[str, int]:
    """How many tokens a request has in a model's tokenizer, as far as LiteLLM has it: the answer to a client that asks
    for such a count."""
    if endpoint == "gemini-count":
        inner = from_gemini.member(request, "generateContentRequest")
        asked = from_gemini.chat(inner if isinstance(inner, dict) else request, thinks=False)
        return {"totalTokens": _counted(deployment, asked)}
    said = _anthropic_arguments({"max_tokens": 1, **request}, deployment)
    said.pop("reasoning_effort", None)
    completion: Any
    completion, _ = LiteLLMMessagesToCompletionTransformationHandler._prepare_completion_kwargs(
        model=deployment, stream=False, extra_kwargs={}, **said
    )
    return {"input_tokens": _counted(deployment, completion)}


def _counted(deployment: str, asked: Mapping[str, Any]) -> int:
    tools = asked.get("tools") or None
    return int(litellm.token_counter(model=deployment, messages=asked["messages"], tools=tools))


async def _anthropic(request: dict[str, Any], deployment: str, options: dict[str, Any], *, stream: bool) -> Body:
    said = _anthropic_arguments(request, deployment)
    answer: Any = await LiteLLMMessagesToCompletionTransformationHandler.async_anthropic_messages_handler(
        model=deployment, stream=stream, **said, **options
    )
    return answer if stream else _json(answer)


def _anthropic_arguments(request: dict[str, Any], deployment: str) -> dict[str, Any]:
    said = {name: request[name] for name in _ANTHROPIC if request.get(name) is not None}
    messages = said.get("messages")
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise UntranslatableError("messages: a list of messages is required")
    if not isinstance(said.get("max_tokens"), int):
        raise UntranslatableError("max_tokens: a whole number is required")
    said["messages"] = [_with_documents_as_text(message) for message in messages]
    provider = deployment.partition("/")[0]
    if provider == "openai":
        # It refuses what it doesn't know, and its reasoning is asked for by another name. LiteLLM would ask another
        # endpoint for that, which other servers of this protocol don't have.
        said["messages"] = [_without_thinking(message) for message in said["messages"]]
        effort = _effort(said.pop("thinking", None), said.get("output_config"))
        if effort is not None:
            said["reasoning_effort"] = effort
    elif isinstance(request.get("top_k"), int):
        said["top_k"] = request["top_k"]
    return said


def _effort(thinking: Any, config: Any) -> str | None:
    if not isinstance(thinking, dict) or thinking.get("type") == "disabled":
        return None
    stated = config.get("effort") if isinstance(config, dict) else None
    if isinstance(stated, str):
        return stated
    return LiteLLMAnthropicMessagesAdapter.translate_anthropic_thinking_to_reasoning_effort(thinking)  # type: ignore[arg-type] # any JSON object will do


def _with_documents_as_text(message: dict[str, Any]) -> dict[str, Any]:
    """LiteLLM leaves documents out. Those that are text can be said as text."""
    content = message.get("content")
    if not isinstance(content, list):
        return message
    return {**message, "content": [_as_text(block) if isinstance(block, dict) else block for block in content]}


def _as_text(block: dict[str, Any]) -> dict[str, Any]:
    source = block.get("source")
    if block.get("type") != "document" or not isinstance(source, dict) or not isinstance(source.get("data"), str):
        return block
    if source.get("type") != "text":
        return block
    parts = (block.get("title"), block.get("context"), source["data"])
    return {"type": "text", "text": "\n\n".join(part for part in parts if isinstance(part, str) and part)}


def _without_thinking(message: dict[str, Any]) -> dict[str, Any]:
    content = message.get("content")
    if not isinstance(content, list):
        return message
    kept = [
        block
        for block in content
        if not (isinstance(block, dict) and block.get("type") in ("thinking", "redacted_thinking"))
    ]
    return {**message, "content": kept}


async def _chat(request: dict[str, Any], deployment: str, options: dict[str, Any], *, stream: bool) -> Body:
    said = {name: request[name] for name in _CHAT if request.get(name) is not None}
    if not isinstance(said.get("messages"), list):
        raise UntranslatableError("messages: a list of messages is required")
    _without_effort(said, deployment)
    answer: Any = await litellm.acompletion(model=deployment, stream=stream, **said, **options)
    if not stream:
        return _json(answer.model_dump(exclude_unset=True))
    return _chat_events(answer)


async def _chat_events(answer: Any) -> AsyncIterator[bytes]:
    async for chunk in answer:
        yield b"data: " + _json(chunk.model_dump(exclude_none=True, exclude_unset=True)) + b"\n\n"
    yield b"data: [DONE]\n\n"


def _thinks_on(deployment: str) -> bool:
    """Older models of Claude refuse to think on after tool calls whose thinking they don't get back, which clients of
    other protocols often don't have."""
    provider, _, model = deployment.partition("/")
    return provider == "anthropic" and not AnthropicConfig._is_adaptive_thinking_model(model, provider)


def _without_effort(said: dict[str, Any], deployment: str) -> None:
    calls = [message for message in said["messages"] if isinstance(message, dict) and message.get("tool_calls")]
    if calls and not calls[-1].get("thinking_blocks") and _thinks_on(deployment):
        said.pop("reasoning_effort", None)


def _without_reasoning(said: dict[str, Any], deployment: str) -> None:
    items = [item for item in said["input"] if isinstance(item, dict)]
    last = max((place for place, item in enumerate(items) if item.get("type") == "function_call"), default=-1)
    while last > 0 and (items[last].get("type") == "function_call" or items[last].get("role") == "assistant"):
        if items[last].get("type") == "reasoning":
            break
        last -= 1
    # LiteLLM puts what Claude signed there, as JSON.
    signed = last >= 0 and str(items[last].get("encrypted_content") or "").startswith("[{")
    if last >= 0 and not signed and _thinks_on(deployment):
        said.pop("reasoning", None)


async def _gemini(request: dict[str, Any], deployment: str, options: dict[str, Any], *, stream: bool) -> Body:
    provider = deployment.partition("/")[0]
    said = from_gemini.chat(request, thinks=provider == "anthropic")
    if provider == "openai":
        said.pop("top_k", None)
    if stream:
        said["stream_options"] = {"include_usage": True}
    thoughts = from_gemini.shows_thoughts(request)
    _without_effort(said, deployment)
    answer: Any = await litellm.acompletion(model=deployment, stream=stream, **said, **options)
    if not stream:
        return _json(to_gemini.content(answer.model_dump(exclude_none=True), thoughts=thoughts))
    return _gemini_events(answer, thoughts)


async def _gemini_events(answer: Any, thoughts: bool) -> AsyncIterator[bytes]:
    chunks = (chunk.model_dump(exclude_none=True) async for chunk in answer)
    async for event in to_gemini.events(chunks, thoughts=thoughts):
        yield b"data: " + _json(event) + b"\n\n"


async def _embeddings(request: dict[str, Any], deployment: str, options: dict[str, Any], *, stream: bool) -> Body:
    given = request.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        # Tokens are another model's own.
        raise UntranslatableError("input: a text or a list of texts is required")
    said = {name: request[name] for name in ("dimensions", "user") if request.get(name) is not None}
    answer: Any = await litellm.aembedding(model=deployment, input=texts, **said, **options)
    value = answer.model_dump(exclude_none=True)
    for entry in value["data"]:
        # The protocol's word for it; a client that asks for nothing gets numbers.
        if request.get("encoding_format") == "base64" and isinstance(entry["embedding"], list):
            entry["embedding"] = b64encode(array("f", entry["embedding"]).tobytes()).decode()
    return _json(value)


async def _responses(request: dict[str, Any], deployment: str, options: dict[str, Any], *, stream: bool) -> Body:
    for name in ("previous_response_id", "conversation", "prompt"):
        if request.get(name) is not None:
            raise UntranslatableError(f"{name} names what another provider keeps: send the whole conversation as input")
    if request.get("background"):
        raise UntranslatableError("background: an answer that is fetched later is not translated")
    said = {name: request[name] for name in _RESPONSES if request.get(name) is not None}
    given = said.get("input")
    if not isinstance(given, list | str):
        raise UntranslatableError("input: a text or a list of items is required")
    if any(isinstance(item, dict) and item.get("type") == "item_reference" for item in given):
        raise UntranslatableError("an item_reference names what another provider keeps: send the item itself")
    _without_reasoning(said, deployment)
    answer: Any = await litellm.aresponses(model=deployment, stream=stream, **said, **options)
    if not stream:
        return _json(answer.model_dump(exclude_unset=True))
    return _response_events(answer)


async def _response_events(answer: Any) -> AsyncIterator[bytes]:
    number = 0
    async for event in answer:
        value = event.model_dump(exclude_none=True)
        # LiteLLM numbers some of them only.
        value["sequence_number"] = number
        number += 1
        yield b"event: " + str(value["type"]).encode() + b"\ndata: " + _json(value) + b"\n\n"


def _json(value: Any) -> bytes:
    return json.dumps(value, default=str, separators=(",", ":")).encode("utf-8", "surrogatepass")


class _Ask(Protocol):
    def __call__(
        self, request: dict[str, Any], deployment: str, options: dict[str, Any], *, stream: bool
    ) -> Awaitable[Body]: ...


_ENDPOINTS: Mapping[str, _Ask] = {
    "anthropic": _anthropic,
    "openai-chat": _chat,
    "openai-responses": _responses,
    "openai-embeddings": _embeddings,
    "gemini": _gemini,
}
