"""What other programs recorded, brought in: real files of each, and hostile ones. What is rebuilt is what was sent."""

import gzip
import hashlib
import io
import json
import lzma
import os
import shutil
import sqlite3
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.again import play_again
from app.context import read_board
from app.replays import outcome
from app.tapefiles import facts, read_file
from backends.imports import Found, ImportedFileError, look
from backends.imports.jsonfile import members, opened, value
from backends.observer import check_evidence
from bench import observer as bench
from store import events, observations, runs, tapes
from store.database import Store, open_store
from store.domain.events import RunImported, ToolFinished, ToolStarted, TurnStarted
from store.domain.kept import split
from store.domain.replay import Replay
from store.domain.states import Validity
from store.home import Home
from store.search import search
from store.unnamed import unnamed
from tests.shop import Here, here, nowhere
from widgets import gauge

__all__ = ["here", "nowhere"]

RECORDED = Path(__file__).parent / "recorded" / "imports"
SESSION = "851511b3-be2a-4ccb-95d4-7605e8190f29"
LOG = RECORDED / f"{SESSION}.jsonl"
TAU = RECORDED / "tau-bench-airline-gpt-4o.json.xz"
"""Four attempts of a real model at each of 23 tasks; LICENSE.tau-bench is its licence."""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home").create()


def brought(home: Home, store: Store, path: Path) -> list[dict[str, Any]]:
    _, made = read_file(home, store, path)
    return [facts(store, one) for one in made]


def checked(home: Home, store: Store, run: str) -> None:
    """What must hold of every run that was brought in."""
    assert tapes.verify(store, run) == [] and unnamed(store, home) == []
    board = read_board(store, run)
    assert board.order is not None and board.order.imported and board.finished is not None
    for call in tapes.calls(store, run=run):
        assert call.source == f"import:{board.order.imported}" and call.ended is not None
    document = observations.load(store, run)
    assert document is not None and check_evidence(store, document) == []
    again = play_again(home, store, board, Replay(run))
    played = outcome(store, read_board(store, again))
    assert played is not None and played.faithful, played
    for one, other in zip(tapes.calls(store, run=run), tapes.calls(store, run=again), strict=True):
        assert tapes.response(store, one) == tapes.response(store, other)


def asked(store: Store, run: str) -> list[list[dict[str, Any]]]:
    return [tapes.request(store, call)["messages"] for call in tapes.calls(store, run=run)]


# Claude Code.


def plain(message: dict[str, Any]) -> dict[str, Any]:
    """A message as text or blocks, however it was written."""
    content = message["content"]
    return {**message, "content": [{"type": "text", "text": content}] if isinstance(content, str) else content}


def test_a_session_of_claude_code_asks_what_was_asked(home: Home) -> None:
    with open_store(home.store) as store:
        (told,) = brought(home, store, LOG)
        run = told["run"]
        assert (told["calls"], told["name"], told["state"]) == (9, SESSION, "unsolved")
        checked(home, store, run)
        heard = json.loads((RECORDED / "claude-heard.json").read_text())
        assert [[plain(m) for m in messages] for messages in asked(store, run)] == [
            [plain(m) for m in messages] for messages in heard
        ]
        calls = tapes.calls(store, run=run)
        assert {call.model for call in calls} == {"claude-sonnet-5-5"} and {call.usd for call in calls} == {None}
        assert all(call.usage.input == 1000 and call.usage.output == 50 for call in calls)
        assert calls[0].stop_reason == "tool_use" and calls[0].response_id == "msg_000000000000000000000002"
        # Its own subagent is a branch under the tool call that began it.
        turns = [e.payload for e in events.read(store, run=run) if isinstance(e.payload, TurnStarted)]
        branch = [turn for turn in turns if turn.thread]
        assert [turn.turn for turn in branch] == [3, 4]
        assert {turn.under for turn in branch} == {"toolu_000000000000000000000003"}
        done = {
            e.payload.tool_call: e.payload for e in events.read(store, run=run) if isinstance(e.payload, ToolFinished)
        }
        assert done["toolu_000000000000000000000001"].summary == "exit code 3"
        assert len(done) == 7 and all(e.at >= calls[0].started for e in events.read(store, run=run)[3:])
        *_, imported = [e.payload for e in events.read(store, run=run) if isinstance(e.payload, RunImported)]
        assert imported.source == "claude-code" and imported.file == LOG.name and len(imported.notes) == 2
        assert [hit.run for hit in search(store, "fatal not a git repository", run=run)]
        before = store_of(store)
        assert [one["made"] for one in brought(home, store, LOG)] == [False]
        assert store_of(store) == before


