"""What earlier attempts learned, read as text, and held against the hypotheses about the code at hand."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from backends.practice.model.faults import Hypothesis
from backends.practice.model.suspects import Change, Suspects, fold

_HEAD = re.compile(r"\s{0,3}- \[(\w+)\] \((o-[0-9a-z]+) · ([^·)]+)")
_FIX = "fix"
_HELPED, _RULED_OUT = (_FIX, "half-working fix"), ("failed attempt", "worse", "dead end")
_EXCERPT = 5
"""Spaces that an excerpt is indented by at least."""


@dataclass
class Item:
    """One observation with an edit: lines taken out and put in by path, white space folded; `cut` when the text leaves
    some out."""

    id: str
    claim: str
    removed: dict[str, list[str]] = field(default_factory=dict)
    added: dict[str, list[str]] = field(default_factory=dict)
    cut: bool = False

    @property
    def helped(self) -> bool:
        return self.claim in _HELPED

    @property
    def ruled_out(self) -> bool:
        return self.claim in _RULED_OUT

    @property
    def paths(self) -> set[str]:
        return {*self.removed, *self.added}

    @property
    def query(self) -> str:
        """What to search the tapes for to see the whole of it."""
        path = min(self.added or self.removed, default="")
        lines = self.added.get(path) or self.removed.get(path) or [""]
        return f"{path} {max(lines[:3], key=len)}".strip()[:120]


@dataclass(frozen=True)
class Lessons:
    """Hypotheses that others have tried, with the observation that says so."""

    helped: tuple[tuple[Hypothesis, str], ...]
    ruled_out: Mapping[str, str]
    """By the hypothesis's id."""
    fix: tuple[str, ...] = ()
    """Those that together made the check pass; () when none is known to have."""


def items(text: str) -> list[Item]:
    """The observations in a prompt that show an edit."""
    found: list[Item] = []
    path = ""
    for line in text.split("\n"):
        head = _HEAD.match(line)
        if head:
            found.append(Item(head[2], head[3].strip()))
            path = ""
            continue
        body = line.strip()
        if not found or len(line) - len(line.lstrip()) < _EXCERPT or not body:
            continue
        if body.startswith("@ "):
            path = body[2:].strip()
        elif body.startswith("…"):
            found[-1].cut = True
        elif body[0] in "+-" and path and fold(body[1:]):
            side = found[-1].added if body[0] == "+" else found[-1].removed
            side.setdefault(path, []).append(fold(body[1:]))
    return [item for item in found if item.paths]


def lessons(found: Sequence[Item], suspects: Suspects, recalled: str) -> Lessons:
    """Which hypotheses the observations are about. `recalled` is what recall showed of edits that are cut here."""
    whole = fold(recalled.replace("\\n", " ").replace('\\"', '"'))
    about = [(item, _matching(item, suspects, whole)) for item in found]
    alone = {each[0].id for item, each in about if item.helped and len(each) == 1}
    ruled_out = {each[0].id: item.id for item, each in reversed(about) if item.ruled_out and len(each) == 1}
    ruled_out = {key: value for key, value in ruled_out.items() if key not in alone}
    helped: dict[str, tuple[Hypothesis, str]] = {}
    for item, matching in about:
        for each in matching if item.helped else ():
            others = [hunk for other, _ in helped.values() for hunk in other.hunks]
            if each.id not in ruled_out and not each.clashes(others):
                helped.setdefault(each.id, (each, item.id))
    whole_fix = next((tuple(each.id for each in m) for item, m in about if item.claim == _FIX and len(m) > 1), ())
    return Lessons(tuple(helped.values()), ruled_out, whole_fix)


def _matching(item: Item, suspects: Suspects, whole: str) -> list[Hypothesis]:
    """The hypotheses whose edits the item shows: those that explain most of its lines, as far as they go together."""
    ranked = []
    for each in suspects.hypotheses:
        changes = suspects.changes[each.id]
        shown = [path for path in changes if path in item.paths]
        complete = len(shown) == len(changes) and all(_holds(item, path, changes[path]) for path in shown)
        partly = item.cut and shown and all(_belongs(item, path, changes[path]) for path in shown)
        if complete or partly:
            lines = [line for change in changes.values() for line in change.added]
            explained = sum(_explained(item, path, changes[path]) for path in shown)
            ranked.append((explained, sum(line in whole for line in lines), complete, each.fitness, each))
    ranked.sort(key=lambda entry: entry[:4], reverse=True)
    chosen: list[Hypothesis] = []
    for _, _, complete, _, each in ranked:
        # What is cut can show the beginning of one edit only.
        if (complete or not chosen) and not each.clashes(hunk for other in chosen for hunk in other.hunks):
            chosen.append(each)
    return chosen


def _holds(item: Item, path: str, change: Change) -> bool:
    """Whether the item shows all of the change."""
    removed, added = item.removed.get(path, ()), item.added.get(path, ())
    return any(_within(r, removed) and _within(a, added) for r, a in change.ways)


def _belongs(item: Item, path: str, change: Change) -> bool:
    """Whether all that the item shows of the file is a part of the change."""
    return _within(change.removed, item.removed.get(path, ()), turned=True) and _within(
        change.added, item.added.get(path, ()), turned=True
    )


def _explained(item: Item, path: str, change: Change) -> int:
    removed, added = item.removed.get(path, ()), item.added.get(path, ())
    return len(set(removed) & set(change.removed)) + len(set(added) & set(change.added))


def _within(lines: Iterable[str], shown: Iterable[str], *, turned: bool = False) -> bool:
    """Whether each line is among the shown ones, or the other way round; a shown one may be cut short."""
    ours, theirs = set(lines), set(shown)
    if turned:
        return all(each in ours or any(_same(line, each) for line in ours) for each in theirs)
    return all(line in theirs or any(_same(line, each) for each in theirs) for line in ours)


def _same(line: str, shown: str) -> bool:
    return shown.endswith("…") and line.startswith(shown[:-1])
