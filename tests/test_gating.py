"""Orders at the gate, on boards."""

from dataclasses import replace

import pytest

from backends.harness.gating import ruled
from backends.harness.planning import BY_HAND, changed, proposed
from store.domain.board import Board
from store.domain.commands import ChangePlan, Launch, PlanChange
from store.domain.events import (
    BaselineChecked,
    CheckResult,
    Event,
    GateOpened,
    GatePassed,
    GatesSet,
    GenerationDesigned,
    GenerationObserved,
    GenerationPlanned,
    ObservationsWritten,
    Payload,
    RunCreated,
    SubagentChecked,
    SubagentEnded,
)
from store.domain.ids import SubagentId
from store.domain.limits import Limits, Spend
from store.domain.observations import Claim, Document, Observation, Priority, Subject
from store.domain.states import Ending, Step
from store.domain.strategy import LanePlan, Strategy
from store.domain.task import Check, Task

PORTFOLIO = tuple(Strategy(name, f"{name} first") for name in ("races", "timeouts", "retries", "history", "failures"))
TASK = Task("fix it", "/repo", Check("./check"), strategies=PORTFOLIO)
RESULT = CheckResult(False, 1, 9, 0.1, "", "9 failed")
KNOWN = Document(
    "abcde",
    1,
    1,
    tuple(
        Observation(f"o-000{n}", f"{n:032x}", Subject.EDITS, Priority.IMPORTANT, Claim.HALF, "A lesson.")
        for n in range(6)
    ),
)


def at_gate(**changes: object) -> Board:
    """A run whose first generation is over, at the gate."""
    board = Board("abcde")
    order = RunCreated(replace(TASK, **changes), "t", "f" * 40, 1, gate_seconds=60.0)  # type: ignore[arg-type]
    apply(board, order, BaselineChecked((RESULT,)))
    apply(board, GenerationDesigned(proposed(board, None)), generation=1)
    for lane in board.generations[1].lanes:
        ended, checked = SubagentEnded(Ending.TURNS, "", Spend()), SubagentChecked(False, "patch", result=RESULT)
        apply(board, ended, checked, generation=1, lane=lane)
    apply(board, ObservationsWritten(1, "observer", 6))
    apply(board, GenerationObserved(1, 6, 6, 0), GateOpened(waits=True, seconds=60.0), generation=1)
    return board


def apply(board: Board, *payloads: Payload, generation: int | None = None, lane: int | None = None) -> None:
    for payload in payloads:
        board.apply(Event(board.seq + 1, board.at + 1, board.run, generation, lane, payload))


def order(board: Board, order: Launch | ChangePlan) -> str:
    """Give an order, and let the board see what comes of it."""
    ruling = ruled(board, order)
    apply(board, *ruling.payloads, generation=board.generation.number if board.generation else None)
    return ruling.said


def test_what_the_rules_propose_is_what_would_be_launched() -> None:
    board = at_gate()
    plans = proposed(board, KNOWN)
    assert [plan.clean for plan in plans] == [False] * 4 + [True]
    assert sum(bool(plan.without) for plan in plans) == 1
    assert proposed(board, KNOWN) == plans
    assert not any(plan.without for plan in proposed(board, None))


