"""The built-in subagent: the real SDK against a small HTTP upstream that plays a script, over the local sandbox."""

import asyncio
import json
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backends.agents import Agent, Assignment, Outcome, Progress, Recalled, Session
from backends.agents.builtin import BuiltinAgent, Patience, most_tokens
from backends.agents.prompt import CUT_OFF, INTERRUPTED, NUDGE
from backends.agents.provider import Retry
from backends.sandboxes.git import mirror_repository
from backends.sandboxes.local import LocalSandbox, LocalSandboxes
from store.domain.events import ToolFinished, ToolStarted, TurnStarted
from store.domain.ids import SubagentId
from store.domain.limits import Limits
from store.domain.states import Ending
from store.domain.strategy import Strategy
from store.domain.task import Dirt
from tests.played import Answer, Block, Fault, Notes, Provider, Script, said, use

QUICK = Retry(tries=3, first=0.001, most=0.002, asked=0.002)


def _mirror(folder: Path) -> str:
    source = folder / "source"
    source.mkdir()
    (source / "shop.py").write_text("def total(a, b):\n    return a - b\n")
    (source / "check.py").write_text("from shop import total\nassert total(1, 2) == 3\n")
    somebody = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for arguments in (["init", "-q"], ["add", "-A"], [*somebody, "commit", "-qm", "one"]):
        subprocess.run(["git", *arguments], cwd=source, check=True)
    return mirror_repository(source, folder / "mirror.git", "HEAD", Dirt.REFUSE)


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[LocalSandbox]:
    revision = _mirror(tmp_path)
    sandboxes = LocalSandboxes("abcde", tmp_path / "sandboxes", tmp_path / "mirror.git", os.environ)
    yield await sandboxes.create("abcde.1.1", revision)
    await sandboxes.remove()


def assignment(base_url: str, **changes: Any) -> Assignment:
    plain = Assignment(
        subagent=SubagentId("abcde", 1, 1),
        goal="Make the shop add.",
        check="python3 check.py",
        protected=("check.py",),
        strategy=Strategy("first", "Read first."),
        model="claude-sonnet-5",
        limits=Limits(turns=40),
        observations="",
        recall=False,
        tool_seconds=20.0,
        base_url=base_url,
        key="mt-key",
    )
    return replace(plain, **changes)


async def play(
    script: Sequence[Answer | Fault | Script], notes: Notes, progress: Progress | None = None, **changes: Any
) -> tuple[Outcome, Provider]:
    """Let the agent work against a script."""
    agent: Agent = BuiltinAgent(QUICK)
    session: Session = notes
    async with Provider(list(script)).serving() as provider:
        outcome = await agent.work(assignment(provider.base_url, **changes), session, progress)
    return outcome, provider


SUBMIT = Answer([use("submit", {"summary": "it adds"}, "t-submit")])


async def test_it_works_until_it_submits(sandbox: LocalSandbox) -> None:
    notes = Notes(sandbox)
    thought = {"type": "thinking", "thinking": "minus?", "signature": "c2ln"}
    script = [
        Answer([thought, said("I look."), use("read", {"path": "shop.py"}, "t1")]),
        Answer([use("edit", {"path": "shop.py", "old": "a - b", "new": "a + b"}, "t2"),
                use("run", {"command": "python3 check.py"}, "t3")]),
        SUBMIT,
    ]  # fmt: skip
    outcome, provider = await play(script, notes)
    assert outcome == Outcome(Ending.SUBMITTED, "it adds")
    assert (await sandbox.run("python3 check.py", seconds=20)).exit_code == 0
    assert [type(payload) for payload in notes.payloads] == [
        TurnStarted, ToolStarted, ToolFinished,
        TurnStarted, ToolStarted, ToolFinished, ToolStarted, ToolFinished,
        TurnStarted, ToolStarted, ToolFinished,
    ]  # fmt: skip
    assert [(done.turn, done.tool_call, done.ok) for done in notes.finished()] == [
        (1, "t1", True), (2, "t2", True), (2, "t3", True), (3, "t-submit", True),
    ]  # fmt: skip
    assert notes.results()[2] == "exit code 0"
    assert provider.keys == ["mt-key"] * 3
    last = provider.requests[-1]
    # What the model said goes back as it came, thought and signature too.
    assert last["messages"][1]["content"] == list(script[0].content)
    assert [message["role"] for message in last["messages"]] == ["user", "assistant", "user", "assistant", "user"]
    assert last["messages"][2]["content"][0]["tool_use_id"] == "t1"
    assert last["stream"] is True


