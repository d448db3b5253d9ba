"""The operator's own lines in `observations.md`: where each stands."""

from store.domain.observations.model import GONE, Document, Note, Priority

TOP = "top"


def end(priority: Priority) -> str:
    """The anchor of notes after everything under a heading."""
    return f"end {priority}"


def placed(document: Document) -> tuple[Note, ...]:
    """The notes where the file shows them, one for each place: one whose observation is out of the file moves to what
    stands above it."""
    visible = {o.id for o in document.observations if o.status not in GONE}
    fixed = {TOP, *Priority, *map(end, Priority)}
    kept: dict[str, list[str]] = {}
    for note in document.notes:
        there = note.anchor in visible or note.anchor in fixed
        kept.setdefault(note.anchor if there else _above(document, note.anchor, visible), []).append(note.text)
    return tuple(Note(anchor, "\n\n".join(texts)) for anchor, texts in kept.items())


def _above(document: Document, anchor: str, visible: set[str]) -> str:
    """The observation above one that is gone, under the same heading, or the heading."""
    place = next((at for at, o in enumerate(document.observations) if o.id == anchor), None)
    if place is None:
        return TOP
    priority = document.observations[place].priority
    above = (o.id for o in reversed(document.observations[:place]) if o.priority is priority and o.id in visible)
    return next(above, priority)
