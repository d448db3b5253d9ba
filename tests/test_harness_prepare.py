"""What sandboxes need is made ready before the check is tried, and a run that waits for it can be stopped."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from app.follow import lines
from app.screens.base import run_banner
from app.waiting import waiting
from app.world import Track
from backends.harness.journal import Journal
from backends.harness.loop import Harness
from backends.sandboxes import SandboxError
from store.domain.commands import Stop
from store.domain.events import BaselineChecked, EngineStarted, EngineStopped, SandboxesPrepared, SandboxesPreparing
from store.domain.states import RunState
from tests.harnessrig import Rig, nothing, rig, solve


async def engine(made: Rig, prepare: Callable[[], Awaitable[None]]) -> RunState:
    _, harness = made.harness()
    journal = Journal(made.store, made.run, time.time)
    await journal.record(EngineStarted(1, "1", ""))
    return await Harness(journal, replace(harness.ports, prepare=prepare)).run()


async def test_nothing_is_checked_before_it_is_done(tmp_path: Path) -> None:
    done = False

    async with rig(tmp_path, solve) as made:

        async def prepare() -> None:
            nonlocal done
            assert not made.events(BaselineChecked)
            await asyncio.sleep(0)
            done = True

        assert await asyncio.wait_for(engine(made, prepare), 60) is RunState.SOLVED
        assert done


async def test_a_run_is_stopped_while_it_waits(tmp_path: Path) -> None:
    async with rig(tmp_path, nothing) as made:
        ended = asyncio.Event()

        async def prepare() -> None:
            try:
                await asyncio.sleep(3600)
            finally:
                ended.set()

        working = asyncio.create_task(engine(made, prepare))
        assert await made.answer(Stop()) == (True, "The run is ending.")
        assert await asyncio.wait_for(working, 60) is RunState.STOPPED
        assert ended.is_set()


async def test_when_it_fails_the_engine_leaves_and_the_next_one_goes_on(tmp_path: Path) -> None:
    async with rig(tmp_path, solve) as made:

        async def broken() -> None:
            raise SandboxError("the image could not be built")

        with pytest.raises(BaseExceptionGroup) as caught:
            await asyncio.wait_for(engine(made, broken), 60)
        assert caught.group_contains(SandboxError, match="could not be built")
        assert made.board.finished is None
        # What an engine records that fails: no screen says only that nobody works on the run.
        await Journal(made.store, made.run, time.time).record(EngineStopped("It failed: the image could not be built"))
        track = Track(made.run, "", 0.0, made.board, read=True)
        shown = [text for line in waiting(track, 74) for text, _ in line]
        assert shown[0] == "The engine left before a subagent could be started."
        assert "It failed: the image could not be built" in shown
        for screen in ("runs", "traces"):
            said = "".join(text for text, _ in run_banner(track, 80, screen))
            assert "interrupted: It failed: the image could not be built" in said

        async def whole() -> None:
            pass

        assert await asyncio.wait_for(engine(made, whole), 60) is RunState.SOLVED
        assert made.board.left == ""


async def test_the_board_keeps_the_latest_lines_until_it_is_done(tmp_path: Path) -> None:
    async with rig(tmp_path, nothing) as made:
        journal = Journal(made.store, made.run, time.time)
        await journal.record(SandboxesPreparing(("Step 1",)), SandboxesPreparing(tuple(map(str, range(60)))))
        board = made.board
        assert board.preparing == [str(number) for number in range(20, 60)]
        shown = ["".join(text for text, _ in line) for line in waiting(Track(made.run, "", 0.0, board, read=True), 74)]
        assert (shown[0], shown[-1]) == ("The sandboxes are being made ready.", "59")
        printed = [lines(board, event) for event in made.events(SandboxesPreparing)]
        assert printed[0] == ["  Step 1"]
        await journal.record(SandboxesPreparing(("big: Step 2/4 : RUN make", *["a long line " * 20] * 30)))
        rows = [
            "".join(text for text, _ in line) for line in waiting(Track(made.run, "", 0.0, made.board, read=True), 74)
        ]
        # The step stays in sight, and a long line takes no other's place.
        assert rows[2] == "big: Step 2/4 : RUN make" and len(rows) == 15
        assert all(len(row) <= 74 for row in rows) and rows[-1].endswith("…")
        await journal.record(SandboxesPrepared(1.5))
        assert made.board.preparing == []
