"""What went wrong in a run, and nothing else: under each subagent a row for each error, read when it is looked at."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping

from app.spots import OfEvent, OfFault, OfGeneration, OfLane, OfTurn
from app.trace import Lane, Trace
from store.domain.events import (
    Alert,
    CallFinished,
    Event,
    SubagentChecked,
    SubagentEnded,
    ToolFinished,
    ToolStarted,
)
from store.domain.ids import SubagentId
from store.domain.secrets import shown_line
from widgets.flow import named, verdict
from widgets.ink import Line
from widgets.outline import Item, Outline, Range
from widgets.states import alert_span


class Faults:
    """The errors of a trace as an outline of its own."""

    def __init__(self, trace: Trace) -> None:
        self.outline = Outline()
        self._trace = trace
        self._scanned = trace.scanned
        self._lanes: dict[SubagentId, Item] = {}
        root = trace.outline.roots[0]
        top = Item(root.key, root.line, open=True, data=root.data, bad=0)
        self.outline.add(top)
        for generation in root.children:
            lanes = [trace.lanes[item.data.who] for item in generation.children if isinstance(item.data, OfLane)]
            if isinstance(generation.data, OfGeneration) and any(lane.wrong for lane in lanes):
                above = Item(generation.key, generation.line, open=True, data=generation.data)
                self.outline.add(above, top)
                for lane in lanes:
                    if lane.wrong:
                        self._lane(lane, above)

    def _lane(self, lane: Lane, above: Item) -> None:
        who, wrong = lane.who, lane.wrong
        item = Item(lane.item.key, lane.item.line, open=True, data=lane.item.data)
        item.range = Range(
            lambda place: Item(
                f"{who.label} ✗{place}", [("✗ …", "faint")], leaf=True, blank=True, data=OfFault(who, wrong[place])
            )
        )
        self.outline.add(item, above)
        self.outline.extend(item, len(wrong))
        self.outline.blame(item, len(wrong))
        self._lanes[who] = item

    def grow(self) -> bool:
        """Show what came; False where that takes another outline."""
        if self._trace.scanned != self._scanned:
            return False
        for lane in self._trace.lanes.values():
            item = self._lanes.get(lane.who)
            if item is None or item.range is None:
                if lane.wrong:
                    return False
            elif (more := len(lane.wrong) - item.range.count) > 0:
                self.outline.extend(item, more)
                self.outline.blame(item, more)
        return True

    def take(self, events: Iterable[Event]) -> None:
        """Put in errors that have been read."""
        by_seq: dict[int, Event] = {}
        asked: dict[tuple[SubagentId | None, int, str], str] = {}
        for event in events:
            by_seq[event.seq] = event
            if isinstance(event.payload, ToolStarted):
                asked[event.subagent, event.payload.turn, event.payload.tool_call] = event.payload.summary
        for item in self._lanes.values():
            for child in item.range.held() if item.range else ():
                data = child.data
                caught = by_seq.get(data.seq) if isinstance(data, OfFault) and child.blank else None
                if caught is not None and isinstance(data, OfFault):
                    child.blank, child.line = False, _line(caught, asked)
                    child.data = OfFault(data.who, caught.seq, caught)

    def item_of(self, other: Item | None) -> Item:
        """Where to stand on coming from an item of the whole trace, or of an earlier outline: at what went wrong there,
        or next after it."""
        seq = _seq(other)
        while other is not None:
            if (found := self.outline.find(other.key)) is not None:
                return self._next(found, seq) if isinstance(found.data, OfLane) and seq else found
            other = other.parent
        return self.outline.roots[0]

    def _next(self, lane: Item, seq: int) -> Item:
        assert isinstance(lane.data, OfLane)
        wrong = self._trace.lanes[lane.data.who].wrong
        count = lane.range.count if lane.range else 0
        return self.outline.child(lane, min(bisect_left(wrong, seq), count - 1)) if count else lane


def _seq(item: Item | None) -> int:
    """The event that an item is about, or that its turn begins with; 0 for what is above all turns."""
    while item is not None:
        match item.data:
            case OfTurn(seq=seq) | OfFault(seq=seq):
                return seq
            case OfEvent(event=event):
                return event.seq
        item = item.parent
    return 0


def place_of(event: Event) -> tuple[int | None, str]:
    """Where an error is in the whole trace: its turn, where that is known, and the key of its item."""
    match event.payload:
        case ToolFinished(turn=turn, tool_call=tool_call) if event.subagent is not None:
            return turn, f"{event.subagent.label} t{turn} {tool_call} r"
    return None, f"e{event.seq}"


def _line(event: Event, asked: Mapping[tuple[SubagentId | None, int, str], str]) -> Line:
    match event.payload:
        case ToolFinished() as payload:
            summary = asked.get((event.subagent, payload.turn, payload.tool_call), "")
            head: Line = [(f"turn {payload.turn}", "text"), (f"  › {named(payload.name, summary)} ", "tool")]
            return [*head, (f" ✗ {shown_line(payload.summary) or 'failed'}", "bad")]
        case CallFinished() as payload:
            status = f" {payload.status}" if payload.status else ""
            return [(f"✗ call failed{status}: {shown_line(payload.error)}", "bad")]
        case Alert() as payload:
            return [alert_span(payload.level, shown_line(payload.text))]
        case SubagentEnded() as payload:
            detail = f", {shown_line(payload.detail)}" if payload.detail else ""
            return [(f"✗ ended: {payload.ending.value}{detail}", "bad")]
        case SubagentChecked() as payload:
            return [(f"✗ {verdict(payload)}", "bad")]
    return [(event.payload.kind, "bad")]
