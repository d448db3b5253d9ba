"""A demo in containers that is cut short: nothing of it is left, and it can go on."""

import asyncio
import os
import signal
import subprocess
from pathlib import Path

import pytest

from store.domain.docker import DockerSettings
from store.domain.task import SandboxKind
from store.home import Home
from store.lock import holder
from tests import runs
from tests.dockerrig import IMAGE, engine, left, sandboxes_in, working

pytestmark = [engine(), pytest.mark.timeout(600)]

COMMAND = [runs.PYTHON, "-P", "-m", "app"]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home").create()


def run_of(home: Home) -> str:
    """The one run of a home, once it is there."""
    folder = home.root / "runs"
    runs.until(lambda: folder.is_dir() and any(folder.iterdir()), "a run")
    return next(folder.iterdir()).name


def begun(home: Home) -> "tuple[subprocess.Popen[bytes], str]":
    """A demo whose subagents are at work, and its run."""
    where = ["--sandbox", "docker", "--base", IMAGE, "--pace", "200"]
    line = [*COMMAND, "--home", str(home.root), "demo", "--headless", "--generations", "1", *where]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, start_new_session=True)
    run = run_of(home)
    runs.until(lambda: len(working(home.root)) >= 5 or process.poll() is not None, "containers")
    return process, run


def killed(home: Home) -> str:
    """The run of a demo whose engine was killed at work."""
    process, run = begun(home)
    held = holder(home.folder(run).lock)
    assert held is not None
    os.kill(held.pid, signal.SIGKILL)
    process.communicate(timeout=runs.DEADLINE)
    return run


def test_nothing_is_left_when_its_engine_is_told_to_leave_and_the_next_one_goes_on(home: Home) -> None:
    process, run = begun(home)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=runs.DEADLINE)
    lock = home.folder(run).lock
    held = holder(lock)
    assert held is not None, "the engine goes on without the command"
    os.kill(held.pid, signal.SIGTERM)
    runs.until(lambda: holder(lock) is None, "the engine to leave")
    assert containers(home) == [], "no container, and workspaces for the engine that goes on"
    board = runs.finish(home, run)
    assert board.finished is not None
    assert left(home.root) == []


def test_what_an_engine_left_that_was_killed_the_next_one_removes_whichever_run_it_works_on(home: Home) -> None:
    docker = DockerSettings(image=IMAGE)
    run, other = (runs.order(home, generations=1, sandbox=SandboxKind.DOCKER, docker=docker) for _ in range(2))
    with runs.engine(home, run) as process:
        runs.until(lambda: len(containers(home)) >= 2 or process.poll() is not None, "containers")
        runs.kill(process)
    assert len(containers(home)) >= 2, "nobody was there to remove them"
    assert runs.finish(home, other).finished is not None
    assert containers(home) == []
    assert all(f"-{run}-" in name for name in left(home.root)), "the workspaces of a run that can go on stay"
    assert left(home.root) != []
    assert runs.finish(home, run).finished is not None
    assert left(home.root) == []


def test_so_does_the_engine_of_a_local_run_and_whoever_deletes_the_run(home: Home) -> None:
    run = killed(home)
    assert len(containers(home)) >= 5
    local = [*COMMAND, "--home", str(home.root), "demo", "--headless", "--sandbox", "local", "--generations", "1"]
    subprocess.run(local, capture_output=True, timeout=400, check=True)
    assert containers(home) == []
    assert left(home.root), "the workspaces of a run that can go on stay"
    delete = [*COMMAND, "--home", str(home.root), "delete", run, "--yes"]
    done = subprocess.run(delete, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert left(home.root) == []


def test_where_the_engine_does_not_answer_a_deletion_says_what_stays(home: Home) -> None:
    run = killed(home)
    before = left(home.root)
    assert before
    delete = [*COMMAND, "--home", str(home.root), "delete", run, "--yes"]
    nowhere = {**os.environ, "DOCKER_HOST": "unix:///nosuch.sock"}
    done = subprocess.run(delete, env=nowhere, capture_output=True, text=True, check=True)
    assert f"what run {run} left in Docker stays until another run works in containers there" in done.stderr
    assert left(home.root) == before
    asyncio.run(sandboxes_in(home.root, home.root).sweep())
    assert left(home.root) == []


def containers(home: Home) -> list[str]:
    """Those of a home that run or have run."""
    done = subprocess.run(["docker", "ps", "-a", "--format", "{{.Names}}"], capture_output=True, text=True, check=True)
    return [name for name in left(home.root) if name in done.stdout.split()]
