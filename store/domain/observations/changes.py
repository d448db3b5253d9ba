"""What a person does to observations, one operation each; a list of them is one change, made whole or not at all.

`apply` gives the changed document, or raises ValueError with a sentence. What is there already changes nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from store.domain.observations.conflicts import conflicts, without
from store.domain.observations.history import NOTHING, Past, Redo, Restore, Undo
from store.domain.observations.merging import EVIDENCE
from store.domain.observations.model import (
    GONE,
    Author,
    Claim,
    Document,
    Evidence,
    Flag,
    Observation,
    Priority,
    Status,
    Subject,
    approvable,
    fresh,
    replaced,
)
from store.domain.observations.notes import placed

__all__ = [
    "Add",
    "Change",
    "Drop",
    "Keep",
    "Merge",
    "Pin",
    "Quarantine",
    "Redo",
    "Resolve",
    "Restore",
    "Reword",
    "SetClaim",
    "SetPriority",
    "Split",
    "Undo",
    "apply_all",
    "takes_back",
]


@dataclass(frozen=True)
class Keep:
    """Approve an observation; one that was dropped, merged or split is there again."""

    id: str
    kind: Literal["keep"] = "keep"

    def apply(self, document: Document, past: Past = NOTHING) -> Document:
        o = _known(document, self.id)
        status = o.status if o.status is Status.EDITED else Status.KEPT
        return replaced(document, replace(o, status=status, merged_into=()))


@dataclass(frozen=True)
class Drop:
    """Take an observation out of the file. It stays known, so that it doesn't come back when it is found again."""

    id: str
    kind: Literal["drop"] = "drop"

    def apply(self, document: Document, past: Past = NOTHING) -> Document:
        o = _known(document, self.id)
        return document if o.status in GONE else replaced(document, replace(o, status=Status.DROPPED))


@dataclass(frozen=True)
class Pin:
    """Have it in every prompt, before everything else."""

    id: str
    kind: Literal["pin"] = "pin"

    def apply(self, document: Document, past: Past = NOTHING) -> Document:
        return replaced(document, replace(_known(document, self.id), status=Status.PINNED, merged_into=()))


@dataclass(frozen=True)
class Quarantine:
    """Have it in the file and in no prompt."""

    id: str
    kind: Literal["quarantine"] = "quarantine"

    def apply(self, document: Document, past: Past = NOTHING) -> Document:
        return replaced(document, replace(_known(document, self.id), status=Status.QUARANTINED, merged_into=()))


@dataclass(frozen=True)
class Reword:
    """Say it in other words, which are the person's. `excerpt` are the lines of its diff; None leaves them."""

    id: str
    text: str
    excerpt: tuple[str, ...] | None = None
    kind: Literal["reword"] = "reword"

    def apply(self, document: Document, past: Past = NOTHING) -> Document:
        o = _visible(document, self.id)
        excerpt = o.excerpt if self.excerpt is None else _lines(self.excerpt)
        return replaced(document, _edited(o, replace(o, text=_words(self.text), excerpt=excerpt)))


@dataclass(frozen=True)
class SetPriority:
    """Say how much it matters; the observer leaves that as it is from then on."""

    id: str
    priority: Priority
    kind: Literal["priority"] = "priority"

    def apply(self, document: Document, past: Past = NOTHING) -> Document:
        o = _visible(document, self.id)
        return replaced(document, _edited(o, replace(o, priority=self.priority)))


@dataclass(frozen=True)
class SetClaim:
    """Say what kind of lesson it is."""

    id: str
    claim: Claim
    kind: Literal["claim"] = "claim"

    def apply(self, document: Document, past: Past = NOTHING) -> Document:
        o = _visible(document, self.id)
        return replaced(document, _edited(o, replace(o, claim=self.claim)))


