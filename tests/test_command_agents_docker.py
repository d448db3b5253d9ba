"""The agents that people use, installed and run for real: in a container without a network, with a real proxy, and a
provider that plays a script."""

import asyncio
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.engines import command, create_run
from backends.agents.commands.declaration import Declaration
from backends.agents.commands.known import AIDER, CLAUDE_CODE, CODEX, MINI_SWE_AGENT, OPENCODE
from backends.sandboxes.docker import Host
from backends.sandboxes.docker.scripts import ROOT as CLONE
from store.domain.board import Lane
from store.domain.commands import Steer
from store.domain.docker import DockerSettings
from store.domain.events import ProgramSaid, ToolFinished, ToolStarted, TurnStarted
from store.domain.states import Ending, RunState
from store.domain.task import SandboxKind
from store.home import Home
from tests.agentrig import MODEL, Studio, studio
from tests.dockerrig import engine, left
from tests.harnessrig import make_repository, small_task
from tests.images import SETTINGS, installed, on_node
from tests.runs import board
from tests.upstreams import Fault, Heard, Said, Upstream, Use

pytestmark = [engine(), pytest.mark.timeout(900)]

ANSWER = f"{CLONE}/answer"


@pytest.fixture(scope="module")
def node() -> DockerSettings:
    return on_node()


def steps(*said: Said) -> Callable[[Heard], Said]:
    """One step a turn; who offers no tools asks for a title."""
    return lambda heard: said[min(heard.turns, len(said) - 1)] if heard.tools else ["A title"]


def lane_of(s: Studio) -> Lane:
    lane = s.rig.board.lane(s.subagent)
    assert lane is not None
    return lane


def solved(s: Studio) -> None:
    lane = lane_of(s)
    assert lane.ended is not None and (lane.ended.ending, lane.solved) == (Ending.SUBMITTED, True), lane.ended
    assert lane.checked is not None and lane.checked.files == ("answer",)
    for call in s.calls():
        assert call.complete and not call.error and call.subagent == s.subagent
        # The real key went in behind the proxy, the virtual one is nowhere on the tape.
        assert "mt-" not in str(call.request_headers)


def told(s: Studio) -> list[tuple[int, str, str]]:
    return [(t.turn, t.name, t.summary) for e in s.events(ToolStarted) if isinstance(t := e.payload, ToolStarted)]


def came(s: Studio) -> list[str]:
    return [t.summary for e in s.events(ToolFinished) if isinstance(t := e.payload, ToolFinished)]


async def test_claude_code_and_its_own_subagents(tmp_path: Path, node: DockerSettings) -> None:
    def script(heard: Heard) -> Said:
        if not heard.tools:
            return ["A title"]
        if "# Goal" not in heard.everything:
            return [Use("Bash", {"command": "cat answer", "description": "look"})] if not heard.turns else ["It is 41."]
        return steps(
            ["I look.", Use("Bash", {"command": "./check; exit 3", "description": "look"})],
            [Use("Agent", {"description": "look", "prompt": "Tell what answer says", "subagent_type": "general-purpose",
                           "run_in_background": False})],
            [Use("Read", {"file_path": ANSWER})],
            [Use("Edit", {"file_path": ANSWER, "old_string": "41", "new_string": "42"})],
            [Use("Bash", {"command": "./check && echo good", "description": "check"})],
            ["It was 41."],
        )(heard)  # fmt: skip

    async with studio(tmp_path, CLAUDE_CODE, script, installed(CLAUDE_CODE, node)) as s:
        await s.finish()
        solved(s)
        assert lane_of(s).ended.detail.endswith("It was 41.")  # type: ignore[union-attr] # solved looked
        # Nothing else than its model was asked for, and nothing but its answers was tried.
        assert {heard.body["model"] for heard in s.upstream.heard} == {MODEL}
        assert s.upstream.others == []
        began = {t.tool_call: t.name for e in s.events(ToolStarted) if isinstance(t := e.payload, ToolStarted)}
        turns = [t for e in s.events(TurnStarted) if isinstance(t := e.payload, TurnStarted)]
        assert [turn.turn for turn in turns] == list(range(1, 9))
        branch = [turn for turn in turns if turn.under]
        assert len(branch) == 2 and {began[turn.under] for turn in branch} == {"Agent"}
        assert {call.thread for call in s.calls()} == {turn.thread for turn in turns}
        assert len({turn.thread for turn in turns}) == 2
        tools = [(name, summary) for _, name, summary in told(s)]
        assert sorted(tools) == [
            ("Agent", "look"), ("Bash", "./check && echo good"), ("Bash", "./check; exit 3"),
            ("Bash", "cat answer"), ("Edit", ANSWER), ("Read", ANSWER),
        ]  # fmt: skip
        assert "exit code 3 · 1 failed" in came(s) and "exit code 0 · good" in came(s)


