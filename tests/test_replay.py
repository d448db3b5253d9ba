"""Whole runs from their tapes: the same verdicts, checked call by call, with nobody behind the proxy."""

import contextlib
import json
import random
import shutil
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from app.context import read_board
from app.failure import CommandError
from app.replays import order_replay, outcome
from store import commands, runs, tapes
from store.database import open_store
from store.domain.board import Board, Lane
from store.domain.commands import Kill, Launch
from store.domain.ids import SubagentId
from store.domain.limits import Limits
from store.domain.replay import OnMismatch, Replay, Replayed
from store.domain.states import Ending, SubagentState
from store.home import Home
from tests import runs as rig

pytestmark = pytest.mark.timeout(300)


@dataclass
class Taped:
    """A finished run and its home."""

    home: Home
    run: str
    seed: int

    @property
    def board(self) -> Board:
        return rig.board(self.home, self.run)


LIMITS = Limits(turns=6, tokens=1_000_000, usd=2.0, seconds=600.0)


@pytest.fixture(scope="module")
def taped(tmp_path_factory: pytest.TempPathFactory) -> Taped:
    """A small demo, by a seed that tells its model's process from that of any other run."""
    home = Home(tmp_path_factory.mktemp("taped") / "home").create()
    seed = random.SystemRandom().randrange(10**6, 10**9)
    run = rig.order(home, seed=seed, limits=LIMITS)
    rig.finish(home, run)
    return Taped(home, run, seed)


def order(taped: Taped, replay: Replay | None = None, board: Board | None = None) -> str:
    with open_store(taped.home.store) as store:
        return order_replay(taped.home, store, board or taped.board, replay or Replay(taped.run))


def played(home: Home, run: str) -> Replayed:
    with open_store(home.store) as store:
        found = outcome(store, read_board(store, run))
    assert found is not None
    return found


def say(*arguments: str) -> "subprocess.CompletedProcess[str]":
    line = [rig.PYTHON, "-P", "-m", "app", *arguments]
    return subprocess.run(line, capture_output=True, text=True, timeout=rig.DEADLINE, check=False)


def command(*arguments: str) -> tuple[int, Any]:
    done = say(*arguments, "--headless", "--json")
    return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr


def lanes(board: Board) -> list[Lane]:
    return [lane for generation in board.generations.values() for lane in generation.lanes.values()]


def test_a_demo_plays_to_the_same_verdicts_through_kill_9(taped: Taped) -> None:
    run = order(taped)
    model = ("backends.practice.model", f"--seed\0{taped.seed}\0")
    with open_store(taped.home.store) as store:
        with rig.engine(taped.home, run) as process:
            # In the middle of a generation that remembers another.
            middle = rig.until_event(store, run, "generation.observed", after=0, process=process).seq
            rig.until_event(store, run, "tool.started", after=middle, process=process)
            assert rig.processes(*model) == [], "in a replay nobody needs the model"
            rig.kill(process)
        board = rig.finish(taped.home, run)
        assert tapes.verify(store, run) == []
        recorded = {call.id: call for call in tapes.calls(store, run=taped.run)}
        made = tapes.calls(store, run=run)
    compared = played(taped.home, run)
    assert compared.faithful
    assert compared.matched == len(recorded) == sum(lane.turn for lane in lanes(board))
    assert board.state is taped.board.state
    for then, now in zip(lanes(taped.board), lanes(board), strict=True):
        assert then.checked is not None and now.checked is not None
        assert (then.state, then.checked.patch, then.plan) == (now.state, now.checked.patch, now.plan)
        assert then.ended is not None and now.ended is not None
        assert (then.ended.ending, then.ended.detail) == (now.ended.ending, now.ended.detail)
        assert then.spend.usage == now.spend.usage
        assert now.spend.usd == 0.0
        assert then.injected == now.injected
    assert any(lane.began > 0 and lane.attempt == 2 for lane in lanes(board)), "the kill met somebody at work"
    for call in made:
        if not call.error:
            before = recorded[call.source.removeprefix("tape:")]
            assert (call.response, call.answer, call.path, call.usd) == (
                before.response,
                before.answer,
                before.path,
                0.0,
            )
    assert rig.processes(f"MULTITRACK_SANDBOX={run}") == []


def test_under_another_home_from_the_command_line(taped: Taped, tmp_path: Path) -> None:
    """Elsewhere on the disk, the repository and all: paths of sandboxes are no part of what is compared."""
    shutil.copytree(taped.home.root, tmp_path / "another" / "place")
    code, summary = command("--home", str(tmp_path / "another" / "place"), "replay", taped.run[:4])
    assert code == 0, summary
    assert summary["replay"]["faithful"]
    assert summary["replay"]["of"] == taped.run
    assert summary["title"] == f"Replay of {taped.run}: A test"
    assert summary["usd"] == 0.0
    assert [lane["same"] for lane in summary["replay"]["lanes"]] == [True] * 4
    # Without the mirror, from the operator's repository, of which only the store's copy of the order tells.
    other = Home(tmp_path / "third", tmp_path / "another" / "place" / "store.sqlite3")
    with open_store(other.store) as store:
        run = order_replay(other, store, read_board(store, summary["run"]), Replay(summary["run"]))
    assert other.folder(run).mirror.is_dir()


