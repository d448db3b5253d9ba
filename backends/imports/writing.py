"""What a file tells, into a store: calls as the recorder puts them on tapes, events as the harness tells them."""

import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from backends.imports import Asked, Attempt, Found, Made, Observe, Told, Verdict
from store import blobs, events, observations
from store.arriving import Arrival, arriving, finish, imported, taken
from store.domain.blocks import Block, BlockKind, blocks
from store.domain.canonical import DIGEST_SIZE
from store.domain.events import (
    GenerationDesigned,
    GenerationObserved,
    Payload,
    RunCreated,
    RunFinished,
    RunImported,
    SubagentChecked,
    SubagentEnded,
    SubagentJudged,
    SubagentLaunched,
    ToolFinished,
    ToolStarted,
    TurnStarted,
)
from store.domain.foreign import exit_of, gist, in_our_words
from store.domain.ids import ALPHABET, RUN_LENGTH, SubagentId
from store.domain.limits import Limits, Spend
from store.domain.observations import live
from store.domain.reported import reported
from store.domain.safe_text import safe_line
from store.domain.states import RunState
from store.domain.strategy import LanePlan, Strategy
from store.domain.task import Check, SandboxKind, Task
from store.face import write_face
from store.home import Home
from store.recording import CallEnd, CallStart, new_call_id, record_call

if TYPE_CHECKING:
    from backends.observer import Observed
    from store.database import Store

SOURCE = "import:"
"""What the source of a call begins with that a file tells of; the file's format follows."""

Job = Callable[[Connection], Any]

_WAITING = 64
"""Calls on their way into the store, at most: they share transactions."""
_SUMMARY, _TITLE = 160, 80
_DIFF = re.compile(r"^diff --git a/(.*) b/", re.MULTILINE)
_ANYTHING = {"command": "-", "path": "-", "old_str": "-", "new_str": "-", "content": "-"}
"""Whatever a tool may be given, to see which kind it is of."""
_REMINDER = re.compile(r"<system-reminder>.*?</system-reminder>\s*", re.DOTALL)


def bring_in(store: "Store", home: Home, path: Path, found: Found, *, observe: Observe, at: float) -> list[Made]:
    """Make the runs of a file, but those that were made before."""
    finish(store, home, at=at)
    there = imported(store, found.digest)
    made, numbers = [], count(1)
    for told in found.told:
        if (run := there.get(told.name)) is not None:
            made.append(Made(run, told.name, made=False))
            continue
        run = _free(store, found.digest, told.name)
        created = told.created if told.created is not None else at
        title = safe_line(told.title, _TITLE) or told.name
        with arriving(store, home, run, title, created=created, at=at) as arrival:
            _Writing(arrival, found.format, told, title, created, numbers).write(partial(observe, store, run))
            _face(store, home, run)
            arrival.end(RunImported(found.format, path.name, found.digest, told.name, at, tuple(told.notes)))
        made.append(Made(run, told.name, made=True))
    return made


def _free(store: "Store", digest: str, name: str) -> str:
    """A name for a run that none has: the same for the same part of the same file."""
    number = 0
    while True:
        seed = blake2b(f"{digest} {name} {number}".encode("utf-8", "replace"), digest_size=DIGEST_SIZE).digest()
        run = "".join(ALPHABET[byte % len(ALPHABET)] for byte in seed[:RUN_LENGTH])
        if not taken(store, run):
            return run
        number += 1


@dataclass
class _Lane:
    """An attempt as far as it has been read. `open` are tool calls without a result: their tool, their turn, and when
    they began. `at` is the time of the last event."""

    who: SubagentId
    attempt: Attempt
    at: float
    turn: int = 0
    open: dict[str, tuple[str, int, float]] = field(default_factory=dict)
    spend: Spend = field(default_factory=Spend)


@dataclass
class _Moment:
    """What is written in one go: events before and after a call, with the results of tools that they name."""

    before: list[tuple[float, Payload]] = field(default_factory=list)
    after: list[tuple[float, Payload]] = field(default_factory=list)
    results: list[bytes] = field(default_factory=list)


