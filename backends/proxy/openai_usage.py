"""What OpenAI's endpoints, and those of others who speak like them, report beside the answer: usage and errors."""

from typing import Any

from backends.proxy.prices import Extras
from backends.proxy.values import members, number, text
from store.domain.limits import Usage


def usage_of(reported: Any) -> Usage:
    """Tokens by kind. The prompt's include those of the cache, the completion's those of reasoning; Chat Completions
    and Responses have other names for the same."""
    usage = members(reported)
    prompt = number(usage.get("prompt_tokens", usage.get("input_tokens")))
    output = number(usage.get("completion_tokens", usage.get("output_tokens")))
    of_prompt = members(usage.get("prompt_tokens_details", usage.get("input_tokens_details")))
    of_output = members(usage.get("completion_tokens_details", usage.get("output_tokens_details")))
    cached = number(of_prompt.get("cached_tokens")) or number(usage.get("prompt_cache_hit_tokens"))
    written = number(of_prompt.get("cache_write_tokens")) or number(of_prompt.get("cache_creation_tokens"))
    reasoning = number(of_output.get("reasoning_tokens"))
    if reasoning and number(usage.get("total_tokens")) == prompt + output + reasoning:
        # Some count reasoning beside the completion, not in it.
        output += reasoning
    return Usage(
        input=max(prompt - cached - written, 0),
        output=output,
        cache_read=cached,
        cache_write=written,
        reasoning=min(reasoning, output),
    )


def extras_of(reported: Any, tier: Any, searches: int = 0) -> Extras:
    """What is charged for beyond tokens by kind; `tier` is the answer's `service_tier`."""
    usage = members(reported)
    of_prompt = members(usage.get("prompt_tokens_details", usage.get("input_tokens_details")))
    of_output = members(usage.get("completion_tokens_details", usage.get("output_tokens_details")))
    return Extras(
        searches=searches,
        tier=text(tier).lower(),
        audio_input=number(of_prompt.get("audio_tokens")),
        audio_output=number(of_output.get("audio_tokens")),
    )


def error_of(error: Any) -> str:
    """An error in one line: its code, else its type, and what it says. It is an object, or with some just a text."""
    if isinstance(error, str):
        return error or "error"
    said = members(error)
    code = said.get("code")
    kind = text(code) or text(said.get("type")) or (str(code) if number(code) else "error")
    return f"{kind}: {text(said.get('message'))}".rstrip(": ")
