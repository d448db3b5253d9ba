"""The rules over the event log as it grows: they raise alerts about subagents that are stuck. The face of the trade.

The rules themselves are plain functions of what happened (`store.domain.stuck`, described in `docs/alerts.md`); here
they are told it, from the events and the tape, and what they say is put on record, each alert once.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ParamSpec, Protocol, TypeVar

from store.domain.ids import SubagentId
from store.domain.subagent_events import Alert

if TYPE_CHECKING:
    from backends.rules.watching import Watching
    from store.database import Store

__all__ = ["Raised", "Record", "Rules", "found", "watched"]

EVERY = 0.25
"""Seconds between two looks at the log."""

log = logging.getLogger("multitrack.rules")

P = ParamSpec("P")
T = TypeVar("T")


class Record(Protocol):
    """Puts an alert about a subagent on record."""

    async def __call__(self, alert: Alert, /, *, subagent: SubagentId) -> None: ...


@dataclass(frozen=True)
class Raised:
    """An alert of the rules, about whom, and the time of what it was raised over."""

    subagent: SubagentId
    at: float
    alert: Alert


class Rules:
    """Watches one run. `clock` says the time, in Unix seconds.

    Where it stands is in the log alone: another engine reads it from its beginning and comes to the same alerts, of
    which those that are on record are not raised again.
    """

    def __init__(self, store: "Store", run: str, record: Record, clock: Callable[[], float]) -> None:
        self._store, self._run, self._record, self._clock = store, run, record, clock
        self._watching: Watching | None = None
        self._looking = asyncio.Lock()
        self._waiting: list[Raised] = []
        """Seen, and not on record yet."""
        self._broken = False

    async def look(self) -> None:
        """Look at what is new in the log, and put on record what the rules say of it."""
        async with self._looking:
            self._waiting += await asyncio.to_thread(self._read)
            while self._waiting:
                await self._record(self._waiting[0].alert, subagent=self._waiting[0].subagent)
                del self._waiting[0]

    async def follow(self) -> None:
        """Look again and again, until cancelled. A fault of the rules costs the alerts, never the run."""
        while not self._broken:
            await self.settle()
            await asyncio.sleep(EVERY)

    async def settle(self) -> None:
        """Look, whatever comes of it."""
        if self._broken:
            return
        try:
            await self.look()
        except Exception:
            # The harness meets a store that can't be used by itself.
            log.exception("the stuck rules could not go on; no more alerts are raised")
            self._broken = True

    def before(self, work: Callable[P, T]) -> Callable[P, T]:
        """Work that a thread does, with everything on record before it that the rules have to say until then. For the
        loop that this is called in."""
        loop = asyncio.get_running_loop()

        def settled(*args: P.args, **kwargs: P.kwargs) -> T:
            asyncio.run_coroutine_threadsafe(self.settle(), loop).result()
            return work(*args, **kwargs)

        return settled

    def _read(self) -> list[Raised]:
        from backends.rules.watching import Watching

        if self._watching is None:
            self._watching = Watching(self._store, self._run)
        return self._watching.look(self._clock())


@contextlib.asynccontextmanager
async def watched(
    store: "Store", run: str, record: Record, clock: Callable[[], float] = time.time
) -> AsyncIterator[Rules]:
    """Have a run watched for as long as the context is open."""
    rules = Rules(store, run, record, clock)
    following = asyncio.create_task(rules.follow())
    try:
        yield rules
    finally:
        following.cancel()
        await asyncio.wait([following])


def found(store: "Store", run: str) -> list[Raised]:
    """What the rules say of a run that is on record, in order; those on record as alerts as well. Slow: reads its
    tapes."""
    from backends.rules.watching import Watching

    return Watching(store, run, again=True).look(None)
