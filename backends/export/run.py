"""A run as spans: the run, its generations, its subagents, their calls and the tools that they ran."""

import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from backends.export import content as said
from backends.export.genai import agent_span, call_span, generation_span, run_span, tool_span
from backends.export.span import Span, Value
from store.domain.blocks import BlockKind, blocks
from store.domain.events import (
    Event,
    GenerationDesigned,
    GenerationObserved,
    RunCreated,
    RunFinished,
    SubagentAdded,
    SubagentChecked,
    SubagentEnded,
    SubagentLaunched,
    SubagentRestarted,
    ToolFinished,
)
from store.domain.ids import SubagentId
from store.domain.limits import Usage
from store.domain.states import COULD_NOT_WORK, RunState
from store.domain.strategy import LanePlan
from store.domain.tape import Call

if TYPE_CHECKING:
    from store.database import Store

_CHUNK = 2000
"""Events that are read at once."""

_MODEL = re.compile(rb'"model(?:Version)?"\s*:\s*"((?:[^"\\]|\\.){1,200})"')
_HEAD = 16_384
"""Bytes of an answer in which its model's name stands."""

_REMEMBERED = 64
"""Parameters of requests that are remembered: a conversation's are mostly the same."""


@dataclass
class _Agent:
    """A subagent under way."""

    launched: SubagentLaunched
    start: float
    ended: SubagentEnded | None = None
    end: float = 0.0


@dataclass
class Timeline:
    """The run's events, folded into spans as these end."""

    run: str
    start: float | None = None
    last: float = 0.0
    finished: bool = False
    _plans: dict[tuple[int, int], LanePlan] = field(default_factory=dict)
    _generations: dict[int, float] = field(default_factory=dict)
    _agents: dict[SubagentId, _Agent] = field(default_factory=dict)

    def apply(self, event: Event) -> Iterator[Span]:
        """The spans that end with this event; those of tools are for who knows what they were asked."""
        payload, who, generation = event.payload, event.subagent, event.generation
        self.start = event.at if self.start is None else self.start
        self.last = max(self.last, event.at)
        match payload:
            case RunCreated():
                self.start = event.at
            case GenerationDesigned() if generation is not None:
                self._generations[generation] = event.at
                self._plans.update({(generation, plan.lane): plan for plan in payload.lanes})
            case SubagentAdded(plan=plan) | SubagentRestarted(plan=LanePlan() as plan) if who is not None:
                self._plans[who.generation, who.lane] = plan
            case SubagentLaunched() if who is not None:
                # One that another engine took over began with the first.
                self._agents.setdefault(who, _Agent(payload, event.at))
            case SubagentEnded() if who in self._agents:
                self._agents[who].ended, self._agents[who].end = payload, event.at
            case SubagentChecked() if who in self._agents:
                yield self._agent(who, self._agents.pop(who), payload.solved)
            case GenerationObserved() if generation in self._generations:
                yield generation_span(self.run, generation, self._generations.pop(generation), event.at)
            case RunFinished():
                self.finished = True
                yield from self._left()
                failed = payload.reason if payload.state is RunState.FAILED else None
                yield run_span(self.run, self.start, event.at, state=str(payload.state), error=failed)
            case _:
                pass

    def finish(self) -> Iterator[Span]:
        """The spans of what has not ended: up to the last event."""
        if not self.finished and self.start is not None:
            yield from self._left()
            yield run_span(self.run, self.start, self.last, state="unfinished")

    def _left(self) -> Iterator[Span]:
        while self._agents:
            yield self._agent(*self._agents.popitem(), None)
        while self._generations:
            generation, start = self._generations.popitem()
            yield generation_span(self.run, generation, start, self.last)

    def _agent(self, who: SubagentId, agent: _Agent, solved: bool | None) -> Span:
        ended = agent.ended
        plan = self._plans.get((who.generation, who.lane))
        used = ended.spend.usage if ended else Usage()
        return agent_span(
            who,
            plan.strategy.name if plan else "subagent",
            agent.launched.model,
            agent.start,
            agent.end if ended else self.last,
            usage=used,
            ending=str(ended.ending) if ended else "",
            solved=solved,
            error=ended.detail or str(ended.ending) if ended and ended.ending in COULD_NOT_WORK else None,
        )


