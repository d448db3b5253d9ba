"""What an attempt teaches besides its fixes and its errors: loops, dead ends, what it made, and how it went."""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

from backends.observer.attempt import Attempt, Said, Step
from backends.observer.calls import shown
from backends.observer.evidence import argument, span
from backends.observer.findings import finding, marked, masked, quoted
from backends.observer.made import files
from backends.observer.outcomes import acts
from backends.observer.trials import Trials
from store.domain.observations import Claim, Evidence, Flag, Observation, Subject, fingerprint
from store.domain.states import Ending

REPEATS = 3
"""How often the same call with the same answer is a loop. On 200 real runs, three times anywhere in a run happened in
four runs, all of them failed ones."""

LIMITS = (Ending.TURNS, Ending.TOKENS, Ending.COST, Ending.TIME)


def loops(attempt: Attempt, tried: Trials) -> Iterator[Observation]:
    """The same call with the same answer, again and again, with nothing changed in between."""
    disturbing = {id(step) for step in tried.disturbing}
    seen: defaultdict[tuple[str, str, str], list[Step]] = defaultdict(list)
    for step in attempt.steps:
        if (step.name == "edit" and step.ok) or id(step) in disturbing or acts(step):
            seen.clear()
            continue
        if step.result is None or step.interrupted:
            continue
        given = json.dumps(dict(step.input), sort_keys=True, default=str)
        same = seen[step.name, given, masked(step.result.text)]
        same.append(step)
        if len(same) == REPEATS:
            told = step.argument("command") or step.argument("path") or step.argument("pattern") or shown(step)
            yield finding(
                attempt,
                Subject.LOOP,
                Claim.DEAD_END,
                f"The same {quoted(step.name, 40)} call, {quoted(told, 100)}, was made {REPEATS} times or more with the"
                " same answer and nothing changed in between.",
                mark=marked(Subject.LOOP, step.name, given),
                evidence=[e for one in same for e in argument(attempt.subagent, one, "command", "path", "pattern")],
                source=told,
            )


def dead_end(attempt: Attempt, tried: Trials) -> Iterator[Observation]:
    """An approach that used up its limits and never lowered the count."""
    if attempt.ending not in LIMITS or attempt.solved:
        return
    counts = [trial.count for trial in tried.runs if trial.changes and trial.count is not None]
    start = next((trial.count for trial in tried.runs if not trial.changes), attempt.baseline)
    if any(trial.passed for trial in tried.runs) or (counts and start is not None and min(counts) < start):
        return
    states = len({frozenset(trial.parts.items()) for trial in tried.runs if trial.changes})
    if not states:
        got = "without running the check on any change"
    else:
        numbers = f" ({start} failures at the start, {min(counts)} at best)" if counts and start is not None else ""
        got = f"after {states} tried state{'' if states == 1 else 's'} of the code, none with fewer failures{numbers}"
    last = tried.runs[-1].step if tried.runs else (attempt.steps[-1] if attempt.steps else None)
    yield finding(
        attempt,
        Subject.LIMIT,
        Claim.DEAD_END,
        f"The approach {quoted(attempt.strategy, 60)} reached its {attempt.ending} {got}.",
        mark=marked(Subject.LIMIT, attempt.strategy),
        evidence=argument(attempt.subagent, last, "command", "path") if last is not None else (),
    )


def circumstances(attempt: Attempt, tried: Trials, generation: str) -> Iterator[Observation]:
    """What it was after, what it cost, what it made, and what can't be told. `generation` is the generation's usage."""
    opening = _opening(attempt)
    goal = finding(
        attempt,
        Subject.GOAL,
        Claim.GOAL,
        f"The goal: {attempt.goal}",
        mark=marked(Subject.GOAL, attempt.goal),
        evidence=_goal(attempt) or (span(attempt.subagent, opening, 0, len(opening.text)) if opening else ()),
    )
    # It is the operator's own: that it gives orders is what it is for.
    yield replace(goal, flags=tuple(flag for flag in goal.flags if flag is not Flag.INSTRUCTION))
    closing = _closing(attempt)
    yield finding(
        attempt,
        Subject.USAGE,
        Claim.FACT,
        generation,
        mark=fingerprint(Subject.USAGE, attempt.subagent.run, str(attempt.subagent.generation)),
        evidence=span(attempt.subagent, closing, 0, len(closing.text)) if closing else (),
    )
    yield from files(attempt)
    for step in tried.disturbing if attempt.check else ():
        if not (command := step.argument("command")):
            continue
        yield finding(
            attempt,
            Subject.USAGE,
            Claim.FACT,
            f"Unknown edit by shell command {quoted(command)}: what the check said afterwards is put down to no edit.",
            mark=marked(Subject.USAGE, "shell", command),
            evidence=argument(attempt.subagent, step, "command"),
            source=command,
        )


def _goal(attempt: Attempt) -> tuple[Evidence, ...]:
    """Where the attempt was told its goal, in the words in which it was told."""
    told = attempt.told
    if told is None:
        return ()
    at = told.text.find(attempt.goal) if attempt.goal else -1
    if at >= 0:
        return span(attempt.subagent, told, at, at + len(attempt.goal))
    return span(attempt.subagent, told, 0, len(told.text)) if attempt.foreign else ()


def _opening(attempt: Attempt) -> Said | None:
    return next((said for said in attempt.said if said.text.strip()), attempt.steps[0].asked if attempt.steps else None)


def _closing(attempt: Attempt) -> Said | None:
    said = [one for one in attempt.said if one.text.strip()][-1:] + [step.asked for step in attempt.steps[-1:]]
    return max(said, key=lambda one: one.turn, default=None)