def test_lanes_are_added_removed_and_changed() -> None:
    board = at_gate()
    said = order(
        board,
        ChangePlan(
            (
                PlanChange("remove", 2),
                PlanChange("change", 3, "history", "claude-x", Limits(turns=7)),
                PlanChange("change", 1, "Read the code backwards from the failing line."),
                PlanChange("add", strategy="races"),
                PlanChange("add", clean=True),
            )
        ),
    )
    assert said == "Generation 2 has 6 lanes, 2 of them clean."
    plans = {plan.lane: plan for plan in proposed(board, KNOWN)}
    assert list(plans) == [1, 3, 4, 5, 6, 7]
    assert (plans[3].strategy.name, plans[3].strategy.model, plans[3].strategy.limits) == (
        "history",
        "claude-x",
        Limits(turns=7),
    )
    assert plans[1].strategy.approach == "Read the code backwards from the failing line."
    assert plans[1].why.startswith(BY_HAND)
    assert (plans[6].strategy.name, plans[7].clean) == ("races", True)
    # What is kept from whom is drawn over the lanes as they are now.
    assert sum(bool(plan.without) for plan in plans.values()) == 1
    order(board, ChangePlan((PlanChange("remove", 7),)))
    assert [plan.lane for plan in proposed(board, None)] == [1, 3, 4, 5, 6]
    assert "rules propose" in order(board, ChangePlan(anew=True))
    assert proposed(board, KNOWN) == proposed(at_gate(), KNOWN)
    order(board, ChangePlan((PlanChange("remove", 4),)))
    order(board, ChangePlan((PlanChange("remove", 5),), anew=True))
    assert [plan.lane for plan in proposed(board, None)] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (PlanChange("remove", 9), "There is no lane 9; there are 1, 3, 4, 5."),
        (PlanChange("change", 5, "races"), "Lane 5 is clean"),
        (PlanChange("change", 1), "was given nothing new"),
        (PlanChange("change", 1, "racing"), "There is no strategy “racing”"),
        (PlanChange("change", 1, limits=Limits(usd=float("nan"))), "leaves nothing to work with"),
        (PlanChange("add", limits=Limits(turns=0)), "leaves nothing to work with"),
        (PlanChange("add", strategy="races", clean=True), "A clean lane takes its strategy from the portfolio"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence_and_changes_nothing(change: PlanChange, said: str) -> None:
    board = at_gate()
    ruling = ruled(board, ChangePlan((PlanChange("remove", 2), change)))
    assert said in ruling.said
    assert ruling.payloads == ()


def test_a_generation_has_some_lanes_and_not_too_many() -> None:
    board = at_gate()
    with pytest.raises(ValueError, match="at least one lane"):
        changed(board, [PlanChange("remove", lane) for lane in range(1, 6)])
    with pytest.raises(ValueError, match="at most 100"):
        changed(board, [PlanChange("add")] * 96)


def test_the_next_generation_is_told_the_latest_or_what_the_observer_wrote_or_the_same_again() -> None:
    for given, tells, again in (
        (Launch(), 2, False),
        (Launch(curated=False), 1, False),
        (Launch(again=True), 0, True),
        (Launch(again=True, curated=False), 0, True),
    ):
        board = at_gate()
        apply(board, ObservationsWritten(2, "operator", 5))
        before = [lane.plan for lane in board.generations[1].lanes.values()]
        assert "Generation 2 starts." in order(board, given)
        assert board.tells(2) == tells
        assert board.recalls(2) is not again
        plans = proposed(board, KNOWN)
        if again:
            assert [replace(plan, why="") for plan in plans] == [replace(plan, why="") for plan in before]
            assert plans[0].why == f"Again, as in generation 1. {before[0].why}"
        apply(board, GenerationDesigned(plans), generation=2)
        assert board.generations[2].told == tells


def test_at_no_gate_there_is_nothing_to_order() -> None:
    for board in (Board("abcde"), at_gate()):
        apply(board, GatePassed("auto"), generation=1)
        for given in (Launch(), ChangePlan((PlanChange("remove", 1),))):
            assert ruled(board, given).said == "No gate is open."


def test_a_gate_is_overdue_when_its_time_is_up() -> None:
    board = at_gate()
    generation = board.generations[1]
    opened = generation.opened
    assert [generation.overdue(at) for at in (opened, opened + 59.9, opened + 60.0)] == [False, False, True]
    apply(board, GatePassed("timeout"), generation=1)
    assert not generation.overdue(opened + 60.0)
    generation.gate, generation.passed = GateOpened(waits=True), None
    assert not generation.overdue(opened + 1e9)


def test_gates_wait_otherwise_from_when_that_is_ordered() -> None:
    board = at_gate()
    assert (board.waiting, board.gates_open, board.gate_seconds) == (True, False, 60.0)
    apply(board, GatesSet(open=False, seconds=90.0))
    assert board.generation is not None
    assert (board.waiting, board.gate_seconds) == (True, 90.0)
    assert not board.generation.overdue(board.at + 89)
    assert board.generation.overdue(board.at + 90)
    apply(board, GatesSet(open=True))
    assert (board.waiting, board.gates_open, board.gate_seconds) == (False, True, None)
    assert board.next_step() == (1, Step.GATE)


def test_a_plan_outlives_a_lane_that_takes_the_gate_back() -> None:
    board = at_gate()
    plan = (LanePlan(1, PORTFOLIO[0], False),)
    apply(board, GenerationPlanned(plan), generation=1)
    board._work_again(board.generations[1], board.at)
    assert board.generations[1].planned == plan
    assert board.lane(SubagentId("abcde", 1, 1)) is not None
