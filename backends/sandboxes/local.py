"""The local sandbox: an independent clone in a folder of its own, and processes of this machine. It is no wall.

A sandbox NAME lives in FOLDER/NAME: `work` is the clone, `home` and `tmp` are its processes' HOME and TMPDIR, `keep`
is ours. Its processes are known by a variable in their environment, so that the next engine finds them too.
"""

import asyncio
import contextlib
import errno
import os
import secrets
import shutil
import stat
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from backends.sandboxes.clone import Clone
from backends.sandboxes.environment import COMMAND_MARKER, MARKER, git_environment, sandbox_environment
from backends.sandboxes.process import Pipe, end, execute
from backends.sandboxes.program import LocalProgram
from backends.sandboxes.protocol import FILE_CAP, OUTPUT_CAP, Executed, SandboxError

T = TypeVar("T")


class LocalSandboxes:
    """The local sandboxes of one run. `environ` is the operator's environment; `memory` limits the address space of
    each process, in bytes."""

    wall = False

    def __init__(
        self, run: str, folder: Path, mirror: Path, environ: Mapping[str, str], *, memory: int | None = None
    ) -> None:
        self._run = run
        self._folder = folder.absolute()
        self._mirror = mirror.absolute()
        self._environ = environ
        self._memory = memory

    async def create(self, name: str, revision: str) -> "LocalSandbox":
        """See `Sandboxes.create`."""
        sandbox = self._sandbox(name)
        if Path(sandbox.handle).exists():
            await sandbox.close()
        try:
            await in_thread(_said, sandbox.make, revision)
        except BaseException:
            await sandbox.close()
            raise
        return sandbox

    async def reopen(self, name: str, handle: str) -> "LocalSandbox":
        """See `Sandboxes.reopen`."""
        sandbox = self._sandbox(name)
        if handle != sandbox.handle or not sandbox.clone.whole:
            raise SandboxError(f"the sandbox of {name} in {handle} is gone")
        return sandbox

    async def sweep(self) -> int:
        """See `Sandboxes.sweep`."""
        return await in_thread(end, MARKER, f"{self._run}.")

    async def remove(self) -> None:
        """See `Sandboxes.remove`."""
        await self.sweep()
        await in_thread(remove_tree, self._folder)

    def _sandbox(self, name: str) -> "LocalSandbox":
        if not name or name.startswith(".") or not all(c.isalnum() or c in "._-" for c in name):
            raise ValueError(f"{name!r} is no name for a sandbox")
        return LocalSandbox(self._run, name, self._folder / name, self._mirror, self._environ, self._memory)


