"""Leaving in good order when the process is told to."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def until_signalled(work: Coroutine[Any, Any, T]) -> T | None:
    """A result, or None when SIGTERM or SIGINT came before it: the work is then cancelled and its end awaited, which a
    second signal doesn't disturb."""
    task = asyncio.create_task(work)
    loop, told = asyncio.get_running_loop(), False

    def leave() -> None:
        nonlocal told
        if not told:
            told = True
            task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, leave)
    try:
        return await task
    except asyncio.CancelledError:
        if not told:
            raise
        return None
