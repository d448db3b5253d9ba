"""The scripted model as a process of its own, for as long as an engine needs it."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

from backends.practice import model_command

START_SECONDS = 30.0
"""The most that it may take to listen, on a loaded machine."""


@contextlib.asynccontextmanager
async def scripted_model(*, seed: int, pace: float = 0.0) -> AsyncIterator[int]:
    """A scripted model that listens on loopback; its port. `pace` is events a second, 0 as fast as it can.

    It ends when this process closes its standard input, and so also when this process is killed.
    """
    process = await asyncio.create_subprocess_exec(
        *model_command(seed, pace),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), START_SECONDS)
        if not line:
            raise RuntimeError(f"the scripted model could not start (exit code {await process.wait()})")
        yield int(json.loads(line)["port"])
    finally:
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), 5)
        except TimeoutError:
            process.kill()
            await process.wait()
