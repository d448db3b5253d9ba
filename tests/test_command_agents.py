"""Agents that are programs, with a small one of our own in a local sandbox: real processes, the real proxy."""

import asyncio
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from app.branches import Told, tree
from app.trace import OfBranch, OfTurn, Trace
from backends.agents.commands.declaration import Declaration
from backends.agents.commands.following import Following
from backends.agents.commands.known import OWN_ENVIRONMENT
from store.domain.commands import Continue, Kill, Pause
from store.domain.events import Alert, Event, ProgramSaid, SubagentEnded, ToolFinished, ToolStarted, TurnStarted
from store.domain.limits import Limits
from store.domain.states import Ending, RunState, SubagentState
from tests.agentrig import PROGRAM, studio
from tests.upstreams import Fault, Heard, Said, Use


@pytest.fixture
def agent(tmp_path: Path) -> Declaration:
    program = tmp_path / "agent.py"
    program.write_text(PROGRAM)
    return Declaration("small", f"{sys.executable} {program} {{prompt}}", environment=OWN_ENVIRONMENT, quiet=False)


def fixes(heard: Heard) -> Said:
    steps: list[Said] = [
        ["I look.", Use("Bash", {"command": "cat answer; ./check"})],
        [Use("Bash", {"command": "echo 42 >answer && ./check && echo good"})],
        ["It was 41."],
    ]
    return steps[min(heard.turns, 2)]


async def test_it_works_to_its_end_and_all_of_it_is_told(tmp_path: Path, agent: Declaration) -> None:
    async with studio(tmp_path, agent, fixes) as s:
        await s.finish()
        board = s.rig.board
        lane = board.lane(s.subagent)
        assert lane is not None and board.state is RunState.SOLVED
        assert lane.ended is not None and lane.ended.ending is Ending.SUBMITTED
        assert lane.ended.detail.endswith("It was 41.")
        assert (lane.turn, lane.answered, lane.ended.spend.turns) == (3, 3, 3)
        assert [event.payload for event in s.events(TurnStarted)] == [
            TurnStarted(n, s.calls()[0].thread) for n in (1, 2, 3)
        ]
        started = [e.payload for e in s.events(ToolStarted) if isinstance(e.payload, ToolStarted)]
        assert [(t.turn, t.name, t.summary) for t in started] == [
            (1, "Bash", "cat answer; ./check"),
            (2, "Bash", "echo 42 >answer && ./check && echo good"),
        ]
        finished = [e.payload for e in s.events(ToolFinished) if isinstance(e.payload, ToolFinished)]
        assert [(t.turn, t.ok, t.summary) for t in finished] == [
            (1, True, "exit code 1 · 1 failed"),
            (2, True, "exit code 0 · good"),
        ]
        lines = [line for e in s.events(ProgramSaid) if isinstance(e.payload, ProgramSaid) for line in e.payload.lines]
        assert lines == ["ready", "It was 41."]


async def test_it_is_told_all_that_the_built_in_one_is(tmp_path: Path, agent: Declaration) -> None:
    told: list[str] = []

    def script(heard: Heard) -> Said:
        told.append(heard.first)
        return ["no"]

    async with studio(tmp_path, agent, script, goal="Make it 42 \"`$(now)`\" 'soon'.") as s:
        await s.finish()
        lane = s.rig.board.lane(s.subagent)
        assert lane is not None
        assert "# Goal\nMake it 42 \"`$(now)`\" 'soon'.\n" in told[0]
        assert "`./check`" in told[0] and "`check`" in told[0]
        assert lane.plan.strategy.approach in told[0]
        assert "# Limits\nAt most" in told[0]