def store_of(store: Store) -> list[Any]:
    names = ("runs", "calls", "nodes", "tape_nodes", "events", "blobs", "deletions")
    with store.read() as connection:
        return [connection.exec_driver_sql(f"SELECT * FROM {name} ORDER BY 1, 2").all() for name in names]


Line = dict[str, Any]


def line(kind: str, uuid: str, parent: str | None, content: Any, **more: Any) -> Line:
    message = {"role": kind, "content": content}
    if kind == "assistant":
        message |= {"id": more.pop("mid", f"msg_{uuid}"), "model": more.pop("model", "claude-x"), "stop_reason": None}
        message |= {"usage": {"input_tokens": 5, "output_tokens": 7, "cache_read_input_tokens": 3}}
    second = int(hashlib.md5(uuid.encode()).hexdigest(), 16) % 1 + 1
    told = {
        "type": kind,
        "uuid": uuid,
        "parentUuid": parent,
        "sessionId": "s",
        "message": message,
        "isSidechain": False,
    }
    return {**told, "timestamp": f"2026-01-01T00:00:{second:02d}.000Z", **more}


def session(folder: Path, lines: list[Any], name: str = "s.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))
    return path


def test_what_was_taken_back_is_a_branch(home: Home, tmp_path: Path) -> None:
    text = [{"type": "text", "text": "one"}]
    path = session(
        tmp_path,
        [
            {"type": "summary", "summary": "A title", "leafUuid": "d"},
            line("user", "a", None, "Begin."),
            line("assistant", "b", "a", text),
            line("user", "c", "b", "Go left."),
            line("assistant", "d", "c", [{"type": "text", "text": "left"}]),
            line("user", "e", "b", "Go right."),
            line("assistant", "f", "e", [{"type": "text", "text": "right"}]),
            line("user", "g", "d", "Left again."),
            line(
                "assistant",
                "h",
                "g",
                [{"type": "text", "text": "API Error: 529"}],
                model="<synthetic>",
                isApiErrorMessage=True,
            ),
            line("assistant", "i", "h", [{"type": "text", "text": "on"}]),
        ],
    )
    with open_store(home.store) as store:
        (told,) = brought(home, store, path)
        said = [[str(m["content"]) for m in messages if m["role"] == "user"] for messages in asked(store, told["run"])]
        assert said == [
            ["Begin."],
            ["Begin.", "Go left."],
            ["Begin.", "Go right."],
            *[["Begin.", "Go left.", "Left again."]] * 2,
        ]
        assert told["title"] == "A title"
        calls = tapes.calls(store, run=told["run"])
        assert [bool(call.error) for call in calls] == [False, False, False, True, False]
        assert "529" in calls[3].error and calls[3].answer is None
        checked(home, store, told["run"])


def test_results_of_tools_that_ran_at_once_are_one_message(home: Home, tmp_path: Path) -> None:
    def use(name: str) -> list[dict[str, Any]]:
        return [{"type": "tool_use", "id": name, "name": "Bash", "input": {"command": name}}]

    def result(name: str, said: str) -> list[dict[str, Any]]:
        return [{"type": "tool_result", "tool_use_id": name, "content": said}]

    path = session(
        tmp_path,
        [
            line("user", "a", None, "Begin."),
            line("assistant", "b1", "a", use("t1"), mid="m1"),
            line("user", "r1", "b1", result("t1", "one")),
            line("assistant", "b2", "b1", use("t2"), mid="m1"),
            line("user", "r2", "b2", result("t2", "two")),
            line("assistant", "c", "r2", [{"type": "text", "text": "on"}]),
            line("user", "r3", "b2", result("t2", "again")),
            line("assistant", "d", "r3", [{"type": "text", "text": "off"}]),
        ],
    )
    with open_store(home.store) as store:
        (told,) = brought(home, store, path)
        first, second, third = asked(store, told["run"])
        assert [m["role"] for m in second] == ["user", "assistant", "user"] and len(first) == 1
        assert [block["content"] for block in second[2]["content"]] == ["one", "two"]
        assert [block["content"] for block in third[2]["content"]] == ["one", "again"]
        checked(home, store, told["run"])


def test_subagents_among_the_lines_and_beside_the_file(home: Home, tmp_path: Path) -> None:
    use = [{"type": "tool_use", "id": "t1", "name": "Task", "input": {"prompt": "Count the tests please."}}]
    old = [
        line("user", "a", None, "Begin."),
        line("assistant", "b", "a", use),
        line("user", "s1", None, "Count the tests please.", isSidechain=True),
        line("assistant", "s2", "s1", [{"type": "text", "text": "7"}], isSidechain=True),
        line("user", "c", "b", [{"type": "tool_result", "tool_use_id": "t1", "content": "7"}]),
        line("assistant", "d", "c", [{"type": "text", "text": "Seven."}]),
    ]
    new = [one for one in old if not one["isSidechain"]]
    side = [{**one, "agentId": "x1"} for one in old if one["isSidechain"]]
    for name in ("inline", "beside"):
        folder = tmp_path / name
        folder.mkdir()
        path = session(folder, old if name == "inline" else new, f"{name}.jsonl")
        if name == "beside":
            session(folder, side, "agent-x1.jsonl")
            session(folder, [{**one, "sessionId": "else"} for one in side], "agent-x2.jsonl")
        with open_store(home.store) as store:
            (told,) = brought(home, store, path)
            turns = [e.payload for e in events.read(store, run=told["run"]) if isinstance(e.payload, TurnStarted)]
            assert sorted(turn.under for turn in turns) == ["", "", "t1"], name
            checked(home, store, told["run"])


# OpenAI's format.


def test_attempts_at_the_same_task_are_a_generation(home: Home, tmp_path: Path) -> None:
    path = tmp_path / "attempts.json"
    path.write_bytes(lzma.decompress(TAU.read_bytes()))
    recorded = json.loads(path.read_text())
    with open_store(home.store) as store:
        told = brought(home, store, path)
        assert len(told) == 23 and all(len(one["subagents"]) == 4 for one in told)
        assert sum(one["calls"] for one in told) == sum(m["role"] == "assistant" for t in recorded for m in t["traj"])
        one = next(one for one in told if one["name"] == "task 12")
        ours = [t for t in recorded if t["task_id"] == 12]
        board = read_board(store, one["run"])
        lanes = board.generations[1].lanes
        assert [lane.solved for lane in lanes.values()] == [t["reward"] == 1.0 for t in ours]
        for lane, talk in zip(lanes.values(), ours, strict=True):
            calls = tapes.calls(store, subagent=lane.id)
            places = [at for at, message in enumerate(talk["traj"]) if message["role"] == "assistant"]
            assert [tapes.request(store, call)["messages"] for call in calls] == [talk["traj"][:at] for at in places]
            answers = [json.loads(tapes.response(store, call))["choices"][0]["message"] for call in calls]
            assert answers == [talk["traj"][at] for at in places]
        checked(home, store, one["run"])
        # And of each the observer tells all errors that tools reported, nothing without a quote, and nothing twice.
        by_task: dict[str, list[bench.Conversation]] = {}
        for talk in bench.conversations(path):
            by_task.setdefault(f"task {talk.task}", []).append(talk)
        for each in told:
            document = observations.load(store, each["run"])
            assert document is not None and all(o.evidence for o in document.observations)
            assert (bench.missed(document, by_task[each["name"]]), bench.alike(document)) == ([], [])
            lanes = read_board(store, each["run"]).generations[1].lanes
            assert {lane.validity for lane in lanes.values()} == {Validity.VALID}
        before = store_of(store)
        assert not any(one["made"] for one in brought(home, store, path))
        # Run by run: one that was deleted comes back alone, under the name that it had.
        assert store_of(store)[1] == before[1]


TALK = [
    {"role": "user", "content": "Read it."},
    {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "read", "arguments": "{}"}}]},  # noqa: E501
    {"role": "tool", "tool_call_id": "c1", "content": "two lines"},
    {"role": "assistant", "content": "It has two lines."},
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "lanes"),
    [
        (json.dumps(TALK), 1),
        (json.dumps({"messages": TALK, "model": "m", "tools": [{"type": "function"}]}, indent=2), 1),
        (json.dumps([TALK, TALK[:2]]), 2),
        (json.dumps([{"messages": TALK}, {"messages": TALK}, {"conversation": TALK}]), 3),
        (f"{json.dumps({'messages': TALK})}\n\n{json.dumps({'messages': TALK})}\n", 2),
        (f"\ufeff{json.dumps({'messages': TALK})}", 1),
    ],
)
def test_conversations_however_they_stand(home: Home, tmp_path: Path, text: str, lanes: int) -> None:
    path = tmp_path / "talks.json"
    path.write_text(text)
    with open_store(home.store) as store:
        (told,) = brought(home, store, path)
        assert len(told["subagents"]) == lanes
        done = [e.payload for e in events.read(store, run=told["run"]) if isinstance(e.payload, ToolFinished)]
        assert {one.summary for one in done} == {"two lines"}
        assert not read_board(store, told["run"]).generations[1].spend.priced, "nobody knows what it cost"
        assert tapes.request(store, tapes.calls(store, run=told["run"])[0])["messages"] == TALK[:1]
        checked(home, store, told["run"])


