"""The report: every number from the board, and no text that could leave its place."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from backends.harness.report import chart, code, fence, report, table
from store.domain.board import Board, Generation, Lane
from store.domain.events import (
    BaselineChecked,
    CheckResult,
    ForkedFrom,
    GenerationObserved,
    RunCreated,
    RunFinished,
    SubagentChecked,
    SubagentEnded,
)
from store.domain.ids import SubagentId
from store.domain.lane import Steering
from store.domain.limits import LIMITS_RAISED, Limits, Spend, Usage
from store.domain.observations import Claim, Document, Evidence, Observation, Priority, Subject
from store.domain.observations.citing import Citation
from store.domain.safe_text import safe
from store.domain.states import Ending, RunState, SubagentState, Validity
from store.domain.strategy import LanePlan, Strategy
from store.domain.task import Check, Memory, Task

RUN = "abcde"
BEFORE = CheckResult(False, 1, 9, 0.1, "", "9 broken")
PATCH = b"diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n"


def lane(number: int, generation: int, *, solved: bool, clean: bool = False) -> Lane:
    plan = LanePlan(number, Strategy(f"way {number}", "look"), clean)
    made = Lane(SubagentId(RUN, generation, number), plan, Limits(turns=9))
    made.state = SubagentState.SOLVED if solved else SubagentState.UNSOLVED
    made.turn, made.model = 7, "scripted-debugger"
    made.spend = Spend(7, Usage(1000, 200), 0.5)
    made.injected = () if clean or generation == 1 else ("o-1", "o-2")
    made.ended = SubagentEnded(Ending.SUBMITTED if solved else Ending.TURNS, "", made.spend)
    result = replace(BEFORE, passed=solved, exit_code=0 if solved else 1, failures=0 if solved else 4, tail="0 broken")
    made.checked = SubagentChecked(solved, "blob", ("x",), 3, 1, result=result)
    made.validity = Validity.VALID
    return made


def board(*, title: str = "A hard bug", memory: Memory = Memory.OWN) -> Board:
    task = Task("Make it hold under load.", "/somewhere/repository", Check("./check"), memory=memory)
    made = Board(RUN, order=RunCreated(task, title, "f" * 40, 7, scripted="one"), baseline=BaselineChecked((BEFORE,)))
    for number, solved in ((1, 0), (2, 2)):
        lanes = {1: lane(1, number, solved=solved > 0), 2: lane(2, number, solved=solved > 1)}
        lanes[3] = lane(3, number, solved=False, clean=True)
        observed = GenerationObserved(number, 5 * number, 5, 0)
        made.generations[number] = Generation(number, lanes, observed)
    made.finished = RunFinished(RunState.SOLVED, "Solved in generation 2.", "report.md")
    made.state = RunState.SOLVED
    return made


def test_it_says_what_the_board_says() -> None:
    text = report(board(), None, PATCH, now=100.0)
    assert text.startswith("# A hard bug: solved\n")
    assert "scripted model, no LLM" in text
    assert "| 1 | 0 of 2 | 0 of 1 | 5 | 0 | 4 | $1.50 |" in text
    assert "| 2 | 2 of 2 | 0 of 1 | 10 | 2 | 0 | $1.50 |" in text
    assert "Solved: subagent 2.1, “way 1”, +3 −1 in 1 files." in text
    assert PATCH.decode().strip() in text
    assert "passed (exit code 0, 0 failures)" in text
    assert "| turn limit | 4 |" in text
    assert "| `scripted-debugger` | 42 | 6,000 | 1,200 | 0 | 0 | $3.00 |" in text


def test_it_says_what_of_an_attempt_was_the_operators_doing() -> None:
    run = board()
    own = run.generations[1].lanes[1]
    own.forked_from = ForkedFrom("c", "n", subagent="abcde.1.2", turn=7)
    own.raised = Limits(turns=90)
    own.steering = [
        Steering(1, 0.0, f"{LIMITS_RAISED} More.", 1),
        Steering(2, 0.0, "Look.", 2),
        Steering(3, 0.0, "Late."),
    ]
    text = report(run, None, b"", now=0)
    assert "forked from 1.2, turn 7, told 1 thing by the operator, limits raised to 90 turns" in text


def test_a_control_run_says_that_it_is_one() -> None:
    assert "Control run without memory" in report(board(memory=Memory.NONE), None, b"", now=1.0)
    assert "Control run with shuffled memory" in report(board(memory=Memory.SHUFFLED), None, b"", now=1.0)
    assert "Control run" not in report(board(), None, b"", now=1.0)


def test_a_run_without_generations_has_a_report() -> None:
    bare = board()
    bare.generations.clear()
    text = report(bare, None, b"", now=1.0, ending=(RunState.FAILED, "The check cannot be run: no such file."))
    assert text.startswith("# A hard bug: failed\n\nThe check cannot be run: no such file.")
    assert "No attempt left a patch." in text


def test_the_chart_draws_each_line_on_its_own_scale() -> None:
    lines = chart(board(), width=10).splitlines()
    assert lines[0] == "observations (of 10)"
    assert lines[1] == "  gen  1 │█████     │ 5"
    assert lines[2] == "  gen  2 │██████████│ 10"
    assert lines[3] == "solved (of 2)"
    assert lines[5].endswith("│ 2")


@given(st.text())
def test_no_text_leaves_a_fence(text: str) -> None:
    shown = safe(text)
    block = fence(shown, "text").split("\n")
    ticks = block[0].removesuffix("text")
    assert block[-1] == ticks
    assert not any(line.strip().startswith(ticks) for line in block[1:-1])


@given(st.text(), st.binary())
def test_nothing_that_acts_on_a_terminal_gets_in(text: str, patch: bytes) -> None:
    hostile = board(title=text)
    checked = hostile.generations[2].lanes[1].checked
    assert checked is not None
    assert checked.result is not None
    hostile.generations[2].lanes[1].checked = replace(checked, result=replace(checked.result, tail=text))
    written = report(hostile, None, patch, now=1.0)
    assert safe(written) == written


@given(st.text(), st.text())
def test_a_cell_stays_in_its_column(one: str, two: str) -> None:
    lines = table(("a", "b"), [(code(one), code(two))]).split("\n")
    assert len(lines) == 3
    assert lines[2].replace("\\|", "").count("|") == 3


def test_no_secret_gets_in() -> None:
    key = "sk-ant-api03-" + "a1B2" * 24
    text = report(board(title=f"Use {key}"), None, PATCH.replace(b"+b", f"+KEY={key}".encode()), now=0.0)
    assert key not in text and "sk-ant-api03-****" in text


def test_it_says_whether_memory_helped_and_how_little_that_proves() -> None:
    known = Document(
        RUN,
        1,
        2,
        tuple(
            Observation(f"o-{n}", f"mark {n}", Subject.EDITS, Priority.IMPORTANT, Claim.HALF, "It helps.")
            for n in (1, 2)
        ),
    )
    text = report(board(), known, PATCH, now=0.0)
    section = text.split("## Does it help?")[1].split("## What failed")[0]
    assert "2 of 2 lanes with memory solved, 0 of 1 clean: +100 points, 95 % interval" in section
    assert "Too few to say." in section
    assert "gen  2 clean" in section
    assert "Of 2 observations that lanes can be compared by, 2: too few to say." in section
    assert "| `o-1`" not in section
    cited = board()
    said = Citation("o-1", Evidence(SubagentId(RUN, 2, 1), "call", "node", 0, 0, 3, "o-1"), True, "it did")
    cited.generations[2].lanes[1].cited = (said,)
    assert "| `o-1` | 2 of 2 | 0 of 1 | clean | +100 (" in report(cited, known, PATCH, now=0.0)
    assert "at once" in section
    control = report(board(memory=Memory.NONE), known, PATCH, now=0.0)
    assert "Does it help?" not in control
