"""`observations.md`: how a document is written down, and how such a text is read. The grammar is in
`docs/observations.md`.

Reading never fails and never loses a line: what is no title, heading or item is a note.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from store.domain.observations.model import (
    GONE,
    Claim,
    Document,
    Evidence,
    Note,
    Observation,
    Priority,
    Status,
    live,
    support,
)
from store.domain.observations.notes import TOP, end, placed
from store.domain.safe_text import safe, safe_line

TITLE = "# Observations"
NEW = "item "
"""With an item's place in the sheet, the anchor of notes after an item that has no id of its own yet."""
QUOTED = 120
"""Characters of a quote that the file shows."""
SHOWN = 4
"""Spans of evidence that the file shows; the store has them all."""

_SUMMARY = re.compile(r"Version (\d+), after generation \d+ of run \S+: .*\.")
_HEADING = re.compile(r"#{1,6} +\[?(important|possible|informational)\]? *#*", re.IGNORECASE)
_BULLET = re.compile(r"[-*+] +(?=\S)")
_HEAD = re.compile(r"\((o-[0-9a-z]{4,32})((?: · [^·()\n]*)*)\) ?")
_ITEM = re.compile(rf"{_BULLET.pattern}{_HEAD.pattern}")
_LINE_END = re.compile(r"\r*\n")
_FENCE = re.compile(r" *(`{3,}|~{3,})")
_DIFF = re.compile(r"(`{3,}|~{3,}) *diff *")
_EVIDENCE = re.compile(r"- (?:[\w.]+(?: turn \d+)?, call [^“]*: “.*”|and \d+ more on the tapes)")
_GENERATED = re.compile(
    r"(?:1 attempt|seen in \d+ attempts)(?:, \d+ measured otherwise)?(?:, a model's words)?"
    r"|from the (?:observer|model|operator)|flagged [a-z, ]+"
)


@dataclass(frozen=True)
class Item:
    """One item as the file has it. `id` is "" for a new one; `priority` is None outside the three headings; `words` are
    those of its head; `lines` is the rest, without the indentation."""

    id: str
    priority: Priority | None
    words: tuple[str, ...]
    lines: tuple[str, ...]

    @property
    def claim(self) -> Claim | None:
        """The claim that its head names."""
        return next((Claim(word) for word in self.words if word in set(Claim)), None)

    @property
    def status(self) -> Status | None:
        """The status that its head names."""
        return next((Status(word) for word in self.words if word in set(Status)), None)

    @property
    def unknown(self) -> tuple[str, ...]:
        """Words of its head that the grammar doesn't know."""
        known = {*Claim, *Status}
        return tuple(word for word in self.words if word not in known and not _GENERATED.fullmatch(word))


@dataclass(frozen=True)
class Sheet:
    """A text, read. `summary` is the line under the title, and `version` what it says of the document that the text was
    written from; "" and None when it isn't there."""

    summary: str = ""
    version: int | None = None
    items: tuple[Item, ...] = ()
    notes: tuple[Note, ...] = ()


def render(document: Document) -> str:
    """The document as Markdown. Dropped and expired observations are not in it."""
    notes = {note.anchor: note.text for note in placed(document)}
    blocks = [TITLE, summary(document), notes.get(TOP, "")]
    for priority in Priority:
        blocks += [f"## [{priority}]", notes.get(priority, "")]
        for observation in document.observations:
            if observation.priority is priority and observation.status not in GONE:
                blocks += [render_item(observation, document.run), notes.get(observation.id, "")]
        blocks.append(notes.get(end(priority), ""))
    return "\n\n".join(block for block in blocks if block) + "\n"


def summary(document: Document) -> str:
    """The line under the title."""
    known = live(document)
    counts = ", ".join(f"{sum(o.priority is p for o in known)} {p}" for p in Priority)
    return f"Version {document.version}, after generation {document.generation} of run {document.run}: {counts}."