# Trajectories.


def test_a_trajectory_of_mini_swe_agent_asks_what_was_asked(home: Home) -> None:
    with open_store(home.store) as store:
        (told,) = brought(home, store, RECORDED / "fix.traj.json")
        assert told["calls"] == 4, "one of them had no action in it, and was paid for"
        heard = json.loads((RECORDED / "mini-heard.json").read_text())
        assert [[split(m)[0] for m in each] for each in asked(store, told["run"])] == [
            [split(m)[0] for m in each] for each in heard
        ]
        calls = tapes.calls(store, run=told["run"])
        assert [call.usd for call in calls] == [0.00175] * 4 and calls[3].seconds
        ended = read_board(store, told["run"]).generations[1].lanes[1]
        assert (
            ended.ended is not None and ended.ended.detail == "exit status: Submitted" and ended.ended.spend.turns == 4
        )
        assert ended.checked is not None and ended.checked.files == ("answer",) and ended.checked.insertions == 1
        assert not ended.solved and "does not say" in ended.checked.word
        checked(home, store, told["run"])


OLD = {
    "environment": "swe_main",
    "trajectory": [
        {"action": "ls\n", "observation": "a.py", "response": "I look.\n```\nls\n```", "state": "{}", "thought": "I look."},  # noqa: E501
        {"action": "submit\n", "observation": "diff", "response": "Done.\n```\nsubmit\n```", "state": "{}", "thought": "Done."},  # noqa: E501
    ],
    "history": [
        {"role": "system", "content": "SETTING", "agent": "primary"},
        {"role": "user", "content": "A demonstration", "agent": "primary", "is_demo": True},
        {"role": "user", "content": "ISSUE: it fails", "agent": "primary"},
        {"role": "assistant", "content": "I look.\n```\nls\n```", "thought": "I look.", "action": "ls", "agent": "primary"},  # noqa: E501
        {"role": "user", "content": "a.py", "agent": "primary"},
        {"role": "assistant", "content": "Done.\n```\nsubmit\n```", "thought": "Done.", "action": "submit", "agent": "primary"},  # noqa: E501
    ],
    "info": {
        "model_stats": {"total_cost": 0.2, "instance_cost": 0.1, "tokens_sent": 900, "tokens_received": 80, "api_calls": 2},  # noqa: E501
        "exit_status": "submitted",
        "submission": "diff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-1\n+2\n",
    },
}  # fmt: skip


