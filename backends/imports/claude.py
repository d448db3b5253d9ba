"""Session logs of Claude Code: `~/.claude/projects/PROJECT/SESSION.jsonl`, with those of the session's own subagents,
which stand in the same file, beside it (`agent-….jsonl`), or in `SESSION/subagents/`.

Each line names the one before it (`parentUuid`), so a conversation that was taken back and begun anew is a branch. A
model's answer is several lines with the same `message.id`, one for each block.
"""

import heapq
import json
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from backends.imports import ANTHROPIC, Asked, Attempt, Found, ImportedFileError, Told, Verdict
from backends.imports.chat import body_of, text_of
from backends.imports.claude_index import Line, Session, blocks_of, is_block, looked_at, text_in
from backends.imports.jsonfile import digest_of, dumps
from store.domain.limits import Usage
from store.domain.states import Ending

FORMAT = "claude-code"

_NOTES = (
    "The system prompt, the tools' definitions and the parameters of requests are not in a session's log.",
    "A call begins when the last message before it was logged, and ends when its own last block was.",
)
_RESULTS = "file = ? AND kind = 'result' AND parent IN (SELECT uuid FROM lines WHERE mid = ? AND file = ?) ORDER BY at"
_PROMPTS = 200
"""Tool calls that are remembered, for they may have begun subagents."""


def found(path: Path) -> Found:
    """A session, with the logs of its own subagents."""
    session = looked_at(path)
    if not session.answers:
        raise ImportedFileError("it is a session's log without an answer of a model")
    title = session.title or session.goal.strip().partition("\n")[0]
    attempt = Attempt(FORMAT, ANTHROPIC, partial(_calls, session), partial(_verdict, session), session.model)
    told = Told(session.name or path.stem, title or path.stem, session.goal, [attempt], session.created, _NOTES)
    return Found(FORMAT, digest_of(*session.files), [told])


def _calls(session: Session) -> Iterator[Asked]:
    """The calls of a session, as they ended."""
    reading = [_Reading(session, number) for number in range(len(session.files))]
    prompts: OrderedDict[str, str] = OrderedDict()
    under = dict(session.under)
    with ExitStack() as stack:
        for one in reading:
            stack.enter_context(closing(one))
        for asked in heapq.merge(*(one.calls() for one in reading), key=lambda asked: asked.ended or 0.0):
            if asked.thread and asked.thread not in under:
                under[asked.thread] = _begun_by(asked, prompts)
            for block in (block for message in asked.messages for block in message.get("content") or ()):
                if is_block(block, "tool_use") and isinstance(given := block.get("input"), dict):
                    texts = [value for value in given.values() if isinstance(value, str)]
                    prompts[text_in(block, "id")] = max(texts, key=len, default="")
            while len(prompts) > _PROMPTS:
                prompts.popitem(last=False)
            yield replace(asked, under=under.get(asked.thread, ""))


def _begun_by(asked: Asked, prompts: "OrderedDict[str, str]") -> str:
    """The tool call whose longest text a thread begins with."""
    said = "\n".join(text_of(message.get("content")) for message in asked.news[:2])
    found = [(len(text), name) for name, text in prompts.items() if text and text in said]
    return max(found)[1] if found else ""


