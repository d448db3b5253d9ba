"""The engine: the process that works on one run, and the only place where the trades are wired together.

It owns the run by an operating-system lock, survives the screen, and takes orders through the store alone. Started as
`python -P -E -m backends.engine`, so that nothing in the operator's repository or environment is imported in place of
ours.
"""

import argparse
import asyncio
import contextlib
import logging
import os
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import uvloop
from sqlalchemy import Connection

from backends.agents.asking import speaking
from backends.agents.hiring import BUILTIN, hire, installed, listens, spoken
from backends.export import exported
from backends.finishing import last_command
from backends.harness.journal import Journal, every
from backends.harness.loop import Harness
from backends.harness.played import Played
from backends.harness.ports import Consult, Ports
from backends.harness.strategies import PORTFOLIO
from backends.leaving import until_signalled
from backends.leftovers import over, swept
from backends.observer import cited, observe
from backends.observer.model.consulting import Consultant
from backends.practice import MODEL, other_memory
from backends.practice.process import scripted_model
from backends.providers import others
from backends.proxy import Prices, Proxy, Tape, Upstream, serve
from backends.rules import watched
from backends.sandboxes import SandboxError, Sandboxes
from store import blobs, commands, events, tapes
from store.database import Store, StoreError, open_store
from store.domain.board import Board
from store.domain.events import (
    Alert,
    EngineStarted,
    EngineStopped,
    FinishRan,
    FinishStarted,
    SandboxesPrepared,
    SandboxesPreparing,
)
from store.domain.ids import OBSERVER, SubagentId
from store.domain.own_price import by_model
from store.domain.replay import OnMismatch
from store.domain.safe_text import safe_line
from store.domain.states import RunState
from store.domain.task import Memory, SandboxKind
from store.home import Home
from store.lock import RunLock
from store.scribe import Scribe
from store.settling import settle
from store.tail import TailWriter, tail_path

log = logging.getLogger("multitrack.engine")

Prepare = Callable[[], Awaitable[None]]

KEY = "ANTHROPIC_API_KEY"
PROVIDER = "https://api.anthropic.com"
SCRIPTED_PRICES = {MODEL: (3.0, 15.0)}
"""US dollars a million tokens, in and out: a mid-size model's, so that the costs of a demo have a scale."""
FLUSH = 0.1
"""Seconds between two writes of the text in progress."""
PREPARING = 40
"""Lines of one event about what is made ready: whoever prints faster is not read."""
SWITCH = 0.0005
"""Seconds between two threads' turns. With Python's own 5 ms a commit waits ten times as long while another thread
imports or parses (measured: 14 ms against 0.1 ms, median)."""

_PLAIN = (StoreError, SandboxError)
"""Errors whose message is for the operator as it is."""

FAILED, TAKEN = 1, 5
"""Exit codes: it could not go on; another engine works on the run."""


