"""A recorded store for the tests of screens: four runs, made through the store's own API at fixed times."""

import atexit
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from store import blobs, events, observations, runs
from store.database import Store, open_store
from store.domain.events import (
    Alert,
    BaselineChecked,
    CheckResult,
    EngineStarted,
    EngineStopped,
    GateOpened,
    GatePassed,
    GenerationDesigned,
    GenerationObserved,
    Payload,
    RunCreated,
    RunFinished,
    SubagentChecked,
    SubagentEnded,
    SubagentJudged,
    SubagentLaunched,
    SubagentPaused,
    ToolFinished,
    ToolStarted,
    TurnStarted,
)
from store.domain.ids import SubagentId
from store.domain.limits import Limits, Spend, Usage
from store.domain.observations import Claim, Document, Evidence, Observation, Priority, Subject
from store.domain.states import Ending, RunState, Validity
from store.domain.strategy import LanePlan, Strategy
from store.domain.task import Check, Task
from store.home import Home
from store.lock import RunLock
from store.tapes import CallEnd, CallStart, close_call, open_call
from tests import script

NOW = 1_795_400_000.0
"""The screens' clock: 2026-11-23, a little after the last event."""

LIVE, GATE, SOLVED, BROKEN = "7k3ab", "m2qtw", "h9xpd", "c4fzn"

STRATEGIES = (
    Strategy(
        "reproduce-first", "Write a failing test before anything is changed.", ("tests", "entry points"), ("locks",)
    ),
    Strategy("trace-the-data", "Follow one order from request to ledger.", ("data flow",), ("idempotency keys",)),
    Strategy("history", "Find the commit that brought it.", ("git log", "git blame"), ("revert, then repair",)),
    Strategy(
        "invariants", "State what must hold, then look for who breaks it.", ("shared state",), ("atomic updates",)
    ),
    Strategy("plain", "Work as you think best."),
)

GOAL = "The order service loses and doubles reservations under load. Make `make check` pass."
TASK = Task(
    goal=GOAL,
    repository="/home/ada/orders",
    check=Check("python check.py", 60.0, ("check.py", "tests/**")),
    generations=5,
    limits=Limits(turns=24, tokens=400_000, usd=2.0, seconds=900.0),
)

FAILED = CheckResult(
    passed=False,
    exit_code=1,
    failures=3,
    seconds=1.4,
    output="",
    tail="oversold: 7 of 50 schedules\ndouble charge: 3 of 50 schedules\nlost refund: 1 of 50 schedules\n3 broken",
)
PASSED = CheckResult(True, 0, 0, 1.3, "", "50 schedules\n0 broken")


@dataclass
class Writer:
    """Appends events at a clock of its own."""

    store: Store
    run: str
    at: float
    conversations: dict[SubagentId, list[Any]] = field(default_factory=dict)

    def add(
        self, *payloads: Payload, after: float = 0.5, generation: int | None = None, lane: int | None = None
    ) -> None:
        self.at += after
        self.store.write(
            lambda connection: events.append(
                connection, self.run, payloads, at=self.at, generation=generation, lane=lane
            )
        )


