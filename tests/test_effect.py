"""Whether memory helps, as boards show it."""

from dataclasses import replace

import pytest

from store.domain.board import Board, Generation
from store.domain.effect import Effects, Verdict, effects, given_and_cited, same_task
from store.domain.effect_words import caveats, compared, cost, curves, overall, points, told
from store.domain.events import CheckResult, ForkedFrom, RunCreated, SubagentChecked, SubagentEnded
from store.domain.ids import SubagentId
from store.domain.intervals import Count, Difference, Interval, by_chance
from store.domain.lane import Lane, Steering
from store.domain.limits import LIMITS_RAISED, Limits, Spend, Usage
from store.domain.observations import Claim, Document, Evidence, Observation, Priority, Status, Subject
from store.domain.observations.citing import Citation
from store.domain.replay import Replay
from store.domain.states import Ending
from store.domain.strategy import LanePlan, Strategy
from store.domain.task import Check, Memory, Task

TASK = Task("fix it", "/repo", Check("./check"))
RESULT = CheckResult(False, 1, 9, 0.1, "", "9 failed")


def lane(
    run: str, generation: int, number: int, *told: str, solved: bool = False, usd: float = 1.0, clean: bool = False
) -> Lane:
    plan = LanePlan(number, Strategy("s", "a"), clean)
    made = Lane(SubagentId(run, generation, number), plan, Limits(), injected=told)
    made.ended = SubagentEnded(Ending.SUBMITTED, "", Spend())
    made.checked = SubagentChecked(solved, "patch", result=RESULT)
    made.spend = Spend(3, Usage(10, 5), usd)
    return made


def board(run: str, *generations: list[Lane], memory: Memory = Memory.OWN) -> Board:
    made = Board(run, order=RunCreated(replace(TASK, memory=memory), "t", "f" * 40, 1))
    for number, lanes in enumerate(generations, 1):
        made.generations[number] = Generation(number, {one.id.lane: one for one in lanes})
    return made


def observation(name: str, **more: object) -> Observation:
    plain = Observation(name, f"mark of {name}", Subject.EDITS, Priority.IMPORTANT, Claim.HALF, "text")
    return replace(plain, **more)  # type: ignore[arg-type]


def document(run: str, *observations: Observation) -> Document:
    return Document(run, 1, 1, observations)


def generation(
    run: str, number: int, *, given: str = "o-aaaa", with_it: str = "1110", without: str = "0"
) -> list[Lane]:
    """Lanes told `o-aaaa` and `o-bbbb`, one that is not told the first, and a clean one that fails."""
    lanes = [lane(run, number, at, given, "o-bbbb", solved=c == "1") for at, c in enumerate(with_it, 1)]
    rest = [lane(run, number, len(lanes) + at, "o-bbbb", solved=c == "1", usd=2.0) for at, c in enumerate(without, 1)]
    return [*lanes, *rest, lane(run, number, 90, clean=True, usd=4.0)]


def test_lanes_with_it_are_compared_with_lanes_that_were_told_others() -> None:
    known = document("one", observation("o-aaaa"), observation("o-bbbb"), observation("o-cccc"))
    found = effects([(board("one", [lane("one", 1, 1)], generation("one", 2)), known)])
    first, everywhere, never = found.effects
    assert (first.memory.given.count, first.memory.without.count) == (Count(3, 4), Count(0, 1))
    assert (first.clean.given.count, first.clean.without.count) == (Count(3, 4), Count(0, 1))
    assert first.memory.usd is not None and first.memory.usd.estimate == -1.0
    assert first.memory.verdict is Verdict.OPEN
    assert everywhere.memory.solved is None and everywhere.best is everywhere.clean
    assert (never.given.count, never.memory.verdict, never.clean.verdict) == (Count(0, 0), Verdict.NONE, Verdict.NONE)
    assert found.overall.given.count == Count(3, 5)
    assert [(p.number, p.memory.count, p.clean.count) for p in found.pairs] == [
        (1, Count(0, 1), Count(0, 0)),
        (2, Count(3, 5), Count(0, 1)),
    ]


def test_over_several_runs_it_adds_up_also_where_ids_differ() -> None:
    runs = [
        (
            board(name, generation(name, 1, given=f"o-aaaa{at}"), generation(name, 2, given=f"o-aaaa{at}")),
            document(name, observation(f"o-aaaa{at}", fingerprint="the same"), observation("o-bbbb")),
        )
        for at, name in enumerate(("one", "two", "six"))
    ]
    found = effects(runs)
    one = found.of("o-aaaa2")
    assert one is not None
    assert (one.runs, one.memory.generations) == (3, 6)
    assert one.given.count == Count(18, 24)
    assert one.memory.without.count == Count(0, 6)
    assert one.memory.verdict is Verdict.HELPS
    assert effects([runs[0], runs[2], runs[1]], runs[2][1]).of("o-aaaa2") == one


