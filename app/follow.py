"""Following a run without the app: progress that a person can read, and the summary as one JSON object."""

import sys
from typing import Any

from app import replays
from app.containers import BUILTIN
from app.failure import Exit
from app.output import counted, duration, emit, money, note, say
from store.domain.board import Board, Generation, Lane
from store.domain.events import (
    Alert,
    BaselineChecked,
    CallFinished,
    EngineStarted,
    EngineStopped,
    Event,
    FinishRan,
    ForkedFrom,
    GateOpened,
    GatePassed,
    GenerationDesigned,
    GenerationObserved,
    GenerationPlanned,
    LimitsRaised,
    ModelObserved,
    RunCreated,
    RunFinished,
    SandboxesPrepared,
    SandboxesPreparing,
    SubagentAdded,
    SubagentChecked,
    SubagentEnded,
    SubagentRestarted,
    SubagentSteered,
)
from store.domain.ids import SubagentId
from store.domain.limits import in_words
from store.domain.replay import Replayed
from store.domain.secrets import shown_line
from store.domain.states import RunState, SubagentState
from store.domain.task import SandboxKind, Task
from store.home import Home

PATIENCE = 0.5
"""Seconds between two looks at a run whose log is silent."""

NAME_WIDTH = 38


def follow(home: Home, run: str, *, json: bool = False) -> Exit:
    """Print what happens in a run until it is over, or has lost its engine; the exit code that says how it stands.

    With `json` nothing is printed but the summary, at the end.
    """
    from store.database import open_store
    from store.feed import LiveFeed
    from store.lock import holder

    played: Replayed | None = None
    board = Board(run)
    with open_store(home.store) as store:
        feed = LiveFeed(store, run=run)
        while True:
            lived = holder(home.folder(run).lock) is not None
            batch = feed.wait(PATIENCE)
            for event in batch:
                board.apply(event)
                if not json:
                    for line in lines(board, event):
                        say(line)
            sys.stdout.flush()
            if board.finished is not None and (not lived or board.engine is None):
                break
            # An engine that died before the wait has no more to say.
            if not batch and not lived:
                break
        if board.order is not None and board.order.replay is not None:
            played = replays.outcome(store, board)
        if played is not None and not json:
            replays.say_outcome(store, board, played)
    if json:
        compared = {"replay": replays.facts(played)} if played is not None else {}
        emit({**summary(board, str(home.folder(run).report)), **compared})
    if board.finished is None:
        note(f"No engine works on run {run}. `multitrack resume {run}` goes on where it stands.")
        if board.engine is not None:
            # It could not say goodbye.
            note(f"The last one's log: {home.folder(run).log}")
        return Exit.ENVIRONMENT
    if played is not None:
        return Exit.FINE if played.faithful else Exit.UNSOLVED
    match board.state:
        case RunState.SOLVED:
            return Exit.FINE
        case RunState.FAILED:
            return Exit.USAGE
        case _:
            return Exit.UNSOLVED


def summary(board: Board, report: str) -> dict[str, Any]:
    """A run in numbers. In a generation `lanes` and `solved` leave the clean ones out."""
    spend = board.spent(board.at)
    return {
        "run": board.run,
        "title": board.order.title if board.order else "",
        "state": str(board.state),
        "reason": board.finished.reason if board.finished else "",
        "seed": board.order.seed if board.order else None,
        "model": "scripted model" if board.order and board.order.scripted else board.task.model,
        "memory": str(board.task.memory),
        "agent": board.task.agent,
        "imported": board.order.imported if board.order else "",
        "sandbox": str(board.task.sandbox),
        "report": report,
        "turns": spend.turns,
        "tokens": spend.tokens,
        "usd": round(spend.usd, 6),
        "priced": spend.priced,
        "seconds": round(spend.seconds, 3),
        "generations": [
            {
                "number": generation.number,
                "lanes": generation.count(clean=False),
                "solved": generation.solved(clean=False),
                "clean_lanes": generation.count(clean=True),
                "clean_solved": generation.solved(clean=True),
                "observations": generation.known,
                "injected": generation.injected,
            }
            for generation in board.generations.values()
        ],
    }


