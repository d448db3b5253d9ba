"""From the store to attempts: the tapes of a generation, with what the events say of each."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sqlalchemy import select

from backends.observer.attempt import Attempt, Said, Step
from store import blobs, tapes
from store.domain.blocks import Block, BlockKind, blocks
from store.domain.codec import decode_payload
from store.domain.docker import ROOT
from store.domain.events import (
    BaselineChecked,
    Event,
    GenerationDesigned,
    Payload,
    RunCreated,
    SubagentAdded,
    SubagentChecked,
    SubagentEnded,
    SubagentLaunched,
    SubagentRestarted,
    ToolFinished,
)
from store.domain.foreign import exit_of, in_our_words
from store.domain.ids import OBSERVER, SubagentId
from store.domain.reported import reported
from store.domain.strategy import LanePlan
from store.domain.tape import Call, Message
from store.domain.task import SandboxKind, Task
from store.jsontext import loads
from store.tables import metadata

if TYPE_CHECKING:
    from store.database import Store

_TAKEN: tuple[type[Payload], ...] = (
    RunCreated,
    BaselineChecked,
    GenerationDesigned,
    SubagentAdded,
    SubagentLaunched,
    SubagentRestarted,
    SubagentEnded,
    SubagentChecked,
    ToolFinished,
)

_FENCED = re.compile(r"^```(?:bash|sh|shell|mswea_bash_command)?[ \t]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_MODEL = ("assistant", "model")
"""The roles of what a model says, as protocols call them."""


@dataclass
class _Lane:
    """What the events of one lane say."""

    plan: LanePlan | None = None
    launched: SubagentLaunched | None = None
    ended: SubagentEnded | None = None
    checked: SubagentChecked | None = None
    results: dict[str, ToolFinished] = field(default_factory=dict)
    began: float = 0.0
    forked: bool = False
    """Its conversation begins with another's."""


@dataclass
class _Record:
    """What the events of a run say of one generation."""

    task: Task | None = None
    imported: bool = False
    baseline: int | None = None
    lanes: dict[int, _Lane] = field(default_factory=dict)

    def take(self, event: Event, generation: int) -> None:
        match event.payload:
            case RunCreated(task=task, imported=imported):
                self.task, self.imported = task, bool(imported)
            case BaselineChecked(results=results):
                self.baseline = next((r.failures for r in results if r.failures is not None), self.baseline)
        if event.generation != generation:
            return
        if isinstance(event.payload, GenerationDesigned):
            for plan in event.payload.lanes:
                self.lanes.setdefault(plan.lane, _Lane()).plan = plan
        if event.lane is None or event.lane == OBSERVER:
            return
        lane = self.lanes.setdefault(event.lane, _Lane())
        match event.payload:
            case SubagentAdded(plan=plan, forked_from=source):
                lane.plan, lane.forked = plan, source is not None
            case SubagentRestarted(plan=LanePlan() as plan):
                lane.plan = plan
            case SubagentLaunched() as launched:
                lane.launched = launched
                if launched.afresh:
                    lane.began, lane.results = event.at, {}
            case SubagentEnded() as ended:
                lane.ended = ended
            case SubagentChecked() as checked:
                lane.checked = checked
            case ToolFinished() as finished:
                lane.results[finished.tool_call] = finished


def generations(store: "Store", run: str) -> list[int]:
    """The generations of a run, in order; a bare recording is one."""
    columns = metadata.tables["events"].c
    statement = select(columns.generation).where(columns.run == run, columns.kind == GenerationDesigned.kind).distinct()
    with store.read() as connection:
        designed = sorted(number for number in connection.execute(statement).scalars() if number is not None)
    return designed or [1]


def attempts(store: "Store", run: str, generation: int) -> list[Attempt]:
    """The attempts of a generation, by lane. What is not in the record yet is left empty."""
    record = _Record()
    for event in _events(store, run, generation):
        record.take(event, generation)
    if record.task is None:
        calls = [call for call in tapes.calls(store, run=run) if call.parent is None]
        return [_attempt(store, SubagentId(run, 1, 1), record, _Lane(), calls)] if calls else []
    by_lane: dict[int, list[Call]] = {lane: [] for lane in record.lanes}
    for call in tapes.calls(store, run=run, generation=generation):
        # What was asked for the sake of another call is that one's conversation in other words; what the observer
        # itself asks is nobody's attempt.
        if call.subagent is None or call.parent is not None or call.subagent.lane == OBSERVER:
            continue
        lane = record.lanes.get(call.subagent.lane)
        if lane is None or call.started >= lane.began:
            by_lane.setdefault(call.subagent.lane, []).append(call)
    return [
        _attempt(store, SubagentId(run, generation, number), record, record.lanes.get(number, _Lane()), calls)
        for number, calls in sorted(by_lane.items())
    ]


def _events(store: "Store", run: str, generation: int) -> Iterator[Event]:
    """The events that matter here: a run's log is long, and reading it whole would cost more than all the rest."""
    columns = metadata.tables["events"].c
    statement = (
        select(columns.seq, columns.at, columns.generation, columns.lane, columns.kind, columns.data)
        .where(columns.run == run, columns.kind.in_([payload.kind for payload in _TAKEN]))
        .where(columns.generation.is_(None) | (columns.generation == generation))
        .order_by(columns.seq)
    )
    with store.read() as connection:
        rows = connection.execute(statement).all()
    for seq, at, number, lane, kind, data in rows:
        yield Event(seq, at, run, number, lane, decode_payload(kind, loads(data)))


