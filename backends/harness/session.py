"""What one subagent may touch while it works: its sandbox, its events, its limits, its memory, the operator's words."""

import asyncio
from collections.abc import Sequence

from backends.agents import Recalled
from backends.harness.journal import Journal
from backends.harness.played import Played
from backends.sandboxes import Sandbox
from store import blobs, search
from store.domain.board import Lane
from store.domain.events import Payload, SubagentSteered, TurnStarted
from store.domain.ids import SubagentId
from store.domain.lane import Steering
from store.domain.limits import Limits, Spend
from store.domain.states import Ending, SubagentState

RECALLED = 6
"""Hits of one recall: a handful reads better than a page."""


class LaneSession:
    """The session of one subagent. `played` is the run that this one is a replay of."""

    def __init__(self, journal: Journal, subagent: SubagentId, sandbox: Sandbox, played: Played | None = None) -> None:
        self._journal, self._subagent, self._sandbox, self._played = journal, subagent, sandbox, played

    @property
    def sandbox(self) -> Sandbox:
        return self._sandbox

    @property
    def _lane(self) -> Lane:
        lane = self._journal.board.lane(self._subagent)
        assert lane is not None
        return lane

    async def record(self, *payloads: Payload) -> None:
        await self._journal.record(*payloads, subagent=self._subagent)

    async def keep(self, text: str) -> str:
        return await keep(self._journal, text.encode("utf-8", "surrogatepass"))

    async def before_turn(self) -> Ending | None:
        self._journal.catch_up()
        await self._journal.until(lambda: self._lane.state is not SubagentState.PAUSED)
        if self._played is not None:
            if (ending := self._played.ending(self._subagent)) is not None:
                return ending
            await self._repeat_steering(self._played)
        return self.limits().reached(self.spend())

    def limits(self) -> Limits:
        return self._lane.limits

    def spend(self) -> Spend:
        return self._lane.spent(self._journal.clock())

    def unread(self) -> Sequence[str]:
        waiting = [one.text for one in self._unread()]
        # What is read with the next turn of a recorded run was there before that.
        return waiting or (self._played.steering(self._subagent, self._lane.turn + 1) if self._played else ())

    async def begin_turn(self, turn: int, thread: str = "", under: str = "", *, reads: int = 0) -> None:
        told = tuple(one.seq for one in self._unread()[:reads])
        await self.record(TurnStarted(turn, thread, under, told))

    def _unread(self) -> Sequence[Steering]:
        self._journal.catch_up()
        return self._lane.unread

    async def _repeat_steering(self, played: Played) -> None:
        """What the operator told the recorded subagent before its next turn."""
        waiting = [one.text for one in self._lane.unread]
        said = [text for text in played.steering(self._subagent, self._lane.turn + 1) if text not in waiting]
        if said:
            await self.record(*map(SubagentSteered, said))

    async def recall(self, query: str) -> Sequence[Recalled]:
        order = self._journal.board.order
        hits = await asyncio.to_thread(
            search.search,
            self._journal.store,
            query,
            run=self._subagent.run,
            before_generation=self._subagent.generation,
            besides=order.remembered if order is not None else (),
            prompts=False,
            limit=RECALLED,
        )
        return [Recalled(hit.subagent, hit.turn, hit.role, hit.text) for hit in hits if hit.subagent is not None]


async def keep(journal: Journal, data: bytes) -> str:
    """Keep bytes as a blob; their digest."""
    return await journal.store.writer.write(lambda connection: blobs.keep(connection, data), size=len(data))
