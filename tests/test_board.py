"""The board: a run folded from its events."""

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from store.domain.board import Board, best_lane
from store.domain.events import (
    Alert,
    BaselineChecked,
    CallFinished,
    CheckResult,
    CommandSettled,
    EngineStarted,
    EngineStopped,
    Event,
    FinishStarted,
    ForkedFrom,
    GateOpened,
    GatePassed,
    GenerationDesigned,
    GenerationObserved,
    LimitsRaised,
    ModelObserved,
    Payload,
    RunCreated,
    RunFinished,
    SubagentAdded,
    SubagentChecked,
    SubagentContinued,
    SubagentEnded,
    SubagentJudged,
    SubagentLaunched,
    SubagentPaused,
    SubagentRestarted,
    SubagentSteered,
    ToolFinished,
    ToolStarted,
    TurnStarted,
    Unknown,
)
from store.domain.ids import SubagentId
from store.domain.limits import Limits, Spend, Usage
from store.domain.states import Ending, RunState, Step, SubagentState, Validity
from store.domain.strategy import LanePlan, Strategy
from store.domain.task import Check, Task

RUN = "abcde"
TASK = Task("fix it", "/repo", Check("./check"), generations=2, lanes=2, limits=Limits(turns=10, usd=1.0))
PLANS = (
    LanePlan(1, Strategy("one", "look", limits=Limits(turns=3)), clean=False),
    LanePlan(2, Strategy("two", "think"), clean=True),
)
FAILED = CheckResult(False, 1, 7, 0.5, "digest", "7 failed")
PASSED = CheckResult(True, 0, 0, 0.5, "digest", "ok")
CREATED = RunCreated(TASK, "Fix it", "f" * 40, 1)


def log(*entries: tuple[float, int | None, int | None, Payload]) -> list[Event]:
    return [
        Event(seq, at, RUN, generation, lane, payload)
        for seq, (at, generation, lane, payload) in enumerate(entries, start=1)
    ]


def fold(events: Sequence[Event]) -> Board:
    board = Board(RUN)
    for event in events:
        board.apply(event)
    return board


def begun(*more: tuple[float, int | None, int | None, Payload]) -> Board:
    return fold(
        log(
            (0, None, None, CREATED),
            (1, None, None, EngineStarted(7, "1", "http://proxy")),
            (2, None, None, BaselineChecked((FAILED,))),
            (3, 1, None, GenerationDesigned(PLANS)),
            *more,
        )
    )


def test_steps_follow_each_other() -> None:
    assert fold(log((0, None, None, CREATED))).next_step() == (1, Step.DESIGN)
    launched = SubagentLaunched("box", "model")
    ended = SubagentEnded(Ending.SUBMITTED, "", Spend())
    both_launched = [(4.0, 1, 1, launched), (4.0, 1, 2, launched)]
    both_ended = [(5.0, 1, 1, ended), (5.0, 1, 2, ended)]
    checked = [(6.0, 1, 1, SubagentChecked(False, "")), (6.0, 1, 2, SubagentChecked(True, "p", result=PASSED))]
    observed = (7.0, 1, None, GenerationObserved(1, 3, 3, 0))
    assert begun().next_step() == (1, Step.LAUNCH)
    assert begun(both_launched[0]).next_step() == (1, Step.LAUNCH)
    assert begun(*both_launched).next_step() == (1, Step.WATCH)
    assert begun(*both_launched, both_ended[0]).next_step() == (1, Step.WATCH)
    assert begun(*both_launched, *both_ended).next_step() == (1, Step.CHECK)
    assert begun(*both_launched, *both_ended, *checked).next_step() == (1, Step.OBSERVE)
    assert begun(*both_launched, *both_ended, *checked, observed).next_step() == (1, Step.GATE)
    passed = (9.0, 1, None, GatePassed("operator"))
    done = begun(*both_launched, *both_ended, *checked, observed, (8.0, 1, None, GateOpened(True)), passed)
    assert done.next_step() == (2, Step.DESIGN)
    finished = begun(*both_launched, (9.0, None, None, RunFinished(RunState.STOPPED, "", "")))
    assert finished.next_step() is None
    assert done.generations[1].solved(clean=True) == 1
    assert done.generations[1].solved(clean=False) == 0


