"""Two tapes side by side: their turns as steps, aligned up to where they part and, as far as they meet again, after it.

Pure. What a step is compared by is what its tools were asked to do: two models seldom say a thing in the same words.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from enum import StrEnum

from store.domain.board import Board, Lane
from store.domain.events import (
    CallFinished,
    CallStarted,
    Event,
    SubagentRestarted,
    ToolFinished,
    ToolStarted,
    TurnStarted,
)
from store.domain.ids import SubagentId
from widgets.flow import went_wrong

MOST = 4_000_000
"""Pairs of steps that are looked at to find where two tapes meet again: more would take seconds. Beyond, steps after
the parting stand beside each other by their number."""


@dataclass(frozen=True)
class Used:
    """A tool call of a step: the tool, what it was to do, and what came of it; `wrong` is None while it runs."""

    id: str
    name: str
    summary: str
    wrong: bool | None = None
    result: str = ""
    output: str = ""
    """The blob with all of that."""
    writes: str = ""
    """A digest of what it was to write, "" where that is nothing, or not known."""

    @property
    def asked(self) -> tuple[str, str, str]:
        """What it was to do."""
        return self.name, self.summary, self.writes


@dataclass(frozen=True)
class Step:
    """A turn of one tape."""

    turn: int
    seq: int
    calls: tuple[str, ...] = ()
    tools: tuple[Used, ...] = ()
    tokens: int = 0
    error: str = ""

    @property
    def asked(self) -> tuple[tuple[str, str, str], ...]:
        """What its tools were to do."""
        return tuple(tool.asked for tool in self.tools)

    @property
    def came(self) -> tuple[tuple[bool | None, str], ...]:
        """What came of that."""
        return tuple((tool.wrong, tool.result) for tool in self.tools)


class Kind(StrEnum):
    """How two steps stand to each other."""

    SAME = "same"
    """The same was done, with the same result."""
    RESULT = "other result"
    """The same was done, and something else came of it."""
    OTHER = "other"
    """Something else was done."""
    LEFT = "left only"
    RIGHT = "right only"


@dataclass(frozen=True)
class Pair:
    """A row: the numbers of a step of each tape, from 0; None where one has none there."""

    kind: Kind
    left: int | None
    right: int | None


@dataclass(frozen=True)
class Alignment:
    """All rows; `parts` is the first in which something else was done, None where nothing was. A tape that only goes on
    longer parts where the other ends."""

    pairs: tuple[Pair, ...]
    parts: int | None = None
    counts: dict[Kind, int] = field(default_factory=dict)

    def next(self, row: int, by: int) -> int | None:
        """The next row that is not the same, or the one before."""
        at = row + by
        while 0 <= at < len(self.pairs):
            if self.pairs[at].kind is not Kind.SAME:
                return at
            at += by
        return None


def steps(events: Iterable[Event]) -> list[Step]:
    """One subagent's turns. What it did before it was started anew doesn't count; what its agent's own subagents did is
    left out."""
    found: list[Step] = []
    own: dict[str, int] = {}
    """The step of each turn number, and of each call."""
    threads: dict[str, int | None] = {}
    for event in events:
        match event.payload:
            case SubagentRestarted():
                found, own, threads = [], {}, {}
            case TurnStarted(turn=turn, thread=thread, under=under):
                threads[thread] = None if under else len(found)
                if not under:
                    own[f"t{turn}"] = len(found)
                    found.append(Step(turn, event.seq))
            case CallStarted(call=call, parent=parent, thread=thread) if not parent:
                at = threads.get(thread, len(found) - 1 if found else None)
                if at is not None:
                    own[call] = at
                    found[at] = replace(found[at], calls=(*found[at].calls, call))
            case CallFinished() as ended if not ended.parent and ended.call in own:
                at = own[ended.call]
                tokens = found[at].tokens + ended.usage.total
                found[at] = replace(found[at], tokens=tokens, error=ended.error)
            case ToolStarted() as began if f"t{began.turn}" in own:
                at = own[f"t{began.turn}"]
                used = Used(began.tool_call, began.name, began.summary)
                found[at] = replace(found[at], tools=(*found[at].tools, used))
            case ToolFinished() as done if f"t{done.turn}" in own:
                at = own[f"t{done.turn}"]
                tools = tuple(
                    replace(tool, wrong=went_wrong(done), result=done.summary, output=done.result)
                    if tool.id == done.tool_call
                    else tool
                    for tool in found[at].tools
                )
                found[at] = replace(found[at], tools=tools)
    return found


def shared(left: Step, right: Step) -> frozenset[tuple[object, ...]]:
    """What tools did in both, with the same result."""
    return frozenset(map(_done, left.tools)) & frozenset(map(_done, right.tools))


def is_shared(tool: Used, both: frozenset[tuple[object, ...]]) -> bool:
    """Whether a tool call is among those."""
    return _done(tool) in both


def _done(tool: Used) -> tuple[object, ...]:
    return *tool.asked, tool.wrong, tool.result


def align(left: Sequence[Step], right: Sequence[Step]) -> Alignment:
    """The rows of two tapes."""
    common = 0
    while common < min(len(left), len(right)) and left[common].asked == right[common].asked:
        common += 1
    pairs = [_pair(left, right, at, at) for at in range(common)]
    ours, theirs = left[common:], right[common:]
    parts = common if ours or theirs else None
    if len(ours) * len(theirs) > MOST:
        pairs += _by_number(left, right, common, len(left), common, len(right))
    else:
        match = SequenceMatcher(None, [one.asked for one in ours], [one.asked for one in theirs], autojunk=False)
        for tag, a, b, c, d in match.get_opcodes():
            if tag == "equal":
                pairs += [_pair(left, right, common + a + n, common + c + n) for n in range(b - a)]
            else:
                pairs += _by_number(left, right, common + a, common + b, common + c, common + d)
    counts = {kind: sum(pair.kind is kind for pair in pairs) for kind in Kind}
    return Alignment(tuple(pairs), parts, counts)


def _pair(left: Sequence[Step], right: Sequence[Step], one: int, other: int) -> Pair:
    if left[one].asked != right[other].asked:
        return Pair(Kind.OTHER, one, other)
    return Pair(Kind.SAME if left[one].came == right[other].came else Kind.RESULT, one, other)


def _by_number(left: Sequence[Step], right: Sequence[Step], a: int, b: int, c: int, d: int) -> list[Pair]:
    """Steps that have nothing in common, beside each other as long as both tapes have some."""
    both = min(b - a, d - c)
    rows = [_pair(left, right, a + n, c + n) for n in range(both)]
    rows += [Pair(Kind.LEFT, n, None) for n in range(a + both, b)]
    return [*rows, *(Pair(Kind.RIGHT, None, n) for n in range(c + both, d))]


def counterparts(board: Board, who: SubagentId) -> list[SubagentId]:
    """With whom a subagent is best compared: the same strategy in other generations, nearest first; then those of its
    generation that ended otherwise; then the rest."""
    own = board.lane(who)
    if own is None:
        return []
    others = [
        lane for generation in board.generations.values() for lane in generation.lanes.values() if lane is not own
    ]

    def worth(lane: Lane) -> tuple[int, int, int, SubagentId]:
        same = lane.plan.strategy.name == own.plan.strategy.name and lane.plan.clean == own.plan.clean
        away = abs(lane.id.generation - who.generation)
        if same and away:
            return 0, away, -lane.id.generation, lane.id
        return (1 if not away and lane.solved != own.solved else 2), away, 0, lane.id

    return [lane.id for lane in sorted(others, key=worth)]