def lines(board: Board, event: Event) -> list[str]:
    """What to print of an event that the board has just applied: nothing for most."""
    generation = board.generations.get(event.generation) if event.generation is not None else None
    lane = generation.lanes.get(event.lane) if generation and event.lane is not None else None
    match event.payload:
        case RunCreated() as order:
            model = "scripted model" if order.scripted else order.task.model
            return [
                f"Run {board.run}: {shown_line(order.title)}",
                f"  {model}, seed {order.seed}, {_worked(order.task)}",
            ]
        case EngineStarted() as engine if engine.orphans:
            return [f"An engine goes on with the run; {engine.orphans} processes of the one before it were ended."]
        case SandboxesPreparing(lines=preparing):
            return [f"  {shown_line(line, 160)}" for line in preparing]
        case SandboxesPrepared(seconds=seconds) if seconds >= 1:
            return [f"  Sandboxes can be made, after {duration(seconds)}."]
        case BaselineChecked() as baseline:
            return _baseline(baseline)
        case GenerationDesigned() if generation:
            return _designed(board, generation)
        case SubagentAdded(forked_from=ForkedFrom(subagent=source)) if lane:
            return [f"  {lane.id.label}  joins with the conversation of {SubagentId.parse(source).label}."]
        case SubagentRestarted(plan=plan) if lane:
            return [f"  {lane.id.label}  starts anew{f' with “{shown_line(plan.strategy.name, 60)}”' if plan else ''}."]
        case SubagentSteered(text=text) if lane:
            return [f"  {lane.id.label}  is told: {shown_line(text, 160)}"]
        case LimitsRaised() if lane:
            return [f"  {lane.id.label}  may use {in_words(lane.limits)}."]
        case SubagentEnded() if lane and lane.state is SubagentState.KILLED:
            return [_lane_line(lane)]
        case SubagentChecked() if lane and lane.state is not SubagentState.KILLED:
            return [_lane_line(lane)]
        case Alert(text=text):
            return [f"  {lane.id.label if lane else ''}  ! {shown_line(text)}"]
        case CallFinished(error=error, parent=parent) if lane and error and parent:
            return [f"  {lane.id.label}  · a try failed: {shown_line(error, 160)}"]
        case CallFinished(error=error) if lane and error:
            return [f"  {lane.id.label}  ! a call failed: {shown_line(error, 160)}"]
        case ModelObserved() as told:
            return [_model_observed(told)]
        case GenerationObserved() as observed if generation:
            return [_observed(generation, observed)]
        case GateOpened(waits=True, seconds=seconds) if generation:
            what = f"At the gate: `multitrack launch {board.run}` starts generation {generation.number + 1}"
            return [f"{what}; by itself it starts in {duration(seconds)}." if seconds is not None else f"{what}."]
        case GenerationPlanned(lanes=planned) if generation:
            lanes = (
                f"{counted(len(planned), 'lane')}, as the operator wants them" if planned else "as the rules propose"
            )
            return [f"  Generation {generation.number + 1}: {lanes}."]
        case GatePassed(by="timeout"):
            return ["Nobody came in time: the gate was passed."]
        case GatePassed(by="operator", rest=rest):
            return ["The operator passed the gate, and all that follow." if rest else "The operator passed the gate."]
        case RunFinished() as finished:
            return _finished(board, finished)
        case FinishRan(exit_code=code):
            ended = "could not be run, or not to its end" if code is None else f"ended with exit code {code}"
            return [f"Your command for the end {ended}; its output is in on_finish.log, beside the report."]
        case EngineStopped() as stopped if board.finished is None:
            return [f"The engine has left: {shown_line(stopped.reason)}"]
        case _:
            return []


def _worked(task: Task) -> str:
    """Who works, and where."""
    agent = "built-in subagents" if task.agent == BUILTIN else shown_line(task.agent, 40)
    return f"{agent} in containers" if task.sandbox is SandboxKind.DOCKER else f"{agent} in local sandboxes"


def _baseline(baseline: BaselineChecked) -> list[str]:
    if baseline.refused:
        return []
    failures = baseline.results[-1].failures if baseline.results else None
    many = "" if failures is None else f": {counted(failures, 'failure')}"
    return [f"  The check fails on the unchanged code{many}."]


def _designed(board: Board, generation: Generation) -> list[str]:
    clean = generation.count(clean=True)
    note = f", {clean} of them clean" if clean else ""
    subagents = counted(len(generation.lanes), "subagent")
    return ["", f"Generation {generation.number} of {board.task.generations}: {subagents}{note}"]


def _lane_line(lane: Lane) -> str:
    name = shown_line(lane.plan.strategy.name, NAME_WIDTH - 8) + (" (clean)" if lane.plan.clean else "")
    result = lane.checked.result if lane.checked else None
    failures = counted(result.failures, "failure") if result and result.failures is not None and not lane.solved else ""
    ending = str(lane.ended.ending) if lane.ended else ""
    detail = shown_line(lane.ended.detail, 80) if lane.ended and lane.state is SubagentState.FAILED else ""
    spend = f"{counted(lane.turn, 'turn')}, {money(lane.spend.usd, priced=lane.spend.priced)}"
    told = counted(len(lane.injected), "observation") if lane.injected else ""
    broken = result.broken if result else ""
    idle = "changed nothing" if lane.checked and not lane.checked.patch and not broken else ""
    unchecked = shown_line(f"the check could not be run: {broken}", 160) if broken else ""
    parts = [part for part in (str(lane.state), failures, idle, ending, told, spend, detail, unchecked) if part]
    return f"  {lane.id.label}  {name:<{NAME_WIDTH}}  " + ", ".join(parts)


def _model_observed(told: ModelObserved) -> str:
    refused = sum(bool(delta.refused) for delta in told.deltas)
    made = counted(len(told.deltas) - refused, "change")
    more = f", {refused} refused" if refused else ""
    failed = f"; then: {shown_line(told.failed, 160)}" if told.failed else ""
    return f"  The observer's model {shown_line(told.model, 40)}: {made} to the observations{more}{failed}."


def _observed(generation: Generation, observed: GenerationObserved) -> str:
    solved, count = generation.solved(clean=False), generation.count(clean=False)
    clean = (
        f", clean {generation.solved(clean=True)} of {generation.count(clean=True)}"
        if generation.count(clean=True)
        else ""
    )
    return (
        f"  Solved {solved} of {count}{clean}. Observations: {observed.known} known, {observed.added} new, "
        f"{observed.supported} seen again."
    )


def _finished(board: Board, finished: RunFinished) -> list[str]:
    spend = board.spent(board.at)
    said = shown_line(finished.reason)
    if finished.state is RunState.FAILED:
        said = f"The run could not be carried out. {said}"
    tokens = "–" if spend.tokens is None else f"{spend.tokens:,}"
    used = f"{counted(spend.turns, 'turn')}, {tokens} tokens, {money(spend.usd, priced=spend.priced)}"
    patch = [f"Patch: multitrack patch {board.run} --apply BRANCH"] if finished.state is RunState.SOLVED else []
    return ["", said, f"Used: {used}, {duration(spend.seconds)} of work.", *patch, f"Report: {finished.report}"]
