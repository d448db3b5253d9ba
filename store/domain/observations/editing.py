"""What a person changed in `observations.md` becomes a change of the document, item by item."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from store.domain.observations.model import (
    GONE,
    Author,
    Claim,
    Document,
    Note,
    Observation,
    Priority,
    Status,
    Subject,
    approvable,
    fresh_beside,
)
from store.domain.observations.notes import TOP, end
from store.domain.observations.text import (
    NEW,
    Item,
    Sheet,
    evidence_line,
    evidence_lines,
    looks_generated,
    parse,
    render,
    render_item,
    safe_line_kept,
    split,
)
from store.domain.safe_text import safe

T = TypeVar("T")


def apply_edit(document: Document, base: str, text: str) -> Document:
    """The document with what was changed from `base`, the text of some version of it, to `text`.

    What the edit left alone stays as the document has it now, also when `base` is older. A reworded item keeps its id
    and becomes the operator's; a bullet without an id is a new observation of theirs; an item that is gone is dropped;
    one under another heading has that priority; lines that the grammar doesn't know stay where they are.
    """
    before, after = parse(base), parse(text)
    if before == after:
        return document
    was = {item.id: item for item in before.items if item.id}
    now = {o.id: o for o in document.observations}
    written: dict[str, Observation] = {}
    anchors: dict[str, str] = {}
    taken, marks = set(now), {o.fingerprint for o in document.observations}
    seen: set[Item] = set()
    for place, item in enumerate(after.items):
        if item.id and item in seen:
            continue
        seen.add(item)
        if item.id and item.id not in now and item == was.get(item.id):
            # It was left alone, and is gone meanwhile.
            continue
        known = now.get(item.id) if item.id not in written else None
        changed: Observation | None
        if known is None:
            changed = _added(item, document, taken, marks)
        elif item == was.get(item.id):
            changed = known
        else:
            changed = _changed(known, was.get(item.id), item, document.run)
        if changed is not None:
            taken.add(changed.id)
            marks.add(changed.fingerprint)
            written[changed.id] = changed
            anchors[f"{NEW}{place}"] = changed.id
    dropped = {name for name in was if name not in written}
    rest = [_drop(o) if o.id in dropped else o for o in document.observations if o.id not in written]
    result = replace(document, observations=(*written.values(), *rest))
    return _as_read(replace(result, notes=_notes(result, _as_read(document).notes, before, after, anchors)))


def _as_read(document: Document) -> Document:
    """The document with its notes as they are read from its file, where one may run on into the next."""
    return replace(document, notes=parse(render(document)).notes)


def _drop(observation: Observation) -> Observation:
    return observation if observation.status in GONE else replace(observation, status=Status.DROPPED)


def _added(item: Item, document: Document, taken: set[str], marks: set[str]) -> Observation | None:
    """A new observation of the operator's, beside these ids and fingerprints; None for one that says nothing."""
    text, excerpt, _ = split(item.lines, ())
    text = _with_unknown(item, text)
    if not text and not excerpt:
        return None
    name, mark = fresh_beside(taken, marks, text, excerpt)
    return Observation(
        id=item.id if item.id and item.id not in taken else name,
        fingerprint=mark,
        subject=Subject.NOTE,
        priority=item.priority or Priority.POSSIBLE,
        claim=item.claim or Claim.FACT,
        text=text,
        excerpt=excerpt,
        first=document.generation,
        last=document.generation,
        status=item.status if item.status and item.status not in GONE else Status.KEPT,
        author=Author.OPERATOR,
    )