async def test_only_system_and_last_message_carry_cache_markers(sandbox: LocalSandbox) -> None:
    look = Answer([use("run", {"command": "true"})])
    _, provider = await play([look, look, SUBMIT], Notes(sandbox))
    for request in provider.requests:
        assert request["system"][0]["cache_control"] == {"type": "ephemeral"}
        marked = [
            (number, place)
            for number, message in enumerate(request["messages"])
            for place, block in enumerate(message["content"])
            if "cache_control" in block
        ]
        assert marked == [(len(request["messages"]) - 1, len(request["messages"][-1]["content"]) - 1)]
    assert provider.requests[0]["messages"][0]["content"][0]["text"] == "Begin."


async def test_a_malformed_call_is_answered_with_what_is_right(sandbox: LocalSandbox) -> None:
    notes = Notes(sandbox)
    script = [
        Answer([use("fly", {}, "t1"), use("read", {"file": "shop.py"}, "t2"), use("run", {"command": "true"}, "t3")]),
        Answer([use("run", {"command": "sleep 1"}, "t4")], raw_input='{"command": "sle'),
        SUBMIT,
    ]
    outcome, provider = await play(script, notes)
    assert outcome.ending is Ending.SUBMITTED
    flying, reading, fine = provider.requests[1]["messages"][-1]["content"]
    assert flying["is_error"] is True
    assert "there is no tool 'fly'; the tools are run, read, search, edit, submit" in flying["content"][0]["text"]
    assert "path is missing; right is read {path: string, first?: integer" in reading["content"][0]["text"]
    assert "is_error" not in fine
    cut = provider.requests[2]["messages"]
    assert cut[-2]["content"][0]["input"] == {}
    assert "cut off" in cut[-1]["content"][0]["content"][0]["text"]


async def test_recall_is_offered_only_with_memory(sandbox: LocalSandbox) -> None:
    ask = Answer([use("recall", {"query": "lock"})])
    notes = Notes(sandbox, hits=[Recalled(SubagentId("abcde", 1, 2), 7, "tool", "a lock"),
                                 Recalled(SubagentId("abcde", 1, 3), 2, "assistant", "no lock")])  # fmt: skip
    _, provider = await play([ask, SUBMIT], notes)
    assert "recall" not in [tool["name"] for tool in provider.requests[0]["tools"]]
    assert "there is no tool 'recall'" in notes.results()[0]
    remembering = Notes(sandbox, hits=notes.hits)
    _, provider = await play([ask, SUBMIT], remembering, recall=True)
    assert "recall" in [tool["name"] for tool in provider.requests[0]["tools"]]
    assert remembering.results()[0] == "[1.2 turn 7 tool] a lock\n\n[1.3 turn 2 assistant] no lock"


async def test_silence_is_nudged_once(sandbox: LocalSandbox) -> None:
    talk = Answer([said("I think it is the minus.")], stop_reason="end_turn")
    outcome, provider = await play([talk, talk], Notes(sandbox))
    assert outcome == Outcome(Ending.SILENT, "I think it is the minus.")
    assert provider.requests[1]["messages"][-1]["content"][0]["text"] == NUDGE
    # A tool call in between is a fresh start.
    look = Answer([use("run", {"command": "true"})])
    outcome, provider = await play([talk, look, talk, SUBMIT], Notes(sandbox))
    assert outcome.ending is Ending.SUBMITTED


async def test_an_empty_answer_is_not_sent_back(sandbox: LocalSandbox) -> None:
    empty = Answer([said("")], stop_reason="end_turn")
    outcome, provider = await play([empty, SUBMIT], Notes(sandbox))
    assert outcome.ending is Ending.SUBMITTED
    assert [message["role"] for message in provider.requests[1]["messages"]] == ["user", "user"]


async def test_nothing_but_malformed_calls_ends_in_silence(sandbox: LocalSandbox) -> None:
    wrong = Answer([use("fly", {})])
    outcome, provider = await play([wrong], Notes(sandbox))
    assert outcome.ending is Ending.SILENT
    assert len(provider.requests) == 6
    nudges = [m for m in provider.requests[-1]["messages"] if m["content"][-1].get("text") == NUDGE]
    assert len(nudges) == 1


async def test_an_answer_cut_off_by_its_length_goes_on(sandbox: LocalSandbox) -> None:
    long = Answer([said("Let me think about")], stop_reason="max_tokens")
    outcome, provider = await play([long, SUBMIT], Notes(sandbox))
    assert outcome.ending is Ending.SUBMITTED
    assert provider.requests[1]["messages"][-1]["content"][0]["text"] == CUT_OFF


