"""A subagent's turns folded from its events: what happened in each, under the item that stands for it."""

from collections.abc import Callable, Iterable, Sequence

from app.saying import SYSTEM, Told
from app.spots import OfBlock, OfBranch, OfEvent, OfLane, OfResult, OfTold, OfTool, OfTry, OfTurn
from store.domain.blocks import Block, BlockKind
from store.domain.events import (
    Alert,
    CallFinished,
    CallStarted,
    Event,
    Payload,
    SubagentChecked,
    SubagentEnded,
    SubagentSteered,
    ToolFinished,
    ToolStarted,
    TurnStarted,
)
from store.domain.ids import SubagentId
from store.domain.secrets import shown_line
from store.domain.states import COULD_NOT_WORK, AlertLevel
from widgets import words
from widgets.flow import named, went_wrong
from widgets.ink import Line
from widgets.outline import Figures, Item, Outline, Range
from widgets.states import alert_span


def is_wrong(payload: Payload) -> bool:
    """Whether an event counts as an error of the subagent's tape."""
    match payload:
        case ToolFinished():
            return went_wrong(payload)
        case CallFinished():
            # A try is no error of the turn's: its call has gone on to the next one, or says so itself.
            return bool(payload.error) and not payload.parent
        case SubagentEnded():
            return payload.ending in COULD_NOT_WORK
        case SubagentChecked():
            return payload.result is not None and bool(payload.result.broken)
    return isinstance(payload, Alert) and payload.level is not AlertLevel.NOTE


BREAK = " break"
"""How the keys end of items that say where a tape broke off."""


