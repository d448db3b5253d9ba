"""What is written in the editor's field, and the changes that it means: one observation, several made one, one made
several, a new one. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from store.domain.observations import Claim, Document, Observation, Priority
from store.domain.observations import changes as do
from store.domain.observations.conflicts import Conflict
from store.domain.observations.text import safe_line_kept, split
from store.domain.secrets import shown

BETWEEN = "---"
"""The line between the parts of one that is split."""
_HEAD = re.compile(r"\s*\[(\w+)\]\s*(?:\(([^()\n]*)\)\s*)?")


class Kind(StrEnum):
    """What is written; the value is the word for it."""

    EDIT = "edit"
    ADD = "add"
    MERGE = "merge"
    SPLIT = "split"
    SETTLE = "settle"
    FILE = "file"


@dataclass(frozen=True)
class Draft:
    """A text that is being written: about which observations, from which version, and how it began."""

    kind: Kind
    ids: tuple[str, ...]
    base: int
    before: str
    conflict: Conflict | None = None
    """The one that is settled by it."""

    @property
    def title(self) -> str:
        """What it is, for the head of the field."""
        match self.kind:
            case Kind.EDIT:
                return f"editing {self.ids[0]}"
            case Kind.ADD:
                return "a new observation"
            case Kind.MERGE:
                return f"{', '.join(self.ids[1:])} into {self.ids[0]}"
            case Kind.SPLIT:
                return f"splitting {self.ids[0]}: a line of {BETWEEN} between the parts"
            case Kind.SETTLE:
                return f"both sides of {self.ids[0]}: leave what holds"
        return "editing observations.md"


def written(o: Observation) -> str:
    """An observation as the field has it: its text, and its diff as the file has it."""
    excerpt = [shown(safe_line_kept(line)) for line in o.excerpt]
    longest = max((len(run) for line in excerpt for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    block = f"\n\n{fence}diff\n" + "\n".join(excerpt) + f"\n{fence}" if excerpt else ""
    return shown(o.text) + block


def editing(document: Document, o: Observation) -> Draft:
    """A draft of other words for one."""
    return Draft(Kind.EDIT, (o.id,), document.version, written(o))


def adding(document: Document) -> Draft:
    """A draft of a new one."""
    return Draft(Kind.ADD, (), document.version, f"[{Priority.POSSIBLE}] ({Claim.FACT}) ")


def merging(document: Document, several: Sequence[Observation]) -> Draft:
    """A draft of one of several, the first of which stays. ValueError for fewer than two."""
    if len(several) < 2:
        raise ValueError("mark two observations or more that are to become one")
    texts = dict.fromkeys(map(written, several))
    return Draft(Kind.MERGE, tuple(o.id for o in several), document.version, "\n\n".join(texts))


def splitting(document: Document, o: Observation) -> Draft:
    """A draft of several of one. Its paragraphs are the parts to begin with."""
    parts = [part.strip() for part in re.split(r"\n\s*\n", shown(o.text)) if part.strip()]
    return Draft(Kind.SPLIT, (o.id,), document.version, f"\n{BETWEEN}\n".join(parts or [""]))


def settling(document: Document, o: Observation, conflict: Conflict) -> Draft:
    """A draft of words for both sides of a conflict, which settles it."""
    other = shown(conflict.value)
    if conflict.field == "excerpt":
        other = f"```diff\n{other}\n```"
    return Draft(Kind.SETTLE, (o.id,), document.version, f"{written(o)}\n\n{other}", conflict)


def changes(draft: Draft, text: str) -> tuple[do.Change, ...]:
    """What a text means; nothing where it is as it was, which for a merge is a change all the same. ValueError, with a
    sentence, for what can't be read."""
    same = text.strip() == draft.before.strip()
    match draft.kind:
        case Kind.EDIT:
            if same:
                return ()
            words, excerpt = _parts(text)
            return (do.Reword(draft.ids[0], words, None if excerpt == _parts(draft.before)[1] else excerpt),)
        case Kind.SETTLE if draft.conflict is not None:
            words, excerpt = _parts(text)
            one = draft.conflict
            return do.Resolve(one.id, one.field, False, one.value), do.Reword(one.id, words, excerpt)
        case Kind.MERGE:
            if same:
                return (do.Merge(draft.ids, draft.ids[0]),)
            words, excerpt = _parts(text)
            return (do.Merge(draft.ids, draft.ids[0], words, excerpt),)
        case Kind.SPLIT:
            texts = [part.strip() for part in re.split(rf"(?m)^\s*{BETWEEN}\s*$", text) if part.strip()]
            if len(texts) < 2:
                raise ValueError(f"put a line of {BETWEEN} between two parts or more")
            return (do.Split(draft.ids[0], tuple(texts)),)
        case Kind.ADD:
            return () if same or not text.strip() else (_added(text),)
    return ()


def _added(text: str) -> do.Add:
    priority, claim = Priority.POSSIBLE, Claim.FACT
    if found := _HEAD.match(text):
        if found[1].lower() not in set(Priority):
            raise ValueError(f"[{found[1]}] is no priority: {', '.join(Priority)}")
        priority, text = Priority(found[1].lower()), text[found.end() :]
        if found[2] is not None:
            if found[2].strip().lower() not in set(Claim):
                raise ValueError(f"({found[2]}) is no claim: {', '.join(Claim)}")
            claim = Claim(found[2].strip().lower())
    words, excerpt = _parts(text)
    if not words:
        raise ValueError("an observation needs words")
    return do.Add(words, priority, claim, excerpt)


def _parts(text: str) -> tuple[str, tuple[str, ...]]:
    """Words and excerpt. Several diffs, as a merge has them, are one."""
    words, excerpt, _ = split(text.strip("\n").split("\n"), ())
    while True:
        rest, more, _ = split(words.split("\n"), ())
        if not more:
            return words.strip(), excerpt
        # The last one is read first.
        words, excerpt = rest, (*more, *excerpt)
