"""What attempts did where there are no files to edit, and what came of it.

Where the tools of an agent act on something else than a workspace (bookings, tickets, machines), the calls that
changed something are to an attempt what its patch is to one that writes code: a set, with the verdict on it. Solved and
unsolved attempts are held against each other, and what several did in vain is said.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from backends.observer.attempt import Attempt, Step
from backends.observer.calls import alike, brief, changed, differing, in_words, listed, same, shown
from backends.observer.evidence import argument, line, span
from backends.observer.findings import finding, quoted
from store.domain.looking import looks_up, only_looks
from store.domain.observations import Claim, Evidence, Observation, Subject, fingerprint

NAMED = 4
"""Calls that a text names."""
_TOLD = 3
_WIDE = 150
"""Characters of a call where an attempt's are told in full; the excerpt has them whole."""
_SPANS = 8
"""Calls that are quoted from one attempt."""
_NOTHING = frozenset({"[]", "{}", "null", "none", "nil", "()", "no results", "no results found", "no matches found"})


def acts(step: Step) -> bool:
    """Whether the call changed something, as far as its tool's name and its result tell."""
    return step.foreign and step.ok and not step.interrupted and not only_looks(step.name)


@dataclass(frozen=True)
class Outcome:
    """One attempt with the calls of its that changed something, each once, by what makes them the same."""

    attempt: Attempt

    @cached_property
    def calls(self) -> dict[str, Step]:
        return {same(step): step for step in reversed(self.attempt.steps) if acts(step)}

    @cached_property
    def ordered(self) -> list[Step]:
        return [step for step in self.attempt.steps if self.calls.get(same(step)) is step]

    @property
    def label(self) -> str:
        return self.attempt.subagent.label


def outcomes(attempts: Sequence[Attempt]) -> Iterator[Observation]:
    """What the attempts of one generation did, and what came of it: those alone of which somebody knows, and only where
    there are tools and no workspace."""
    if any(attempt.worked_on_files for attempt in attempts) or not any(attempt.steps for attempt in attempts):
        return
    solved = [Outcome(attempt) for attempt in attempts if attempt.solved]
    unsolved = [Outcome(attempt) for attempt in attempts if attempt.unsolved]
    for one in (*solved, *unsolved):
        yield _whole(one, solved, unsolved)
    yield from _in_vain(unsolved, solved)
    yield from _looked_up(solved, unsolved)


def _whole(one: Outcome, solved: Sequence[Outcome], unsolved: Sequence[Outcome]) -> Observation:
    """All that an attempt changed, and the verdict."""
    attempt, calls, everyone = one.attempt, one.ordered, (*solved, *unsolved)
    verdict = "Solved" if attempt.solved else "Not solved"
    # What tells it from the others comes first: a text has no room for all.
    rare = sorted(calls, key=lambda step: sum(same(step) in other.calls for other in everyone))
    did = in_words([quoted(shown(step, _varied(step, everyone)), _WIDE) for step in rare[:_TOLD]] or ["nothing"])
    more = f" and {len(calls) - _TOLD} more" if len(calls) > _TOLD else ""
    said = f"{verdict}, with {did}{more} as all that it changed." if calls else f"{verdict}, with nothing changed."
    same_calls = [other for other in everyone if other.calls.keys() == one.calls.keys()]
    if {other.attempt.solved for other in same_calls} == {True, False}:
        said += " Others did the same and were not solved: what differs is in the words, or in what was looked up."
    elif not attempt.solved and solved:
        said += _against(one, min(solved, key=lambda other: len(other.calls.keys() ^ one.calls.keys())))
    return finding(
        attempt,
        Subject.ACTIONS,
        Claim.FIX if attempt.solved else Claim.FAILED,
        said,
        mark=fingerprint(Subject.ACTIONS, *sorted(one.calls)),
        excerpt=[f"+ {line}" for step in calls for line in listed(step)] if len(said) > _WIDE else (),
        evidence=(*_asked(attempt, calls), *_ended(attempt)),
    )


def _varied(step: Step, everyone: Sequence[Outcome]) -> set[str]:
    """The inputs that differ among the calls of this tool."""
    calls = [other for one in everyone for other in one.ordered if other.name == step.name]
    return {name for other in calls for name in changed(step.input, other.input)}


