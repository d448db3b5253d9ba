"""The observer's model, asked about a run that is over: no engine is there to ask it any more.

All that holds beside an engine holds here: it is asked through a recording proxy, with a key of its own and within its
limits; its calls are on the tape in the place of lane 0, and on the run's bill.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Collection, MutableMapping, Sequence
from typing import TYPE_CHECKING

from backends.agents import speaking
from backends.harness import keep_consulted
from backends.observer import consultant
from backends.providers import others
from backends.proxy import Prices, Proxy, Upstream, serve
from store import tapes
from store.domain.events import ModelObserved
from store.domain.ids import SubagentId
from store.domain.own_price import by_model
from store.domain.task import Task
from store.lock import RunLock
from store.scribe import Scribe

if TYPE_CHECKING:
    from store.database import Store
    from store.home import RunFolder

PROVIDER = "https://api.anthropic.com"
AGAIN = 0.05
"""Seconds between two tries to take the run's lock."""


async def ask(
    store: "Store",
    run: str,
    folder: "RunFolder",
    task: Task,
    generations: Sequence[int],
    valid: Collection[SubagentId],
    environ: MutableMapping[str, str],
    *,
    key: str,
) -> AsyncIterator[tuple[int, ModelObserved]]:
    """Ask the task's `observer_model` about each of these generations in turn, and keep what comes of it as soon as it
    is known. `valid` are the attempts of the run that can teach; `key` is that of the provider who is asked in
    Anthropic's form, where no route of the task leads elsewhere. StoreError, OSError."""
    led_to = {one.upstream for route in task.routes for one in route.tried}
    scribe = Scribe(store.path, durability=store.durability)
    try:
        proxy = Proxy(
            store,
            upstreams={
                "anthropic": Upstream(task.upstream or PROVIDER, key or None),
                **others(task, led_to, environ, asked=True),
            },
            prices=Prices.default().with_own(by_model(task.prices)),
            model_routes=task.routes,
            scribe=scribe,
        )
        # Calls that were open when another one before this was killed.
        await store.writer.write(lambda connection: tapes.orphans(connection, run, at=time.time()))
        async with serve(proxy, host="127.0.0.1", port=0) as address:
            reader = consultant(
                store,
                run,
                task.observer_model,
                task.observer_limits,
                address.base_url,
                speaking,
                proxy.cut,
                time.time,
            )
            for number in generations:
                consulted = await reader.ask(number, valid)
                with RunLock(folder.lock) as lock:
                    await _taken(lock)
                    told = await keep_consulted(store, run, folder, number, consulted)
                yield number, told
    finally:
        await scribe.close()


async def _taken(lock: RunLock) -> None:
    """Wait for who changes the observations from another terminal."""
    # Another process has it: nothing here could wake who waits.
    while not lock.acquire():  # noqa: ASYNC110
        await asyncio.sleep(AGAIN)
