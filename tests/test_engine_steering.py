"""A whole engine with the scripted model: steered, raised, forked and killed in the middle of it."""

import json
import time
from pathlib import Path

from app.replays import order_replay
from app.replays import outcome as outcome_of
from backends.agents.prompt import FORKED
from store import commands, tapes
from store.database import Store, open_store
from store.domain.board import Lane
from store.domain.commands import Command, Fork, Raise, Steer, Stop
from store.domain.events import LimitsRaised, SubagentAdded, SubagentSteered
from store.domain.ids import SubagentId
from store.domain.limits import Limits
from store.domain.replay import Replay
from store.domain.states import RunState
from store.home import Home
from tests import runs
from tests.test_kill import fresh_seed

WORDS = "Whoever holds the till must give it back."


def answered(store: Store, run: str, command: Command) -> tuple[bool, str]:
    order = commands.issue(store, run, command, at=time.time())
    runs.until(lambda: commands.outcome(store, order) is not None, f"an answer to {command.name}")
    answer = commands.outcome(store, order)
    assert answer is not None
    return answer


def read_with(store: Store, lane: Lane) -> list[int]:
    """How often each whole call of a lane had the operator's words in its request."""
    calls = [call for call in tapes.calls(store, subagent=lane.id) if call.complete and not call.error]
    return [json.dumps(tapes.request(store, call)["messages"]).count(WORDS) for call in calls]


def test_what_the_operator_does_to_a_subagent_survives_a_kill_of_the_engine(tmp_path: Path) -> None:
    home = Home(tmp_path / "home").create()
    run = runs.order(home, gates_open=False, seed=fresh_seed(), pace=60.0, limits=Limits(turns=3, seconds=600.0))
    with open_store(home.store) as store:
        with runs.engine(home, run) as process:
            runs.until_event(store, run, "turn.started", after=0, process=process)
            assert answered(store, run, Raise(1, 1, turns=30)) == (True, "1.1 may use 30 turns and 600 s.")
            runs.until(lambda: runs.board(home, run).generations[1].lanes[1].turn >= 4, "a turn beyond the old limit")
            assert answered(store, run, Steer(1, 1, WORDS))[0]
            assert answered(store, run, Steer(1, 2, WORDS))[0] is False, "a clean lane"
            runs.kill(process)
        with runs.engine(home, run) as process:
            runs.until(lambda: runs.board(home, run).waiting, "the gate")
            lane = runs.board(home, run).generations[1].lanes[1]
            assert lane.limits == Limits(turns=30, seconds=600.0)
            assert lane.turn > 4
            counts = read_with(store, lane)
            assert counts == sorted(counts), "once it was read it stays in the conversation"
            assert counts[-1] == 1, "and is said once"
            limits, words = lane.steering
            assert limits.text.startswith("Your limits are raised. For the whole attempt: at most 30 turns")
            assert (words.text, words.turn) == (WORDS, counts.index(1) + 1)
            # A fork of it, killed as soon as it works.
            source = tapes.calls(store, subagent=SubagentId(run, 1, 1))[1]
            before = runs.log(home, run)[-1].seq
            applied, outcome = answered(store, run, Fork(source.id, strategy="recent changes first"))
            assert applied
            assert outcome.startswith(
                "1.3 starts with the conversation of 1.1, in a new sandbox at the run's base commit"
            )
            runs.until_event(store, run, "call.started", after=before, process=process)
            runs.kill(process)
        with runs.engine(home, run) as process:
            runs.until(lambda: runs.board(home, run).waiting, "the gate again")
            assert answered(store, run, Stop())[0]
            assert process.wait(runs.DEADLINE) == 0
        board, events = runs.board(home, run), runs.log(home, run)
        fork = board.generations[1].lanes[3]
        assert fork.plan.strategy.name == "recent changes first"
        assert fork.checked is not None
        bodies = [tapes.request(store, call)["messages"] for call in tapes.calls(store, subagent=fork.id)]
        assert all(body[:3] == bodies[0][:3] for body in bodies), "under either engine it begins with the conversation"
        assert [json.dumps(body).count(FORKED) for body in bodies] == [1] * len(bodies)
        kinds = [type(event.payload) for event in events]
        assert [kinds.count(kind) for kind in (SubagentSteered, LimitsRaised, SubagentAdded)] == [2, 1, 1]
        assert tapes.verify(store, run) == []
    assert board.state in {RunState.SOLVED, RunState.STOPPED}
    assert "1.3" in home.folder(run).report.read_text()
    # What the operator did is on the tape, too: the whole is repeated with nobody at the keyboard and no model.
    with open_store(home.store) as store:
        again = order_replay(home, store, board, Replay(run))
    now = runs.finish(home, again)
    with open_store(home.store) as store:
        played = outcome_of(store, now)
        assert played is not None
        assert played.faithful, played
        assert [one.text for one in now.generations[1].lanes[1].steering] == [limits.text, WORDS]
