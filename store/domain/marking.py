"""Where the words of a query stand in a text, and that place in its context.

Words are what the full-text index takes for words: letters and digits in a row, in any case and with any accents.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from store.domain.secrets import mask

if TYPE_CHECKING:
    from store.domain.query import Term

Mark = tuple[int, int]
"""From and to, in code points."""

READ = 2_000_000
"""Code points of a text that are looked through for what is marked in it."""
AROUND = 8_000
"""Code points on each side of a place that its secrets are hidden in: they may have several lines."""
LINE = 240
"""Code points of a line that are kept, around what matched."""

_WORD = re.compile(r"[^\W_]+")
_SAYS = re.compile(r"\w")


@dataclass(frozen=True)
class Excerpt:
    """A line with what matched in it, and the lines around it. Secrets are hidden; controls are as they were."""

    line: str
    marks: tuple[Mark, ...] = ()
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


def fold(text: str) -> str:
    """The text in lower case and without accents, as long as it was."""
    return text.lower() if text.isascii() else "".join(map(_folded, text))


@lru_cache(4096)
def _folded(character: str) -> str:
    plain = unicodedata.normalize("NFD", character.lower())[:1]
    return plain or character


def tokens(text: str) -> list[str]:
    """The words of a text, folded."""
    return _WORD.findall(fold(text))


def spans(text: str, terms: "Sequence[Term]") -> list[Mark]:
    """Where any of the terms stand."""
    pattern = _pattern(tuple(terms))
    return [match.span() for match in pattern.finditer(fold(text[:READ]))] if pattern else []


def has_all(texts: Iterable[str], terms: "Sequence[Term]") -> bool:
    """Whether each of the terms stands in one of the texts."""
    left = list(terms)
    for text in texts:
        if left:
            folded = fold(text[:READ])
            left = [term for term in left if not ((found := _pattern((term,))) and found.search(folded))]
    return not left


@lru_cache(64)
def _pattern(terms: "tuple[Term, ...]") -> re.Pattern[str] | None:
    kinds = []
    for term in terms:
        if words := tokens(term.text):
            end = "" if term.begins else r"(?![^\W_])"
            kinds.append(r"(?<![^\W_])" + r"[\W_]+".join(map(re.escape, words)) + end)
    # The longest first, or a phrase's first word would be marked in its place.
    return re.compile("|".join(sorted(kinds, key=len, reverse=True))) if kinds else None


def excerpt(text: str, marks: Sequence[Mark], *, around: int = 2, at: int = 0) -> Excerpt:
    """The line with the most matches, and so many lines around it; without a match the first line from `at` on that
    says something."""
    start, end = _best(text, marks) if marks else _telling(text, at)
    left = max(start - AROUND, 0)
    window = mask(text[left : end + AROUND])
    start, end = start - left, end - left
    first = window.rfind("\n", 0, start) + 1
    stop = window.find("\n", first)
    stop = len(window) if stop < 0 else stop
    inside = [(max(a - left, first), min(b - left, stop)) for a, b in marks if first <= a - left < stop]
    line, moved = _cut(window[first:stop], [(a - first, b - first) for a, b in inside])
    before = window[:first].split("\n")[:-1]
    after = window[stop + 1 :].split("\n") if stop < len(window) else []
    return Excerpt(line, tuple(moved), tuple(_short(before[-around:])), tuple(_short(after[:around])))


def _best(text: str, marks: Sequence[Mark]) -> Mark:
    counts: dict[int, list[Mark]] = {}
    for mark in marks:
        counts.setdefault(text.rfind("\n", 0, mark[0]), []).append(mark)
    return max(counts.values(), key=len)[0]


def _telling(text: str, at: int) -> Mark:
    found = _SAYS.search(text, at)
    start = found.start() if found else 0
    return start, start


def _cut(line: str, marks: Sequence[Mark]) -> tuple[str, list[Mark]]:
    """The line without what is far from its first match."""
    start = marks[0][0] if marks else 0
    left = 0 if len(line) <= LINE else max(0, min(start - LINE // 3, len(line) - LINE))
    lead = len(line[left:]) - len(line[left:].lstrip()) if left else 0
    left += lead
    kept = line[left : left + LINE]
    head, tail = "…" if left else "", "…" if left + LINE < len(line) else ""
    by = len(head) - left
    moved = [(a + by, min(b + by, len(head) + len(kept))) for a, b in marks if a < left + LINE]
    return head + kept + tail, moved


def _short(lines: Sequence[str]) -> list[str]:
    return [line if len(line) <= LINE else line[: LINE - 1] + "…" for line in lines]