@dataclass(frozen=True)
class Add:
    """Write an observation of one's own. `evidence` is what it was seen in, whose attempts then support it."""

    text: str
    priority: Priority = Priority.POSSIBLE
    claim: Claim = Claim.FACT
    excerpt: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    kind: Literal["add"] = "add"

    def apply(self, document: Document, past: Past = NOTHING) -> Document:
        text, excerpt = _words(self.text), _lines(self.excerpt)
        name, mark = fresh(document.observations, text, excerpt)
        added = Observation(
            id=name,
            fingerprint=mark,
            subject=Subject.NOTE,
            priority=self.priority,
            claim=self.claim,
            text=text,
            excerpt=excerpt,
            evidence=self.evidence,
            attempts=tuple(sorted({e.subagent for e in self.evidence})),
            first=document.generation,
            last=document.generation,
            status=Status.KEPT,
            author=Author.OPERATOR,
        )
        return replace(document, observations=(*document.observations, added))


@dataclass(frozen=True)
class Merge:
    """Make one of several: `into`, by default the first, with the support and the evidence of all. `text` None puts
    their texts under each other; so it is with the excerpts. The others are dropped, and what is found for them later
    counts for this one."""

    ids: tuple[str, ...]
    into: str = ""
    text: str | None = None
    excerpt: tuple[str, ...] | None = None
    kind: Literal["merge"] = "merge"

    def apply(self, document: Document, past: Past = NOTHING) -> Document:
        names = list(dict.fromkeys(self.ids))
        into = self.into or next(iter(names), "")
        if into not in names:
            raise ValueError(f"{into} is none of those that are to be merged.")
        all_of = [_visible(document, name) for name in sorted(names, key=lambda name: name != into)]
        if len(all_of) < 2:
            raise ValueError("It takes two observations to merge.")
        whole, *others = all_of
        text = "\n\n".join(dict.fromkeys(o.text for o in all_of)) if self.text is None else _words(self.text)
        excerpts = dict.fromkeys(o.excerpt for o in all_of if o.excerpt)
        excerpt = tuple(line for one in excerpts for line in one) if self.excerpt is None else _lines(self.excerpt)
        attempts = {a for o in all_of for a in o.attempts}
        merged = replace(
            whole,
            text=text,
            excerpt=excerpt,
            priority=min((o.priority for o in all_of), key=list(Priority).index),
            status=_together(all_of, worded=self.text is not None),
            author=Author.OPERATOR,
            evidence=tuple(dict.fromkeys(e for o in all_of for e in o.evidence))[:EVIDENCE],
            attempts=tuple(sorted(attempts)),
            contradicted_by=tuple(sorted({a for o in all_of for a in o.contradicted_by} - attempts)),
            first=min(o.first for o in all_of),
            last=max(o.last for o in all_of),
            flags=tuple(flag for flag in Flag if any(flag in o.flags for o in all_of)),
            given_to=tuple(sorted({a for o in all_of for a in o.given_to})),
            cited_by=tuple(sorted({a for o in all_of for a in o.cited_by})),
        )
        document = replaced(document, merged)
        for o in others:
            document = replaced(document, replace(o, status=Status.DROPPED, merged_into=(into,)))
        return _with_notes_of({o.id for o in others}, into, document)


@dataclass(frozen=True)
class Split:
    """Make several of one, each with its support and evidence; the first has the excerpt. The one is dropped, and what
    is found for it later counts for all of them."""

    id: str
    texts: tuple[str, ...]
    kind: Literal["split"] = "split"

    def apply(self, document: Document, past: Past = NOTHING) -> Document:
        o = _visible(document, self.id)
        texts = list(dict.fromkeys(map(_words, self.texts)))
        if len(texts) < 2:
            raise ValueError("It takes two different texts to split an observation.")
        strong = o.status in (Status.PINNED, Status.QUARANTINED) or not approvable(o)
        status = o.status if strong else Status.EDITED
        parts: list[Observation] = []
        for text in texts:
            excerpt = () if parts else o.excerpt
            name, mark = fresh((*document.observations, *parts), text, excerpt)
            part = replace(o, id=name, fingerprint=mark, subject=Subject.NOTE, text=text, excerpt=excerpt)
            parts.append(replace(part, status=status, author=Author.OPERATOR))
        whole = replace(o, status=Status.DROPPED, merged_into=tuple(part.id for part in parts))
        there = (new for one in document.observations for new in ((*parts, whole) if one.id == o.id else (one,)))
        return _with_notes_of({o.id}, parts[-1].id, replace(document, observations=tuple(there)))


