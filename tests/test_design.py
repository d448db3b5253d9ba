"""The design of a generation from the one before it."""

from dataclasses import replace

from backends.harness.design import CHECK_OFTEN, ONE_CHANGE, design
from store.domain.board import Board, Generation, Lane
from store.domain.events import BaselineChecked, CheckResult, Payload, RunCreated, SubagentChecked, SubagentEnded
from store.domain.ids import SubagentId
from store.domain.limits import Limits, Spend
from store.domain.states import Ending
from store.domain.strategy import LanePlan, Strategy
from store.domain.task import Check, Memory, Task

PORTFOLIO = tuple(Strategy(name, f"{name} first") for name in ("races", "timeouts", "retries", "history", "failures"))
TASK = Task("fix it", "/repo", Check("./check"))
BEFORE = CheckResult(False, 1, 9, 0.1, "", "9 failed")


def board(*results: tuple[Ending, SubagentChecked], memory: Memory = Memory.OWN) -> Board:
    task = replace(TASK, memory=memory)
    made = Board("abcde", order=RunCreated(task, "t", "f" * 40, 1), baseline=BaselineChecked((BEFORE,)))
    if results:
        lanes = {}
        for plan in design(made, PORTFOLIO):
            ending, checked = results[min(plan.lane, len(results)) - 1]
            lane = Lane(SubagentId("abcde", 1, plan.lane), plan, Limits())
            lane.ended, lane.checked = SubagentEnded(ending, "", Spend()), checked
            lanes[plan.lane] = lane
        made.generations[1] = Generation(1, lanes)
    return made


def checked(failures: int | None, *, solved: bool = False) -> SubagentChecked:
    if failures is None:
        return SubagentChecked(False, "")
    return SubagentChecked(solved, "patch", result=replace(BEFORE, passed=solved, failures=failures))


def second(*results: tuple[Ending, SubagentChecked], memory: Memory = Memory.OWN) -> tuple[LanePlan, ...]:
    return design(board(*results, memory=memory), PORTFOLIO)


def test_the_first_batch_takes_the_portfolio_in_turn_with_clean_lanes_last() -> None:
    plans = design(board(), PORTFOLIO)
    assert [plan.strategy.name for plan in plans] == ["races", "timeouts", "retries", "history", "failures"]
    assert [plan.clean for plan in plans] == [False, False, False, False, True]
    assert [plan.lane for plan in plans] == [1, 2, 3, 4, 5]


def test_progress_is_followed_up_and_a_stuck_lane_moves_on() -> None:
    plans = second((Ending.TURNS, checked(4)), (Ending.TURNS, checked(9)), (Ending.SUBMITTED, checked(None)))
    assert plans[0].strategy.name == "races"
    assert ONE_CHANGE in plans[0].strategy.heuristics
    assert "from 9 failures to 4" in plans[0].why
    assert plans[1].strategy.name not in {"timeouts", "races"}
    assert "got stuck" in plans[1].why
    assert CHECK_OFTEN in plans[2].strategy.heuristics


def test_a_lane_that_could_not_work_and_one_that_solved_go_on_as_they_were() -> None:
    plans = second((Ending.RATE_LIMITED, checked(None)), (Ending.SUBMITTED, checked(0, solved=True)))
    assert plans[0].strategy == PORTFOLIO[0]
    assert plans[1].strategy == PORTFOLIO[1]


def test_a_heuristic_is_not_added_twice() -> None:
    once = second((Ending.TURNS, checked(4)))
    first_lane = board((Ending.TURNS, checked(4)))
    first_lane.generations[1].lanes[1].plan = once[0]
    again = design(first_lane, PORTFOLIO)
    assert again[0].strategy.heuristics.count(ONE_CHANGE) == 1


def test_what_was_found_reaches_no_lane_without_memory() -> None:
    """Whatever the lanes of generation 1 found, a clean lane of generation 2 is designed alike; so is every lane of a
    control run."""
    stories: list[Payload] = [checked(9), checked(4), checked(0, solved=True), checked(None)]
    clean = {second((Ending.TURNS, story))[4] for story in stories if isinstance(story, SubagentChecked)}
    assert len(clean) == 1
    for memory in (Memory.NONE, Memory.SHUFFLED):
        designs = {second((Ending.TURNS, s), memory=memory) for s in stories if isinstance(s, SubagentChecked)}
        assert len(designs) == 1


def test_a_clean_lane_gets_another_strategy_each_generation() -> None:
    names = [design(board(), PORTFOLIO)[4].strategy.name, second((Ending.TURNS, checked(4)))[4].strategy.name]
    assert names == ["failures", "races"]
