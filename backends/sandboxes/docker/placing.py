"""Sandboxes over several Docker hosts: each new one is placed on the least loaded, and a host that goes away costs its
sandboxes, not the run.

Each host is asked now and then whether it lives. One that doesn't is left out until it does again, and whatever waits
for it is told so at once: a machine that has lost its network answers nothing, not even an error.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, Protocol, TypeVar

from backends.sandboxes.docker.hosts import Host
from backends.sandboxes.protocol import (
    OUTPUT_CAP,
    Executed,
    Inhabitable,
    Program,
    Sandbox,
    SandboxError,
    Sandboxes,
)

T = TypeVar("T")

EVERY = 5.0
"""Seconds between two looks at a host."""
ANSWERS_WITHIN = 10.0
"""Seconds that a host may take to say that it lives."""
MISSED = 3
"""Looks in a row without an answer after which a host that is merely slow is taken to be away."""
SETTLES_WITHIN = 30.0
"""Seconds that work may take to its end which was under way when its host went away, once that is back."""
BACK_WITHIN = 60.0
"""Seconds that a new sandbox waits when all hosts are away: an engine that is started anew is back by then."""

log = logging.getLogger("multitrack.sandboxes")


class OneHost(Sandboxes, Protocol):
    """The sandboxes of one host."""

    async def prepare(self, said: Callable[[str], None]) -> None:
        """Make ready to create them, saying how far that is, a line at a time."""

    async def leave(self) -> None:
        """Remove what runs, and leave the workspaces for the engine that goes on with the run."""


class Place:
    """A host, and the run's sandboxes on it. `taken` counts those that are there or being made."""

    def __init__(self, host: Host, sandboxes: OneHost) -> None:
        self.host, self.sandboxes = host, sandboxes
        self.taken = 0
        self.why = ""
        """Why it is away; "" while it is not."""
        self._others = 0
        self._cpus = 1
        self._missed = 0
        self._left: set[asyncio.Future[Any]] = set()
        """Work that was under way when it went away."""
        self._gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Of its own, so that a host that doesn't answer holds up no other.
        self._thread = ThreadPoolExecutor(1, f"host-{host}")

    @property
    def load(self) -> float:
        """Containers a processor, whoever's they are."""
        return (self._others + self.taken) / self._cpus

    async def look(self, *, patient: bool) -> None:
        """Ask how it is. The first look that fails makes it away, or, with `patient`, so many in a row."""
        loop = asyncio.get_running_loop()
        try:
            running, self._cpus = await loop.run_in_executor(self._thread, self.host.load, ANSWERS_WITHIN)
        except SandboxError as error:
            self._missed += 1
            if not self.why and (not patient or self._missed >= MISSED):
                self._leave(str(error))
            return
        self._missed, self._others = 0, max(running - self.taken, 0)
        if self.why:
            self.why, self._gone = "", loop.create_future()

    def _leave(self, why: str) -> None:
        self.why = why
        self._gone.set_result(None)

    async def doing(self, work: Coroutine[Any, Any, T]) -> T:
        """A sandbox's work, as long as the host is there. SandboxError as soon as it is not."""
        task, gone = asyncio.ensure_future(work), self._gone
        either: set[asyncio.Future[Any]] = {task, gone}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise self.lost()
            try:
                return task.result()
            except SandboxError as error:
                if not self.why:
                    await self.look(patient=False)
                if self.why:
                    raise self.lost() from error
                raise
        finally:
            if not task.done():
                task.cancel()
                # What a host that answers nothing has begun comes to no end.
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                if not task.done():
                    self._left.add(task)
                    task.add_done_callback(self._forget)

    def when_gone(self, then: Callable[[], None]) -> None:
        """Call this when it goes away, at once when it has."""
        self._gone.add_done_callback(lambda _: then())

    async def pause(self, seconds: float) -> None:
        """Wait so long, or until it goes away."""
        if self.why:
            await asyncio.sleep(seconds)
        else:
            await asyncio.wait({self._gone}, timeout=seconds)

    def _forget(self, task: "asyncio.Future[Any]") -> None:
        self._left.discard(task)
        if not task.cancelled():
            task.exception()

    async def settled(self) -> None:
        """Wait for what was begun before it went away, and goes on when it is back: that must not make anew what is
        removed now."""
        if self._left:
            await asyncio.wait(self._left, timeout=SETTLES_WITHIN)

    def lost(self) -> SandboxError:
        """That whatever was here is lost."""
        return SandboxError(f"its Docker host went away ({self.host}): {self.why}")

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)
        self.host.close()