def test_a_lane_tells_what_it_does() -> None:
    board = begun(
        (4, 1, 1, SubagentLaunched("box", "m", ("o-1", "o-2"), 80, "blob")),
        (5, 1, 1, TurnStarted(1)),
        (6, 1, 1, CallFinished("c", 200, "tool_use", Usage(10, 5), 0.25, 1.0)),
        (6, 1, 1, ToolStarted(1, "t1", "run", "run ./check")),
    )
    lane = board.generations[1].lanes[1]
    assert (lane.state, lane.turn, lane.tool, lane.injected) == (
        SubagentState.RUNNING,
        1,
        "run ./check",
        ("o-1", "o-2"),
    )
    assert lane.spent(10.0) == Spend(1, Usage(10, 5), 0.25, 6.0)
    assert lane.limits == Limits(turns=3, usd=1.0), "a strategy's limits stand before the run's"
    board.apply(Event(9, 7, RUN, 1, 1, ToolFinished(1, "t1", "run", True, 0.2, "blob", "exit code 1")))
    assert (lane.tool, lane.last) == ("", "exit code 1")
    assert lane.results["t1"].result == "blob"
    board.apply(Event(10, 8, RUN, 1, 1, Alert("limit", "nearly spent")))
    assert (lane.alert, lane.alerts) == ("nearly spent", 1)
    board.apply(Event(11, 9, RUN, 1, 1, SubagentJudged(Validity.VALID, "it tried")))
    assert lane.validity is Validity.VALID


def test_an_unknown_price_makes_the_cost_a_lower_bound() -> None:
    board = begun((4, 1, 1, CallFinished("c", 200, "end", Usage(1, 1), None, 1.0)))
    assert not board.spent(5.0).priced
    failed = begun((4, 1, 1, CallFinished("c", 529, "", Usage(), None, 1.0, "overloaded")))
    assert failed.spent(5.0).priced, "a call without usage costs nothing"


def test_tokens_that_nobody_told_are_not_none() -> None:
    silent = CallFinished("c", 200, "end", Usage(), None, 1.0)

    def spent(*payloads: CallFinished) -> Spend:
        board = begun(*((4 + at, 1, 1, payload) for at, payload in enumerate(payloads)))
        return board.generations[1].lanes[1].spend

    assert spent().tokens == 0 == spent(replace(silent, status=529, error="overloaded")).tokens
    assert (spent(silent).tokens, spent(silent).priced) == (None, False)
    assert spent(replace(silent, usd=0.1)).tokens is None, "it cost something"
    assert spent(replace(silent, usd=0.0)).tokens == 0
    # What counts tokens, or looks for a model, takes none: others tell what was used.
    later = spent(silent, CallFinished("d", 200, "end", Usage(10, 5), 0.25, 1.0), silent)
    assert (later.tokens, later.priced) == (15, True)
    tried = CallFinished("t", 200, "end", Usage(10, 5), 0.25, 1.0, parent="c")
    assert (spent(tried, silent).tokens, spent(tried, silent).priced) == (15, True)


def test_pauses_and_dead_engines_are_no_work() -> None:
    board = begun(
        (10, 1, 1, SubagentLaunched("box", "m")),
        (14, 1, 1, SubagentPaused()),
        (20, 1, 1, SubagentContinued()),
        (21, 1, 1, TurnStarted(2)),
        # Killed here; whoever resumes comes a thousand seconds later.
        (1000, None, None, EngineStarted(8, "1", "http://proxy")),
        (1001, 1, 1, SubagentLaunched("box", "m", attempt=2)),
        (1003, 1, 1, SubagentEnded(Ending.TURNS, "", Spend())),
    )
    lane = board.generations[1].lanes[1]
    assert lane.spent(2000).seconds == 4 + 1 + 2
    assert lane.attempt == 2
    assert board.spent(1003).seconds == (21 - 1) + (1003 - 1000)


