"""The main job, whole: generations converge from memory, and from nothing else."""

import contextlib
import json
import os
import re
import subprocess
import threading
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from backends.sandboxes.docker import Host
from store import tapes
from store.database import open_store
from store.domain.blocks import blocks
from store.domain.board import Board
from store.domain.events import RunCreated, SandboxesPrepared, SandboxesPreparing
from store.domain.ids import SubagentId
from store.domain.task import SandboxKind
from store.home import Home
from store.observations import load
from tests import runs
from tests.dockerrig import IMAGE, engine, left, working

SEEDS = [1, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(2, 11))]
"""One seed on every change, all ten in the soak."""

LOCAL = ("--sandbox", "local")
"""Otherwise containers would be used wherever Docker happens to answer."""

pytestmark = pytest.mark.timeout(600)


class Demo:
    """A finished demo: what it printed, and where it lies."""

    def __init__(self, home: Home, *options: str) -> None:
        self.home = home
        line = [runs.PYTHON, "-P", "-m", "app", "--home", str(home.root), "demo", "--headless", "--json", *options]
        done = subprocess.run(line, capture_output=True, text=True, timeout=2 * runs.DEADLINE, check=False)
        assert done.returncode == 0, done.stderr
        self.summary: dict[str, Any] = json.loads(done.stdout)
        self.run: str = self.summary["run"]

    @property
    def board(self) -> Board:
        return runs.board(self.home, self.run)

    @property
    def last(self) -> dict[str, int]:
        generation: dict[str, int] = self.summary["generations"][-1]
        return generation


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A demo with the given options; the same options are run once."""

    @cache
    def run(*options: str) -> Demo:
        return Demo(Home(tmp_path_factory.mktemp("demo") / "home"), *LOCAL, *options)

    return run


@pytest.mark.parametrize("seed", SEEDS)
def test_generations_converge_from_memory(demo: Any, seed: int) -> None:
    finished: Demo = demo("--seed", str(seed))
    generations = finished.summary["generations"]
    assert [generation["number"] for generation in generations] == [1, 2, 3, 4, 5]
    assert all((each["lanes"], each["clean_lanes"]) == (4, 1) for each in generations)
    assert generations[0]["solved"] == 0
    assert generations[0]["injected"] == 0
    assert finished.last["solved"] >= 3
    assert all(each["clean_solved"] == 0 for each in generations)
    known = [generation["observations"] for generation in generations]
    assert known == sorted(known)
    assert known[-1] > known[0] > 0
    assert all(later["injected"] > 0 for later in generations[1:])
    assert finished.summary["model"] == "scripted model"
    assert finished.summary["state"] == "solved"
    report = Path(finished.summary["report"]).read_text("utf-8")
    assert "scripted model" in report
    assert "0 broken" in report


@pytest.mark.parametrize("control", ["--no-memory", pytest.param("--shuffled-memory", marks=pytest.mark.soak)])
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.soak)], ids=["as-far", "whole"])
def test_without_its_own_memory_it_does_not_converge(demo: Any, control: str, seed: int, whole: bool) -> None:
    """Not in the generation in which it did with its memory, and not until the last."""
    number = next(each["number"] for each in demo("--seed", str(seed)).summary["generations"] if each["solved"])
    finished: Demo = demo("--seed", str(seed), control, *(() if whole else ("--generations", str(number))))
    assert finished.last["solved"] <= 1
    injected = [generation["injected"] for generation in finished.summary["generations"][1:]]
    assert all(injected) if control == "--shuffled-memory" else not any(injected)


@engine()
@pytest.mark.parametrize("generations", [2, pytest.param(5, marks=pytest.mark.soak)])
def test_in_containers_it_goes_as_it_does_without_them(demo: Any, tmp_path: Path, generations: int) -> None:
    """Five at once, and none left after; what happens in each generation is the same, to the last turn."""
    home, over = Home(tmp_path / "home"), threading.Event()
    most = 0

    def watch() -> None:
        nonlocal most
        with contextlib.closing(Host("", os.environ)) as host:
            while not over.wait(0.2):
                most = max(most, len({name.rpartition("-")[2] for name in working(home.root, host)}))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        wanted = ("--seed", "1", "--generations", str(generations))
        contained = Demo(home, *wanted, "--sandbox", "docker", "--base", IMAGE)
    finally:
        over.set()
        watching.join()
    assert left(home.root) == []
    assert most == 5
    local: Demo = demo("--seed", "1")
    assert contained.summary["generations"] == local.summary["generations"][:generations]
    if generations == 5:
        for told in ("state", "turns"):
            assert contained.summary[told] == local.summary[told]
    happened = [event.payload for event in runs.log(home, contained.run)]
    assert any(isinstance(one, RunCreated) and one.task.sandbox is SandboxKind.DOCKER for one in happened)
    said = [line for one in happened if isinstance(one, SandboxesPreparing) for line in one.lines]
    assert any(line.startswith("Step ") for line in said)
    assert any(isinstance(one, SandboxesPrepared) for one in happened)


@pytest.mark.soak
def test_it_does_as_well_on_a_second_bug(demo: Any) -> None:
    finished: Demo = demo("--seed", "1", "--practice", "two")
    assert finished.summary["generations"][0]["solved"] == 0
    assert finished.last["solved"] >= 3


def test_the_record_of_a_demo_is_whole(demo: Any) -> None:
    finished: Demo = demo("--seed", "1")
    with open_store(finished.home.store) as store:
        assert tapes.verify(store, finished.run) == []
        calls = tapes.calls(store, run=finished.run)
        assert calls
        assert all(call.complete and call.ended is not None for call in calls)
    folder = finished.home.folder(finished.run)
    assert folder.observations.stat().st_size > 0
    assert not list(folder.sandboxes.glob("*")), "workspaces are removed with the end of the run"
    assert runs.processes(f"MULTITRACK_SANDBOX={finished.run}") == []


def test_not_one_byte_of_an_earlier_generation_reaches_a_clean_lane(demo: Any) -> None:
    finished: Demo = demo("--seed", "1")
    with open_store(finished.home.store) as store:
        document = load(store, finished.run)
        assert document is not None
        ids = [observation.id for observation in document.observations]
        assert ids
        for number in range(2, 6):
            told = untold = 0
            for lane in range(1, 6):
                calls = tapes.calls(store, subagent=SubagentId(finished.run, number, lane))
                bodies = [json.dumps(tapes.request(store, call)) for call in calls]
                assert bodies
                if lane < 5:
                    told += any(identity in bodies[0] for identity in ids)
                    continue
                for body in bodies:
                    untold += 1
                    assert "earlier attempts learned" not in body
                    assert not re.search(r'"name": ?"recall"', body)
                    assert not any(identity in body for identity in ids)
            assert told == 4, "the others were told"
            assert untold


def test_memory_is_used_through_recall_too(demo: Any) -> None:
    finished: Demo = demo("--seed", "1")
    with open_store(finished.home.store) as store:
        asked = 0
        for call in tapes.calls(store, run=finished.run):
            answer = tapes.answer(store, call)
            for block in blocks(answer.message) if answer is not None else []:
                if block.kind == "tool_call" and block.name == "recall":
                    assert call.subagent is not None
                    assert call.subagent.generation > 1
                    asked += 1
        assert asked


def test_solved_is_what_the_check_says_on_the_patch(demo: Any, tmp_path: Path) -> None:
    """The best patch on a fresh clone of the repository makes the check pass: by git and sh alone."""
    finished: Demo = demo("--seed", "1")
    task = finished.board.task
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", task.repository, str(clone)], check=True)
    # What was compiled before the patch may pass for what is in it: the two are written in one second.
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}

    def check() -> subprocess.CompletedProcess[bytes]:
        command = task.check.command
        return subprocess.run(command, shell=True, cwd=clone, env=environment, capture_output=True, check=False)

    assert check().returncode == 1
    patch = finished.home.folder(finished.run).patches / "best.patch"
    subprocess.run(["git", "apply", str(patch)], cwd=clone, check=True)
    after = check()
    assert after.returncode == 0, after.stdout.decode()
