"""A subagent that could not work is started anew: in a new sandbox, while its generation is at work or at the gate."""

import asyncio
from pathlib import Path

import pytest

from app.follow import lines
from backends.agents import Assignment, Outcome, Session
from backends.sandboxes import SandboxError
from backends.sandboxes.local import LocalSandbox
from store.domain.commands import Kill, Launch, Restart
from store.domain.events import (
    GateOpened,
    GenerationObserved,
    SubagentChecked,
    SubagentEnded,
    SubagentLaunched,
    SubagentRestarted,
)
from store.domain.states import Ending, RunState, SubagentState
from tests.harnessrig import Rig, nothing, rig, solve
from widgets.flow import verdict


class Lost:
    """Lane 1 loses its sandbox the first time, and solves the second; `others` is what the other lanes do."""

    def __init__(self) -> None:
        self.tries = 0
        self.go = asyncio.Event()
        self.wait = False

    async def work(self, assignment: Assignment, session: Session) -> Outcome | None:
        if assignment.subagent.lane != 1:
            if self.wait:
                await self.go.wait()
            return None
        self.tries += 1
        if self.tries == 1:
            await session.sandbox.write("left", b"over")
            return Outcome(Ending.CRASHED, "its Docker host went away (big): no answer")
        try:
            await session.sandbox.read("left")
        except OSError:
            await solve(assignment, session)
        return None


def state(made: Rig, lane: int) -> SubagentState:
    generation = made.board.generation
    return generation.lanes[lane].state if generation else SubagentState.QUEUED


async def test_it_is_started_anew_while_others_work(tmp_path: Path) -> None:
    does = Lost()
    does.wait = True
    async with rig(tmp_path, does.work, lanes=2) as made, made.working() as engine:
        await made.until(lambda: state(made, 1) is SubagentState.FAILED, "lane 1")
        first = made.events(SubagentLaunched)[0].payload
        assert await made.answer(Restart(1, 2)) == (
            False,
            (
                "1.2 could work, and be checked: only one that could not is started anew as it was. "
                "Give it another strategy."
            ),
        )
        assert await made.answer(Restart(1, 1)) == (True, "1.1 starts anew.")
        await made.until(lambda: state(made, 1) is SubagentState.SOLVED, "lane 1 again")
        does.go.set()
        board = await made.over(engine)
        assert board.state is RunState.SOLVED
        launched = [event.payload for event in made.events(SubagentLaunched) if event.lane == 1]
        assert isinstance(first, SubagentLaunched)
        assert [(one.attempt, one.afresh) for one in launched if isinstance(one, SubagentLaunched)] == [
            (1, False),
            (2, True),
        ]
        assert len(made.events(SubagentEnded)) == 3
        assert len(made.events(GenerationObserved)) == 1
        assert made.agent.given[0].key != made.agent.given[-1].key  # type: ignore[attr-defined]


async def test_at_the_gate_it_takes_the_gate_back_and_its_generation_is_observed_again(tmp_path: Path) -> None:
    does = Lost()
    async with rig(tmp_path, does.work, lanes=2, generations=2, gates_open=False) as made, made.working() as engine:
        await made.state(RunState.GATE)
        assert await made.answer(Restart(1, 1)) == (True, "1.1 starts anew.")
        board = await made.over(engine)
        assert (board.state, board.generations[1].lanes[1].state) == (RunState.SOLVED, SubagentState.SOLVED)
        assert (len(made.events(GenerationObserved)), len(made.events(GateOpened))) == (2, 1)
        assert board.generation is not None
        assert board.generation.number == 1


async def test_so_is_one_whose_patch_could_not_be_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patch, lost = LocalSandbox.patch, True

    async def gone(self: LocalSandbox) -> bytes:
        if lost:
            raise SandboxError("its Docker host went away (big): no answer")
        return await patch(self)

    monkeypatch.setattr(LocalSandbox, "patch", gone)
    async with rig(tmp_path, solve, generations=2, gates_open=False) as made, made.working() as engine:
        board = await made.state(RunState.GATE)
        (lane,) = board.generations[1].lanes.values()
        assert lane.checked is not None and lane.checked.result is not None
        why = "its patch could not be taken: its Docker host went away"
        assert why in lane.checked.result.broken and why in verdict(lane.checked)
        ended = next(event for event in made.events(SubagentChecked))
        (line,) = lines(board, ended)
        assert why in line and "changed nothing" not in line
        lost = False
        assert await made.answer(Restart(1, 1)) == (True, "1.1 starts anew.")
        assert (await made.over(engine)).state is RunState.SOLVED


async def test_another_engine_goes_on_with_one_that_was_about_to_start_anew(tmp_path: Path) -> None:
    does = Lost()
    async with rig(tmp_path, does.work, generations=2, gates_open=False) as made:
        async with made.working():
            await made.state(RunState.GATE)
        made.order(Restart(1, 1))
        async with made.working() as engine:
            board = await made.over(engine)
        assert board.state is RunState.SOLVED
        assert len(made.events(SubagentRestarted)) == 1


async def test_only_the_latest_generation_is_started_anew(tmp_path: Path) -> None:
    async def work(assignment: Assignment, session: Session) -> Outcome | None:
        if assignment.subagent.generation == 1 and assignment.subagent.lane == 1:
            return Outcome(Ending.CRASHED, "lost")
        await nothing(assignment, session)
        return None

    async with rig(tmp_path, work, lanes=2, generations=3, gates_open=False) as made, made.working() as engine:
        await made.state(RunState.GATE)
        assert (await made.answer(Launch()))[0]
        await made.until(lambda: len(made.board.generations) == 2, "generation 2")
        applied, said = await made.answer(Restart(1, 1))
        assert (applied, said) == (False, "1.1 is none of the generation at work.")
        assert not (await made.answer(Restart(2, 9)))[0]
        assert not (await made.answer(Kill(1, 1)))[0]
        await made.state(RunState.GATE)
        assert (await made.answer(Launch(rest=True)))[0]
        await made.over(engine)
