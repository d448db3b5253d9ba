"""How much of the disk is taken by what is recorded, and when the operator has to hear of it: nothing grows for ever
without a word."""

import math
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from app.output import size
from store.domain.limits import Spend

if TYPE_CHECKING:
    from store.database import Store
    from store.home import Home
    from store.sizes import Size

LOW, NONE = 5 * 2**30, 500 * 2**20
"""Bytes free below which a run may, and will, run out: each subagent has a clone, and tapes grow."""

LARGE = 10 * 10**9
"""Bytes from which a record is worth a look whatever the disk."""

NOTABLE = 10**9
"""Bytes from which it is worth one when it takes more than is left."""

GIVE_BACK = "`multitrack prune --older 30d` gives back what old runs take"


@dataclass(frozen=True)
class Word:
    """What the operator has to hear, and what to do; `urgent` when it is about to stop the work."""

    said: str
    todo: str
    urgent: bool

    def __str__(self) -> str:
        return f"{self.said}; {self.todo}"


@dataclass(frozen=True)
class Disk:
    """Bytes that the store's files and the runs' folders take together, and that are free where the store is."""

    taken: int
    free: int

    @property
    def word(self) -> Word | None:
        """None while there is nothing to say."""
        left = f"only {size(self.free)} of the disk are free"
        if self.free < NONE:
            return Word(f"{left}: when it is full, model calls are refused", GIVE_BACK, True)
        if self.free < LOW:
            return Word(left, GIVE_BACK, False)
        if self.taken >= LARGE or (self.taken >= NOTABLE and self.taken > self.free):
            return Word(f"what is recorded takes {size(self.taken)} of the disk", GIVE_BACK, False)
        return None


@dataclass(frozen=True)
class Recording:
    """What the calls of a recording have come to: of a run without events, its tape alone tells."""

    calls: int
    tries: int
    spend: Spend


@dataclass(frozen=True)
class Weight:
    """What is recorded: by run, and together."""

    runs: "Mapping[str, Size]"
    disk: Disk
    recordings: Mapping[str, Recording] = field(default_factory=dict)


Weigh = Callable[["Store", "Home"], Weight]


def weigh(store: "Store", home: "Home") -> Weight:
    """Look at everything: a second or two for 100,000 calls. For a thread. StoreError."""
    from store import events
    from store.sizes import sizes

    runs = sizes(store, home)
    recordings = {run: recording(store, run) for run in runs if not events.last(store, run)}
    taken = in_store(home) + sum(own.files for own in runs.values())
    return Weight(runs, Disk(taken, free(home.store)), recordings)


def recording(store: "Store", run: str) -> Recording:
    """What a recording has come to so far."""
    from store import tapes

    return Recording(*tapes.count(store, run), tapes.spend(store, run))


class Filling:
    """Follows the disk under something that runs for long, without looking at the runs' folders."""

    EVERY = 60.0
    """Seconds between two looks."""

    def __init__(self, home: "Home", look: Callable[["Home"], Disk] | None = None) -> None:
        self._home = home
        self._look = look or (lambda home: Disk(in_store(home), free(home.store)))
        self._due = -math.inf
        self._worst = 0

    def news(self, at: float) -> Word | None:
        """What is worse than all that has been said; `at` is a clock that only goes on."""
        if at < self._due:
            return None
        self._due = at + self.EVERY
        with suppress(OSError):
            word = self._look(self._home).word
            now = 0 if word is None else 1 + word.urgent
            self._worst, before = max(now, self._worst), self._worst
            return word if now > before else None
        return None


def in_store(home: "Home") -> int:
    """Bytes of the store's own files."""
    taken = 0
    for end in ("", "-wal", "-shm", ".tail"):
        with suppress(OSError):
            taken += home.store.with_name(home.store.name + end).stat().st_size
    return taken


def free(path: Path) -> int:
    """Bytes that are free where that is, or will be."""
    there = next(above for above in (path, *path.absolute().parents) if above.exists())
    return shutil.disk_usage(there).free
