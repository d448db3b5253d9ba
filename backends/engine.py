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
import signal
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import uvloop

from backends.harness.journal import Journal, every
from backends.harness.loop import Harness
from backends.harness.ports import Ports
from backends.harness.strategies import PORTFOLIO
from backends.observer import observe
from backends.practice import MODEL, other_memory
from backends.practice.process import scripted_model
from backends.proxy import Prices, Proxy, Upstream, serve
from backends.sandboxes import Sandboxes
from store import tapes
from store.database import Store, StoreError, open_store
from store.domain.events import EngineStarted, EngineStopped, FinishRan
from store.domain.safe_text import safe
from store.domain.states import RunState
from store.domain.task import Memory
from store.home import Home
from store.lock import RunLock
from store.tail import TailWriter, tail_path

log = logging.getLogger("multitrack.engine")

KEY = "ANTHROPIC_API_KEY"
PROVIDER = "https://api.anthropic.com"
SCRIPTED_PRICES = {MODEL: (3.0, 15.0)}
"""US dollars a million tokens, in and out: a mid-size model's, so that the costs of a demo have a scale."""
FLUSH = 0.1
"""Seconds between two writes of the text in progress."""
FINISH_SECONDS = 600.0
"""The most that the operator's own command may take at the end of a run."""
FINISH_OUTPUT = 4096
"""Characters kept of what it prints."""

SWITCH = 0.0005
"""Seconds between two threads' turns. With Python's own 5 ms a commit waits ten times as long while another thread
imports or parses (measured: 14 ms against 0.1 ms, median)."""

FAILED, TAKEN = 1, 5
"""Exit codes: it could not go on; another engine works on the run."""


class Engine:
    """Works on one run. `key` is the provider's, from the environment of whoever started it, never from the store."""

    def __init__(self, home: Home, store: Store, run: str, *, key: str, version: str) -> None:
        self._store, self._key, self._version = store, key, version
        self._folder = home.folder(run)
        self._journal = Journal(store, run, time.time)
        self._board = self._journal.board
        if self._board.order is None:
            raise StoreError(f"There is no run {run} in {store.path}. `multitrack runs` lists those that exist.")
        self._order = self._board.order

    async def work(self) -> RunState | None:
        """Work on the run until it is over; None when a signal told it to leave before."""
        from backends.sandboxes.local import LocalSandboxes

        sandboxes = LocalSandboxes(
            run=self._board.run, folder=self._folder.sandboxes, mirror=self._folder.mirror, environ=os.environ
        )
        orphans = await sandboxes.sweep()
        await self._store.writer.write(lambda connection: tapes.orphans(connection, self._board.run, at=time.time()))
        try:
            if self._board.finished is None and await self._harness(sandboxes, orphans) is None:
                await self._journal.record(EngineStopped("It was told to leave; the run can be resumed."))
                return None
        except BaseException as error:
            reason = f"{type(error).__name__}: {error}"
            with contextlib.suppress(StoreError):
                await self._journal.record(EngineStopped(f"It failed: {reason}"))
            raise
        await self._finish()
        await sandboxes.remove()
        await self._journal.record(EngineStopped("The run is over."))
        assert self._board.finished is not None
        return self._board.finished.state

    async def _harness(self, sandboxes: Sandboxes, orphans: int) -> RunState | None:
        """Run the harness between a proxy and a model; None when a signal ended it."""
        from backends.agents.builtin import BuiltinAgent

        agent = BuiltinAgent()
        # The SDK takes seconds to import: that goes on while the check is tried and the clones are made.
        warming = asyncio.create_task(asyncio.to_thread(agent.warm_up))
        async with contextlib.AsyncExitStack() as stack:
            upstream = await self._upstream(stack)
            tail = stack.enter_context(contextlib.closing(TailWriter(tail_path(self._store.path))))
            tail.clear_run(self._board.run)
            proxy = Proxy(
                self._store,
                upstreams={"anthropic": upstream},
                tail=tail,
                prices=Prices.default().with_own(SCRIPTED_PRICES),
            )
            address = await stack.enter_async_context(serve(proxy, host="127.0.0.1", port=0))
            await self._journal.record(EngineStarted(os.getpid(), self._version, address.base_url, orphans))
            await warming
            board = self._board

            async def flush() -> None:
                tail.flush()

            flushing = asyncio.create_task(every(FLUSH, flush))
            stack.callback(flushing.cancel)
            harness = Harness(
                self._journal,
                Ports(
                    sandboxes=sandboxes,
                    agent=agent,
                    observe=lambda generation, at: observe(self._store, board.run, generation, at=at),
                    cut=proxy.cut,
                    base_url=address.base_url,
                    revision=self._order.revision,
                    portfolio=board.task.strategies or PORTFOLIO,
                    folder=self._folder,
                    shuffled=other_memory() if board.task.memory is Memory.SHUFFLED else None,
                ),
            )
            return await until_signalled(harness.run())

    async def _upstream(self, stack: contextlib.AsyncExitStack) -> Upstream:
        order = self._order
        if not order.scripted:
            return Upstream(order.task.upstream or PROVIDER, self._key)
        port = await stack.enter_async_context(scripted_model(seed=order.seed, pace=order.pace))
        return Upstream(f"http://127.0.0.1:{port}", "scripted")

    async def _finish(self) -> None:
        """Run the operator's own command for the end of a run, once."""
        board, command = self._board, self._order.task.on_finish
        if not command or board.finished is None or board.finish_ran is not None:
            return
        environment = {
            **os.environ,
            "MULTITRACK_RUN": board.run,
            "MULTITRACK_STATE": str(board.finished.state),
            "MULTITRACK_REPORT": str(self._folder.report),
        }
        code: int | None = None
        output = ""
        try:
            process = await asyncio.create_subprocess_shell(
                command,
                cwd=self._folder.path,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                data, _ = await asyncio.wait_for(process.communicate(), FINISH_SECONDS)
                code, output = process.returncode, data.decode("utf-8", "replace")[-FINISH_OUTPUT:]
            except TimeoutError:
                os.killpg(process.pid, signal.SIGKILL)
                output = f"killed after {FINISH_SECONDS:g} s"
        except OSError as error:
            output = str(error)
        await self._journal.record(FinishRan(command, code, output))


async def until_signalled(work: Coroutine[Any, Any, RunState]) -> RunState | None:
    """A result, or None when SIGTERM or SIGINT came before it: the work is then cancelled, and its end awaited."""
    task = asyncio.create_task(work)
    loop, told = asyncio.get_running_loop(), False

    def leave() -> None:
        nonlocal told
        told = True
        task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, leave)
    try:
        return await task
    except asyncio.CancelledError:
        if not told:
            raise
        return None


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
    key = os.environ.pop(KEY, "")
    home = Home(options.home, options.store)
    lock = RunLock(home.folder(options.run).lock)
    if not lock.acquire():
        log.error("another engine works on run %s", options.run)
        return TAKEN
    try:
        with open_store(home.store) as store, store.hold():
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                state = runner.run(Engine(home, store, options.run, key=key, version=options.version).work())
            log.info("left run %s: %s", options.run, state or "not over")
            return 0
    except StoreError as error:
        log.error("%s", safe(str(error)))
        return FAILED
    except Exception:
        log.exception("the engine could not go on")
        return FAILED
    finally:
        lock.release()


if __name__ == "__main__":
    sys.exit(main())
