"""Orders about observations: the run's engine carries them out, and where none lives, whoever gives them does so
themselves, under the run's lock."""

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from store.domain.commands import ChangeObservations, EditObservations
from store.domain.observations import Document, Observation

if TYPE_CHECKING:
    from store.database import Store
    from store.home import Home

PATIENCE = 15.0
"""Seconds to wait for the engine's answer."""

UNDECIDED = "The engine of run {} has not answered yet: the order waits."
"""What is said where there is no answer."""

Order = EditObservations | ChangeObservations


def ordered(home: "Home", store: "Store", run: str, order: Order) -> tuple[bool, str] | None:
    """Give an order and have it carried out, here where no engine works on the run. Whether it was applied, and what
    came of it; None when the engine has not answered yet: then it waits. Blocks; StoreError, OSError."""
    from backends.harness import curate
    from store.commands import issue, outcome
    from store.lock import RunLock

    folder = home.folder(run)
    number = issue(store, run, order, at=time.time())
    until = time.monotonic() + PATIENCE
    while (answer := outcome(store, number)) is None and time.monotonic() < until:
        lock = RunLock(folder.lock)
        if not lock.acquire():
            time.sleep(0.05)
            continue
        with lock:
            # The engine may have answered before it left.
            if outcome(store, number) is None:
                asyncio.run(curate(store, run, folder, number, order))
    return answer


def told(run: str, answer: tuple[bool, str] | None) -> tuple[str, str]:
    """What is said of an answer on the screen, and how serious that is."""
    if answer is None:
        return UNDECIDED.format(run), "warning"
    return answer[1][:1].upper() + answer[1][1:], "information" if answer[0] else "warning"


def named(document: Document | None, names: Sequence[str]) -> list[Observation]:
    """The observations of these ids, or of unique beginnings of them, with or without the `o-`. ValueError that says
    which isn't one."""
    found: list[Observation] = []
    for name in names:
        mark = name if name.startswith("o-") else f"o-{name}"
        there = document.observations if document is not None else ()
        exact = [o for o in there if o.id == mark]
        some = exact or [o for o in there if o.id.startswith(mark)]
        if not some:
            raise ValueError(f"there is no observation {name}")
        if len(some) > 1:
            raise ValueError(f"{name} may be {', '.join(o.id for o in some[:4])}: write more of it")
        found.append(some[0])
    return found