async def test_its_own_subagents_are_branches_of_the_tool_calls_that_began_them(
    tmp_path: Path, agent: Declaration
) -> None:
    def script(heard: Heard) -> Said:
        if heard.first.startswith("Look"):
            return [Use("Bash", {"command": f"echo {heard.first[-1]}"})] if not heard.turns else ["41, I say."]
        steps: list[Said] = [
            [Use("Bash", {"command": "true"}), Use("Agent", {"prompt": "Look deep é\n1"})],
            [Use("Agent", {"prompt": "Look deeper 2"})],
            ["done"],
        ]
        return steps[min(heard.turns, 2)]

    async with studio(tmp_path, agent, script) as s:
        await s.finish()
        turns = [e.payload for e in s.events(TurnStarted) if isinstance(e.payload, TurnStarted)]
        began = {t.tool_call: t.summary for e in s.events(ToolStarted) if isinstance(t := e.payload, ToolStarted)}
        assert [(turn.turn, began.get(turn.under, "")) for turn in turns] == [
            (1, ""), (2, "Look deep é 1"), (3, "Look deep é 1"), (4, ""),
            (5, "Look deeper 2"), (6, "Look deeper 2"), (7, ""),
        ]  # fmt: skip
        assert len({turn.thread for turn in turns}) == 3
        results = [t.summary for e in s.events(ToolFinished) if isinstance(t := e.payload, ToolFinished)]
        assert results == ["exit code 0 · 1", "exit code 0", "41, I say.", "exit code 0 · 2", "41, I say."]

        def shape(calls: Sequence[Told]) -> list[object]:
            return [(told.number, [shape(under) for under in told.under.values()]) for told in calls]

        inner: list[object] = [(2, []), (3, [])]
        roots = tree(s.rig.store, [(call, ()) for call in s.calls()])
        assert shape(roots) == [(1, [inner]), (4, [[(5, []), (6, [])]]), (7, [])]
        outline = Trace(s.rig.run, "a title")
        outline.apply(s.rig.events())
        under = []
        for number in range(1, 8):
            turn = outline.turn(s.subagent, number)
            assert turn is not None and turn.parent is not None and isinstance(turn.data, OfTurn)
            assert turn.data.calls == [s.calls()[number - 1].id]
            above = turn.parent.data
            under.append(above.tool.started.summary if isinstance(above, OfBranch) else "")
        assert under == ["", "Look deep é 1", "Look deep é 1", "", "Look deeper 2", "Look deeper 2", ""]


@pytest.mark.parametrize(
    ("limits", "ending", "calls"),
    [
        (Limits(turns=2), Ending.TURNS, 2),
        (Limits(tokens=2000), Ending.TOKENS, 2),
        (Limits(usd=0.004), Ending.COST, 2),
    ],
)
async def test_limits_end_it(tmp_path: Path, agent: Declaration, limits: Limits, ending: Ending, calls: int) -> None:
    async with studio(tmp_path, agent, lambda heard: [Use("Bash", {"command": "true"})], limits=limits) as s:
        await s.finish()
        lane = s.rig.board.lane(s.subagent)
        assert lane is not None and lane.ended is not None
        assert lane.ended.ending is ending
        assert len(s.calls()) == calls


