"""A run's trace as an outline, folded from its events. What was said in a turn is filled in from the tape when somebody
looks; all else is known without reading it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from store.domain.blocks import Block, BlockKind
from store.domain.events import (
    Alert,
    CallFinished,
    CallStarted,
    Event,
    GenerationDesigned,
    RunFinished,
    SubagentChecked,
    SubagentContinued,
    SubagentEnded,
    SubagentLaunched,
    SubagentPaused,
    ToolFinished,
    ToolStarted,
    TurnStarted,
)
from store.domain.ids import SubagentId
from store.domain.limits import Usage
from store.domain.secrets import shown_line
from store.domain.states import Ending, SubagentState
from store.domain.strategy import LanePlan
from widgets import words
from widgets.flow import named, verdict, went_wrong
from widgets.ink import Line
from widgets.outline import Item, Outline
from widgets.states import SUBAGENT

_FAULTS = {Ending.NEVER_STARTED, Ending.PROVIDER, Ending.RATE_LIMITED, Ending.LOGIN_LOST, Ending.CRASHED}


@dataclass(frozen=True)
class OfRun:
    """The run itself."""

    run: str


@dataclass(frozen=True)
class OfGeneration:
    """A generation."""

    run: str
    number: int


@dataclass(frozen=True)
class OfLane:
    """A subagent."""

    who: SubagentId


@dataclass
class OfTurn:
    """A turn: its calls (more than one after a retry), the tries that a route made for each of them, and what they
    used."""

    who: SubagentId
    turn: int
    calls: list[str] = field(default_factory=list)
    tries: dict[str, list[str]] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0
    tools: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class OfTry:
    """A call that a route made for a turn's call."""

    who: SubagentId
    turn: int
    call: str
    model: str


@dataclass(frozen=True)
class OfBlock:
    """A block of a call's answer."""

    who: SubagentId
    turn: int
    kind: BlockKind
    call: str
    block: int


@dataclass
class OfTool:
    """A tool call; `finished` is None while it runs."""

    who: SubagentId
    turn: OfTurn
    started: ToolStarted
    finished: ToolFinished | None = None


@dataclass(frozen=True)
class OfResult:
    """What a tool call gave back."""

    tool: OfTool

    @property
    def who(self) -> SubagentId:
        return self.tool.who


@dataclass(frozen=True)
class OfEvent:
    """An event that is shown as such."""

    event: Event


Shown = OfRun | OfGeneration | OfLane | OfTurn | OfTry | OfBlock | OfTool | OfResult | OfEvent