class LocalSandbox:
    """One clone and the processes in it."""

    def __init__(
        self, run: str, name: str, folder: Path, mirror: Path, environ: Mapping[str, str], memory: int | None
    ) -> None:
        self._folder = folder
        self._marker = f"{run}.{name}"
        self._root = folder / "work"
        self._memory = memory
        self._environment = sandbox_environment(environ, run=run, name=name, home=folder / "home", tmp=folder / "tmp")
        self._pipes: set[Pipe] = set()
        self.clone = Clone(mirror, self._root, folder / "keep", git_environment(environ) | {MARKER: self._marker})

    @property
    def handle(self) -> str:
        """Its folder."""
        return str(self._folder)

    def make(self, revision: str) -> None:
        """Make folders and clone. Blocks."""
        self._folder.mkdir(parents=True)
        self._folder.chmod(0o700)
        (self._folder / "home").mkdir()
        (self._folder / "tmp").mkdir()
        self.clone.create(revision)

    async def run(
        self, command: str, *, seconds: float, cap: int = OUTPUT_CAP, environment: Mapping[str, str] | None = None
    ) -> Executed:
        """See `Sandbox.run`. What the command leaves in the background lives on until `interrupt` or `close`."""
        if "\0" in command:
            return Executed(126, b"the command holds a NUL character", 0, 0.0)
        if not self._root.is_dir():
            raise SandboxError(f"the sandbox in {self._folder} is gone")
        token = secrets.token_hex(8)
        merged = {**self._environment, **(environment or {}), MARKER: self._marker, COMMAND_MARKER: token}
        self._pipes = {pipe for pipe in self._pipes if pipe.open}
        try:
            executed, pipe = await execute(
                command, cwd=self._root, environment=merged, seconds=seconds, cap=cap, memory=self._memory
            )
        except OSError as error:
            if error.errno == errno.E2BIG:
                return Executed(126, b"the command is too long", 0, 0.0)
            raise SandboxError(f"no command can be started in {self._root}: {error}") from error
        except asyncio.CancelledError:
            await in_thread(end, COMMAND_MARKER, token)
            raise
        self._pipes.add(pipe)
        if executed.timed_out:
            # Those that have left the process group.
            await in_thread(end, COMMAND_MARKER, token)
        return executed

    async def stream(self, argv: Sequence[str], *, environment: Mapping[str, str] | None = None) -> LocalProgram:
        """See `Inhabitable.stream`."""
        token = secrets.token_hex(8)
        merged = {**self._environment, **(environment or {}), MARKER: self._marker, COMMAND_MARKER: token}

        async def kill() -> None:
            await in_thread(end, COMMAND_MARKER, token)

        try:
            return await LocalProgram.start(argv, cwd=self._root, environment=merged, kill=kill)
        except OSError as error:
            raise SandboxError(f"{argv[0]} can't be started in {self._root}: {error}") from error

    @contextlib.asynccontextmanager
    async def reach(self, port: int) -> AsyncIterator[str]:
        """See `Inhabitable.reach`: it is on this machine."""
        yield f"http://127.0.0.1:{port}"

    async def ran_out(self) -> None:
        """See `Inhabitable.ran_out`: the machine doesn't say whose memory it was."""

    async def read(self, path: str) -> bytes:
        """See `Sandbox.read`."""
        return await in_thread(self._read, path)

    async def write(self, path: str, data: bytes) -> None:
        """See `Sandbox.write`."""
        await in_thread(self._write, path, data)

    async def patch(self) -> bytes:
        """See `Sandbox.patch`."""
        return await in_thread(_said, self.clone.patch)

    async def apply(self, patch: bytes) -> None:
        """See `Sandbox.apply`."""
        await in_thread(_said, self.clone.apply, patch)

    async def interrupt(self) -> None:
        """See `Sandbox.interrupt`."""
        await in_thread(end, MARKER, self._marker)
        for pipe in self._pipes:
            pipe.close()
        self._pipes.clear()

    async def close(self) -> None:
        """See `Sandbox.close`."""
        await self.interrupt()
        await in_thread(remove_tree, self._folder)

    def _place(self, path: str) -> Path:
        """Where a path leads, links followed. ValueError when that is outside."""
        root = self._root.resolve()
        try:
            place = (root / path).resolve()
        except (OSError, RuntimeError) as error:
            raise ValueError(f"{path} leads nowhere: {error}") from None
        if not place.is_relative_to(root):
            raise ValueError(f"{path} leads out of the repository")
        return place

    def _read(self, path: str) -> bytes:
        # Not blocking, because opening a pipe that nobody writes to would hang.
        handle = os.open(self._place(path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            found = os.fstat(handle)
            if stat.S_ISDIR(found.st_mode):
                raise IsADirectoryError(errno.EISDIR, "is a folder", path)
            if not stat.S_ISREG(found.st_mode):
                raise OSError(errno.EINVAL, "is no ordinary file", path)
            if found.st_size > FILE_CAP:
                raise OSError(errno.EFBIG, f"has {found.st_size} bytes; at once, {FILE_CAP} can be read", path)
            with os.fdopen(handle, "rb", closefd=False) as file:
                return file.read(FILE_CAP)
        finally:
            os.close(handle)

    def _write(self, path: str, data: bytes) -> None:
        place = self._place(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK | os.O_CLOEXEC
        with os.fdopen(os.open(place, flags, 0o666), "wb") as file:
            file.write(data)


async def in_thread(function: Callable[..., T], *arguments: Any) -> T:
    """Run what blocks in a thread; a caller that is cancelled still waits for its end."""
    task = asyncio.ensure_future(asyncio.to_thread(function, *arguments))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        # What it raised is nobody's any more; not to look at it would be logged as a fault.
        task.exception()
        raise


def _said(function: Callable[..., T], *arguments: Any) -> T:
    """Call it; a full disk or a folder that can't be written to is a SandboxError."""
    try:
        return function(*arguments)
    except OSError as error:
        raise SandboxError(f"the sandbox's files could not be read or written: {error}") from error


def remove_tree(folder: Path) -> None:
    """Remove a folder, also one with folders that can't be written to; what is not there is no error."""

    def open_up(function: Callable[..., object], path: str, _error: object) -> None:
        with contextlib.suppress(OSError):
            Path(path).parent.chmod(0o700)
            Path(path).chmod(0o700)
            function(path)

    for _ in range(5):
        shutil.rmtree(folder, onerror=open_up)
        if not folder.exists():
            return
    if folder.exists():
        raise SandboxError(f"{folder} could not be removed: remove it by hand")
