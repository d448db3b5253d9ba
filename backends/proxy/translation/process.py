"""The worker's process, as the proxy has it: started when a call first needs it, begun anew when it died, ended with
the proxy. LiteLLM takes seconds and 200 MB to import, so it is nowhere else.

It listens on a socket in a folder of our own, which nobody else can open. The socket listens before the process is
there: a call that comes first waits in line, and nobody has to ask whether it is ready. It ends when its standard input
does, and so also when this process is killed.
"""

import asyncio
import contextlib
import logging
import os
import shutil
import socket
import sys
import tempfile
from pathlib import Path

import aiohttp

from backends.proxy.translation.environment import worker_environment

log = logging.getLogger("multitrack.proxy")

_BACKLOG = 1024
_START = 60.0
"""Seconds that it may take to import LiteLLM, on a loaded machine."""

_PATIENCE = 5.0
"""Seconds that it may take to leave."""


class Worker:
    """The process and the connections to it. Belongs to the event loop it is first used in."""

    def __init__(self, silence: float) -> None:
        """`silence` is the longest time without a byte of a provider's answer, in seconds."""
        self._silence = silence + _START
        self._starting = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._session: aiohttp.ClientSession | None = None
        self._folder: Path | None = None

    @property
    def pid(self) -> int | None:
        """Of the process; None while there is none."""
        return None if self._process is None or self._process.returncode is not None else self._process.pid

    async def post(self, path: str, body: bytes, headers: dict[str, str]) -> aiohttp.ClientResponse:
        """Ask it; starts it when it isn't there. aiohttp.ClientError, OSError."""
        for again in (True, False):
            session = await self._up()
            try:
                return await session.post(f"http://worker{path}", data=body, headers=headers)
            except aiohttp.ClientConnectorError:
                # It died, and that was not known yet. Nobody has heard the question.
                if not again:
                    raise
                await self._gone()
        raise AssertionError("unreachable")

    async def close(self) -> None:
        """End it."""
        async with self._starting:
            process, session = self._process, self._session
            self._process = self._session = None
            if session is not None:
                await session.close()
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
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), _PATIENCE)

    async def _up(self) -> aiohttp.ClientSession:
        async with self._starting:
            if self._session is None or self.pid is None:
                await self._start()
            assert self._session is not None
            return self._session

    async def _start(self) -> None:
        if self._process is None:
            log.info("a route needs LiteLLM: its worker starts, which takes some seconds")
        else:
            log.warning("the worker of LiteLLM ended (exit code %s): it starts again", self._process.returncode)
        if self._session is not None:
            await self._session.close()
            self._session = None
        if self._folder is None:
            # Its user's alone from the first instant. Short, for a socket's path has 100 letters.
            self._folder = Path(tempfile.mkdtemp(prefix="multitrack-"))
        path = self._folder / "socket"
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(path))
            listening.listen(_BACKLOG)
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-E", "-m", "backends.proxy.translation.worker"),
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
