"""Where a debugger stands: which repairs are in force, which help, which were tried, and what to try next."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import combinations

from backends.practice.model import memory
from backends.practice.model.conversation import UNCOUNTED, Story
from backends.practice.model.faults import Hypothesis
from backends.practice.model.hunks import Hunk, render
from backends.practice.model.ranking import ranked
from backends.practice.model.suspects import Suspects, suspects

_TOGETHER = 4
"""The most repairs in one file that are recognised together."""
_STUBBORN = 3
"""Failed edits of a file after which it is left alone."""
Hunks = frozenset[Hunk]
NOTHING: Hunks = frozenset()


@dataclass
class State:
    """Derived from a story once every file is read."""

    story: Story
    seed: int
    kept: Hunks = NOTHING
    best: int | None = None
    """What the check counted with `kept`; None before its first run."""
    tried: dict[str, int] = field(default_factory=dict)
    """Hypotheses tried on their own, and what the check counted with each."""
    combined: set[Hunks] = field(default_factory=set)
    """Every set of changes with which the check was run."""
    first: int | None = None

    def __post_init__(self) -> None:
        for checked in self.story.checks:
            self._count(checked.files, checked.count)

    @cached_property
    def suspects(self) -> Suspects:
        return suspects(self.story.base)

    @cached_property
    def lessons(self) -> memory.Lessons:
        text = next((t for title, t in self.story.brief.sections.items() if title.startswith("What earlier")), "")
        return memory.lessons(memory.items(text), self.suspects, "\n".join(self.story.recalled.values()))

    @cached_property
    def present(self) -> Hunks | None:
        """The changes in force now; None when a file is in a state that no repairs of ours lead to."""
        return self._recognise({path: self.story.now.get(path, "") for path in self.story.touched})

    @cached_property
    def foreign(self) -> list[str]:
        """Files in such a state."""
        return [p for p in sorted(self.story.touched) if self._recognise({p: self.story.now.get(p, "")}) is None]

    def next(self) -> tuple[Hypothesis, ...]:
        """What to try next: first all together that others found to help; () when nothing is left."""
        helped = tuple(each for each, _ in self.lessons.helped if not self._hopeless(each))
        for some in ([each for each in helped if each.id in self.lessons.fix], helped):
            if some and not self._counted_with(NOTHING.union(*(each.hunks for each in some))):
                return tuple(some)
        ruled_out = self.lessons.ruled_out
        done = {(each.fault, each.where) for each in self.in_force}
        order = [*helped, *ranked(self.suspects.hypotheses, self.story, self.seed)]
        for each in order:
            fresh = each.id not in self.tried and each.id not in ruled_out and (each.fault, each.where) not in done
            if fresh and not self._hopeless(each) and not each.hunks <= self.kept and not each.clashes(self.kept):
                return (each,)
        return ()

    @property
    def in_force(self) -> list[Hypothesis]:
        """The repairs that are kept."""
        return [each for each in self.suspects.hypotheses if each.hunks <= self.kept]

    @property
    def untried(self) -> int:
        """Hypotheses that neither this attempt nor, as far as it knows, an earlier one has tried."""
        kept = {each.id for each in self.in_force}
        known = {*self.tried, *self.lessons.ruled_out, *kept}
        return sum(each.id not in known for each in self.suspects.hypotheses)

    def _counted_with(self, hunks: Hunks) -> bool:
        return any(hunks <= each for each in self.combined)

    def _hopeless(self, each: Hypothesis) -> bool:
        return any(self.story.errors.get(path, 0) >= _STUBBORN for path in each.paths)

    def _count(self, files: Mapping[str, str], count: int) -> None:
        made = self._recognise(files)
        if made is None:
            return
        self.combined.add(made)
        if self.best is None or (made == self.kept and self.best == UNCOUNTED):
            self.best = count
            self.first = count if not made else self.first
            self.kept = made
            return
        new = made - self.kept
        for each in self.suspects.hypotheses:
            if new and each.hunks <= made and each.hunks - self.kept == new:
                self.tried[each.id] = count
        if count < self.best:
            self.kept, self.best = made, count

    def _recognise(self, files: Mapping[str, str]) -> Hunks | None:
        found = NOTHING
        for path, text in files.items():
            base = self.story.base.get(path)
            if base is None:
                return None
            made = _states(base, path, self.suspects.hypotheses).get(text)
            if made is None:
                return None
            found |= made
        return found


@lru_cache(maxsize=256)
def _states(base: str, path: str, hypotheses: tuple[Hypothesis, ...]) -> Mapping[str, Hunks]:
    """Every text of a file that a few repairs together lead to, and the changes that do."""
    sets = list({h: None for each in hypotheses if (h := frozenset(x for x in each.hunks if x.path == path))})
    single = sorted(NOTHING.union(*sets))
    whole = [NOTHING.union(*some) for many in range(_TOGETHER + 1) for some in combinations(sets, many)]
    # An edit that failed in the middle of a repair leaves a part of it.
    partial = [some | {one} for some in whole[: 1 + len(sets) + len(sets) * (len(sets) - 1) // 2] for one in single]
    found: dict[str, Hunks] = {}
    for hunks in (*whole, *partial):
        if not any(a.clashes(b) for a, b in combinations(hunks, 2)):
            found.setdefault(render(base, hunks), hunks)
    return found
