"""Following a program's work by its tape: its turns, its tool calls and their results become events, as those of the
built-in subagent are, and each subagent of its own is known by the tool call that began it."""

import asyncio
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlalchemy import select

from backends.agents import Session
from backends.agents.commands.ending import Seen
from store import tapes
from store.domain.blocks import Block, BlockKind, blocks
from store.domain.codec import decode_payload
from store.domain.events import (
    Alert,
    CallFinished,
    CallStarted,
    Event,
    SubagentLaunched,
    ToolFinished,
    ToolStarted,
    TurnStarted,
)
from store.domain.foreign import exit_of, gist, in_our_words
from store.domain.ids import SubagentId
from store.domain.safe_text import safe_line
from store.domain.tape import Call, Message
from store.jsontext import loads
from store.tables import metadata

if TYPE_CHECKING:
    from store.database import Store

_FOLLOWED = (Alert, CallFinished, CallStarted, SubagentLaunched, ToolFinished, ToolStarted, TurnStarted)
_KINDS = [kind.kind for kind in _FOLLOWED]
_SUMMARY = 160
_PROMPTS = 200
"""Tool calls that are remembered, for they may have begun subagents."""
_REMINDER = re.compile(r"<system-reminder>.*?</system-reminder>\s*", re.DOTALL)
"""What a client says to its model in the name of a tool."""
_NOT_ASKED = ("count_tokens", ":countTokens", "input_tokens")


@dataclass(frozen=True)
class _Open:
    """A tool call that has no result yet, since when."""

    name: str
    turn: int
    since: float


@dataclass(frozen=True)
class _Asked:
    """What the tape has new of one call: its request's tool results and its answer's tool calls."""

    call: Call
    at: float
    results: tuple[Block, ...] = ()
    uses: tuple[Block, ...] = ()


