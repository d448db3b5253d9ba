"""What an attempt had changed at any moment, from its `read` and `edit` calls.

Of each file the pieces are followed that the tape shows: what a `read` printed, or else the text that an `edit`
replaced. Each is kept as it was at first and as it is now, so edits of one place fold together and an edit that is
taken back leaves nothing.
"""

import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from pathlib import PurePosixPath

from backends.observer.attempt import Step
from store.domain.observations import Subject, fingerprint

_NUMBERED = re.compile(r" *\d+\t")
_RANGE = re.compile(r"\(lines (\d+) to (\d+) of (\d+)\)")
_CAT = re.compile(r"(?:cat|sed -n ['\"]?\d+,\d+p['\"]?) ([\w./-]+)")
_DEFINITION = re.compile(
    r"(\s*)(?:(?:export|default|pub|public|private|protected|static|async|abstract|final|unsafe|override)\b\s*(?:\(\w+\))?\s*)*"
    r"(?:def|class|func|fn|function|impl|struct|trait|interface|module|object|enum)\b\s*\*?\s*(?:\([^)]*\)\s*)?([A-Za-z_$][\w$]*)"
)


Parts = Counter[tuple[str, ...]]
"""Each a path and lines that begin with "-" or "+"."""

_NAMED = 4
"""Files, and definitions in a file, that a text names."""
_MOVED = 20
"""Lines that something may be moved past and still be one change."""


@dataclass(frozen=True)
class Change:
    """A run of lines that was replaced in one place. `above` and `below` are the lines around it; `symbol` is the
    definition that it stands in; each "" where the tape doesn't show it."""

    path: str
    removed: tuple[str, ...]
    added: tuple[str, ...]
    above: str = ""
    below: str = ""
    symbol: str = ""

    def excerpt(self) -> list[str]:
        """Its lines as a diff has them, without the path; an insertion with the line above it, to say where."""
        around = [f"  {self.above}"] if not self.removed and self.above.strip() else []
        return [*around, *(f"- {line}" for line in self.removed), *(f"+ {line}" for line in self.added)]


@dataclass
class _Piece:
    """A part of a file: as it was, as it is."""

    before: str
    now: str
    whole: bool = False


@dataclass
class Workspace:
    """The files of one attempt as far as its tape shows them. `uncertain` says what made them unknown, "" while they
    are known."""

    root: str = ""
    uncertain: str = ""
    _pieces: dict[str, list[_Piece]] = field(default_factory=dict)
    _steps: dict[str, list[Step]] = field(default_factory=dict)

    def path(self, step: Step) -> str:
        """The file that a tool call names, from the root of the workspace."""
        return self._within(step.argument("path") or ".")

    def read(self, step: Step) -> None:
        """Take in what a `read` shows."""
        if step.result is None or not step.ok:
            return
        head, _, rest = step.result.text.partition("\n")
        span = _RANGE.fullmatch(head)
        lines = (rest if span else step.result.text).split("\n")
        if lines[-1].startswith("… "):
            # What was left out for its size is in the range that the head names no more.
            lines.pop()
        if not all(_NUMBERED.match(line) for line in lines):
            return
        text = "\n".join(_NUMBERED.sub("", line, count=1).removesuffix("\r") for line in lines)
        whole = span is not None and span[1] == "1" and span[2] == span[3]
        self._learn(self.path(step), text, whole=whole)

    def shown(self, step: Step) -> None:
        """Take in what a command printed of a file."""
        ran = step.ran
        match = _CAT.fullmatch(step.argument("command").strip())
        if match and ran is not None and ran.exit_code == 0 and ran.output and "bytes left out" not in ran.output:
            self._learn(self._within(match[1]), ran.output.removesuffix("\n"), whole=False)

    def edit(self, step: Step) -> None:
        """Take in an `edit` that was carried out."""
        path, old, new = self.path(step), step.argument("old"), step.argument("new")
        self._steps.setdefault(path, []).append(step)
        pieces = self._pieces.setdefault(path, [])
        if not old:
            self._pieces[path] = [_Piece("", new, whole=True)]
            return
        hit = [piece for piece in pieces if piece.now.count(old) == 1]
        for piece in hit:
            piece.now = piece.now.replace(old, new, 1)
        if not hit:
            before = old
            for piece in [p for p in pieces if p.now and old.count(p.now) == 1]:
                before = before.replace(piece.now, piece.before, 1)
                pieces.remove(piece)
            pieces.append(_Piece(before, new))

    def changes(self) -> tuple[Change, ...]:
        """All that is changed now, file by file."""
        pieces = ((path, piece) for path in sorted(self._pieces) for piece in self._pieces[path])
        return tuple(dict.fromkeys(c for path, piece in pieces for c in _differences(path, piece.before, piece.now)))

    def step(self, change: Change) -> Step | None:
        """The edit behind a change: the last one that wrote it."""
        there = self._steps.get(change.path, [])
        lines = [line.strip() for line in change.added or change.removed if line.strip()]
        side = "new" if change.added else "old"
        wrote = [step for step in there if any(line in step.argument(side) for line in lines)]
        return next(reversed(wrote or there), None)

    def _within(self, path: str) -> str:
        path, root = posixpath.normpath(path), self.root.rstrip("/")
        return path.removeprefix(f"{root}/") if root else path

    def _learn(self, path: str, text: str, *, whole: bool) -> None:
        pieces = self._pieces.get(path, [])
        if whole and any(piece.whole and piece.now.removesuffix("\n") != text for piece in pieces):
            self.uncertain = self.uncertain or f"`{path}` was changed by something else than an edit"
        if any(text in piece.now for piece in pieces):
            return
        before, kept = text, []
        for piece in pieces:
            if piece.now and before.count(piece.now) == 1:
                before = before.replace(piece.now, piece.before, 1)
            elif piece.now != piece.before:
                # What was changed is not wholly in what is shown: the pieces known so far say more.
                return
            else:
                kept.append(piece)
        self._pieces[path] = [*kept, _Piece(before, text, whole)]