async def test_mini_swe_agent(tmp_path: Path) -> None:
    script = steps(
        ["I look.", Use("bash", {"command": "./check; exit 3"})],
        [Use("bash", {"command": "echo 42 >answer && ./check && echo good"})],
        [Use("bash", {"command": "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT && echo It was 41."})],
    )
    async with studio(tmp_path, MINI_SWE_AGENT, script, installed(MINI_SWE_AGENT, SETTINGS)) as s:
        await s.finish()
        solved(s)
        assert [name for _, name, _ in told(s)] == ["bash", "bash", "bash"]
        assert came(s)[0].startswith("exit code 3 · ") and came(s)[1].startswith("exit code 0 · ")
        assert [turn.turn for e in s.events(TurnStarted) if isinstance(turn := e.payload, TurnStarted)] == [1, 2, 3]
        assert s.upstream.others == []


async def test_mini_swe_agent_with_a_model_of_openais(tmp_path: Path) -> None:
    script = steps(
        [Use("bash", {"command": "echo 42 >answer"})],
        [Use("bash", {"command": "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"})],
    )
    settings = installed(MINI_SWE_AGENT, SETTINGS)
    async with studio(tmp_path, MINI_SWE_AGENT, script, settings, model="gpt-5.1") as s:
        await s.finish()
        solved(s)
        assert {(call.provider, call.model) for call in s.calls()} == {("openai", "gpt-5.1")}


async def test_codex(tmp_path: Path, node: DockerSettings) -> None:
    script = steps(
        ["I look.", Use("exec_command", {"cmd": "./check; env | grep -c MULTITRACK_KEY; exit 3"})],
        [Use("exec_command", {"cmd": "echo 42 >answer && ./check && echo good"})],
        ["It was 41."],
    )
    async with studio(tmp_path, CODEX, script, installed(CODEX, node), model="gpt-5.1-codex") as s:
        await s.finish()
        solved(s)
        assert [name for _, name, _ in told(s)] == ["exec_command", "exec_command"]
        # What it runs doesn't see its key.
        assert came(s) == ["exit code 3 · 0", "exit code 0 · good"]
        assert {call.protocol for call in s.calls()} == {"openai-responses"}
        assert s.upstream.others == []


async def test_aider(tmp_path: Path) -> None:
    change = "I change it.\n\nanswer\n```\n<<<<<<< SEARCH\n41\n=======\n42\n>>>>>>> REPLACE\n```\n"
    async with studio(tmp_path, AIDER, lambda heard: [change], installed(AIDER, SETTINGS)) as s:
        await s.finish()
        solved(s)
        assert s.upstream.others == []


async def test_opencode_and_its_own_subagents(tmp_path: Path, node: DockerSettings) -> None:
    def script(heard: Heard) -> Said:
        if heard.tools and "# Goal" not in heard.everything:
            return ["It is 41."]
        return steps(
            ["I look.", Use("bash", {"command": "./check; exit 3", "description": "look"})],
            [Use("task", {"description": "look", "prompt": "Tell what answer says", "subagent_type": "general"})],
            [Use("edit", {"filePath": ANSWER, "oldString": "41", "newString": "42"})],
            ["It was 41."],
        )(heard)

    async with studio(tmp_path, OPENCODE, script, installed(OPENCODE, node)) as s:
        await s.finish()
        solved(s)
        began = {t.tool_call: t.name for e in s.events(ToolStarted) if isinstance(t := e.payload, ToolStarted)}
        turns = [t for e in s.events(TurnStarted) if isinstance(t := e.payload, TurnStarted)]
        assert [began[turn.under] for turn in turns if turn.under] == ["task"]
        assert [name for _, name, _ in told(s)] == ["bash", "task", "edit"]
        assert s.upstream.others == []
        assert {call.model for call in s.calls()} == {MODEL}