class _Writing:
    """One run. `numbers` tell calls apart that have the same time."""

    def __init__(
        self, arrival: Arrival, kind: str, told: Told, title: str, created: float, numbers: Iterator[int]
    ) -> None:
        self._arrival, self._kind, self._told, self._title, self._created = arrival, kind, told, title, created
        self._numbers = numbers
        self._waiting: deque[Future[Any]] = deque()
        self._solved = False

    def write(self, observe: Callable[[], "Observed"]) -> None:
        """All of it; what can be learned from it last."""
        told, at = self._told, self._created
        self._tell(at, RunCreated(self._task(), self._title, "", 0, imported=self._kind))
        self._tell(at, GenerationDesigned(self._plans()), generation=1)
        ended = at
        for number, attempt in enumerate(told.attempts, 1):
            ended = max(ended, self._attempt(_Lane(SubagentId(self._arrival.run, 1, number), attempt, at)))
        self._settle(0)
        self._submit(partial(_observed, run=self._arrival.run, at=ended, seen=observe()))
        reason = f"Imported ({self._kind}): verdicts are the file's own, no check was run here."
        self._tell(ended, RunFinished(RunState.SOLVED if self._solved else RunState.UNSOLVED, reason, ""))
        self._settle(0)

    def _task(self) -> Task:
        return Task(
            goal=self._told.goal,
            repository="",
            check=Check(""),
            revision="",
            generations=1,
            lanes=len(self._told.attempts),
            clean_lanes=0,
            agent=self._kind,
            model=next((attempt.model for attempt in self._told.attempts if attempt.model), ""),
            limits=Limits(),
            run_limits=Limits(),
            sandbox=SandboxKind.LOCAL,
        )

    def _plans(self) -> tuple[LanePlan, ...]:
        return tuple(
            LanePlan(number, Strategy(safe_line(attempt.name, 60) or self._kind, "", model=attempt.model), clean=False)
            for number, attempt in enumerate(self._told.attempts, 1)
        )

    def _attempt(self, lane: _Lane) -> float:
        """One attempt; when it ended."""
        calls = lane.attempt.calls()
        first = next(calls, None)
        if first is not None and first.started is not None:
            lane.at = max(lane.at, first.started)
        model = lane.attempt.model or (first.model if first is not None else "")
        self._submit(_job(lane.who, _Moment([(lane.at, SubagentLaunched("", model))])))
        for asked in chain([first] if first is not None else [], calls):
            self._call(lane, asked)
        verdict = lane.attempt.verdict()
        moment = _Moment()
        _results(lane, verdict.news, lane.at, moment)
        patch = verdict.patch.encode("utf-8", "replace")
        if patch:
            moment.results.append(patch)
        moment.before.append(
            (lane.at, SubagentEnded(verdict.ending, safe_line(verdict.detail, 400), verdict.spend or lane.spend))
        )
        moment.before.append((lane.at, _checked(verdict, patch)))
        self._submit(_job(lane.who, moment))
        self._solved = self._solved or verdict.solved
        return lane.at

    def _call(self, lane: _Lane, asked: Asked) -> None:
        """One call, with what happened before and after it."""
        began = lane.at
        ended = max(began if asked.ended is None else asked.ended, self._created)
        started = ended if asked.started is None else min(max(asked.started, self._created), ended)
        lane.turn += 1
        lane.at = max(lane.at, ended)
        moment = _Moment()
        _results(lane, asked.news, max(started, began), moment)
        moment.before.append((max(started, began), TurnStarted(lane.turn, asked.thread, asked.under)))
        if not asked.error:
            for block in (block for message in asked.messages for block in blocks(message)):
                if block.kind is BlockKind.TOOL_CALL and block.id:
                    tool = safe_line(block.name, 60)
                    lane.open[block.id] = tool, lane.turn, lane.at
                    doing = safe_line(gist(block.name, block.input), _SUMMARY)
                    moment.after.append((lane.at, ToolStarted(lane.turn, block.id, tool, doing)))
        for number, done in enumerate(asked.done, 1):
            name, result = f"action-{lane.turn}-{number}", done.result.encode("utf-8", "replace")
            moment.results.append(result)
            moment.after.append((lane.at, ToolStarted(lane.turn, name, "action", safe_line(done.action, _SUMMARY))))
            said = safe_line(next((line for line in done.result.splitlines() if line.strip()), ""), _SUMMARY)
            finished = ToolFinished(lane.turn, name, "action", True, done.seconds, blobs.digest(result), said)
            moment.after.append((lane.at, finished))
        lane.spend += Spend(1, asked.usage, asked.usd or 0.0, ended - started, asked.usd is not None)
        start, end = self._recorded(lane, asked, started, ended)
        self._submit(_job(lane.who, moment, start, end), len(asked.body) + len(asked.response))

    def _recorded(self, lane: _Lane, asked: Asked, started: float, ended: float) -> tuple[CallStart, CallEnd]:
        protocol, run = lane.attempt.protocol, lane.who.run
        # The order of names is that of time; of calls that have none, that of the file.
        number = next(self._numbers).to_bytes(3)
        name = new_call_id(started, number + blake2b(run.encode(), digest_size=2).digest())
        json_body = [("content-type", "application/json")]
        start = CallStart(
            name,
            started,
            run,
            lane.who,
            protocol.provider,
            "POST",
            protocol.path,
            asked.body,
            json_body,
            asked.model,
            stream=False,
            protocol=protocol.provider,
            conversation=protocol.conversation,
            thread=asked.thread,
            source=f"{SOURCE}{self._kind}",
        )
        end = CallEnd(
            name,
            ended,
            None if asked.error else 200,
            asked.error,
            complete=not asked.error,
            messages=asked.messages,
            stop_reason=asked.stop_reason,
            usage=asked.usage,
            usd=asked.usd,
            response=asked.response,
            headers=json_body if asked.response else (),
            response_id=asked.response_id,
        )
        return start, end

    def _tell(self, at: float, payload: Payload, generation: int | None = None) -> None:
        run = self._arrival.run
        self._submit(lambda connection: events.append(connection, run, [payload], at=at, generation=generation))

    def _submit(self, job: Job, size: int = 0) -> None:
        self._waiting.append(self._arrival.submit(job, size=size))
        self._settle(_WAITING)

    def _settle(self, most: int) -> None:
        while len(self._waiting) > most:
            self._waiting.popleft().result()


