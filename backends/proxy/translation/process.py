"""The worker's process, as the proxy has it: started when a call first needs it, begun anew when it died or says
nothing any more, ended with the proxy. LiteLLM takes seconds and 200 MB to import, so it is nowhere else.

It listens on a socket in a folder of our own, which nobody else can open, and ends when its standard input does, and so
also when this process is killed.
"""

import asyncio
import logging
import os
import shutil
import socket
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from backends.proxy.translation.environment import worker_environment

log = logging.getLogger("multitrack.proxy")

_BACKLOG = 1024
_PATIENCE = 5.0
"""Seconds that it may take to leave."""


@dataclass(frozen=True)
class Pace:
    """Seconds. `start` is what importing LiteLLM may take, on a loaded machine. Each `look` it is asked whether it is
    alive; when it is `deaf` to that twice, it is ended."""

    start: float = 120.0
    look: float = 10.0
    deaf: float = 20.0


class Worker:
    """The process and the connections to it. Belongs to the event loop it is first used in."""

    def __init__(self, silence: float, pace: Pace | None = None) -> None:
        """`silence` is the longest time without a byte of a provider's answer, in seconds."""
        self._pace = pace or Pace()
        # The provider's silence is to be told first.
        self._silence = silence + 60.0
        self._starting: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._session: aiohttp.ClientSession | None = None
        self._folder: Path | None = None

    @property
    def pid(self) -> int | None:
        """Of the process; None while there is none."""
        return None if self._process is None or self._process.returncode is not None else self._process.pid

    async def up(self) -> float:
        """Start it when it isn't there; the seconds that this took. OSError."""
        began = time.perf_counter()
        if self._starting is None or (self._starting.done() and self.pid is None):
            self._starting = asyncio.create_task(self._start())
            # Who waits for it may all have left.
            self._starting.add_done_callback(_seen)
        elif self._starting.done():
            return 0.0
        # Whoever began it may leave: others wait for it too.
        await asyncio.shield(self._starting)
        return time.perf_counter() - began

    async def post(self, path: str, body: bytes, headers: dict[str, str]) -> aiohttp.ClientResponse:
        """Ask it; starts it when it isn't there. aiohttp.ClientError, OSError."""
        for again in (True, False):
            await self.up()
            assert self._session is not None
            try:
                return await self._session.post(f"http://worker{path}", data=body, headers=headers)
            except aiohttp.ClientConnectorError:
                # It died, and that was not known yet. Nobody has heard the question.
                if not again:
                    raise
                await self._gone()
        raise AssertionError("unreachable")

    async def close(self) -> None:
        """End it."""
        for task in (self._starting, self._watching):
            if task is not None:
                task.cancel()
                await asyncio.wait({task})
        self._starting = self._watching = None
        if self._session is not None:
            await self._session.close()
            self._session = None
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            if process.stdin is not None:
                process.stdin.close()
            try:
                await asyncio.wait_for(process.wait(), _PATIENCE)
            except TimeoutError:
                process.kill()
                await process.wait()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    async def _gone(self) -> None:
        """Wait until it is known to be dead."""
        if (process := self._process) is not None:
            try:
                await asyncio.wait_for(process.wait(), _PATIENCE)
            except TimeoutError:
                log.error("the worker of LiteLLM can't be reached: it is ended")
                process.kill()
                await process.wait()

    async def _start(self) -> None:
        """Start it, and wait until it answers. OSError."""
        if self._process is None:
            log.info("a route needs LiteLLM: its worker starts, which takes some seconds")
        else:
            log.warning("the worker of LiteLLM ended (exit code %s): it starts again", self._process.returncode)
        if self._watching is not None:
            self._watching.cancel()
        if self._session is not None:
            await self._session.close()
        process, session = await self._spawned()
        try:
            await _alive(session, self._pace.start)
        except (aiohttp.ClientError, OSError) as error:
            if process.returncode is None and isinstance(error, TimeoutError):
                process.kill()
                await process.wait()
                raise OSError(f"it was not there after {self._pace.start:g} s") from error
            raise OSError(f"it ended as it started, with exit code {await process.wait()}") from error
        self._watching = asyncio.create_task(self._watch(process, session))

    async def _spawned(self) -> tuple[asyncio.subprocess.Process, aiohttp.ClientSession]:
        if self._folder is None:
            # Its user's alone from the first instant. Short, for a socket's path has 100 letters.
            self._folder = Path(tempfile.mkdtemp(prefix="multitrack-"))
        path = self._folder / "socket"
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(path))
            listening.listen(_BACKLOG)
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-E", "-W", "ignore", "-m", "backends.proxy.translation.worker"),
                *(str(listening.fileno()), str(self._folder)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                cwd=self._folder,
                env=worker_environment(os.environ, self._folder),
                pass_fds=(listening.fileno(),),
                start_new_session=True,  # a Ctrl-C in the terminal is for the proxy, which ends it
            )
        # From here on only the process holds the socket: when it dies, who waits in line is told.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(str(path), limit=0),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_read=self._silence),
            read_bufsize=64 * 1024,
        )
        return self._process, self._session

    async def _watch(self, process: asyncio.subprocess.Process, session: aiohttp.ClientSession) -> None:
        """End it when it is there and says nothing: whoever waits for it is told, and the next call begins it anew."""
        deaf = 0
        while process.returncode is None and deaf < 2:
            await asyncio.sleep(self._pace.look)
            try:
                await _alive(session, self._pace.deaf)
                deaf = 0
            except TimeoutError:
                deaf += 1
            except (aiohttp.ClientError, OSError):
                return
        if process.returncode is None:
            log.error("the worker of LiteLLM says nothing any more: it is ended, and starts again when it is needed")
            process.kill()


async def _alive(session: aiohttp.ClientSession, patience: float) -> None:
    """Returns when the process answers. TimeoutError, aiohttp.ClientError, OSError."""
    async with session.get("http://worker/alive", timeout=aiohttp.ClientTimeout(total=patience)) as response:
        await response.read()


def _seen(starting: "asyncio.Task[None]") -> None:
    if not starting.cancelled():
        starting.exception()