def _tell(said: Callable[[str], None], place: Place, line: str) -> None:
    said(f"{place.host}: {line}")


class PlacedSandboxes:
    """The sandboxes of one run over its hosts. `make` gives those of one host; `told` hears of hosts that go and come.

    To be used inside a running loop; `close` lets go of the hosts."""

    wall = True

    def __init__(
        self,
        hosts: Sequence[Host],
        make: Callable[[Host], OneHost],
        told: Callable[[str], Awaitable[None]],
        *,
        every: float = EVERY,
        back_within: float = BACK_WITHIN,
    ) -> None:
        self._places = {host.name: Place(host, make(host)) for host in hosts}
        self._told, self._every, self._back_within = told, every, back_within
        self._changed = asyncio.Condition()
        self._watching: list[asyncio.Task[None]] = []

    async def begin(self) -> None:
        """Look at all hosts, and keep looking. SandboxError when none answers."""
        await asyncio.gather(*(place.look(patient=False) for place in self._places.values()))
        if all(place.why for place in self._places.values()):
            raise SandboxError("; ".join(place.why for place in self._places.values()))
        for place in self._places.values():
            if place.why:
                await self._told(f"The Docker host {place.host} is left out: {place.why}")
            self._watching.append(asyncio.create_task(self._watch(place)))

    async def prepare(self, said: Callable[[str], None]) -> None:
        """Make ready to create sandboxes: build the image on every host, saying how far that is, a line at a time."""
        here = [place for place in self._places.values() if not place.why]
        for place in here:
            try:
                await place.doing(place.sandboxes.prepare(partial(_tell, said, place) if len(here) > 1 else said))
            except SandboxError:
                # One that went away makes itself ready when it is back, and something is made there.
                if not place.why or all(other.why for other in here):
                    raise

    async def close(self) -> None:
        """Let go of the hosts."""
        for task in self._watching:
            task.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)
        self._watching.clear()
        for place in self._places.values():
            await asyncio.to_thread(place.close)

    async def create(self, name: str, revision: str) -> Sandbox:
        """See `Sandboxes.create`. On the least loaded host; where that goes away meanwhile, on the next."""
        while True:
            place = await self._least_loaded()
            place.taken += 1
            try:
                return PlacedSandbox(place, await place.doing(place.sandboxes.create(name, revision)))
            except BaseException as error:
                place.taken -= 1
                if not (isinstance(error, SandboxError) and place.why):
                    raise

    async def reopen(self, name: str, handle: str) -> Sandbox:
        """See `Sandboxes.reopen`."""
        where, _, inner = handle.rpartition(" ")
        if (place := self._places.get(where)) is None:
            raise SandboxError(f"the sandbox of {name} is on the Docker host {where}, which is none of this run's")
        if place.why:
            raise place.lost()
        sandbox = await place.doing(place.sandboxes.reopen(name, inner))
        place.taken += 1
        return PlacedSandbox(place, sandbox)

    async def sweep(self) -> int:
        """See `Sandboxes.sweep`. A host that is away is left out: the next engine sweeps it."""
        swept = await asyncio.gather(*(self._swept(place) for place in self._places.values() if not place.why))
        return sum(swept)

    async def _swept(self, place: Place) -> int:
        try:
            return await place.doing(place.sandboxes.sweep())
        except SandboxError:
            if not place.why:
                raise
            return 0

    async def leave(self) -> None:
        """Remove what runs, and leave the workspaces for the engine that goes on with the run. SandboxError as `remove`
        has it."""
        await self._everywhere(lambda sandboxes: sandboxes.leave())

    async def remove(self) -> None:
        """See `Sandboxes.remove`. SandboxError for what could not be removed, when everything else is."""
        await self._everywhere(lambda sandboxes: sandboxes.remove())

    async def _everywhere(self, work: Callable[[OneHost], Coroutine[Any, Any, None]]) -> None:
        # One that was away at the last look may be back.
        await asyncio.gather(*(place.look(patient=False) for place in self._places.values() if place.why))
        here = [place for place in self._places.values() if not place.why]
        await asyncio.gather(*(place.settled() for place in here))
        done = await asyncio.gather(*(place.doing(work(place.sandboxes)) for place in here), return_exceptions=True)
        left = [f"{place.host} ({place.why})" for place in self._places.values() if place.why]
        for error in done:
            if isinstance(error, SandboxError):
                left.append(str(error))
            elif error is not None:
                raise error
        if left:
            raise SandboxError(f"containers may be left, which the next run's engine removes: {'; '.join(left)}")

    async def _least_loaded(self) -> Place:
        """The host for the next sandbox; when all are away, the first that comes back in time."""

        def here() -> list[Place]:
            return [place for place in self._places.values() if not place.why]

        if not here():
            async with self._changed:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait_for(here), self._back_within)
        if not here():
            raise SandboxError("; ".join(dict.fromkeys(place.why for place in self._places.values())))
        return min(here(), key=lambda place: place.load)

    async def _watch(self, place: Place) -> None:
        """Look at a host until the end, and say when it goes and comes."""
        before = place.why
        while True:
            # One that is away is asked more often: somebody may wait for it.
            await place.pause(min(self._every, 1.0) if place.why else self._every)
            if bool(place.why) == bool(before):
                await place.look(patient=True)
            if bool(place.why) != bool(before):
                await self._told(
                    f"The Docker host {place.host} {f'went away: {place.why}' if place.why else 'is back.'}"
                )
                async with self._changed:
                    self._changed.notify_all()
            before = place.why


