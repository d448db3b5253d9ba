"""A run's trace as an outline: generations, subagents, and their turns, which are read from the record in windows.

What is told besides turns is folded from events. A trace that was opened at some event goes on with those that follow.
Without a record behind it (`Trace(run, title)`, then `apply` from the first event on), it keeps all that it is told.
"""

from array import array
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from app import turning
from app.saying import Told
from app.spots import (
    OfBlock,
    OfBranch,
    OfEvent,
    OfGeneration,
    OfLane,
    OfResult,
    OfRun,
    OfTool,
    OfTry,
    OfTurn,
    Shown,
)
from app.telling import PAGE, Opening, Page, asked_plan, broke_off, lane_line, mark
from app.turning import Turning, blank_turn, is_wrong
from store.domain.blocks import Block
from store.domain.events import (
    Alert,
    Event,
    GenerationDesigned,
    ObserverAsked,
    RunFinished,
    SubagentAdded,
    SubagentChecked,
    SubagentContinued,
    SubagentEnded,
    SubagentLaunched,
    SubagentPaused,
    SubagentRestarted,
    TurnStarted,
)
from store.domain.ids import OBSERVER, SubagentId
from store.domain.secrets import shown_line
from store.domain.states import COULD_NOT_WORK, SubagentState
from store.domain.strategy import LanePlan
from widgets.flow import verdict
from widgets.ink import Line
from widgets.outline import Item, Outline, Range, within
from widgets.states import SUBAGENT, alert_span

__all__ = [
    "PAGE",
    "Lane",
    "OfBlock",
    "OfBranch",
    "OfEvent",
    "OfGeneration",
    "OfLane",
    "OfResult",
    "OfRun",
    "OfTool",
    "OfTry",
    "OfTurn",
    "Opening",
    "Page",
    "Shown",
    "Trace",
]


@dataclass
class Lane:
    """What is known of one subagent's tape. `places` are the events its turns begin with, None while they are not read;
    `wrong` those in which something went wrong, as far as was looked; `breaks` where it began anew or another engine
    took it over."""

    who: SubagentId
    item: Item
    turning: Turning
    places: "array[int] | None" = None
    wrong: "array[int]" = field(default_factory=lambda: array("q"))
    breaks: list[Event] = field(default_factory=list)
    forks: list[tuple[int, SubagentId]] = field(default_factory=list)
    """After which of its turns others were forked from it."""
    ended: SubagentEnded | None = None

    @property
    def turns(self) -> int:
        """How many turns it has begun."""
        return self.item.range.count if self.item.range else 0

    def place(self, seq: int) -> int:
        """The number of the turn in which an event happened, from 0; -1 before the first, or while that is unknown."""
        return bisect_right(self.places, seq) - 1 if self.places is not None else -1