def _attempt(store: "Store", subagent: SubagentId, record: _Record, lane: _Lane, calls: list[Call]) -> Attempt:
    steps, said, told = _walk(store, calls, lane.results, forked=lane.forked)
    task, plan, ended, checked = record.task, lane.plan, lane.ended, lane.checked
    patch = blobs.get(store, checked.patch).decode(errors="replace") if checked is not None and checked.patch else ""
    spend = tapes.spend(store, subagent if task is not None else subagent.run) if ended is None else ended.spend
    return Attempt(
        subagent=subagent,
        strategy=plan.strategy.name if plan is not None else "",
        goal=task.goal if task is not None else "",
        check=task.check.command if task is not None else "",
        protected=task.check.protected if task is not None else (),
        clean=plan is not None and plan.clean,
        model=lane.launched.model if lane.launched is not None else "",
        ending=ended.ending if ended is not None else None,
        detail=ended.detail if ended is not None else "",
        checked=checked,
        baseline=record.baseline,
        foreign=record.imported or task is None,
        steps=tuple(steps),
        said=tuple(said),
        told=told,
        answers=sum(map(_whole, calls)),
        failed_calls=tuple(
            call.error or f"status {call.status}" for call in calls if call.ended is not None and not _whole(call)
        ),
        spend=spend,
        root=_root(task, lane.launched),
        patch=patch,
    )


def _root(task: Task | None, launched: SubagentLaunched | None) -> str:
    """The path under which a tape names the workspace, "" where nobody knows."""
    if task is not None and task.sandbox is SandboxKind.DOCKER:
        return ROOT
    return launched.sandbox if launched is not None and launched.sandbox.startswith("/") else ""


def _whole(call: Call) -> bool:
    return call.complete and not call.error and call.answer is not None


def _walk(
    store: "Store", calls: list[Call], results: Mapping[str, ToolFinished], *, forked: bool
) -> tuple[list[Step], list[Said], Said | None]:
    """The tool calls and the words of a tape, in order, however its conversation branched, and what it was told first.
    What a forked one began with is another's: it was done in another workspace."""
    open_steps: dict[str, int] = {}
    steps: list[Step] = []
    said: list[Said] = []
    told: Said | None = None
    answered: set[str] = set()
    action: tuple[str, Said] | None = None
    for turn, call, message in _messages(store, calls, forked=forked):
        for place, block in enumerate(blocks(message.message)):
            here = Said(block.text, turn, call.id, message.node, place)
            if block.kind is BlockKind.TOOL_CALL and message.role in _MODEL:
                open_steps[block.id] = len(steps)
                # Where a protocol has no ids, the tool's name stands for each of its calls.
                answered.discard(block.id)
                steps.append(_asked(block, here))
            elif block.kind is BlockKind.TOOL_RESULT and block.id in open_steps and block.id not in answered:
                answered.add(block.id)
                at = open_steps[block.id]
                steps[at] = replace(steps[at], result=here, ok=bool(block.ok) and not _reports(steps[at], here))
            elif block.kind in (BlockKind.TEXT, BlockKind.REASONING) and message.role in _MODEL:
                said.append(here)
                action = _action(here)
            elif block.kind is BlockKind.TEXT and message.role == "user":
                told = told or (here if here.text.strip() else None)
                if action is not None and exit_of("", here.text, None) is not None:
                    asked, action = action, None
                    steps.append(Step("run", {"command": asked[0]}, asked[1], here, ok=True, tool="action"))
    for name, at in open_steps.items():
        # The last results of a subagent that reached a limit went to no model; the events have them.
        if name not in answered and (finished := results.get(name)) is not None:
            here = Said(blobs.get(store, finished.result).decode(errors="replace"), steps[at].asked.turn)
            steps[at] = replace(steps[at], result=here, ok=finished.ok and not _reports(steps[at], here))
    return steps, said, told


def _reports(step: Step, result: Said) -> bool:
    """Whether a tool says in words that it went wrong. A command's output and a file's text are no such words."""
    return step.foreign and reported(result.text) is not None


def _action(said: Said) -> tuple[str, Said] | None:
    """A command that a model asks for in its words: the one block of code in them."""
    found = _FENCED.findall(said.text)
    return (found[0].strip(), said) if len(found) == 1 else None


def _asked(block: Block, here: Said) -> Step:
    given = block.input if isinstance(block.input, dict) else {}
    name, ours = in_our_words(block.name, given)
    return Step(name, ours, here, tool="" if ours is given else block.name)


def _messages(store: "Store", calls: list[Call], *, forked: bool) -> Iterator[tuple[int, Call, Message]]:
    """The messages of a tape, each once, in the order in which they came onto it, with the call that brought it and the
    number of its turn."""
    known: dict[str, Message] = {}
    for call in reversed(calls):
        # The last call's request holds most of what the earlier ones had.
        if call.tail is not None and call.tail not in known:
            known.update((message.node, message) for message in tapes.messages(store, call))
    shown: set[str] = set()
    if forked and calls:
        shown.update(message.node for message in tapes.messages(store, calls[0]))
    turn = 0
    for call in calls:
        path: list[Message] = []
        at = call.tail
        while at is not None and at not in shown and at in known:
            path.append(known[at])
            at = known[at].parent
        for message in reversed(path):
            shown.add(message.node)
            # What a request brings are the results of the turn before.
            yield max(turn, 1), call, message
        if call.answer is not None:
            turn += 1
            answer = known.get(call.answer)
            several = answer is None or answer.parent != call.tail
            for message in tapes.answers(store, call) if several else filter(None, [answer]):
                if message.node not in shown:
                    shown.add(message.node)
                    yield turn, call, message
