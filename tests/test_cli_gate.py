"""`gate`, `effect`, and the options of `run` that say how a run remembers and waits."""

import json
import subprocess
import sys
from argparse import ArgumentTypeError
from dataclasses import replace
from pathlib import Path

import pytest

from app.cli import main
from app.demo import demo_task
from app.failure import CommandError, Exit
from app.gate import of_task, remembered_by
from app.remembering import Gate, gate, remembered
from store import events, observations
from store.commands import pending
from store.database import open_store
from store.domain.commands import ChangePlan, Command, Launch, PlanChange, Stop
from store.domain.events import GateOpened, GenerationObserved, GenerationPlanned
from store.domain.ids import SubagentId
from store.domain.limits import Limits
from store.domain.observations import Claim, Document, Observation, Priority, Subject
from store.domain.replay import Replay
from store.domain.strategy import LanePlan, Strategy
from store.home import Home
from tests import runs
from tests.shop import NOW, OTHER, RUN, Here, engine, here, nowhere

__all__ = ["here", "nowhere"]

ESCAPE = "\x1b[31m"


def observation(name: str, text: str) -> Observation:
    by = (SubagentId(RUN, 1, 1),)
    return Observation(name, f"{name}mark", Subject.EDITS, Priority.IMPORTANT, Claim.HALF, text, attempts=by)


@pytest.fixture
def waiting(here: Here) -> Here:
    """A run at the gate after its first generation, that knows two things."""
    known = Document(RUN, 0, 1, (observation("o-1111", f"The lock {ESCAPE} helps."), observation("o-2222", "Another.")))
    with open_store(here.home.store) as store:
        store.write(lambda connection: observations.save(connection, known, author="observer", at=NOW))
    here.add(GenerationObserved(1, 2, 2, 0), GateOpened(waits=True, seconds=900.0), generation=1)
    return here


def orders(here: Here) -> list[Command | None]:
    with open_store(here.home.store) as store:
        return [order.command for order in pending(store, RUN)]


def test_the_gate_shows_what_would_be_launched_and_what_it_may_cost(waiting: Here) -> None:
    code, out, _ = waiting("gate", RUN)
    assert code == Exit.FINE
    assert "At the gate after generation 1 of 5: solved 1 of 1, clean 0 of 1, 2 known." in out
    assert "It opens by itself in" in out
    assert "Generation 2, as the rules propose it:" in out
    assert "version 1 of the observations, in at most 3,000 tokens" in out
    assert "Cost so far $0.50" in out and "at most $25.00" in out
    assert f"`multitrack gate {RUN} --approve`" in out
    assert "\x1b" not in out


def test_the_gate_as_json(waiting: Here) -> None:
    code, out, _ = waiting("gate", RUN, "--json")
    told = json.loads(out)
    assert code == Exit.FINE
    assert (told["waits"], told["next"], told["changed"], told["version"]) == (True, 2, False, 1)
    assert [lane["clean"] for lane in told["lanes"]] == [False] * 4 + [True]
    assert sorted(len(lane["observations"]) for lane in told["lanes"]) == [0, 1, 2, 2, 2]
    assert [lane["without"] for lane in told["lanes"] if lane["without"]] != []
    assert told["cost"]["usd"] == 0.5
    assert told["opens_at"] == NOW + 900.0
    plans = (LanePlan(1, Strategy("mine", "my way", model="m-2", limits=Limits(turns=7)), False, "chosen"),)
    waiting.add(GenerationPlanned(plans), generation=1)
    changed = json.loads(waiting("gate", RUN, "--json")[1])
    assert (changed["changed"], len(changed["lanes"])) == (True, 1)
    assert (changed["lanes"][0]["model"], changed["lanes"][0]["limits"]["turns"]) == ("m-2", 7)
    assert "as you changed it" in waiting("gate", RUN)[1]


@pytest.mark.parametrize(
    ("options", "given"),
    [
        (["--approve"], [Launch()]),
        (["--approve", "--rest"], [Launch(rest=True)]),
        (["--again"], [Launch(again=True)]),
        (["--without-curation"], [Launch(curated=False)]),
        (["--stop"], [Stop()]),
        (["--as-proposed"], [ChangePlan(anew=True)]),
        (
            ["--remove", "2,3", "--add-clean"],
            [ChangePlan((PlanChange("remove", 2), PlanChange("remove", 3), PlanChange("add", clean=True)))],
        ),
        (
            ["--change", "1", "--strategy", "look twice", "--model", "m-2", "--usd", "1.5", "--turns", "40"],
            [ChangePlan((PlanChange("change", 1, "look twice", "m-2", Limits(turns=40, usd=1.5)),))],
        ),
        (
            ["--add", "read it all", "--seconds", "20m"],
            [ChangePlan((PlanChange("add", 0, "read it all", limits=Limits(seconds=1200.0)),))],
        ),
    ],
)
def test_decisions_and_changes_are_orders(waiting: Here, options: list[str], given: list[Command]) -> None:
    code, out, _ = waiting("gate", RUN, *options)
    assert code == Exit.FINE
    assert "the command waits" in out
    assert orders(waiting) == given


def test_what_is_refused_is_not_launched_all_the_same(waiting: Here) -> None:
    heard: list[str] = []

    def answer(name: str) -> tuple[bool, str]:
        heard.append(name)
        return name == "launch", f"{name} was heard"

    with engine(waiting.home, RUN, answer):
        code, out, _ = waiting("gate", RUN, "--remove", "9", "--approve")
        assert (code, heard) == (Exit.UNSOLVED, ["change-plan"])
        assert "refused: change-plan was heard" in out and "The decision was not passed on." in out
        code, out, _ = waiting("gate", RUN, "--approve", "--json")
    assert code == Exit.FINE
    assert json.loads(out) == [{"command": "launch", "subagent": None, "applied": True, "outcome": "launch was heard"}]


