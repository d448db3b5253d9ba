"""What the scripted model holds to be possible: kinds of faults, and a hypothesis with its repair."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

from backends.practice.model.hunks import Hunk


class Fault(Enum):
    """Kinds of concurrency faults: how likely one is when the code looks like it, 0 to 1, and the words that a
    strategy uses for it."""

    RACE = 0.6, "race check-then-act shared state interleaving lock atomic concurrent read"
    LOST_UPDATE = 0.6, "race lost update shared state stale read write lock interleaving"
    PRIVATE_LOCK = 0.6, "lock shared state race guard nobody"
    EARLY_RELEASE = 0.6, "lock shared state race released early"
    COUNTER = 0.4, "counter shared state race lock"
    WIDE_LOCK = 0.4, "lock held contention shared"
    BUDGET = 0.6, "timeout deadline budget time patience slow cascade"
    NEW_KEY = 0.6, "retry idempotent idempotency key duplicate twice side effect"
    IGNORED_KEY = 0.6, "retry idempotent idempotency key duplicate twice side effect receiver"
    BLIND_RETRY = 0.5, "retry idempotent timeout twice side effect"
    STORM = 0.4, "retry backoff storm attempts load"
    ENDLESS = 0.4, "retry attempts endless storm bound"
    LEAK = 0.6, "resource release leak slot cleanup finally error path exception"
    ORDER = 0.6, "order publish save side effect before after"
    FORGOTTEN = 0.4, "task background forget await side effect cleanup"
    SWALLOWED = 0.4, "exception swallow error path hidden"
    CANCELLED = 0.4, "cancel cancellation swallow cleanup task"
    GATHER = 0.4, "gather sibling exception error path task"

    def __init__(self, prior: float, words: str) -> None:
        self.prior = prior
        self.words = frozenset(words.split())


@dataclass(frozen=True)
class Hypothesis:
    """A suspect and one repair of it. `lines` is where it is, from 1; `belief` says why it may be the fault, `repair`
    what is to be changed; `fitness` is how well that usually serves, 0 to 1."""

    fault: Fault
    path: str
    where: str
    lines: tuple[int, int]
    belief: str
    repair: str
    fitness: float
    hunks: frozenset[Hunk]

    @cached_property
    def id(self) -> str:
        """Short, and the same wherever the same repair is thought of."""
        text = "\\n".join([self.where, *(f"{h.path}:{h.first}:{h.removed}:{h.added}" for h in sorted(self.hunks))])
        return "h-" + hashlib.blake2b(text.encode(), digest_size=2).hexdigest()

    @cached_property
    def paths(self) -> frozenset[str]:
        return frozenset(hunk.path for hunk in self.hunks)

    def clashes(self, hunks: Iterable[Hunk]) -> bool:
        """Whether it can't be made together with these."""
        return any(mine.clashes(theirs) for theirs in hunks for mine in self.hunks)
