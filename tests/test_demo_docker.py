"""The demo in containers: it converges as the local one does, and nothing of it is left, however it ends."""

import asyncio
import json
import os
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from store.domain.events import RunCreated, SandboxesPrepared, SandboxesPreparing
from store.domain.task import SandboxKind
from store.home import Home
from store.lock import holder
from tests import runs
from tests.dockerrig import IMAGE, engine, left, sandboxes_in

pytestmark = [engine(), pytest.mark.timeout(600)]

COMMAND = [runs.PYTHON, "-P", "-m", "app"]


def demo(home: Home, *options: str) -> list[str]:
    return [*COMMAND, "--home", str(home.root), "demo", "--headless", "--sandbox", "docker", "--base", IMAGE, *options]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def containers(home: Home) -> list[str]:
    """The containers of subagents at work."""
    return [name for name in left(home.root) if name.rpartition("-")[2].count(".") == 2 and "check" not in name]


def run_of(home: Home) -> str:
    """The one run of a home, once it is there."""
    folder = home.root / "runs"
    runs.until(lambda: folder.is_dir() and any(folder.iterdir()), "a run", 60)
    return next(folder.iterdir()).name


def test_it_converges_as_the_local_one_does_with_five_containers_at_once(home: Home, tmp_path: Path) -> None:
    most, over = 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not over.wait(0.2):
            most = max(most, len({name.rpartition("-")[2] for name in containers(home)}))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        done = subprocess.run(demo(home, "--json"), capture_output=True, text=True, timeout=400, check=False)
    finally:
        over.set()
        watching.join()
    assert done.returncode == 0, done.stderr
    assert left(home.root) == []
    assert most == 5
    in_containers = json.loads(done.stdout)
    local = [*COMMAND, "--home", str(tmp_path / "local"), "demo", "--headless", "--sandbox", "local", "--json"]
    locally = json.loads(subprocess.run(local, capture_output=True, text=True, timeout=400, check=True).stdout)
    assert in_containers["generations"] == locally["generations"]
    assert (in_containers["state"], in_containers["turns"]) == (locally["state"], locally["turns"])
    happened = [event.payload for event in runs.log(home, in_containers["run"])]
    assert any(isinstance(one, RunCreated) and one.task.sandbox is SandboxKind.DOCKER for one in happened)
    said = [line for one in happened if isinstance(one, SandboxesPreparing) for line in one.lines]
    assert any(line.startswith("Step ") for line in said)
    assert any(isinstance(one, SandboxesPrepared) for one in happened)


def begun(home: Home, *options: str) -> "tuple[subprocess.Popen[bytes], str]":
    """A demo whose subagents are at work, and its run."""
    process = subprocess.Popen(
        demo(home, "--generations", "1", "--pace", "80", *options), stdout=subprocess.PIPE, start_new_session=True
    )
    run = run_of(home)
    runs.until(lambda: len(containers(home)) >= 5 or process.poll() is not None, "containers", 120)
    return process, run


def leave(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)


def test_nothing_is_left_when_its_engine_is_told_to_leave_and_the_next_one_goes_on(home: Home) -> None:
    process, run = begun(home)
    lock = home.folder(run).lock
    leave(process)
    held = holder(lock)
    assert held is not None, "the engine goes on without the command"
    os.kill(held.pid, signal.SIGTERM)
    runs.until(lambda: holder(lock) is None, "the engine to leave", 60)
    kinds: Any = [name for name in left(home.root) if name in running()]
    assert kinds == [], "no container, and workspaces for the engine that goes on"
    board = runs.finish(home, run)
    assert board.finished is not None
    assert left(home.root) == []


def test_what_an_engine_left_that_was_killed_the_next_one_removes_whichever_run_it_works_on(home: Home) -> None:
    process, run = begun(home)
    held = holder(home.folder(run).lock)
    assert held is not None
    os.kill(held.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    assert len(containers(home)) >= 5, "nobody was there to remove them"
    other = subprocess.run(demo(home, "--generations", "1", "--json"), capture_output=True, timeout=400, check=False)
    assert other.returncode == 0
    assert [name for name in left(home.root) if name in running()] == []
    assert all(f"-{run}-" in name for name in left(home.root)), "the workspaces of a run that can go on stay"
    board = runs.finish(home, run)
    assert board.finished is not None
    assert left(home.root) == []


def test_so_does_the_engine_of_a_local_run_and_whoever_deletes_the_run(home: Home) -> None:
    process, run = begun(home)
    held = holder(home.folder(run).lock)
    assert held is not None
    os.kill(held.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    assert len(containers(home)) >= 5
    local = [*COMMAND, "--home", str(home.root), "demo", "--headless", "--sandbox", "local", "--generations", "1"]
    subprocess.run(local, capture_output=True, timeout=400, check=True)
    assert [name for name in left(home.root) if name in running()] == []
    assert left(home.root), "the workspaces of a run that can go on stay"
    delete = [*COMMAND, "--home", str(home.root), "delete", run, "--yes"]
    done = subprocess.run(delete, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert left(home.root) == []


def test_where_the_engine_does_not_answer_a_deletion_says_what_stays(home: Home) -> None:
    process, run = begun(home)
    held = holder(home.folder(run).lock)
    assert held is not None
    os.kill(held.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    before = left(home.root)
    assert before
    delete = [*COMMAND, "--home", str(home.root), "delete", run, "--yes"]
    nowhere = {**os.environ, "DOCKER_HOST": "unix:///nosuch.sock"}
    done = subprocess.run(delete, env=nowhere, capture_output=True, text=True, check=True)
    assert f"what run {run} left in Docker stays until another run works in containers there" in done.stderr
    assert left(home.root) == before
    asyncio.run(sandboxes_in(home.root, home.root).sweep())
    assert left(home.root) == []


def running() -> set[str]:
    """The names of all containers, whoever's, that run or have run."""
    done = subprocess.run(["docker", "ps", "-a", "--format", "{{.Names}}"], capture_output=True, text=True, check=True)
    return set(done.stdout.split())
