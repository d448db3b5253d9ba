"""The command line: every action has its command, every mistake its sentence and its exit code."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from app.actions import ACTIONS
from app.cli import build_parser, main
from app.failure import Exit
from store import blobs, events, runs
from store.commands import pending, settle
from store.database import Store, open_store
from store.domain.events import (
    CheckResult,
    EngineStarted,
    GenerationDesigned,
    Payload,
    RunCreated,
    RunFinished,
    SubagentChecked,
    SubagentEnded,
    SubagentLaunched,
    TurnStarted,
)
from store.domain.ids import SubagentId
from store.domain.limits import Spend, Usage
from store.domain.states import Ending, RunState
from store.domain.strategy import LanePlan, Strategy
from store.domain.task import Check, Task
from store.home import Home
from store.lock import RunLock
from store.recording import CallEnd, CallStart, close_call, open_call

NOW = 1_795_400_000.0
RUN, OTHER = "7k3ab", "7m2qt"
ESCAPE = "\x1b[31mred"
PATCH = b"""diff --git a/shop.py b/shop.py
--- a/shop.py
+++ b/shop.py
@@ -1 +1 @@
-held = 1
+held = 2
"""


@dataclass
class Here:
    """A home with a run on a repository, and the command line pointed at it."""

    home: Home
    repository: Path
    capture: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, standard output, standard error."""
        code = main(arguments)
        told = self.capture.readouterr()
        return int(code), told.out, told.err

    def add(self, *payloads: Payload, run: str = RUN, generation: int | None = None, lane: int | None = None) -> None:
        with open_store(self.home.store) as store:
            store.write(
                lambda connection: events.append(connection, run, payloads, at=NOW, generation=generation, lane=lane)
            )


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, in an empty folder, without a key."""
    monkeypatch.setenv("MULTITRACK_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    monkeypatch.delenv("MULTITRACK_DEBUG", raising=False)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


@pytest.fixture
def here(nowhere: Path, capsys: pytest.CaptureFixture[str]) -> Here:
    repository = nowhere / "work" / "shop"
    git(repository.parent, "init", "-q", str(repository))
    git(repository, "config", "user.name", "Ada")
    git(repository, "config", "user.email", "ada@example.org")
    (repository / "shop.py").write_text("held = 1\n", encoding="utf-8")
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "Begin")
    revision = git(repository, "rev-parse", "HEAD")
    home = Home(nowhere / "home").create()
    task = Task(goal="mend it", repository=str(repository), check=Check("make check"))
    with open_store(home.store) as store:
        for at, run in enumerate((OTHER, RUN)):
            store.write(partial(runs.create, run=run, title=f"shop {ESCAPE}", at=NOW + at))
            home.folder(run).create()
    here = Here(home, repository, capsys)
    for run in (OTHER, RUN):
        here.add(RunCreated(task, f"shop {ESCAPE}", revision, 7), EngineStarted(1, "0", "http://127.0.0.1:1"), run=run)
    plans = tuple(LanePlan(lane, Strategy(f"way {lane}", "think"), clean=lane == 2) for lane in (1, 2))
    here.add(GenerationDesigned(plans), generation=1)
    with open_store(home.store) as store:
        digest = store.write(lambda connection: blobs.put(connection, PATCH))
        _record(store)
    for lane in (1, 2):
        solved = lane == 1
        here.add(
            SubagentLaunched("/sandbox", "m"),
            TurnStarted(1),
            SubagentEnded(Ending.SUBMITTED, "", Spend(turns=1)),
            SubagentChecked(solved, digest if solved else "", result=CheckResult(solved, 0, 0, 1.0, "", "")),
            generation=1,
            lane=lane,
        )
    return here


def _record(store: Store) -> None:
    body = {
        "model": "m",
        "max_tokens": 5,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Begin with the ledger."}]}],
    }
    answer = {
        "role": "assistant",
        "content": [
            {"type": "text", "text": f"I look {ESCAPE} at it"},
            {"type": "tool_use", "id": "t1", "name": "run", "input": {"command": "make check"}},
        ],
    }
    start = CallStart(
        "c1", NOW, RUN, SubagentId(RUN, 1, 1), "anthropic", "POST", "/v1/messages", json.dumps(body).encode()
    )
    end = CallEnd("c1", NOW + 2, 200, complete=True, message=answer, usage=Usage(10, 5), usd=0.5, response=b"bytes")
    store.write(lambda connection: open_call(connection, start))
    store.write(lambda connection: close_call(connection, end))


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, check=True, text=True)
    return done.stdout.strip()


@contextmanager
def engine(home: Home, run: str, answer: Callable[[str], tuple[bool, str]]) -> Iterator[None]:
    """Holds the run and settles its orders, as an engine does."""
    over = threading.Event()

    def work() -> None:
        with open_store(home.store) as store:
            while not over.is_set():
                for order in pending(store, run):
                    applied, outcome = answer(order.name)
                    store.write(partial(settle, command=order.id, applied=applied, outcome=outcome, at=NOW))
                over.wait(0.02)

    lock = RunLock(home.folder(run).lock)
    assert lock.acquire()
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        lock.release()


# The whole.


def test_every_action_has_its_command() -> None:
    parser, commands = build_parser()
    for action in ACTIONS:
        words = action.twin.replace("RUN", RUN).replace("SUBAGENT", "1.2").split()
        if words[1:] not in ([], ["--help"]):
            assert parser.parse_args(words[1:]).command in commands, action.twin


def test_help_names_every_command_and_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == Exit.FINE
    told = capsys.readouterr().out
    _, commands = build_parser()
    for command in commands.values():
        assert f"  {command.name:<14}{command.help}" in told
        assert len(f"  {command.name:<14}{command.help}") <= 100
        assert main([command.name, "--help"]) == Exit.FINE
        assert command.help in " ".join(capsys.readouterr().out.split())
    documented = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    for code in Exit:
        assert f"{code:<5}{code.meaning}" in told
        assert f"| {code} | {code.meaning} |" in documented


def test_without_a_terminal_the_app_does_not_open(nowhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == Exit.USAGE
    told = capsys.readouterr()
    assert "recording studio" in told.out
    assert "needs a terminal" in told.err


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["rnus"], "did you mean `runs`?"),
        (["xyzzy"], "there is no command `xyzzy`"),
        (["watch"], "RUN"),
        (["runs", "--jsn"], "--jsn"),
        (["demo", "--generations", "0"], "number from 1 to 100"),
        (["demo", "--no-memory", "--shuffled-memory"], "not allowed with"),
        (["run", "--uncommitted", "eat"], "eat"),
    ],
)
def test_a_mistake_in_the_command_is_one_sentence(
    nowhere: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], part: str
) -> None:
    assert main(arguments) == Exit.USAGE
    told = capsys.readouterr()
    assert told.out == ""
    assert part in told.err
    assert told.err.startswith("multitrack: ")
    assert told.err.count("\n") == 1


def test_global_options_may_stand_before_or_after_the_command(
    nowhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (["--home", "else", "doctor", "--json"], ["doctor", "--json", "--home", "else"]):
        main(arguments)
        said = {item["check"]: item["said"] for item in json.loads(capsys.readouterr().out)}
        assert said["home"] == f"{nowhere / 'work' / 'else'} (will be made)"
    main(["--store", "my.db", "doctor", "--json"])
    said = {item["check"]: item["said"] for item in json.loads(capsys.readouterr().out)}
    assert said["store"] == f"{nowhere / 'work' / 'my.db'} (will be made)"


def test_a_fault_of_our_own_is_a_sentence_and_with_debug_a_traceback(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(store: Store) -> None:
        raise ZeroDivisionError("nine\nlines")

    monkeypatch.setattr("store.runs.runs", fault)
    assert here("runs") == (
        Exit.FAULT,
        "",
        "multitrack: a fault of its own: ZeroDivisionError: nine. With --debug it says where.\n",
    )
    with pytest.raises(ZeroDivisionError):
        main(["--debug", "runs"])
    monkeypatch.setenv("MULTITRACK_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        main(["runs"])


def test_a_damaged_store_is_the_stores_problem(here: Here) -> None:
    here.home.store.write_bytes(b"this is no database" * 1000)
    for suffix in ("-wal", "-shm"):
        here.home.store.with_name(here.home.store.name + suffix).unlink(missing_ok=True)
    code, out, err = here("runs")
    assert (code, out) == (Exit.STORE, "")
    assert str(here.home.store) in err


def test_interrupted(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(store: Store) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("store.runs.runs", interrupt)
    assert here("runs") == (Exit.INTERRUPTED, "", "interrupted\n")


def test_a_reader_that_goes_away_is_no_error(here: Here) -> None:
    program = [sys.executable, "-P", "-E", "-m", "app", "--home", str(here.home.root), "watch", RUN, "--json"]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(program, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (Exit.PIPE, "")


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
    assert (code, "has a branch mend already" in err) == (Exit.USAGE, True)
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
    assert json.loads(here("calls", RUN, "--json")[1])[0]["usage"]["input"] == 10
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
    assert here("stop", RUN) == (Exit.UNSOLVED, "", f"multitrack: run {RUN} is over: there is nothing to stop.\n")
    code, _, err = here("resume", RUN)
    assert (code, "is over (solved)" in err) == (Exit.USAGE, True)


def test_no_subagent_of_that_name(here: Here) -> None:
    for name in ("two", "1", "1.2.3.4", "x.1"):
        assert here("kill", RUN, name)[0] == Exit.USAGE, name


# Starting.


def test_a_run_needs_a_task_file_and_a_key(nowhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run"]) == Exit.USAGE
    assert "multitrack init" in capsys.readouterr().err
    task = Path("multitrack.toml")
    task.write_text("[task]\n", encoding="utf-8")
    assert main(["run"]) == Exit.USAGE
    assert "multitrack.toml:1: task.goal: is missing" in capsys.readouterr().err
    task.write_text('[task]\ngoal = "a"\n[check]\ncommand = "false"\n', encoding="utf-8")
    assert main(["run"]) == Exit.ENVIRONMENT
    assert "ANTHROPIC_API_KEY" in capsys.readouterr().err
    assert not (nowhere / "home").exists(), "a clear word before anything starts"


def test_what_a_run_may_cost_is_said_before_it_starts(
    nowhere: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "key")
    Path("multitrack.toml").write_text('[task]\ngoal = "a"\n[check]\ncommand = "false"\n', encoding="utf-8")
    assert main(["run", "--headless"]) == Exit.USAGE, "this folder is no repository"
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith("This run may use: at most $100.00, 50,000,000 tokens, 5 h")
    assert told[1].startswith("multitrack: ")


def test_a_run_goes_on_when_who_follows_it_is_interrupted(
    nowhere: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(home: Home, run: str, environ: Mapping[str, str]) -> int:
        assert "ANTHROPIC_API_KEY" not in environ, "the scripted model needs none"
        return 1

    def interrupt(home: Home, run: str, *, json: bool) -> int:
        raise KeyboardInterrupt

    monkeypatch.setenv("ANTHROPIC_API_KEY", "key")
    monkeypatch.setattr("app.engines.start", start)
    monkeypatch.setattr("app.follow.follow", interrupt)
    assert main(["demo", "--headless"]) == Exit.INTERRUPTED
    told = capsys.readouterr().err
    run = json.loads((main(["runs", "--json"]), capsys.readouterr().out)[1])[0]["run"]
    assert f"Run {run} goes on. `multitrack watch {run}` follows it, `multitrack stop {run}` ends it." in told
    assert (nowhere / "home").stat().st_mode & 0o777 == 0o700


def test_there_is_no_such_practice_bug(nowhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--headless", "--practice", "nine"]) == Exit.USAGE
    assert "There are: one, two." in capsys.readouterr().err


def test_init_writes_a_file_once(nowhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("Makefile").write_text("test:\n\tfalse\n", encoding="utf-8")
    assert main(["init", "--goal", "mend it"]) == Exit.FINE
    assert "make test" in capsys.readouterr().out
    text = Path("multitrack.toml").read_text(encoding="utf-8")
    assert main(["init", "--goal", "other"]) == Exit.USAGE
    assert "stays as it is" in capsys.readouterr().err
    assert Path("multitrack.toml").read_text(encoding="utf-8") == text
    assert main(["init", "else.toml", "--check", "true"]) == Exit.FINE
    assert 'command = "true"' in Path("else.toml").read_text(encoding="utf-8")
