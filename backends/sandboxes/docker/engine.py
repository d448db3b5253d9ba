"""Speaking to one Docker engine without blocking the loop, and its errors in plain words.

The SDK blocks, so each call has a thread. The threads are daemons: an engine that never answers must not keep this
process from ending.
"""

import asyncio
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from backends.sandboxes.docker.hosts import Host, HostError, unreachable
from backends.sandboxes.protocol import SandboxError
from store.domain.safe_text import safe_line

if TYPE_CHECKING:
    from docker import APIClient

T = TypeVar("T")

_WORDS = 400


class MissingError(SandboxError):
    """What was asked for is not there."""


class BusyError(SandboxError):
    """What was asked for is in use, or not in a state for it."""


class Engine:
    """The calls of one host's engine."""

    def __init__(self, host: Host) -> None:
        self.host = host

    async def call(self, function: "Callable[[APIClient], T]") -> T:
        """What a function of the client gives, called in a thread; a caller that is cancelled waits for its end, so
        that nothing is made unseen. SandboxError when it can't be done."""
        task = asyncio.ensure_future(in_thread(self.now, function))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait([task])
            if not task.cancelled():
                # What it raised is nobody's any more; not to look at it would be logged as a fault.
                task.exception()
            raise

    def now(self, function: "Callable[[APIClient], T]") -> T:
        """The same at once. Blocks."""
        from docker.errors import DockerException
        from requests.exceptions import RequestException
        from urllib3.exceptions import HTTPError

        try:
            return function(self.host.client().api)
        except HostError:
            raise
        except (DockerException, RequestException, HTTPError, OSError) as error:
            raise self.wrong(error) from error

    async def gone(self, function: "Callable[[APIClient], Any]") -> bool:
        """Remove something; whether it was there. What is being removed already is waited for."""
        for wait in (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 0.0):
            try:
                await self.call(function)
                return True
            except MissingError:
                return False
            except BusyError:
                if not wait:
                    raise
                await asyncio.sleep(wait)
        raise AssertionError

    def wrong(self, error: Exception) -> SandboxError:
        """An error of the SDK's as one of ours."""
        from docker.errors import APIError

        if not isinstance(error, APIError):
            return HostError(unreachable(self.host.place, error))
        words = safe_line(str(error.explanation or error), _WORDS)
        if error.status_code == 404:
            return MissingError(plain(words, self.host.said))
        if error.status_code == 409:
            return BusyError(plain(words, self.host.said))
        return SandboxError(plain(words, self.host.said))


def plain(words: str, engine: str) -> str:
    """What an engine says of an error, with what to do where that is known. Its own words come last."""
    low = words.lower()
    if "no space left on device" in low or "disk quota exceeded" in low:
        return f"the disk of {engine} is full: make room there, such as with `docker system prune` ({words})"
    if "no such image" in low:
        return f"{engine} has no such image: `docker pull` brings it there, `docker images` lists what is ({words})"
    if "unknown or invalid runtime" in low or "runtime name" in low:
        return f"{engine} has not been told of that runtime: `docker info` lists those that it has ({words})"
    if "executable file not found" in low or "no such file or directory: unknown" in low:
        return f"the image lacks what every sandbox needs, which is a POSIX shell and its usual tools ({words})"
    if "resource temporarily unavailable" in low:
        return f"the container has as many processes as it may have ({words})"
    return f"{engine} says: {words}"


async def in_thread(function: Callable[..., T], *arguments: Any) -> T:
    """Call what blocks in a daemon thread of its own. A caller that is cancelled leaves it behind."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type] # it is a T when there is no error

    def work() -> None:
        result: T | None = None
        failed: BaseException | None = None
        try:
            result = function(*arguments)
        except BaseException as error:  # noqa: BLE001 - whoever awaits it gets it
            failed = error
        try:
            loop.call_soon_threadsafe(settle, result, failed)
        except RuntimeError:
            return  # the loop is closed, so nobody waits

    threading.Thread(target=work, name="docker", daemon=True).start()
    return await future