def test_a_run_and_its_replays_count_once() -> None:
    runs = [(board(name, generation(name, 1)), document(name, observation("o-aaaa"))) for name in ("one", "two", "six")]
    for (replaying, _), played in zip(runs[1:], ("one", "two"), strict=True):
        assert replaying.order is not None
        replaying.order = replace(replaying.order, replay=Replay(played))
    alone = effects(runs[:1])
    assert alone.effects[0].given.count == Count(3, 4)
    for named in (runs, runs[::-1], runs[:2], [runs[2], runs[0], runs[1]]):
        assert effects(named, runs[0][1]) == alone
    # Where the run is not there, one of its replays counts.
    assert effects(runs[1:], runs[0][1]).effects == effects(runs[2:], runs[0][1]).effects != ()


def test_one_that_was_merged_counts_for_what_it_became() -> None:
    known = document(
        "one",
        observation("o-aaaa", status=Status.DROPPED, merged_into=("o-bbbb",)),
        observation("o-bbbb"),
    )
    lanes = [lane("one", 1, 1, "o-aaaa", solved=True), lane("one", 1, 2, "o-cccc"), lane("one", 1, 3, clean=True)]
    found = effects([(board("one", lanes), known)])
    assert [one.id for one in found.effects] == ["o-bbbb"]
    assert found.effects[0].given.count == Count(1, 1)
    assert found.effects[0].memory.without.count == Count(0, 1)


def test_lanes_that_show_nothing_of_the_approach_are_left_out() -> None:
    lanes = [lane("one", 1, at, "o-aaaa") for at in range(1, 7)]
    lanes[0].checked = None
    lanes[1].ended = SubagentEnded(Ending.RATE_LIMITED, "429", Spend())
    lanes[2].forked_from = ForkedFrom("call")
    lanes[3].steering = [Steering(1, 0.0, "Look there.", 2)]
    lanes[4].steering = [Steering(1, 0.0, f"{LIMITS_RAISED} More.", 2), Steering(2, 0.0, "never read", None)]
    found = effects([(board("one", lanes), document("one", observation("o-aaaa")))])
    assert found.effects[0].given.count == Count(0, 2)
    assert found.left_out == {"no verdict yet": 1, "could not work": 1, "forked": 1, "steered": 1}
    assert found.pairs[0].memory.count == Count(0, 0), "a generation at work has no point"


def test_controls_count_as_what_they_are() -> None:
    known = document("one", observation("o-aaaa"))
    none = board("one", [lane("one", 1, 1, solved=True), lane("one", 1, 2)], memory=Memory.NONE)
    assert effects([(none, known)]).pairs[0].clean.count == Count(1, 2)
    shuffled = board("one", [lane("one", 1, 1, "o-aaaa", solved=True)], memory=Memory.SHUFFLED)
    assert effects([(shuffled, known)]).pairs == ()


def test_what_does_worse_than_clean_lanes_is_proposed_for_quarantine() -> None:
    def gen(number: int) -> list[Lane]:
        bad = [lane("one", number, at, "o-aaaa", "o-bbbb") for at in (1, 2)]
        good = lane("one", number, 3, "o-bbbb", solved=True)
        return [*bad, good, lane("one", number, 4, clean=True, solved=True)]

    known = document("one", observation("o-aaaa"), observation("o-bbbb"), observation("o-dddd"))
    once = effects([(board("one", gen(1)), known)])
    assert [one.quarantine for one in once.effects] == ["", "", ""]
    twice = effects([(board("one", gen(1), gen(2)), known)])
    bad, good, other = twice.effects
    assert "its lanes solved 0 of 4" in bad.quarantine
    assert "that may be chance, which does as much in 1 of " in bad.quarantine
    # Its lanes do worse than clean ones as well; there is nothing that tells it apart from the first.
    assert good.quarantine
    assert other.quarantine == ""
    gone = replace(known, observations=(replace(known.observations[0], status=Status.QUARANTINED),))
    assert effects([(board("one", gen(1), gen(2)), gone)]).effects[0].quarantine == ""


def test_what_does_better_than_the_others_is_not() -> None:
    def gen(number: int) -> list[Lane]:
        lanes = [lane("one", number, at, "o-aaaa", solved=at == 1) for at in (1, 2, 3)]
        return [*lanes, lane("one", number, 4, "o-bbbb"), lane("one", number, 5, clean=True, solved=True)]

    known = document("one", observation("o-aaaa"), observation("o-bbbb"))
    found = effects([(board("one", gen(1), gen(2)), known)])
    assert [bool(one.quarantine) for one in found.effects] == [False, False]


def citation(name: str, *, shown: bool | None) -> Citation:
    return Citation(name, Evidence(SubagentId("one", 1, 1), "call", "node", 0, 0, 6, name), shown, "why")


