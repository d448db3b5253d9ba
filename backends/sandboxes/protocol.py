"""What a sandbox is to whoever uses one."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

OUTPUT_CAP = 64 * 1024
"""Bytes kept of one command's output: the first and the last half of it."""

FILE_CAP = 16 * 1024 * 1024
"""The largest file, in bytes, that `Sandbox.read` gives."""

PATCH_CAP = 64 * 1024 * 1024
"""The most bytes of changed files that `Sandbox.patch` takes."""


class SandboxError(Exception):
    """The sandbox could not be made, or is gone; the message says what to do."""


@dataclass(frozen=True)
class Executed:
    """What became of a command. `output` is both streams as they came, capped; `left_out` counts the bytes cut from
    its middle, at `cut`; `exit_code` is None when its time ran out and its process group was killed, and 128 + n when
    signal n ended it."""

    exit_code: int | None
    output: bytes
    left_out: int
    seconds: float
    cut: int = 0

    @property
    def timed_out(self) -> bool:
        return self.exit_code is None

    def text(self) -> str:
        """The output as text, with a line that says what was left out where it was."""
        if not self.left_out:
            return self.output.decode(errors="replace")
        head, tail = self.output[: self.cut], self.output[self.cut :]
        return f"{head.decode(errors='replace')}\n… {self.left_out} bytes left out …\n{tail.decode(errors='replace')}"


class Sandbox(Protocol):
    """One clone, and what runs in it. Paths are relative to its root; a path that leads out of it is a ValueError."""

    @property
    def handle(self) -> str:
        """What `Sandboxes.reopen` needs to find it again after the engine has died."""

    async def run(
        self, command: str, *, seconds: float, cap: int = OUTPUT_CAP, environment: Mapping[str, str] | None = None
    ) -> Executed:
        """Run a shell command; when the time is up, or the caller is cancelled, all that it started is killed. What a
        command that ends by itself leaves in the background lives on until `interrupt` or `close`."""

    async def read(self, path: str) -> bytes:
        """A file's bytes. OSError when it can't be read."""

    async def write(self, path: str, data: bytes) -> None:
        """Write a file, with the folders above it."""

    async def patch(self) -> bytes:
        """Everything changed since the revision as a binary Git patch, new files included, ignored ones left out."""

    async def apply(self, patch: bytes) -> None:
        """Apply such a patch. SandboxError when it doesn't fit."""

    async def interrupt(self) -> None:
        """Kill whatever runs in it; the files stay."""

    async def close(self) -> None:
        """Kill whatever runs in it and remove it. Safe to call twice."""


class Program(Protocol):
    """A started program whose input and output are ours to write and read, byte for byte. `output` is what it writes to
    its standard output; it ends when the program does."""

    @property
    def output(self) -> asyncio.StreamReader: ...

    @property
    def said(self) -> bytes:
        """The end of what it wrote to its standard error: some KiB."""

    async def write(self, data: bytes) -> None:
        """Write to its standard input; waits while it takes nothing. ConnectionError when it has ended."""

    async def ended(self) -> int:
        """Wait for its end; its exit code, 128 + n when signal n ended it. SandboxError says what became of a sandbox
        that ended with it, or can't be reached any more."""

    async def kill(self) -> None:
        """Kill it and all that it started, and wait for that. Safe to call twice."""


@runtime_checkable
class Inhabitable(Protocol):
    """A sandbox that an agent can live in: what it needs beside what every `Sandbox` has."""

    async def stream(self, argv: Sequence[str], *, environment: Mapping[str, str] | None = None) -> Program:
        """Start a program in the clone, with the environment of every command. SandboxError when it can't be."""

    def reach(self, port: int) -> AbstractAsyncContextManager[str]:
        """The base URL that a port of this machine's loopback has inside, for as long as it is held. SandboxError."""

    async def ran_out(self) -> str | None:
        """What a program in it was killed for lacking, such as memory, since this or a command last told: a sentence,
        "" for nothing, None where nobody can tell. SandboxError."""


class Sandboxes(Protocol):
    """One kind of sandbox, for one run."""

    @property
    def wall(self) -> bool:
        """Whether it keeps a hostile program in."""

    async def create(self, name: str, revision: str) -> Sandbox:
        """A new sandbox with a clean clone at the revision. An older one of that name is removed first."""

    async def reopen(self, name: str, handle: str) -> Sandbox:
        """The sandbox of a subagent whose engine died, files as they were. SandboxError when it is gone."""

    async def sweep(self) -> int:
        """End every process that an earlier engine of this run left behind; their number. Workspaces stay."""

    async def remove(self) -> None:
        """Remove all sandboxes of the run, and whatever runs in them."""


class SandboxesFactory(Protocol):
    """How the engine asks for the sandboxes of a run."""

    def __call__(self, *, run: str, folder: Path, mirror: Path) -> Sandboxes:
        """`folder` is the run's own for workspaces; `mirror` the bare clone of the operator's repository."""