class Trace:
    """The outline of one run. `apply` in the order of events; `wanted` are open turns whose words are to be read."""

    def __init__(self, run: str, title: str) -> None:
        self.run = run
        self.outline = Outline()
        self.taken = 0
        """How many events have been applied."""
        self._turns: dict[SubagentId, Item] = {}
        self._of_thread: dict[tuple[SubagentId, str], Item] = {}
        """The last turn of each of an agent's threads: it may have subagents of its own."""
        self._tools: dict[tuple[SubagentId, str], Item] = {}
        self._of_call: dict[str, Item] = {}
        line: Line = [(run, "strong"), (f"  {shown_line(title)}", "faint")]
        self.outline.add(Item(run, line, open=True, data=OfRun(run)))

    def apply(self, events: Sequence[Event]) -> None:
        """Fold the events that are new."""
        for event in events:
            self._apply(event)
            self.taken += 1

    def wanted(self) -> list[Item]:
        """Turns that are open, and whose words are not (or no longer all) there."""
        return [item for item in self.outline.rows if item.open and not item.loaded and isinstance(item.data, OfTurn)]

    def turn_of(self, call: str) -> Item | None:
        """The turn that a call belongs to."""
        return self._of_call.get(call)

    def turn(self, who: SubagentId, number: int) -> Item | None:
        """A turn by its number."""
        return self.outline.find(f"{who.label} t{number}")

    def lane(self, who: SubagentId) -> Item | None:
        """A subagent's item."""
        return self.outline.find(who.label)

    def newest(self, under: Item | None = None) -> Item | None:
        """The last turn that began; under an item, or anywhere."""
        turns = [item for item in self._turns.values() if under is None or _under(item, under)]
        return max(turns, key=lambda item: _order(item.data), default=None)

    def fill(self, turn: Item, said: Sequence[tuple[str, Sequence[Block]]]) -> None:
        """Put in what a turn's calls said: (call, the blocks of its answer), oldest call first."""
        data = turn.data
        assert isinstance(data, OfTurn)
        # The tries came before what was said.
        at = 1 + max((at for at, child in enumerate(turn.children) if isinstance(child.data, OfTry)), default=-1)
        for call, blocks in said:
            for index, block in enumerate(blocks):
                key = self.block_key(data, call, index, block)
                there = self.outline.find(key)
                if there is not None:
                    at = turn.children.index(there) + 1
                elif block.kind is BlockKind.TOOL_CALL or block.text.strip():
                    line = _said(block)
                    self.outline.add(
                        Item(key, line, leaf=True, data=OfBlock(data.who, data.turn, block.kind, call, index)), turn, at
                    )
                    at += 1
        turn.loaded = len(said) >= len(data.calls)

    @staticmethod
    def block_key(turn: OfTurn, call: str, index: int, block: Block) -> str:
        """The key of a block's item: a tool call that ran has one of its own."""
        return _tool_key(turn.who, turn.turn, block.id) if block.kind is BlockKind.TOOL_CALL else f"{call} b{index}"

    def _apply(self, event: Event) -> None:
        payload, who = event.payload, event.subagent
        if isinstance(payload, GenerationDesigned) and event.generation is not None:
            self._generation(event.generation, payload.lanes)
        elif isinstance(payload, RunFinished):
            line: Line = [(f"{payload.state.value}: {shown_line(payload.reason)}", "text")]
            self.outline.add(Item(f"e{event.seq}", line, leaf=True, data=OfEvent(event)), self.outline.roots[0])
        elif who is not None and (lane := self.outline.find(who.label)) is not None:
            self._of_lane(event, who, lane)

    def _generation(self, number: int, plans: Sequence[LanePlan]) -> None:
        root = self.outline.roots[0]
        # The generation that goes on is open; those before it were read, or are opened when wanted.
        for earlier in root.children:
            if not any(lane.open for lane in earlier.children):
                self.outline.close(earlier)
        line: Line = [(f"generation {number}", "strong")]
        generation = Item(f"g{number}", line, open=True, data=OfGeneration(self.run, number))
        self.outline.add(generation, root)
        for plan in plans:
            who = SubagentId(self.run, number, plan.lane)
            lane = Item(who.label, _lane(who, plan, SubagentState.QUEUED), data=OfLane(who))
            self.outline.add(lane, generation)

    def _of_lane(self, event: Event, who: SubagentId, lane: Item) -> None:
        match event.payload:
            case SubagentLaunched() | SubagentContinued():
                _mark(lane, SubagentState.RUNNING)
            case SubagentPaused():
                _mark(lane, SubagentState.PAUSED)
            case TurnStarted() as payload:
                above = self._tools.get((who, payload.under), lane)
                self._of_thread[who, payload.thread] = self._turn(who, above, payload.turn)
            case CallStarted() as payload:
                known = self._of_call.get(payload.parent) or self._of_thread.get((who, payload.thread))
                if turn := known or self._turns.get(who):
                    self._call_started(who, turn, payload)
            case CallFinished() as payload:
                self._call_finished(event, who, payload)
            case ToolStarted() as payload:
                self._tool_started(who, lane, payload)
            case ToolFinished() as payload:
                self._tool_finished(who, payload)
            case SubagentEnded() as payload:
                _mark(lane, SubagentState.CHECKING)
                said = f"ended: {payload.ending.value}" + (f", {shown_line(payload.detail)}" if payload.detail else "")
                bad = int(payload.ending in _FAULTS)
                ink = "bad" if bad else "faint"
                self.outline.add(Item(f"e{event.seq}", [(said, ink)], leaf=True, bad=bad, data=OfEvent(event)), lane)
            case SubagentChecked() as payload:
                state = SubagentState.SOLVED if payload.solved else SubagentState.UNSOLVED
                _mark(lane, state)
                broken = int(payload.result is not None and bool(payload.result.broken))
                line: Line = [(f"{SUBAGENT[state].glyph} {verdict(payload)}", SUBAGENT[state].ink)]
                self.outline.add(Item(f"e{event.seq}", line, leaf=True, bad=broken, data=OfEvent(event)), lane)
            case Alert() as payload:
                under = self._turns.get(who, lane)
                line = [(f"⚠ {shown_line(payload.text)}", "warn")]
                self.outline.add(Item(f"e{event.seq}", line, leaf=True, bad=1, data=OfEvent(event)), under)
            case _:
                pass

    def _turn(self, who: SubagentId, lane: Item, number: int) -> Item:
        key = f"{who.label} t{number}"
        turn = self.outline.find(key)
        if turn is None:
            turn = Item(key, [(f"turn {number}", "text")], loaded=False, data=OfTurn(who, number))
            self.outline.add(turn, lane)
        self._turns[who] = turn
        return turn

    def _call_started(self, who: SubagentId, turn: Item, payload: CallStarted) -> None:
        data = self._turn_data(turn)
        self._of_call[payload.call] = turn
        if not payload.parent:
            data.calls.append(payload.call)
            turn.loaded = False
            return
        data.tries.setdefault(payload.parent, []).append(payload.call)
        shown = OfTry(who, data.turn, payload.call, payload.model)
        at = sum(isinstance(child.data, OfTry) for child in turn.children)
        self.outline.add(Item(payload.call, [*_try(shown), (" …", "faint")], leaf=True, data=shown), turn, at)

    def _call_finished(self, event: Event, who: SubagentId, payload: CallFinished) -> None:
        turn = self._of_call.get(payload.call)
        if turn is None:
            return
        data = self._turn_data(turn)
        data.usage += payload.usage
        if payload.parent:
            self._try_finished(payload)
            _label(turn)
            return
        data.seconds += payload.seconds
        turn.loaded = False
        if payload.error:
            status = f" {payload.status}" if payload.status else ""
            line: Line = [(f"✗ call failed{status}: {shown_line(payload.error)}", "bad")]
            self.outline.add(Item(f"e{event.seq}", line, leaf=True, bad=1, data=OfEvent(event)), turn)
        _label(turn)

    def _try_finished(self, payload: CallFinished) -> None:
        item = self.outline.find(payload.call)
        if item is None or not isinstance(item.data, OfTry):
            return
        item.line = _try(item.data)
        if payload.error:
            # No error of the turn's: its call has gone on to the next one, or says so itself.
            status = f"{payload.status} " if payload.status else ""
            item.line.append((f"  ✗ {status}{shown_line(payload.error, 200)}", "warn"))
        else:
            item.line.append((f"  {words.tokens(payload.usage.total)} tok {payload.seconds:.1f}s", "faint"))

    def _tool_started(self, who: SubagentId, lane: Item, payload: ToolStarted) -> None:
        turn = self._turn(who, lane, payload.turn)
        data = self._turn_data(turn)
        data.tools.append(named(payload.name, payload.summary))
        _label(turn)
        key = _tool_key(who, payload.turn, payload.tool_call)
        there = self.outline.find(key)
        if there is not None:
            # Read from the tape before it began, or begun again by a resumed engine.
            self.outline.remove(there)
        item = Item(key, [("› ", "tool"), (named(payload.name, payload.summary), "tool")], open=True)
        item.data = OfTool(who, data, payload)
        self.outline.add(item, turn)
        self._tools[who, payload.tool_call] = item

    def _tool_finished(self, who: SubagentId, payload: ToolFinished) -> None:
        item = self.outline.find(_tool_key(who, payload.turn, payload.tool_call))
        if item is None or not isinstance(item.data, OfTool) or item.data.finished is not None:
            return
        item.data.finished = payload
        wrong = went_wrong(payload)
        line: Line = [("✗ ", "bad") if wrong else ("✔ ", "faint")]
        line += [(shown_line(payload.summary) or "no output", "bad" if wrong else "faint")]
        if payload.seconds >= 1:
            line.append((f"  {words.duration(payload.seconds)}", "faint"))
        result = Item(f"{item.key} r", line, leaf=True, bad=int(wrong), data=OfResult(item.data))
        self.outline.add(result, item)

    @staticmethod
    def _turn_data(turn: Item) -> OfTurn:
        assert isinstance(turn.data, OfTurn)
        return turn.data


