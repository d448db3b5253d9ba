"""How a subagent is told to work."""

from dataclasses import dataclass, field

from store.domain.limits import Limits


@dataclass(frozen=True)
class Strategy:
    """An approach in a sentence, what to look at first, and which repairs to prefer; plain words that any model reads.

    `model` names the model in the provider's words; "" is the run's own. `limits` stand in place of those of every
    other subagent: None in a field leaves the common one.
    """

    name: str
    approach: str
    triage: tuple[str, ...] = ()
    heuristics: tuple[str, ...] = ()
    model: str = ""
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class LanePlan:
    """One lane of the next generation: its strategy, whether it has memory, and why it was designed so. `without` are
    the ids of observations that are kept from it, by lot, so that lanes with them can be compared with lanes without.
    """

    lane: int
    strategy: Strategy
    clean: bool
    why: str = ""
    without: tuple[str, ...] = ()
