"""Faults inside and bad starts: what costs a lane, what costs a generation, and what ends a run."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from backends.agents import Assignment, Outcome, Progress, Session
from backends.sandboxes import Executed, SandboxError
from backends.sandboxes.local import LocalSandbox
from store.database import StoreError
from store.domain.commands import Launch
from store.domain.events import Alert, BaselineChecked, GenerationDesigned, GenerationObserved
from store.domain.states import Ending, RunState, SubagentState, Validity
from tests.harnessrig import nothing, rig, solve


class Crashing:
    """Lane 1 crashes in a way that an agent promises not to."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    async def work(self, assignment: Assignment, session: Session, progress: Progress | None = None) -> Outcome:
        await solve(assignment, session)
        if assignment.subagent.lane == 1:
            raise self._error
        return Outcome(Ending.SUBMITTED)


@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyError("messages"), asyncio.CancelledError()])
async def test_a_crash_in_a_lane_costs_the_lane(tmp_path: Path, error: BaseException) -> None:
    async with rig(tmp_path, Crashing(error), lanes=2) as made:
        board = await made.finish()
        crashed, other = board.generations[1].lanes.values()
        assert crashed.ended is not None
        assert crashed.ended.ending is Ending.CRASHED
        assert other.ended is not None
        assert other.ended.ending is Ending.SUBMITTED
        assert other.solved
        assert crashed.solved, "what it had written is checked all the same"


async def test_a_crash_in_the_check_costs_the_lane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patch = LocalSandbox.patch

    async def crashing(self: LocalSandbox) -> bytes:
        if self.handle.endswith("2"):
            raise RuntimeError("boom")
        return await patch(self)

    monkeypatch.setattr(LocalSandbox, "patch", crashing)
    async with rig(tmp_path, solve, lanes=2) as made:
        board = await made.finish()
        fine, crashed = board.generations[1].lanes.values()
        assert fine.solved
        assert crashed.checked is not None and crashed.checked.result is not None
        assert "boom" in crashed.checked.result.broken
        assert crashed.state is SubagentState.UNSOLVED
        assert "boom" in crashed.alert


async def test_a_sandbox_that_cannot_be_removed_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    close = LocalSandbox.close

    async def stuck(self: LocalSandbox) -> None:
        await close(self)
        raise SandboxError("could not be removed")

    monkeypatch.setattr(LocalSandbox, "close", stuck)
    async with rig(tmp_path, solve) as made:
        assert (await made.finish()).state is RunState.SOLVED


async def test_a_sandbox_that_is_lost_over_a_check_costs_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, lost = LocalSandbox.run, set[str]()

    async def losing(self: LocalSandbox, command: str, **how: Any) -> Executed:
        if command == "./check" and self.handle not in lost:
            lost.add(self.handle)
            raise SandboxError("its Docker host went away")
        return await run(self, command, **how)

    monkeypatch.setattr(LocalSandbox, "run", losing)
    async with rig(tmp_path, solve) as made:
        assert (await made.finish()).state is RunState.SOLVED
        assert len(lost) == 5, "three on the unchanged code, two on the patch"


async def test_where_no_sandbox_can_be_had_the_check_is_not_to_blame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(self: LocalSandbox, command: str, **how: Any) -> Executed:
        raise SandboxError("its machine went away")

    async with rig(tmp_path, solve) as made:
        with monkeypatch.context() as patched:
            patched.setattr(LocalSandbox, "run", lost)
            with pytest.raises(BaseExceptionGroup) as caught:
                await made.finish()
        assert caught.group_contains(SandboxError, match="went away")
        assert made.board.finished is None
        assert made.events(BaselineChecked) == []
        # The next engine tries the check again.
        assert (await made.finish()).state is RunState.SOLVED


async def test_an_observer_that_fails_costs_what_it_would_have_learned(tmp_path: Path) -> None:
    async with rig(tmp_path, nothing, generations=3) as made:

        def failing() -> None:
            if 2 in made.board.generations and 3 not in made.board.generations:
                raise ZeroDivisionError("no")

        made.observing = failing
        board = await made.finish()
        known = [generation.known for generation in board.generations.values()]
        assert known == [1, 1, 2]
        assert len(made.events(GenerationObserved)) == 3
        (alert,) = made.events(Alert)
        assert isinstance(alert.payload, Alert)
        assert "generation 2 taught nothing" in alert.payload.text
        assert board.alerts == [alert.payload.text]
        assert "generation 2 taught nothing" in made.home.folder(made.run).report.read_text()