def render_item(observation: Observation, run: str) -> str:
    """One item: head, text, excerpt, evidence."""
    o = observation
    words = [o.id, o.claim, support(o)]
    if o.status is not Status.PROPOSED:
        words.append(o.status)
    if o.flags:
        words.append("flagged " + ", ".join(o.flags))
    lines = safe(f"({' · '.join(words)}) {o.text}").split("\n")
    if o.excerpt:
        excerpt = [safe_line_kept(line) for line in o.excerpt]
        longest = max((len(run) for line in excerpt for run in re.findall("`+", line)), default=0)
        fence = "`" * max(3, longest + 1)
        lines += ["", f"{fence}diff", *excerpt, fence]
    if o.evidence:
        lines += ["", *evidence_lines(o, run)]
    return "\n".join([f"- {lines[0]}", *(f"  {line}" if line else "" for line in lines[1:])])


def safe_line_kept(line: str) -> str:
    """One line that stays one, its spaces kept."""
    return safe(line).replace("\n", "␊")


def evidence_lines(observation: Observation, run: str) -> list[str]:
    """Its evidence, a line a span: who, when, and what the tape says there."""
    lines = [evidence_line(e, observation, run) for e in observation.evidence[:SHOWN]]
    if (more := len(observation.evidence) - SHOWN) > 0:
        lines.append(f"- and {more} more on the tapes")
    return list(dict.fromkeys(lines))


def evidence_line(evidence: Evidence, observation: Observation, run: str) -> str:
    """One span as the file shows it."""
    subagent = evidence.subagent
    who = subagent.label if subagent.run == run else str(subagent)
    turn = f" turn {evidence.turn}" if evidence.turn else ""
    against = ", measured otherwise" if subagent in observation.contradicted_by else ""
    return f"- {who}{turn}, call {safe_line(evidence.call)}{against}: “{safe_line(evidence.quote, QUOTED)}”"


def looks_generated(line: str) -> bool:
    """Whether a line has the form of those that `evidence_lines` writes."""
    return _EVIDENCE.fullmatch(line) is not None


@dataclass
class _Reading:
    """Where the reader stands."""

    priority: Priority | None = None
    inside: bool = False
    """Under one of the three headings, and no other heading since."""
    anchor: str = TOP
    items: list[Item] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    notes: dict[str, list[str]] = field(default_factory=dict)

    def note(self, line: str) -> None:
        if self.anchor not in self.notes and self.anchor not in (TOP, *Priority):
            # Indented, it would be read as a part of the item above.
            line = line.lstrip()
        if line.startswith("#") and self.anchor != TOP:
            # What stands under a heading of the operator's own stays under it, so it goes behind the observations.
            self.inside = False
            self.anchor = end(self.priority) if self.priority else TOP
        self.notes.setdefault(self.anchor, []).append(line)


def parse(text: str) -> Sheet:
    """Read a text that somebody may have edited."""
    lines = _LINE_END.split(text)
    reading, fences = _Reading(), _Fences(lines)
    summary, version = "", None
    at = 0
    while at < len(lines):
        line = lines[at]
        found = _SUMMARY.fullmatch(line)
        if found and not summary:
            summary, version = line, int(found[1])
        elif line == TITLE and reading.anchor == TOP and TOP not in reading.notes:
            pass
        elif heading := _HEADING.fullmatch(line.rstrip()):
            reading.priority = Priority(heading[1].lower())
            reading.inside, reading.anchor = True, reading.priority
        elif (bullet := _BULLET.match(line)) and (reading.inside or _HEAD.match(line, bullet.end())):
            stop = _item_end(lines, at, fences, summary=not summary)
            own = lines[at:stop]
            if not summary and (moved := next(filter(None, map(_SUMMARY.fullmatch, own)), None)):
                # It was moved into the item, whose lines go on behind it.
                summary, version = moved[0], int(moved[1])
                own.remove(summary)
            item = _item(own, bullet.end(), reading.priority if reading.inside else None)
            reading.items.append(item)
            if reading.inside:
                again = item.id in reading.ids
                reading.anchor = f"{NEW}{len(reading.items) - 1}" if again or not item.id else item.id
            reading.ids.add(item.id)
            at = stop
            continue
        elif _FENCE.match(line):
            stop = fences.end(at)
            reading.note(line)
            reading.notes[reading.anchor] += lines[at + 1 : stop]
            at = stop
            continue
        elif line.strip() or reading.anchor in reading.notes:
            reading.note(line)
        at += 1
    notes = ((anchor, "\n".join(kept).strip("\n")) for anchor, kept in reading.notes.items())
    return Sheet(
        summary, version, tuple(reading.items), tuple(Note(anchor, kept) for anchor, kept in notes if kept.strip())
    )


