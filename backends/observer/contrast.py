"""Where in the code the solved attempts of a generation worked, and no unsolved one."""

from collections.abc import Iterator, Mapping, Sequence

from backends.observer.attempt import Attempt, Step
from backends.observer.changes import Change, patch_changes
from backends.observer.evidence import argument
from backends.observer.findings import finding, quoted
from backends.observer.trials import Trials
from store.domain.ids import SubagentId
from store.domain.observations import Claim, Evidence, Observation, Subject, fingerprint

NAMED = 4

Place = tuple[str, str]
"""A path and a definition in it."""


def contrast(attempts: Sequence[Attempt], tried: Mapping[SubagentId, Trials]) -> Iterator[Observation]:
    """What every solved attempt changed and no unsolved one did: where the cause may be. It says no more than that."""
    solved = [attempt for attempt in attempts if attempt.solved]
    unsolved = [attempt for attempt in attempts if attempt.unsolved]
    if not solved or not unsolved:
        return
    made = [_places(attempt, tried[attempt.subagent]) for attempt in solved]
    elsewhere = {place for attempt in unsolved for place in _places(attempt, tried[attempt.subagent])}
    alone = [place for place in made[0] if all(place in one for one in made) and place not in elsewhere]
    if not alone or 2 * len(alone) > len(made[0]):
        # Nothing is alone theirs, or nearly everything is: then the fix itself says it.
        return
    named = [", ".join(quoted(part, 80) for part in place if part) for place in alone[:NAMED]]
    if len(alone) > NAMED:
        named.append(f"{len(alone) - NAMED} more places")
    every = "Every solved attempt" if len(solved) > 1 else "The solved attempt"
    for attempt, places in zip(solved, made, strict=True):
        yield finding(
            attempt,
            Subject.PLACE,
            Claim.HYPOTHESIS,
            f"{every} changed {'; '.join(named)}; no unsolved one did.",
            mark=fingerprint(Subject.PLACE, *(part for place in sorted(alone) for part in place)),
            evidence=[span for place in alone[:NAMED] for span in _shown(attempt, places[place])],
        )


def _places(attempt: Attempt, tried: Trials) -> dict[Place, Step | None]:
    changes: Sequence[Change] = patch_changes(attempt.patch)
    steps: Sequence[Step | None] = [None] * len(changes)
    if tried.changes and not tried.uncertain:
        changes, steps = tried.changes, tried.edits
    return {(change.path, change.symbol): step for change, step in zip(changes, steps, strict=True)}


def _shown(attempt: Attempt, step: Step | None) -> tuple[Evidence, ...]:
    if step is not None:
        return argument(attempt.subagent, step, "new", "old")
    last = next((one for one in reversed(attempt.steps) if one.name in ("edit", "write", "run")), None)
    return argument(attempt.subagent, last, "new", "command") if last is not None else ()