def _observed(connection: Connection, *, run: str, at: float, seen: "Observed") -> None:
    """Put on record what the observer has seen, as the harness does."""
    for who, (validity, reason) in seen.judged.items():
        events.tell(connection, who, [(at, SubagentJudged(validity, reason))])
    version = observations.save(connection, seen.document, author="observer", at=at)
    payload = GenerationObserved(version, len(live(seen.document)), seen.added, seen.supported)
    events.append(connection, run, [payload], at=at, generation=1)


def _face(store: "Store", home: Home, run: str) -> None:
    """The observations as a file."""
    text = observations.text(store, run)
    if text is not None:
        write_face(home.folder(run).create().observations, text)


def _results(lane: _Lane, news: Sequence[dict[str, Any]], at: float, moment: _Moment) -> None:
    """The ends of tool calls that messages have the results of."""
    for block in (block for message in news for block in blocks(message)):
        if block.kind is not BlockKind.TOOL_RESULT or block.id not in lane.open:
            continue
        name, turn, since = lane.open.pop(block.id)
        result = block.text.encode("utf-8", "replace")
        summary, ok = _told(name, block)
        moment.results.append(result)
        seconds = max(at - since, 0.0)
        moment.before.append((at, ToolFinished(turn, block.id, name, ok, seconds, blobs.digest(result), summary)))


def _told(name: str, block: Block) -> tuple[str, bool]:
    """The telling line of a tool's result, and whether it could do what it was asked: a command that fails has run."""
    ok, text = block.ok is not False, _REMINDER.sub("", block.text)
    ran = exit_of(name, text, block.ok) if in_our_words(name, {"command": "-"})[0] == "run" else None
    lines = [line for line in text[ran.start if ran else 0 :].splitlines() if line.strip(" \"}'")]
    if ran is None:
        # Chat protocols have no mark for what went wrong: there the words alone tell.
        on_files = in_our_words(name, _ANYTHING)[0] in ("run", "read", "edit", "write")
        return safe_line(lines[0] if lines else "", _SUMMARY), ok and (on_files or reported(text) is None)
    return safe_line(f"exit code {ran.code}" + (f" · {lines[-1]}" if lines else ""), _SUMMARY), True


def _checked(verdict: Verdict, patch: bytes) -> SubagentChecked:
    changed = [line for line in verdict.patch.splitlines() if not line.startswith(("+++", "---"))]
    return SubagentChecked(
        verdict.solved,
        blobs.digest(patch) if patch else "",
        files=tuple(dict.fromkeys(_DIFF.findall(verdict.patch))),
        insertions=sum(line.startswith("+") for line in changed),
        deletions=sum(line.startswith("-") for line in changed),
        word=verdict.word,
    )


def _job(who: SubagentId, moment: _Moment, start: CallStart | None = None, end: CallEnd | None = None) -> Job:
    """Write a call with what happened around it."""

    def job(connection: Connection) -> None:
        for result in moment.results:
            blobs.put(connection, result)
        events.tell(connection, who, moment.before)
        if start is not None and end is not None:
            record_call(connection, start, end)
        events.tell(connection, who, moment.after)

    return job
