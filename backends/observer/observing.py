"""One generation observed: judged, read, and merged into what is known of the run."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from backends.observer import Observed
from backends.observer.attempt import Attempt
from backends.observer.contrast import contrast
from backends.observer.judging import judge
from backends.observer.lessons import circumstances, dead_end, loops
from backends.observer.lookups import found_nothing
from backends.observer.made import refactorings
from backends.observer.outcomes import outcomes
from backends.observer.trials import trials, tried_fixes
from backends.observer.troubles import told, troubles
from backends.observer.usage import spent
from store.domain.ids import SubagentId
from store.domain.observations import Document, Observation, Subject, merge
from store.domain.observations.rereading import reread
from store.domain.states import Validity

if TYPE_CHECKING:
    from store.database import Store


def observe_attempts(document: Document, attempts: Sequence[Attempt], generation: int) -> Observed:
    """Judge the attempts of one generation and merge what they teach. Once more over the same changes nothing; a tape
    that has grown is read as it is now."""
    judged = {attempt.subagent: judge(attempt) for attempt in attempts}
    found = [
        finding
        for finding in _findings(attempts, {who: validity for who, (validity, _) in judged.items()}, generation)
        # No quote, no observation.
        if finding.evidence
    ]
    known = reread(document, judged, found)
    merged = replace(merge(known, found), generation=max(document.generation, generation))
    before = {o.id: set(o.attempts) for o in document.observations}
    added = [o for o in merged.observations if o.id not in before]
    supported = [o for o in merged.observations if o.id in before and not set(o.attempts) <= before[o.id]]
    return Observed(merged, judged, len(added), len(supported))


def read_and_observe(store: "Store", run: str, generation: int) -> Observed:
    """The same from the store: its tapes, and the run's latest document."""
    from backends.observer.reading import attempts
    from store import observations

    document = observations.load(store, run) or Document(run)
    return observe_attempts(document, attempts(store, run, generation), generation)


def read_and_observe_all(store: "Store", run: str) -> Observed:
    """The same of every generation of a run, one after the other."""
    from backends.observer.reading import attempts, generations
    from store import observations

    seen = Observed(observations.load(store, run) or Document(run), {}, 0, 0)
    for number in generations(store, run):
        one = observe_attempts(seen.document, attempts(store, run, number), number)
        seen = Observed(one.document, seen.judged | one.judged, seen.added + one.added, seen.supported + one.supported)
    return seen


def _findings(
    attempts: Sequence[Attempt], judged: Mapping[SubagentId, Validity], generation: int
) -> Iterator[Observation]:
    valid = [attempt for attempt in attempts if judged[attempt.subagent] is Validity.VALID]
    tried = {attempt.subagent: trials(attempt) for attempt in attempts}
    for attempt in valid:
        yield from tried_fixes(attempt, tried[attempt.subagent])
    yield from contrast(valid, tried)
    yield from outcomes(valid)
    met = [
        trouble
        for attempt in attempts
        for trouble in troubles(attempt)
        # What is missing on the machine is so whatever became of the attempt.
        if attempt in valid or trouble.subject is Subject.ENVIRONMENT
    ]
    yield from told(met, attempts)
    for attempt in valid:
        yield from loops(attempt, tried[attempt.subagent])
        yield from dead_end(attempt, tried[attempt.subagent])
        yield from refactorings(attempt, tried[attempt.subagent])
    yield from found_nothing(valid)
    usage = spent(attempts, generation)
    for attempt in attempts:
        yield from circumstances(attempt, tried[attempt.subagent], usage)