def parts(changes: Iterable[Change]) -> Parts:
    """Changes as the smallest pieces that stand for themselves, so that one set of changes can be held against another
    even where edits of the one stand right beside edits of the other. Empty lines don't count."""
    return Counter(part for change in changes for part, _ in _parts(change))


def without(changes: Iterable[Change], known: Parts) -> tuple[Change, ...]:
    """What is left of changes when some of their parts are taken away."""
    left = Counter(known)
    remaining = []
    for change in changes:
        removed: list[str] = []
        added: list[str] = []
        for part, (old, new) in _parts(change):
            if left[part] > 0:
                left[part] -= 1
            else:
                removed += old
                added += new
        if removed or added:
            remaining.append(replace(change, removed=tuple(removed), added=tuple(added)))
    return tuple(remaining)


def _parts(change: Change) -> Iterator[tuple[tuple[str, ...], tuple[Sequence[str], Sequence[str]]]]:
    """The pieces of a change: what only goes in or only goes out, and lines replaced one for one, by lines; any other
    change whole."""
    removed = [line for line in change.removed if line.strip()]
    added = [line for line in change.added if line.strip()]
    if not removed:
        pairs: list[tuple[list[str], list[str]]] = [([], [line]) for line in added]
    elif not added:
        pairs = [([line], []) for line in removed]
    elif len(removed) == len(added):
        pairs = [([old], [new]) for old, new in zip(removed, added, strict=True)]
    else:
        pairs = [(list(change.removed), list(change.added))]
    for old, new in pairs:
        yield (change.path, *(f"-{line.rstrip()}" for line in old), *(f"+{line.rstrip()}" for line in new)), (old, new)


def mark(changes: Sequence[Change]) -> str:
    """The same for the same set of changes, whoever made them. Insertions are told apart by their neighbours."""
    words: list[str] = []
    for change in sorted(changes, key=lambda change: change.path):
        words.append(f"@{change.path}")
        words += [f"-{line.rstrip()}" for line in change.removed if line.strip()]
        words += [f"+{line.rstrip()}" for line in change.added if line.strip()]
    if not any(change.removed for change in changes):
        words += [change.above.strip() or change.below.strip() for change in changes]
    return fingerprint(Subject.EDITS, *words)


