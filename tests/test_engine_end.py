"""Engines that start badly, are told to leave, or find a run that is over: real processes, and what they leave."""

import json
import os
import resource
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from app.engines import EngineError, command, start
from app.failure import Exit
from app.follow import follow
from backends.engine import FAILED
from store import commands
from store import runs as store_runs
from store.database import open_store
from store.domain.commands import Stop
from store.domain.events import (
    BaselineChecked,
    CheckResult,
    EngineStarted,
    EngineStopped,
    FinishRan,
    FinishStarted,
    Payload,
    RunFinished,
)
from store.domain.states import RunState
from store.events import append
from store.home import Home
from store.lock import RunLock
from tests import runs
from tests.harnessrig import make_repository, small_task

PASSES = "#!/bin/sh\nexit 0\n"
SLOW = "#!/bin/sh\nsleep 1000\n"


def ordered(path: Path, check: str = PASSES, *, on_finish: str = "") -> tuple[Home, str]:
    """A run that no engine has worked on. A check that passes ends it at once."""
    home = Home(path / "home").create()
    repository = make_repository(path / "theirs", check)
    return home, runs.order_task(home, small_task(repository, on_finish=on_finish))


def tell(home: Home, run: str, *payloads: Payload) -> None:
    """What an engine that is gone had recorded."""
    with open_store(home.store) as store:
        store.write(lambda connection: append(connection, run, payloads, at=time.time()))


def over(home: Home, run: str) -> tuple[Payload, Payload]:
    """The last events of a run whose engine died when its end was recorded."""
    refused = "It passes."
    finished = RunFinished(RunState.FAILED, refused, str(home.folder(run).report))
    return BaselineChecked((CheckResult(True, 0, 0, 0.1, "", ""),) * 3, refused), finished


def of(home: Home, run: str, kind: type[Payload]) -> Sequence[Payload]:
    return [event.payload for event in runs.log(home, run) if isinstance(event.payload, kind)]


def test_the_closing_command_runs_once_with_what_it_must_know(tmp_path: Path) -> None:
    home, run = ordered(
        tmp_path, on_finish='echo "$MULTITRACK_RUN $MULTITRACK_STATE"; cat "$MULTITRACK_REPORT" | head -1'
    )
    board = runs.finish(home, run)
    assert board.state is RunState.FAILED
    assert board.finish_ran is not None
    assert board.finish_ran.exit_code == 0
    assert board.finish_ran.output == f"{run} failed\n# A test: failed\n"
    assert "ANTHROPIC_API_KEY" not in board.finish_ran.output
    again = runs.finish(home, run)
    assert again.finish_ran == board.finish_ran
    assert len(of(home, run, FinishStarted)) == len(of(home, run, FinishRan)) == 1


