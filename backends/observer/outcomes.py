"""What attempts did where there are no files to edit, and what came of it.

Where the tools of an agent act on something else than a workspace (bookings, tickets, machines), the calls that
changed something are to an attempt what its patch is to one that writes code: a set, with the verdict on it. Sets that
are much alike are told together, by what they have in common and in what they differ, and the unsolved ones are held
against the nearest that is solved.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from backends.observer.attempt import Attempt, Step
from backends.observer.calls import alike, brief, changed, differing, in_words, listed, same, shown, values_of
from backends.observer.evidence import argument, span
from backends.observer.findings import finding, quoted
from backends.observer.lookups import looked_up
from store.domain.looking import only_looks
from store.domain.observations import Claim, Evidence, Observation, Subject, fingerprint

NEAR = 0.5
"""Of the calls of the larger of two sets, the share that both have, from which on they are told together."""
_TOLD = 3
"""Calls that a text tells."""
_WIDE = 150
"""Characters of a call in a text; the excerpt has it whole."""
_NAMED = 4
_SPANS = 8
"""Calls that are quoted from one attempt."""


def acts(step: Step) -> bool:
    """Whether the call changed something, as far as its tool's name and its result tell."""
    return step.foreign and step.ok and not step.interrupted and not only_looks(step.name)


@dataclass(frozen=True)
class Outcome:
    """One attempt with the calls of its that changed something, each once, by what makes them the same."""

    attempt: Attempt

    @cached_property
    def calls(self) -> dict[str, Step]:
        found: dict[str, Step] = {}
        for step in filter(acts, self.attempt.steps):
            found.setdefault(same(step), step)
        return found

    @cached_property
    def tools(self) -> list[str]:
        return sorted({step.name for step in self.calls.values()})

    @property
    def steps(self) -> list[Step]:
        return [*self.calls.values()]


@dataclass
class Group:
    """Outcomes whose sets are the same, or much alike."""

    outcomes: list[Outcome]

    @property
    def common(self) -> set[str]:
        return set.intersection(*(set(one.calls) for one in self.outcomes))

    @property
    def distinct(self) -> list[Outcome]:
        """One for each set."""
        sets: dict[frozenset[str], Outcome] = {}
        for one in self.outcomes:
            sets.setdefault(frozenset(one.calls), one)
        return [*sets.values()]

    def takes(self, other: Outcome) -> bool:
        """Whether that one's set is much like those that are here."""
        if other.tools == self.outcomes[0].tools:
            return True
        shared = len(self.common & set(other.calls))
        return shared > 0 and shared >= NEAR * max(len(one.calls) for one in (*self.outcomes, other))


def outcomes(attempts: Sequence[Attempt]) -> Iterator[Observation]:
    """What the attempts of one generation did, and what came of it: those alone of which somebody knows, and only where
    there are tools and no workspace."""
    if any(attempt.worked_on_files for attempt in attempts) or not any(attempt.steps for attempt in attempts):
        return
    solved = [Outcome(attempt) for attempt in attempts if attempt.solved]
    unsolved = [Outcome(attempt) for attempt in attempts if attempt.unsolved]
    right = _groups(solved)
    sets = [one.calls.keys() for one in solved]
    alas = [one for one in unsolved if one.calls.keys() in sets]
    for group in right:
        also = [one for one in alas if any(one.calls.keys() == other.calls.keys() for other in group.outcomes)]
        yield from _told(group, also, solved)
    for group in _groups([one for one in unsolved if one not in alas]):
        yield from _told(group, [], solved)
    yield from looked_up([one.attempt for one in solved], [one.attempt for one in unsolved])


def _groups(those: Sequence[Outcome]) -> list[Group]:
    groups: list[Group] = []
    # The smallest first: what is common shows at once.
    for one in sorted(those, key=lambda one: len(one.calls)):
        group = next((group for group in groups if group.takes(one)), None)
        if group is not None:
            group.outcomes.append(one)
        else:
            groups.append(Group([one]))
    return groups