def places(changes: Sequence[Change]) -> str:
    """Where changes are, in words."""
    by_path: dict[str, dict[str, None]] = {}
    for change in changes:
        by_path.setdefault(change.path, {}).setdefault(change.symbol)
    named = []
    for path, symbols in by_path.items():
        names = [path, *(symbol for symbol in symbols if symbol)]
        named.append(", ".join(f"`{name.replace('`', chr(39))}`" for name in names[: _NAMED + 1]))
    if len(named) > _NAMED:
        named = [*named[:_NAMED], f"{len(named) - _NAMED} more files"]
    return " and ".join(part for part in ("; ".join(named[:-1]), named[-1]) if part)


def excerpt(changes: Sequence[Change]) -> tuple[str, ...]:
    """Changes as the lines of an observation's excerpt."""
    lines: list[str] = []
    path = ""
    for change in changes:
        if change.path != path:
            path = change.path
            lines.append(f"@ {path}")
        lines += change.excerpt()
    return tuple(lines)


def patch_changes(patch: str) -> tuple[Change, ...]:
    """The changes of a Git patch."""
    found: list[Change] = []
    path = symbol = above = ""
    removed: list[str] = []
    added: list[str] = []
    left = [0, 0]

    def finish() -> None:
        if removed or added:
            found.append(Change(path, tuple(removed), tuple(added), above, symbol=symbol))
        removed.clear()
        added.clear()

    for line in patch.split("\n"):
        if left[0] > 0 or left[1] > 0:
            mark, text = line[:1], line[1:]
            if mark == "-":
                removed.append(text)
            elif mark == "+":
                added.append(text)
            elif mark != "\\":
                finish()
                above = text
            left[0] -= mark in ("-", " ", "")
            left[1] -= mark in ("+", " ", "")
            continue
        finish()
        if match := re.match(r"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@ ?(.*)", line):
            left = [int(match[1] or 1), int(match[2] or 1)]
            above = ""
            defined = _DEFINITION.match(match[3])
            symbol = defined[2] if defined else ""
        elif line.startswith(("+++ ", "--- ")) and (name := line[4:].split("\t")[0].strip('"')) != "/dev/null":
            path = PurePosixPath(*PurePosixPath(name).parts[1:]).as_posix()
    finish()
    return tuple(found)


def _differences(path: str, before: str, now: str) -> Iterator[Change]:
    if before == now:
        return
    old, new = (text.removesuffix("\n").split("\n") if text else [] for text in (before, now))
    same = 0
    while same < min(len(old), len(new)) and old[same] == new[same]:
        same += 1
    tail = 0
    while tail < min(len(old), len(new)) - same and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    for a, b, c, d in _runs(old[same : len(old) - tail], new[same : len(new) - tail]):
        a, b, c, d = a + same, b + same, c + same, d + same
        above, below = new[c - 1] if c else "", new[d] if d < len(new) else ""
        yield Change(path, tuple(old[a:b]), tuple(new[c:d]), above, below, _symbol(new, c - (c == d)))


def _runs(old: list[str], new: list[str]) -> Iterator[tuple[int, int, int, int]]:
    """The runs of lines that differ. Lines that were moved a little way are one run with what they were moved past."""
    opcodes = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    runs = [(a, b, c, d) for tag, a, b, c, d in opcodes if tag != "equal"]
    at = 0
    while at < len(runs):
        a, b, c, d = runs[at]
        for last in range(len(runs) - 1, at, -1):
            e, f, g, h = runs[last]
            if e - b <= _MOVED and (_words(old[a:b]) & _words(new[g:h]) or _words(new[c:d]) & _words(old[e:f])):
                at, b, d = last, f, h
                break
        yield a, b, c, d
        at += 1


def _words(lines: Sequence[str]) -> set[str]:
    return {line.strip() for line in lines} - {""}


def _symbol(lines: Sequence[str], at: int) -> str:
    """The dotted name of the definitions around a line, by their indentation."""
    names: list[str] = []
    first = next((line for line in lines[max(at, 0) :] if line.strip()), "")
    width = len(first) - len(first.lstrip())
    definition = _DEFINITION.match(first)
    if definition:
        names.append(definition[2])
    for line in reversed(lines[: max(at, 0)]):
        if not line.strip() or line.lstrip()[0] in ")]}":
            continue
        indent = len(line) - len(line.lstrip())
        if indent < width and (match := _DEFINITION.match(line)):
            names.append(match[2])
        width = min(width, indent)
        if width == 0:
            break
    return ".".join(reversed(names))