def split(lines: Sequence[str], evidence: Sequence[str]) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """An item's lines as text, excerpt, and those of the given evidence lines that are there. The excerpt is the last
    block of a diff: it is written behind the text, which may have others."""
    shown = set(evidence)
    there = tuple(line for line in lines if line in shown)
    kept = [line for line in lines if line not in shown]
    fences = _Fences(kept)
    found: tuple[int, int] | None = None
    at = 0
    while at < len(kept):
        opening = _DIFF.fullmatch(kept[at].rstrip())
        stop = fences.end(at) if opening else at
        if opening and stop - at >= 2 and _closes(kept[stop - 1], opening[1]):
            found = at, stop
        at = max(stop, at + 1)
    if found is None:
        return "\n".join(kept).strip("\n"), (), there
    start, stop = found
    text = ("\n".join(lines).strip("\n") for lines in (kept[:start], kept[stop:]))
    return "\n\n".join(filter(None, text)), tuple(kept[start + 1 : stop - 1]), there


def _item(lines: Sequence[str], start: int, priority: Priority | None) -> Item:
    first = lines[0][start:]
    head = _HEAD.match(first)
    name = ""
    words: tuple[str, ...] = ()
    if head:
        name = head[1]
        words = tuple(word.strip() for word in head[2].split(" · ") if word.strip())
        first = first[head.end() :]
    rest = [line[2:] if line.startswith("  ") else line.lstrip(" ") for line in lines[1:]]
    body = [first, *rest]
    while body and not body[-1].strip():
        body.pop()
    return Item(name, priority, words, tuple(body))


def _item_end(lines: Sequence[str], at: int, fences: "_Fences", *, summary: bool) -> int:
    """Where the item that begins here ends: its lines are indented, or follow on without a blank line. The first
    `summary` may stand between them."""
    stop = at = at + 1
    while at < len(lines):
        line = lines[at]
        if line.startswith(("  ", "\t")) and line.strip():
            stop = at = fences.end(at, indented=True) if _FENCE.match(line) else at + 1
        elif not line.strip():
            at += 1
        elif summary and _SUMMARY.fullmatch(line):
            at, summary = at + 1, False
        elif stop == at and not (line.startswith("#") or _BULLET.match(line) or _FENCE.match(line)):
            stop = at = at + 1
        else:
            break
    return stop


class _Fences:
    """Where the fences of these lines end, in time that grows with their number."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = lines
        self._open: dict[tuple[str, bool], int] = {}
        """For a mark, a line before which nothing closes it."""

    def end(self, at: int, *, indented: bool = False) -> int:
        """The line after the fence that opens here; after this line alone when it is never closed."""
        opening = _FENCE.match(self._lines[at])
        mark = opening[1] if opening is not None else ""
        if at < self._open.get((mark, indented), 0):
            return at + 1
        stop = at + 1
        while stop < len(self._lines):
            line = self._lines[stop]
            if indented and line.strip() and not line.startswith("  "):
                break
            if not indented and (_HEADING.fullmatch(line.rstrip()) or _SUMMARY.fullmatch(line) or _ITEM.match(line)):
                # Somebody forgot to close it.
                break
            if _closes(line, mark):
                return stop + 1
            stop += 1
        self._open[mark, indented] = stop
        return at + 1


def _closes(line: str, mark: str) -> bool:
    """Whether a line ends what a mark such as ``` opened."""
    line = line.strip()
    return bool(mark) and len(line) >= len(mark) and set(line) == {mark[0]}