class Turning:
    """Folds the events of one subagent, in order. `begin` gives the item of a turn that starts, None where nobody looks
    at it; what belongs to such a turn is left out. `seen` is told each turn, those of an agent's own subagents too."""

    def __init__(
        self, outline: Outline, begin: Callable[[Event, TurnStarted], Item | None], seen: Callable[[Item], None]
    ) -> None:
        self._outline = outline
        self.begin = begin
        self._seen = seen
        self.last: Item | None = None
        """The turn that began last, of those that are looked at."""
        self._of_thread: dict[str, Item | None] = {}
        """An agent may have subagents of its own: the last turn of each."""
        self._numbered: dict[int, Item] = {}
        self._of_call: dict[str, Item] = {}
        self._tools: dict[str, Item] = {}

    def apply(self, event: Event) -> Item | None:
        """Fold one event; the turn that it belongs to, when that is looked at."""
        match event.payload:
            case TurnStarted() as payload:
                return self._turn(event, payload)
            case CallStarted() as payload:
                known = self._of_call.get(payload.parent)
                return self._call_started(known or self._of_thread.get(payload.thread, self.last), payload)
            case CallFinished() as payload:
                return self._call_finished(event, payload)
            case ToolStarted() as payload:
                return self._tool_started(payload)
            case ToolFinished() as payload:
                return self._tool_finished(payload)
            case Alert() as payload if self.last is not None:
                span = alert_span(payload.level, shown_line(payload.text))
                return self._note(event, self.last, *span, bad=int(is_wrong(payload)))
            case SubagentSteered() as payload if self.last is not None:
                return self._note(event, self.last, f"» told: {shown_line(payload.text)}", "accent")
            case _:
                return None

    def _turn(self, event: Event, payload: TurnStarted) -> Item | None:
        tool = self._tools.get(payload.under) if payload.under else None
        before = self._of_thread.get(payload.thread)
        if payload.under:
            item = self._nested(event, payload, tool) if tool is not None else None
        else:
            item = self.begin(event, payload)
        self._of_thread[payload.thread] = item
        if before is not None:
            self._forget(before)
        if item is not None:
            data = _turn_data(item)
            data.turn, data.seq = payload.turn, event.seq
            item.blank, item.loaded = False, not data.calls
            self.last = self._numbered[payload.turn] = item
            label(item)
            self._seen(item)
        return item

    def _nested(self, event: Event, payload: TurnStarted, tool: Item) -> Item:
        """A turn of what a tool call began, on that one's own branch."""
        assert isinstance(tool.data, OfTool)
        who, key = tool.data.who, f"{tool.key} sub"
        branch = self._outline.find(key)
        if branch is None:
            branch = Item(key, [], data=OfBranch(tool.data), open=False)
            branch.range = Range(lambda place: blank_turn(f"{key}{place}", who), keep=True)
            # Before the result, which comes when all of it is done.
            self._outline.add(branch, tool, 0)
        assert branch.range is not None
        self._outline.extend(branch)
        turns = words.count(branch.range.count, "turn")
        branch.line = [("◦ a subagent of its own", "accent"), (f"  {turns}", "faint")]
        return self._outline.child(branch, branch.range.count - 1)

    def _forget(self, turn: Item) -> None:
        """Another turn has begun where this one was: nothing more is told of it."""
        data = _turn_data(turn)
        self._numbered.pop(data.turn, None)
        for call in data.calls:
            self._of_call.pop(call, None)
        for child in turn.children:
            if isinstance(child.data, OfTool):
                self._tools.pop(child.data.started.tool_call, None)

    def _call_started(self, turn: Item | None, payload: CallStarted) -> Item | None:
        if turn is None:
            return None
        data = _turn_data(turn)
        self._of_call[payload.call] = turn
        if not payload.parent:
            data.calls.append(payload.call)
            turn.loaded = False
            return turn
        data.tries.setdefault(payload.parent, []).append(payload.call)
        shown = OfTry(data.who, data.turn, payload.call, payload.model)
        at = sum(isinstance(child.data, OfTry) for child in turn.children)
        self._outline.add(Item(payload.call, [*_try(shown), (" …", "faint")], leaf=True, data=shown), turn, at)
        return turn

    def _call_finished(self, event: Event, payload: CallFinished) -> Item | None:
        turn = self._of_call.get(payload.call)
        if turn is None:
            return None
        data = _turn_data(turn)
        data.usage += payload.usage
        data.usd += payload.usd or 0.0
        data.priced = data.priced and (payload.usd is not None or not payload.usage.total)
        if payload.parent:
            self._try_finished(payload)
        else:
            data.seconds += payload.seconds
            data.over += 1
            turn.loaded = False
            if payload.error:
                status = f" {payload.status}" if payload.status else ""
                self._note(event, turn, f"✗ call failed{status}: {shown_line(payload.error)}", "bad", bad=1)
        label(turn)
        return turn

    def _try_finished(self, payload: CallFinished) -> None:
        item = self._outline.find(payload.call)
        if item is None or not isinstance(item.data, OfTry):
            return
        item.line = _try(item.data)
        if payload.error:
            status = f"{payload.status} " if payload.status else ""
            item.line.append((f"  ✗ {status}{shown_line(payload.error, 200)}", "warn"))
        usd = payload.usd if payload.usd is not None or payload.usage.total else 0.0
        item.figures = Figures(payload.usage.total, usd or 0.0, payload.seconds, usd is not None)

    def _tool_started(self, payload: ToolStarted) -> Item | None:
        turn = self._numbered.get(payload.turn)
        if turn is None:
            return None
        data = _turn_data(turn)
        data.tools.append(named(payload.name, payload.summary))
        label(turn)
        key = tool_key(data, payload.tool_call)
        there = self._outline.find(key)
        if there is not None:
            # Read from the tape before it began, or begun again by a resumed engine.
            self._outline.remove(there)
        item = Item(key, [("› ", "tool"), (named(payload.name, payload.summary), "tool")], open=True)
        item.data = OfTool(data.who, data, payload)
        self._outline.add(item, turn)
        self._tools[payload.tool_call] = item
        return turn

    def _tool_finished(self, payload: ToolFinished) -> Item | None:
        turn = self._numbered.get(payload.turn)
        item = self._tools.get(payload.tool_call)
        if turn is None or item is None or not isinstance(item.data, OfTool) or item.data.finished is not None:
            return turn
        item.data.finished = payload
        wrong = went_wrong(payload)
        line: Line = [("✗ ", "bad") if wrong else ("✔ ", "faint")]
        line += [(shown_line(payload.summary) or "no output", "bad" if wrong else "faint")]
        item.figures = Figures(0, 0.0, payload.seconds)
        data = _turn_data(turn)
        data.seconds += payload.seconds
        self._add(Item(f"{item.key} r", line, leaf=True, bad=int(wrong), data=OfResult(item.data)), item, turn)
        label(turn)
        return turn

    def _note(self, event: Event, turn: Item, text: str, ink: str, *, bad: int = 0) -> Item:
        item = Item(f"e{event.seq}", [(text, ink)], leaf=True, bad=bad, data=OfEvent(event))
        if self._outline.find(item.key) is None:
            self._add(item, turn, turn)
        return turn

    def _add(self, item: Item, parent: Item, turn: Item) -> None:
        self._outline.add(item, parent)
        above = turn.parent
        while item.bad and above is not None:
            if isinstance(above.data, OfBranch):
                self._outline.blame(above)
            above = above.parent


