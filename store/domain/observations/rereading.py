"""A tape that is read again: it may have grown since, and what it seemed to show it may show no more."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from store.domain.ids import SubagentId
from store.domain.observations.merging import EVIDENCE, merge
from store.domain.observations.model import Author, Document, Evidence, Observation, Status


def reread(document: Document, again: Collection[SubagentId], found: Sequence[Observation]) -> Document:
    """The document before what was found on these attempts' tapes is merged into it once more.

    An attempt that no longer shows something stands behind it no more, and what nobody stands behind expires. Words,
    claim and places are those of the last reading, where all that is behind an observation was read again. All this is
    for what the rules wrote and nobody has decided about; and what was struck out stays struck out.
    """
    by_mark: dict[str, list[Observation]] = {}
    for finding in found:
        by_mark.setdefault(finding.fingerprint, []).append(finding)
    read = _read_to(document)
    observations = tuple(
        _again(o, frozenset(again), by_mark.get(o.fingerprint, []), read) if _open(o) else o
        for o in document.observations
    )
    return replace(document, observations=observations)


def _open(observation: Observation) -> bool:
    """Whether it is the rules' own, and nobody has decided about it."""
    withdrawn = observation.status is Status.EXPIRED and not observation.attempts
    return observation.author is Author.OBSERVER and (observation.status is Status.PROPOSED or withdrawn)


def _again(
    old: Observation, again: frozenset[SubagentId], found: Sequence[Observation], read: dict[SubagentId, int]
) -> Observation:
    counted = {*old.attempts, *old.contradicted_by}
    if not found and not counted & again:
        return old
    gone = (counted & again) - {who for finding in found for who in finding.attempts}
    kept = tuple(e for e in old.evidence if e.subagent not in gone)
    fresh = _fresh(kept, found, read, counted)
    if found and counted <= again:
        (new,) = merge(Document(""), found).observations
        return replace(
            new,
            id=old.id,
            first=min(old.first, new.first),
            last=max(old.last, new.last),
            evidence=tuple(e for e in new.evidence if e in kept or e in fresh),
            given_to=old.given_to,
            cited_by=old.cited_by,
        )
    attempts = tuple(who for who in old.attempts if who not in gone)
    if not attempts and not found:
        return replace(old, attempts=(), contradicted_by=(), status=Status.EXPIRED)
    return replace(
        old,
        attempts=attempts,
        contradicted_by=tuple(who for who in old.contradicted_by if who not in gone),
        evidence=(*kept, *(e for e in fresh if e.subagent in counted))[:EVIDENCE],
    )


def _fresh(
    kept: Sequence[Evidence],
    found: Sequence[Observation],
    read: dict[SubagentId, int],
    counted: set[SubagentId],
) -> list[Evidence]:
    """Places that were not there to be read before, those of a rule that looks elsewhere than it did, and all of an
    attempt that was not counted: of that one nobody can have struck out anything."""
    fresh: list[Evidence] = []
    for finding in found:
        if not counted & {*finding.attempts}:
            fresh += finding.evidence
            continue
        own = [e for e in kept if e.subagent in finding.attempts]
        elsewhere = bool(own) and not set(own) & set(finding.evidence)
        fresh += [e for e in finding.evidence if e not in kept and (elsewhere or e.turn > read.get(e.subagent, 0))]
    return fresh


def _read_to(document: Document) -> dict[SubagentId, int]:
    """The last turn of each attempt that anything in the document quotes: what it used is told with its last words."""
    read: dict[SubagentId, int] = {}
    for evidence in (e for o in document.observations for e in o.evidence):
        read[evidence.subagent] = max(read.get(evidence.subagent, 0), evidence.turn)
    return read
