"""What a new run starts with when it remembers earlier ones."""

from collections.abc import Sequence
from dataclasses import replace

from store.domain.observations.merging import EVIDENCE, better, priority
from store.domain.observations.model import Author, Document, Note, Observation, Status, Subject, free_id

_OF_ITS_RUN = frozenset({Subject.GOAL, Subject.USAGE})
"""Subjects that tell how a run went, and nothing of the code."""


def carried(documents: Sequence[Document], run: str) -> Document:
    """What these runs know, as the first document of another.

    An observation of several has the attempts of all, each once, however often it was carried on before. The words and
    the status that a person gave it stand, the last run's where several did. What a person dropped stays dropped, so
    that it doesn't come back. How a run went, and what was overtaken, is left behind.
    """
    names: dict[str, str] = {}
    for document in documents:
        for o in filter(_goes_on, document.observations):
            if o.fingerprint not in names:
                taken = set(names.values())
                names[o.fingerprint] = o.id if o.id not in taken else free_id(o.fingerprint, taken)
    known: dict[str, Observation] = {}
    notes: dict[str, list[str]] = {}
    for document in documents:
        ids = {o.id: names[o.fingerprint] for o in document.observations if o.fingerprint in names}
        for o in filter(_goes_on, document.observations):
            heirs = tuple(ids[name] for name in o.merged_into if name in ids)
            here = replace(o, id=ids[o.id], merged_into=heirs, first=0, last=0)
            before = known.get(o.fingerprint)
            known[o.fingerprint] = here if before is None else _together(before, here)
        for note in document.notes:
            texts = notes.setdefault(ids.get(note.anchor, note.anchor), [])
            if note.text not in texts:
                texts.append(note.text)
    return Document(
        run,
        observations=tuple(known.values()),
        notes=tuple(Note(anchor, "\n\n".join(texts)) for anchor, texts in notes.items()),
    )


def _goes_on(observation: Observation) -> bool:
    return observation.subject not in _OF_ITS_RUN and observation.status is not Status.EXPIRED


def _together(old: Observation, new: Observation) -> Observation:
    """One observation of two runs."""
    theirs = new.author is Author.OPERATOR or (old.author is not Author.OPERATOR and better(new.claim, old.claim))
    words, other = (new, old) if theirs else (old, new)
    # Who measured otherwise, or supports another claim on the same edits, is counted against it.
    attempts = {*words.attempts, *(other.attempts if other.claim == words.claim else ())}
    counted = {*old.attempts, *new.attempts, *old.contradicted_by, *new.contradicted_by}
    spans = dict.fromkeys((*words.evidence, *other.evidence))
    decided = new if new.status is not Status.PROPOSED else old
    joined = replace(
        words,
        status=decided.status,
        merged_into=decided.merged_into,
        evidence=tuple(spans)[:EVIDENCE],
        attempts=tuple(sorted(attempts)),
        contradicted_by=tuple(sorted(counted - attempts)),
        flags=tuple(dict.fromkeys((*old.flags, *new.flags))),
        given_to=tuple(sorted({*old.given_to, *new.given_to})),
        cited_by=tuple(sorted({*old.cited_by, *new.cited_by})),
    )
    if joined.author is Author.OPERATOR:
        return joined
    return replace(joined, priority=priority(joined.subject, joined.claim, len(joined.attempts)))
