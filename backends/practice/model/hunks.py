"""Changes to lines of a file, and the calls of the `edit` tool that make them or take them back."""

from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, order=True)
class Hunk:
    """Lines of the file as it was first read, replaced by others. `first` counts from 0; with nothing `removed` the
    lines are put in before it."""

    path: str
    first: int
    removed: tuple[str, ...]
    added: tuple[str, ...]

    @property
    def end(self) -> int:
        return self.first + len(self.removed)

    def clashes(self, other: "Hunk") -> bool:
        """Whether the two can't both be made. Two insertions in one place can; and a hunk never clashes with itself."""
        if self.path != other.path or self == other:
            return False
        if not self.removed and not other.removed:
            return False
        return self.first < other.end and other.first < self.end


@dataclass(frozen=True)
class Edit:
    """One call of the tool: `old` occurs exactly once in the file before it, `new` exactly once after it."""

    path: str
    old: str
    new: str


@lru_cache(maxsize=4096)
def render(base: str, hunks: frozenset[Hunk]) -> str:
    """The file with the hunks made; they must not clash."""
    lines = base.split("\n")
    for hunk in sorted(hunks, reverse=True):
        lines[hunk.first : hunk.end] = hunk.added
    return "\n".join(lines)


def edits(path: str, base: str, present: frozenset[Hunk], wanted: frozenset[Hunk]) -> list[Edit]:
    """What leads from one state of a file to another, a call for each hunk: taken back first, then made."""
    found: list[Edit] = []
    state = present
    for hunk in sorted(present - wanted, reverse=True):
        found.append(edit(path, render(base, state), render(base, state - {hunk})))
        state -= {hunk}
    for hunk in sorted(wanted - present):
        found.append(edit(path, render(base, state), render(base, state | {hunk})))
        state |= {hunk}
    return found


def once(text: str, piece: str) -> bool:
    """Whether the piece stands there exactly once, overlaps counted."""
    at = text.find(piece)
    return at >= 0 and text.find(piece, at + 1) < 0


def edit(path: str, before: str, after: str) -> Edit:
    """One call that makes the one text of the other: the lines that differ, and as many around them as it takes for
    both the old and the new ones to occur once."""
    old, new = before.split("\n"), after.split("\n")
    shorter = min(len(old), len(new))
    top = next((i for i in range(shorter) if old[i] != new[i]), shorter)
    tail = next((i for i in range(shorter - top) if old[-1 - i] != new[-1 - i]), shorter - top)
    above = True
    while True:
        was, becomes = "\n".join(old[top : len(old) - tail]), "\n".join(new[top : len(new) - tail])
        if was.strip() and becomes.strip() and once(before, was) and once(after, becomes):
            return Edit(path, was, becomes)
        if top == 0 and tail == 0:
            return Edit(path, before, after)
        if (above or tail == 0) and top > 0:
            top -= 1
        else:
            tail -= 1
        above = not above
