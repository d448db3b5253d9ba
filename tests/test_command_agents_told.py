"""What the operator says reaches an agent that is a program between two of its processes: it goes on with it."""

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from backends.agents.commands.declaration import Declaration
from backends.agents.commands.known import OWN_ENVIRONMENT
from backends.agents.hiring import BUILTIN, listens
from store.domain.commands import Steer
from store.domain.events import Alert, TurnStarted
from store.domain.states import Ending, RunState
from tests.agentrig import PROGRAM, Studio, studio
from tests.upstreams import Heard, Said, Use

WORDS = "Write 42, I say."


@pytest.fixture
def agent(tmp_path: Path) -> Declaration:
    """One that goes on: with what it is told then, in a session of its own."""
    program = tmp_path / "agent.py"
    program.write_text(PROGRAM)
    command = f"{sys.executable} {program} "
    return Declaration("small", f"{command}{{prompt}}", f"{command}{{again}}", OWN_ENVIRONMENT)


def told(heard: Heard) -> Said:
    """Whoever has heard the operator writes the answer."""
    if heard.turns:
        return ["done"]
    return [Use("Bash", {"command": "echo 42 >answer"})] if WORDS in heard.first else ["no"]


def turns(s: Studio) -> list[tuple[int, int]]:
    """The turns, and how many messages each was begun with."""
    payloads = [event.payload for event in s.events(TurnStarted)]
    return [(payload.turn, len(payload.told)) for payload in payloads if isinstance(payload, TurnStarted)]


async def test_it_is_interrupted_before_its_next_turn_and_goes_on_with_the_message(
    tmp_path: Path, agent: Declaration
) -> None:
    def script(heard: Heard) -> Said:
        if WORDS in heard.first:
            return told(heard)
        wait = "touch began; until test -e go; do sleep 0.05; done; rm began go"
        return [Use("Bash", {"command": wait})] if not heard.turns else ["not told"]

    async with studio(tmp_path, agent, script) as s:
        run = asyncio.create_task(s.finish())
        folder = s.rig.home.folder(s.rig.run).sandboxes / str(s.subagent)
        await s.rig.until(lambda: any(folder.rglob("began")), "its first command")
        assert await s.rig.answer(Steer(1, 1, WORDS)) == (True, "1.1 reads it at its next turn.")
        (next(folder.rglob("began")).parent / "go").touch()
        await run
        lane = s.rig.board.lane(s.subagent)
        assert lane is not None and lane.ended is not None
        assert (s.rig.board.state, lane.ended.ending) == (RunState.SOLVED, Ending.SUBMITTED)
        assert turns(s) == [(1, 0), (2, 1), (3, 0)]
        assert not s.events(Alert)
        assert len([call for call in s.calls() if not call.error]) == 3, "its second call never went out"


async def test_one_that_is_done_before_it_was_told_goes_on_with_it(tmp_path: Path, agent: Declaration) -> None:
    slow = replace(agent, command=f"until test -e $HOME/go; do sleep 0.05; done; {agent.command}")
    async with studio(tmp_path, slow, told) as s:
        run = asyncio.create_task(s.finish())
        await s.rig.until(lambda: (lane := s.rig.board.lane(s.subagent)) is not None and lane.attempt > 0, "a launch")
        folder = s.rig.home.folder(s.rig.run).sandboxes / str(s.subagent)
        await s.rig.until(lambda: any(folder.rglob("prompt.md")), "its prompt")
        assert (await s.rig.answer(Steer(1, 1, WORDS)))[0]
        (next(folder.rglob("prompt.md")).parent.parent / "go").touch()
        await run
        assert s.rig.board.state is RunState.SOLVED
        assert turns(s) == [(1, 0), (2, 1), (3, 0)]


async def test_one_that_cannot_go_on_is_not_asked_for_ever(tmp_path: Path, agent: Declaration) -> None:
    slow = f"until test -e $HOME/go; do sleep 0.05; done; {agent.command}"
    lost = replace(agent, command=slow, again="echo 'No conversation found'; exit 1")
    async with studio(tmp_path, lost, told) as s:
        run = asyncio.create_task(s.finish())
        folder = s.rig.home.folder(s.rig.run).sandboxes / str(s.subagent)
        await s.rig.until(lambda: any(folder.rglob("prompt.md")), "its prompt")
        assert (await s.rig.answer(Steer(1, 1, WORDS)))[0]
        (next(folder.rglob("prompt.md")).parent.parent / "go").touch()
        await run
        (alert,) = (event.payload for event in s.events(Alert))
        assert isinstance(alert, Alert) and alert.text == f"It ended before it read what you told it: {WORDS}"


@pytest.mark.parametrize(
    ("name", "hears"),
    [
        (BUILTIN, True),
        ("claude-code", True),
        ("codex", True),
        ("opencode", True),
        ("mini-swe-agent", False),
        ("aider", False),
        ("my-agent {prompt}", False),
    ],
)
def test_who_can_be_told_anything(name: str, hears: bool) -> None:
    assert listens(name) is hears