async def test_a_store_that_fails_ends_the_harness_and_another_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rig(tmp_path, solve, lanes=2) as made:

        def full(*_: object, **__: object) -> None:
            raise StoreError("The disk is full.")

        with monkeypatch.context() as broken:
            broken.setattr("store.keys.mint", full)
            with pytest.raises(BaseExceptionGroup) as caught:
                await made.finish()
            assert caught.group_contains(StoreError, match="full")
        board = await made.finish()
        assert board.state is RunState.SOLVED
        assert all(lane.ended and lane.ended.ending is Ending.SUBMITTED for lane in board.generations[1].lanes.values())


async def idle(assignment: Assignment, session: Session) -> Outcome:
    return Outcome(Ending.PROVIDER, "HTTP 401 authentication_error: invalid x-api-key")


async def test_a_run_in_which_nobody_can_work_ends(tmp_path: Path) -> None:
    async with rig(tmp_path, idle, lanes=3, generations=5) as made:
        made.validity = Validity.INFRASTRUCTURE
        board = await made.finish()
        assert board.finished is not None
        assert board.state is RunState.FAILED
        assert board.finished.reason == "No subagent of generation 1 could work: it was infrastructure"
        assert len(made.events(GenerationDesigned)) == 1


async def test_one_that_could_work_is_enough_to_go_on(tmp_path: Path) -> None:
    async def some(assignment: Assignment, session: Session) -> Outcome:
        return await idle(assignment, session) if assignment.subagent.lane > 1 else Outcome(Ending.SUBMITTED)

    async with rig(tmp_path, some, lanes=3, generations=2) as made:
        made.observing = broken_observer
        board = await made.finish()
        assert board.state is RunState.UNSOLVED
        assert len(board.generations) == 2


def broken_observer() -> None:
    raise RuntimeError("the observer has no say here")


async def test_at_a_gate_that_is_held_the_operator_decides(tmp_path: Path) -> None:
    async with rig(tmp_path, idle, generations=2, gates_open=False) as made, made.working() as engine:
        made.observing = broken_observer
        board = await made.state(RunState.GATE)
        assert any("No subagent of generation 1 could work: HTTP 401" in alert for alert in board.alerts)
        await made.answer(Launch())
        board = await made.over(engine)
        assert board.state is RunState.FAILED
        assert board.finished is not None
        assert "No subagent of generation 2 could work: HTTP 401" in board.finished.reason


@pytest.mark.parametrize(
    ("check", "seconds", "said"),
    [
        ("#!/bin/sh\nexit 0\n", 30.0, "passes before anything is changed"),
        ("#!/bin/sh\nexec ./nowhere\n", 30.0, "was not found"),
        ("#!/bin/sh\nsleep 1000\n", 0.2, "takes longer than its 0.2 s"),
    ],
)
async def test_a_check_that_cannot_decide_ends_the_run_at_once(
    tmp_path: Path, check: str, seconds: float, said: str
) -> None:
    async with rig(tmp_path, check=check, seconds=seconds) as made:
        board = await made.finish()
        assert board.finished is not None
        assert board.state is RunState.FAILED
        assert said in board.finished.reason
        assert not made.events(GenerationDesigned)
        assert said in made.home.folder(made.run).report.read_text()
        assert (await made.finish()).finished == board.finished, "one that is over stays so"


async def test_a_check_that_disagrees_with_itself_ends_the_run(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    async with rig(tmp_path, check=f"#!/bin/sh\nmkdir {mark} 2>/dev/null\n") as made:
        board = await made.finish()
        assert board.finished is not None
        assert "passed 1 of 3 times" in board.finished.reason


async def test_checks_on_the_unchanged_code_are_not_run_again(tmp_path: Path) -> None:
    async with rig(tmp_path, gates_open=False, generations=2) as made:
        for _ in range(2):
            async with made.working():
                await made.state(RunState.GATE)
        assert len(made.events(BaselineChecked)) == 1