def blank_turn(key: str, who: SubagentId) -> Item:
    """A turn that is yet to be read."""
    return Item(key, [("turn …", "faint")], loaded=False, blank=True, data=OfTurn(who, 0))


def fill(outline: Outline, turn: Item, said: Sequence[tuple[str, Sequence[Block]]], told: Sequence[Told] = ()) -> None:
    """Put in what a turn's calls were told, and what they said: (call, the blocks of its answer), oldest call first."""
    data = _turn_data(turn)
    at = 1 + max((at for at, child in enumerate(turn.children) if _leads(child, OfTold)), default=-1)
    for one in told:
        key = told_key(data.who, data.turn, one.node, one.index)
        if outline.find(key) is None:
            shown = OfTold(data.who, data.turn, one.call, one.node, one.index, one.role)
            outline.add(Item(key, _was_told(one), leaf=True, data=shown), turn, at)
            at += 1
    # The tries came before what was said.
    at = 1 + max((at for at, child in enumerate(turn.children) if _leads(child, OfTold, OfTry)), default=-1)
    for call, blocks in said:
        for index, block in enumerate(blocks):
            key = block_key(data, call, index, block)
            there = outline.find(key)
            if there is not None and there.parent is turn:
                at = turn.children.index(there) + 1
            elif there is None and (block.kind is BlockKind.TOOL_CALL or block.text.strip() or _seen(block)):
                shown_block = OfBlock(data.who, data.turn, block.kind, call, index)
                outline.add(Item(key, _said(block), leaf=True, data=shown_block), turn, at)
                at += 1
    turn.loaded = len(said) >= len(data.calls)


def _leads(child: Item, *kinds: type) -> bool:
    """Whether it stands before what was said: of these kinds, or where the tape broke off or others were forked."""
    return isinstance(child.data, (OfLane, *kinds)) or child.key.endswith(BREAK)


def _seen(block: Block) -> bool:
    return block.kind in (BlockKind.IMAGE, BlockKind.DOCUMENT)


def block_key(turn: OfTurn, call: str, index: int, block: Block) -> str:
    """The key of a block's item: a tool call that ran has one of its own."""
    return tool_key(turn, block.id) if block.kind is BlockKind.TOOL_CALL else f"{call} b{index}"


def told_key(who: SubagentId, turn: int, node: str, index: int) -> str:
    """The key of the item of what it was told."""
    return f"{who.label} t{turn} » {node} {index}"


def tool_key(turn: OfTurn, tool_call: str) -> str:
    """The key of a tool call's item."""
    return f"{turn.who.label} t{turn.turn} {tool_call}"


def label(turn: Item) -> None:
    """Write a turn's line and figures anew."""
    data = _turn_data(turn)
    turn.line = [(f"turn {data.turn}", "text")]
    if len(data.calls) > 1:
        turn.line.append((f"  {len(data.calls)} calls", "warn"))
    if data.tools:
        more = f" +{len(data.tools) - 1}" if len(data.tools) > 1 else ""
        turn.line.append((f"  {data.tools[0]}{more}", "tool"))
    elif data.says:
        turn.line.append((f"  {data.says}", "faint"))
    if data.usage.total or data.seconds:
        turn.figures = Figures(data.usage.total, data.usd, data.seconds, data.priced)


def speechless(turns: Iterable[Item]) -> list[Item]:
    """Turns whose calls have ended, that asked for no tool, and of which it is yet to be read what they said."""
    found = ((turn, turn.data) for turn in turns)
    return [
        turn
        for turn, data in found
        if isinstance(data, OfTurn) and data.says is None and not data.tools and 0 < len(data.calls) <= data.over
    ]


def _turn_data(turn: Item) -> OfTurn:
    assert isinstance(turn.data, OfTurn)
    return turn.data


def _try(shown: OfTry) -> Line:
    return [("→ ", "faint"), (shown_line(shown.model, 60) or "a try", "text")]


def told_word(role: str, node: str) -> str:
    """What it is that was told, in a word or two."""
    return "system prompt" if role == SYSTEM or not node else f"told by the {shown_line(role, 20)}"


def _was_told(told: Told) -> Line:
    words = shown_line(told.block.text or f"{told.block.kind.value} {told.block.name}", 200)
    return [("» ", "accent"), (f"{shown_line(told.role, 20)}  ", "accent"), (words, "faint")]


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