def test_who_had_it_and_who_cited_it_is_kept_with_it() -> None:
    lanes = [lane("one", 2, at, "o-aaaa", "o-gone") for at in (1, 2)]
    lanes[0].cited = (citation("o-aaaa", shown=True),)
    before = document("one", observation("o-aaaa", given_to=(SubagentId("old", 1, 1), SubagentId("one", 2, 7))))
    noted = given_and_cited(before, lanes)
    assert noted.observations[0].given_to == (
        SubagentId("old", 1, 1),
        lanes[0].id,
        lanes[1].id,
        SubagentId("one", 2, 7),
    )
    assert noted.observations[0].cited_by == (lanes[0].id,)
    assert given_and_cited(noted, lanes) == noted
    lanes[0].cited = ()
    assert given_and_cited(noted, lanes).observations[0].cited_by == ()


def test_who_had_one_that_was_merged_or_split_counts_for_what_it_became() -> None:
    lanes = [lane("one", 2, 1, "o-aaaa"), lane("one", 2, 2, "o-bbbb")]
    lanes[0].cited = (citation("o-aaaa", shown=None),)
    merged = observation("o-aaaa", status=Status.DROPPED, merged_into=("o-bbbb",))
    noted = given_and_cited(document("one", merged, observation("o-bbbb")), lanes)
    assert [o.given_to for o in noted.observations] == [(lanes[0].id,), (lanes[0].id, lanes[1].id)]
    assert [o.cited_by for o in noted.observations] == [(lanes[0].id,), (lanes[0].id,)]


def test_citations_are_counted_with_what_the_tape_shows() -> None:
    lanes = [lane("one", 1, at, "o-aaaa") for at in (1, 2, 3)]
    lanes[0].cited, lanes[1].cited = (citation("o-aaaa", shown=True),), (citation("o-aaaa", shown=False),)
    found = effects([(board("one", lanes), document("one", observation("o-aaaa")))])
    assert (found.effects[0].cited, found.effects[0].shown) == (2, 1)
    assert "2 lanes said they used it; the tape shows it in 1." in told(found.effects[0])


def test_one_task_is_the_same_repository_and_check() -> None:
    one = board("one")
    assert same_task(one, board("two"))
    other = board("two")
    assert other.order is not None
    other.order = replace(other.order, task=replace(TASK, check=Check("./other")))
    assert not same_task(one, other)
    assert not same_task(one, Board("bare"))


def test_words_claim_no_more_than_is_shown() -> None:
    known = document("one", observation("o-aaaa"), observation("o-bbbb"))
    found = effects([(board("one", generation("one", 1)), known)])
    said = " ".join(told(found.effects[0]))
    assert "3 of 4 solved with it, 0 of 1 without" in said
    assert "Too few to say." in said
    assert "pure chance does as much in 8 of 10 draws" in said
    assert "costs $1.00 less; of so few lanes there is no interval" in said
    assert overall(found).startswith("3 of 5 lanes with memory solved, 0 of 1 clean: ")
    assert any("compared at once" in line for line in caveats(found))
    assert any("hardly show anything" in line for line in caveats(found))
    assert told(effects([(board("one"), known)]).effects[0]) == ["No lane with a verdict has been told it yet."]
    assert "nothing to compare yet" in overall(Effects())
    assert caveats(Effects()) == []


def test_words_of_what_is_sure() -> None:
    known = document("one", observation("o-aaaa"), observation("o-bbbb"))
    many = [generation("one", number, with_it="1111") for number in range(1, 7)]
    found = effects([(board("one", *many), known)])
    assert compared(found.effects[0].memory).endswith("It does better.")
    assert "95 % interval −$1.00 to −$1.00" in cost(found.effects[0].memory)
    assert "Memory does better." in overall(found)


@pytest.mark.parametrize(
    ("chance", "words"),
    [(1.0, "in every draw"), (0.4, "in 4 of 10 draws"), (0.2, "in 1 of 5 draws"), (0.0001, "in fewer than 1 of 1,000")],
)
def test_chance_in_words(chance: float, words: str) -> None:
    assert by_chance(Difference(0.5, Interval(-0.1, 0.9), chance)).startswith(words)


def test_points_and_curves() -> None:
    assert [points(0.561), points(-0.034), points(0.001)] == ["+56", "−3", "0"]
    found = effects([(board("one", [lane("one", 1, 1)], generation("one", 2)), document("one", observation("o-aaaa")))])
    drawn = curves(found.pairs).splitlines()
    assert [line.split("│")[0].strip() for line in drawn] == ["gen  1 memory", "gen  2 memory", "gen  2 clean"]
    assert all(line.count("●") == 1 for line in drawn)
    assert drawn[1].endswith("3 of 5  60 % (17 to 93)")
