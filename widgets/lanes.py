"""Which lanes are shown, in which order, and which of them need the operator. Pure."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from store.domain.board import Lane
from store.domain.secrets import shown_line
from store.domain.states import AlertLevel, SubagentState
from widgets.ink import Span
from widgets.states import ALERT, alerted

NEARLY = 0.9
"""Share of a limit from which it is nearly used up."""


STUCK = 1
"""The rank of a need of who is stuck; a lower one is of who could not work at all."""


@dataclass(frozen=True)
class Seat:
    """A lane as the operator's view of it: `handled` counts the alerts that the operator has acted on, `open` says that
    its generation may still change, `stalled` that no engine works on it."""

    lane: Lane
    now: float
    marked: bool = False
    handled: int = 0
    open: bool = True
    stalled: bool = False


@dataclass(frozen=True)
class Need:
    """Why a lane needs the operator; the lower the rank, the more. `mark` is its glyph and the glyph's ink."""

    rank: int
    words: str
    mark: Span = ("⚠", "warn")


def used(lane: Lane, now: float) -> tuple[float, str]:
    """The limit that is used up most: its share and its name; (0, "") where nothing is limited."""
    spend, limits = lane.spent(now), lane.limits
    shares = (
        (spend.turns, limits.turns, "turns"),
        (spend.usage.total, limits.tokens, "tokens"),
        (spend.usd, limits.usd, "money"),
        (spend.seconds, limits.seconds, "time"),
    )
    return max(((used / most, name) for used, most, name in shares if most), default=(0.0, ""))


def progress(lane: Lane) -> float:
    """Share of its turns that it has used; without a limit, its turns as a number that grows towards 1."""
    return lane.turn / lane.limits.turns if lane.limits.turns else lane.turn / (lane.turn + 50)


def need(seat: Seat) -> Need | None:
    """What the operator could do something about now; None where the lane gets along."""
    lane = seat.lane
    if lane.state is SubagentState.FAILED and seat.open:
        return Need(0, "could not work")
    if lane.state.final or lane.state is SubagentState.CHECKING:
        return None
    if lane.alerts > seat.handled and lane.level is not AlertLevel.NOTE:
        shown = ALERT[lane.level]
        rank = STUCK if lane.level is AlertLevel.STUCK else STUCK + 1
        return Need(rank, alerted(lane.level, lane.alert), (shown.glyph, shown.ink))
    if lane.state is SubagentState.PAUSED:
        return Need(3, "paused")
    share, limit = used(lane, seat.now)
    if share >= NEARLY:
        return Need(4, f"nearly out of {limit}")
    return None


class Sort(Enum):
    """The orders. The value is what people see."""

    NEED = "who needs you"
    LANE = "lane"
    STATE = "state"
    COST = "cost"
    PROGRESS = "progress"

    @property
    def next(self) -> "Sort":
        """The one after it, round and round."""
        all_of_them = list(Sort)
        return all_of_them[(all_of_them.index(self) + 1) % len(all_of_them)]


_STATES = (
    SubagentState.FAILED, SubagentState.PAUSED, SubagentState.RUNNING, SubagentState.STARTING, SubagentState.QUEUED,
    SubagentState.CHECKING, SubagentState.SOLVED, SubagentState.UNSOLVED, SubagentState.KILLED,
)  # fmt: skip
"""What can still be helped comes first, what is over last."""


def _key(seat: Seat, sort: Sort) -> tuple[float, ...]:
    lane = seat.lane
    number = lane.id.lane
    match sort:
        case Sort.NEED:
            needed = need(seat)
            return (needed.rank if needed else 9, number)
        case Sort.STATE:
            return (_STATES.index(lane.state), number)
        case Sort.COST:
            return (-lane.spend.usd, -lane.spend.usage.total, number)
        case Sort.PROGRESS:
            return (-progress(lane), number)
        case _:
            return (number,)


Test = Callable[[Seat], bool]


@dataclass(frozen=True)
class Filter:
    """What the operator typed, understood: all of its terms have to hold. `trouble` says what was not understood."""

    text: str = ""
    tests: tuple[Test, ...] = ()
    trouble: str = ""

    def __call__(self, seat: Seat) -> bool:
        return all(test(seat) for test in self.tests)


