"""A recorded store for the tests of screens: four runs, made through the store's own API at fixed times."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from store import events, runs
from store.database import Store, open_store
from store.domain.events import (
    Alert,
    BaselineChecked,
    CallFinished,
    CallStarted,
    CheckResult,
    EngineStarted,
    EngineStopped,
    GateOpened,
    GatePassed,
    GenerationDesigned,
    GenerationObserved,
    ObservationsWritten,
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
from store.domain.states import Ending, RunState, Validity
from store.domain.strategy import LanePlan, Strategy
from store.domain.task import Check, Task
from store.home import Home
from store.lock import RunLock

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

    def add(
        self, *payloads: Payload, after: float = 0.5, generation: int | None = None, lane: int | None = None
    ) -> None:
        self.at += after
        self.store.write(
            lambda connection: events.append(
                connection, self.run, payloads, at=self.at, generation=generation, lane=lane
            )
        )


@contextmanager
def recorded(root: Path, *, alive: tuple[str, ...] = (LIVE, GATE)) -> Iterator[Home]:
    """A home with all four runs; the named ones have an engine for as long as the context is open."""
    home = Home(root).create()
    store = open_store(home.store)
    for run, title, at, tell in (
        (BROKEN, "orders: a check that always passes", NOW - 90_000, _broken),
        (SOLVED, "orders: lost reservations", NOW - 7_300, _solved),
        (GATE, "orders: lost reservations, other seed", NOW - 900, _gate),
        (LIVE, "orders: lost reservations under load", NOW - 200, _live),
    ):
        store.write(lambda connection, run=run, title=title, at=at: runs.create(connection, run, title, at=at))
        home.folder(run).create()
        tell(Writer(store, run, at), home)
    locks = [RunLock(home.folder(run).lock) for run in alive]
    assert all(lock.acquire() for lock in locks)
    try:
        yield home
    finally:
        for lock in locks:
            lock.release()
        store.close()


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


_STEPS = (
    ("read", "read shop/stock.py 1-80", "(lines 1 to 80 of 212)", True),
    ("search", "search 'async with' in shop", "shop/stock.py:41: async with self._lock:", True),
    ("run", "run python check.py", "exit code 1", False),
    ("edit", "edit shop/stock.py (+4 −2)", "edited shop/stock.py (+4 −2 lines)", True),
    ("run", "run python check.py", "exit code 1", False),
)


def _turn(writer: Writer, who: SubagentId, turn: int, *, finish: bool = True) -> None:
    """One turn: a call, and a tool call with its result (left open when not `finish`)."""
    name, summary, result, ok = _STEPS[(turn + who.lane) % len(_STEPS)]
    call = f"{who}-c{turn}"
    writer.add(TurnStarted(turn), after=0.1, generation=who.generation, lane=who.lane)
    writer.add(CallStarted(call, "claude-sonnet-4-5"), after=0.05, generation=who.generation, lane=who.lane)
    usage = Usage(input=1800 + 410 * turn, output=220 + 13 * who.lane, cache_read=900 * turn)
    writer.add(
        CallFinished(call, 200, "tool_use", usage, 0.004 + 0.0011 * turn, 1.2),
        after=0.3,
        generation=who.generation,
        lane=who.lane,
    )
    tool = f"toolu_{who.generation}{who.lane}{turn}"
    writer.add(ToolStarted(turn, tool, name, summary), after=0.05, generation=who.generation, lane=who.lane)
    if finish:
        writer.add(
            ToolFinished(turn, tool, name, ok, 0.4, "", result),
            after=0.2,
            generation=who.generation,
            lane=who.lane,
        )


def _end(writer: Writer, who: SubagentId, turns: int, *, solved: bool, ending: Ending = Ending.SUBMITTED) -> None:
    detail = "the check passes in my clone" if solved else ""
    writer.add(SubagentEnded(ending, detail, Spend(turns=turns)), after=0.2, generation=who.generation, lane=who.lane)
    result = PASSED if solved else FAILED
    checked = SubagentChecked(solved, "", ("shop/stock.py", "shop/pay.py"), 14, 6, (), result)
    writer.add(checked, after=0.2, generation=who.generation, lane=who.lane)
    writer.add(
        SubagentJudged(Validity.VALID, "it changed code and ran the check"),
        after=0.01,
        generation=who.generation,
        lane=who.lane,
    )


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
    writer.add(ObservationsWritten(generation, "observer", known))
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