def test_it_runs_after_an_engine_that_died_before_it(tmp_path: Path) -> None:
    home, run = ordered(tmp_path, on_finish=f"echo ran >>{tmp_path}/times")
    tell(home, run, EngineStarted(1, "1", ""), *over(home, run))
    (home.folder(run).sandboxes / "left").mkdir(parents=True)
    line = [runs.PYTHON, "-P", "-m", "app", "--home", str(home.root), "resume", run, "--headless"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == Exit.USAGE, done.stderr
    assert len(of(home, run, EngineStopped)) == 1
    refused = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert "is over" in refused.stderr
    assert (tmp_path / "times").read_text() == "ran\n"
    assert not home.folder(run).sandboxes.exists()
    assert runs.board(home, run).spent(time.time()).seconds < 1, "what comes after the end is no work"


def test_it_does_not_run_again_after_an_engine_that_died_over_it(tmp_path: Path) -> None:
    home, run = ordered(tmp_path, on_finish=f"echo ran >>{tmp_path}/times; echo $$ >{tmp_path}/shell; sleep 1000")
    tell(home, run, *over(home, run))
    shell = tmp_path / "shell"
    with runs.engine(home, run) as process:
        runs.until(lambda: shell.exists() and shell.read_text().endswith("\n"), "the command")
        runs.kill(process)
    # Killed so, an engine leaves its command behind, which leads a group of its own.
    os.killpg(int(shell.read_text()), signal.SIGKILL)
    board = runs.finish(home, run)
    assert board.finish_ran is not None
    assert board.finish_ran.exit_code is None
    assert "interrupted" in board.finish_ran.output
    assert (tmp_path / "times").read_text() == "ran\n"


def test_an_engine_told_to_leave_ends_the_closing_command(tmp_path: Path) -> None:
    home, run = ordered(tmp_path, on_finish=f"touch {tmp_path}/begun; sleep 1000")
    tell(home, run, *over(home, run))
    with runs.engine(home, run) as process:
        runs.until((tmp_path / "begun").exists, "the command")
        process.terminate()
        assert process.wait(60) == 0
    assert runs.processes(f"MULTITRACK_RUN={run}") == []


def test_an_order_that_comes_too_late_is_refused(tmp_path: Path) -> None:
    home, run = ordered(tmp_path)
    tell(home, run, *over(home, run))
    with open_store(home.store) as store:
        order = commands.issue(store, run, Stop(), at=time.time())
        runs.finish(home, run)
        assert commands.outcome(store, order) == (False, "The run is over.")


def test_two_signals_at_any_moment_leave_nothing_behind(tmp_path: Path) -> None:
    home, run = ordered(tmp_path, SLOW)
    with runs.engine(home, run) as process:
        runs.until(lambda: bool(runs.processes(f"MULTITRACK_SANDBOX={run}")), "the check")
        process.terminate()
        process.terminate()
        assert process.wait(60) == 0
    assert runs.processes(f"MULTITRACK_SANDBOX={run}") == []
    assert runs.board(home, run).finished is None
    stopped = of(home, run, EngineStopped)
    assert stopped == [EngineStopped("It was told to leave; the run can be resumed.")]


def test_a_full_disk_ends_the_engine_with_a_clear_word_and_the_next_goes_on(tmp_path: Path) -> None:
    home, run = ordered(tmp_path)
    with open_store(home.store):
        pass
    size = home.store.stat().st_size
    log = home.folder(run).log

    def limited() -> None:
        # No file may grow beyond what the store has already: the log, which is small, may.
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))

    assert size > 8192
    with log.open("ab") as file:
        line = command(home, run)
        done = subprocess.run(line, stdout=file, stderr=file, preexec_fn=limited, timeout=60, check=False)
    assert done.returncode == FAILED
    last = log.read_text().splitlines()[-1]
    assert str(home.store) in last
    assert "full" in last.lower() or "written" in last.lower()
    assert runs.finish(home, run).state is RunState.FAILED
    assert len(of(home, run, RunFinished)) == 1


def test_an_engine_that_cannot_start_says_why(tmp_path: Path) -> None:
    home, run = ordered(tmp_path)
    with open_store(home.store) as store:
        store.write(lambda connection: store_runs.create(connection, "bare", "A bare recording", at=0.0))
    home.folder("bare").create()
    with pytest.raises(EngineError) as caught:
        start(home, "bare", os.environ)
    assert str(home.folder("bare").log) in str(caught.value)
    assert "There is no run bare" in str(caught.value)
    with pytest.raises(EngineError, match="is gone"):
        start(home, "nowhere", os.environ)
    with RunLock(home.folder(run).lock) as lock:
        assert lock.acquire()
        with pytest.raises(EngineError, match="works on run"):
            start(home, run, os.environ)


def test_an_engine_that_has_ended_is_no_zombie_of_who_started_it(tmp_path: Path) -> None:
    home, run = ordered(tmp_path)
    pid = start(home, run, os.environ)
    runs.until(lambda: not Path(f"/proc/{pid}").exists(), "the engine's end, of which nothing stays")


def test_following_a_run_that_is_over_tells_it_and_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home, run = ordered(tmp_path)
    runs.finish(home, run)
    assert follow(home, run) is Exit.USAGE
    out = capsys.readouterr().out
    assert "passes before anything is changed" in out
    assert f"Report: {home.folder(run).report}" in out
    assert follow(home, run, json=True) is Exit.USAGE
    assert json.loads(capsys.readouterr().out)["state"] == "failed"


def test_following_a_run_whose_engine_died_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home, run = ordered(tmp_path, SLOW)
    with open_store(home.store) as store, runs.engine(home, run) as process:
        runs.until_event(store, run, "engine.started", after=0, process=process)
        runs.kill(process)
    code = follow(home, run)
    captured = capsys.readouterr()
    assert code is Exit.ENVIRONMENT
    assert f"multitrack resume {run}" in captured.err
    assert str(home.folder(run).log) in captured.err