def test_a_trajectory_of_swe_agent(home: Home, tmp_path: Path) -> None:
    path = tmp_path / "shop__shop-1.traj"
    path.write_text(json.dumps(OLD, indent=2))
    with open_store(home.store) as store:
        (told,) = brought(home, store, path)
        run = told["run"]
        assert [len(messages) for messages in asked(store, run)] == [3, 5]
        lane = read_board(store, run).generations[1].lanes[1]
        assert lane.ended is not None and lane.ended.spend.usage.input == 900 and lane.ended.spend.usd == 0.1
        # Of each call nothing is known, of all of them this.
        assert (lane.spend.usage.total, lane.spend.usd, lane.spend.priced) == (980, 0.1, True)
        tools = [e.payload for e in events.read(store, run=run) if isinstance(e.payload, ToolStarted)]
        assert [tool.summary for tool in tools] == ["ls", "submit"]
        checked(home, store, run)


def test_an_answer_that_was_not_kept_was_asked_with_what_there_was(home: Home, tmp_path: Path) -> None:
    lost = {"action": "", "observation": "", "response": "No action.", "state": "{}", "thought": ""}
    path = tmp_path / "x.traj"
    path.write_text(json.dumps({**OLD, "trajectory": [OLD["trajectory"][0], lost, OLD["trajectory"][1]]}))  # type: ignore[index]
    with open_store(home.store) as store:
        (told,) = brought(home, store, path)
        assert [len(messages) for messages in asked(store, told["run"])] == [3, 5, 5]


