"""Limits of a subagent and of the whole run: each ends as it should, with its reason, and nothing lives on."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from backends.agents import Assignment, Outcome, Session
from store.domain.events import CallFinished, SubagentEnded, TurnStarted
from store.domain.limits import Limits, Usage
from store.domain.states import Ending, RunState
from tests.harnessrig import hang, rig, solve


async def spending(assignment: Assignment, session: Session) -> Outcome:
    """Turns of 100 tokens and ten cents, until a limit is reached."""
    turn = 0
    while (ending := await session.before_turn()) is None:
        turn += 1
        await session.record(TurnStarted(turn))
        await session.record(CallFinished(f"c{turn}", 200, "tool_use", Usage(60, 40), 0.1, 0.0))
        if turn == 1:
            await solve(assignment, session)
        await session.sandbox.run("sleep 0.05", seconds=10)
    return Outcome(ending)


async def waiting(assignment: Assignment, session: Session) -> None:
    """A model call that is never answered: nothing comes back, and nothing is recorded."""
    await session.record(TurnStarted(1))
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("limits", "ending", "turns"),
    [
        (Limits(turns=3), Ending.TURNS, 3),
        (Limits(tokens=250), Ending.TOKENS, 3),
        (Limits(usd=0.35), Ending.COST, 4),
        (Limits(seconds=0.4), Ending.TIME, None),
    ],
)
async def test_a_subagent_ends_at_its_limit_and_what_it_did_is_checked(
    tmp_path: Path, limits: Limits, ending: Ending, turns: int | None
) -> None:
    async with rig(tmp_path, spending, limits=limits) as made:
        board = await made.finish()
        lane = board.generations[1].lanes[1]
        assert lane.ended is not None
        assert lane.ended.ending is ending
        assert turns is None or lane.ended.spend.turns == turns
        assert lane.solved
        assert f"| {ending} |" in made.home.folder(made.run).report.read_text()


@pytest.mark.parametrize("does", [hang, waiting])
async def test_what_hangs_is_ended_by_the_time_limit(
    tmp_path: Path, does: Callable[[Assignment, Session], Awaitable[None]]
) -> None:
    async with rig(tmp_path, does, limits=Limits(seconds=0.3)) as made:
        board = await made.finish()
        ended = board.generations[1].lanes[1].ended
        assert ended is not None
        assert (ended.ending, ended.detail) == (Ending.TIME, "0.3 s of work")
        assert board.state is RunState.UNSOLVED


@pytest.mark.parametrize(
    ("limits", "word"),
    [
        (Limits(turns=4), "turn limit"),
        (Limits(tokens=500), "token limit"),
        (Limits(usd=0.45), "cost limit"),
    ],
)
async def test_the_whole_run_ends_at_its_limit(tmp_path: Path, limits: Limits, word: str) -> None:
    async def unsolved(assignment: Assignment, session: Session) -> Outcome:
        outcome = await spending(assignment, session)
        await session.sandbox.write("answer", b"41\n")
        return outcome

    async with rig(tmp_path, unsolved, lanes=2, generations=9, limits=Limits(turns=50), run_limits=limits) as made:
        board = await made.finish()
        assert board.finished is not None
        assert board.finished.reason == f"The whole run's {word} is reached."
        assert len(board.generations) == 1
        endings = {
            event.payload.ending for event in made.events(SubagentEnded) if isinstance(event.payload, SubagentEnded)
        }
        assert endings == {Ending.KILLED}
        # They were killed in the middle, and what they had was the answer.
        assert board.state is RunState.SOLVED
        assert f"The whole run's {word} is reached." in made.home.folder(made.run).report.read_text()


async def test_the_limit_of_a_run_holds_over_its_engines(tmp_path: Path) -> None:
    async with rig(tmp_path, hang, generations=2, run_limits=Limits(seconds=1.5)) as made:
        async with made.working():
            await made.until(lambda: 1 in made.board.generations, "the generation")
        board = await made.finish()
        assert board.state is RunState.STOPPED
        assert board.finished is not None
        assert board.finished.reason == "The whole run's time limit is reached."
        assert list(board.generations) == [1]