class Following:
    """One subagent's tape, followed. What an earlier engine recorded of it is taken up first."""

    def __init__(self, store: "Store", subagent: SubagentId, session: Session) -> None:
        self._store, self._subagent, self._session = store, subagent, session
        self._lock = asyncio.Lock()
        self._after = 0
        self._turn = self._answered = 0
        self._open: dict[str, _Open] = {}
        self._prompts: dict[str, str] = {}
        """The longest text of a tool call's input, by the call."""
        self._turn_of: dict[str, int] = {}
        """The last turn of each thread."""
        self._under: dict[str, str] = {}
        """The tool call that began a thread; "" for the agent's own."""
        self._answer_of: dict[str, str] = {}
        """The node of the last answer of each thread."""
        self._failed: set[str] = set()
        """Threads whose last call had no whole answer: what they ask next is the same turn."""
        self._calls: dict[str, tuple[str, int]] = {}
        """The thread and the turn of each call under way."""
        self.seen = Seen()
        """The calls of this process of the agent's."""
        self.alerts: set[str] = set()
        """The rules of the alerts about it."""

    async def begin(self) -> None:
        """Take up what is on record."""
        for event in await asyncio.to_thread(self._events):
            self._take_up(event)
        # A turn that died with its engine begins again, and counts once.
        self._turn = self._answered

    def is_own(self, thread: str) -> bool:
        """The agent itself speaks, and has spoken before: no subagent of its own."""
        return self._under.get(thread) == ""

    async def turn(self, thread: str, body: bytes, *, reads: int = 0) -> None:
        """A model call is about to go out: put its turn on record, with which it reads that many messages."""
        await self.catch_up()
        async with self._lock:
            if thread not in self._under:
                self._under[thread] = self._began(body) if self._under else ""
            elif thread in self._failed:
                self._failed.discard(thread)
                if not reads:
                    return
            self._turn += 1
            self._turn_of[thread] = self._turn
            await self._session.begin_turn(self._turn, thread, self._under[thread], reads=reads)

    async def catch_up(self) -> None:
        """Put on record what the tape has new. Who is cancelled over it leaves it to its end, for what was read is not
        read again."""
        await asyncio.shield(asyncio.ensure_future(self._catch_up()))

    async def _catch_up(self) -> None:
        async with self._lock:
            for event in await asyncio.to_thread(self._events):
                match event.payload:
                    case Alert(rule=rule):
                        self.alerts.add(rule)
                    case CallStarted(call=call, parent="", thread=thread):
                        self._calls[call] = thread, self._turn_of.get(thread, self._turn)
                        await self._record(call, thread, event.at)
                    case CallFinished(call=call, parent="") as payload if call in self._calls:
                        thread, _ = self._calls[call]
                        await self._record(call, thread, event.at, payload)
                        del self._calls[call]
                    case _:
                        pass

    def _take_up(self, event: Event) -> None:
        match event.payload:
            case SubagentLaunched(afresh=True):
                self._turn = self._answered = 0
                self._open.clear()
            case TurnStarted(turn=turn):
                self._turn = turn
            case CallFinished(error="", parent=""):
                self._answered = self._turn
            case ToolStarted() as started:
                self._open[started.tool_call] = _Open(started.name, started.turn, event.at)
            case ToolFinished() as finished:
                self._open.pop(finished.tool_call, None)
            case _:
                pass

    async def _record(self, call: str, thread: str, at: float, finished: CallFinished | None = None) -> None:
        """The events that a call's beginning, or its end, means."""
        new = await asyncio.to_thread(self._read, call, thread, at, finished)
        if new is None:
            return
        for block in new.results:
            if (began := self._open.pop(block.id, None)) is not None:
                kept = await self._session.keep(block.text)
                summary, ok = _result(began.name, block)
                seconds = max(new.at - began.since, 0.0)
                await self._session.record(ToolFinished(began.turn, block.id, began.name, ok, seconds, kept, summary))
        _, turn = self._calls[call]
        started = [
            ToolStarted(turn, block.id, safe_line(block.name, 60), _doing(block)) for block in new.uses if block.id
        ]
        for block, event in zip((block for block in new.uses if block.id), started, strict=True):
            self._open[block.id] = _Open(event.name, turn, new.at)
            self._prompts[block.id] = _longest(block.input)
        while len(self._prompts) > _PROMPTS:
            del self._prompts[next(iter(self._prompts))]
        if started:
            await self._session.record(*started)
        if finished is not None and _is_turn(new.call):
            self._count(finished, thread)

    def _count(self, finished: CallFinished, thread: str) -> None:
        seen = replace(self.seen, calls=self.seen.calls + 1, status=None, error="")
        if finished.error:
            self._failed.add(thread)
            self.seen = replace(seen, status=finished.status, error=finished.error)
        else:
            self._failed.discard(thread)
            self.seen = replace(seen, answers=seen.answers + 1)

    def _read(self, name: str, thread: str, at: float, finished: CallFinished | None) -> _Asked | None:
        """What the tape has new of a call."""
        try:
            call = tapes.call(self._store, name)
        except KeyError:
            return None
        if call.tail is None:
            return _Asked(call, at)
        results: list[Block] = []
        if self._open:
            after = self._answer_of.get(thread)
            results = [b for b in _blocks(tapes.messages(self._store, call, after=after)) if b.id in self._open]
            results = [block for block in results if block.kind is BlockKind.TOOL_RESULT]
        uses: list[Block] = []
        if finished is not None and call.answer is not None:
            said = tapes.answers(self._store, call)
            uses = [block for block in _blocks(said) if block.kind is BlockKind.TOOL_CALL]
            self._answer_of[thread] = call.answer
        return _Asked(call, at, tuple(results), tuple(uses))

    def _events(self) -> list[Event]:
        columns = metadata.tables["events"].c
        who = self._subagent
        statement = (
            select(columns.seq, columns.at, columns.kind, columns.data)
            .where(columns.seq > self._after, columns.run == who.run)
            .where(columns.generation == who.generation, columns.lane == who.lane, columns.kind.in_(_KINDS))
            .order_by(columns.seq)
        )
        with self._store.read() as connection:
            rows = connection.execute(statement).all()
        if rows:
            self._after = rows[-1].seq
        return [
            Event(seq, at, who.run, who.generation, who.lane, decode_payload(kind, loads(data)))
            for seq, at, kind, data in rows
        ]

    def _began(self, body: bytes) -> str:
        """The tool call that a new thread's first request repeats the longest text of: the one that began it."""
        found = [
            (len(text), order, call)
            for order, (call, text) in enumerate(self._prompts.items())
            if text and any(form in body for form in _forms(text))
        ]
        return max(found)[2] if found else ""


def _forms(text: str) -> Iterable[bytes]:
    """How a text may stand in JSON."""
    return {json.dumps(text, ensure_ascii=plain)[1:-1].encode("utf-8", "replace") for plain in (True, False)}


def _blocks(messages: Iterable[Message]) -> list[Block]:
    return [block for message in messages for block in blocks(message.message)]


def _longest(given: object) -> str:
    texts = [value for value in given.values() if isinstance(value, str)] if isinstance(given, dict) else []
    return max(texts, key=len, default="")


def _is_turn(call: Call) -> bool:
    path = call.path.partition("?")[0]
    return call.method == "POST" and not path.endswith(_NOT_ASKED)


def _doing(block: Block) -> str:
    return safe_line(gist(block.name, block.input), _SUMMARY)


def _result(name: str, block: Block) -> tuple[str, bool]:
    """The telling line of a tool's result, and whether it could do what it was asked: a command that fails has been
    run."""
    ok, text = block.ok is not False, _REMINDER.sub("", block.text)
    ran = exit_of(name, text, block.ok) if in_our_words(name, {"command": "-"})[0] == "run" else None
    if ran is None:
        lines = [line for line in text.splitlines() if line.strip()]
        return safe_line(lines[0] if lines else "", _SUMMARY), ok
    lines = [line for line in text[ran.start :].splitlines() if line.strip(" \"}'")]
    return safe_line(f"exit code {ran.code}" + (f" · {lines[-1]}" if lines else ""), _SUMMARY), True