def test_newer_trajectories_say_what_was_sent(home: Home, tmp_path: Path) -> None:
    calls = [{"id": "c1", "type": "function", "function": {"name": "bash", "arguments": '{"command": "ls"}'}}]
    first = [
        {"role": "system", "content": "S", "message_type": "system_prompt"},
        {"role": "user", "content": "Fix.", "message_type": "observation"},
    ]
    answer = {
        "role": "assistant",
        "content": "Look.",
        "tool_calls": calls,
        "message_type": "action",
        "thought": "Look.",
    }
    result = {"role": "tool", "content": "a.py", "tool_call_ids": ["c1"], "message_type": "observation"}
    step = {"action": "ls", "observation": "a.py", "state": {}, "thought": "", "execution_time": 1.5, "extra_info": {}}
    one = {
        "trajectory": [
            {**step, "response": "Look.", "query": first},
            {**step, "response": "Done.", "action": "submit", "query": [*first, answer, result]},
        ],
        "history": [*first, answer, result, {"role": "assistant", "content": "Done.", "message_type": "action"}],
        "info": {"exit_status": "exit_cost", "submission": None, "model_stats": {"instance_cost": 1.0}},
    }
    path = tmp_path / "x.traj"
    config = json.dumps({"agent": {"model": {"name": "gpt-5.1"}}})
    path.write_text(json.dumps({"attempts": [one, one], "replay_config": config, "info": {}}))
    with open_store(home.store) as store:
        (told,) = brought(home, store, path)
        assert [lane["strategy"] for lane in told["subagents"]] == ["attempt 1", "attempt 2"]
        calls_made = tapes.calls(store, run=told["run"])
        assert {call.model for call in calls_made} == {"gpt-5.1"}
        messages = tapes.request(store, calls_made[1])["messages"]
        assert messages[2]["tool_calls"] == calls and messages[3] == {
            "role": "tool",
            "content": "a.py",
            "tool_call_id": "c1",
        }
        checked(home, store, told["run"])


# The tapes proxy.

LATER = (
    "hash TEXT NOT NULL PRIMARY KEY, bucket JSON, type TEXT, role TEXT, content JSON, model TEXT, provider TEXT, "
    "agent_name TEXT, stop_reason TEXT, prompt_tokens INTEGER, completion_tokens INTEGER, total_tokens INTEGER, "
    "cache_creation_input_tokens INTEGER, cache_read_input_tokens INTEGER, total_duration_ns INTEGER, "
    "prompt_duration_ns INTEGER, project TEXT, created_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP, parent_hash TEXT"
)
FIRST = "hash TEXT PRIMARY KEY, parent_hash TEXT, content TEXT NOT NULL, created_at DATETIME DEFAULT CURRENT_TIMESTAMP"


def proxied(path: Path, schema: str, nodes: list[dict[str, Any]]) -> Path:
    with closing(sqlite3.connect(path)) as store, store:
        store.execute(f"CREATE TABLE nodes ({schema})")
        for node in nodes:
            row = {name: json.dumps(v) if isinstance(v, dict | list) else v for name, v in node.items()}
            store.execute(f"INSERT INTO nodes ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", [*row.values()])
    return path


