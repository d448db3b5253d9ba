"""The built-in subagent: model calls and tool calls in turn, through the proxy, until it submits or is ended."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backends.agents import Assignment, Outcome, Progress, Session
from backends.agents.answer import Answer, ToolCall, sendable, text, tool_calls
from backends.agents.prompt import (
    BEGIN,
    CUT_OFF,
    FORKED,
    INTERRUPTED,
    NOT_HERE,
    NUDGE,
    from_operator,
    system_prompt,
)
from backends.agents.provider import Retry, ask, client
from backends.agents.tools import Result, Tools, definitions, describe, malformed
from backends.sandboxes import SandboxError
from store.domain.events import ToolFinished, ToolStarted
from store.domain.safe_text import safe_line
from store.domain.states import Ending

Message = dict[str, Any]

_PATIENCE = 3
"""Answers in a row without a usable tool call, all of them malformed, before the model is nudged."""


class BuiltinAgent:
    """The built-in subagent."""

    def __init__(self, retry: Retry | None = None) -> None:
        self._retry = retry or Retry()

    def warm_up(self) -> None:
        """Import what is slow. Blocks for seconds; to be run in a thread before the first subagent works."""
        _ = client("http://localhost", "none").messages.with_streaming_response

    async def work(self, assignment: Assignment, session: Session, progress: Progress | None = None) -> Outcome:
        """See `Agent.work`."""
        try:
            return await _Work(assignment, session, self._retry).run(progress)
        except SandboxError as error:
            return Outcome(Ending.CRASHED, str(error))
        except Exception as error:  # noqa: BLE001 - whatever goes wrong costs this attempt, not the run
            return Outcome(Ending.CRASHED, safe_line(f"{type(error).__name__}: {error}", 400))


@dataclass
class Patience:
    """How long a model may go on without a usable tool call. It is nudged once; the next time it is silent."""

    malformed: int = 0
    nudged: bool = False

    def saw(self, usable: Sequence[bool]) -> bool:
        """Take an answer's tool calls, each usable or not; whether the model must be nudged, or was before."""
        if any(usable):
            self.malformed, self.nudged = 0, False
            return False
        self.malformed += 1
        if usable and self.malformed < _PATIENCE:
            return False
        self.malformed = 0
        return True