@dataclass(frozen=True)
class Resolve:
    """Settle a conflict: `take` puts the quoted side into the observation; either way the quote is gone. `field` is the
    one in conflict, and `value` which side of it when there are several."""

    id: str
    field: str
    take: bool = False
    value: str | None = None
    kind: Literal["resolve"] = "resolve"

    def apply(self, document: Document, past: Past = NOTHING) -> Document:
        mine = (c for c in conflicts(document) if (c.id, c.field) == (self.id, self.field))
        found = next((c for c in mine if self.value in (None, c.value)), None)
        if found is None:
            raise ValueError(f"There is no conflict about the {self.field} of {self.id}.")
        document = without(document, found)
        if not self.take:
            return document
        o = _known(document, self.id)
        if found.field == "status":
            return replaced(document, replace(o, status=Status(found.value)))
        taken = {
            "text": lambda: replace(o, text=_words(found.value)),
            "excerpt": lambda: replace(o, excerpt=_lines(found.value.split("\n"))),
            "claim": lambda: replace(o, claim=Claim(found.value)),
            "priority": lambda: replace(o, priority=Priority(found.value)),
        }
        return replaced(document, _edited(o, taken[found.field]()))


Change = (
    Keep
    | Drop
    | Pin
    | Quarantine
    | Reword
    | SetPriority
    | SetClaim
    | Add
    | Merge
    | Split
    | Resolve
    | Restore
    | Undo
    | Redo
)


def apply_all(document: Document, changes: Iterable[Change], past: Past = NOTHING) -> Document:
    """The document with all the changes, one after the other. ValueError, and nothing is changed, when one can't be
    made; an undo or a redo goes alone."""
    changes = tuple(changes)
    if len(changes) > 1 and any(isinstance(change, Undo | Redo) for change in changes):
        raise ValueError("An undo or a redo goes alone.")
    result = document
    for change in changes:
        result = change.apply(result, past)
    return document if result == document else replace(result, notes=placed(result))


def takes_back(changes: Sequence[Change], past: Past) -> int:
    """The version that these changes take back; 0 when they are changes of their own."""
    match changes:
        case (Undo(),):
            return next(iter(past.stacks().undo[-1:]), 0)
        case (Redo(),):
            return next(iter(past.stacks().redo[-1:]), 0)
    return 0


def _known(document: Document, name: str) -> Observation:
    found = next((o for o in document.observations if o.id == name), None)
    if found is None:
        raise ValueError(f"There is no observation {name}.")
    return found


def _visible(document: Document, name: str) -> Observation:
    found = _known(document, name)
    if found.status in GONE:
        raise ValueError(f"{name} is {found.status}: keep it first.")
    return found


def _edited(before: Observation, after: Observation) -> Observation:
    if before == after:
        return before
    weak = after.status in (Status.PROPOSED, Status.KEPT)
    worded = (before.text, before.excerpt) != (after.text, after.excerpt)
    edited = Status.EDITED if weak and (worded or approvable(before)) else after.status
    return replace(after, status=edited, author=Author.OPERATOR)


def _together(all_of: Sequence[Observation], *, worded: bool) -> Status:
    """The status of one made of several. What is quarantined isn't let out by that, and what is flagged not approved,
    unless it is in words of the person's own."""
    statuses = {o.status for o in all_of}
    if Status.QUARANTINED in statuses:
        return Status.QUARANTINED
    if not worded and not all(map(approvable, all_of)):
        return Status.PROPOSED
    return Status.PINNED if Status.PINNED in statuses else Status.EDITED


def _with_notes_of(gone: set[str], heir: str, document: Document) -> Document:
    notes = (replace(note, anchor=heir) if note.anchor in gone else note for note in document.notes)
    return replace(document, notes=tuple(notes))


def _words(text: str) -> str:
    """Words for the store. ValueError when there are none."""
    words = text.encode("utf-8", "replace").decode().replace("\r\n", "\n").strip()
    if not words:
        raise ValueError("An observation needs words.")
    return words


def _lines(lines: Iterable[str]) -> tuple[str, ...]:
    return tuple(line.encode("utf-8", "replace").decode() for text in lines for line in text.split("\n"))