def test_waiting_at_a_gate_is_no_work() -> None:
    board = begun(
        (5, 1, None, GateOpened(waits=True)),
        (100, 1, None, GatePassed("operator", rest=True)),
        (103, None, None, EngineStopped("left")),
    )
    assert board.spent(500).seconds == (5 - 1) + 3
    assert board.gates_open, "one key opens all gates that follow"
    assert board.state is RunState.RUNNING


def test_a_paused_subagent_stays_paused_under_the_next_engine() -> None:
    board = begun(
        (4, 1, 1, SubagentLaunched("box", "m")),
        (5, 1, 1, SubagentPaused()),
        (6, None, None, EngineStarted(8, "1", "p")),
        (7, 1, 1, SubagentLaunched("box", "m", attempt=2)),
    )
    lane = board.generations[1].lanes[1]
    assert lane.state is SubagentState.PAUSED
    assert lane.spent(100).seconds == 1


def test_a_verdict_tells_who_is_to_blame() -> None:
    def verdict(ending: Ending, checked: SubagentChecked) -> SubagentState:
        board = begun(
            (4, 1, 1, SubagentLaunched("box", "m")), (5, 1, 1, SubagentEnded(ending, "", Spend())), (6, 1, 1, checked)
        )
        return board.generations[1].lanes[1].state

    nothing, solved = SubagentChecked(False, ""), SubagentChecked(True, "p", result=PASSED)
    assert verdict(Ending.SUBMITTED, nothing) is SubagentState.UNSOLVED
    assert verdict(Ending.TURNS, solved) is SubagentState.SOLVED
    assert verdict(Ending.PROVIDER, nothing) is SubagentState.FAILED
    assert verdict(Ending.KILLED, nothing) is SubagentState.KILLED


def test_the_best_patch_solves_then_is_small() -> None:
    def checked(solved: bool, failures: int, size: int) -> SubagentChecked:
        result = replace(FAILED, passed=solved, failures=failures)
        return SubagentChecked(solved, "patch", insertions=size, result=result)

    assert best_lane(begun()) is None
    better = begun((4, 1, 1, checked(False, 3, 1)), (4, 1, 2, checked(False, 2, 90)))
    assert (best := best_lane(better)) is not None
    assert best.id == SubagentId(RUN, 1, 2)
    solved = begun((4, 1, 1, checked(True, 0, 9)), (4, 1, 2, checked(True, 0, 8)))
    assert (best := best_lane(solved)) is not None
    assert best.id.lane == 2


def test_what_the_observer_asks_a_model_is_on_the_bill_of_its_generation_and_of_no_lane() -> None:
    asked = CallFinished("c", 200, "", Usage(input=1000, output=50), 0.25, 1.0)
    failed = CallFinished("d", 500, "", Usage(), None, 1.0, error="overloaded")
    tried = CallFinished("e", 200, "", Usage(input=10), None, 1.0, parent="c")
    board = begun((3, 1, 1, CallFinished("a", 200, "", Usage(input=7), 0.5, 1.0)))
    before = board.spent(3.0)
    board = begun(
        (3, 1, 1, CallFinished("a", 200, "", Usage(input=7), 0.5, 1.0)),
        *((4.0, 1, 0, payload) for payload in (asked, failed, tried)),
        (5, 1, 0, Alert("cost limit", "no more")),
        (5, 1, None, ModelObserved("m", failed="the cost limit is reached")),
    )
    assert board.generations[1].observing == Spend(1, Usage(input=1010, output=50), 0.25, priced=False)
    assert board.spent(3.0) == before + board.generations[1].observing
    assert set(board.generations[1].lanes) == {1, 2}
    assert board.generations[1].observed is None


