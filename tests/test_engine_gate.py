"""A whole engine at the gate: killed there, edited by hand meanwhile, launched while none lives."""

import json
import time
from pathlib import Path

from store import commands, tapes
from store.database import open_store
from store.domain.commands import Continue, Launch, Pause
from store.domain.events import EngineStarted, GatePassed
from store.domain.ids import SubagentId
from store.domain.states import RunState, SubagentState
from store.home import Home
from tests import runs
from tests.test_kill import assert_whole, fresh_seed

LESSON = "The till is opened twice, and closed once."


def test_what_happens_at_a_gate_survives_its_engine(tmp_path: Path) -> None:
    home = Home(tmp_path / "home").create()
    run = runs.order(home, gates_open=False, seed=fresh_seed())
    face = home.folder(run).observations
    with open_store(home.store) as store:
        with runs.engine(home, run) as process:
            pause = commands.issue(store, run, Pause(1, 1), at=time.time())
            runs.until(lambda: commands.outcome(store, pause) is not None, "the order from before the engine")
            runs.until(lambda: runs.board(home, run).waiting, "the gate")
            runs.kill(process)
        before = runs.log(home, run)[-1].seq
        face.write_text(f"{face.read_text()}\n- {LESSON}\n")
        launch = commands.issue(store, run, Launch(), at=time.time())
        with runs.engine(home, run) as process:
            runs.until_event(store, run, "gate.passed", after=before, process=process)
            runs.kill(process)
        # A lane of the next generation is held before its next turn, under the engine that dies and under the next.
        with runs.engine(home, run) as process:
            runs.until_event(store, run, "turn.started", after=before, process=process)
            hold = commands.issue(store, run, Pause(2, 1), at=time.time())
            runs.until(lambda: commands.outcome(store, hold) is not None, "the pause")
            runs.kill(process)
        assert commands.outcome(store, hold) == (True, "2.1 holds before its next turn.")
        with runs.engine(home, run) as process:
            last = runs.log(home, run)[-1].seq
            runs.until_event(store, run, "subagent.ended", after=last, process=process)
            lane = runs.board(home, run).generations[2].lanes[1]
            assert lane.state is SubagentState.PAUSED
            commands.issue(store, run, Continue(2, 1), at=time.time())
            assert process.wait(runs.DEADLINE) == 0
        assert commands.outcome(store, launch) == (True, "Generation 2 starts.")
        events = runs.log(home, run)
        assert sum(isinstance(event.payload, GatePassed) for event in events) == 1
        assert sum(isinstance(event.payload, EngineStarted) for event in events) == 4
        told = [json.dumps(tapes.request(store, call)) for call in tapes.calls(store, subagent=SubagentId(run, 2, 1))]
        assert told
        assert all(LESSON in body for body in told)
        clean = [json.dumps(tapes.request(store, call)) for call in tapes.calls(store, subagent=SubagentId(run, 2, 2))]
        assert clean
        assert not any(LESSON in body for body in clean)
    board = runs.board(home, run)
    assert board.state in {RunState.SOLVED, RunState.UNSOLVED}
    assert LESSON in face.read_text()
    assert_whole(home, run, events, board)
