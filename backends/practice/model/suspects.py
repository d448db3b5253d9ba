"""Everything that the scripted model suspects in some files."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache

from backends.practice.model import budgets, lifetimes, retries, shared
from backends.practice.model.faults import Hypothesis
from backends.practice.model.hunks import render
from backends.practice.model.source import parse

_DETECTORS = (
    shared.races,
    shared.private_locks,
    shared.counters,
    shared.wide_locks,
    retries.suspects,
    lifetimes.leaks,
    lifetimes.forgotten,
    lifetimes.swallowed,
    lifetimes.gathers,
    lifetimes.disordered,
)

Lines = frozenset[str]


@dataclass(frozen=True)
class Change:
    """The lines that a repair takes out of a file and puts in, white space folded. There is more than one way to say
    that a line has moved, so there may be several."""

    ways: tuple[tuple[Lines, Lines], ...]

    @property
    def removed(self) -> Lines:
        return frozenset[str]().union(*(removed for removed, _ in self.ways))

    @property
    def added(self) -> Lines:
        return frozenset[str]().union(*(added for _, added in self.ways))


@dataclass(frozen=True)
class Suspects:
    """Hypotheses, and what each changes by its id and path."""

    hypotheses: tuple[Hypothesis, ...]
    changes: Mapping[str, Mapping[str, Change]]


def suspects(files: Mapping[str, str]) -> Suspects:
    """Suspects and repairs in the files, by path; always the same for the same files."""
    return _suspects(tuple(sorted(files.items())))


@lru_cache(maxsize=16)
def _suspects(files: tuple[tuple[str, str], ...]) -> Suspects:
    parsed = [module for path, text in files if path.endswith(".py") and (module := parse(path, text))]
    modules = [module for module in parsed if not module.program]
    functions = [function for module in modules for function in module.functions]
    found = [each for function in functions for detect in _DETECTORS for each in detect(function)]
    found += budgets.suspects(modules)
    texts = dict(files)
    hypotheses = tuple({each.id: each for each in found}.values())
    return Suspects(hypotheses, {h.id: {path: _change(texts[path], h, path) for path in h.paths} for h in hypotheses})


def _change(base: str, hypothesis: Hypothesis, path: str) -> Change:
    hunks = [hunk for hunk in hypothesis.hunks if hunk.path == path]
    plain = _folded(hunk.removed for hunk in hunks), _folded(hunk.added for hunk in hunks)
    old, new = base.split("\n"), render(base, frozenset(hunks)).split("\n")
    differing = [op for op in SequenceMatcher(None, old, new, autojunk=False).get_opcodes() if op[0] != "equal"]
    shown = _folded(old[a:b] for _, a, b, _, _ in differing), _folded(new[c:d] for _, _, _, c, d in differing)
    return Change(tuple(dict.fromkeys((plain, shown))))


def _folded(parts: Iterable[Sequence[str]]) -> Lines:
    return frozenset(folded for part in parts for line in part if (folded := fold(line)))


def fold(text: str) -> str:
    """White space as one space."""
    return " ".join(text.split())