PAYLOADS: list[Payload] = [
    CREATED,
    EngineStarted(1, "1", "p"),
    EngineStopped("x"),
    BaselineChecked((FAILED,)),
    GenerationDesigned(PLANS),
    GenerationObserved(1, 2, 2, 0),
    GateOpened(True),
    GatePassed("auto"),
    RunFinished(RunState.SOLVED, "", ""),
    SubagentLaunched("box", "m"),
    SubagentPaused(),
    SubagentContinued(),
    SubagentEnded(Ending.KILLED, "", Spend()),
    SubagentChecked(False, "p", result=FAILED),
    TurnStarted(3),
    TurnStarted(4, told=(1, 2, 3)),
    SubagentSteered("x"),
    LimitsRaised(Limits(turns=99)),
    SubagentRestarted(),
    SubagentRestarted(PLANS[0]),
    SubagentAdded(replace(PLANS[0], lane=3), ForkedFrom("c")),
    ToolStarted(1, "t", "run", "x"),
    Unknown("from.later", {"a": 1}),
]

events = st.lists(
    st.tuples(
        st.floats(0, 1e9),
        st.none() | st.integers(1, 3),
        st.none() | st.integers(1, 3),
        st.sampled_from(PAYLOADS),
    ),
    max_size=40,
)


@given(events, st.integers(0, 40))
def test_any_log_folds_and_a_second_reading_changes_nothing(
    entries: list[tuple[float, int | None, int | None, Payload]], cut: int
) -> None:
    whole = log((0.0, None, None, CREATED), *entries)
    board = fold(whole)
    again = fold(whole[:cut])
    for event in whole:
        again.apply(event)
    assert board == again
    board.next_step()
    best_lane(board)
    assert board.spent(1e9).seconds >= 0


def test_an_order_that_was_taken_is_known_to_the_next_engine() -> None:
    refused = begun(
        (4, 1, 1, CommandSettled(1, "kill", False, "no")), (5, None, None, CommandSettled(2, "stop", False, "no"))
    )
    assert not refused.generations[1].lanes[1].killed
    assert not refused.stopped
    taken = begun(
        (4, 1, 1, CommandSettled(1, "kill", True, "yes")), (5, None, None, CommandSettled(2, "stop", True, "yes"))
    )
    assert [lane.killed for lane in taken.generations[1].lanes.values()] == [True, False]
    assert taken.stopped


def test_a_turn_that_died_with_its_engine_counts_once() -> None:
    whole = CallFinished("c", 200, "tool_use", Usage(), 0.0, 1.0)
    board = begun(
        (4, 1, 1, SubagentLaunched("box", "m")),
        (5, 1, 1, TurnStarted(1)),
        (5, 1, 1, whole),
        (6, 1, 1, TurnStarted(2)),
        (7, 1, 1, replace(whole, error="engine died")),
        (8, 1, 1, SubagentLaunched("box", "m", attempt=2)),
    )
    lane = board.generations[1].lanes[1]
    assert (lane.turn, lane.answered, lane.spend.turns) == (1, 1, 1)


WHOLE = CallFinished("c", 200, "tool_use", Usage(), 0.0, 1.0)


def test_what_the_operator_says_waits_for_a_turn_and_is_read_once() -> None:
    board = begun((4, 1, 1, SubagentSteered("one")), (5, 1, 1, SubagentLaunched("box", "m")))
    lane = board.generations[1].lanes[1]
    assert [one.text for one in lane.unread] == ["one"]
    for event in log(*[(0.0, None, None, CREATED)] * 6, (6, 1, 1, TurnStarted(1, told=(5,))))[6:]:
        board.apply(event)
    assert [(one.text, one.turn) for one in lane.steering] == [("one", 1)]
    assert lane.unread == []