def _tool_key(who: SubagentId, turn: int, tool_call: str) -> str:
    return f"{who.label} t{turn} {tool_call}"


def _lane(who: SubagentId, plan: LanePlan, state: SubagentState) -> Line:
    line: Line = [(f"{who.label} ", "strong"), (shown_line(plan.strategy.name), "text")]
    if plan.clean:
        line.append((" · clean", "warn"))
    mark = SUBAGENT[state]
    return [*line, (f"  {mark.glyph} {mark.word}", mark.ink)]


def _mark(lane: Item, state: SubagentState) -> None:
    mark = SUBAGENT[state]
    lane.line = [*lane.line[:-1], (f"  {mark.glyph} {mark.word}", mark.ink)]


def _try(shown: OfTry) -> Line:
    return [("→ ", "faint"), (shown_line(shown.model, 60) or "a try", "text")]


def _label(turn: Item) -> None:
    data = turn.data
    assert isinstance(data, OfTurn)
    turn.line = [(f"turn {data.turn}", "text")]
    if data.tools:
        more = f" +{len(data.tools) - 1}" if len(data.tools) > 1 else ""
        turn.line.append((f"  {data.tools[0]}{more}", "tool"))
    if data.usage.total:
        turn.line.append((f"  {words.tokens(data.usage.total)} tok {data.seconds:.1f}s", "faint"))


def _said(block: Block) -> Line:
    text = shown_line(block.text, 200)
    match block.kind:
        case BlockKind.REASONING:
            return [("∙ ", "reasoning"), (text, "reasoning")]
        case BlockKind.TEXT:
            return [("  ", "text"), (text, "text")]
        case BlockKind.TOOL_CALL:
            return [("› ", "tool"), (f"{shown_line(block.name)} ", "tool"), (text, "faint")]
        case _:
            return [("· ", "faint"), (f"{block.kind.value} {shown_line(block.name)}", "faint")]


def _under(item: Item, other: Item) -> bool:
    above: Item | None = item
    while above is not None and above is not other:
        above = above.parent
    return above is other


def _order(data: object) -> tuple[int, int, int]:
    assert isinstance(data, OfTurn)
    return data.who.generation, data.turn, data.who.lane
