"""Intervals, held against published figures and against counting everything out."""

from itertools import combinations
from math import comb
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.domain.intervals import Count, Interval, _ways, difference, shift, wilson

counts = st.integers(0, 12).flatmap(lambda lanes: st.builds(Count, st.integers(0, lanes), st.just(lanes)))
values = st.lists(st.floats(0.0, 100.0, allow_nan=False), max_size=8)


@pytest.mark.parametrize(
    ("solved", "of", "low", "high"),
    [(81, 263, 0.2535, 0.3682), (15, 148, 0.0598, 0.1644), (0, 20, 0.0, 0.2005), (1, 29, 0.0018, 0.1963)],
)
def test_one_share_as_newcombe_tabulates_it(solved: int, of: int, low: float, high: float) -> None:
    """Newcombe, Statistics in Medicine 17 (1998) 857, table I, method 4."""
    found = wilson(solved / of, of)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


@pytest.mark.parametrize(
    ("one", "other", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0428, 0.3422),
        ((9, 10), (3, 10), 0.1013, 0.8387),
        ((6, 7), (2, 7), -0.0290, 0.8423),
        ((5, 56), (0, 29), -0.0667, 0.2037),
        ((0, 10), (0, 20), -0.2005, 0.3445),
        ((0, 10), (0, 10), -0.3445, 0.3445),
        ((10, 10), (0, 20), 0.6014, 1.0),
        ((10, 10), (0, 10), 0.5128, 1.0),
    ],
)
def test_a_difference_as_newcombe_tabulates_it(
    one: tuple[int, int], other: tuple[int, int], low: float, high: float
) -> None:
    """Statistics in Medicine 17 (1998) 873, table II, method 11."""
    found = difference([(Count(*one), Count(*other))])
    assert found is not None
    assert (round(found.interval.low, 4), round(found.interval.high, 4)) == (low, high)


def test_five_subagents_prove_nothing() -> None:
    """The best that one generation of four lanes and a control can show."""
    found = difference([(Count(4, 4), Count(0, 1))])
    assert found is not None
    assert found.estimate == 1.0
    assert not found.sure
    nothing = shift([([1.0, 2.0, 3.0, 4.0], [9.0])])
    assert nothing is not None and nothing.interval is None
    assert found.chance == pytest.approx(0.4)


def test_over_several_generations_it_adds_up() -> None:
    once = (Count(3, 4), Count(0, 1))
    widths = []
    for times in (1, 4, 16):
        found = difference([once] * times)
        assert found is not None
        assert found.estimate == pytest.approx(0.75)
        widths.append(found.interval.high - found.interval.low)
    assert widths[0] > widths[1] > widths[2]
    enough = difference([once] * 16)
    assert enough is not None and enough.sure


def test_strata_are_not_mixed() -> None:
    """Nothing helps in either generation; taken together, without their strata, it would seem to."""
    early, late = (Count(0, 1), Count(0, 8)), (Count(8, 8), Count(1, 1))
    found = difference([early, late])
    assert found is not None
    assert found.estimate == 0.0
    mixed = difference([(early[0] + late[0], early[1] + late[1])])
    assert mixed is not None and mixed.estimate > 0.7


@pytest.mark.parametrize(("one", "other"), [(n, m) for n in range(1, 45) for m in range(1, 6)])
def test_all_against_none_is_sure_only_where_chance_hardly_does_it(one: int, other: int) -> None:
    """Fisher's exact test on one side: that the solved ones are all of one sort, by lot."""
    found = difference([(Count(one, one), Count(0, other))])
    assert found is not None
    assert found.chance == pytest.approx(min(2 / comb(one + other, one), 1.0))
    assert found.sure == (found.chance <= 0.05)


@given(st.lists(st.tuples(counts, counts), max_size=6))
def test_a_difference_is_inside_its_interval_and_turns_round(strata: list[tuple[Count, Count]]) -> None:
    found = difference(strata)
    turned = difference([(other, one) for one, other in strata])
    if found is None or turned is None:
        assert found is turned is None
        assert all(not one.lanes or not other.lanes for one, other in strata)
        return
    assert -1.0 <= found.interval.low <= found.estimate + 1e-9
    assert found.estimate <= found.interval.high + 1e-9 <= 1.0 + 2e-9
    assert turned.estimate == pytest.approx(-found.estimate)
    assert turned.interval.low == pytest.approx(-found.interval.high)


@pytest.mark.parametrize(("m", "n"), [(1, 1), (3, 1), (4, 3), (5, 4)])
def test_u_is_counted_out(m: int, n: int) -> None:
    ways = [0] * (m * n + 1)
    for places in combinations(range(m + n), n):
        ways[sum(place - rank for rank, place in enumerate(places))] += 1
    assert _ways(m, n) == ways
    assert sum(_ways(m, n)) == comb(m + n, n)


def test_a_shift_as_tables_have_it() -> None:
    """With 5 and 5 values the critical U at 5 % on two sides is 2, so the third differences from both ends bound it."""
    one, other = [1.1, 2.2, 3.3, 4.4, 5.5], [0.05, 0.15, 0.25, 0.35, 0.45]
    gaps = sorted(a - b for a in one for b in other)
    found = shift([(one, other)])
    assert found is not None
    assert found.interval == Interval(gaps[2], gaps[-3])
    few = shift([([1.0, 2.0, 3.0], [4.0, 5.0, 6.0])])
    assert few is not None and few.interval is None
    four = shift([([1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.5])])
    assert four is not None and four.interval == Interval(-7.5, -1.0)


def test_many_values_are_bounded_as_few_are() -> None:
    one = [float(value) for value in range(100, 160)]
    other = [float(value) for value in range(60)]
    found = shift([(one, other)])
    assert found is not None and found.interval is not None
    assert found.estimate == 100.0
    assert 90 < found.interval.low < 100 < found.interval.high < 110


@settings(max_examples=60)
@given(st.lists(st.tuples(values, values), max_size=4))
def test_a_shift_is_inside_its_interval(strata: list[tuple[list[float], list[float]]]) -> None:
    found = shift(strata)
    assert (found is None) == all(not one or not other for one, other in strata)
    if found is not None and found.interval is not None:
        assert found.interval.low <= found.estimate <= found.interval.high


@pytest.mark.parametrize("gain", [0.0, 0.2, -0.4])
def test_what_is_true_is_inside_as_often_as_is_said(gain: float) -> None:
    """Runs in which a probe stands beside three lanes, in generations that solve ever more."""
    random = Random(11)
    outside = wrong = 0
    runs = 400
    for _ in range(runs):
        strata = []
        for chance in (0.4, 0.4, 0.5, 0.5, 0.6, 0.6, 0.5, 0.4):
            given = sum(random.random() < chance + gain for _ in range(3))
            strata.append((Count(given, 3), Count(random.random() < chance, 1)))
        found = difference(strata)
        assert found is not None
        outside += not found.interval.low <= gain <= found.interval.high
        wrong += found.sure and (found.estimate > 0) is not (gain > 0)
    assert outside <= runs * 0.05
    # Less than one side of what is left, also where nothing does anything.
    assert wrong <= runs * 0.025