def test_what_was_read_with_a_turn_that_died_is_read_again() -> None:
    launched = (4.0, 1, 1, SubagentLaunched("box", "m"))
    told = (
        (5.0, 1, 1, SubagentSteered("one")),
        (6.0, 1, 1, TurnStarted(1, told=(6,))),
        (7.0, 1, 1, WHOLE),
        (8.0, 1, 1, SubagentSteered("two")),
        (9.0, 1, 1, TurnStarted(2, told=(9,))),
    )
    board = begun(launched, *told)
    assert [one.turn for one in board.generations[1].lanes[1].steering] == [1, 2]
    board = begun(launched, *told, (10, 1, 1, SubagentLaunched("box", "m", attempt=2)))
    assert [one.text for one in board.generations[1].lanes[1].unread] == ["two"]
    afresh = begun(launched, *told, (10, 1, 1, SubagentLaunched("box", "m", attempt=2, afresh=True)))
    assert [one.text for one in afresh.generations[1].lanes[1].unread] == ["one", "two"]
    anew = begun(launched, *told, (10, 1, 1, SubagentSteered("three")), (11, 1, 1, SubagentRestarted()))
    assert [one.text for one in anew.generations[1].lanes[1].steering] == ["three"]


def test_raised_limits_stay_through_engines_and_restarts() -> None:
    raised = (5.0, 1, 1, LimitsRaised(Limits(turns=20)))
    lane = begun((4, 1, 1, SubagentLaunched("box", "m")), raised).generations[1].lanes[1]
    assert lane.limits == Limits(turns=20, usd=1.0)
    plan = LanePlan(1, Strategy("three", "other", limits=Limits(turns=5, tokens=9)), clean=False)
    lane = (
        begun((4, 1, 1, SubagentLaunched("box", "m")), raised, (6, 1, 1, SubagentRestarted(plan)))
        .generations[1]
        .lanes[1]
    )
    assert lane.plan == plan
    assert lane.limits == Limits(turns=20, tokens=9, usd=1.0)
    assert lane.state is SubagentState.QUEUED


def test_a_lane_that_joins_takes_the_gate_back() -> None:
    ended = SubagentEnded(Ending.SUBMITTED, "", Spend())
    over = [(4.0, 1, number, payload) for number in (1, 2) for payload in (ended, SubagentChecked(False, ""))]
    board = begun(*over, (5, 1, None, GenerationObserved(1, 0, 0, 0)), (6, 1, None, GateOpened(True)))
    assert board.waiting
    joined = (7.0, 1, 3, SubagentAdded(LanePlan(3, Strategy("new", "other"), clean=False), ForkedFrom("c", "n")))
    board = begun(*over, (5, 1, None, GenerationObserved(1, 0, 0, 0)), (6, 1, None, GateOpened(True)), joined)
    generation = board.generations[1]
    assert not board.waiting
    assert board.next_step() == (1, Step.LAUNCH)
    assert generation.lanes[3].forked_from == ForkedFrom("c", "n")
    assert generation.lanes[3].limits == TASK.limits
    assert generation.lanes[1].forked_from is None


def test_a_generation_is_stalled_when_none_of_its_lanes_could_work() -> None:
    ended = SubagentEnded(Ending.RATE_LIMITED, "slow down", Spend())
    judged = SubagentJudged(Validity.RATE_LIMITED, "the rate limit ended it")
    both = ((4, 1, 1, ended), (4, 1, 2, ended), (5, 1, 1, judged), (5, 1, 2, judged))
    assert begun().generations[1].stalled == ""
    assert begun(both[0]).generations[1].stalled == ""
    assert begun(*both[:2]).generations[1].stalled == "slow down"
    assert begun(*both).generations[1].stalled == "the rate limit ended it"
    assert begun(*both, (6, 1, 2, SubagentJudged(Validity.CUT_OFF, "killed"))).generations[1].stalled == ""
    other = SubagentJudged(Validity.NEVER_STARTED, "no sandbox")
    assert begun(*both, (6, 1, 2, other)).generations[1].stalled == "the rate limit ended it; and others"


def test_what_comes_after_the_end_is_no_work() -> None:
    board = begun(
        (5, None, None, RunFinished(RunState.SOLVED, "", "")),
        (100, None, None, EngineStarted(8, "1", "")),
        (200, None, None, FinishStarted("notify")),
        (300, None, None, EngineStopped("over")),
    )
    assert board.spent(400).seconds == 4
    assert board.finish_started is not None
