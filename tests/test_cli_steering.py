"""`multitrack steer`, `limits`, `restart`, `fork`, and orders to several subagents at once, on the command line."""

import io
import json
import sys

import pytest

from app.failure import Exit
from store import tapes
from store.commands import pending
from store.database import open_store
from store.domain.commands import Command, Fork, Kill, Raise, Restart, Steer
from store.domain.events import RunFinished, SubagentRestarted
from store.domain.limits import Limits
from store.domain.states import RunState
from store.domain.strategy import LanePlan, Strategy
from tests.shop import RUN, Here, engine, here, nowhere

__all__ = ["here", "nowhere"]


def waiting(here: Here) -> list[Command | None]:
    with open_store(here.home.store) as store:
        return [order.command for order in pending(store, RUN)]


def typed(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_several_are_ordered_at_once_and_each_answer_is_said(here: Here) -> None:
    answers = iter([(True, "1.1 it is"), (False, "1.2 does not run."), (True, "1.3 it is")])
    with engine(here.home, RUN, lambda order: next(answers)):
        assert here("pause", RUN, "1.1", "1.2,1.3", "1.1") == (
            Exit.UNSOLVED,
            "1.1 it is\nrefused: 1.2 does not run.\n1.3 it is\n",
            "",
        )
    assert here("kill", RUN, "1.2", f"{RUN}.1.1")[1].startswith(f"No engine works on run {RUN}: 2 commands wait.")
    assert waiting(here) == [Kill(1, 2), Kill(1, 1)]
    assert here("pause", RUN, "1.1", "two")[0] == Exit.USAGE
    assert waiting(here) == [Kill(1, 2), Kill(1, 1)], "nobody is paused when one of them is none"


def test_orders_and_answers_as_json(here: Here) -> None:
    with engine(here.home, RUN, lambda order: (order == "pause", "said")):
        code, out, _ = here("pause", RUN, "1.1", "--json")
        assert (code, json.loads(out)) == (
            Exit.FINE,
            [{"command": "pause", "subagent": "1.1", "applied": True, "outcome": "said"}],
        )
        code, out, _ = here("stop", RUN, "--json")
        assert (code, json.loads(out)) == (
            Exit.UNSOLVED,
            [{"command": "stop", "subagent": None, "applied": False, "outcome": "said"}],
        )
    code, out, _ = here("continue", RUN, "1.1", "--json")
    assert (code, json.loads(out)) == (
        Exit.FINE,
        [{"command": "continue", "subagent": "1.1", "applied": None, "outcome": None}],
    )


def test_a_message_is_written_in_words_or_comes_from_elsewhere(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    assert here("steer", RUN, "1.1,1.2", "Look", "at the lock.")[0] == Exit.FINE
    typed(monkeypatch, b"Two\nlines \xff\n")
    assert here("steer", RUN, "1.1", "-")[0] == Exit.FINE
    assert waiting(here) == [
        Steer(1, 1, "Look at the lock."),
        Steer(1, 2, "Look at the lock."),
        Steer(1, 1, "Two\nlines \ufffd\n"),
    ]
    code, _, err = here("steer", RUN, "1.1", "  ")
    assert (code, "there is nothing in that message" in err) == (Exit.USAGE, True)
    assert here("steer", RUN, "1.1")[0] == Exit.USAGE


def test_limits_are_shown_and_raised(here: Here) -> None:
    code, out, _ = here("limits", RUN, "1.1")
    assert code == Exit.FINE
    assert out.splitlines()[0].split() == ["SUBAGENT", "TURNS", "TOKENS", "COST", "TIME"]
    assert out.splitlines()[1].split()[:2] == ["1.1", "1"]
    plan = LanePlan(1, Strategy("way 1", "think", limits=Limits(turns=40, usd=2.0)), clean=False)
    here.add(SubagentRestarted(plan), generation=1, lane=1)
    assert "0 of 40" in here("limits", RUN, "1.1")[1]
    told = json.loads(here("limits", RUN, "1.1,1.2", "--json")[1])
    assert [one["subagent"] for one in told] == ["1.1", "1.2"]
    assert told[0]["turns"] == {"used": 0, "limit": 40}
    assert here("limits", RUN, "1.1", "--turns", "+10", "--usd", "+50%")[0] == Exit.FINE
    assert waiting(here) == [Raise(1, 1, turns=50, usd=3.0)]


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (("1.1", "--turns", "many"), Exit.USAGE, "is not understood"),
        (("1.1", "--turns", "30"), Exit.UNSOLVED, "1.1 may use 40 already"),
        (("1.9", "--turns", "30"), Exit.USAGE, "has no subagent 1.9"),
        (("1.9",), Exit.USAGE, "has no subagent 1.9"),
    ],
)
def test_limits_that_cannot_be_raised(here: Here, arguments: tuple[str, ...], code: Exit, why: str) -> None:
    plan = LanePlan(1, Strategy("way 1", "think", limits=Limits(turns=40)), clean=False)
    here.add(SubagentRestarted(plan), generation=1, lane=1)
    found, _, err = here("limits", RUN, *arguments)
    assert (found, why in err) == (code, True), err
    assert waiting(here) == []