def _changed(known: Observation, was: Item | None, item: Item, run: str) -> Observation | None:
    """The observation as the operator left it."""
    old_lines = was.lines if was is not None else ()
    own = {*safe(known.text).split("\n"), *map(safe_line_kept, known.excerpt)}
    shown = evidence_lines(known, run)
    # As it was written then: who measured otherwise may have changed since.
    shown += [line for line in old_lines if looks_generated(line) and line not in own]
    text, excerpt, there = split(item.lines, shown)
    text = _with_unknown(item, text)
    if not text and not excerpt:
        return None
    old_text, old_excerpt, _ = split(old_lines, shown)
    struck = {line for line in shown if line in old_lines} - set(there)
    same_text, same_excerpt = (
        was is not None and one == old for one, old in ((text, old_text), (excerpt, old_excerpt))
    )
    if not (same_text and same_excerpt) and not _well_read(known, run):
        # What is read as its excerpt is part of its text, or the other way round: either would be lost.
        same_text = same_excerpt = False
    result = replace(
        known,
        priority=_ours(item.priority, was.priority if was else None, known.priority),
        claim=_ours(item.claim, was.claim if was else None, known.claim),
        text=known.text if same_text else text,
        excerpt=known.excerpt if same_excerpt else excerpt,
        evidence=tuple(e for e in known.evidence if evidence_line(e, known, run) not in struck),
    )
    changed = replace(result, evidence=known.evidence) != known
    worded = (result.text, result.excerpt) != (known.text, known.excerpt)
    status = _status(known, was, item, reworded=worded or (changed and approvable(known)))
    return replace(result, status=status, author=Author.OPERATOR if changed else known.author)


def _well_read(known: Observation, run: str) -> bool:
    """Whether its excerpt is read as that from what is written of it; its text may have a diff of its own."""
    (item,) = parse(render_item(known, run)).items
    return split(item.lines, ())[1] == tuple(map(safe_line_kept, known.excerpt))


def _ours(new: T | None, old: T | None, now: T) -> T:
    """What the operator chose, or what the document has when they left it alone."""
    return now if new is None or new == old else new


def _status(known: Observation, was: Item | None, item: Item, *, reworded: bool) -> Status:
    word, before = item.status, was.status if was is not None else None
    if word is not None and word != before:
        return word
    if word is None and before is not None:
        return Status.KEPT
    if known.status in GONE:
        # Pasted back.
        return Status.EDITED if reworded else Status.KEPT
    return Status.EDITED if reworded and known.status in (Status.PROPOSED, Status.KEPT) else known.status


def _with_unknown(item: Item, text: str) -> str:
    """Nothing that was written is lost: what the head has and shouldn't goes in front of the text."""
    text = text.strip()
    return f"({', '.join(item.unknown)}) {text}".strip() if item.unknown else text


def _notes(
    document: Document, there: Sequence[Note], before: Sheet, after: Sheet, anchors: dict[str, str]
) -> tuple[Note, ...]:
    """The notes as the edit has them, with those that were `there` and came into the document since. A note whose item
    is gone moves to what stood above it."""
    if before.notes == after.notes:
        mine = list(there)
    else:
        since = [note for note in there if note not in before.notes and note not in after.notes]
        mine = [*after.notes, *since]
    if after.summary not in ("", before.summary):
        mine.insert(0, Note(TOP, after.summary))
    visible = {o.id for o in document.observations if o.status not in GONE}
    kept: dict[str, list[str]] = {}
    for note in mine:
        anchor = anchors.get(note.anchor, note.anchor)
        if anchor not in visible and anchor not in (TOP, *Priority, *map(end, Priority)):
            anchor = _above(anchor, before, visible)
        kept.setdefault(anchor, []).append(note.text)
    return tuple(Note(anchor, "\n\n".join(texts)) for anchor, texts in kept.items())


def _above(anchor: str, before: Sheet, visible: set[str]) -> str:
    """What stood above an item that is gone: the next one up under its heading, or the heading."""
    place = next((at for at, item in enumerate(before.items) if item.id == anchor), None)
    if place is None:
        return TOP
    gone = before.items[place]
    above = (item.id for item in reversed(before.items[:place]) if item.priority == gone.priority)
    return next((name for name in above if name in visible), gone.priority or TOP)
