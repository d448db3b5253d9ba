"""Two documents made from one become one again: what either changed is changed; where both changed the same thing, a
person's words go before the observer's, and the other side stands beside them as a conflict."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import TypeVar

from store.domain.observations.conflicts import Conflict, with_conflicts
from store.domain.observations.editing import apply_edit
from store.domain.observations.merging import EVIDENCE
from store.domain.observations.model import (
    GONE,
    Author,
    Document,
    Note,
    Observation,
    Status,
    free_id,
)
from store.domain.observations.notes import placed

T = TypeVar("T")

_PAIRS = 100_000
"""Pairs of equal lines up to which all are looked at; among more, such as the empty lines of a long text, only lines
that stand once on either side."""
_WEAK = (Status.PROPOSED, Status.KEPT, Status.EDITED)
"""Statuses that a stronger word replaces without a conflict, the weakest first."""


@dataclass(frozen=True)
class Merged:
    """The document of both, its conflicts written into it as notes."""

    document: Document
    conflicts: tuple[Conflict, ...] = ()


def take_over(latest: Document, base: Document, base_text: str, text: str) -> Merged:
    """What a person made of `base_text`, the text of version `base`, taken over into the latest version."""
    edited = apply_edit(base, base_text, text)
    if base.version == latest.version:
        return Merged(edited)
    return merge_three(base, latest, edited, said=f"An edit of version {base.version} has it otherwise.")


def merge_three(base: Document, ours: Document, theirs: Document, *, said: str) -> Merged:
    """`theirs`, made from `base`, merged into `ours`, which was made from it as well and is newer. `said` is the
    sentence that says whose `theirs` is. Nothing that either added is lost; what one took out and the other left alone
    is out. Observations that a side doesn't have at all count as dropped by it."""
    if theirs == base:
        return Merged(ours)
    theirs = _renamed(theirs, ours)
    was, mine, other = _by_mark(base), _by_mark(ours), _by_mark(theirs)
    merged: dict[str, Observation] = {}
    found: list[Conflict] = []
    stands = f"Version {ours.version} has it otherwise."
    for mark in _order(was, mine, other):
        before, o, t = was.get(mark), mine.get(mark), other.get(mark)
        if o is None or t is None:
            there = o or t
            assert there is not None
            if before is None:
                merged[mark] = there
                continue
            o, t = o or _dropped(before), t or _dropped(before)
        merged[mark], conflicts = _merge_one(before, o, t, said, stands)
        found += conflicts
    result = replace(ours, generation=max(ours.generation, theirs.generation), observations=tuple(merged.values()))
    notes = _merge_notes(placed(base), placed(ours), placed(theirs))
    result = with_conflicts(replace(result, notes=notes), tuple(found))
    return Merged(replace(result, notes=placed(result)), tuple(found))


def merge_lines(base: Sequence[str], ours: Sequence[str], theirs: Sequence[str]) -> list[str]:
    """Lines that two have edited. Where both changed the same place, the lines of both stay."""
    if theirs in (base, ours):
        return list(ours)
    if ours == base:
        return list(theirs)
    in_ours, in_theirs = _places(base, ours), _places(base, theirs)
    merged: list[str] = []
    b = o = t = 0
    for at in [*(at for at in range(len(base)) if at in in_ours and at in in_theirs), len(base)]:
        o_stop, t_stop = in_ours.get(at, len(ours)), in_theirs.get(at, len(theirs))
        was, mine, other = list(base[b:at]), list(ours[o:o_stop]), list(theirs[t:t_stop])
        if mine in (was, other):
            merged += other
        elif other == was:
            merged += mine
        else:
            there = set(mine)
            merged += [*mine, *(line for line in other if line not in there)]
        if at < len(base):
            merged.append(base[at])
        b, o, t = at + 1, o_stop + 1, t_stop + 1
    return merged


