"""One subagent's container, and what is done in it."""

import asyncio
import contextlib
import errno
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from backends.sandboxes.docker.causes import memory_ran_out
from backends.sandboxes.docker.contained import Contained, NoRoomError, undisturbed
from backends.sandboxes.docker.engine import Engine, in_thread
from backends.sandboxes.docker.hearing import Hearing
from backends.sandboxes.docker.scripts import (
    APPLY,
    CLONE,
    MEMORY,
    PATCH,
    PROGRAM,
    READ,
    ROOT,
    RUN,
    WORKSPACE,
    WRITE,
)
from backends.sandboxes.docker.stream import Stream
from backends.sandboxes.patches import read as read_patch
from backends.sandboxes.protocol import FILE_CAP, OUTPUT_CAP, PATCH_CAP, Executed, SandboxError
from store.domain.docker import DockerSettings
from store.domain.safe_text import safe_line

log = logging.getLogger("multitrack.sandboxes")

_ARGUMENT = 128 * 1024 - 1
"""Bytes that Linux takes as one argument."""
_ENDED = {129, 130, 131, 137, 143}
"""Exit codes of a command that was ended by a signal to everything in its container."""
_CUT_OFF = "\n[no command can be started, or to its end: the container may have {pids} processes at once]\n"

_SAID = {
    70: "leads out of the repository",
    71: "leads nowhere",
}
_ERRNO = {
    72: (errno.EISDIR, "is a folder"),
    73: (errno.ENOENT, "is not there"),
    74: (errno.EINVAL, "is no ordinary file"),
    75: (errno.EACCES, "may not be opened"),
}


