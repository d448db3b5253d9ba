"""Model calls of the built-in subagent: one streamed call, and when to try it again.

The SDK's own retries are off: each try is a call of its own on the tape.
"""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backends.agents import Outcome
from backends.agents.answer import Answer
from store.domain.safe_text import safe_line
from store.domain.states import Ending

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic


@dataclass(frozen=True)
class Retry:
    """How often a failed call is tried again, and how long is waited: doubling from `first` to `most` seconds, or what
    the provider asks for, up to `asked`."""

    tries: int = 10
    first: float = 1.0
    most: float = 60.0
    asked: float = 300.0

    def wait(self, failures: int, retry_after: float | None) -> float:
        """Seconds to wait after so many failures. Some of it is chance, so that subagents don't come back at once."""
        if retry_after is not None:
            return min(retry_after, self.asked)
        return float(min(self.first * 2.0 ** (failures - 1), self.most) * random.uniform(0.75, 1.25))  # noqa: S311


class CallError(Exception):
    """A call without an answer: how the work ends if it stays so, and whether another try could help."""

    def __init__(self, ending: Ending, detail: str, *, again: bool, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.ending = ending
        self.detail = detail
        self.again = again
        self.retry_after = retry_after


def client(base_url: str, key: str) -> "AsyncAnthropic":
    """A client for the proxy alone: nothing from the environment has a say in where it goes."""
    import anthropic
    import httpx2

    timeout = httpx2.Timeout(600.0, connect=10.0)
    http = anthropic.DefaultAsyncHttpxClient(
        base_url=base_url,
        timeout=timeout,
        trust_env=False,
        # Making a TLS context takes tens of milliseconds, and the proxy is spoken to in the clear.
        verify=base_url.startswith("https:"),
    )
    return anthropic.AsyncAnthropic(
        base_url=base_url, api_key=key, max_retries=0, timeout=timeout, http_client=http, open_telemetry=False
    )


async def ask(
    client: "AsyncAnthropic",
    request: Mapping[str, Any],
    retry: Retry,
    before: Callable[[], Awaitable[Ending | None]],
) -> Answer | Outcome:
    """The model's whole answer, or how the work ends without one. `before` is awaited before each further try, and may
    end it."""
    failures = 0
    while True:
        try:
            return await _once(client, request)
        except CallError as error:
            failures += 1
            if not error.again or failures >= retry.tries:
                tried = f" ({failures} tries)" if failures > 1 else ""
                return Outcome(error.ending, error.detail + tried)
            wait = retry.wait(failures, error.retry_after)
        await asyncio.sleep(wait)
        if (ending := await before()) is not None:
            return Outcome(ending)


async def _once(client: "AsyncAnthropic", request: Mapping[str, Any]) -> Answer:
    import anthropic
    import httpx2

    answer = Answer()
    try:
        async with client.messages.with_streaming_response.create(**request, stream=True) as response:
            # The events as they are: the SDK's models would drop what they don't know.
            async for sent in anthropic.AsyncStream.raw_events(response.http_response):
                if not sent.data:
                    continue
                event = json.loads(sent.data)
                if sent.event == "error" or event.get("type") == "error":
                    raise _failure(None, event.get("error") or {}, None)
                answer.add(event)
    except anthropic.APIStatusError as error:
        body = error.body.get("error") if isinstance(error.body, dict) else None
        said = body if isinstance(body, dict) else {"message": error.message}
        raise _failure(error.status_code, said, error.response.headers.get("retry-after")) from None
    except (anthropic.APIConnectionError, httpx2.HTTPError, httpx2.StreamError) as error:
        reason = error.__cause__ or error
        detail = f"the proxy could not be reached, or the connection broke: {str(reason) or type(reason).__name__}"
        raise CallError(Ending.PROVIDER, safe_line(detail, 300), again=True) from None
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise CallError(Ending.PROVIDER, f"the answer is not what the protocol says: {error!r}", again=True) from None
    if not answer.complete:
        raise CallError(Ending.PROVIDER, "the answer broke off before its end", again=True)
    return answer


_AGAIN = {"rate_limit_error", "overloaded_error", "api_error", "timeout_error"}


def _failure(status: int | None, error: Mapping[str, Any], retry_after: str | None) -> CallError:
    """What an error of the provider's means. `status` is None for one that came in the middle of a stream."""
    kind, message = str(error.get("type") or ""), str(error.get("message") or "no reason given")
    detail = safe_line(f"{f'HTTP {status} ' if status else ''}{kind}: {message}", 400)
    if status == 413 or (kind == "invalid_request_error" and _too_long(message)):
        return CallError(Ending.TOKENS, f"the conversation is too long for the model: {detail}", again=False)
    limited = status == 429 or kind == "rate_limit_error"
    again = kind in _AGAIN or status in {408, 409, 429} or (status is not None and status >= 500)
    try:
        seconds = max(float(retry_after), 0.0) if retry_after is not None else None
    except ValueError:
        seconds = None
    return CallError(Ending.RATE_LIMITED if limited else Ending.PROVIDER, detail, again=again, retry_after=seconds)


def _too_long(message: str) -> bool:
    lowered = message.lower()
    return any(
        words in lowered for words in ("prompt is too long", "context window", "context limit", "context length")
    )
