"""Two tapes side by side: their turns as steps, aligned up to where they part and, as far as they meet again, after it.

Pure. What a step is compared by is what its tools were asked to do: two models seldom say a thing in the same words.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
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
"""Pairs of steps that are looked at in one go to find where two tapes meet again: more would take seconds."""
PIECE = 500
"""Steps of a tape that are aligned in one go where two stretches are too long, and nothing in them is alone."""


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


Stretch = tuple[int, int, int, int]
"""From and to before which step of the left tape, and of the right one."""


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
    """The rows of two tapes.

    After the parting, tapes that are too long to be looked at in one go (`MOST`) are held together by what both did
    exactly once, as far as it comes in the same order (the patience diff's anchors), and aligned between these; a
    stretch that is still too long is cut into pieces that stand beside each other. So time and memory grow with the
    tapes' length, not with its square: two of 20,000 turns take about a second.
    """
    common = 0
    while common < min(len(left), len(right)) and left[common].asked == right[common].asked:
        common += 1
    pairs = [_pair(left, right, at, at) for at in range(common)]
    parts = common if len(left) > common or len(right) > common else None
    for stretch in _stretches(left, right, (common, len(left), common, len(right))):
        pairs += _aligned(left, right, stretch)
    counts = Counter(pair.kind for pair in pairs)
    return Alignment(tuple(pairs), parts, {kind: counts[kind] for kind in Kind})


def _stretches(left: Sequence[Step], right: Sequence[Step], whole: Stretch) -> Iterator[Stretch]:
    """Stretches of both tapes that follow each other, none of them too long."""
    a, b, c, d = whole
    if (b - a) * (d - c) <= MOST:
        yield whole
        return
    for one, other in [*_anchors(left, right, whole), (b, d)]:
        yield from _pieces((a, one, c, other))
        # With its anchor a stretch would be longer than it may be.
        if one < b:
            yield one, one + 1, other, other + 1
        a, c = one + 1, other + 1


def _anchors(left: Sequence[Step], right: Sequence[Step], whole: Stretch) -> list[tuple[int, int]]:
    """Steps that are in both tapes and once in each, as many as come in the same order."""
    a, b, c, d = whole
    ours, theirs = Counter(step.asked for step in left[a:b]), Counter(step.asked for step in right[c:d])
    places = {right[at].asked: at for at in range(c, d) if theirs[right[at].asked] == 1}
    alone = [
        (at, places[left[at].asked]) for at in range(a, b) if ours[left[at].asked] == 1 and left[at].asked in places
    ]
    # The longest chain that grows on both sides: of all chains of a length, the one that ends earliest goes on best.
    ends: list[int] = []
    last: list[int] = []
    before: list[int | None] = []
    for number, (_, place) in enumerate(alone):
        length = bisect_left(ends, place)
        before.append(last[length - 1] if length else None)
        ends[length : length + 1] = [place]
        last[length : length + 1] = [number]
    chain: list[tuple[int, int]] = []
    at = last[-1] if last else None
    while at is not None:
        chain.append(alone[at])
        at = before[at]
    return chain[::-1]


def _pieces(stretch: Stretch) -> Iterator[Stretch]:
    """A stretch, in as many parts as it takes that none is too long."""
    a, b, c, d = stretch
    most = max(b - a, d - c)
    count = 1 if (b - a) * (d - c) <= MOST else -(-most // PIECE)
    for n in range(count):
        first, stop = n / count, (n + 1) / count
        yield (
            a + round((b - a) * first),
            a + round((b - a) * stop),
            c + round((d - c) * first),
            c + round((d - c) * stop),
        )


def _aligned(left: Sequence[Step], right: Sequence[Step], stretch: Stretch) -> Iterator[Pair]:
    """The rows of a stretch."""
    a, b, c, d = stretch
    ours, theirs = [one.asked for one in left[a:b]], [one.asked for one in right[c:d]]
    for tag, i, j, k, n in SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes():
        if tag == "equal":
            yield from (_pair(left, right, a + i + step, c + k + step) for step in range(j - i))
        else:
            yield from _by_number(left, right, a + i, a + j, c + k, c + n)


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
