"""Where two edits of one thing disagree: one stands in the item, the other beside it in a quote, until a person has
chosen. The quote is one of the file's notes, so it is resolved in any editor: take what you want, delete the quote."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from store.domain.observations.model import Document, Note
from store.domain.safe_text import safe, safe_line

FIELDS = ("text", "excerpt", "claim", "priority", "status")
"""What can be in conflict."""

_HEADER = re.compile(rf"> \*\*Conflict\*\* \((o-[0-9a-z]{{4,32}}) · ({'|'.join(FIELDS)})\): (.*) Take what you .*")
_FENCE = "~~~~~~"


@dataclass(frozen=True)
class Conflict:
    """The other side of a disagreement about an observation's `field`: `value` is what it has there, as the file writes
    it, and `said` whose it is, as a sentence."""

    id: str
    field: str
    value: str
    said: str


def quoted(conflict: Conflict) -> str:
    """The conflict as the file has it."""
    lines = safe(conflict.value).split("\n")
    if conflict.field == "excerpt":
        lines = [f"{_FENCE}diff", *lines, _FENCE]
    said = safe_line(conflict.said)
    head = (
        f"> **Conflict** ({conflict.id} · {conflict.field}): {said} Take what you want of it, then delete this quote."
    )
    return "\n".join([head, ">", *(f"> {line}" if line else ">" for line in lines)])


def conflicts(document: Document) -> tuple[Conflict, ...]:
    """Those that nobody has resolved yet, in the order of the notes."""
    return tuple(found for note in document.notes for found, _ in _read(note.text) if found is not None)


def with_conflicts(document: Document, found: tuple[Conflict, ...]) -> Document:
    """The document with these beside their observations; those that are there already once."""
    notes = list(document.notes)
    for conflict in found:
        if conflict in conflicts(replace(document, notes=tuple(notes))):
            continue
        place = next((at for at, note in enumerate(notes) if note.anchor == conflict.id), None)
        if place is None:
            notes.append(Note(conflict.id, quoted(conflict)))
        else:
            notes[place] = replace(notes[place], text=f"{quoted(conflict)}\n\n{notes[place].text}")
    return replace(document, notes=tuple(notes))


def without(document: Document, conflict: Conflict) -> Document:
    """The document without the quote of a conflict."""
    notes: list[Note] = []
    for note in document.notes:
        kept = "\n".join(line for found, lines in _read(note.text) if found != conflict for line in lines).strip("\n")
        if kept.strip():
            notes.append(replace(note, text=kept))
    return replace(document, notes=tuple(notes))


def _read(text: str) -> Iterator[tuple[Conflict | None, list[str]]]:
    """A note's lines, quote by quote; None for those that are no conflict."""
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        found = _HEADER.fullmatch(lines[at])
        if found is None:
            yield None, [lines[at]]
            at += 1
            continue
        stop = at + 1
        while stop < len(lines) and lines[stop].startswith(">") and not _HEADER.fullmatch(lines[stop]):
            stop += 1
        body = [line[2:] if line.startswith("> ") else line[1:] for line in lines[at + 1 : stop]]
        if body and not body[0]:
            del body[0]
        if found[2] == "excerpt":
            body = [line for line in body if not line.startswith(_FENCE)]
        yield Conflict(found[1], found[2], "\n".join(body), found[3]), lines[at:stop]
        at = stop
