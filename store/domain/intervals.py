"""How far a few attempts can be trusted: intervals of 95 % for shares, for differences of shares, and for shifts.

Attempts are compared within strata (a generation of a run), never across them: later generations solve more and cost
something else, whatever they were told.

Sources. One share: Wilson's score interval with a correction for continuity; Newcombe, Statistics in Medicine 17
(1998) 857, method 4. The difference of two: Newcombe, Statistics in Medicine 17 (1998) 873, method 11. Without the
correction (method 10) four of four against none of one would already count as sure, which happens by chance once in
five times. Over strata: the weights of Mantel and Haenszel, J. Natl. Cancer Inst. 22 (1959) 719, and the limits at the
effective sizes that they give, after Yan and Su, Stat. Biopharm. Res. 2 (2010) 329. A shift of costs: Hodges and
Lehmann, Ann. Math. Stat. 34 (1963) 598, with the exact distribution of Mann and Whitney's U, the strata's U added up.
Chance: Fisher's exact test, with twice the smaller tail, over strata as Birch has it, J. R. Stat. Soc. B 27 (1965) 111.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import comb, sqrt
from statistics import median

Z = 1.959963984540054
"""The normal distribution's 97.5th percentile: two sides of 2.5 % make 95 %."""
TAIL = 0.025

_EXACT = 400
"""Pairs up to which U is counted out; beyond it is as good as normal."""


@dataclass(frozen=True)
class Interval:
    """From `low` to `high`, both inside."""

    low: float
    high: float


@dataclass(frozen=True)
class Count:
    """So many solved of so many lanes."""

    solved: int
    lanes: int

    def __add__(self, other: "Count") -> "Count":
        return Count(self.solved + other.solved, self.lanes + other.lanes)

    @property
    def share(self) -> float | None:
        """Solved of all; None of none."""
        return self.solved / self.lanes if self.lanes else None


@dataclass(frozen=True)
class Difference:
    """One share less another, from -1 to 1, with its interval. `chance` is how often lots drawn
    over the same lanes would part the solved ones as unevenly."""

    estimate: float
    interval: Interval
    chance: float

    @property
    def sure(self) -> bool:
        """The interval leaves little doubt about the direction."""
        return self.interval.low > 0 or self.interval.high < 0


@dataclass(frozen=True)
class Shift:
    """By how much values of one sort lie above those of the other, in their own unit. `interval` is None where there
    are so few that no interval of 95 % exists: three against one can't show anything at that level."""

    estimate: float
    interval: Interval | None


def wilson(share: float, size: float) -> Interval:
    """Wilson's interval of a share that was seen on `size` attempts, with his correction for continuity; an effective
    size need not be whole."""
    if size <= 0:
        return Interval(0.0, 1.0)
    return Interval(_lowest(share, size), 1.0 - _lowest(1.0 - share, size))


def _lowest(share: float, size: float) -> float:
    if share <= 0:
        return 0.0
    root = Z * Z - 2 - 1 / size + 4 * share * (size * (1 - share) + 1)
    low = (2 * size * share + Z * Z - 1 - Z * sqrt(max(root, 0.0))) / (2 * (size + Z * Z))
    return min(max(low, 0.0), share)


def difference(strata: Iterable[tuple[Count, Count]]) -> Difference | None:
    """The share of the first sort less that of the second, within strata; None where no stratum has both sorts.

    With one lane on a side the interval by itself is too narrow: while the exact test finds that chance does as much
    more often than once in twenty times, it reaches to 0."""
    both = [(one, other) for one, other in strata if one.lanes and other.lanes]
    if not both:
        return None
    raw = [one.lanes * other.lanes / (one.lanes + other.lanes) for one, other in both]
    weights = [weight / sum(raw) for weight in raw]
    first, first_interval = _weighted(weights, [one for one, _ in both])
    second, second_interval = _weighted(weights, [other for _, other in both])
    estimate = first - second
    down = sqrt((first - first_interval.low) ** 2 + (second_interval.high - second) ** 2)
    up = sqrt((first_interval.high - first) ** 2 + (second - second_interval.low) ** 2)
    low, high, chance = max(estimate - down, -1.0), min(estimate + up, 1.0), _chance(both)
    if chance > 2 * TAIL:
        low, high = min(low, 0.0), max(high, 0.0)
    return Difference(estimate, Interval(low, high), chance)


def _chance(strata: Sequence[tuple[Count, Count]]) -> float:
    """The exact test on two sides: of all ways to deal out the solved lanes, the share that is as uneven."""
    ways = [1]
    for one, other in strata:
        solved = one.solved + other.solved
        ways = _product(ways, [comb(one.lanes, k) * comb(other.lanes, solved - k) for k in range(solved + 1)])
    seen = sum(one.solved for one, _ in strata)
    return min(2 * min(sum(ways[: seen + 1]), sum(ways[seen:])) / sum(ways), 1.0)


def _weighted(weights: Sequence[float], counts: Sequence[Count]) -> tuple[float, Interval]:
    share = sum(weight * one.solved / one.lanes for weight, one in zip(weights, counts, strict=True))
    size = 1 / sum(weight * weight / one.lanes for weight, one in zip(weights, counts, strict=True))
    share = min(max(share, 0.0), 1.0)
    return share, wilson(share, size)


def by_chance(found: Difference) -> str:
    """How often pure chance does as much: `in 1 of 9 draws`."""
    chance = found.chance
    if chance >= 0.95:
        return "in every draw"
    if chance > 0.35:
        return f"in {max(round(10 * chance), 4)} of 10 draws"
    return "in fewer than 1 of 1,000 draws" if chance < 0.001 else f"in 1 of {round(1 / chance):,} draws"


def shift(strata: Iterable[tuple[Sequence[float], Sequence[float]]]) -> Shift | None:
    """By how much values of the first sort lie above those of the second, within strata: the median of all differences
    between the two sorts. None where no stratum has both."""
    both = [(one, other) for one, other in strata if one and other]
    gaps = sorted(a - b for one, other in both for a in one for b in other)
    if not gaps:
        return None
    cut = _cut([(len(one), len(other)) for one, other in both])
    interval = Interval(gaps[cut - 1], gaps[len(gaps) - cut]) if cut else None
    return Shift(median(gaps), interval)


def _cut(sizes: Sequence[tuple[int, int]]) -> int:
    """The rank from either end, from 1, of the ordered differences that bound the interval; 0 where none may."""
    pairs = sum(m * n for m, n in sizes)
    if pairs > _EXACT:
        spread = sqrt(sum(m * n * (m + n + 1) / 12 for m, n in sizes))
        return max(int(pairs / 2 - Z * spread), 0)
    ways = [1]
    for m, n in sizes:
        ways = _product(ways, _ways(m, n))
    total, below = sum(ways), 0
    for cut, count in enumerate(ways):
        below += count
        if below > TAIL * total:
            return cut
    return 0


def _ways(m: int, n: int) -> list[int]:
    """In how many orders of m and n values U is 0, 1, …: the coefficients of the Gaussian binomial (m + n over n)."""
    ways = [1] + [0] * (m * n)
    for k in range(1, n + 1):
        for at in range(m * n, m + k - 1, -1):
            ways[at] -= ways[at - m - k]
        for at in range(k, m * n + 1):
            ways[at] += ways[at - k]
    return ways


def _product(one: Sequence[int], other: Sequence[int]) -> list[int]:
    result = [0] * (len(one) + len(other) - 1)
    for i, a in enumerate(one):
        for j, b in enumerate(other):
            result[i + j] += a * b
    return result