def _told(group: Group, also: Sequence[Outcome], solved: Sequence[Outcome]) -> Iterator[Observation]:
    """One observation, by all attempts of a group. `also` did the same with another verdict."""
    first = group.outcomes[0]
    good, several = first.attempt.solved, len(group.outcomes) > 1
    said = "Solved" if good else "Not solved in several attempts" if several else "Not solved"
    said += f". All that was changed: {_sets(group)}." if first.calls else ", with nothing changed."
    if also:
        said += " Others did the same and were not solved: what differs is in the words, or in what was looked up."
    elif not good and solved:
        pairs = [(one, other) for one in group.distinct for other in solved]
        said += _against(*min(pairs, key=lambda pair: len(pair[0].calls.keys() ^ pair[1].calls.keys())))
    verdict = "solved" if good else "unsolved"
    mark = fingerprint(Subject.ACTIONS, verdict, *sorted(" ".join(sorted(one.calls)) for one in group.distinct))
    for one in (*group.outcomes, *also):
        yield finding(
            one.attempt,
            Subject.ACTIONS,
            Claim.FIX if one.attempt.solved else Claim.FAILED,
            said,
            mark=mark,
            excerpt=_excerpt(group),
            evidence=(*_asked(one), *_ended(one.attempt)),
        )


def _sets(group: Group) -> str:
    """The calls of a group: those of its one set, or what its sets have in common, and in what they differ."""
    sets = group.distinct
    common = [step for step in sets[0].steps if same(step) in group.common]
    if len(sets) == 1:
        return _full(common)
    if all(len(one.tools) == len(one.calls) and one.tools == sets[0].tools for one in sets):
        return in_words(
            [_varied([next(s for s in one.steps if s.name == tool) for one in sets]) for tool in sets[0].tools]
        )
    rests = [[step for step in one.steps if same(step) not in group.common] for one in sets]
    if not common:
        return "; or ".join(_full(rest) for rest in rests)
    beside = [f"beside {_full(rest)}" if rest else "alone" for rest in rests]
    return f"{_full(common)}, {', or '.join(beside)}"


def _varied(calls: Sequence[Step]) -> str:
    """Calls of one tool as one, with the inputs that differ among them."""
    names = sorted({name for call in calls for name in changed(calls[0].input, call.input)})
    if not names:
        return quoted(shown(calls[0]), _WIDE)
    given = {name: value for name, value in calls[0].input.items() if name not in names}
    which = in_words([f"{quoted(name, 40)} = {values_of([call.input for call in calls], name)}" for name in names])
    return f"{quoted(shown(calls[0], given) if given else calls[0].name, _WIDE)} with {which}"


def _full(calls: Sequence[Step]) -> str:
    names = [quoted(shown(step), _WIDE) for step in calls[:_TOLD]]
    if len(calls) > _TOLD:
        names.append(f"{len(calls) - _TOLD} more")
    return in_words(names)


def _excerpt(group: Group) -> list[str]:
    """The calls in full: the first set, and how every other one differs from it."""
    first = [line for step in group.distinct[0].steps for line in listed(step)]
    lines = [f"+ {line}" for line in first]
    for one in group.distinct[1:]:
        other = [line for step in one.steps for line in listed(step)]
        gone, new = Counter(first) - Counter(other), Counter(other) - Counter(first)
        lines += ["  or", *(f"- {line}" for line in _these(first, gone)), *(f"+ {line}" for line in _these(other, new))]
    return lines if len(lines) > len(group.distinct[0].calls) or len(group.common) > _TOLD else []


def _these(lines: Sequence[str], which: Counter[str]) -> Iterator[str]:
    left = Counter(which)
    for line in lines:
        if left[line] > 0:
            left[line] -= 1
            yield line


def _against(one: Outcome, solved: Outcome) -> str:
    """How an attempt differs from a solved one. Calls of one tool for the same thing are told by what differs."""
    lacked = [step for step in solved.steps if same(step) not in one.calls]
    beside = [step for step in one.steps if same(step) not in solved.calls]
    if not solved.calls:
        return " A solved attempt changed nothing."
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


def _asked(one: Outcome) -> list[Evidence]:
    return [span for step in one.steps[:_SPANS] for span in argument(one.attempt.subagent, step)]


def _ended(attempt: Attempt) -> tuple[Evidence, ...]:
    """Its last words."""
    last = next((said for said in reversed(attempt.said) if said.text.strip()), None)
    return span(attempt.subagent, last, 0, len(last.text)) if last is not None else ()


def _named(calls: Sequence[Step]) -> str:
    names = [quoted(brief(step), 120) for step in calls[:_NAMED]]
    if len(calls) > _NAMED:
        names.append(f"{len(calls) - _NAMED} more")
    return in_words(names)
