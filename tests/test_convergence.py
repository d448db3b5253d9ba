"""How runs converge, in numbers."""

from dataclasses import replace

import pytest

from store.domain.board import Board
from store.domain.convergence import Arm, Convergence, Tally, convergence, failure
from store.domain.events import (
    CallFinished,
    CheckResult,
    Event,
    GenerationDesigned,
    GenerationObserved,
    Payload,
    RunCreated,
    SubagentChecked,
    SubagentEnded,
    SubagentJudged,
    SubagentLaunched,
)
from store.domain.limits import Spend, Usage
from store.domain.states import Ending, Validity
from store.domain.strategy import LanePlan, Strategy
from store.domain.task import Check, Memory, Task

TASK = Task("mend it", "/r", Check("make check"), generations=3)
FAILS = CheckResult(False, 1, 3, 1.0, "", "")
PASSES = CheckResult(True, 0, 0, 1.0, "", "")


class Run:
    """A board, and the events that make it."""

    def __init__(self, name: str = "r", task: Task = TASK) -> None:
        self.board = Board(name)
        self.add(RunCreated(task, f"run {name}", "0" * 40, 1))

    def add(self, payload: Payload, generation: int | None = None, lane: int | None = None) -> None:
        self.board.apply(Event(self.board.seq + 1, 0.0, self.board.run, generation, lane, payload))

    def generation(self, number: int, solved: tuple[int, ...], known: int | None, lanes: int = 3) -> None:
        """Lanes of which the last is clean, all with a verdict."""
        plans = tuple(LanePlan(n, Strategy(f"way {n}", ""), clean=n == lanes) for n in range(1, lanes + 1))
        self.add(GenerationDesigned(plans), number)
        for lane in range(1, lanes + 1):
            self.add(SubagentLaunched("/s", "big" if lane == 1 else "small"), number, lane)
            self.add(CallFinished(f"c{number}{lane}", 200, "", Usage(10, 5), 0.25, 1.0), number, lane)
            self.end(number, lane, solved=lane in solved)
        if known is not None:
            self.add(GenerationObserved(number, known, known, 0), number)

    def end(self, generation: int, lane: int, *, solved: bool, ending: Ending = Ending.SUBMITTED) -> None:
        self.add(SubagentEnded(ending, "", Spend()), generation, lane)
        self.add(SubagentChecked(solved, "patch", result=PASSES if solved else FAILS), generation, lane)


@pytest.fixture
def run() -> Run:
    run = Run()
    run.generation(1, (), 4)
    run.generation(2, (1,), 6)
    run.generation(3, (1, 2), None)
    return run


def test_the_lines_by_generation(run: Run) -> None:
    numbers = convergence([run.board])
    assert [point.known for point in numbers.points] == [4, 6, None], "not observed yet is not zero"
    assert [point.tally(Arm.MEMORY) for point in numbers.points] == [Tally(2, 2, n) for n in (0, 1, 2)]
    assert [point.tally(Arm.CLEAN).solved for point in numbers.points] == [0, 0, 0]
    assert numbers.first_solved == 2
    assert numbers.planned == 3
    assert numbers.arms == {Arm.MEMORY: Tally(4, 4, 3), Arm.CLEAN: Tally(2, 2, 0)}, "from the second generation on"


def test_cost_by_model(run: Run) -> None:
    big, small = sorted(convergence([run.board]).models, key=lambda model: model.model)
    assert (big.model, big.tally, big.spend.usd, big.per_solved) == ("big", Tally(3, 3, 2), 0.75, 0.375)
    assert (small.tally.lanes, small.spend.usd, small.per_solved) == (6, 1.5, 1.5)
    assert convergence([run.board]).spend.usd == 2.25


def test_strategies_against_outcomes(run: Run) -> None:
    first, *_, last = convergence([run.board]).outcomes
    assert (first.strategy, first.tally.solved, first.fewest) == ("way 1", 2, 0)
    assert first.lanes == {1: Tally(1, 1, 0), 2: Tally(1, 1, 1), 3: Tally(1, 1, 1)}
    assert (last.strategy, last.arm, last.fewest) == ("way 3", Arm.CLEAN, 3)


