"""Who is told what, drawn by lot."""

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from backends.harness.lots import dealt
from store.domain.observations import Claim, Document, Observation, Priority, Status, Subject, select
from store.domain.strategy import LanePlan, Strategy

CAP = 3000


def observation(number: int, **more: object) -> Observation:
    plain = Observation(f"o-{number:04x}", f"{number:032x}", Subject.EDITS, Priority.IMPORTANT, Claim.HALF, "A lesson.")
    return replace(plain, **more)  # type: ignore[arg-type]


def document(count: int) -> Document:
    return Document("one", 3, 1, tuple(map(observation, range(count))))


def plans(lanes: int, clean: int = 1) -> list[LanePlan]:
    first_clean = lanes - clean + 1
    return [LanePlan(n, Strategy("s", "a"), n >= first_clean, f"Lane {n}.") for n in range(1, lanes + 1)]


def told(plan: LanePlan, known: Document) -> set[str]:
    return set(select(known, CAP, plan.without).ids)


def test_one_of_four_lanes_is_not_told_one_observation() -> None:
    known = document(7)
    made = dealt(plans(5), known, CAP, seed=1, generation=2)
    (probe,) = [plan for plan in made if plan.without]
    (name,) = probe.without
    assert not probe.clean
    assert probe.why == f"Lane {probe.lane}. To compare, by lot, it is not told {name}, one of 7 observations."
    assert told(probe, known) | {name} == {o.id for o in known.observations}
    assert [replace(plan, without=(), why="") for plan in made] == [replace(plan, why="") for plan in plans(5)]


def test_nothing_comes_in_the_place_of_what_a_lane_is_not_told() -> None:
    """Otherwise what fills the room would be told only to lanes that lack something, and look as if it did harm."""
    known = document(9)
    cap = select(known, CAP).tokens // 2
    whole = select(known, cap)
    assert 2 <= len(whole.ids) < 9
    (probe,) = [plan for plan in dealt(plans(5), known, cap, seed=1, generation=2) if plan.without]
    part = select(known, cap, probe.without)
    assert part.ids == tuple(name for name in whole.ids if name not in probe.without)
    assert part.tokens < whole.tokens
    assert all(name in part.text for name in part.ids)
    assert not any(name in part.text for name in probe.without)


def test_where_there_are_more_probes_each_lacks_another() -> None:
    made = dealt(plans(14, clean=2), document(10), CAP, seed=1, generation=2)
    lacking = [plan.without for plan in made if plan.without]
    assert [len(one) for one in lacking] == [1, 1, 1]
    assert len(set(lacking)) == 3


def test_what_was_kept_from_fewest_lanes_comes_first() -> None:
    kept: Counter[str] = Counter()
    for generation in range(12):
        made = dealt(plans(5), document(6), CAP, seed=1, generation=generation, before=kept)
        kept.update(name for plan in made for name in plan.without)
    assert set(kept.values()) == {2}


def test_few_lanes_and_few_observations_are_left_alone() -> None:
    for lanes, known in ((4, document(9)), (5, document(1)), (5, document(0)), (5, None)):
        assert dealt(plans(lanes), known, CAP, seed=1, generation=2) == tuple(plans(lanes))


def test_what_is_pinned_is_kept_from_nobody() -> None:
    known = Document(
        "one", 3, 1, tuple(observation(n, status=Status.PINNED if n < 4 else Status.KEPT) for n in range(8))
    )
    for seed in range(20):
        for plan in dealt(plans(9), known, CAP, seed=seed, generation=2):
            assert set(plan.without) <= {o.id for o in known.observations[4:]}


def test_runs_draw_different_lots() -> None:
    drawn = {
        (plan.lane, plan.without)
        for seed in range(40)
        for plan in dealt(plans(5), document(6), CAP, seed=seed, generation=2)
        if plan.without
    }
    assert {lane for lane, _ in drawn} == {1, 2, 3, 4}
    assert len({without for _, without in drawn}) == 6


def test_lots_are_even_and_drawn_again_the_same() -> None:
    lanes, kept = Counter[int](), Counter[str]()
    for generation in range(400):
        made = dealt(plans(5), document(6), CAP, seed=7, generation=generation)
        assert dealt(made, document(6), CAP, seed=7, generation=generation) == made
        (probe,) = [plan for plan in made if plan.without]
        lanes[probe.lane] += 1
        kept.update(probe.without)
    assert set(lanes) == {1, 2, 3, 4}
    assert all(60 < count < 140 for count in lanes.values())
    assert all(40 < count < 95 for count in kept.values())


@given(lanes=st.integers(1, 30), clean=st.integers(0, 5), count=st.integers(0, 12), seed=st.integers(0, 99))
def test_clean_lanes_and_most_others_are_designed_as_without_lots(
    lanes: int, clean: int, count: int, seed: int
) -> None:
    before = plans(lanes, min(clean, lanes))
    made = dealt(before, document(count), CAP, seed=seed, generation=2)
    assert [plan for plan in made if plan.clean] == [plan for plan in before if plan.clean]
    probes = [plan for plan in made if plan.without]
    assert 4 * len(probes) <= sum(not plan.clean for plan in before)
    assert all(told(plan, document(count)) for plan in probes)