def _against(one: Outcome, solved: Outcome) -> str:
    """How an attempt differs from a solved one. Calls of one tool for the same thing are told by what differs."""
    lacked = [step for step in solved.ordered if same(step) not in one.calls]
    beside = [step for step in one.ordered if same(step) not in solved.calls]
    parts = []
    for step in list(lacked):
        other = next((b for b in beside if b.name == step.name and alike(b.input, step.input)), None)
        if other is not None:
            lacked.remove(step)
            beside.remove(other)
            parts.append(f"called {quoted(step.name, 40)} {differing(other.input, step.input)}")
    if lacked:
        parts.append(f"{'also ' if one.calls else ''}called {_named(lacked)}")
    if beside:
        parts.append(f"did not call {_named(beside)}")
    return f" A solved attempt {in_words(parts)}."


def _in_vain(unsolved: Sequence[Outcome], solved: Sequence[Outcome]) -> Iterator[Observation]:
    """Calls that at least two unsolved attempts have in common, beside different others, and no solved one made. They
    may be part of the solution all the same."""
    sets = {frozenset(one.calls) for one in unsolved}
    done = {name for one in solved for name in one.calls}
    whose: dict[frozenset[str], list[Outcome]] = {}
    for name in dict.fromkeys(name for one in unsolved for name in one.calls if name not in done):
        those = [one for one in unsolved if name in one.calls]
        common = frozenset[str].intersection(*(frozenset(one.calls) for one in those)) - done
        # Where it was all that some attempt did, that says it.
        if len(those) > 1 and common not in sets:
            whose.setdefault(common, those)
    for common, those in whose.items():
        calls = [step for step in those[0].ordered if same(step) in common]
        for one in those:
            yield finding(
                one.attempt,
                Subject.CALL,
                Claim.DEAD_END,
                f"{_named(calls)}: made by several unsolved attempts, each beside other calls, and by no solved one.",
                mark=fingerprint(Subject.CALL, "in vain", *sorted(common)),
                evidence=_asked(one.attempt, [one.calls[same(step)] for step in calls]),
            )


def _looked_up(solved: Sequence[Outcome], unsolved: Sequence[Outcome]) -> Iterator[Observation]:
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
            one.attempt,
            Subject.LOOKUP,
            Claim.HYPOTHESIS,
            f"{every} looked up {_named(calls)}; no unsolved one did.",
            mark=fingerprint(Subject.LOOKUP, "solved", *sorted(telling)),
            evidence=[e for name in telling[:_SPANS] for e in argument(one.attempt.subagent, lookups[name])],
        )


def _lookups(one: Outcome) -> dict[str, Step]:
    """What an attempt looked up, each once; prose, such as what it thought, is none."""
    return {
        name: step
        for step in one.attempt.steps
        if step.result is not None and step.ok and step.foreign and looks_up(step.name) and step.result.text.strip()
        if "…" not in (name := same(step)) and step.input
    }


def found_nothing(attempts: Sequence[Attempt]) -> Iterator[Observation]:
    """Look-ups that had an empty answer, in whichever attempt they were made."""
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
    for attempt, step in empty:
        if (name := same(step)) not in found:
            said = step.result
            yield finding(
                attempt,
                Subject.LOOKUP,
                Claim.DEAD_END,
                f"{quoted(shown(step), 200)} found nothing.",
                mark=fingerprint(Subject.LOOKUP, "nothing", name),
                evidence=(*argument(attempt.subagent, step), *line(attempt.subagent, said, said.text if said else "")),
            )


def _asked(attempt: Attempt, calls: Sequence[Step]) -> list[Evidence]:
    return [span for step in calls[:_SPANS] for span in argument(attempt.subagent, step)]


def _ended(attempt: Attempt) -> tuple[Evidence, ...]:
    """Its last words."""
    last = next((said for said in reversed(attempt.said) if said.text.strip()), None)
    return span(attempt.subagent, last, 0, len(last.text)) if last is not None else ()


def _named(calls: Sequence[Step]) -> str:
    names = [quoted(brief(step), 120) for step in calls[:NAMED]]
    if len(calls) > NAMED:
        names.append(f"{len(calls) - NAMED} more")
    return in_words(names)