class _Work:
    """One subagent at work."""

    def __init__(self, assignment: Assignment, session: Session, retry: Retry) -> None:
        self._assignment = assignment
        self._session = session
        self._retry = retry
        self._tools = Tools(session.sandbox, session.recall, assignment.tool_seconds, assignment.subagent.run)
        self._fixed = {
            "model": assignment.model,
            "max_tokens": most_tokens(assignment.model),
            "system": [{"type": "text", "text": system_prompt(assignment), "cache_control": {"type": "ephemeral"}}],
            "tools": definitions(recall=assignment.recall),
        }
        self._messages: list[Message] = [_says(BEGIN)]
        self._turn = 0
        self._patience = Patience()

    async def run(self, progress: Progress | None) -> Outcome:
        if progress is not None:
            if (outcome := await self._resume(progress)) is not None:
                return outcome
        elif self._assignment.conversation:
            self._go_on_from(self._assignment.conversation)
        # In a thread, for the first time it imports what is slow.
        speaking = await asyncio.to_thread(client, self._assignment.base_url, self._assignment.key)
        async with speaking:
            while True:
                if (ending := await self._session.before_turn()) is not None:
                    return Outcome(ending)
                self._turn += 1
                told = self._session.unread()
                await self._session.begin_turn(self._turn, reads=len(told))
                self._messages[-1]["content"] += [_text(from_operator(words)) for words in told]
                answer = await ask(speaking, self._request(), self._retry, self._session.before_turn)
                if isinstance(answer, Outcome):
                    return answer
                if (outcome := await self._took(answer)) is not None:
                    return outcome

    def _request(self) -> dict[str, Any]:
        """The request, with a marker up to which the provider may keep it in its cache."""
        *earlier, last = self._messages
        *blocks, block = last["content"]
        marked = {**last, "content": [*blocks, {**block, "cache_control": {"type": "ephemeral"}}]}
        return {**self._fixed, "messages": [*earlier, marked]}

    async def _took(self, answer: Answer) -> Outcome | None:
        """Do what an answer asks for; how the work ends with it, or None."""
        if answer.stop_reason == "refusal":
            return Outcome(
                Ending.PROVIDER, f"the model refused: {answer.explanation or answer.text or 'no reason given'}"
            )
        if answer.stop_reason == "model_context_window_exceeded":
            return Outcome(Ending.TOKENS, "the conversation is too long for the model: its context window is full")
        return await self._do(answer.message, answer.tool_calls, cut=answer.stop_reason == "max_tokens")

    async def _resume(self, progress: Progress) -> Outcome | None:
        """Go on where an earlier engine died: what is finished is not run again, what was open is not either."""
        self._messages = [_unmarked(message) for message in progress.messages]
        for message in self._messages:
            if message["role"] == "assistant" and self._patience.saw(self._usable(tool_calls(message))):
                self._patience.nudged = True
        answer = {"role": "assistant", "content": sendable(_unmarked(progress.answer)["content"])}
        self._turn = progress.turn
        return await self._do(answer, tool_calls(answer), cut=False, known=progress.results)

    def _go_on_from(self, conversation: Sequence[Mapping[str, Any]]) -> None:
        """Start with another's conversation. What its last answer asks for was not done in this sandbox."""
        self._messages = [_unmarked(message) for message in conversation]
        last = self._messages[-1]
        last["content"] = sendable(last["content"])
        if last["role"] != "user":
            asked = [_tool_result(call.id, Result(NOT_HERE, ok=False)) for call in tool_calls(last)]
            self._messages.append({"role": "user", "content": asked})
        self._messages[-1]["content"].append(_text(FORKED))

    async def _do(
        self,
        answer: Message,
        calls: Sequence[ToolCall],
        *,
        cut: bool,
        known: Mapping[str, tuple[str, bool]] | None = None,
    ) -> Outcome | None:
        """Run an answer's tool calls in order. `known` are the results of those that need not run; with it, the others
        were interrupted."""
        if answer["content"]:
            self._messages.append(answer)
        blocks: list[Message] = []
        failed = False
        for call in calls:
            if known is not None and call.id in known:
                said, ok = known[call.id]
                result = Result(said, ok, submitted=call.name == "submit" and ok)
            else:
                result = await self._finish(call, interrupted=known is not None, failed=failed)
            if result.submitted:
                return Outcome(Ending.SUBMITTED, str(call.input.get("summary", "")))
            failed = failed or not result.ok
            blocks.append(_tool_result(call.id, result))
        if self._patience.saw(self._usable(calls)):
            if self._patience.nudged and not self._session.unread():
                return Outcome(Ending.SILENT, text(answer))
            self._patience.nudged = True
            blocks.append(_text(CUT_OFF if cut else NUDGE))
        self._messages.append({"role": "user", "content": blocks})
        return None

    async def _finish(self, call: ToolCall, *, interrupted: bool, failed: bool) -> Result:
        """Carry out one tool call, or answer it without, and put its result on record."""
        wrong = malformed(call.name, call.input, recall=self._assignment.recall)
        name = safe_line(call.name, 60)
        started = time.monotonic()
        await self._session.record(ToolStarted(self._turn, call.id, name, describe(call.name, call.input)))
        if wrong:
            result = Result(f"malformed tool call: {wrong}", ok=False)
        elif interrupted and call.name != "submit":
            result = Result(INTERRUPTED, ok=False)
        elif call.name == "submit" and failed:
            result = Result(
                "not submitted: a tool call before it in the same answer failed. Look, then submit.", ok=False
            )
        elif call.name == "submit" and self._session.unread():
            result = Result(
                "not submitted: the operator has something to say. Read it, then go on or submit.", ok=False
            )
        else:
            result = await self._tools.call(call.name, call.input)
        kept = await self._session.keep(result.text)
        seconds = time.monotonic() - started
        await self._session.record(ToolFinished(self._turn, call.id, name, result.ok, seconds, kept, result.summary))
        return result

    def _usable(self, calls: Sequence[ToolCall]) -> list[bool]:
        return [not malformed(call.name, call.input, recall=self._assignment.recall) for call in calls]


def _text(words: str) -> Message:
    return {"type": "text", "text": words}


def _says(words: str) -> Message:
    return {"role": "user", "content": [_text(words)]}


def _tool_result(call: str, result: Result) -> Message:
    block: Message = {"type": "tool_result", "tool_use_id": call, "content": [_text(result.text)]}
    return block if result.ok else {**block, "is_error": True}


def _unmarked(message: Mapping[str, Any]) -> Message:
    """A message without cache markers, and with its content as blocks."""
    content = message["content"]
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    blocks = [{key: value for key, value in block.items() if key != "cache_control"} for block in content]
    return {"role": message.get("role", "assistant"), "content": blocks}


def most_tokens(model: str) -> int:
    """The longest answer to ask for, in tokens: what every model of a family takes."""
    if model.startswith(("claude-3-5", "claude-3-7")) or not model.startswith("claude"):
        return 8192
    return 4096 if model.startswith("claude-3") else 32_000
