"""A run that remembers another, with every decision at its gates, once more from its tape."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from app.context import read_board
from app.demo import demo_task
from app.engines import create_run
from app.replays import order_replay, outcome
from store import commands, observations
from store.database import open_store
from store.domain.board import Board
from store.domain.commands import ChangePlan, Launch, PlanChange
from store.domain.limits import Limits
from store.domain.observations import Document
from store.domain.replay import Replay
from store.home import Home
from tests import runs as rig
from tests.harnessrig import lesson
from tests.test_kill import fresh_seed

pytestmark = pytest.mark.timeout(400)

LIMITS = Limits(turns=4, tokens=1_000_000, usd=2.0, seconds=600.0)
NOTE = "Mine: the till is opened twice."


def lanes(board: Board) -> list[tuple[str, bool, tuple[str, ...], tuple[str, ...], int]]:
    return [
        (lane.plan.strategy.name, lane.plan.clean, lane.plan.without, lane.injected, generation.told)
        for generation in board.generations.values()
        for lane in generation.lanes.values()
    ]


def test_it_plays_to_the_same_verdicts(tmp_path: Path) -> None:
    home = Home(tmp_path / "home").create()
    known = Document("abcde", 1, 1, (replace(lesson("abcde", 1), id="o-1111"),))
    with open_store(home.store) as store:
        task = replace(demo_task(home, "one"), generations=4, lanes=2, limits=LIMITS)
        run = create_run(home, task, title="A test", seed=fresh_seed(), scripted="one", remembers=[known])
        with rig.engine(home, run) as process:

            def at_gate(number: int) -> None:
                def open_now() -> bool:
                    assert process.poll() is None
                    board = rig.board(home, run)
                    return board.waiting and number in board.generations

                rig.until(open_now, f"the gate after generation {number}")

            def give(*orders: ChangePlan | Launch) -> None:
                for order in orders:
                    given = commands.issue(store, run, order, at=time.time())
                    rig.until(lambda given=given: commands.outcome(store, given) is not None, "an answer")  # type: ignore[misc] # bound at once
                    answer = commands.outcome(store, given)
                    assert answer is not None and answer[0], answer

            at_gate(1)
            give(Launch(again=True))
            at_gate(2)
            face = home.folder(run).observations
            face.write_text(f"{face.read_text()}\n- {NOTE}\n")
            rig.until(lambda: NOTE in (observations.text(store, run) or ""), "the edit in the store")
            give(Launch(curated=False))
            at_gate(3)
            give(ChangePlan((PlanChange("change", 1, "recent changes first"), PlanChange("remove", 2))), Launch())
            assert process.wait(rig.DEADLINE) == 0
        then = rig.board(home, run)
        assert then.generations[1].told == then.generations[2].told == 1
        assert then.generations[1].lanes[1].injected == ("o-1111",)
        assert [lane.plan.strategy.name for lane in then.generations[4].lanes.values()] == ["recent changes first"]
        again = order_replay(home, store, then, Replay(run))
    now = rig.finish(home, again)
    assert lanes(now) == lanes(then)
    assert now.order is not None and now.order.remembered == ("abcde",)
    with open_store(home.store) as store:
        played = outcome(store, read_board(store, again))
        assert played is not None
        assert played.faithful, played
        assert NOTE in (observations.text(store, again) or "")