def text(words: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": words}]


def tree(provider: str) -> list[dict[str, Any]]:
    use = {"type": "tool_use", "tool_use_id": "t1", "tool_name": "bash", "tool_input": {"command": "ls"}}
    result = {"type": "tool_result", "tool_result_id": "t1", "tool_output": "a.py", "is_error": True}
    both = {"model": "m-1", "provider": provider}
    stamp = "2026-02-03 04:05:0{}.25 +0000 UTC"
    rows: list[tuple[str, str | None, str, list[Any], dict[str, Any]]] = [
        ("s", None, "system", text("Be brief."), {}),
        ("u", "s", "user", text("List it."), {}),
        (
            "a",
            "u",
            "assistant",
            [*text("So."), use],
            {"stop_reason": "tool_use", "prompt_tokens": 10, "completion_tokens": 4},
        ),
        ("r", "a", "user" if provider == "anthropic" else "tool", [result], {}),
        (
            "b",
            "r",
            "assistant",
            text("a.py"),
            {"stop_reason": "end_turn", "cache_read_input_tokens": 6, "prompt_tokens": 9},
        ),
        ("v", "s", "user", text("Another."), {}),
        ("c", "v", "assistant", text("Yes?"), {"total_duration_ns": 500_000_000}),
        ("lone", None, "user", text("Nobody answers."), {}),
    ]
    return [
        {
            "hash": key,
            "parent_hash": parent,
            "role": role,
            "content": content,
            "bucket": {"type": "message", "role": role, "content": content, **both},
            "created_at": stamp.format(at),
            **both,
            **more,
        }
        for at, (key, parent, role, content, more) in enumerate(rows)
    ]


@pytest.mark.parametrize("provider", ["anthropic", "openai"])
def test_a_store_of_the_tapes_proxy(home: Home, tmp_path: Path, provider: str) -> None:
    path = proxied(tmp_path / "tapes.sqlite", LATER, tree(provider))
    with open_store(home.store) as store:
        (told,) = brought(home, store, path)
        assert [(lane["strategy"], lane["calls"]) for lane in told["subagents"]] == [("List it.", 2), ("Another.", 1)]
        one, two, three = tapes.calls(store, run=told["run"])
        if three.started < one.started:
            one, two, three = two, three, one
        body = tapes.request(store, two)
        assert one.model == "m-1" and one.usage.input == 10 and one.usage.output == 4
        assert two.usage.cache_read == 6 and two.usage.input == (9 if provider == "anthropic" else 3)
        assert three.seconds == 0.5
        if provider == "anthropic":
            assert body["system"] == text("Be brief.")
            assert body["messages"][2]["content"][0]["is_error"] is True
        else:
            assert [m["role"] for m in body["messages"]] == ["system", "user", "assistant", "tool"]
        done = [e.payload for e in events.read(store, run=told["run"]) if isinstance(e.payload, ToolFinished)]
        assert [one.summary for one in done] == ["a.py"]
        checked(home, store, told["run"])


def test_its_first_schema(home: Home, tmp_path: Path) -> None:
    nodes = [
        {
            k: v
            for k, v in {**n, "content": n["bucket"]}.items()
            if k in ("hash", "parent_hash", "content", "created_at")
        }
        for n in tree("openai")
    ]
    path = proxied(tmp_path / "old.db", FIRST, nodes)
    with open_store(home.store) as store:
        (told,) = brought(home, store, path)
        assert told["calls"] == 3
        checked(home, store, told["run"])


# What is refused.


def refused(path: Path, data: bytes | str) -> str:
    path.write_bytes(data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass"))
    with pytest.raises(ImportedFileError) as error:
        look(path)
    return str(error.value)


def test_what_can_not_be_read_is_refused_with_its_place(tmp_path: Path) -> None:
    log = LOG.read_bytes()
    path = tmp_path / "x.jsonl"
    number = log[: len(log) // 2].count(b"\n") + 1
    assert f"line {number}" in refused(path, log[: len(log) // 2])
    assert "line 3 is not UTF-8" in refused(path, b"\n".join([*log.split(b"\n")[:2], b'{"a": "\xff"}\n']))
    assert "line 2 is nested too deeply" in refused(path, log.split(b"\n")[2] + b'\n{"a":' + b"[" * 200_000 + b"\n")
    assert "byte 0" in refused(path, b'{"messages": [')
    assert "has no end" in refused(path, b'[{"role": "user", "content": "a')
    assert "follows" in refused(path, json.dumps(TALK).encode() + b" x")
    assert "it is empty" in refused(path, b"")
    assert "packed (gzip): unpack it" in refused(path, gzip.compress(log))
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("../../x.jsonl", log)
    assert "packed (zip)" in refused(path, archive.getvalue())
    with tarfile.open(fileobj=(archive := io.BytesIO()), mode="w") as tar:
        tar.addfile(tarfile.TarInfo("../x"))
    assert "packed (tar)" in refused(path, archive.getvalue())
    assert "none of the files" in refused(path, b"\x7fELF" + bytes(100))
    assert "none of the files" in refused(path, b'{"a": 1}')
    assert "no conversation" in refused(path, b'[{"messages": [{"role": "user", "content": "a"}]}]')
    assert "no conversation" in refused(path, json.dumps([{"messages": TALK}, {"messages": 7}]).encode())
    assert "no response" in refused(path, b'{"trajectory": [{"action": "x"}], "info": {}}')
    assert "role that is not known" in refused(
        path, b'{"info": {}, "trajectory_format": "mini-swe-agent-1.1", "messages": [{"role": "assistant"}, {"x": 1}]}'
    )
    assert "NaN" in refused(path, b'[{"role": "user", "content": NaN}, {"role": "assistant"}]')
    deep = b'{"messages": ' + b"[" * 300_000 + b"]" * 300_000 + b"}"
    assert "nested too deeply" in refused(path, deep)


def test_databases_that_are_none_of_the_proxys_are_refused(home: Home, tmp_path: Path) -> None:
    with open_store(home.store):
        pass
    with pytest.raises(ImportedFileError, match="a store of Multitrack's"):
        look(home.store)
    path = tmp_path / "x.db"
    with closing(sqlite3.connect(path)) as store, store:
        store.execute("CREATE TABLE other (a)")
    with pytest.raises(ImportedFileError, match="no store of the tapes proxy"):
        look(path)
    lost = proxied(tmp_path / "lost.db", LATER, [node for node in tree("openai") if node["hash"] != "u"])
    with pytest.raises(ImportedFileError, match="comes after one that is not there"):
        look(lost)
    ring = proxied(
        tmp_path / "ring.db", LATER, [{**node, "parent_hash": node["parent_hash"] or "c"} for node in tree("openai")]
    )
    with pytest.raises(ImportedFileError, match="after themselves"):
        look(ring)
    torn = tmp_path / "torn.db"
    torn.write_bytes((tmp_path / "lost.db").read_bytes()[:5000])
    with pytest.raises(ImportedFileError):
        look(torn)


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_no_file_is_a_fault_of_ours(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["log", "mini", "swe", "talk"]))
    source = {"log": LOG.read_bytes(), "mini": (RECORDED / "fix.traj.json").read_bytes()}
    whole = source.get(kind) or json.dumps(OLD if kind == "swe" else TALK).encode()
    change: Callable[[bytes], bytes] = data.draw(st.sampled_from([cut, spliced, nulled]))(data)
    path = tmp_path_factory.getbasetemp() / "fuzzed"
    path.write_bytes(change(whole))
    try:
        found = look(path)
    except ImportedFileError:
        return
    for told in found.told:
        for attempt in told.attempts:
            list(attempt.calls())
            attempt.verdict()


def cut(data: st.DataObject) -> Callable[[bytes], bytes]:
    part = data.draw(st.floats(0, 1))
    return lambda whole: whole[: int(len(whole) * part)]


def spliced(data: st.DataObject) -> Callable[[bytes], bytes]:
    part, piece = data.draw(st.floats(0, 1)), data.draw(st.binary(max_size=8))
    return lambda whole: whole[: int(len(whole) * part)] + piece + whole[int(len(whole) * part) + len(piece) :]


def nulled(data: st.DataObject) -> Callable[[bytes], bytes]:
    word = data.draw(
        st.sampled_from([b'"content"', b'"message"', b'"role"', b'"uuid"', b'"id"', b'"usage"', b'"response"'])
    )
    value = data.draw(st.sampled_from([b"null", b"7", b'"x"', b"[]", b"{}", b"[7]", b'{"a": [null]}']))
    return lambda whole: whole.replace(word + b": ", word + b": " + value + b', "was": ').replace(
        word + b":", word + b":" + value + b',"was":'
    )


@given(st.recursive(st.none() | st.integers() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)))
def test_members_are_found_where_they_stand(tree: Any) -> None:
    if not isinstance(tree, list | dict):
        tree = [tree]
    for indent in (None, 2):
        text = json.dumps(tree, indent=indent).encode()
        *found, (last, span) = members(text, 0)
        assert last is None and span == (0, len(text))
        read = [(name, value(text, at)) for name, at in found]
        assert read == (list(tree.items()) if isinstance(tree, dict) else list(enumerate(tree)))


def test_a_long_file_is_not_read_into_memory(tmp_path: Path) -> None:
    path = tmp_path / "long.json"
    talk = json.dumps({"messages": TALK})
    with path.open("w") as file:
        file.write("[" + ",".join([talk] * 200) + "]")
    with opened(path) as data:
        spans = [span for name, span in members(data, 0) if name is not None]
    assert len(spans) == 200
    found: Found = look(path)
    assert len(found.told[0].attempts) == 200


def test_what_fails_in_the_middle_leaves_nothing(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_store(home.store) as store:
        before = store_of(store)
        monkeypatch.setattr("app.tapefiles._observed", lambda store, run: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            read_file(home, store, LOG)
        assert store_of(store) == before and runs.runs(store) == []


def test_what_a_file_does_not_say_was_used_is_not_called_nothing(here: Here, tmp_path: Path) -> None:
    path, away = tmp_path / "talk.json", str(tmp_path / "away")
    path.write_text(json.dumps(TALK))
    run = json.loads(here("--home", away, "import", str(path), "--json")[1])["runs"][0]["run"]
    with open_store(Home(Path(away)).store) as store:
        lane = read_board(store, run).generations[1].lanes[1]
    assert (lane.turn, lane.spend.tokens) == (2, None)
    line = "".join(text for text, _ in gauge.numbers(lane, 0.0, 80))
    assert "– tokens" in line and "$?" in line
    (facts,) = json.loads(here("--home", away, "runs", "--json")[1])
    assert (facts["turns"], facts["tokens"], facts["priced"]) == (2, None, False)
    assert " – " in here("--home", away, "limits", run, "1.1")[1]
    (used,) = json.loads(here("--home", away, "limits", run, "1.1", "--json")[1])
    assert used["tokens"] == {"used": None, "limit": None}


def test_on_the_command_line(here: Here, tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    shutil.copytree(RECORDED, folder)
    away = str(tmp_path / "away")
    code, out, _ = here("--home", away, "import", str(folder / LOG.name), "--json")
    told = json.loads(out)
    assert code == 0 and told["changed"] and told["format"] == "claude-code"
    run = told["runs"][0]["run"]
    code, out, _ = here("--home", away, "import", str(folder / LOG.name), "--json")
    assert code == 0 and not json.loads(out)["changed"]
    # It goes on as a tape of ours.
    tape = tmp_path / "a.tape"
    assert here("--home", away, "export", run, "--output", str(tape))[0] == 0
    code, out, _ = here("--home", str(tmp_path / "third"), "import", str(tape), "--json")
    assert json.loads(out)["runs"][0]["calls"] == 9
    third = tmp_path / "b.tape"
    here("--home", str(tmp_path / "third"), "export", run, "--output", str(third))
    assert third.read_bytes() == tape.read_bytes()
    code, out, _ = here("--home", away, "replay", run, "--json")
    assert code == 0 and json.loads(out)["faithful"]
    code, out, err = here("--home", away, "replay", run, "--auto", "--json")
    assert code == 2 and "no model to ask" in err
    # What was deleted comes back, under the name that it had.
    assert here("--home", away, "delete", run, "--yes")[0] == 0
    code, out, _ = here("--home", away, "import", str(folder / LOG.name), "--json")
    assert json.loads(out)["runs"][0]["run"] == run and json.loads(out)["changed"]
    code, out, err = here("--home", away, "import", str(Path(__file__)))
    assert code == 2 and "none of the files" in err
    # What is no file is not waited for.
    os.mkfifo(folder / "pipe")
    code, out, err = here("--home", away, "import", str(folder / "pipe"))
    assert code == 2 and "a pipe or a device: write it to a file first" in err
    code, out, err = here("--home", away, "import", str(folder))
    assert code == 2 and "is a folder: name one file in it" in err