class Trace:
    """The outline of one run. `seq` is the last event it knows."""

    def __init__(self, run: str, title: str, opening: Opening | None = None) -> None:
        self.run = run
        self.outline = Outline()
        self.seq = 0
        self.lanes: dict[SubagentId, Lane] = {}
        self.scanned = 0
        """Up to which event it was looked for what went wrong."""
        self._recorded = opening is not None
        self._opened = opening is None
        """What comes now is told from its beginning."""
        self._turns: WeakValueDictionary[tuple[SubagentId, int], Item] = WeakValueDictionary()
        line: Line = [(run, "strong"), (f"  {shown_line(title)}", "faint")]
        self.outline.add(Item(run, line, open=True, data=OfRun(run)))
        if opening is not None:
            self._open(opening)

    def _open(self, opening: Opening) -> None:
        for event in opening.beside:
            if isinstance(event.payload, GenerationDesigned | SubagentAdded | ObserverAsked):
                self._apply(event)
        for who, count in opening.counts.items():
            if (lane := self.lanes.get(who)) is not None:
                self.outline.extend(lane.item, count)
        for event in opening.beside:
            if not isinstance(event.payload, GenerationDesigned | SubagentAdded | ObserverAsked):
                self._apply(event)
        for who, (before, events) in opening.live.items():
            if (lane := self.lanes.get(who)) is not None:
                self._fold_live(lane, before, events)
        self.seq = opening.until
        self._opened = True

    # Going on.

    def apply(self, events: Iterable[Event]) -> None:
        """Fold the events that are new."""
        for event in events:
            if event.seq > self.seq:
                self._apply(event)
                self.seq = event.seq
                if is_wrong(event.payload) and event.subagent is not None:
                    self.blame(event.subagent, event.seq)

    def blame(self, who: SubagentId, seq: int) -> None:
        """Something went wrong there; heard of twice it counts once."""
        lane = self.lanes.get(who)
        if lane is None:
            return
        at = bisect_left(lane.wrong, seq)
        if at == len(lane.wrong) or lane.wrong[at] != seq:
            insort(lane.wrong, seq)
            self.outline.blame(lane.item)

    def found_wrong(self, events: Iterable[Event], until: int) -> None:
        """What a look at all events found to have gone wrong, up to one of them."""
        for event in events:
            if is_wrong(event.payload) and event.subagent is not None:
                self.blame(event.subagent, event.seq)
        self.scanned = until

    # Reading in windows.

    def page_of(self, item: Item) -> tuple[Lane, int] | None:
        """The window that a blank item is in: whose, and the number of its first turn."""
        lane = self._lane_of(item)
        return None if lane is None or not item.blank else (lane, item.place // PAGE * PAGE)

    def window(self, lane: Lane, first: int) -> tuple[list[int], int] | None:
        """The events that the turns of a window begin with, and the one before which it ends; None while they are not
        known."""
        if lane.places is None:
            return None
        begins = list(lane.places[first : first + PAGE])
        after = first + PAGE
        return begins, lane.places[after] if after < len(lane.places) else self.seq + 1

    def take(self, page: Page) -> None:
        """Put in a window that has been read; what is there already stays."""
        lane = self.lanes.get(page.who)
        if lane is None:
            return
        places = {seq: page.first + at for at, seq in enumerate(page.begins)}

        def begin(event: Event, _: TurnStarted) -> Item | None:
            if (place := places.get(event.seq)) is None or place >= lane.turns:
                return None
            item = self.outline.child(lane.item, place)
            return self._begun(lane, item, event) if item.blank else None

        window = Turning(self.outline, begin, self._seen)
        for event in page.events:
            window.apply(event)

    def take_places(self, who: SubagentId, places: "array[int]") -> None:
        """Where a subagent's turns begin, as far as the record knew."""
        lane = self.lanes.get(who)
        if lane is None or lane.places is not None:
            return
        known = bisect_right(places, self.seq)
        lane.places = places[:known]
        if (missing := known - lane.turns) > 0:
            self.outline.extend(lane.item, missing)

    def _fold_live(self, lane: Lane, before: int, events: Sequence[Event]) -> None:
        """The last turns of a subagent at work, which are told on. `before` counts those before them."""
        numbers = iter(range(before, lane.turns))

        def begin(event: Event, _: TurnStarted) -> Item | None:
            place = next(numbers, None)
            return None if place is None else self._begun(lane, self.outline.child(lane.item, place), event)

        new, lane.turning.begin = lane.turning.begin, begin
        for event in events:
            lane.turning.apply(event)
        lane.turning.begin = new

    def _new_turn(self, lane: Lane, event: Event) -> Item:
        self._clear(lane)
        self.outline.extend(lane.item)
        if lane.places is not None:
            lane.places.append(event.seq)
        return self._begun(lane, self.outline.child(lane.item, lane.turns - 1), event)

    def _begun(self, lane: Lane, item: Item, event: Event) -> Item:
        assert isinstance(event.payload, TurnStarted)
        item.blank = False
        if isinstance(item.data, OfTurn):
            item.data.turn = event.payload.turn
        self._parts(lane, item)
        last = lane.turning.last.data if lane.turning.last is not None else None
        earlier = last.seq if isinstance(last, OfTurn) and last.seq < event.seq else 0
        if lane.places is not None and 0 < item.place <= len(lane.places):
            earlier = lane.places[item.place - 1]
        for broke in lane.breaks:
            key = f"e{broke.seq}{turning.BREAK}"
            if earlier < broke.seq < event.seq and self.outline.find(key) is None:
                self.outline.add(Item(key, [broke_off(broke)], leaf=True, data=OfEvent(broke)), item)
        return item

    def _seen(self, item: Item) -> None:
        data = item.data
        assert isinstance(data, OfTurn)
        known = self._turns.get((data.who, data.turn))
        # One that was begun again counts.
        if known is None or not isinstance(known.data, OfTurn) or known.data.seq <= data.seq:
            self._turns[data.who, data.turn] = item

    # Looking things up.

    def wanted(self) -> list[Item]:
        """Turns that are open, and whose words are not (or no longer all) there."""
        found: list[Item] = []
        stack = [self.outline.top]
        while stack:
            for item in stack.pop().opened:
                if not item.leaf:
                    stack.append(item)
                if isinstance(item.data, OfTurn) and not item.loaded and not item.blank:
                    found.append(item)
        return found

    def turn(self, who: SubagentId, number: int) -> Item | None:
        """A turn by its number, when it is there."""
        return self._turns.get((who, number))

    def turns(self) -> list[Item]:
        """The turns that are there."""
        return list(self._turns.values())

    def lane(self, who: SubagentId) -> Item | None:
        """A subagent's item."""
        lane = self.lanes.get(who)
        return lane.item if lane else None

    def newest(self, under: Item | None = None) -> Item | None:
        """The last turn that began; under an item, or anywhere."""
        lanes = [lane for lane in self.lanes.values() if lane.turns and (under is None or within(lane.item, under))]
        if not lanes:
            return None
        lane = max(lanes, key=lambda lane: (lane.who.generation, lane.turns, lane.who.lane))
        return self.outline.child(lane.item, lane.turns - 1)

    def fill(self, turn: Item, said: Sequence[tuple[str, Sequence[Block]]], told: Sequence[Told] = ()) -> None:
        """Put in what a turn's calls were told and said."""
        turning.fill(self.outline, turn, said, told)

    def _lane_of(self, item: Item) -> Lane | None:
        parent = item.parent
        return self.lanes.get(parent.data.who) if parent is not None and isinstance(parent.data, OfLane) else None

    # Events.

    def _apply(self, event: Event) -> None:
        payload, who = event.payload, event.subagent
        if isinstance(payload, GenerationDesigned) and event.generation is not None:
            self._generation(event.generation, payload.lanes)
        elif isinstance(payload, SubagentAdded) and who is not None:
            self._added(who, payload)
        elif isinstance(payload, ObserverAsked) and event.generation is not None:
            self._lane(SubagentId(self.run, event.generation, OBSERVER), asked_plan(payload.model))
        elif isinstance(payload, RunFinished):
            line: Line = [(f"{payload.state.value}: {shown_line(payload.reason)}", "text")]
            self.outline.add(Item(f"e{event.seq}", line, leaf=True, data=OfEvent(event)), self.outline.roots[0])
        elif who is not None and (lane := self.lanes.get(who)) is not None:
            self._of_lane(event, lane)
        elif who is None and isinstance(payload, Alert):
            line = [alert_span(payload.level, shown_line(payload.text))]
            self.outline.add(Item(f"e{event.seq}", line, leaf=True, data=OfEvent(event)), self.outline.roots[0])

    def _generation(self, number: int, plans: Sequence[LanePlan]) -> None:
        root = self.outline.roots[0]
        # The generation that goes on is open; those before it were read, or are opened when wanted.
        for earlier in root.children:
            if not any(lane.open for lane in earlier.children):
                self.outline.close(earlier)
        line: Line = [(f"generation {number}", "strong")]
        self.outline.add(Item(f"g{number}", line, open=True, data=OfGeneration(self.run, number)), root)
        for plan in plans:
            self._lane(SubagentId(self.run, number, plan.lane), plan)

    def _added(self, who: SubagentId, payload: SubagentAdded) -> None:
        origin = payload.forked_from
        if origin is None:
            self._lane(who, payload.plan)
            return
        whose = origin.subagent.partition(".")[2] or origin.subagent
        at = f" turn {origin.turn}" if origin.turn else ""
        self._lane(who, payload.plan, f"◦ forked from {shown_line(whose, 20)}{at}")
        source = next((lane for one, lane in self.lanes.items() if whose in (one.label, str(one))), None)
        if source is not None and origin.turn:
            source.forks.append((origin.turn, who))
            if (turn := self._turns.get((source.who, origin.turn))) is not None:
                self._parts(source, turn)

    def _parts(self, lane: Lane, turn: Item) -> None:
        """Say in a turn who was forked from it."""
        for number, who in lane.forks:
            key = f"{turn.key} fork {who.label}"
            if isinstance(turn.data, OfTurn) and turn.data.turn == number and self.outline.find(key) is None:
                self.outline.add(
                    Item(key, [(f"◦ {who.label} forks here", "accent")], leaf=True, data=OfLane(who)), turn, 0
                )

    def _lane(self, who: SubagentId, plan: LanePlan, note: str = "") -> None:
        generation = self.outline.find(f"g{who.generation}")
        if generation is None or who in self.lanes:
            return
        item = Item(who.label, lane_line(who, plan, note), data=OfLane(who))
        item.range = Range(lambda place: blank_turn(f"{who.label} #{place + 1}", who), keep=not self._recorded)
        lane = Lane(who, item, Turning(self.outline, lambda event, _: self._new_turn(lane, event), self._seen))
        if self._opened:
            lane.places = array("q")
        self.lanes[who] = lane
        self.outline.add(item, generation)

    def _of_lane(self, event: Event, lane: Lane) -> None:
        match event.payload:
            case SubagentLaunched() as payload:
                mark(lane.item, SubagentState.RUNNING)
                if payload.attempt > 1 and not payload.afresh:
                    lane.breaks.append(event)
            case SubagentRestarted():
                lane.breaks.append(event)
                lane.ended = None
                self._clear(lane)
                mark(lane.item, SubagentState.QUEUED)
            case SubagentContinued():
                mark(lane.item, SubagentState.RUNNING)
            case SubagentPaused():
                mark(lane.item, SubagentState.PAUSED)
            case SubagentEnded() as payload:
                lane.ended = payload
                mark(lane.item, SubagentState.CHECKING)
                said = f"ended: {payload.ending.value}" + (f", {shown_line(payload.detail)}" if payload.detail else "")
                bad = int(payload.ending in COULD_NOT_WORK)
                self._note(lane, event, [(said, "bad" if bad else "faint")], bad)
            case SubagentChecked() as payload:
                state = SubagentState.SOLVED if payload.solved else SubagentState.UNSOLVED
                mark(lane.item, state)
                broken = int(payload.result is not None and bool(payload.result.broken))
                self._note(lane, event, [(f"{SUBAGENT[state].glyph} {verdict(payload)}", SUBAGENT[state].ink)], broken)
            case Alert() as payload if lane.turning.last is None and not lane.turns:
                told = alert_span(payload.level, shown_line(payload.text))
                self._note(lane, event, [told], int(turning.is_wrong(payload)))
            case _:
                lane.turning.apply(event)

    def _clear(self, lane: Lane) -> None:
        """It goes on after its end: what was told of that is in the turns before."""
        for child in list(lane.item.children):
            if not isinstance(child.data, OfLane):
                self.outline.remove(child)

    def _note(self, lane: Lane, event: Event, line: Line, bad: int) -> None:
        item = Item(f"e{event.seq}", line, leaf=True, bad=bad, data=OfEvent(event))
        if self.outline.find(item.key) is None:
            self.outline.add(item, lane.item)
