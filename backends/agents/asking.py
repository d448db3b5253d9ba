"""Model calls for who is no subagent: the same client and the same ways to try again, without a session."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from backends.agents.answer import Answer
from backends.agents.provider import Retry, ask, client
from store.domain.states import Ending

RETRY = Retry(tries=3, most=20.0, asked=60.0)
"""Nobody waits hours for what the rules' word stands without."""


@asynccontextmanager
async def speaking(
    base_url: str, key: str, retry: Retry = RETRY
) -> AsyncIterator[Callable[[Mapping[str, Any]], Awaitable[Answer | str]]]:
    """A way to ask the proxy: a request in Anthropic's form for a whole answer, or for why there is none."""

    async def on() -> Ending | None:
        return None

    async def asked(request: Mapping[str, Any]) -> Answer | str:
        answer = await ask(speaker, request, retry, on)
        return answer if isinstance(answer, Answer) else answer.detail or str(answer.ending)

    # In a thread, for the first time it imports what is slow.
    async with await asyncio.to_thread(client, base_url, key) as speaker:
        yield asked