@cache
def _template() -> Path:
    """All four runs, recorded once for all tests of a process."""
    root = Path(tempfile.mkdtemp(prefix="multitrack-recorded-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    home = Home(root).create()
    with open_store(home.store) as store:
        for run, title, at, tell in (
            (BROKEN, "orders: a check that always passes", NOW - 90_000, _broken),
            (SOLVED, "orders: lost reservations", NOW - 7_300, _solved),
            (GATE, "orders: lost reservations, other seed", NOW - 900, _gate),
            (LIVE, "orders: lost reservations under load", NOW - 200, _live),
        ):
            store.write(_creation(run, title, at))
            home.folder(run).create()
            tell(Writer(store, run, at), home)
    return root


@contextmanager
def recorded(root: Path, *, alive: tuple[str, ...] = (LIVE, GATE)) -> Iterator[Home]:
    """A home with all four runs; the named ones have an engine for as long as the context is open."""
    shutil.copytree(_template(), root, dirs_exist_ok=True)
    home = Home(root)
    locks = [RunLock(home.folder(run).lock) for run in alive]
    assert all(lock.acquire() for lock in locks)
    try:
        yield home
    finally:
        for lock in locks:
            lock.release()


def _creation(run: str, title: str, at: float) -> Callable[[Connection], None]:
    return lambda connection: runs.create(connection, run, title, at=at)


def _begin(writer: Writer, title: str) -> None:
    writer.add(
        RunCreated(TASK, title, "9f2c1e07a4b3d5860c1e9f2c1e07a4b3d5860c1e", 7, scripted="orders", pace=40.0),
        EngineStarted(4711, "0.1.0", "http://127.0.0.1:40011"),
        BaselineChecked((FAILED, FAILED)),
    )


def _plans() -> tuple[LanePlan, ...]:
    return tuple(
        LanePlan(number, strategy, clean=number == 5, why="control without memory" if number == 5 else "portfolio")
        for number, strategy in enumerate(STRATEGIES, start=1)
    )


def _launch(writer: Writer, generation: int, injected: int) -> None:
    writer.add(GenerationDesigned(_plans()), generation=generation)
    for plan in _plans():
        names = () if plan.clean else tuple(f"o-{number:04x}" for number in range(injected))
        launched = SubagentLaunched("/tmp/sandbox", "claude-sonnet-4-5", names, 140 * len(names))
        writer.add(launched, after=0.1, generation=generation, lane=plan.lane)


def _turn(writer: Writer, who: SubagentId, turn: int, *, finish: bool = True) -> None:
    """One turn: a call on the tape, and a tool call with its result (left open when not `finish`)."""
    step = script.step(who.lane, turn)
    tool = f"toolu_{who.generation}{who.lane}{turn:02}"
    call = f"c{writer.run}{who.generation}{who.lane}{turn:03}"
    writer.add(TurnStarted(turn), after=0.1, generation=who.generation, lane=who.lane)
    conversation = writer.conversations.setdefault(who, [{"role": "user", "content": "Begin."}])
    request = {**script.REQUEST, "messages": conversation}
    answer = step.answer(tool)
    usage = Usage(input=1800 + 410 * turn, output=220 + 13 * who.lane, cache_read=900 * turn)
    start = CallStart(
        call, writer.at + 0.05, writer.run, who, "anthropic", "POST", "/v1/messages", json.dumps(request).encode()
    )
    writer.at += 1.25
    end = CallEnd(
        call,
        writer.at,
        200,
        complete=True,
        first_byte=start.at + 0.31,
        messages=[answer],
        stop_reason="tool_use",
        usage=usage,
        usd=0.004 + 0.0011 * turn,
        response=script.stream(answer),
        headers=(("content-type", "text/event-stream"), ("request-id", f"req_{call}")),
    )
    writer.store.write(lambda connection: open_call(connection, start))
    writer.store.write(lambda connection: close_call(connection, end))
    started = ToolStarted(turn, tool, step.name, step.summary)
    writer.add(started, after=0.05, generation=who.generation, lane=who.lane)
    if finish:
        digest = writer.store.write(lambda connection: blobs.put(connection, step.result.encode()))
        first = step.result.partition("\n")[0]
        finished = ToolFinished(turn, tool, step.name, step.ok, 0.4, digest, first)
        writer.add(finished, after=0.2, generation=who.generation, lane=who.lane)
        conversation += [answer, step.reply(tool)]


def _end(writer: Writer, who: SubagentId, turns: int, *, solved: bool, ending: Ending = Ending.SUBMITTED) -> None:
    detail = "the check passes in my clone" if solved else ""
    writer.add(SubagentEnded(ending, detail, Spend(turns=turns)), after=0.2, generation=who.generation, lane=who.lane)
    result = PASSED if solved else FAILED
    patch = writer.store.write(lambda connection: blobs.put(connection, script.PATCH.encode()))
    checked = SubagentChecked(solved, patch, ("shop/pay.py", "shop/stock.py"), 5, 4, ("check.py",), result)
    writer.add(checked, after=0.2, generation=who.generation, lane=who.lane)
    writer.add(
        SubagentJudged(Validity.VALID, "it changed code and ran the check"),
        after=0.01,
        generation=who.generation,
        lane=who.lane,
    )


_HALF = "In `shop/stock.py`, `Stock.reserve`: the edit below brought the check from 3 failures to 2; not enough alone."
_NOT = "In `shop/pay.py`, `Pay.charge`: the edit below left the check failing (3 failures before, 3 after)."
_TWICE = "The retry in `shop/pay.py` charges twice when the bank answers late."
_LOCK = ("@ shop/stock.py", "- held = self.count", "+ async with self._lock:", "+     held = self.count")
_LESSONS = (
    (Priority.IMPORTANT, Claim.HALF, _HALF, _LOCK),
    (Priority.IMPORTANT, Claim.FAILED, _NOT, ("@ shop/pay.py", "- limit = 0.5", "+ limit = 5.0")),
    (Priority.POSSIBLE, Claim.HYPOTHESIS, _TWICE, ()),
    (Priority.INFORMATIONAL, Claim.FACT, "`python check.py` takes 1.4 s and tries 50 schedules.", ()),
)


def lessons(run: str, count: int, generation: int) -> tuple[Observation, ...]:
    """That many observations, with evidence on the tapes."""
    found: list[Observation] = []
    for number in range(count):
        priority, claim, text, excerpt = _LESSONS[number % len(_LESSONS)]
        who = SubagentId(run, generation, number % 4 + 1)
        evidence = Evidence(who, f"c{run}{who.generation}{who.lane}001", "n", 0, 0, 12, "exit code 1: oversold", 3)
        found.append(
            Observation(
                f"o-{number:04x}",
                f"{number:032x}",
                Subject.EDITS if excerpt else Subject.NOTE,
                priority,
                claim,
                text if number < 4 else text.replace("shop/", f"shop/v{number // 4}/"),
                excerpt,
                (evidence,),
                (who,),
                first=generation,
                last=generation,
            )
        )
    return tuple(found)


def _whole(writer: Writer, generation: int, solved: tuple[int, ...], known: int, added: int, *, waits: bool) -> None:
    """A generation from design to gate."""
    _launch(writer, generation, min(known - added, 8))
    for lane in range(1, 6):
        who = SubagentId(writer.run, generation, lane)
        turns = 4 + (lane + generation) % 3
        for turn in range(1, turns + 1):
            _turn(writer, who, turn)
        good = lane in solved
        _end(writer, who, turns, solved=good, ending=Ending.SUBMITTED if good or lane % 2 else Ending.TURNS)
    writer.at += 0.4
    document = Document(writer.run, generation=generation, observations=lessons(writer.run, known, generation))
    writer.store.write(lambda connection: observations.save(connection, document, author="observer", at=writer.at))
    writer.add(GenerationObserved(generation, known, added, added // 2), generation=generation)
    writer.add(GateOpened(waits), generation=generation)


def _live(writer: Writer, home: Home) -> None:
    _begin(writer, "orders: lost reservations under load")
    _whole(writer, 1, (), 6, 6, waits=True)
    writer.add(GatePassed("operator"), generation=1, after=4)
    _launch(writer, 2, 6)
    for lane, turns in enumerate((7, 5, 9, 6, 4), start=1):
        who = SubagentId(writer.run, 2, lane)
        for turn in range(1, turns + 1):
            _turn(writer, who, turn, finish=not (lane == 2 and turn == turns))
    writer.add(SubagentPaused(), generation=2, lane=4)
    writer.add(Alert("same-call", "the same call three times: run python check.py"), generation=2, lane=1)
    _end(writer, SubagentId(writer.run, 2, 3), 9, solved=True)


def _gate(writer: Writer, home: Home) -> None:
    _begin(writer, "orders: lost reservations, other seed")
    for generation, solved, known, added in ((1, (), 5, 5), (2, (2,), 9, 4), (3, (1, 2), 13, 4)):
        _whole(writer, generation, solved, known, added, waits=True)
        if generation < 3:
            writer.add(GatePassed("operator"), generation=generation, after=20)


def _solved(writer: Writer, home: Home) -> None:
    _begin(writer, "orders: lost reservations")
    for generation, solved, known, added in (
        (1, (), 6, 6),
        (2, (4,), 10, 4),
        (3, (1, 2, 4), 14, 4),
        (4, (1, 2, 3, 4), 15, 1),
    ):
        _whole(writer, generation, solved, known, added, waits=False)
        writer.add(GatePassed("auto"), generation=generation)
    report = home.folder(writer.run).report
    report.write_text(REPORT, "utf-8")
    writer.add(RunFinished(RunState.SOLVED, "subagent 4.1 passes the check", str(report)), EngineStopped("finished"))


def _broken(writer: Writer, home: Home) -> None:
    writer.add(
        RunCreated(TASK, "orders: a check that always passes", "9f2c1e07", 1),
        EngineStarted(4000, "0.1.0", "http://127.0.0.1:40001"),
    )
    refused = "the check passes on the unchanged code: there is nothing to solve, or it checks nothing"
    writer.add(BaselineChecked((PASSED, PASSED), refused))
    writer.add(RunFinished(RunState.FAILED, refused, ""), EngineStopped("finished"))


REPORT = """# orders: lost reservations

Run `h9xpd`, 4 generations, **solved** by subagent 4.1. The model was the scripted model.

## How it converged

| generation | solved | clean | observations |
| --- | --- | --- | --- |
| 1 | 0/4 | 0/1 | 6 |
| 2 | 1/4 | 0/1 | 10 |
| 3 | 3/4 | 0/1 | 14 |
| 4 | 4/4 | 0/1 | 15 |

## What was learned

- [important] (o-0001 · failed attempt) A lock inside `Stock.reserve` alone left 3 invariants broken.

## The patch

```diff
--- a/shop/stock.py
+++ b/shop/stock.py
@@ -38,7 +38,8 @@
-        held = self.count
-        await self.log(order)
+        async with self._lock:
+            held = self.count
```
"""
