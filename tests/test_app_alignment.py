"""Two tapes aligned: pure, and from the command line."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import alignment, beside
from app.alignment import Kind, Step, Used, align, counterparts, steps
from app.cli import main
from store import events
from store.database import open_store
from store.domain.board import Board
from store.domain.events import (
    CallFinished,
    CallStarted,
    Event,
    Payload,
    SubagentRestarted,
    ToolFinished,
    ToolStarted,
    TurnStarted,
)
from store.domain.ids import SubagentId
from store.domain.limits import Usage
from store.home import VARIABLE
from tests import record


def step(turn: int, did: str, came: str = "fine") -> Step:
    return Step(turn, turn * 10, tools=(Used(f"t{turn}", "run", did, wrong=came != "fine", result=came),))


def tape(*did: str) -> list[Step]:
    return [step(number, *one.split("/")) for number, one in enumerate(did, 1)]


def drawn(left: list[Step], right: list[Step]) -> list[str]:
    def side(tape: list[Step], at: int | None) -> str:
        return "-" if at is None else tape[at].tools[0].summary

    return [f"{side(left, pair.left)} {pair.kind.value} {side(right, pair.right)}" for pair in align(left, right).pairs]


def test_they_stand_beside_each_other_until_they_part_and_where_they_meet_again() -> None:
    left, right = (
        tape("look", "test/broken", "edit", "test", "submit"),
        tape("look", "test", "grep", "read", "test", "submit"),
    )
    assert drawn(left, right) == [
        "look same look",
        "test other result test",
        "edit other grep",
        "- right only read",
        "test same test",
        "submit same submit",
    ]
    rows = align(left, right)
    assert rows.parts == 2
    assert [rows.next(-1, 1), rows.next(1, 1), rows.next(3, 1), rows.next(3, -1)] == [1, 2, None, 2]


def test_the_same_tapes_part_nowhere_and_a_longer_one_goes_on_alone() -> None:
    assert align(tape("a", "b"), tape("a", "b")).parts is None
    assert align(tape("a", "b", "c"), tape("a")).parts == 1
    assert align([], []).pairs == ()


@given(st.lists(st.sampled_from("abc"), max_size=12), st.lists(st.sampled_from("abc"), max_size=12))
def test_every_step_of_both_is_there_once_and_in_order(left: list[str], right: list[str]) -> None:
    rows = align(tape(*left), tape(*right))
    assert [pair.left for pair in rows.pairs if pair.left is not None] == list(range(len(left)))
    assert [pair.right for pair in rows.pairs if pair.right is not None] == list(range(len(right)))
    assert sum(rows.counts.values()) == len(rows.pairs)
    for pair in rows.pairs[: rows.parts]:
        assert pair.left == pair.right


@given(
    st.lists(st.sampled_from("abcdefghijkl"), max_size=40),
    st.lists(st.sampled_from("abcdefghijkl"), max_size=40),
    st.integers(1, 60),
    st.integers(1, 9),
)
def test_long_tapes_are_aligned_in_pieces(left: list[str], right: list[str], most: int, piece: int) -> None:
    ours, theirs = tape(*left), tape(*right)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alignment, "MOST", most)
        patch.setattr(alignment, "PIECE", piece)
        rows = align(ours, theirs)
    assert [pair.left for pair in rows.pairs if pair.left is not None] == list(range(len(left)))
    assert [pair.right for pair in rows.pairs if pair.right is not None] == list(range(len(right)))
    assert rows.parts == align(ours, theirs).parts
    for pair in rows.pairs:
        if pair.left is not None and pair.right is not None:
            assert (left[pair.left] == right[pair.right]) == (pair.kind is Kind.SAME)


@given(st.data(), st.integers(2, 60))
def test_what_was_done_once_holds_long_tapes_together(data: st.DataObject, length: int) -> None:
    left = [f"step {number}" for number in range(length)]
    kept = data.draw(st.lists(st.booleans(), min_size=length, max_size=length))
    right = [
        word
        for one, keep in zip(left, kept, strict=True)
        for word in ([one] if keep else ["other"] * data.draw(st.integers(0, 3)))
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alignment, "MOST", 1)
        patch.setattr(alignment, "PIECE", 3)
        rows = align(tape(*left), tape(*right))
    same = {left[pair.left] for pair in rows.pairs if pair.kind is Kind.SAME and pair.left is not None}
    assert same == {one for one, keep in zip(left, kept, strict=True) if keep}


def test_steps_are_the_subagents_own_turns_since_it_last_began() -> None:
    told: list[Payload] = [
        TurnStarted(1),
        SubagentRestarted(),
        TurnStarted(1),
        CallStarted("c1", "m"),
        CallFinished("c1", 200, "tool_use", Usage(10, 5), 0.1, 1.0),
        ToolStarted(1, "x", "task", "task look"),
        TurnStarted(2, thread="own", under="x"),
        CallStarted("c2", "m", thread="own"),
        CallFinished("c2", 200, "", Usage(7, 7), 0.1, 1.0),
        ToolFinished(1, "x", "task", True, 1.0, "", "exit code 2"),
        TurnStarted(3),
        CallStarted("c3", "m"),
        CallFinished("c3", 529, "", Usage(), None, 1.0, error="overloaded"),
    ]
    found = steps(Event(seq, 0.0, "r2345", 1, 1, payload) for seq, payload in enumerate(told, 1))
    assert [(one.turn, one.calls, one.tokens, one.error) for one in found] == [
        (1, ("c1",), 15, ""),
        (3, ("c3",), 0, "overloaded"),
    ]
    assert found[0].tools == (
        Used("x", "task", "task look", wrong=True, result="exit code 2", output=found[0].tools[0].output),
    )


def test_a_subagent_is_compared_with_its_strategy_in_other_generations_first(tmp_path: Path) -> None:
    with record.recorded(tmp_path) as home, open_store(home.store) as store:
        board = Board(record.LIVE)
        for event in events.read(store, run=record.LIVE):
            board.apply(event)
    found = counterparts(board, SubagentId(record.LIVE, 2, 3))
    assert found[0] == SubagentId(record.LIVE, 1, 3)
    # It has solved the task, those of its generation have not.
    assert {who.generation for who in found[1:5]} == {2}
    assert len(found) == 9
    assert counterparts(board, SubagentId(record.LIVE, 9, 9)) == []


def test_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with record.recorded(tmp_path) as home:
        monkeypatch.setenv(VARIABLE, str(home.root))
        assert main(["compare", record.LIVE, "2.3"]) == 0
        told = capsys.readouterr().out
        assert "1.3 history" in told
        assert "they part here" in told
        assert main(["compare", record.LIVE, "2.3", "1.1", "--json"]) == 0
        facts = json.loads(capsys.readouterr().out)
    assert (facts["left"], facts["right"]) == ("2.3", "1.1")
    assert len(facts["rows"]) == sum(facts["counts"].values())
    assert facts["counts"][Kind.SAME.value] < len(facts["rows"])


def test_edits_of_one_file_are_the_same_only_when_they_write_the_same() -> None:
    def edits(*writes: str) -> list[Step]:
        return [
            Step(number, number, tools=(Used(f"t{number}", "edit", "a.py", wrong=False, result="edited", writes=one),))
            for number, one in enumerate(writes, 1)
        ]

    assert align(edits("x", "y"), edits("x", "y")).parts is None
    assert align(edits("x", "y"), edits("x", "z")).parts == 1


def test_of_too_many_steps_the_beginnings_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with record.recorded(tmp_path) as home, open_store(home.store) as store:
        who = SubagentId(record.LIVE, 1, 3)
        every, _ = beside.read(store, who, who)
        first = next(at for at, step in enumerate(every) if any(tool.writes for tool in step.tools))
        monkeypatch.setattr(beside, "COMPARED", 2 * (first + 1))
        some, _ = beside.read(store, who, who)
        assert some[: first + 1] == every[: first + 1]
        monkeypatch.setattr(beside, "COMPARED", 0)
        assert not any(tool.writes for step in beside.read(store, who, who)[0] for tool in step.tools)


def test_what_two_turns_have_in_common_is_what_came_to_the_same() -> None:
    left = Step(1, 1, tools=(Used("a", "run", "ls", wrong=False, result="fine"), Used("b", "run", "make", True, "1")))
    right = Step(4, 9, tools=(Used("c", "run", "make", False, "0"), Used("d", "run", "ls", wrong=False, result="fine")))
    both = alignment.shared(left, right)
    assert [alignment.is_shared(tool, both) for tool in left.tools] == [True, False]


def test_a_tapes_steps_know_what_they_wrote(tmp_path: Path) -> None:
    with record.recorded(tmp_path) as home, open_store(home.store) as store:
        who, same = SubagentId(record.LIVE, 1, 3), SubagentId(record.LIVE, 2, 3)
        ours, again = beside.read(store, who, who)
        assert ours == again
        wrote = [tool for step in ours for tool in step.tools if tool.writes]
        assert {tool.name for tool in wrote} == {"edit"}
        edit = next(step for step in ours if any(tool.writes for tool in step.tools))
        one, other = beside.turns(store, edit, None)
        assert other == []
        said = "\n".join("".join(text for text, _ in line) for line in one)
        assert said.index("@@") < said.index("first byte"), "what was done comes before what it took"
        alone, _ = beside.turns(store, edit, edit)
        assert "@@" not in "".join(text for line in alone for text, _ in line), "of what is the same a line is enough"
        none, _ = beside.turns(store, edit, None, now=0.0)
        assert "@@" not in "".join(text for line in none for text, _ in line), "it is still to come"
        assert beside.read(store, who, who, until=edit.seq)[0][-1].turn == edit.turn
        # Where the other tape has nothing like it, what it wrote changes nothing.
        fresh, other_tape = beside.read(store, who, same)
        used = {(tool.name, tool.summary) for step in other_tape for tool in step.tools}
        for exact, step in zip(ours, fresh, strict=True):
            if any((tool.name, tool.summary) in used for tool in step.tools):
                assert step == exact
            assert align([exact], other_tape).counts == align([step], other_tape).counts