class DockerSandbox:
    """A container with a workspace that outlives it. See `Sandbox`. `revive` starts the container again when it has
    ended, or another on the same workspace."""

    def __init__(
        self,
        engine: Engine,
        name: str,
        called: str,
        revision: str,
        settings: DockerSettings,
        revive: Callable[[], Awaitable[None]],
    ) -> None:
        self._engine, self._name, self._called, self._revision = engine, name, called, revision
        self._settings, self._revive = settings, revive
        self._out_of_memory = 0
        self._inside = Contained(engine, name, called, settings)

    @property
    def handle(self) -> str:
        """The name of its container, and of its workspace's volume."""
        return self._called

    async def run(
        self, command: str, *, seconds: float, cap: int = OUTPUT_CAP, environment: Mapping[str, str] | None = None
    ) -> Executed:
        """See `Sandbox.run`. When memory ran out, the output says so in its last line."""
        if "\0" in command:
            return Executed(126, b"the command holds a NUL character", 0, 0.0)
        if len(command.encode("utf-8", "replace")) > _ARGUMENT:
            return Executed(126, b"the command is too long", 0, 0.0)
        token, end = secrets.token_hex(8), secrets.token_hex(16)
        try:
            attached = await self._inside.attach(RUN, [command, token], token, environment, line=end)
        except NoRoomError as error:
            return Executed(126, str(error).encode(), 0, 0.0)
        started = time.monotonic()
        hearing = Hearing(attached, end, cap)
        listening = asyncio.ensure_future(in_thread(hearing.listen))
        timed_out = False
        try:
            _, waiting = await asyncio.wait([listening], timeout=seconds)
            if waiting:
                timed_out = True
                await self._inside.end(token, attached, listening)
        except asyncio.CancelledError:
            await undisturbed(self._inside.end(token, attached, listening))
            raise
        finally:
            if listening.done():
                attached.close()
        listening.result()
        output, cut, left_out = hearing.kept()
        code = None if timed_out else hearing.code
        if code is None and not timed_out:
            code = await self._inside.code(attached)
            if code not in _ENDED:
                output += _CUT_OFF.format(code=code, pids=self._settings.pids).encode()
        if hearing.ended and (said := self._news_of_memory(hearing.out_of_memory)):
            output += f"\n[{said}]\n".encode()
        return Executed(code, output, left_out, time.monotonic() - started, cut)

    async def stream(self, argv: Sequence[str], *, environment: Mapping[str, str] | None = None) -> Stream:
        """See `Inhabitable.stream`."""
        token = secrets.token_hex(8)
        attached = await self._inside.attach(PROGRAM, argv, token, environment)

        async def kill() -> None:
            await undisturbed(self._inside.kill(token))

        return Stream(attached, kill, lambda: self._inside.code(attached))

    def reach(self, port: int) -> AbstractAsyncContextManager[str]:
        """See `Inhabitable.reach`."""
        from backends.sandboxes.docker.relay import reach

        return reach(self.stream, port)

    async def ran_out(self) -> str:
        """See `Inhabitable.ran_out`."""
        code, count, words = await self._inside.script(MEMORY, cap=64, workdir="/")
        self._worked(code, words)
        return self._news_of_memory(int(count))

    async def read(self, path: str) -> bytes:
        """See `Sandbox.read`."""
        code, data, words = await self._file(path, READ, str(FILE_CAP), cap=FILE_CAP)
        if code == 76:
            size = words.decode(errors="replace").strip()
            raise OSError(errno.EFBIG, f"has {safe_line(size, 20)} bytes; at once, {FILE_CAP} can be read", path)
        self._answered(code, path, words)
        return data

    async def write(self, path: str, data: bytes) -> None:
        """See `Sandbox.write`."""
        code, _, words = await self._file(path, WRITE, str(len(data)), stdin=data)
        self._answered(code, path, words)

    async def patch(self) -> bytes:
        """See `Sandbox.patch`."""
        code, data, words = await self._inside.script(PATCH, [self._revision, "", str(PATCH_CAP)], cap=4 * PATCH_CAP)
        self._worked(code, words)
        return data

    async def apply(self, patch: bytes) -> None:
        """See `Sandbox.apply`."""
        if not read_patch(patch):
            return
        arguments = [self._revision, str(len(patch)), str(PATCH_CAP)]
        code, _, words = await self._inside.script(APPLY, arguments, stdin=patch)
        if code == 66:
            names = ", ".join(safe_line(words.decode(errors="replace"), 400).split())
            raise SandboxError(f"the patch was applied, but these files came out differently: {names}")
        self._worked(code, words)

    async def interrupt(self) -> None:
        """See `Sandbox.interrupt`. A container that has ended is started again, so that its files can be had. When the
        engine can't be reached there is nothing that could be ended, and whatever is asked next says so."""
        if self._inside.closed:
            return
        try:
            await undisturbed(self._interrupt())
        except SandboxError as error:
            log.warning("what runs in the sandbox of %s could not be ended: %s", self._name, error)

    async def close(self) -> None:
        """See `Sandbox.close`."""
        self._inside.closed = True
        await undisturbed(self._close())

    async def clone(self) -> None:
        """Fill the workspace."""
        code, _, words = await self._inside.script(CLONE, [self._revision], workdir=WORKSPACE)
        self._worked(code, words)

    def _news_of_memory(self, count: int) -> str:
        """That memory ran out since the last look, by how many programs were killed for it so far."""
        # A container that was started anew counts from nothing.
        before = self._out_of_memory if self._out_of_memory <= count else 0
        self._out_of_memory = count
        return memory_ran_out(self._settings.memory) if count > before else ""

    async def _close(self) -> None:
        await self._engine.gone(lambda api: api.remove_container(self._called, force=True, v=True))
        await self._engine.gone(lambda api: api.remove_volume(self._called, force=True))

    async def _interrupt(self) -> None:
        if await self._inside.kill_all():
            return
        # It has ended, or has no room for one more process.
        with contextlib.suppress(SandboxError):
            await self._inside.restart()
        await self._revive()

    async def _file(
        self, path: str, script: str, size: str, *, stdin: bytes = b"", cap: int = 0
    ) -> tuple[int, bytes, bytes]:
        try:
            return await self._inside.script(script, [_path(path), size], stdin=stdin, cap=cap)
        except NoRoomError as error:
            # What a subagent has brought about, it can undo.
            raise OSError(errno.EAGAIN, str(error), path) from error

    def _answered(self, code: int, path: str, words: bytes) -> None:
        if code and b"fork" in words:
            said = f"can't be used now: the container has the {self._settings.pids} processes that it may have"
            raise OSError(errno.EAGAIN, said, path)
        if code in _SAID:
            raise ValueError(f"{path} {_SAID[code]}")
        if code in _ERRNO:
            number, said = _ERRNO[code]
            raise OSError(number, said, path)  # the class that fits the number, as `FileNotFoundError`
        if code == 77:
            raise self._no_clone()
        if code:
            said = safe_line(words.decode(errors="replace").strip(), 300)
            raise OSError(errno.EIO, said or f"could not be used (exit code {code})", path)

    def _worked(self, code: int, words: bytes) -> None:
        """SandboxError for a script that takes or applies patches and failed."""
        said = words.decode(errors="replace").strip()
        if code == 0:
            return
        if code == 65:
            total, *rest = said.splitlines()
            pairs = [line.partition(" ") for line in rest]
            largest = ", ".join(f"{safe_line(name, 80)} ({int(size) >> 20} MiB)" for size, _, name in pairs if name)
            raise SandboxError(
                f"{int(total) >> 20} MiB were changed, more than the {PATCH_CAP >> 20} MiB that a patch may hold: "
                f"{largest}"
            )
        if code == 77:
            raise self._no_clone()
        raise SandboxError(f"git in the container: {safe_line(said, 400) or f'exit code {code}'}")

    def _no_clone(self) -> SandboxError:
        return SandboxError(f"the sandbox of {self._name} is gone: there is no {ROOT} that can be entered")


def _path(path: str) -> str:
    if "\0" in path:
        raise ValueError("a path with a NUL character leads nowhere")
    return path or "."