class Calls:
    """Calls as spans, with what has to be read for them."""

    def __init__(self, store: "Store", *, content: bool) -> None:
        self._store = store
        self._content = content
        self._known: OrderedDict[str, Mapping[str, Any]] = OrderedDict()

    def span(self, call: Call) -> Span:
        """A call that has ended."""
        from store import tapes

        told: Mapping[str, Value | None] = {}
        if self._content:
            messages, answers = tapes.messages(self._store, call), tapes.answers(self._store, call)
            told = said.of_call(messages, answers, self._body(call), call.stop_reason)
        return call_span(call, self._parameters(call), told, self._model(call))

    def _parameters(self, call: Call) -> Mapping[str, Any]:
        """The request's members beside its conversation."""
        from store import blobs
        from store.exact import loads

        name = call.parameters
        if name is None:
            return self._body(call)
        if name not in self._known:
            value = loads(blobs.get(self._store, name))
            self._known[name] = value if isinstance(value, Mapping) else {}
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return self._known[name]

    def _body(self, call: Call) -> Mapping[str, Any]:
        from store import tapes

        try:
            value = tapes.request(self._store, call)
        except ValueError:
            return {}
        return value if isinstance(value, Mapping) else {}

    def _model(self, call: Call) -> str:
        """The model that answered, as the beginning of its answer says it; "" where that can't be read."""
        from store import tapes

        if call.response is None or call.status != 200 or call.answer is None:
            return ""
        match = _MODEL.search(tapes.response(self._store, call)[:_HEAD])
        return match[1].decode("utf-8", "replace") if match else ""


def spans_of(store: "Store", run: str, *, content: bool = False) -> Iterator[Span]:
    """All spans of a run, read while they are taken. With `content`, what was said is in them, secrets hidden."""
    from store import tapes

    timeline = Timeline(run)
    tools: dict[tuple[SubagentId, str], tuple[float, ToolFinished]] = {}
    for event in _events(store, run):
        yield from timeline.apply(event)
        if isinstance(event.payload, ToolFinished) and event.subagent is not None:
            tools[event.subagent, event.payload.tool_call] = (event.at, event.payload)
    calls, times = Calls(store, content=content), {}
    for call in tapes.each(store, run):
        if call.ended is not None:
            yield calls.span(call)
        times[call.id] = (call.subagent, call.started, call.ended if call.ended is not None else call.started)
    yield from _tools(store, run, tools, times, content=content)
    for (who, tool_call), (at, finished) in tools.items():
        # Its result never reached a model.
        yield tool_span(run, who, finished.name, tool_call, at - finished.seconds, at, ok=finished.ok)
    yield from timeline.finish()
    if timeline.start is None and times:
        began, ended = min(start for _, start, _ in times.values()), max(end for _, _, end in times.values())
        yield run_span(run, began, ended, state="recording")


def _events(store: "Store", run: str) -> Iterator[Event]:
    from store.events import read

    after = 0
    while batch := read(store, run=run, after=after, limit=_CHUNK):
        yield from batch
        after = batch[-1].seq


def _tools(
    store: "Store",
    run: str,
    finished: dict[tuple[SubagentId, str], tuple[float, ToolFinished]],
    times: Mapping[str, tuple[SubagentId | None, float, float]],
    *,
    content: bool,
) -> Iterator[Span]:
    """Tool calls by what models asked for and what they were told. When it ran is in the events of agents of ours, and
    is taken out of `finished`; of others it is known between which two calls."""
    from store.graph import nodes

    asked: dict[tuple[SubagentId | None, str], tuple[str, float, Any]] = {}
    for node in nodes(store, run=run):
        who, start, end = times.get(node.call, (None, 0.0, 0.0))
        for block in blocks(node.message):
            if block.kind is BlockKind.TOOL_CALL and block.id:
                asked.setdefault((who, block.id), (block.name, end, block.input))
            elif block.kind is BlockKind.TOOL_RESULT and (who, block.id) in asked:
                name, began, arguments = asked.pop((who, block.id))
                told = said.of_tool(arguments, block.text) if content else None
                ok, over = block.ok is not False, start
                if who is not None and (event := finished.pop((who, block.id), None)) is not None:
                    over, ran = event
                    began, ok = over - ran.seconds, ran.ok
                yield tool_span(run, who, name, block.id, min(began, over), over, ok=ok, content=told)
