"""One generation observed: judged, read, and merged into what is known of the run."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from backends.observer import Observed
from backends.observer.attempt import Attempt
from backends.observer.judging import judge
from backends.observer.lessons import circumstances, dead_end, errors, loops
from backends.observer.trials import trials, tried_fixes
from store.domain.limits import Spend
from store.domain.observations import Document, Observation, Subject, merge
from store.domain.states import Validity

if TYPE_CHECKING:
    from store.database import Store


def observe_attempts(document: Document, attempts: Sequence[Attempt], generation: int) -> Observed:
    """Judge the attempts of one generation and merge what they teach. Once more over the same changes nothing."""
    judged = {attempt.subagent: judge(attempt) for attempt in attempts}
    usage = _usage(attempts, generation)
    found = [
        finding
        for attempt in attempts
        for finding in _findings(attempt, judged[attempt.subagent][0], usage)
        # No quote, no observation.
        if finding.evidence
    ]
    merged = replace(merge(document, found), generation=max(document.generation, generation))
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


def _findings(attempt: Attempt, validity: Validity, usage: str) -> Iterator[Observation]:
    tried = trials(attempt)
    if validity is Validity.VALID:
        yield from tried_fixes(attempt, tried)
        yield from errors(attempt)
        yield from loops(attempt, tried)
        yield from dead_end(attempt, tried)
    else:
        # What is missing on the machine is so whatever became of the attempt.
        yield from (finding for finding in errors(attempt) if finding.subject is Subject.ENVIRONMENT)
    yield from circumstances(attempt, tried, usage)


def _usage(attempts: Sequence[Attempt], generation: int) -> str:
    total = sum((attempt.spend for attempt in attempts), Spend())
    count = f"{len(attempts)} attempt{'' if len(attempts) == 1 else 's'}"
    turns = sum(attempt.answers for attempt in attempts)
    money = f", ${total.usd:.2f}{'' if total.priced else ' or more'}" if total.usd or total.priced else ""
    endings = Counter(str(attempt.ending) if attempt.ending else "still at work" for attempt in attempts)
    ended = ", ".join(f"{number} {word}" for word, number in sorted(endings.items()))
    solved = sum(attempt.solved for attempt in attempts)
    return (
        f"Generation {generation}: {count}, {solved} solved; {turns} turns, {total.usage.total:,} tokens{money}. "
        f"How they ended: {ended}."
    )
