"""Starting programs in one container, ending them, and saying what became of it."""

import asyncio
import contextlib
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from backends.sandboxes.docker.attached import STDOUT, Attached, NotStartedError
from backends.sandboxes.docker.causes import end_of_container
from backends.sandboxes.docker.engine import BusyError, Engine, MissingError, in_thread, plain
from backends.sandboxes.docker.scripts import INTERRUPT, KILL, ROOT
from backends.sandboxes.environment import COMMAND_MARKER, MARKER
from backends.sandboxes.protocol import SandboxError
from store.domain.docker import DockerSettings
from store.domain.safe_text import safe_line

T = TypeVar("T")

_SECONDS = 600.0
"""The most that one of our own scripts may take."""
_KILLING_SECONDS = 60.0
"""The most that looking for programs and killing them may take, before the container is started anew."""
_ENDING_SECONDS = 5.0
"""How long the engine may take to notice that a program it was told to kill has ended."""
_ERROR_CAP = 4096


class NoRoomError(SandboxError):
    """A container in which nothing more can be started."""


class Contained:
    """What runs in one container. `called` is its name on the engine, `name` the subagent's; `closed` says that it was
    removed."""

    def __init__(self, engine: Engine, name: str, called: str, settings: DockerSettings) -> None:
        self._engine, self._name, self._called, self._settings = engine, name, called, settings
        self.closed = False

    async def kill(self, token: str) -> None:
        """End a command and all that it started; with the whole container, when there is no other way."""
        if not await self._ended_by(KILL, token):
            await self.restart()

    async def kill_all(self) -> bool:
        """End all that runs for the subagent; whether that could be done."""
        return await self._ended_by(INTERRUPT)

    async def _ended_by(self, script: str, *arguments: str) -> bool:
        try:
            # Not in the clone, which a subagent can make nobody's to enter.
            code, _, _ = await self.script(script, arguments, workdir="/", seconds=_KILLING_SECONDS)
        except SandboxError:
            return False
        return code == 0

    async def restart(self) -> None:
        """Start the container anew, with its files and without what ran in it."""
        try:
            await self._engine.call(lambda api: api.restart(self._called, timeout=0))
        except (MissingError, BusyError):
            return  # nothing runs in what is not there

    async def end(self, token: str, attached: Attached, listening: "asyncio.Future[None]") -> None:
        """End a command that somebody listens to, and the listening."""
        try:
            await self.kill(token)
        finally:
            await asyncio.wait([listening], timeout=_ENDING_SECONDS)
            attached.cut()
            await asyncio.wait([listening])

    async def attach(
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
        if self.closed:
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
            await undisturbed(self._abandon(task, token))
            raise
        except NotStartedError as error:
            if not await self.runs():
                raise await self.lost() from error
            said = safe_line(str(error), 300) or "the engine does not say why"
            # Mostly it is that, and an engine has many words for it.
            room = f"the container may have {self._settings.pids} processes at once"
            raise NoRoomError(f"nothing can be started ({room}): {plain(said, 'Docker')}") from error
        except (MissingError, BusyError) as error:
            raise await self.lost() from error

    async def _abandon(self, task: "asyncio.Future[Attached]", token: str) -> None:
        """End what somebody has started who does not want it any more."""
        await asyncio.wait([task])
        if not task.cancelled() and task.exception() is None:
            attached = task.result()
            if token:
                await self.kill(token)
            await in_thread(attached.close)

    async def script(
        self,
        script: str,
        arguments: Sequence[str] = (),
        *,
        stdin: bytes = b"",
        cap: int = 0,
        workdir: str = ROOT,
        seconds: float = _SECONDS,
    ) -> tuple[int, bytes, bytes]:
        """Run one of our scripts: exit code, output, and the end of what it says of errors. SandboxError when it says
        more than `cap` bytes, takes too long, or can't be run."""
        attached = await self.attach(script, arguments, workdir=workdir)
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
            _, late = await asyncio.wait(both, timeout=seconds)
        finally:
            attached.cut()
            await asyncio.wait(both)
            attached.close()
        if late:
            raise SandboxError(f"the container of {self._name} was given {seconds:g} s for its files, and is not done")
        for work in both:
            work.result()
        if len(out) > cap:
            raise SandboxError(f"the container of {self._name} gives back more than the {cap >> 20} MiB that it may")
        return await self.code(attached), bytes(out), bytes(words)

    async def code(self, attached: Attached) -> int:
        """The exit code of a program whose streams have ended."""
        # A loaded engine closes the streams seconds before it says so.
        for wait in (0.0, 0.05, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0):
            await asyncio.sleep(wait)
            try:
                found = await self._engine.call(lambda api: api.exec_inspect(attached.exec_id))
            except (MissingError, BusyError) as error:
                raise await self.lost() from error
            if not found["Running"] and found["ExitCode"] is not None:
                # With the container, its programs end as killed ones do.
                if found["ExitCode"] == 137 and not await self.runs():
                    raise await self.lost()
                return int(found["ExitCode"])
        raise await self.lost()

    async def runs(self) -> bool:
        state = await self._state()
        return state is not None and bool(state.get("Running"))

    async def _state(self) -> dict[str, Any] | None:
        try:
            found = await self._engine.call(lambda api: api.inspect_container(self._called))
        except MissingError:
            return None
        state: dict[str, Any] = found["State"]
        return state

    async def lost(self) -> SandboxError:
        """What became of the container."""
        why = end_of_container(await self._state(), self._settings.memory)
        return SandboxError(f"the sandbox of {self._name} is lost: {why}")


async def undisturbed(work: Coroutine[Any, Any, T]) -> T:
    """Do it to its end, also when the caller is cancelled."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()
        raise
