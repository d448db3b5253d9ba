"""What was looked up where tools are none of files: in vain, or by those alone that were solved."""

from collections.abc import Iterator, Sequence

from backends.observer.attempt import Attempt, Step
from backends.observer.calls import brief, in_words, same
from backends.observer.evidence import argument, line
from backends.observer.findings import finding, quoted
from store.domain.looking import looks_up
from store.domain.observations import Claim, Observation, Subject, fingerprint

NAMED = 4
"""Calls that a text names."""
_SPANS = 8
_NOTHING = frozenset({"[]", "{}", "null", "none", "nil", "()", "no results", "no results found", "no matches found"})


def looked_up(solved: Sequence[Attempt], unsolved: Sequence[Attempt]) -> Iterator[Observation]:
    """What every solved attempt looked up, and no unsolved one."""
    if not solved or not unsolved:
        return
    made = [_lookups(one) for one in solved]
    elsewhere = {name for one in unsolved for name in _lookups(one)}
    tools = {name.partition("(")[0] for name in elsewhere}
    names = [name for name in made[0] if all(name in one for one in made) and name not in elsewhere]
    # A tool that the others never used at all says more than one input of it.
    whole = [name for name in names if name.partition("(")[0] not in tools]
    telling = whole or names
    if not telling or (len(solved) == 1 and not whole):
        # One attempt alone differs from the others in many things.
        return
    calls = [made[0][name] for name in telling]
    every = "Every solved attempt" if len(solved) > 1 else "The solved attempt"
    for one, lookups in zip(solved, made, strict=True):
        yield finding(
            one,
            Subject.LOOKUP,
            Claim.HYPOTHESIS,
            f"{every} looked up {_named(calls)}; no unsolved one did.",
            mark=fingerprint(Subject.LOOKUP, "solved", *sorted(telling)),
            evidence=[e for name in telling[:_SPANS] for e in argument(one.subagent, lookups[name])],
        )


def _lookups(attempt: Attempt) -> dict[str, Step]:
    """What an attempt looked up, each once; prose, such as what it thought, is none."""
    return {
        name: step
        for step in attempt.steps
        if step.result is not None and step.ok and step.foreign and looks_up(step.name) and step.result.text.strip()
        if "…" not in (name := same(step)) and step.input
    }


def found_nothing(attempts: Sequence[Attempt]) -> Iterator[Observation]:
    """Look-ups that had an empty answer, in whichever attempt they were made: one observation a tool."""
    found: set[str] = set()
    empty: list[tuple[Attempt, Step]] = []
    for attempt in attempts:
        for step in attempt.steps:
            if step.result is None or not step.ok or not step.foreign or not looks_up(step.name):
                continue
            if step.result.text.strip().strip('".').lower() in _NOTHING:
                empty.append((attempt, step))
            else:
                found.add(same(step))
    by_tool: dict[str, list[tuple[Attempt, Step]]] = {}
    for attempt, step in empty:
        if same(step) not in found:
            by_tool.setdefault(step.name, []).append((attempt, step))
    for made in by_tool.values():
        calls = {same(step): step for _, step in made}
        for who in dict.fromkeys(attempt.subagent for attempt, _ in made):
            own = [(one, step) for one, step in made if one.subagent == who]
            spans = [span for _, step in own[:_SPANS] for span in (*argument(who, step), *line(who, step.result, ""))]
            yield finding(
                own[0][0],
                Subject.LOOKUP,
                Claim.DEAD_END,
                f"{_named([*calls.values()])} found nothing.",
                mark=fingerprint(Subject.LOOKUP, "nothing", *sorted(calls)),
                evidence=spans,
            )


def _named(calls: Sequence[Step]) -> str:
    names = [quoted(brief(step), 120) for step in calls[:NAMED]]
    if len(calls) > NAMED:
        names.append(f"{len(calls) - NAMED} more")
    return in_words(names)
