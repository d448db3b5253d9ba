"""Findings become observations: one for each subject, supported by distinct attempts; the operator's word stands."""

from collections.abc import Sequence
from dataclasses import replace

from store.domain.observations.model import (
    Author,
    Claim,
    Document,
    Observation,
    Priority,
    Subject,
    free_id,
    heirs,
)

EVIDENCE = 48
"""The most spans that one observation keeps; the attempts behind it are all kept."""

_EFFECT = {Claim.WORSE: 0, Claim.FAILED: 1, Claim.HALF: 2, Claim.FIX: 3}
"""Claims on one set of edits, from the worst effect to the best. Edits can be useless on their own and part of the fix
beside others, so the best effect that anybody measured stands and the others are counted against it."""

_BY_RECURRENCE = {
    Subject.ERROR: (Priority.POSSIBLE, Priority.IMPORTANT),
    Subject.ENVIRONMENT: (Priority.POSSIBLE, Priority.IMPORTANT),
    Subject.FILE: (Priority.POSSIBLE, Priority.POSSIBLE),
    Subject.REFACTORING: (Priority.POSSIBLE, Priority.POSSIBLE),
    Subject.LOOKUP: (Priority.INFORMATIONAL, Priority.POSSIBLE),
    Subject.TOOL: (Priority.INFORMATIONAL, Priority.POSSIBLE),
    Subject.LOOP: (Priority.INFORMATIONAL, Priority.POSSIBLE),
    Subject.INSIGHT: (Priority.POSSIBLE, Priority.IMPORTANT),
}
"""Priority when one attempt met it, and when at least two distinct ones did."""


def priority(subject: Subject, claim: Claim, attempts: int) -> Priority:
    """The observer's priority: by what was measured, and by how many distinct attempts met it."""
    if claim in _EFFECT:
        return Priority.IMPORTANT
    if claim is Claim.HYPOTHESIS:
        return Priority.POSSIBLE
    once, often = _BY_RECURRENCE.get(subject, (Priority.INFORMATIONAL, Priority.INFORMATIONAL))
    return often if attempts >= 2 else once


def better(claim: Claim, other: Claim) -> bool:
    """Whether one claim on a set of edits says more for them than another does."""
    return _EFFECT.get(claim, -1) > _EFFECT.get(other, -1)


def merge(document: Document, findings: Sequence[Observation]) -> Document:
    """The document with the findings in it. Merging the same findings again changes nothing.

    A finding is an observation without an id, by one attempt. What the operator wrote is not changed, only supported;
    what the operator dropped gains support and stays dropped; so does what they merged or split, and what it went
    into gains that support as well. New observations come last.
    """
    known = {o.fingerprint: o for o in document.observations}
    taken = {o.id for o in document.observations}
    for finding in findings:
        before = known.get(finding.fingerprint)
        if before is None:
            name = free_id(finding.fingerprint, taken)
            taken.add(name)
            known[finding.fingerprint] = _ranked(replace(finding, id=name))
        else:
            known[finding.fingerprint] = _ranked(_joined(before, finding))
            for heir in _heirs(known, before):
                known[heir.fingerprint] = _ranked(_joined(heir, finding))
    return replace(document, observations=tuple(known.values()))


def _heirs(known: dict[str, Observation], observation: Observation) -> list[Observation]:
    """What stands for an observation that the operator merged or split, as it is now."""
    if not observation.merged_into:
        return []
    everything = {o.id: o for o in known.values()}
    names = heirs(Document("", observations=tuple(known.values())), observation.id)
    return [everything[name] for name in names if name != observation.id]


def _joined(old: Observation, new: Observation) -> Observation:
    """One observation of two findings on the same subject."""
    replaces = old.author is not Author.OPERATOR and better(new.claim, old.claim)
    first = new if replaces else old
    counted = {*old.attempts, *old.contradicted_by}
    if replaces:
        attempts = set(new.attempts)
        evidence = (*new.evidence, *(e for e in old.evidence if e.subagent not in new.attempts))
    else:
        agree = new.claim == old.claim or old.claim not in _EFFECT
        attempts = {*old.attempts, *(new.attempts if agree else ())}
        # Nothing more of an attempt that is counted: the operator may have struck it out.
        evidence = (*old.evidence, *(e for e in new.evidence if e.subagent not in counted))
    return replace(
        old,
        claim=first.claim,
        text=first.text,
        author=first.author,
        excerpt=first.excerpt,
        flags=first.flags,
        evidence=evidence[:EVIDENCE],
        attempts=tuple(sorted(attempts)),
        contradicted_by=tuple(sorted((counted | set(new.attempts)) - attempts)),
        first=min(old.first, new.first),
        last=max(old.last, new.last),
    )


def _ranked(observation: Observation) -> Observation:
    if observation.author is Author.OPERATOR:
        return observation
    return replace(observation, priority=priority(observation.subject, observation.claim, len(observation.attempts)))