async def test_what_the_model_may_have_wrong_is_no_submission(sandbox: LocalSandbox) -> None:
    notes = Notes(sandbox)
    wrong = use("edit", {"path": "shop.py", "old": "nothing", "new": "x"}, "t1")
    hasty = Answer([wrong, use("submit", {"summary": "done"}, "t2")])
    outcome, _ = await play([hasty, SUBMIT], notes)
    assert outcome == Outcome(Ending.SUBMITTED, "it adds")
    assert [done.ok for done in notes.finished()] == [False, False, True]


@pytest.mark.parametrize(
    ("fault", "ending", "calls"),
    [
        (Fault(429, "rate_limit_error", retry_after="0"), Ending.RATE_LIMITED, 3),
        (Fault(529, "overloaded_error"), Ending.PROVIDER, 3),
        (Fault(500, "api_error", retry_after="soon"), Ending.PROVIDER, 3),
        (Fault(200, "overloaded_error"), Ending.PROVIDER, 3),
        (Fault(200, "rate_limit_error"), Ending.RATE_LIMITED, 3),
        (Answer([said("half")], cut=True), Ending.PROVIDER, 3),
        (Fault(401, "authentication_error"), Ending.PROVIDER, 1),
        (Fault(404, "not_found_error", "model: nosuch"), Ending.PROVIDER, 1),
        (Fault(400, "invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"), Ending.TOKENS, 1),
        (Fault(413, "request_too_large"), Ending.TOKENS, 1),
        (Answer([], stop_reason="model_context_window_exceeded"), Ending.TOKENS, 1),
        (Answer([], stop_reason="refusal", explanation="not this"), Ending.PROVIDER, 1),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else None,
)
async def test_a_call_that_fails_ends_honestly(
    sandbox: LocalSandbox, fault: Answer | Fault, ending: Ending, calls: int
) -> None:
    outcome, provider = await play([fault], Notes(sandbox))
    assert outcome.ending is ending
    assert outcome.detail
    assert len(provider.requests) == calls


async def test_a_call_that_fails_is_tried_again_as_the_same_turn(sandbox: LocalSandbox) -> None:
    notes = Notes(sandbox)
    script: list[Answer | Fault | Script] = [Fault(529, "overloaded_error"), Answer([said("broken")], cut=True), SUBMIT]
    outcome, provider = await play(script, notes)
    assert outcome.ending is Ending.SUBMITTED
    assert provider.requests[0] == provider.requests[1] == provider.requests[2]
    assert [payload for payload in notes.payloads if isinstance(payload, TurnStarted)] == [TurnStarted(1)]
    # Pauses and limits hold for each try.
    assert notes.turns == 3


async def test_nobody_at_the_address_is_a_provider_error(sandbox: LocalSandbox) -> None:
    outcome = await BuiltinAgent(QUICK).work(assignment("http://127.0.0.1:1"), Notes(sandbox))
    assert outcome.ending is Ending.PROVIDER
    assert "could not be reached" in outcome.detail
    assert "(3 tries)" in outcome.detail


async def test_a_limit_ends_it_before_the_next_call(sandbox: LocalSandbox) -> None:
    look = Answer([use("run", {"command": "true"})])
    outcome, provider = await play([look], Notes(sandbox, most_turns=2))
    assert outcome == Outcome(Ending.TURNS)
    assert len(provider.requests) == 2


async def test_a_sandbox_that_is_gone_is_a_crash_and_no_exception(sandbox: LocalSandbox) -> None:
    await sandbox.close()
    outcome, _ = await play([Answer([use("run", {"command": "true"})])], Notes(sandbox))
    assert outcome.ending is Ending.CRASHED
    assert "gone" in outcome.detail


async def test_cancelled_in_a_command_it_leaves_no_process(sandbox: LocalSandbox) -> None:
    nap = f"sleep 300.{secrets.randbelow(10**12):012}"
    lasting = Answer([use("run", {"command": f"mkfifo up; setsid {nap} & echo $$ > pid; echo up > up; {nap}"})])
    root = Path(sandbox.handle, "work")
    async with Provider([lasting]).serving() as provider:
        work = asyncio.create_task(BuiltinAgent(QUICK).work(assignment(provider.base_url), Notes(sandbox)))
        await sandbox.run("until test -p up; do sleep 0.01; done; cat up", seconds=20)
        pid = (root / "pid").read_text().strip()
        assert b"MULTITRACK_SANDBOX=" in Path(f"/proc/{pid}/environ").read_bytes()
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
    assert not Path(f"/proc/{pid}").exists()
    listing = subprocess.run(["ps", "-A", "-ww", "-o", "args="], capture_output=True, text=True, check=True)  # noqa: ASYNC221
    assert nap not in listing.stdout


async def test_cancelled_in_a_call_it_hangs_up(sandbox: LocalSandbox) -> None:
    provider = Provider([SUBMIT], hold=asyncio.Event())
    async with provider.serving():
        work = asyncio.create_task(BuiltinAgent(QUICK).work(assignment(provider.base_url), Notes(sandbox)))
        await provider.asked.wait()
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work


def _progress(*content: Block, results: dict[str, tuple[str, bool]]) -> Progress:
    begun = {"role": "user", "content": [{"type": "text", "text": "Begin.", "cache_control": {"type": "ephemeral"}}]}
    return Progress([begun], {"role": "assistant", "content": list(content)}, results, turn=4)


async def test_resumed_it_goes_on_behind_what_is_finished(sandbox: LocalSandbox) -> None:
    notes = Notes(sandbox)
    progress = _progress(
        use("run", {"command": "touch ran-again"}, "t1"),
        use("run", {"command": "touch interrupted"}, "t2"),
        results={"t1": ("exit code 0", True)},
    )
    outcome, provider = await play([Answer([use("run", {"command": "ls"}, "t3")]), SUBMIT], notes, progress)
    assert outcome.ending is Ending.SUBMITTED
    first, *_ = provider.requests
    done, opened = first["messages"][-1]["content"]
    assert done["content"][0]["text"] == "exit code 0"
    assert opened["content"][0]["text"] == INTERRUPTED
    assert opened["is_error"] is True
    assert "cache_control" not in json.dumps(first["messages"][:-1])
    assert notes.results()[1] == "exit code 0\ncheck.py\nshop.py"
    assert [payload.turn for payload in notes.payloads if isinstance(payload, TurnStarted)] == [5, 6]
    # The answer to what was interrupted is on record too, for the next engine.
    assert [done.tool_call for done in notes.finished()] == ["t2", "t3", "t-submit"]


async def test_resumed_after_its_submission_it_asks_nothing_more(sandbox: LocalSandbox) -> None:
    for results in ({"t9": ("submitted", True)}, {}):
        progress = _progress(use("submit", {"summary": "done"}, "t9"), results=dict(results))
        outcome, provider = await play([SUBMIT], Notes(sandbox), progress)
        assert outcome == Outcome(Ending.SUBMITTED, "done")
        assert provider.requests == []
    progress = _progress(use("run", {"command": "true"}, "t1"), use("submit", {"summary": "done"}, "t9"), results={})
    _, provider = await play([SUBMIT], Notes(sandbox), progress)
    assert len(provider.requests) == 1


async def test_resumed_it_remembers_a_nudge(sandbox: LocalSandbox) -> None:
    talk = {"role": "assistant", "content": [said("hm")]}
    nudge = {"role": "user", "content": [said(NUDGE)]}
    begun = {"role": "user", "content": "Begin."}
    outcome, provider = await play([SUBMIT], Notes(sandbox), Progress([begun, talk, nudge], talk, {}, turn=2))
    assert outcome == Outcome(Ending.SILENT, "hm")
    assert provider.requests == []


async def test_half_a_surrogate_pair_does_not_stop_it(sandbox: LocalSandbox) -> None:
    odd = Answer([use("run", {"command": "echo \ud83d"}, "t1")])
    outcome, provider = await play([odd, SUBMIT], Notes(sandbox))
    assert outcome.ending is Ending.SUBMITTED
    assert provider.requests[1]["messages"][1]["content"][0]["input"] == {"command": "echo ?"}


def test_patience_runs_out_only_in_a_row() -> None:
    patience = Patience()
    assert [patience.saw([False]), patience.saw([False]), patience.saw([True]), patience.saw([False])] == [False] * 4
    assert [patience.saw([False]), patience.saw([False]), patience.saw([])] == [False, True, True]


def test_the_longest_answer_fits_the_model() -> None:
    models = ("claude-3-haiku-20240307", "claude-3-5-sonnet-latest", "gpt-9", "claude-sonnet-5")
    assert [most_tokens(model) for model in models] == [4096, 8192, 8192, 32_000]


def test_the_face_imports_nothing_slow() -> None:
    code = (
        "import sys, backends.agents, backends.agents.builtin, backends.sandboxes.local; "
        "print([m for m in ('anthropic', 'httpx2', 'pydantic', 'litellm', 'sqlmodel') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