async def test_an_agent_that_the_image_lacks_has_never_started(tmp_path: Path) -> None:
    async with studio(tmp_path, CLAUDE_CODE, steps(["no"]), SETTINGS) as s:
        await s.finish()
        ended = lane_of(s).ended
        assert ended is not None and ended.ending is Ending.NEVER_STARTED
        assert "is the agent installed in the image?" in ended.detail


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("python3 -c 'bytearray(600 << 20)'", "out of memory: the container reached its 128 MiB"),
        ("sh -c 'kill -9 $$'", "its program was killed by signal 9"),
    ],
)
async def test_what_killed_it_is_told(tmp_path: Path, command: str, says: str) -> None:
    settings = replace(SETTINGS, memory=128 << 20)
    async with studio(tmp_path, Declaration("small", command), steps(["no"]), settings) as s:
        await s.finish()
        ended = lane_of(s).ended
        assert ended is not None and ended.ending is Ending.CRASHED
        assert says in ended.detail
        assert ("memory" in ended.detail) is ("memory" in says)


@pytest.mark.parametrize(("end", "says"), [("kill", "its container was killed"), ("remove", "somebody removed it")])
async def test_one_whose_container_ends_has_not_failed(tmp_path: Path, end: str, says: str) -> None:
    host = Host("", os.environ)
    api: Any = host.client().api
    async with studio(tmp_path, Declaration("small", "echo here; exec sleep 1000"), steps(["no"]), SETTINGS) as s:
        working = asyncio.create_task(s.finish())
        await s.rig.until(lambda: bool(s.events(ProgramSaid)), "its program")
        name = lane_of(s).sandbox
        api.kill(name) if end == "kill" else api.remove_container(name, force=True)
        await working
        ended = lane_of(s).ended
        assert ended is not None and ended.ending is Ending.CRASHED, ended
        assert f"the sandbox of {s.rig.run}.1.1 is lost: " in ended.detail and says in ended.detail
    host.close()


@pytest.mark.parametrize(
    ("fault", "ending"),
    [
        (Fault(401, "authentication_error", "invalid x-api-key"), Ending.LOGIN_LOST),
        (Fault(429, "rate_limit_error", "slow down", (("x-should-retry", "false"),)), Ending.RATE_LIMITED),
    ],
)
async def test_what_the_provider_refuses_claude_code(
    tmp_path: Path, node: DockerSettings, fault: Fault, ending: Ending
) -> None:
    # By itself it tries for three minutes.
    hasty = replace(CLAUDE_CODE, environment={**CLAUDE_CODE.environment, "CLAUDE_CODE_MAX_RETRIES": "1"})
    async with studio(tmp_path, hasty, lambda heard: fault, installed(CLAUDE_CODE, node)) as s:
        await s.finish()
        ended = lane_of(s).ended
        assert ended is not None and ended.ending is ending, ended


@pytest.mark.parametrize(
    ("agent", "tool", "member", "model"),
    [
        (CLAUDE_CODE, "Bash", "command", MODEL),
        (CODEX, "exec_command", "cmd", "gpt-5.1-codex"),
        (OPENCODE, "bash", "command", MODEL),
    ],
    ids=["claude-code", "codex", "opencode"],
)
async def test_it_goes_on_with_its_conversation_under_the_next_engine(
    tmp_path: Path, node: DockerSettings, agent: Declaration, tool: str, member: str, model: str
) -> None:
    asked: list[Heard] = []

    def run(command: str) -> list[str | Use]:
        return [Use(tool, {member: command, **({} if tool == "exec_command" else {"description": "go on"})})]

    def script(heard: Heard) -> Said:
        if not heard.tools:
            return ["A title"]
        asked.append(heard)
        if len(asked) == 1:
            return run("echo 4 >answer; sleep 1000")
        return ["Enough."] if "echo 42" in heard.everything else run("echo 42 >answer")

    async with studio(tmp_path, agent, script, installed(agent, node), model=model) as s:
        s.rig.agent = s.agent
        leaving = asyncio.create_task(s.rig.engine(base_url=s.base_url, cut=s.proxy.cut))
        await s.rig.until(lambda: bool(s.events(ToolStarted)), "a tool call")
        # It keeps its conversation a moment later than it acts.
        sandbox = s.agent._works[s.subagent]._session.sandbox
        kept = "test -s answer && grep -rlq 'echo 4 >answer' $(ls -A -d ~/.[a-z]* | grep -v multitrack)"
        async with asyncio.timeout(120):
            while (await sandbox.run(kept, seconds=30)).exit_code:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.1)
        leaving.cancel()
        await asyncio.wait([leaving])
        await s.rig.sandboxes().sweep()
        await s.finish()
        assert len(asked) > 1, lane_of(s).ended
        text = asked[1].everything
        assert "You were interrupted" in text and "# Goal" in text and "echo 4 >answer" in text
        lane = lane_of(s)
        assert (lane.attempt, lane.solved) == (2, True)


