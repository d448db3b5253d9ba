"""One subagent's container, and what is done in it."""

import asyncio
import contextlib
import errno
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

from backends.sandboxes.docker.attached import STDOUT, Attached, NotStartedError
from backends.sandboxes.docker.causes import end_of_container, memory_ran_out
from backends.sandboxes.docker.engine import BusyError, Engine, MissingError, in_thread, plain
from backends.sandboxes.docker.hearing import Hearing
from backends.sandboxes.docker.scripts import (
    APPLY,
    CLONE,
    INTERRUPT,
    KILL,
    PATCH,
    PROGRAM,
    READ,
    ROOT,
    RUN,
    WORKSPACE,
    WRITE,
)
from backends.sandboxes.docker.stream import Stream
from backends.sandboxes.environment import COMMAND_MARKER, MARKER
from backends.sandboxes.patches import read as read_patch
from backends.sandboxes.protocol import FILE_CAP, OUTPUT_CAP, PATCH_CAP, Executed, SandboxError
from store.domain.docker import DockerSettings
from store.domain.safe_text import safe_line

T = TypeVar("T")

log = logging.getLogger("multitrack.sandboxes")

_SECONDS = 600.0
"""The most that one of our own scripts may take."""
_ENDING_SECONDS = 5.0
"""How long the engine may take to notice that a program it was told to kill has ended."""
_ARGUMENT = 128 * 1024 - 1
"""Bytes that Linux takes as one argument."""
_ERROR_CAP = 4096
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


