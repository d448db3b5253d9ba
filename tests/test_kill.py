"""kill -9 of the engine at any step: what was finished is kept, the rest goes on, nothing is left over."""

import contextlib
import random
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from backends.engine import TAKEN
from store import tapes
from store.database import open_store
from store.domain.board import Board
from store.domain.events import (
    Alert,
    BaselineChecked,
    CallFinished,
    EngineStarted,
    Event,
    GatePassed,
    GenerationDesigned,
    GenerationObserved,
    RunCreated,
    RunFinished,
    SubagentChecked,
    SubagentEnded,
    ToolFinished,
)
from store.domain.stuck import RULES
from store.home import Home
from tests import runs

STEPS = (
    "engine.started",
    "baseline.checked",
    "generation.designed",
    "subagent.launched",
    "call.started",
    "tool.started",
    "tool.finished",
    "call.finished",
    "subagent.ended",
    "subagent.checked",
    "generation.observed",
    "gate.passed",
)
"""Where the engine is killed, one after the other in one run: each step of the loop, and the turns inside."""
LATER = ("subagent.launched", "call.finished", "subagent.ended", "generation.observed")
"""Where it is in the next generation too."""

ONCE = (RunCreated, BaselineChecked, GenerationDesigned, GenerationObserved, GatePassed, SubagentEnded, SubagentChecked)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home").create()


def fresh_seed() -> int:
    """A seed by which the model's process can be told from that of any other run."""
    return random.SystemRandom().randrange(10**6, 10**9)


def assert_whole(home: Home, run: str, events: list[Event], board: Board) -> None:
    """Nothing twice, nothing lost, nothing left over."""
    assert sum(isinstance(event.payload, RunFinished) for event in events) == 1
    times = Counter((type(e.payload), e.generation, e.lane) for e in events if isinstance(e.payload, ONCE))
    assert set(times.values()) == {1}, [key for key, count in times.items() if count > 1]
    results = Counter(e.payload.tool_call for e in events if isinstance(e.payload, ToolFinished))
    assert set(results.values()) <= {1}, "a finished tool call ran again"
    rules = {rule.name for rule in RULES}
    alerts = [(e.subagent, e.payload) for e in events if isinstance(e.payload, Alert) and e.payload.rule in rules]
    assert len(alerts) == len(set(alerts)), "an alert was raised twice"
    with open_store(home.store) as store:
        assert tapes.verify(store, run) == []
        for generation in board.generations.values():
            for lane in generation.lanes.values():
                calls = tapes.calls(store, subagent=lane.id)
                assert sum(call.complete and not call.error for call in calls) == lane.turn, "one whole call a turn"
                assert all(call.ended is not None for call in calls), "no call is left open"
        finished = {e.payload.call for e in events if isinstance(e.payload, CallFinished)}
        assert finished == {call.id for call in tapes.calls(store, run=run)}
    assert runs.processes(f"MULTITRACK_SANDBOX={run}") == []
    assert runs.processes("backends.practice.model", f"--seed\0{board.order.seed if board.order else ''}\0") == []


@pytest.mark.parametrize("steps", [STEPS, pytest.param(STEPS + LATER, marks=pytest.mark.soak)], ids=["once", "later"])
def test_a_run_survives_kill_9_at_every_step(home: Home, steps: tuple[str, ...]) -> None:
    run = runs.order(home, seed=fresh_seed())
    with open_store(home.store) as store:
        reached = 0
        for step in steps:
            last = max(event.seq for event in runs.log(home, run))
            with runs.engine(home, run) as process:
                runs.until_event(store, run, "engine.started", after=last, process=process)
                # The engine may have been a step further than the last kill was meant for.
                reached = runs.until_event(store, run, step, after=reached, process=process).seq
                runs.kill(process)
    board = runs.finish(home, run)
    events = runs.log(home, run)
    assert sum(isinstance(event.payload, EngineStarted) for event in events) == len(steps) + 1
    assert len(board.generations) == 2
    assert_whole(home, run, events, board)


def test_two_engines_never_work_on_one_run(home: Home) -> None:
    run = runs.order(home, gates_open=False, generations=2)
    with open_store(home.store) as store, runs.engine(home, run) as first:
        runs.until_event(store, run, "engine.started", after=0, process=first)
        with runs.engine(home, run) as second:
            assert second.wait(60) == TAKEN
        assert first.poll() is None


def test_an_engine_told_to_leave_can_be_followed_by_another(home: Home) -> None:
    run = runs.order(home, generations=1, seed=fresh_seed())
    with open_store(home.store) as store, runs.engine(home, run) as process:
        runs.until_event(store, run, "tool.finished", after=0, process=process)
        process.terminate()
        assert process.wait(60) == 0
    assert runs.board(home, run).finished is None
    assert runs.processes(f"MULTITRACK_SANDBOX={run}") == []
    board = runs.finish(home, run)
    assert_whole(home, run, runs.log(home, run), board)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(5))
def test_a_run_survives_kill_9_at_random_times(home: Home, seed: int) -> None:
    times = random.Random(seed)
    run = runs.order(home, seed=fresh_seed(), lanes=4)
    for _ in range(12):
        with runs.engine(home, run) as process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(times.uniform(0.3, 12.0))
            runs.kill(process)
    board = runs.finish(home, run)
    assert_whole(home, run, runs.log(home, run), board)