def _places(base: Sequence[str], lines: Sequence[str]) -> dict[int, int]:
    """Which line of the other each line of the base became."""
    start, most = 0, min(len(base), len(lines))
    while start < most and base[start] == lines[start]:
        start += 1
    rest = 0
    while rest < most - start and base[-1 - rest] == lines[-1 - rest]:
        rest += 1
    same = {at: at for at in range(start)}
    same |= {len(base) - at: len(lines) - at for at in range(rest, 0, -1)}
    one, other = base[start : len(base) - rest], lines[start : len(lines) - rest]
    counts, others = Counter(one), Counter(other)
    if sum(count * others[line] for line, count in counts.items()) <= _PAIRS:
        blocks = SequenceMatcher(None, one, other, autojunk=False).get_matching_blocks()
        found = [(block.a + k, block.b + k) for block in blocks for k in range(block.size)]
    else:
        where = {line: at for at, line in enumerate(other) if others[line] == 1}
        found = _rising([(at, where[line]) for at, line in enumerate(one) if counts[line] == 1 and line in where])
    return same | {start + a: start + b for a, b in found}


def _rising(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The most of these pairs, ordered by their first number, whose second numbers rise as well."""
    ends: list[int] = []
    piles: list[int] = []
    before: list[int] = []
    for at, (_, second) in enumerate(pairs):
        pile = bisect_left(ends, second)
        before.append(piles[pile - 1] if pile else -1)
        ends[pile : pile + 1], piles[pile : pile + 1] = [second], [at]
    found: list[tuple[int, int]] = []
    at = piles[-1] if piles else -1
    while at >= 0:
        found.append(pairs[at])
        at = before[at]
    return found[::-1]


def _merge_one(
    before: Observation | None, ours: Observation, theirs: Observation, said: str, stands: str
) -> tuple[Observation, list[Conflict]]:
    if ours == theirs or theirs == before:
        return ours, []
    if ours == before:
        return replace(theirs, id=ours.id), []
    mine, other = ours.author is Author.OPERATOR, theirs.author is Author.OPERATOR
    first, second, whose = (theirs, ours, stands) if other and not mine else (ours, theirs, said)
    found: list[Conflict] = []

    def chosen(field: str, of: Callable[[Observation], T], show: Callable[[T], str] = str) -> T:
        """What stands; the other one is shown where both have changed it."""
        a, b = of(ours), of(theirs)
        if a == b or (before is not None and b == of(before)):
            return a
        if before is not None and a == of(before):
            return b
        # How the observer ranks what a person has ranked is no conflict.
        if mine == other or field in ("text", "excerpt"):
            found.append(Conflict(ours.id, field, show(of(second)), whose))
        return of(first)

    status, out = _status(before, ours, theirs)
    result = replace(
        ours,
        text=chosen("text", lambda one: one.text),
        excerpt=chosen("excerpt", lambda one: one.excerpt, "\n".join),
        claim=chosen("claim", lambda one: one.claim),
        priority=chosen("priority", lambda one: one.priority),
        status=status,
        author=_author(before, ours, theirs),
        flags=_either(before, ours, theirs, lambda one: one.flags),
        evidence=_either(before, ours, theirs, lambda one: one.evidence)[:EVIDENCE],
        attempts=tuple(sorted(_either(before, ours, theirs, lambda one: one.attempts))),
        first=min(ours.first, theirs.first),
        last=max(ours.last, theirs.last),
        merged_into=_either(before, ours, theirs, lambda one: one.merged_into) if status in GONE else (),
        given_to=tuple(sorted({*ours.given_to, *theirs.given_to})),
        cited_by=tuple(sorted({*ours.cited_by, *theirs.cited_by})),
    )
    if out is not None:
        found.append(Conflict(ours.id, "status", out.status, said if out is theirs else stands))
    against = set(_either(before, ours, theirs, lambda one: one.contradicted_by)) - set(result.attempts)
    return replace(result, contradicted_by=tuple(sorted(against))), found


def _author(before: Observation | None, ours: Observation, theirs: Observation) -> Author:
    if before is not None and theirs.author is before.author:
        return ours.author
    if before is not None and ours.author is before.author:
        return theirs.author
    return Author.OPERATOR if Author.OPERATOR in (ours.author, theirs.author) else ours.author


def _status(before: Observation | None, ours: Observation, theirs: Observation) -> tuple[Status, Observation | None]:
    """The status of both; and, when they disagree, the side that has another."""
    was, mine, other = before.status if before else None, ours.status, theirs.status
    if before is not None and was not in GONE:
        # Out of the file on one side and reworded by a person on the other: it stays, for nothing may be lost.
        if other in GONE and mine not in GONE and _reworded(before, ours):
            return mine, theirs
        if mine in GONE and other not in GONE and _reworded(before, theirs):
            return other, ours
    if mine == other or other == was:
        return mine, None
    if mine == was:
        return other, None
    if mine in _WEAK and other in _WEAK:
        return max(mine, other, key=_WEAK.index), None
    if mine in GONE and other in GONE:
        # What has expired may come back, what a person dropped may not.
        return Status.DROPPED, None
    if mine in GONE:
        return other, ours
    if other in GONE:
        return mine, theirs
    if mine in _WEAK or other in _WEAK:
        return (other if mine in _WEAK else mine), None
    return mine, theirs


def _reworded(before: Observation, after: Observation) -> bool:
    """A person has changed what it says."""
    words = (before.text, before.excerpt, before.claim, before.priority)
    return after.author is Author.OPERATOR and (after.text, after.excerpt, after.claim, after.priority) != words


def _either(
    before: Observation | None, ours: Observation, theirs: Observation, of: Callable[[Observation], tuple[T, ...]]
) -> tuple[T, ...]:
    """What either added, less what either took out."""
    base = of(before) if before is not None else ()
    kept = [one for one in of(ours) if one in of(theirs) or one not in base]
    return (*kept, *(one for one in of(theirs) if one not in base and one not in of(ours)))


def _dropped(observation: Observation) -> Observation:
    return observation if observation.status in GONE else replace(observation, status=Status.DROPPED)


def _by_mark(document: Document) -> dict[str, Observation]:
    return {o.fingerprint: o for o in document.observations}


def _renamed(theirs: Document, ours: Document) -> Document:
    """Theirs, with ids that are not those of other observations of ours; the same observation has one id in both."""
    mine = {o.fingerprint: o.id for o in ours.observations}
    taken = {*mine.values(), *(o.id for o in theirs.observations)}
    names: dict[str, str] = {}
    for o in theirs.observations:
        if o.fingerprint in mine:
            names[o.id] = mine[o.fingerprint]
        elif o.id in mine.values():
            names[o.id] = free_id(o.fingerprint, taken)
            taken.add(names[o.id])
    if all(old == new for old, new in names.items()):
        return theirs
    return replace(
        theirs,
        observations=tuple(
            replace(o, id=names.get(o.id, o.id), merged_into=tuple(names.get(into, into) for into in o.merged_into))
            for o in theirs.observations
        ),
        notes=tuple(replace(note, anchor=names.get(note.anchor, note.anchor)) for note in theirs.notes),
    )


def _order(was: dict[str, Observation], mine: dict[str, Observation], other: dict[str, Observation]) -> list[str]:
    """The order of the side that changed it, ours if both did, with what the other added after what it stands behind
    there."""
    common = {mark for mark in was if all(_shown(side.get(mark)) for side in (was, mine, other))}
    moved = [mark for mark in mine if mark in common] != [mark for mark in was if mark in common]
    first, second = (mine, other) if moved else (other, mine)
    order = list(first)
    above = ""
    for mark in second:
        if mark not in first:
            order.insert(order.index(above) + 1 if above else 0, mark)
        above = mark
    return order


def _shown(observation: Observation | None) -> bool:
    return observation is not None and observation.status not in GONE


def _merge_notes(base: Sequence[Note], ours: Sequence[Note], theirs: Sequence[Note]) -> tuple[Note, ...]:
    was, mine, other = ({note.anchor: note.text.split("\n") for note in notes} for notes in (base, ours, theirs))
    merged: list[Note] = []
    for anchor in dict.fromkeys([*mine, *other]):
        lines = merge_lines(was.get(anchor, []), mine.get(anchor, []), other.get(anchor, []))
        if text := "\n".join(lines).strip("\n"):
            merged.append(Note(anchor, text))
    return tuple(merged)
