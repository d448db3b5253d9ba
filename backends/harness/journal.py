"""A run's events, appended and folded: the harness's one view of where the run stands."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from sqlalchemy import Connection

from store import events
from store.database import Store
from store.domain.board import Board
from store.domain.events import Payload
from store.domain.ids import SubagentId


class Journal:
    """Appends events and keeps the board; whoever waits for a change of the board is woken by it."""

    def __init__(self, store: Store, run: str, clock: Callable[[], float]) -> None:
        self.store, self.run, self.clock = store, run, clock
        self.board = Board(run)
        self.editing = asyncio.Lock()
        """Held by whoever makes a new version of the observations from the latest."""
        self._changed = asyncio.Event()
        self.catch_up()

    async def record(
        self,
        *payloads: Payload,
        subagent: SubagentId | None = None,
        generation: int | None = None,
        also: Callable[[Connection], object] | None = None,
    ) -> None:
        """Commit events, together with what `also` writes, and fold them. They belong to the subagent or generation."""

        def job(connection: Connection) -> None:
            if also is not None:
                also(connection)
            self.append(connection, payloads, subagent=subagent, generation=generation)

        await self.store.writer.write(job)
        self.catch_up()

    def append(
        self,
        connection: Connection,
        payloads: Sequence[Payload],
        *,
        subagent: SubagentId | None = None,
        generation: int | None = None,
    ) -> None:
        """Append events inside a job of the writer's."""
        if subagent is not None:
            generation = subagent.generation
        lane = subagent.lane if subagent is not None else None
        events.append(connection, self.run, payloads, at=self.clock(), generation=generation, lane=lane)

    def catch_up(self) -> None:
        """Fold what others have appended: the recorder, the command line."""
        new = events.read(self.store, after=self.board.seq, run=self.run)
        for event in new:
            self.board.apply(event)
        if new:
            self.wake()

    def wake(self) -> None:
        """Let everybody who waits look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until the board makes the condition true."""
        while not condition():
            await self._changed.wait()


async def every(seconds: float, do: Callable[[], Awaitable[None]]) -> None:
    """Do something again and again, with a pause between."""
    while True:
        await do()
        await asyncio.sleep(seconds)
