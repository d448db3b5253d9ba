"""What engines that were killed, or told to leave, have left in containers: the next engine of their home removes it,
whatever its own run works in, and so does whoever deletes their run."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from backends.sandboxes import SandboxError
from store import events, runs
from store.database import Store
from store.domain.docker import DockerSettings
from store.domain.events import RunCreated, RunFinished
from store.domain.task import SandboxKind
from store.home import Home
from store.lock import holder

if TYPE_CHECKING:
    from backends.sandboxes.docker import DockerSandboxes

WAITS = 10.0
"""Seconds that an engine which is done waits for the end of a sweep elsewhere."""

_NOBODY = "-"
"""No run's name: whoever sweeps in the name of one takes all that it has for left."""

log = logging.getLogger("multitrack.engine")


def killed(home: Home, store: Store) -> set[str]:
    """The Docker hosts of this home's runs whose engine was killed: "" is the usual one."""
    return {host for row in runs.runs(store) if _killed(home, row.id) for host in _hosts(store, row.id)}


def _killed(home: Home, run: str) -> bool:
    """A lock that nobody holds still has its holder's name in it."""
    lock = home.folder(run).lock
    return lock.exists() and lock.stat().st_size > 0 and holder(lock) is None


def _hosts(store: Store, run: str) -> tuple[str, ...]:
    """Where a run's containers are, if it has any."""
    for event in events.read(store, run=run, limit=1):
        if isinstance(event.payload, RunCreated) and event.payload.task.sandbox is SandboxKind.DOCKER:
            return event.payload.task.docker.hosts or ("",)
    return ()


def over(store: Store, run: str) -> bool:
    """Whether nothing more will come of a run."""
    if all(row.id != run for row in runs.runs(store)):
        return True
    return any(isinstance(event.payload, RunFinished) for event in events.read(store, run=run))


@contextlib.asynccontextmanager
async def swept(
    home: Home, store: Store, environ: Mapping[str, str], *, but: Collection[str] = ()
) -> AsyncIterator[None]:
    """While a run is worked on, remove what killed engines left on their hosts, `but` for those that the run's own
    sandboxes sweep. Nobody waits for a host that doesn't answer, or not for long."""
    hosts = killed(home, store) - set(but)
    sweeping = threading.Thread(target=_sweep, args=(home, store, hosts, environ), name="sweeping", daemon=True)
    if hosts:
        sweeping.start()
    try:
        yield
    finally:
        if hosts:
            await asyncio.to_thread(sweeping.join, WAITS)


def _sweep(home: Home, store: Store, hosts: Collection[str], environ: Mapping[str, str]) -> None:
    for name in hosts:
        try:
            asyncio.run(_on(name, home, store, _NOBODY, environ, lambda sandboxes: sandboxes.sweep()))
        except Exception as error:  # noqa: BLE001 - the run goes on, whatever stands in the way of this
            log.warning("what a killed engine left could not be removed: %s", error)


def remove(home: Home, store: Store, names: Collection[str], environ: Mapping[str, str]) -> list[str]:
    """Remove what runs that are to be deleted have left; what stood in the way, in sentences."""
    wrong = []
    for run in names:
        if holder(home.folder(run).lock) is not None or (over(store, run) and not _killed(home, run)):
            continue
        for name in _hosts(store, run):
            try:
                asyncio.run(_on(name, home, store, run, environ, lambda sandboxes: sandboxes.remove()))
            except SandboxError as error:
                wrong.append(
                    f"what run {run} left in Docker stays until another run works in containers there: {error}"
                )
    return wrong


async def _on(
    name: str,
    home: Home,
    store: Store,
    run: str,
    environ: Mapping[str, str],
    work: "Callable[[DockerSandboxes], Coroutine[Any, Any, object]]",
) -> None:
    """Do something with the sandboxes of a run on a host."""
    from backends.sandboxes.docker import DockerSandboxes, Host

    folder, host = home.folder(run), Host(name, environ)
    try:
        await work(
            DockerSandboxes(
                run, folder.sandboxes, folder.mirror, DockerSettings(), environ, host=host, over=partial(over, store)
            )
        )
    finally:
        await asyncio.to_thread(host.close)