class Engine:
    """Works on one run. `key` is the provider's, from the environment of whoever started it, never from the store."""

    def __init__(self, home: Home, store: Store, run: str, *, key: str, version: str) -> None:
        self._store, self._key, self._version = store, key, version
        self._home, self._folder = home, home.folder(run)
        self._journal = Journal(store, run, time.time)
        self._board = self._journal.board
        if self._board.order is None:
            raise StoreError(f"There is no run {run} in {store.path}. `multitrack runs` lists those that exist.")
        self._order = self._board.order
        task = self._order.task
        led_to = {one.upstream for route in task.routes for one in route.tried} if self._asks else set()
        self._others = others(task, led_to | spoken(task), os.environ, asked=self._asks)

    async def work(self) -> RunState:
        """Work on the run until it is over. Cancelled, it leaves the run so that another engine can go on."""
        try:
            task = self._order.task
            swept_here = (task.docker.hosts or ("",)) if task.sandbox is SandboxKind.DOCKER else ()
            async with (
                swept(self._home, self._store, os.environ, but=swept_here),
                self._sandboxes() as (sandboxes, prepare),
            ):
                await self._within(sandboxes, prepare)
        except asyncio.CancelledError:
            await self._journal.record(EngineStopped("It was told to leave; the run can be resumed."))
            raise
        except Exception as error:
            with contextlib.suppress(StoreError):
                await self._journal.record(EngineStopped(f"It failed: {said(error)}"))
            raise
        await self._journal.record(EngineStopped("The run is over."))
        assert self._board.finished is not None
        return self._board.finished.state

    async def _within(self, sandboxes: Sandboxes, prepare: Prepare | None) -> None:
        orphans = await sandboxes.sweep()
        await self._store.writer.write(lambda connection: tapes.orphans(connection, self._board.run, at=time.time()))
        if self._board.finished is None:
            await self._harness(sandboxes, prepare, orphans)
        else:
            await self._journal.record(self._started("", orphans))
        await self._finish()
        await self._tidy(sandboxes)

    @contextlib.asynccontextmanager
    async def _sandboxes(self) -> AsyncIterator[tuple[Sandboxes, Prepare | None]]:
        """The sandboxes of the run, and what makes them ready."""
        run, folder, task = self._board.run, self._folder, self._order.task
        settings = replace(task.docker, install=installed(task.agent))
        if task.sandbox is not SandboxKind.DOCKER:
            from backends.sandboxes.local import LocalSandboxes

            yield LocalSandboxes(run, folder.sandboxes, folder.mirror, os.environ), None
            return
        from backends.sandboxes.docker import DockerSandboxes, Host, PlacedSandboxes

        def on(host: Host) -> DockerSandboxes:
            return DockerSandboxes(
                run, folder.sandboxes, folder.mirror, settings, os.environ, host=host, over=partial(over, self._store)
            )

        async def told(sentence: str) -> None:
            await self._journal.record(Alert("host", sentence))

        placed = PlacedSandboxes([Host(name, os.environ) for name in settings.hosts or ("",)], on, told)
        try:
            await placed.begin()
            try:
                yield placed, lambda: self._prepared(placed.prepare)
            except BaseException:
                # Another engine may go on; until then nothing of it runs.
                with contextlib.suppress(SandboxError):
                    await placed.leave()
                raise
        finally:
            await placed.close()

    async def _prepared(self, prepare: Callable[[Callable[[str], None]], Awaitable[None]]) -> None:
        """Make sandboxes ready, and record how far that is."""
        lines: deque[str] = deque(maxlen=PREPARING)

        began = time.monotonic()

        async def tell() -> None:
            if new := tuple(safe_line(lines.popleft(), 200) for _ in range(len(lines))):
                await self._journal.record(SandboxesPreparing(new))

        telling = asyncio.create_task(every(FLUSH, tell))
        try:
            await prepare(lines.append)
        finally:
            telling.cancel()
            await asyncio.wait([telling])
            await tell()
        await self._journal.record(SandboxesPrepared(round(time.monotonic() - began, 3)))

    def _started(self, proxy: str, orphans: int) -> EngineStarted:
        with self._store.read() as connection:
            return EngineStarted(os.getpid(), self._version, proxy, orphans, blobs.newest(connection))

    async def _harness(self, sandboxes: Sandboxes, prepare: Prepare | None, orphans: int) -> None:
        """Run the harness between a proxy and a model."""
        agent, before_turn = hire(self._order.task.agent, self._store)
        # The SDK takes seconds to import: that goes on while the check is tried and the clones are made.
        warming = asyncio.create_task(asyncio.to_thread(agent.warm_up))
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(warming.cancel)
            upstream = await self._upstream(stack)
            tail = stack.enter_context(contextlib.closing(TailWriter(tail_path(self._store.path))))
            tail.clear_run(self._board.run)
            stop: list[Callable[[str], None]] = []
            tape, played = self._played(stop)
            scribe = Scribe(self._store.path, durability=self._store.durability)
            stack.push_async_callback(scribe.close)
            proxy = Proxy(
                self._store,
                upstreams={"anthropic": upstream, **self._others},
                tail=tail,
                prices=Prices.default().with_own({**SCRIPTED_PRICES, **by_model(self._order.task.prices)}),
                tape=tape,
                before_turn=before_turn,
                model_routes=self._order.task.routes if self._asks else (),
                scribe=scribe,
            )
            address = await stack.enter_async_context(serve(proxy, host="127.0.0.1", port=0))
            await self._journal.record(self._started(address.base_url, orphans))
            board = self._board
            rules = await stack.enter_async_context(watched(self._store, board.run, self._journal.record))

            async def flush() -> None:
                tail.flush()

            flushing = asyncio.create_task(every(FLUSH, flush))
            stack.callback(flushing.cancel)
            harness = Harness(
                self._journal,
                Ports(
                    sandboxes=sandboxes,
                    agent=agent,
                    observe=rules.before(lambda generation, at: observe(self._store, board.run, generation, at=at)),
                    cut=proxy.cut,
                    cited=lambda generation, document, given: cited(
                        self._store, board.run, generation, document, given
                    ),
                    consult=self._consultant(address.base_url, proxy.cut),
                    base_url=address.base_url,
                    revision=self._order.revision,
                    portfolio=board.task.strategies or PORTFOLIO,
                    folder=self._folder,
                    shuffled=other_memory() if board.task.memory is Memory.SHUFFLED else None,
                    played=played,
                    prepare=prepare,
                    listens=listens(self._order.task.agent),
                    forks=self._order.task.agent == BUILTIN,
                ),
            )
            stop.append(harness.stop)
            await harness.run()

    def _consultant(self, base_url: str, cut: Callable[[SubagentId], None]) -> Consult | None:
        """Who asks the observer's model, where there is one. A scripted model has nothing to say of tapes."""
        task, run = self._order.task, self._board.run
        if not task.observer_model or self._order.scripted:
            return None
        limits = task.observer_limits
        return Consultant(self._store, run, task.observer_model, limits, base_url, speaking, cut, time.time).ask

    def _played(self, stop: Sequence[Callable[[str], None]]) -> tuple[Tape | None, Played | None]:
        """The run that this one is a replay of, and its tape. `stop` will have what ends this one."""
        replay = self._order.replay
        if replay is None:
            return None, None
        recorded = Board(replay.run)
        for event in events.read(self._store, run=replay.run):
            recorded.apply(event)
        if recorded.order is None:
            raise StoreError(f"Run {replay.run} is no longer in {self._store.path}: there is no tape to play.")

        def names(subagent: SubagentId) -> dict[str, str]:
            board = recorded if subagent.run == replay.run else self._board
            # The observer's model is told of all of them.
            lanes = board.lanes if subagent.lane == OBSERVER else filter(None, [board.lane(subagent)])
            return {lane.sandbox: "‹sandbox›" for lane in lanes if lane.sandbox}

        def missed(subagent: SubagentId | None, difference: str) -> None:
            if replay.on_mismatch is OnMismatch.STOP:
                who = subagent.label if subagent is not None else "somebody"
                stop[0](f"{who} asked what is not on the tape of run {replay.run}.")

        tape = Tape(self._store, replay, into=self._board.run, names=names, began=recorded.began, missed=missed)
        return tape, Played(recorded, tape, strict=replay.on_mismatch is OnMismatch.STOP)

    @property
    def _asks(self) -> bool:
        """Providers may be asked: no tape answers alone, and no model of our own."""
        order = self._order
        return not order.scripted and (order.replay is None or order.replay.on_mismatch is not OnMismatch.STOP)

    async def _upstream(self, stack: contextlib.AsyncExitStack) -> Upstream:
        order = self._order
        if order.replay is not None and order.replay.on_mismatch is OnMismatch.STOP:
            return Upstream(PROVIDER)
        if not order.scripted:
            return Upstream(order.task.upstream or PROVIDER, self._key or None)
        port = await stack.enter_async_context(scripted_model(seed=order.seed, pace=order.pace))
        return Upstream(f"http://127.0.0.1:{port}", "scripted")

    async def _finish(self) -> None:
        """Run the operator's own command for the end of a run, once: where an engine died over it, nobody knows how
        far it came."""
        board, command = self._board, self._order.task.on_finish
        if not command or board.finished is None or board.finish_ran is not None:
            return
        if board.finish_started is not None:
            await self._journal.record(FinishRan(command, None, "interrupted: the engine left while it ran"))
            return
        await self._journal.record(FinishStarted(command))
        environ = {
            **os.environ,
            "MULTITRACK_RUN": board.run,
            "MULTITRACK_STATE": str(board.finished.state),
            "MULTITRACK_REPORT": str(self._folder.report),
        }
        code, output = await last_command(command, self._folder.path, environ)
        await self._journal.record(FinishRan(command, code, output))

    async def _tidy(self, sandboxes: Sandboxes) -> None:
        """Leave nothing behind: no workspace, and no order of the operator's without an answer."""
        try:
            await sandboxes.remove()
        except SandboxError as error:
            log.warning("%s", error)

        def refuse(connection: Connection) -> None:
            for pending in commands.pending(self._store, self._board.run):
                commands.settle(connection, pending.id, applied=False, outcome="The run is over.", at=time.time())

        await self._store.writer.write(refuse)


