"""A program in a container whose input and output are ours to write and read, byte for byte."""

import asyncio


class Stream:
    """A started program. `output` is what it writes to its standard output; it ends when the program does."""

    output: asyncio.StreamReader

    @property
    def said(self) -> bytes:
        """The last 4 KiB of what it wrote to its standard error."""
        raise NotImplementedError

    async def write(self, data: bytes) -> None:
        """Write to its standard input; returns when the engine has taken it. ConnectionError when it has ended."""
        raise NotImplementedError

    async def ended(self) -> int | None:
        """Wait for its end; its exit code, None when nobody knows it."""
        raise NotImplementedError

    async def kill(self) -> None:
        """Kill it and all that it started, and wait for that. Safe to call twice."""
        raise NotImplementedError
