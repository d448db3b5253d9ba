"""The observer: reads the tapes of a generation and writes down what was learned, by rule. The face of the trade.

The rules are in `docs/observations.md`. Nothing is written here: the harness saves what comes back.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from store.domain.ids import SubagentId
from store.domain.limits import Limits
from store.domain.observations import Document
from store.domain.observations.citing import Citation
from store.domain.states import Validity

if TYPE_CHECKING:
    from backends.observer.model.consulting import Consultant, Speaking
    from store.database import Store


@dataclass(frozen=True)
class Observed:
    """What came of observing a generation. `added` counts observations that are new, `supported` those that were known
    before and that an attempt of this generation stands behind now."""

    document: Document
    judged: dict[SubagentId, tuple[Validity, str]]
    added: int
    supported: int


def observe(store: "Store", run: str, generation: int, *, at: float) -> Observed:
    """Judge each attempt of a generation, and merge what the valid ones teach into the run's latest observations.

    Only reads. Observing a generation twice gives the same document; a tape that has grown since is read again. `at`
    is when; the rules need no clock.
    """
    from backends.observer.observing import read_and_observe

    return read_and_observe(store, run, generation)


def observe_all(store: "Store", run: str) -> Observed:
    """Read every generation of a run again, whatever the run is: one of Multitrack's own, an imported one, or a bare
    recording, which is one attempt. Only reads."""
    from backends.observer.observing import read_and_observe_all

    return read_and_observe_all(store, run)


def cited(
    store: "Store", run: str, generation: int, document: Document, given: Mapping[SubagentId, Collection[str]]
) -> dict[SubagentId, tuple[Citation, ...]]:
    """Which observations the attempts of a generation say they used, of those that they were `given`, by id, and what
    their tapes show of that. Only reads."""
    from backends.observer.citations import citations
    from backends.observer.reading import attempts

    if not any(given.values()):
        return {}
    return {
        attempt.subagent: citations(attempt, document, given.get(attempt.subagent, ()))
        for attempt in attempts(store, run, generation)
    }


def consultant(
    store: "Store",
    run: str,
    model: str,
    limits: Limits,
    base_url: str,
    speaking: "Speaking",
    cut: Callable[[SubagentId], None],
    clock: Callable[[], float],
) -> "Consultant":
    """Who asks a run's model about its generations, through the proxy at `base_url`; `cut` ends calls of a key's that
    are still open, `limits` are for each generation."""
    from backends.observer.model.consulting import Consultant

    return Consultant(store, run, model, limits, base_url, speaking, cut, clock)


def check_evidence(store: "Store", document: Document) -> list[str]:
    """What is wrong with a document's evidence, a line each: every quote must be what its node says at that place."""
    from backends.observer import evidence

    return evidence.check_evidence(store, document)