class _Reading:
    """One file, read a second time. The conversation that goes on is in memory, as the JSON of its messages."""

    def __init__(self, session: Session, number: int) -> None:
        self._session, self._number = session, number
        self._index = session.index
        self._file = session.files[number].open("rb")
        self._talks: dict[str, _Talk] = {}
        self._until = 0
        """Where the call begins that is put together."""

    def close(self) -> None:
        self._file.close()

    def calls(self) -> Iterator[Asked]:
        """The calls of the file, as they ended."""
        pending: dict[str, Line] = {}
        after = -1
        while some := self._lines("file = ? AND at > ? AND kind != '' ORDER BY at LIMIT 500", self._number, after):
            for line in some:
                after = line.at
                if line.kind not in ("assistant", "error"):
                    continue
                before = pending.get(line.thread)
                if before is not None and before.mid == line.mid:
                    continue
                if before is not None:
                    yield self._asked(before)
                pending[line.thread] = line
        for last in sorted(pending.values(), key=lambda line: line.at):
            yield self._asked(last)

    def _asked(self, first: Line) -> Asked:
        """The call whose answer begins with a line."""
        group = self._lines("file = ? AND mid = ? AND thread = ? ORDER BY at", self._number, first.mid, first.thread)
        talk, self._until = self._talks.setdefault(first.thread, _Talk()), first.at
        news = self._go_to(talk, first.parent)
        said = [self._message(line) for line in group]
        content = [block for one in said for block in blocks_of(one.get("content"))]
        last = said[-1]
        used = [one["usage"] for one in said if isinstance(one.get("usage"), dict)]
        # Each line has what was counted when it was written: the last one has all.
        usage: dict[str, Any] = used[-1] if used else {}
        reason = next((one["stop_reason"] for one in reversed(said) if isinstance(one.get("stop_reason"), str)), "")
        ended = max((line.time for line in group if line.time is not None), default=None)
        model = text_in(last, "model")
        wrong = ""
        if first.kind == "error":
            model, wrong = "", text_of(content) or "the answer is missing"
        answer = {**last, "role": "assistant", "content": content, "stop_reason": reason or None}
        if usage:
            answer["usage"] = usage
        return Asked(
            body_of(talk.parts, model),
            [] if wrong else [answer],
            b"" if wrong else dumps(answer),
            model,
            started=talk.time,
            ended=ended,
            usage=_usage(usage),
            stop_reason=reason,
            response_id=text_in(last, "id"),
            thread=first.thread,
            error=wrong,
            news=news,
        )

    def _go_to(self, talk: "_Talk", uuid: str | None) -> list[dict[str, Any]]:
        """Bring a conversation to a line: the messages that are new in it."""
        fresh: list[Line] = []
        seen: set[str] = set()
        while uuid is not None and uuid not in talk.places:
            line = next(iter(self._lines("uuid = ? AND file = ? LIMIT 1", uuid, self._number)), None)
            if line is None or uuid in seen:
                break
            seen.add(uuid)
            fresh.append(line)
            uuid = line.parent
        talk.back_to(talk.places.get(uuid, -1) if uuid is not None else -1)
        fresh.reverse()
        news: list[dict[str, Any]] = []
        for line in fresh:
            talk.lines.append(line)
            if line.uuid is not None:
                talk.places[line.uuid] = len(talk.lines) - 1
            if line.time is not None and line.kind:
                talk.time = line.time
            if (message := self._said(talk, line)) is not None:
                talk.begins.append(len(talk.lines) - 1)
                talk.parts.append(dumps(message))
                if message["role"] != "assistant":
                    news.append(message)
        return news

    def _said(self, talk: "_Talk", line: Line) -> dict[str, Any] | None:
        """The message that a line is in the next request; None for one that is in another's."""
        if line.kind == "assistant":
            if line.mid in talk.answers:
                return None
            talk.answers[line.mid or ""] = len(talk.lines) - 1
            group = self._lines("file = ? AND mid = ? AND thread = ? ORDER BY at", line.file, line.mid, line.thread)
            content = [block for one in group for block in blocks_of(self._message(one).get("content"))]
            return {"role": "assistant", "content": content}
        if line.kind == "user":
            return {"role": "user", "content": self._message(line).get("content") or ""}
        if line.kind != "result" or line.uuid in talk.told:
            return None
        every = [line]
        above = next(iter(self._lines("uuid = ? AND file = ? LIMIT 1", line.parent or "", line.file)), None)
        if above is not None and above.kind == "assistant":
            # Tools that ran at the same time: each result hangs on the block that asked for it. One that came later
            # belongs to a branch on which the tool ran again.
            own = self._answered(line)
            for other in self._lines(_RESULTS, line.file, above.mid, line.file):
                if other.at < self._until and own.isdisjoint(told := self._answered(other)):
                    own |= told
                    every.append(other)
            every.sort(key=lambda one: one.at)
        for one in every:
            talk.told[one.uuid or ""] = len(talk.lines) - 1
        return {
            "role": "user",
            "content": [block for one in every for block in blocks_of(self._message(one).get("content"))],
        }

    def _answered(self, line: Line) -> set[str]:
        """The tool calls that a line has the results of."""
        content = blocks_of(self._message(line).get("content"))
        return {text_in(block, "tool_use_id") for block in content if is_block(block, "tool_result")}

    def _message(self, line: Line) -> dict[str, Any]:
        self._file.seek(line.at)
        message: dict[str, Any] = json.loads(self._file.readline().removeprefix(b"\xef\xbb\xbf"))["message"]
        return message

    def _lines(self, where: str, *values: Any) -> list[Line]:
        rows = self._index.execute(f"SELECT * FROM lines WHERE {where}", values)  # noqa: S608 - words of ours
        return [Line(*row) for row in rows]


@dataclass
class _Talk:
    """A conversation up to its last line. `places` are the lines by their uuid, `begins` the line that each of the
    messages in `parts` begins with; `answers` and `told` say with which line an answer and a result came in."""

    lines: list[Line] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)
    parts: list[bytes] = field(default_factory=list)
    begins: list[int] = field(default_factory=list)
    answers: dict[str, int] = field(default_factory=dict)
    told: dict[str, int] = field(default_factory=dict)
    time: float | None = None

    def back_to(self, place: int) -> None:
        """Forget what is behind a line."""
        keep = place + 1
        while self.begins and self.begins[-1] > place:
            self.begins.pop()
            self.parts.pop()
        if keep == len(self.lines):
            return
        for line in self.lines[keep:]:
            self.places.pop(line.uuid or "", None)
        del self.lines[keep:]
        self.answers = {mid: at for mid, at in self.answers.items() if at <= place}
        self.told = {uuid: at for uuid, at in self.told.items() if at <= place}
        self.time = next((line.time for line in reversed(self.lines) if line.kind and line.time is not None), None)


def _verdict(session: Session) -> Verdict:
    said = session.last.strip().partition("\n")[0]
    return Verdict(Ending.SILENT, said, word="A session's log does not say whether it was solved.")


def _usage(usage: dict[str, Any]) -> Usage:
    def count(name: str) -> int:
        value = usage.get(name)
        return value if type(value) is int and value > 0 else 0

    return Usage(
        count("input_tokens"),
        count("output_tokens"),
        count("cache_read_input_tokens"),
        count("cache_creation_input_tokens"),
    )
