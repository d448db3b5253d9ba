"""An imported run once more: each call of its tape is asked again, of a proxy that answers from the tape.

There is no agent to run, no repository and no check; what is shown is that the tape answers to the byte what it did.
"""

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

from app.failure import CommandError
from store.domain.board import Board, Lane
from store.domain.ids import SubagentId, new_run_id
from store.domain.replay import OnMismatch, Replay, playable
from store.home import Home
from store.lock import RunLock

if TYPE_CHECKING:
    from aiohttp import ClientSession

    from store.database import Store
    from store.domain.events import Payload
    from store.domain.tape import Call

_SECONDS = 3600.0


def play_again(home: Home, store: "Store", recorded: Board, replay: Replay) -> str:
    """Play an imported run into a run of its own, whose name is given back. CommandError where that can't be."""
    from store.tapes import calls

    if replay.on_mismatch is OnMismatch.LIVE:
        raise CommandError(f"run {recorded.run} was imported: it has no model to ask live.")
    if not any(playable(call) for call in calls(store, run=recorded.run)):
        raise CommandError(f"run {recorded.run} has no calls on its tape: there is nothing to play.")
    from store.arriving import taken

    random = Random()  # noqa: S311 - a name
    run = new_run_id(random)
    while taken(store, run):
        run = new_run_id(random)
    lock = RunLock(home.folder(run).create().lock)
    lock.acquire()
    with lock, store.hold():
        asyncio.run(_Again(store, recorded, replay, run).play())
    return run


class _Again:
    """One imported run on its way to another."""

    def __init__(self, store: "Store", recorded: Board, replay: Replay, run: str) -> None:
        self._store, self._then, self._replay, self._run = store, recorded, replay, run

    async def play(self) -> None:
        from aiohttp import ClientSession, ClientTimeout

        from backends.proxy import KNOWN, Prices, Proxy, Tape, Upstream, serve
        from store import runs
        from store.domain.events import EngineStopped, GenerationDesigned, RunCreated, RunFinished

        order = self._then.order
        assert order is not None
        created = RunCreated(
            order.task,
            f"Replay of {self._then.run}: {order.title}",
            "",
            0,
            imported=order.imported,
            replay=self._replay,
        )
        await self._store.writer.write(lambda c: runs.create(c, self._run, created.title, at=time.time()))
        await self._tell(created)
        upstreams = {name: Upstream(known.base_url, None, known.protocol) for name, known in KNOWN.items()}
        tape = Tape(self._store, self._replay, into=self._run)
        proxy = Proxy(self._store, upstreams=upstreams, tape=tape, prices=Prices.default())
        solved = False
        async with AsyncExitStack() as stack:
            address = await stack.enter_async_context(serve(proxy))
            timeout = ClientTimeout(total=_SECONDS)
            client = await stack.enter_async_context(ClientSession(address.base_url, timeout=timeout))
            for generation in self._then.generations.values():
                plans = tuple(lane.plan for lane in generation.lanes.values())
                await self._tell(GenerationDesigned(plans), generation=generation.number)
                for lane in generation.lanes.values():
                    await self._lane(client, lane)
                    solved = solved or lane.solved
        assert self._then.finished is not None
        await self._tell(RunFinished(self._then.finished.state, self._then.finished.reason, ""))
        await self._tell(EngineStopped("The run is over."))

    async def _lane(self, client: "ClientSession", lane: Lane) -> None:
        """Ask all that one subagent asked."""
        from store.domain.events import SubagentEnded, SubagentLaunched, TurnStarted
        from store.keys import mint, new_secret, revoke
        from store.tapes import calls, spend

        who, secret = SubagentId(self._run, lane.id.generation, lane.id.lane), new_secret()
        await self._store.writer.write(lambda c: mint(c, who, secret, at=time.time()))
        await self._tell_of(who, SubagentLaunched("", lane.model))
        asked = await asyncio.to_thread(calls, self._store, subagent=lane.id)
        for turn, call in enumerate([call for call in asked if playable(call)], 1):
            await self._tell_of(who, TurnStarted(turn))
            await self._ask(client, call, secret)
        await self._store.writer.write(lambda c: revoke(c, who, at=time.time()))
        used = await asyncio.to_thread(spend, self._store, who)
        if lane.ended is not None:
            await self._tell_of(who, replace(lane.ended, spend=used))
        else:
            from store.domain.states import Ending

            await self._tell_of(who, SubagentEnded(Ending.SILENT, "", used))
        if lane.checked is not None:
            await self._tell_of(who, lane.checked)

    async def _ask(self, client: "ClientSession", call: "Call", secret: str) -> None:
        from store.exact import dumps
        from store.tapes import request, request_body

        body = await asyncio.to_thread(request_body, self._store, call)
        if body is None:
            value = await asyncio.to_thread(request, self._store, call)
            body = b"" if value is None else dumps(value)
        key = {"x-api-key": secret} if call.provider == "anthropic" else {"authorization": f"Bearer {secret}"}
        headers = {"content-type": "application/json", **key}
        async with client.request(call.method, f"/{call.provider}{call.path}", data=body, headers=headers) as answer:
            await answer.read()

    async def _tell(self, payload: "Payload", generation: int | None = None) -> None:
        from store import events

        at = time.time()
        await self._store.writer.write(lambda c: events.append(c, self._run, [payload], at=at, generation=generation))

    async def _tell_of(self, who: SubagentId, payload: "Payload") -> None:
        from store import events

        at = time.time()
        await self._store.writer.write(lambda c: events.tell(c, who, [(at, payload)]))