@pytest.mark.parametrize(
    ("agent", "tool", "member", "model"),
    [
        (CLAUDE_CODE, "Bash", "command", MODEL),
        (CODEX, "exec_command", "cmd", "gpt-5.1-codex"),
        (OPENCODE, "bash", "command", MODEL),
    ],
    ids=["claude-code", "codex", "opencode"],
)
async def test_it_is_told_what_the_operator_says_and_goes_on_with_its_conversation(
    tmp_path: Path, node: DockerSettings, agent: Declaration, tool: str, member: str, model: str
) -> None:
    def run(command: str) -> list[str | Use]:
        return [Use(tool, {member: command, **({} if tool == "exec_command" else {"description": "go on"})})]

    heard_it: list[Heard] = []

    def script(heard: Heard) -> Said:
        if not heard.tools:
            return ["A title"]
        if "Write 42, I say." not in heard.everything:
            return run("sleep 2; echo looked")
        heard_it.append(heard)
        return ["Enough."] if "echo 42" in heard.everything else run("echo 42 >answer")

    async with studio(tmp_path, agent, script, installed(agent, node), model=model) as s:
        working = asyncio.create_task(s.finish())
        await s.rig.until(lambda: bool(s.events(ToolStarted)), "a tool call")
        assert (await s.rig.answer(Steer(1, 1, "Write 42, I say.")))[0]
        await working
        lane = lane_of(s)
        assert lane.solved, lane.ended
        assert [one.turn is not None for one in lane.steering] == [True]
        text = heard_it[0].everything
        assert "# Goal" in text and "looked" in text, "it is the same conversation"
        assert text.count("Write 42, I say.") == 1


async def test_an_engine_hires_it_and_the_run_can_be_replayed(tmp_path: Path, node: DockerSettings) -> None:
    def script(heard: Heard) -> Said:
        if heard.tools and "# Goal" not in heard.everything:
            return [Use("Bash", {"command": "cat answer", "description": "look"})] if not heard.turns else ["It is 41."]
        agent = {"description": "look", "prompt": "Tell what answer says", "subagent_type": "general-purpose"}
        return steps(
            [Use("Agent", {**agent, "run_in_background": False})],
            [Use("Bash", {"command": "echo 42 >answer && ./check", "description": "fix"})],
            ["It was 41."],
        )(heard)

    home = Home(tmp_path / "home").create()
    upstream = Upstream(script)
    async with upstream.serving():
        task = small_task(
            make_repository(tmp_path / "theirs"), sandbox=SandboxKind.DOCKER, docker=node, agent="claude-code",
            model=MODEL, upstream=upstream.base_url, lanes=2, clean_lanes=1,
        )  # fmt: skip
        run = create_run(home, task, title="A test", seed=1, gates_open=True)
        assert await ended(home, *command(home, run)) == 0, home.folder(run).log.read_text()
    played = board(home, run)
    assert played.state is RunState.SOLVED and [lane.turn for lane in played.generations[1].lanes.values()] == [5, 5]
    # Nobody answers now but the tape.
    assert await ended(home, sys.executable, "-P", "-m", "app", "replay", run, "--headless") == 0
    assert await ended(home, sys.executable, "-P", "-m", "app", "verify", run) == 0
    assert left(home.root) == []


async def ended(home: Home, *argv: str) -> int:
    environ = {**os.environ, "MULTITRACK_HOME": str(home.root), "ANTHROPIC_API_KEY": "real"}
    process = await asyncio.create_subprocess_exec(*argv, env=environ, stdin=asyncio.subprocess.DEVNULL)
    try:
        return await asyncio.wait_for(process.wait(), 300)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