def test_another_strategy_and_another_model(here: Here) -> None:
    assert here("restart", RUN, "1.1", "1.2", "--strategy", "Read the history.", "--model", "claude-x")[0] == Exit.FINE
    assert here("restart", RUN, "1.1")[0] == Exit.FINE
    assert waiting(here) == [
        Restart(1, 1, "Read the history.", "claude-x"),
        Restart(1, 2, "Read the history.", "claude-x"),
        Restart(1, 1),
    ]


def test_a_fork_is_named_by_a_call_or_a_node(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_store(here.home.store) as store:
        (call,) = tapes.calls(store, run=RUN)
    first, answer = call.tail, call.answer
    assert first is not None
    assert answer is not None
    assert here("fork", RUN, "c1", "--strategy", "way 2")[0] == Exit.FINE
    assert here("fork", RUN, answer[:8])[0] == Exit.FINE
    typed(monkeypatch, b"Begin with the till.")
    assert here("fork", RUN, "c1", "--node", first[:12], "--text", "-", "--model", "claude-x")[0] == Exit.FINE
    assert waiting(here) == [
        Fork("c1", strategy="way 2"),
        Fork("c1", answer),
        Fork("c1", first, "Begin with the till.", model="claude-x"),
    ]
    for arguments, why in [
        (("nothing",), "no call and no node whose name begins with 'nothing'"),
        (("c",), "4 characters and more"),
        (("%%%%",), "no call and no node"),
        ((answer, "--node", first), "is a node itself"),
        (("c1", "--node", "zzzz"), "begins with 'zzzz'"),
    ]:
        code, _, err = here("fork", RUN, *arguments)
        assert (code, why in err) == (Exit.USAGE, True), err
    with engine(here.home, RUN, lambda order: (True, f"{order} it is")):
        assert here("fork", RUN, "c1")[:2] == (Exit.FINE, "fork it is\n")


def test_nothing_of_it_is_ordered_of_a_run_that_is_over(here: Here) -> None:
    here.add(RunFinished(RunState.SOLVED, "done", "report.md"))
    for arguments in [("steer", RUN, "1.1", "x"), ("limits", RUN, "1.1", "--turns", "9"), ("fork", RUN, "c1")]:
        code, _, err = here(*arguments)
        assert (code, err) == (
            Exit.UNSOLVED,
            f"multitrack: run {RUN} is over: there is nothing to {arguments[0]}.\n",
        )
    assert here("limits", RUN, "1.1")[0] == Exit.FINE
    with engine(here.home, RUN, lambda order: (True, "")):
        assert waiting(here) == []