async def test_one_that_does_not_end_at_its_limit_is_ended(
    tmp_path: Path, agent: Declaration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backends.agents.commands.agent.GRACE", 0.2)
    stubborn = replace(agent, command=f"{agent.command}; sleep 1000")
    async with studio(
        tmp_path, stubborn, lambda heard: [Use("Bash", {"command": "true"})], limits=Limits(turns=1)
    ) as s:
        await s.finish()
        lane = s.rig.board.lane(s.subagent)
        assert lane is not None and lane.ended is not None and lane.ended.ending is Ending.TURNS


async def test_time_ends_it_with_all_that_it_started(tmp_path: Path, agent: Declaration) -> None:
    hanging = replace(agent, command="sleep 1000 & setsid sleep 1000")
    async with studio(tmp_path, hanging, fixes, limits=Limits(seconds=0.5)) as s:
        await s.finish()
        lane = s.rig.board.lane(s.subagent)
        assert lane is not None and lane.ended is not None and lane.ended.ending is Ending.TIME


async def test_a_paused_one_makes_no_call_until_it_goes_on(tmp_path: Path, agent: Declaration) -> None:
    asked = asyncio.Event()

    def script(heard: Heard) -> Said:
        asked.set()
        return fixes(heard)

    async with studio(tmp_path, replace(agent, command=f"sleep 1; {agent.command}"), script) as s:
        run = asyncio.create_task(s.finish())
        await s.rig.until(lambda: (lane := s.rig.board.lane(s.subagent)) is not None and lane.attempt > 0, "a launch")
        assert (await s.rig.answer(Pause(1, 1)))[0]
        # Its call has come, and is held: it is under way, and nobody was asked.
        await s.rig.until(lambda: bool(s.proxy._bodies) or asked.is_set(), "a call")
        await asyncio.sleep(0.3)
        assert not asked.is_set() and not s.calls() and not s.events(TurnStarted)
        assert (await s.rig.answer(Continue(1, 1)))[0]
        await run
        assert s.rig.board.state is RunState.SOLVED


@pytest.mark.parametrize("leaves", [False, True])
async def test_a_call_that_is_held_ends_with_its_subagent(tmp_path: Path, agent: Declaration, leaves: bool) -> None:
    async with studio(tmp_path, replace(agent, command=f"sleep 1; {agent.command}"), fixes) as s:
        s.rig.agent = s.agent
        run = asyncio.create_task(s.rig.engine(base_url=s.base_url, cut=s.proxy.cut))
        await s.rig.until(lambda: (lane := s.rig.board.lane(s.subagent)) is not None and lane.attempt > 0, "a launch")
        assert (await s.rig.answer(Pause(1, 1)))[0]
        await s.rig.until(lambda: bool(s.proxy._bodies), "a call")
        if leaves:
            run.cancel()
        else:
            assert (await s.rig.answer(Kill(1, 1)))[0]
        await asyncio.wait([run])
        await s.rig.until(lambda: not s.proxy._bodies, "the call's end")
        assert not s.calls() and not s.events(TurnStarted)


async def test_a_killed_one_is_gone_at_once(tmp_path: Path, agent: Declaration) -> None:
    async with studio(tmp_path, agent, lambda heard: [Use("Bash", {"command": "echo 42 >answer; sleep 1000"})]) as s:
        run = asyncio.create_task(s.finish())
        await s.rig.until(lambda: bool(s.events(ToolStarted)), "a tool call")
        assert (await s.rig.answer(Kill(1, 1)))[0]
        await run
        lane = s.rig.board.lane(s.subagent)
        assert lane is not None and lane.ended is not None and lane.ended.ending is Ending.KILLED
        # What it left is checked all the same.
        assert lane.state is SubagentState.SOLVED


@pytest.mark.parametrize(
    ("command", "ending", "says"),
    [
        ("no-such-agent {prompt}", Ending.NEVER_STARTED, "its program isn't there"),
        ("echo 'no config'; exit 3", Ending.NEVER_STARTED, "exit code 3 without a model call: no config"),
        ("true", Ending.NEVER_STARTED, "without a model call"),
        ("echo 'Not logged in · Please run /login'; exit 1", Ending.LOGIN_LOST, "/login"),
        ("kill -9 $$", Ending.CRASHED, "signal 9, which happens when it runs out of memory"),
    ],
)
async def test_one_that_never_worked(
    tmp_path: Path, agent: Declaration, command: str, ending: Ending, says: str
) -> None:
    async with studio(tmp_path, replace(agent, command=command), fixes) as s:
        await s.finish()
        lane = s.rig.board.lane(s.subagent)
        assert lane is not None and lane.ended is not None
        assert lane.ended.ending is ending and says in lane.ended.detail
        assert lane.state is SubagentState.FAILED


@pytest.mark.parametrize(
    ("fault", "ending"),
    [
        (Fault(429, "rate_limit_error", "slow down", (("retry-after", "1"),)), Ending.RATE_LIMITED),
        (Fault(401, "authentication_error", "invalid x-api-key"), Ending.LOGIN_LOST),
        (Fault(403, "permission_error", "no"), Ending.LOGIN_LOST),
        (Fault(400, "invalid_request_error", "prompt is too long: 300000 tokens"), Ending.TOKENS),
        (Fault(529, "overloaded_error", "Overloaded"), Ending.PROVIDER),
    ],
)
async def test_what_the_provider_does_is_not_its_fault(
    tmp_path: Path, agent: Declaration, fault: Fault, ending: Ending
) -> None:
    async with studio(tmp_path, agent, lambda heard: fault if heard.turns else fixes(heard)) as s:
        await s.finish()
        lane = s.rig.board.lane(s.subagent)
        assert lane is not None and lane.ended is not None
        assert lane.ended.ending is ending and fault.message in lane.ended.detail


async def test_one_that_gives_up_has_tried_and_failed(tmp_path: Path, agent: Declaration) -> None:
    gives_up = replace(agent, command=f"{agent.command}; echo too hard; exit 4")
    async with studio(tmp_path, gives_up, lambda heard: ["I can't."]) as s:
        await s.finish()
        lane = s.rig.board.lane(s.subagent)
        assert lane is not None and lane.ended is not None and lane.ended.ending is Ending.SILENT
        assert "gave up with exit code 4" in lane.ended.detail and lane.ended.detail.endswith("too hard")
        assert lane.state is SubagentState.UNSOLVED


async def test_under_the_next_engine_it_goes_on_or_begins_anew(tmp_path: Path, agent: Declaration) -> None:
    firsts: list[str] = []

    def script(heard: Heard) -> Said:
        firsts.append(heard.first)
        if len(firsts) == 1:
            return [Use("Bash", {"command": "echo begun >>answer; sleep 1000"})]
        return ["Enough."]

    async with studio(tmp_path, agent, script) as s:
        s.rig.agent = s.agent
        leaving = asyncio.create_task(s.rig.engine(base_url=s.base_url, cut=s.proxy.cut))
        await s.rig.until(lambda: bool(s.events(ToolStarted)), "a tool call")
        await s.rig.until(
            lambda: any("begun" in path.read_text() for path in tmp_path.rglob("answer")), "its first line"
        )
        leaving.cancel()
        await asyncio.wait([leaving])
        assert await s.rig.sandboxes().sweep() == 0
        await s.finish()
        lane = s.rig.board.lane(s.subagent)
        # Its program may have asked once more, in vain, between the end of its command and its own.
        assert lane is not None and lane.attempt == 2 and lane.turn in (2, 3)
        assert "# An interruption" not in firsts[0] and "# An interruption" in firsts[-1]
        # It begins in the files as they were left.
        ended = s.events(SubagentEnded)[0].payload
        assert isinstance(ended, SubagentEnded) and ended.ending is Ending.SUBMITTED
        assert lane.checked is not None and lane.checked.insertions == 1

    firsts.clear()
    goes_on = replace(agent, again=agent.command.replace("{prompt}", "{again}"))
    async with studio(tmp_path / "again", goes_on, script) as s:
        s.rig.agent = s.agent
        leaving = asyncio.create_task(s.rig.engine(base_url=s.base_url, cut=s.proxy.cut))
        await s.rig.until(lambda: bool(s.events(ToolStarted)), "a tool call")
        leaving.cancel()
        await asyncio.wait([leaving])
        await s.finish()
        assert firsts[1].startswith("You were interrupted")

    firsts.clear()
    lost = replace(agent, again="echo 'No conversation found to continue'; exit 1")
    async with studio(tmp_path / "lost", lost, script) as s:
        s.rig.agent = s.agent
        leaving = asyncio.create_task(s.rig.engine(base_url=s.base_url, cut=s.proxy.cut))
        await s.rig.until(lambda: bool(s.events(ToolStarted)), "a tool call")
        leaving.cancel()
        await asyncio.wait([leaving])
        await s.finish()
        assert "# An interruption" in firsts[1]


async def test_what_it_leaves_for_itself_is_no_part_of_its_patch(tmp_path: Path, agent: Declaration) -> None:
    untidy = replace(
        agent, command=f"mkdir -p .small.cache; touch .small.cache/x .small; {agent.command}", leavings=(".small*",)
    )
    async with studio(tmp_path, untidy, fixes) as s:
        await s.finish()
        lane = s.rig.board.lane(s.subagent)
        assert lane is not None and lane.checked is not None and lane.checked.files == ("answer",)


async def test_a_look_at_the_tape_that_is_broken_off_loses_nothing(
    tmp_path: Path, agent: Declaration, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking, go = threading.Event(), threading.Event()
    events = [Event(1, 1.0, "r", 1, 1, Alert("turn limit", "it is reached"))]

    def look(following: Following) -> list[Event]:
        looking.set()
        go.wait(30)
        found, events[:] = [*events], []
        return found

    monkeypatch.setattr(Following, "_events", look)
    async with studio(tmp_path, agent, fixes) as s:
        following = Following(s.rig.store, s.subagent, None)  # type: ignore[arg-type] # nothing is recorded
        broken_off = asyncio.create_task(following.catch_up())
        await asyncio.to_thread(looking.wait, 30)
        broken_off.cancel()
        await asyncio.wait([broken_off])
        go.set()
        await following.catch_up()
        assert following.alerts == {"turn limit"}