def test_what_is_not_on_the_tape_ends_the_run_and_is_shown(taped: Taped) -> None:
    changed = taped.board
    assert changed.order is not None
    changed.order = replace(changed.order, task=replace(changed.task, goal="Repair something else."))
    run = order(taped, board=changed)
    code, summary = command("--home", str(taped.home.root), "resume", run)
    assert code == 1
    assert summary["state"] == "stopped"
    assert summary["reason"].endswith(f" asked what is not on the tape of run {taped.run}.")
    assert not summary["replay"]["faithful"]
    assert summary["replay"]["missed"] > 0
    with open_store(taped.home.store) as store:
        missed = [
            call for call in tapes.calls(store, run=run) if call.error == f"it is not on the tape of run {taped.run}"
        ]
    assert missed
    assert (
        "+ system: Repair something else." in missed[0].notes[0]
        or "+ text: Repair something else." in missed[0].notes[0]
    )
    shown = say("--home", str(taped.home.root), "watch", run)
    assert shown.returncode == 1
    assert f"Beside run {taped.run}:" in shown.stdout
    assert "+ text: Repair something else." in shown.stdout
    assert f"Answered from the tape of run `{taped.run}`" in taped.home.folder(run).report.read_text()
    refused = say("--home", str(taped.home.root), "replay", run, "--headless")
    assert refused.returncode == 2, "a run that had no answers has no tape"
    assert "there is nothing to play" in refused.stderr


def test_without_the_tape_the_engine_says_so(taped: Taped, tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    shutil.copytree(taped.home.root, home.root)
    run = order(Taped(home, taped.run, taped.seed))
    assert say("--home", str(home.root), "delete", taped.run, "--yes").returncode == 0
    refused = say("--home", str(home.root), "resume", run, "--headless")
    assert refused.returncode == 3
    assert f"Run {taped.run} is no longer in" in refused.stderr


def test_where_misses_go_live_the_run_goes_on(taped: Taped) -> None:
    changed = taped.board
    assert changed.order is not None
    task = replace(changed.task, goal="Repair something else.")
    changed.order = replace(changed.order, task=task)
    changed.generations = {1: changed.generations[1]}
    run = order(taped, Replay(taped.run, OnMismatch.LIVE), changed)
    with open_store(taped.home.store) as store, rig.engine(taped.home, run) as process:
        rig.until_event(store, run, "call.finished", after=0, process=process)
        assert rig.processes("backends.practice.model", f"--seed\0{taped.seed}\0") != [], "somebody must answer"
        assert process.wait(rig.DEADLINE) == 0
        calls = tapes.calls(store, run=run)
    assert all(call.source == "" and call.complete and call.notes for call in calls)
    compared = played(taped.home, run)
    assert (compared.matched, compared.missed) == (0, len(calls))
    assert rig.board(taped.home, run).finished is not None


def test_what_the_operator_did_happens_again(tmp_path: Path) -> None:
    """A subagent that was killed ends at the same place, and the observations are edited at the same gate."""
    home = Home(tmp_path / "home").create()
    run = rig.order(home, limits=replace(LIMITS, turns=4), gates_open=False, pace=120.0)
    with open_store(home.store) as store, rig.engine(home, run) as process:
        rig.until(lambda: any(call.complete for call in tapes.calls(store, subagent=SubagentId(run, 1, 1))), "a call")
        commands.issue(store, run, Kill(1, 1), at=time.time())
        rig.until_event(store, run, "gate.opened", after=0, process=process)
        face = home.folder(run).observations
        face.write_text(face.read_text() + "\n- The lock is made anew for each call.\n")
        commands.issue(store, run, Launch(), at=time.time())
        assert process.wait(rig.DEADLINE) == 0
        again = order_replay(home, store, read_board(store, run), Replay(run))
        board = rig.finish(home, again)
        asked = [tapes.request(store, call) for call in tapes.calls(store, run=again, generation=2)]
    assert played(home, again).faithful
    killed = board.generations[1].lanes[1]
    assert killed.ended is not None
    assert (killed.ended.ending, killed.state) == (Ending.KILLED, SubagentState.KILLED)
    assert any("The lock is made anew for each call." in json.dumps(request) for request in asked)
    assert "The lock is made anew for each call." in home.folder(again).observations.read_text()


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(4))
def test_a_whole_demo_plays_through_kills_at_random_times(tmp_path: Path, seed: int) -> None:
    home, times = Home(tmp_path / "home").create(), random.Random(seed)
    run = rig.order(home, practice=("one", "two")[seed % 2], seed=seed, generations=5, lanes=5)
    rig.finish(home, run)
    with open_store(home.store) as store:
        again = order_replay(home, store, read_board(store, run), Replay(run))
    for _ in range(8):
        with rig.engine(home, again) as process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(times.uniform(1.0, 8.0))
            rig.kill(process)
    rig.finish(home, again)
    assert played(home, again).faithful


def test_what_cannot_be_played_is_said(taped: Taped, tmp_path: Path) -> None:
    home = Home(tmp_path / "home").create()
    with open_store(home.store) as store:
        store.write(lambda connection: runs.create(connection, "abcde", "Recording", at=1.0))
        with pytest.raises(CommandError, match="multitrack proxy --replay abcde"):
            order_replay(home, store, read_board(store, "abcde"), Replay("abcde"))
        ordered = rig.order(home)
        with pytest.raises(CommandError, match="no calls on its tape"):
            order_replay(home, store, read_board(store, ordered), Replay(ordered))
    with open_store(taped.home.store) as store, rig.engine(taped.home, ordered := order(taped)) as process:
        rig.until_event(store, ordered, "engine.started", after=0, process=process)
        with pytest.raises(CommandError, match="an engine works"):
            order_replay(taped.home, store, read_board(store, ordered), Replay(ordered))