_COMPARED = re.compile(r"(cost|tokens|turns?|time|progress)(<=|>=|<|>|=)(.+)")
_AMOUNT = re.compile(r"\$?(\d+(?:\.\d+)?)([kKmMhs%]?)")
_UNITS = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "%": 0.01, "s": 1.0, "h": 3600.0}
_VALUES: dict[str, Callable[[Seat], float]] = {
    "cost": lambda seat: seat.lane.spend.usd,
    "tokens": lambda seat: seat.lane.spend.usage.total,
    "turn": lambda seat: seat.lane.turn,
    "time": lambda seat: seat.lane.work.read(seat.now),
    "progress": lambda seat: progress(seat.lane),
}
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
    "=": lambda a, b: a == b,
}
_WORDS: dict[str, Test] = {
    "needs": lambda seat: need(seat) is not None,
    "working": lambda seat: not seat.lane.state.final,
    "ended": lambda seat: seat.lane.state.final,
    "clean": lambda seat: seat.lane.plan.clean,
    "marked": lambda seat: seat.marked,
    "alert": lambda seat: seat.lane.alerts > 0,
    "stuck": lambda seat: bool(seat.lane.alert) and seat.lane.level is AlertLevel.STUCK,
    **{state.value: lambda seat, state=state: seat.lane.state is state for state in SubagentState},  # type: ignore[misc]  # mypy takes no default in a lambda
}
FILTERS = "running, paused, failed, solved, ended, needs, stuck, clean, marked, cost>0.5, turns>10, progress>50%, words"
"""What a filter understands, for the one who types it."""


def parse(text: str) -> Filter:
    """A filter: words that all have to hold; `-` before one turns it round, `|` between two takes either."""
    tests: list[Test] = []
    for term in text.split():
        found = _term(term)
        if isinstance(found, str):
            return Filter(text, (), found)
        tests.append(found)
    return Filter(text, tuple(tests))


def _term(term: str) -> Test | str:
    if term.startswith("-") and len(term) > 1:
        inner = _term(term[1:])
        return inner if isinstance(inner, str) else lambda seat: not inner(seat)
    if "|" in term:
        either = [_term(one) for one in term.split("|") if one]
        wrong = next((one for one in either if isinstance(one, str)), None)
        return wrong or (lambda seat: any(callable(one) and one(seat) for one in either))
    compared = _COMPARED.fullmatch(term.lower() if not term.endswith("M") else term)
    if compared:
        return _compared(*compared.groups())
    word = term.lower()
    return _WORDS.get(word) or (lambda seat: word in _said(seat.lane))


def _compared(name: str, sign: str, amount: str) -> Test | str:
    value, compare = _VALUES["turn" if name == "turns" else name], _COMPARE[sign]
    number = _AMOUNT.fullmatch(amount)
    if number is None:
        return f"{name}{sign}{shown_line(amount, 20)}: an amount is wanted, such as 10, 0.5, 40k, 50% or 5m"
    unit = number[2]
    scale = 60.0 if unit == "m" and name == "time" else 1e6 if unit == "m" else _UNITS[unit]
    bound = float(number[1]) * scale
    return lambda seat: compare(value(seat), bound)


def _said(lane: Lane) -> str:
    return f"{lane.id.label} {lane.plan.strategy.name} {lane.model} {lane.alert} {lane.last}".lower()


@dataclass
class Order:
    """The lanes as they stand on the screen. It changes when the operator asks for it, never by itself: only lanes that
    are new come in at the end, and those that are gone leave."""

    sort: Sort = Sort.NEED
    filter: Filter = field(default_factory=Filter)
    lanes: tuple[int, ...] = ()
    _all: frozenset[int] = frozenset()

    def settle(self, seats: Mapping[int, Seat]) -> None:
        """Bring filter and order up to date: the operator asked, or does not look."""
        self.lanes, self._all = self._wanted(seats.values()), frozenset(seats)

    def keep(self, seats: Mapping[int, Seat]) -> None:
        """Hold what stands there, whatever has changed."""
        if not self._all & seats.keys():
            self.settle(seats)
            return
        new = [lane for lane in seats if lane not in self._all and self.filter(seats[lane])]
        self.lanes = (*(lane for lane in self.lanes if lane in seats), *sorted(new))
        self._all = frozenset(seats)

    def stale(self, seats: Mapping[int, Seat]) -> bool:
        """Whether it would be another one now."""
        return self.lanes != self._wanted(seats.values())

    def _wanted(self, seats: Iterable[Seat]) -> tuple[int, ...]:
        shown = [seat for seat in seats if self.filter(seat)]
        return tuple(seat.lane.id.lane for seat in sorted(shown, key=lambda seat: _key(seat, self.sort)))


def needing(seats: Iterable[Seat]) -> list[tuple[Seat, Need]]:
    """Those that need the operator, most of all first."""
    found = [(seat, needed) for seat in seats if (needed := need(seat))]
    return sorted(found, key=lambda pair: (pair[1].rank, pair[0].lane.id.lane))


def next_needing(seats: Iterable[Seat], after: int | None) -> int | None:
    """The lane that `a` goes to from the selected one: round and round those that need the operator."""
    lanes = [seat.lane.id.lane for seat, _ in needing(seats)]
    if not lanes:
        return None
    return lanes[(lanes.index(after) + 1) % len(lanes)] if after in lanes else lanes[0]