def first(error: BaseException) -> BaseException:
    """The first cause, where several things failed together."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def said(error: BaseException) -> str:
    """What went wrong, in a line."""
    error = first(error)
    return safe_line(str(error) if isinstance(error, _PLAIN) else f"{type(error).__name__}: {error}", 1000)


def main(arguments: list[str] | None = None) -> int:
    """Work on one run. 0 when it is over or was left in good order, 5 when another engine has it, 1 on a failure."""
    parser = argparse.ArgumentParser(prog="python -m backends.engine")
    parser.add_argument("run")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--version", default="")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    # A line for every call would push everything else out of the log's last words.
    for chatty in ("httpx", "httpx2", "httpcore", "httpcore2"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    sys.setswitchinterval(SWITCH)
    settle()
    key = os.environ.pop(KEY, "")
    home = Home(options.home, options.store)
    lock = RunLock(home.folder(options.run).lock)
    if not lock.acquire():
        log.error("another engine works on run %s", options.run)
        return TAKEN
    try:
        with open_store(home.store) as store, store.hold(), exported(store, options.run, os.environ):
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                engine = Engine(home, store, options.run, key=key, version=options.version)
                state = runner.run(until_signalled(engine.work()))
            log.info("left run %s: %s", options.run, state or "not over")
            return 0
    except Exception as error:
        if isinstance(first(error), _PLAIN):
            log.error("%s", said(error))
            return FAILED
        log.exception("the engine could not go on")
        # The last word is what is shown of a log.
        log.error("the engine could not go on: %s", said(error))
        return FAILED
    finally:
        lock.release()


if __name__ == "__main__":
    sys.exit(main())