class NoRoomError(SandboxError):
    """A container in which nothing more can be started."""


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
        self._closed = False

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
            attached = await self._attach(RUN, [command, token], token, environment, line=end)
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
                await self._end(token, attached, listening)
        except asyncio.CancelledError:
            await _undisturbed(self._end(token, attached, listening))
            raise
        finally:
            if listening.done():
                attached.close()
        listening.result()
        output, cut, left_out = hearing.kept()
        code = None if timed_out else hearing.code
        if code is None and not timed_out:
            code = await self._code(attached)
            if code not in _ENDED:
                output += _CUT_OFF.format(code=code, pids=self._settings.pids).encode()
        if hearing.ended:
            # A container that was started anew counts from nothing.
            before = self._out_of_memory if self._out_of_memory <= hearing.out_of_memory else 0
            self._out_of_memory = hearing.out_of_memory
            if hearing.out_of_memory > before:
                output += f"\n[{memory_ran_out(self._settings.memory)}]\n".encode()
        return Executed(code, output, left_out, time.monotonic() - started, cut)

    async def stream(self, argv: Sequence[str], *, environment: Mapping[str, str] | None = None) -> Stream:
        """See `Inhabitable.stream`."""
        token = secrets.token_hex(8)
        attached = await self._attach(PROGRAM, argv, token, environment)

        async def kill() -> None:
            await _undisturbed(self._kill(token))

        return Stream(self._engine, attached, kill)

    def reach(self, port: int) -> AbstractAsyncContextManager[str]:
        """See `Inhabitable.reach`."""
        from backends.sandboxes.docker.relay import reach

        return reach(self.stream, port)

    async def read(self, path: str) -> bytes:
        """See `Sandbox.read`."""
        code, data, words = await self._script(READ, [_path(path), str(FILE_CAP)], cap=FILE_CAP)
        if code == 76:
            size = words.decode(errors="replace").strip()
            raise OSError(errno.EFBIG, f"has {safe_line(size, 20)} bytes; at once, {FILE_CAP} can be read", path)
        self._answered(code, path, words)
        return data

    async def write(self, path: str, data: bytes) -> None:
        """See `Sandbox.write`."""
        code, _, words = await self._script(WRITE, [_path(path), str(len(data))], stdin=data)
        self._answered(code, path, words)

    async def patch(self) -> bytes:
        """See `Sandbox.patch`."""
        code, data, words = await self._script(PATCH, [self._revision, "", str(PATCH_CAP)], cap=4 * PATCH_CAP)
        self._worked(code, words)
        return data

    async def apply(self, patch: bytes) -> None:
        """See `Sandbox.apply`."""
        if not read_patch(patch):
            return
        arguments = [self._revision, str(len(patch)), str(PATCH_CAP)]
        code, _, words = await self._script(APPLY, arguments, stdin=patch)
        if code == 66:
            names = ", ".join(safe_line(words.decode(errors="replace"), 400).split())
            raise SandboxError(f"the patch was applied, but these files came out differently: {names}")
        self._worked(code, words)

    async def interrupt(self) -> None:
        """See `Sandbox.interrupt`. A container that has ended is started again, so that its files can be had. When the
        engine can't be reached there is nothing that could be ended, and whatever is asked next says so."""
        if self._closed:
            return
        try:
            await _undisturbed(self._interrupt())
        except SandboxError as error:
            log.warning("what runs in the sandbox of %s could not be ended: %s", self._name, error)

    async def close(self) -> None:
        """See `Sandbox.close`."""
        self._closed = True
        await _undisturbed(self._close())

    async def clone(self) -> None:
        """Fill the workspace."""
        code, _, words = await self._script(CLONE, [self._revision], workdir=WORKSPACE)
        self._worked(code, words)

    async def _close(self) -> None:
        await self._engine.gone(lambda api: api.remove_container(self._called, force=True, v=True))
        await self._engine.gone(lambda api: api.remove_volume(self._called, force=True))

    async def _interrupt(self) -> None:
        try:
            code, _, _ = await self._script(INTERRUPT, [])
            if code == 0:
                return
        except SandboxError:
            pass
        # It has ended, or has no room for one more process.
        with contextlib.suppress(SandboxError):
            await self._restart()
        await self._revive()

    async def _kill(self, token: str) -> None:
        """End a command and all that it started; with the whole container, when there is no other way."""
        try:
            code, _, _ = await self._script(KILL, [token])
            if code == 0:
                return
        except SandboxError:
            pass
        await self._restart()

    async def _restart(self) -> None:
        try:
            await self._engine.call(lambda api: api.restart(self._called, timeout=0))
        except (MissingError, BusyError):
            return  # nothing runs in what is not there

    async def _end(self, token: str, attached: Attached, listening: "asyncio.Future[None]") -> None:
        try:
            await self._kill(token)
        finally:
            await asyncio.wait([listening], timeout=_ENDING_SECONDS)
            attached.cut()
            await asyncio.wait([listening])

    async def _attach(
        self,
        script: str,
        arguments: Sequence[str],
        token: str = "",
        environment: Mapping[str, str] | None = None,
        workdir: str = ROOT,
        line: str = "",
    ) -> Attached:
        """Start a script, which is given the line. SandboxError that says what became of the container when it doesn't
        run."""
        if self._closed:
            raise SandboxError(f"the sandbox of {self._name} is gone: it was removed")
        marked = {**(environment or {}), **({COMMAND_MARKER: token} if token else {})}
        marked.pop(MARKER, None)
        argv = ["/bin/sh", "-c", script, "sh", *arguments]
        how: dict[str, Any] = {"user": self._settings.user, "workdir": workdir, "environment": marked}
        task = asyncio.ensure_future(
            self._engine.call(lambda api: Attached.start(api, self._called, argv, line.encode(), **how))
        )
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await _undisturbed(self._abandon(task, token))
            raise
        except NotStartedError as error:
            if not await self._runs():
                raise await self._lost() from error
            said = safe_line(str(error), 300) or "the engine does not say why"
            raise NoRoomError(f"nothing can be started in the container: {plain(said, 'Docker')}") from error
        except (MissingError, BusyError) as error:
            raise await self._lost() from error

    async def _abandon(self, task: "asyncio.Future[Attached]", token: str) -> None:
        """End what somebody has started who does not want it any more."""
        await asyncio.wait([task])
        if not task.cancelled() and task.exception() is None:
            attached = task.result()
            if token:
                await self._kill(token)
            await in_thread(attached.close)

    async def _script(
        self, script: str, arguments: Sequence[str], *, stdin: bytes = b"", cap: int = 0, workdir: str = ROOT
    ) -> tuple[int, bytes, bytes]:
        """Run one of our scripts: exit code, output, and the end of what it says of errors. SandboxError when it says
        more than `cap` bytes, takes too long, or can't be run."""
        attached = await self._attach(script, arguments, workdir=workdir)
        out, words = bytearray(), bytearray()

        def write() -> None:
            # One that ends early takes no more, and says why by its exit code.
            with contextlib.suppress(ConnectionError):
                attached.write(stdin)

        def read() -> None:
            while (piece := attached.read()) is not None and len(out) <= cap:
                if piece[0] == STDOUT:
                    out.extend(piece[1])
                else:
                    words.extend(piece[1])
                    del words[:-_ERROR_CAP]
            attached.cut()

        both = [asyncio.ensure_future(in_thread(work)) for work in ((read, write) if stdin else (read,))]
        try:
            _, late = await asyncio.wait(both, timeout=_SECONDS)
        finally:
            attached.cut()
            await asyncio.wait(both)
            attached.close()
        if late:
            raise SandboxError(f"the container of {self._name} was given {_SECONDS:g} s for its files, and is not done")
        for work in both:
            work.result()
        if len(out) > cap:
            raise SandboxError(f"the container of {self._name} gives back more than the {cap >> 20} MiB that it may")
        return await self._code(attached), bytes(out), bytes(words)

    async def _code(self, attached: Attached) -> int:
        """The exit code of a program whose streams have ended."""
        for wait in (0.0, 0.05, 0.2, 0.5, 1.0, 2.0):
            await asyncio.sleep(wait)
            try:
                found = await self._engine.call(lambda api: api.exec_inspect(attached.exec_id))
            except (MissingError, BusyError) as error:
                raise await self._lost() from error
            if not found["Running"] and found["ExitCode"] is not None:
                # With the container, its programs end as killed ones do.
                if found["ExitCode"] == 137 and not await self._runs():
                    raise await self._lost()
                return int(found["ExitCode"])
        raise await self._lost()

    async def _runs(self) -> bool:
        state = await self._state()
        return state is not None and bool(state.get("Running"))

    async def _state(self) -> dict[str, Any] | None:
        try:
            found = await self._engine.call(lambda api: api.inspect_container(self._called))
        except MissingError:
            return None
        state: dict[str, Any] = found["State"]
        return state

    async def _lost(self) -> SandboxError:
        """What became of the container."""
        why = end_of_container(await self._state(), self._settings.memory)
        return SandboxError(f"the sandbox of {self._name} is lost: {why}")

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
        return SandboxError(f"the sandbox of {self._name} is gone: there is no {ROOT} any more")


def _path(path: str) -> str:
    if "\0" in path:
        raise ValueError("a path with a NUL character leads nowhere")
    return path or "."


async def _undisturbed(work: Coroutine[Any, Any, T]) -> T:
    """Do it to its end, also when the caller is cancelled."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()
        raise