@pytest.mark.parametrize(
    "options",
    [
        ["--rest"],
        ["--approve", "--stop"],
        ["--change", "1"],
        ["--change", "x", "--model", "m"],
        ["--model", "m"],
        ["--change", "1", "--turns", "+3"],
        ["--change", "1", "--turns", "many"],
    ],
)
def test_what_makes_no_sense_is_said_before_anything_is_ordered(waiting: Here, options: list[str]) -> None:
    code, _, error = waiting("gate", RUN, *options)
    assert code == Exit.USAGE
    assert error
    assert orders(waiting) == []


def test_a_run_without_an_open_gate_says_so(here: Here) -> None:
    code, out, _ = here("gate", RUN)
    assert code == Exit.FINE
    assert "No gate is open; the run is" in out and "--approve" not in out
    assert "has no generation yet" in here("gate", OTHER)[1]


def test_the_effect_is_told_with_how_little_it_proves(waiting: Here) -> None:
    code, out, _ = waiting("effect", RUN)
    assert code == Exit.FINE
    assert "nothing to compare yet" in out
    assert "gen  1 memory" in out
    code, out, _ = waiting("effect", RUN, "--json")
    told = json.loads(out)
    assert told["runs"] == [RUN]
    assert [one["id"] for one in told["observations"]] == ["o-1111", "o-2222"]
    assert told["observations"][0]["beside_others"]["verdict"] == "not compared"
    assert told["curves"][0]["memory"]["interval"][0] > 0
    code, out, _ = waiting("effect", RUN, "--id", "o-2222")
    assert "No lane with a verdict has been told it yet." in out
    assert waiting("effect", RUN, "--id", "o-9999")[0] == Exit.USAGE
    assert json.loads(waiting("effect", RUN, "--task", "--json")[1])["runs"] == [OTHER, RUN]
    assert "\x1b" not in waiting("effect", RUN)[1]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("auto", Gate(open=True)),
        ("ask", Gate(open=False)),
        ("timeout=900", Gate(open=False, seconds=900.0)),
        ("timeout=1.5h", Gate(open=False, seconds=5400.0)),
        ("timeout=15m", Gate(open=False, seconds=900.0)),
    ],
)
def test_how_gates_wait(text: str, found: Gate) -> None:
    assert gate(text) == found


@pytest.mark.parametrize("text", ["", "never", "timeout", "timeout=0", "timeout=-3", "timeout=15 m", "timeout=9999h"])
def test_how_gates_cannot_wait(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="none of auto, ask"):
        gate(text)


def test_what_may_be_remembered(waiting: Here, tmp_path: Path) -> None:
    with open_store(waiting.home.store) as store:
        from app.context import read_board

        board = read_board(store, RUN)
        (document,), said = remembered(store, [RUN, "last"], board.task)
        assert (document.run, said) == (RUN, [])
        (_,), said = remembered(
            store, [RUN], replace(board.task, check=replace(board.task.check, command="make other"))
        )
        assert said == [f"Run {RUN} had another check: make check"]
        with pytest.raises(CommandError, match="no observations"):
            remembered(store, [OTHER], board.task)
        clone = tmp_path / "clone"
        subprocess.run(["git", "clone", "-q", board.task.repository, str(clone)], check=True)
        assert remembered(store, [RUN], replace(board.task, repository=str(clone)))[0] == [document]
        subprocess.run(["git", "init", "-q", str(tmp_path / "else")], check=True)
        with pytest.raises(CommandError, match="of another code"):
            remembered(store, [RUN], replace(board.task, repository=str(tmp_path / "else")))
        assert [other.run for other, _ in of_task(store, board)] == [OTHER]
        assert remembered_by(store, board) == []
        assert board.order is not None
        replaying = replace(board.order, replay=Replay(OTHER))
        store.write(lambda connection: events.append(connection, RUN, [replaying], at=9.0))
        with pytest.raises(CommandError, match=f"is a replay of {OTHER}.* Remember {OTHER}"):
            remembered(store, [RUN], board.task)


def test_a_demo_starts_from_an_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("app.demo.demo_task", lambda *given, **more: replace(demo_task(*given, **more), lanes=2))

    def demo(*options: str) -> dict[str, object]:
        line = ["--home", str(tmp_path / "home"), "demo", "--json", "--sandbox", "local", "--generations", "1"]
        assert main([*line, *options]) == Exit.FINE
        told: dict[str, object] = json.loads(capsys.readouterr().out)
        return told

    first = demo("--seed", "1")
    second = demo("--seed", "2", "--remember", str(first["run"]), "--gate", "timeout=60")
    with open_store(Home(tmp_path / "home").store) as store:
        known = observations.load(store, str(second["run"]))
    assert known is not None
    supported = {each.run for o in known.observations for each in o.attempts}
    assert supported == {first["run"], second["run"]}
    generations = second["generations"]
    assert isinstance(generations, list) and generations[0]["injected"] > 0


def test_a_control_remembers_nothing(nowhere: Path) -> None:
    line = [sys.executable, "-P", "-m", "app", "demo", "--headless", "--no-memory", "--remember", "last"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=runs.DEADLINE, check=False)
    assert done.returncode == Exit.USAGE
    assert "a control remembers nothing" in done.stderr
