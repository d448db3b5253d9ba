"""A program of this machine whose input and output are ours to write and read."""

import asyncio
import contextlib
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

SAID = 4096
"""Bytes kept of the end of what it writes to its standard error."""


class LocalProgram:
    """See `Program`. `kill` kills it and all that it started."""

    def __init__(self, process: Process, kill: Callable[[], Awaitable[None]]) -> None:
        assert process.stdout is not None
        self._process, self._kill = process, kill
        self.output: asyncio.StreamReader = process.stdout
        self._said = bytearray()
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def start(
        cls, argv: Sequence[str], *, cwd: Path, environment: Mapping[str, str], kill: Callable[[], Awaitable[None]]
    ) -> "LocalProgram":
        """Start it in a session of its own. OSError when it can't be."""
        process = await asyncio.create_subprocess_exec(
            *argv, cwd=cwd, env=dict(environment), stdin=PIPE, stdout=PIPE, stderr=PIPE, start_new_session=True
        )
        return cls(process, kill)

    @property
    def said(self) -> bytes:
        """See `Program.said`."""
        return bytes(self._said)

    async def write(self, data: bytes) -> None:
        """See `Program.write`."""
        assert self._process.stdin is not None
        self._process.stdin.write(data)
        await self._process.stdin.drain()

    async def ended(self) -> int:
        """See `Program.ended`."""
        code = await self._process.wait()
        await asyncio.wait([self._listening], timeout=1)
        return code if code >= 0 else 128 - code

    async def kill(self) -> None:
        """See `Program.kill`."""
        await self._kill()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()
        self._listening.cancel()
        await asyncio.wait([self._listening])

    async def _listen(self) -> None:
        assert self._process.stderr is not None
        while data := await self._process.stderr.read(SAID):
            self._said = (self._said + data)[-SAID:]
