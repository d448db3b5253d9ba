"""The commands that look at a run, its tapes and its patch, and those that steer it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from app.cli import main
from app.context import read_board
from app.failure import Exit
from store.commands import pending
from store.database import open_store
from store.domain.board import Board
from store.domain.events import EngineStopped, RunFinished
from store.domain.states import RunState
from tests.shop import ESCAPE, OTHER, PATCH, RUN, Here, engine, git, here, nowhere

__all__ = ["here", "nowhere"]


# Looking.


def test_nothing_recorded_yet(nowhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs"]) == Exit.FINE
    assert "multitrack demo" in capsys.readouterr().out
    assert main(["runs", "--json"]) == Exit.FINE
    assert json.loads(capsys.readouterr().out) == []
    assert main(["watch", "last"]) == Exit.USAGE
    assert "multitrack demo" in capsys.readouterr().err
    assert not (nowhere / "home").exists(), "looking makes nothing"


def test_runs_are_listed_newest_first(here: Here) -> None:
    code, out, _ = here("runs")
    assert code == Exit.FINE
    assert [line.split()[0] for line in out.splitlines()] == ["RUN", RUN, OTHER]
    assert "interrupted" in out.splitlines()[1]
    assert "\x1b" not in out
    with engine(here.home, OTHER, lambda name: (True, "")):
        _, out, _ = here("runs")
        assert "checking" in out.splitlines()[2]
    code, out, _ = here("runs", "--json")
    listed = json.loads(out)
    assert [run["run"] for run in listed] == [RUN, OTHER]
    assert listed[0]["generations"][0]["solved"] == 1
    assert "\x1b" not in out


def test_a_run_is_found_by_its_beginning(here: Here) -> None:
    assert here("report", "7k")[0] == Exit.UNSOLVED
    code, _, err = here("report", "7")
    assert (code, RUN in err, OTHER in err) == (Exit.USAGE, True, True)
    code, _, err = here("report", "zz")
    assert (code, RUN in err) == (Exit.USAGE, True)
    here.home.folder(RUN).report.write_text(f"# Report\n{ESCAPE}\n", encoding="utf-8")
    assert here("report", "last") == (Exit.FINE, "# Report\n␛[31mred\n", "")
    assert here("report", RUN, "--path") == (Exit.FINE, f"{here.home.folder(RUN).report}\n", "")
    here.add(RunFinished(RunState.SOLVED, "done", "elsewhere/report.md"))
    here.home.folder(RUN).report.unlink()
    code, _, err = here("report", RUN)
    assert (code, "it was written to elsewhere/report.md" in err) == (Exit.ENVIRONMENT, True)


def test_watch_prints_every_event_of_the_run_as_json(here: Here) -> None:
    here.add(RunFinished(RunState.SOLVED, "done", "report.md"))
    code, out, _ = here("watch", RUN, "--json")
    told = [json.loads(line) for line in out.splitlines()]
    assert code == Exit.FINE
    assert [event["seq"] for event in told] == sorted(event["seq"] for event in told)
    assert {event["run"] for event in told} == {RUN}
    assert told[0]["kind"] == "run.created"
    assert told[0]["data"]["seed"] == 7
    assert told[-1]["kind"] == "run.finished"


def test_observations_before_there_are_any(here: Here) -> None:
    assert here("observations", RUN)[1].startswith("No observations yet")
    assert json.loads(here("observations", RUN, "--json")[1]) is None


def test_the_best_patch_is_printed_to_the_byte(here: Here) -> None:
    program = [sys.executable, "-P", "-E", "-m", "app", "--home", str(here.home.root), "patch", "last"]
    done = subprocess.run(program, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (Exit.FINE, PATCH)
    assert b"passes the check" in done.stderr


def test_a_patch_goes_on_a_branch_and_nothing_else_changes(here: Here) -> None:
    (here.repository / "shop.py").write_text("half written\n", encoding="utf-8")
    before = git(here.repository, "status", "--porcelain"), git(here.repository, "rev-parse", "HEAD")
    code, out, _ = here("patch", RUN, "--apply", "mend")
    assert code == Exit.FINE
    assert git(here.repository, "show", "mend:shop.py") == "held = 2"
    assert git(here.repository, "rev-parse", "mend")[:12] in out
    assert git(here.repository, "log", "-1", "--format=%an, %cn, %P", "mend") == f"Multitrack, Ada, {before[1]}"
    assert "1.1 of run 7k3ab" in git(here.repository, "log", "-1", "--format=%b", "mend")
    assert before == (git(here.repository, "status", "--porcelain"), git(here.repository, "rev-parse", "HEAD"))
    code, _, err = here("patch", RUN, "--apply", "mend")
    assert (code, "has a branch `mend` already" in err) == (Exit.USAGE, True)
    code, _, err = here("patch", RUN, "--apply", "a..b")
    assert (code, "can't be the name" in err) == (Exit.USAGE, True)


def test_a_patch_that_is_not_there(here: Here) -> None:
    assert here("patch", RUN, "--subagent", "1.2")[0] == Exit.UNSOLVED
    assert here("patch", OTHER)[0] == Exit.UNSOLVED
    code, _, err = here("patch", RUN, "--subagent", "9.9")
    assert (code, "there are 1.1 to 1.2" in err) == (Exit.USAGE, True)


# The tapes.


def test_a_tape_is_a_tree(here: Here) -> None:
    code, out, _ = here("trace", RUN, "1.1")
    assert code == Exit.FINE
    assert out.splitlines()[1:] == [
        "└─ turn 1  c1  m  200  15 tokens  2 s",
        "   ├─ user text: Begin with the ledger.",
        "   ├─ assistant text: I look ␛[31mred at it",
        "   └─ call run: command make check",
    ]
    assert '"command": "make check"' in here("trace", RUN, f"{RUN}.1.1", "--full")[1]
    assert here("trace", RUN, "1.2")[1].splitlines()[-1] == "└─ no calls yet"
    assert [line.split()[1] for line in here("trace", RUN)[1].splitlines()[1:]] == ["generation", "1.1", "1.2"]
    assert here("trace", RUN, "one")[0] == Exit.USAGE


def test_what_was_said_is_found(here: Here) -> None:
    code, out, _ = here("search", "ledger")
    assert (code, f"{RUN}.1.1" in out) == (Exit.FINE, True)
    assert json.loads(here("search", "ledger", "--json", "--run", RUN)[1])[0]["call"] == "c1"
    assert here("search", "ledger", "--run", OTHER) == (Exit.UNSOLVED, "Nothing found.\n", "")
    assert here("search", '"AND (')[0] in (Exit.FINE, Exit.UNSOLVED)


def test_calls_and_whether_they_can_be_rebuilt(here: Here) -> None:
    assert "c1" in here("calls", RUN)[1]
    assert json.loads(here("calls", RUN, "--json")[1])[0]["tokens"]["input"] == 10
    assert here("verify", RUN)[0] == Exit.FINE
    with open_store(here.home.store) as store:
        store.write(lambda connection: connection.exec_driver_sql("UPDATE calls SET request_digest = 'other'"))
    assert here("verify", RUN)[0] == Exit.UNSOLVED


# Steering.


@pytest.mark.parametrize(
    "arguments",
    [("launch",), ("launch", "--rest"), ("stop",), ("kill", "1.2"), ("pause", "1.2"), ("continue", "1.2")],
)
def test_an_order_is_answered_by_the_engine(here: Here, arguments: tuple[str, ...]) -> None:
    name, *more = arguments
    with engine(here.home, RUN, lambda order: (True, f"{order} it is")):
        assert here(name, RUN, *more) == (Exit.FINE, f"{name} it is\n", "")
    with engine(here.home, RUN, lambda order: (False, "not now")):
        assert here(name, RUN, *more) == (Exit.UNSOLVED, "refused: not now\n", "")


def test_an_order_waits_while_no_engine_lives(here: Here) -> None:
    code, out, _ = here("kill", RUN, "1.2")
    assert code == Exit.FINE
    assert out == f"No engine works on run {RUN}: the command waits. `multitrack resume {RUN}` starts one.\n"
    with open_store(here.home.store) as store:
        assert [order.name for order in pending(store, RUN)] == ["kill"]


def test_there_is_nothing_to_order_when_a_run_is_over(here: Here) -> None:
    here.add(RunFinished(RunState.SOLVED, "done", "report.md"))
    here.add(EngineStopped("The run is over."))
    assert here("stop", RUN) == (Exit.UNSOLVED, "", f"multitrack: run {RUN} is over: there is nothing to stop.\n")
    code, _, err = here("resume", RUN)
    assert (code, "is over (solved)" in err) == (Exit.USAGE, True)


def test_a_resumed_run_may_wait_otherwise_at_its_gates(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.commands.begin.launch", lambda *_: Exit.FINE)
    monkeypatch.setattr("app.credentials.provider_environ", lambda environ, task: {})

    def board() -> Board:
        with open_store(here.home.store) as store:
            return read_board(store, RUN)

    before = board().gates_open, board().gate_seconds
    assert here("resume", RUN)[0] == Exit.FINE
    assert (board().gates_open, board().gate_seconds) == before
    assert here("resume", RUN, "--gate", "timeout=15m")[0] == Exit.FINE
    assert (board().gates_open, board().gate_seconds) == (False, 900.0)
    assert here("resume", RUN, "--gate", "auto")[0] == Exit.FINE
    assert (board().gates_open, board().gate_seconds) == (True, None)
    code, _, err = here("resume", RUN, "--gate", "never")
    assert (code, "is none of auto, ask and timeout=TIME" in err) == (Exit.USAGE, True)


def test_no_subagent_of_that_name(here: Here) -> None:
    for name in ("two", "1", "1.2.3.4", "x.1"):
        assert here("kill", RUN, name)[0] == Exit.USAGE, name