class PlacedSandbox:
    """A sandbox on one of several hosts. Everything that is asked of it ends when its host goes away."""

    def __init__(self, place: Place, sandbox: Sandbox) -> None:
        self._place, self._sandbox = place, sandbox
        self._counted = True

    @property
    def handle(self) -> str:
        """Where it is, and what it is called there."""
        name = self._place.host.name
        return f"{name} {self._sandbox.handle}" if name else self._sandbox.handle

    async def run(
        self, command: str, *, seconds: float, cap: int = OUTPUT_CAP, environment: Mapping[str, str] | None = None
    ) -> Executed:
        """See `Sandbox.run`."""
        return await self._place.doing(self._sandbox.run(command, seconds=seconds, cap=cap, environment=environment))

    async def stream(self, argv: Sequence[str], *, environment: Mapping[str, str] | None = None) -> Program:
        """See `Inhabitable.stream`."""
        assert isinstance(self._sandbox, Inhabitable)
        program = await self._place.doing(self._sandbox.stream(argv, environment=environment))
        return PlacedProgram(self._place, program)

    def reach(self, port: int) -> AbstractAsyncContextManager[str]:
        """See `Inhabitable.reach`."""
        assert isinstance(self._sandbox, Inhabitable)
        return self._sandbox.reach(port)

    async def ran_out(self) -> str | None:
        """See `Inhabitable.ran_out`."""
        assert isinstance(self._sandbox, Inhabitable)
        return await self._place.doing(self._sandbox.ran_out())

    async def read(self, path: str) -> bytes:
        """See `Sandbox.read`."""
        return await self._place.doing(self._sandbox.read(path))

    async def write(self, path: str, data: bytes) -> None:
        """See `Sandbox.write`."""
        await self._place.doing(self._sandbox.write(path, data))

    async def patch(self) -> bytes:
        """See `Sandbox.patch`."""
        return await self._place.doing(self._sandbox.patch())

    async def apply(self, patch: bytes) -> None:
        """See `Sandbox.apply`."""
        await self._place.doing(self._sandbox.apply(patch))

    async def interrupt(self) -> None:
        """See `Sandbox.interrupt`. On a host that is away nothing of ours runs that could be reached."""
        if not self._place.why:
            await self._place.doing(self._sandbox.interrupt())

    async def close(self) -> None:
        """See `Sandbox.close`."""
        if self._counted:
            self._counted = False
            self._place.taken -= 1
        if self._place.why:
            raise self._place.lost()
        await self._place.doing(self._sandbox.close())


class PlacedProgram:
    """A program on one of several hosts: its output ends with a ConnectionError when its host goes away."""

    def __init__(self, place: Place, program: Program) -> None:
        self._place, self._program = place, program
        place.when_gone(self._broken)

    @property
    def output(self) -> asyncio.StreamReader:
        """See `Program.output`."""
        return self._program.output

    @property
    def said(self) -> bytes:
        """See `Program.said`."""
        return self._program.said

    async def write(self, data: bytes) -> None:
        """See `Program.write`."""
        await self._place.doing(self._program.write(data))

    async def ended(self) -> int:
        """See `Program.ended`. SandboxError also when its host went away."""
        return await self._place.doing(self._program.ended())

    async def kill(self) -> None:
        """See `Program.kill`. On a host that is away there is nothing that could be reached."""
        if not self._place.why:
            with contextlib.suppress(SandboxError):
                await self._place.doing(self._program.kill())

    def _broken(self) -> None:
        if not self.output.at_eof():
            self.output.set_exception(ConnectionResetError(str(self._place.lost())))
