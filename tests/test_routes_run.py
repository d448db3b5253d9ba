"""A whole run whose models are of another protocol: a real engine, the built-in agent, and a task file with a route."""

import asyncio
import json
from pathlib import Path

import pytest

from app.engines import create_run
from app.replays import order_replay
from app.taskfile import load
from store import tapes
from store.database import open_store
from store.domain.ids import SubagentId
from store.domain.replay import Replay
from store.domain.states import RunState
from store.home import Home
from tests import runs
from tests.harnessrig import make_repository
from tests.proxyrig import Asked, provided
from tests.routesrig import chunks, tool_call

KEY = "sk-of-the-operator-for-far"

TASK = """
[task]
goal = "Make it 42."
repository = "theirs"
[check]
command = "./check"
protected = ["check"]
[generations]
count = 1
lanes = 1
clean = 0
[model]
name = "claude-sonnet-5-5"
[[routes]]
model = "claude-*"
deployments = ["openai/gpt-5.1@far"]
[[upstreams]]
name = "far"
url = "URL"
key = "FAR_KEY"
"""


async def test_a_run_is_solved_by_a_model_of_another_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAR_KEY", KEY)
    mend = json.dumps({"command": "echo 42 > answer; env | grep -c FAR_KEY"})
    left = [
        chunks({"role": "assistant"}, tool_call(0, "run", mend)),
        chunks(tool_call(0, "submit", '{"summary": "It says 42."}')),
    ]

    async def handler(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await left.pop(0)(asked, writer)

    make_repository(tmp_path / "theirs")
    home = Home(tmp_path / "home").create()
    async with provided(handler) as provider:
        file = tmp_path / "multitrack.toml"
        file.write_text(TASK.replace("URL", provider.base_url), encoding="utf-8")
        run = create_run(home, load(file), title="A test", seed=3, scripted="", gates_open=True)
        board = await asyncio.to_thread(runs.finish, home, run)
    assert board.finished is not None and board.finished.state is RunState.SOLVED, home.folder(run).log.read_text()
    assert [asked.head.count(KEY.encode()) for asked in provider.asked] == [1, 1]
    # The agent's commands, and the model, know nothing of the key.
    assert KEY.encode() not in b"".join(asked.body for asked in provider.asked)
    assert "echo 42" in json.loads(provider.asked[1].body)["messages"][2]["tool_calls"][0]["function"]["arguments"]
    with open_store(home.store) as store:
        calls = tapes.calls(store, run=run)
        assert [(call.parent is None, call.model) for call in calls] == [
            (True, "claude-sonnet-5-5"),
            (False, "gpt-5.1"),
        ] * 2
        assert tapes.verify(store, run) == []
        spend = tapes.spend(store, run)
    lane = board.lane(SubagentId(run, 1, 1))
    assert lane is not None
    # Once, by the tape and by the events.
    for used in (spend, lane.spend):
        assert (used.turns, used.usage.total, used.priced) == (2, 2 * 117, True)
    # Its tape answers without anybody else: what the agent was told is on it.
    with open_store(home.store) as store:
        again = order_replay(home, store, board, Replay(run))
    board = await asyncio.to_thread(runs.finish, home, again)
    assert board.finished is not None and board.finished.state is RunState.SOLVED, home.folder(again).log.read_text()
    with open_store(home.store) as store:
        assert [call.source for call in tapes.calls(store, run=again)] == [
            f"tape:{call.id}" for call in calls if call.parent is None
        ]
