"""What the trace shows of one node, read from the record and painted as what it is. Runs in threads; draws nothing."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from app import alerting, happening, tooling
from app.callnodes import as_of, exchanges, facts, reported_lines
from app.callnodes import pairs as pairs
from app.callnodes import title as title
from app.saying import asked, block, of_told, words_of
from app.saying import said as said
from app.saying import told as told
from app.spots import (
    OfBlock,
    OfBranch,
    OfEvent,
    OfFault,
    OfGeneration,
    OfLane,
    OfResult,
    OfRun,
    OfTold,
    OfTool,
    OfTry,
    OfTurn,
    Shown,
)
from app.turning import told_word
from store.domain.blocks import Block, BlockKind
from store.domain.board import Board, Generation, Lane
from store.domain.events import Alert, CallFinished, CheckResult, Event, SubagentChecked, ToolFinished
from store.domain.secrets import shown_line
from store.domain.tape import Call
from widgets import paint, words
from widgets.flow import verdict, went_wrong
from widgets.ink import Line
from widgets.states import SUBAGENT

if TYPE_CHECKING:
    from store.database import Store


def describe(store: "Store", board: Board, shown: Shown, *, raw: bool = False, now: float = math.inf) -> list[Line]:
    """The lines for a node; `raw` shows the request and the response of its call as recorded. In a playback nothing is
    told that comes after `now`, the recorded time in Unix seconds. StoreError."""
    if raw:
        return _raw(store, shown, now)
    match shown:
        case OfRun():
            return _run(board)
        case OfGeneration():
            generation = board.generations.get(shown.number)
            return _generation(generation) if generation else []
        case OfLane():
            lane = board.lane(shown.who)
            return _lane(store, lane) if lane else []
        case OfTurn():
            return _turn(store, shown, now)
        case OfTry():
            return _one(store, shown.call, now)
        case OfBlock():
            return worded(block(store, shown))
        case OfTold():
            return worded(of_told(store, shown))
        case OfTool():
            return _tool(store, shown)
        case OfResult():
            return _result(store, shown.tool)
        case OfBranch():
            return _tool(store, shown.tool)
        case OfEvent():
            return _event(store, shown.event)
        case OfFault():
            return _event(store, shown.event) if shown.event is not None else []


def shown(data: object) -> Shown:
    """What an item of the trace stands for."""
    assert isinstance(data, Shown)
    return data


def path(data: object) -> str:
    """Where a node is, in words."""
    match data:
        case OfRun():
            return f"run {data.run}"
        case OfGeneration():
            return f"generation {data.number}"
        case OfLane():
            return f"subagent {data.who.label}"
        case OfTurn():
            return f"{data.who.label} · turn {data.turn or '…'}"
        case OfTry():
            return f"{data.who.label} · turn {data.turn} · a route’s try"
        case OfTool():
            return f"{data.who.label} · turn {data.turn.turn} · {shown_line(data.started.name)}"
        case OfResult():
            tool = data.tool
            return f"{tool.who.label} · turn {tool.turn.turn} · {shown_line(tool.started.name)} · result"
        case OfBranch():
            return f"{data.who.label} · turn {data.tool.turn.turn} · a subagent of its own"
        case OfTold():
            return f"{data.who.label} · turn {data.turn} · {told_word(data.role, data.node)}"
        case OfBlock():
            return f"{data.who.label} · turn {data.turn} · {data.kind.value.replace('_', ' ')}"
        case OfEvent():
            who = data.event.subagent
            return f"{who.label if who else f'run {data.event.run}'} · {happening.called(data.event.payload)}"
        case OfFault():
            return f"{data.who.label} · {happening.called(data.event.payload) if data.event else '…'}"
    return ""


def blob(store: "Store", digest: str) -> str:
    """A blob as text, "" when there is none."""
    from store import blobs

    try:
        return blobs.get(store, digest).decode("utf-8", "replace") if digest else ""
    except KeyError:
        return ""


def _run(board: Board) -> list[Line]:
    if board.order is None:
        return []
    order, task = board.order, board.task
    lines = [*paint.prose(task.goal), []]
    lines += pairs(
        ("repository", task.repository),
        ("revision", order.revision[:12]),
        ("check", task.check.command),
        ("protected", ", ".join(task.check.protected)),
        ("model", f"scripted model ({order.scripted})" if order.scripted else task.model),
        ("memory", task.memory.value),
        ("seed", str(order.seed)),
    )
    if board.baseline is not None:
        lines += title("The check on the unchanged code")
        for result in board.baseline.results:
            lines += check(result)
        if board.baseline.refused:
            lines.append([(shown_line(board.baseline.refused), "bad")])
    return lines


def _generation(generation: Generation) -> list[Line]:
    lines: list[Line] = [
        [
            (f"{generation.solved(clean=False)} of {generation.count(clean=False)} solved", "text"),
            (f", clean lanes {generation.solved(clean=True)} of {generation.count(clean=True)}", "faint"),
        ],
        [(f"{words.count(generation.injected, 'observation')} in the prompts, ", "text"),
         (f"{generation.known} known after it" if generation.observed else "not observed yet", "text")],
        [],
    ]  # fmt: skip
    for lane in generation.lanes.values():
        mark = SUBAGENT[lane.state]
        line: Line = [(f"{lane.id.label} ", "strong"), (f"{shown_line(lane.plan.strategy.name, 24):<24} ", "text")]
        line += [(f"{mark.glyph} {mark.word:<9} ", mark.ink), (f"{lane.turn:>3} turns ", "faint")]
        line += [(f"{words.tokens(lane.spend.tokens):>7} tok {words.money(lane.spend):>8}", "faint")]
        lines.append(line)
        if lane.checked:
            lines.append([(f"     {verdict(lane.checked)}", "faint")])
    return lines


def _lane(store: "Store", lane: Lane) -> list[Line]:
    plan, mark = lane.plan, SUBAGENT[lane.state]
    lines: list[Line] = [[mark.span, (f"  {verdict(lane.checked)}" if lane.checked else "", "text")], []]
    lines += [[("Approach  ", "faint"), (shown_line(plan.strategy.approach), "text")]]
    lines += pairs(
        ("triage", ", ".join(plan.strategy.triage)),
        ("repairs", ", ".join(plan.strategy.heuristics)),
        ("why", plan.why),
        ("memory", "none: this is a clean lane" if plan.clean else words.count(len(lane.injected), "observation")),
        ("model", lane.model),
        ("turns", f"{lane.turn} of {lane.limits.turns}" if lane.limits.turns else str(lane.turn)),
        ("tokens", words.tokens(lane.spend.tokens)),
        ("cost", words.money(lane.spend)),
        ("ended", f"{lane.ended.ending.value} {lane.ended.detail}" if lane.ended else ""),
        ("judged", f"{lane.validity.value}: {lane.reason}" if lane.validity else ""),
    )
    if lane.checked is not None:
        lines += _checked(store, lane.checked)
    if lane.observations:
        lines += title("The observations in its prompt")
        lines += paint.prose(blob(store, lane.observations))
    return lines


def _checked(store: "Store", checked: SubagentChecked) -> list[Line]:
    lines: list[Line] = []
    if checked.result is not None:
        lines += title("The check, run by the harness on its patch in a clean sandbox")
        lines += check(checked.result)
    if checked.left_out:
        lines += title("Left out, for these files are protected")
        lines += [[(shown_line(path), "warn")] for path in checked.left_out]
    if checked.patch:
        lines += title(f"The patch, +{checked.insertions} −{checked.deletions}")
        lines += paint.diff(blob(store, checked.patch))
    return lines


def check(result: CheckResult) -> list[Line]:
    """One run of the check."""
    ink = "good" if result.passed else "bad"
    said = (
        "passed" if result.passed else f"could not be run: {shown_line(result.broken)}" if result.broken else "failed"
    )
    code = "" if result.exit_code is None else f", exit code {result.exit_code}"
    failures = "" if result.failures is None else f", {words.count(result.failures, 'failure')}"
    head: Line = [(said, ink), (f"{code}{failures}, {result.seconds:.1f}s", "faint")]
    return [head, *paint.indent(paint.guess(result.tail), 2)]


def worded(block: Block) -> list[Line]:
    """A block of what was said or told."""
    match block.kind:
        case BlockKind.REASONING:
            return [[("reasoning", "faint")], *paint.plain(block.text, "reasoning")]
        case BlockKind.TEXT:
            return paint.prose(block.text)
        case BlockKind.TOOL_CALL:
            return tooling.given(block.name, block.input)
        case BlockKind.IMAGE | BlockKind.DOCUMENT:
            return [[(f"({block.kind.value} {shown_line(block.name)}, not drawn here)", "faint")]]
        case _:
            return paint.guess(block.text)


def output(store: "Store", tool: OfTool) -> str:
    """All that a tool gave back, "" while it runs."""
    finished = tool.finished
    return "" if finished is None else blob(store, finished.result) or finished.summary


def _tool(store: "Store", tool: OfTool) -> list[Line]:
    block = asked(store, tool)
    lines = (
        tooling.given(block.name, block.input)
        if block
        else [[("› ", "tool"), (shown_line(tool.started.summary), "tool")]]
    )
    return [*lines, [], *_result(store, tool)]


def _result(store: "Store", tool: OfTool) -> list[Line]:
    finished = tool.finished
    if finished is None:
        return [[("▶ runs", "accent")]]
    block = asked(store, tool)
    return _finished(store, finished, block.input if block else None)


def _finished(store: "Store", finished: ToolFinished, given: object = None) -> list[Line]:
    """What a tool gave back; `given` is what it was asked."""
    head: Line = [
        ("✗ failed", "bad") if went_wrong(finished) else ("✔ went well", "good"),
        (f"  {finished.seconds:.2f}s", "faint"),
    ]
    return [head, *tooling.gave(blob(store, finished.result) or finished.summary, given)]


def _event(store: "Store", event: Event) -> list[Line]:
    payload = event.payload
    if isinstance(payload, SubagentChecked):
        return _checked(store, payload)
    if isinstance(payload, CallFinished):
        return _one(store, payload.call, math.inf)
    if isinstance(payload, ToolFinished):
        head: Line = [("› ", "tool"), (shown_line(payload.name), "tool"), (f"  turn {payload.turn}", "faint")]
        return [head, [], *_finished(store, payload)]
    if isinstance(payload, Alert):
        return alerting.lines(store, event, payload)
    return [*happening.lines(payload)]


def _turn(store: "Store", turn: OfTurn, now: float) -> list[Line]:
    from store import tapes

    lines: list[Line] = []
    for name in turn.calls:
        tries = [as_of(tapes.call(store, tried), now) for tried in turn.tries.get(name, ())]
        lines += _one(store, name, now, tries)
    return lines or [[("no call was made in this turn", "faint")]]


def _one(store: "Store", name: str, now: float, tries: Sequence[Call] = ()) -> list[Line]:
    """A call, the tries that were made for it, and what it said."""
    from store import tapes

    call = as_of(tapes.call(store, name), now)
    lines = facts(call, tries)
    for tried in tries:
        lines += [[], *paint.indent(facts(tried), 2)]
    lines += [*reported_lines(tapes.response(store, call)), []]
    for said_block in words_of(store, call):
        lines += [*worded(said_block), []]
    return lines


def _raw(store: "Store", shown: Shown, now: float) -> list[Line]:
    match shown:
        case OfTurn():
            return exchanges(store, shown.calls, now)
        case OfTool():
            return exchanges(store, shown.turn.calls, now)
        case OfResult() | OfBranch():
            return exchanges(store, shown.tool.turn.calls, now)
        case OfBlock() | OfTry() | OfTold():
            return exchanges(store, [shown.call], now)
        case OfEvent() | OfFault() if shown.event is not None:
            return _event(store, shown.event)
        case _:
            return [[("Only a turn and what is in it has a request and a response: choose one of those.", "faint")]]