def test_a_lane_at_work_is_no_failure(run: Run) -> None:
    run.add(GenerationDesigned((LanePlan(1, Strategy("way 1", ""), clean=False),)), 4)
    numbers = convergence([run.board])
    assert numbers.points[-1].tally(Arm.MEMORY) == Tally(1, 0, 0)
    assert numbers.points[-1].tally(Arm.MEMORY).share is None
    assert not numbers.points[-1].over
    assert sum(one.count for one in numbers.failures) == 6
    assert numbers.failures[0].generations == {1: 3, 2: 2, 3: 1}


def test_failures_by_kind() -> None:
    kinds = {
        "turn limit": (Ending.TURNS, Validity.VALID, "patch", FAILS),
        "killed": (Ending.KILLED, Validity.CUT_OFF, "", None),
        "gave up": (Ending.SILENT, Validity.VALID, "", None),
        "never started": (Ending.CRASHED, Validity.NEVER_STARTED, "", None),
        "check fails": (Ending.SUBMITTED, Validity.VALID, "patch", FAILS),
        "changed nothing": (Ending.SUBMITTED, Validity.VALID, "", None),
        "check timed out": (Ending.SUBMITTED, None, "patch", replace(FAILS, exit_code=None)),
        "check broken": (Ending.SUBMITTED, None, "patch", replace(FAILS, broken="no sh")),
    }
    for kind, (ending, validity, patch, result) in kinds.items():
        run = Run()
        run.add(GenerationDesigned((LanePlan(1, Strategy("way", ""), clean=False),)), 1)
        run.add(SubagentEnded(ending, "", Spend()), 1, 1)
        assert failure(run.board.generations[1].lanes[1]) == ""
        run.add(SubagentChecked(False, patch, result=result), 1, 1)
        if validity is not None:
            run.add(SubagentJudged(validity, "so it was"), 1, 1)
        assert failure(run.board.generations[1].lanes[1]) == kind


def test_several_runs_and_their_controls(run: Run) -> None:
    control = Run("control", replace(TASK, memory=Memory.NONE, generations=5))
    control.generation(1, (), 2)
    control.generation(2, (3,), 2)
    other = Run("shuffled", replace(TASK, memory=Memory.SHUFFLED))
    other.generation(1, (2,), 8)
    numbers = convergence([run.board, control.board, other.board])
    one, two, three = numbers.points
    assert (one.runs, two.runs, three.runs) == (3, 2, 1)
    assert one.known == pytest.approx((4 + 2 + 8) / 3)
    assert one.arms == {Arm.MEMORY: Tally(2, 2, 0), Arm.CLEAN: Tally(5, 5, 0), Arm.SHUFFLED: Tally(2, 2, 1)}
    assert two.tally(Arm.CLEAN) == Tally(4, 4, 1)
    assert [each.first_solved for each in numbers.runs] == [2, 2, 1]
    assert numbers.runs[0].shares == (0.0, 0.5, 1.0)
    assert numbers.planned == 5


def test_nothing_yet() -> None:
    assert convergence([]) == Convergence()
    assert convergence([Board("x")]) == Convergence()
    numbers = convergence([Run().board])
    assert (numbers.points, numbers.first_solved, len(numbers.runs)) == ((), None, 1)


def test_the_observers_model_is_on_the_bill_with_a_line_of_its_own() -> None:
    asks = Run(task=replace(TASK, observer_model="reader"))
    asks.generation(1, solved=(1,), known=2)
    asks.add(CallFinished("o1", 200, "", Usage(100, 50), 1.0, 1.0), 1, 0)
    asks.add(CallFinished("o2", 200, "", Usage(100, 50), 0.5, 1.0), 1, 0)
    numbers = convergence([asks.board])
    reader = next(model for model in numbers.models if model.model == "reader (observer)")
    assert reader.spend == Spend(2, Usage(200, 100), 1.5) and reader.tally == Tally()
    assert reader.per_solved is None
    assert numbers.spend.usd == numbers.points[0].spend.usd == numbers.runs[0].spend.usd == pytest.approx(2.25)
    assert sum(model.spend.usd for model in numbers.models) == pytest.approx(2.25)
    assert numbers.arms == {} and len(numbers.outcomes) == 3
