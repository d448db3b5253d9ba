"""Whether memory helps, in numbers: each observation's lanes beside those without it, and memory beside clean lanes.

Lanes are compared within a generation of a run only (`store.domain.intervals` says by what methods, and from where).
Who is told what is drawn by lot where a generation has enough lanes, so that the comparison means something; who is
clean is not, and a clean lane lacks everything at once. Only lanes with a verdict that could work count, and none that
the operator stepped into.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from store.domain.board import Board, Generation
from store.domain.ids import SubagentId
from store.domain.intervals import Count, Difference, Interval, Shift, by_chance, difference, shift, wilson
from store.domain.lane import Lane
from store.domain.limits import LIMITS_RAISED
from store.domain.observations.model import Document, Observation, Status, heirs
from store.domain.task import Memory

LEAST_GIVEN, LEAST_CLEAN = 3, 2
"""Lanes with an observation, and clean ones beside them, from which on quarantine may be proposed."""


class Verdict(StrEnum):
    """What a comparison shows. The value is the word that people see."""

    HELPS = "better with it"
    HARMS = "worse with it"
    OPEN = "too few to say"
    NONE = "not compared"


@dataclass(frozen=True)
class Sample:
    """Lanes of one sort: how many are solved, and what those whose price is known cost, in US dollars."""

    count: Count = field(default_factory=lambda: Count(0, 0))
    usd: tuple[float, ...] = ()
    tokens: int = 0
    """Of all of them together."""

    def __add__(self, other: "Sample") -> "Sample":
        return Sample(self.count + other.count, self.usd + other.usd, self.tokens + other.tokens)

    @property
    def interval(self) -> Interval | None:
        """Of its solved share, by itself; None without lanes."""
        share = self.count.share
        return None if share is None else wilson(share, self.count.lanes)

    @property
    def mean_usd(self) -> float | None:
        """US dollars a lane; None where no price is known."""
        return sum(self.usd) / len(self.usd) if self.usd else None


@dataclass(frozen=True)
class Comparison:
    """Lanes with something beside lanes without it, in the `generations` that have both. `solved` is the difference of
    their shares, `usd` by how much a lane with it costs more; None where there is nothing to compare."""

    given: Sample = field(default_factory=Sample)
    without: Sample = field(default_factory=Sample)
    generations: int = 0
    solved: Difference | None = None
    usd: Shift | None = None

    @property
    def verdict(self) -> Verdict:
        if self.solved is None:
            return Verdict.NONE
        if not self.solved.sure:
            return Verdict.OPEN
        return Verdict.HELPS if self.solved.estimate > 0 else Verdict.HARMS


@dataclass(frozen=True)
class Effect:
    """One observation, over all runs whose lanes could be told it. `given` are all lanes that were; `memory` compares
    them with lanes that were told other observations but not this one, `clean` with lanes that were told nothing.
    `cited` counts lanes that said they used it, `shown` those whose tape bears that out. `quarantine` is why it is
    proposed for that, "" where it is not."""

    id: str
    fingerprint: str
    status: Status
    given: Sample
    memory: Comparison
    clean: Comparison
    runs: int = 0
    cited: int = 0
    shown: int = 0
    quarantine: str = ""

    @property
    def best(self) -> Comparison:
        """The comparison that says most: with other lanes that have memory, else with clean ones."""
        return self.memory if self.memory.solved is not None else self.clean


@dataclass(frozen=True)
class Pair:
    """One generation, over all runs that came to it: lanes with memory and clean ones, a point of either curve. A
    generation of which lanes are at work has no point yet: both are empty then."""

    number: int
    runs: int
    memory: Sample
    clean: Sample


@dataclass(frozen=True)
class Effects:
    """All of it. `pairs` are the two curves, `overall` compares memory with clean where anybody was told anything.
    `left_out` counts lanes that do not count, by why."""

    effects: tuple[Effect, ...] = ()
    pairs: tuple[Pair, ...] = ()
    overall: Comparison = field(default_factory=Comparison)
    left_out: Mapping[str, int] = field(default_factory=dict)

    def of(self, name: str) -> Effect | None:
        """The effect of the observation with that id."""
        return next((one for one in self.effects if one.id == name), None)


def effects(runs: Iterable[tuple[Board, Document | None]], of: Document | None = None) -> Effects:
    """The numbers of these runs together, for the observations of one document, by default the last run's.

    Runs are of one task: the same repository and check (`same_task`). An observation is the same in two runs when its
    fingerprint is; one that was merged or split counts for what it became. A run and its replays are the same
    attempts, and count once. Pure; the numbers don't hang on the order of the runs.
    """
    named = [(board, document) for board, document in runs if board.order is not None]
    known = _once(named)
    placed = [
        (board, document, generation)
        for board, document in known
        for generation in board.generations.values()
        if board.task.memory is not Memory.SHUFFLED
    ]
    if of is None:
        of = next((document for _, document in reversed(named) if document is not None), None)
    strata = [_stratum(board, document, of, generation) for board, document, generation in placed]
    numbers = sorted({one.number for one in strata})
    told = [one for one in strata if one.told]
    return Effects(
        effects=tuple(_effect(one, told) for one in (of.observations if of is not None else ()) if not one.merged_into),
        pairs=tuple(_pair(number, [one for one in strata if one.number == number]) for number in numbers),
        overall=_compared(
            [(one.lanes(lambda lane: not lane.clean), one.lanes(lambda lane: lane.clean)) for one in told]
        ),
        left_out=_left_out(generation for _, _, generation in placed),
    )


def _once(runs: Sequence[tuple[Board, Document | None]]) -> list[tuple[Board, Document | None]]:
    """One of each run and its replays: the run itself where it is there."""
    there = {board.run: (board, document) for board, document in runs}
    boards = {name: board for name, (board, _) in there.items()}

    def played(board: Board) -> str:
        """Whose attempts these are."""
        seen = {board.run}
        while board.order is not None and board.order.replay is not None and board.order.replay.run not in seen:
            name = board.order.replay.run
            if name not in boards:
                return name
            seen.add(name)
            board = boards[name]
        return board.run

    first: dict[str, Board] = {}
    for board in sorted(boards.values(), key=lambda board: (board.run != played(board), board.run)):
        first.setdefault(played(board), board)
    return [(board, document) for board, document in there.values() if first[played(board)] is board]


def same_task(board: Board, other: Board) -> bool:
    """Whether two runs work on the same thing: the same repository, under the same check."""
    if board.order is None or other.order is None:
        return False
    one, two = board.task, other.task
    return bool(one.repository) and (one.repository, one.check.command) == (two.repository, two.check.command)


@dataclass(frozen=True)
class _Told:
    """A lane that counts: whether it is clean, and the fingerprints of what it was told and of what it cites, with
    whether its tape bears that out."""

    lane: Lane
    clean: bool
    fingerprints: frozenset[str]
    cited: Mapping[str, bool]


@dataclass(frozen=True)
class _Stratum:
    run: str
    number: int
    told: bool
    """Some lane of it was told something."""
    over: bool
    members: tuple[_Told, ...]

    def lanes(self, which: Callable[[_Told], bool]) -> list[Lane]:
        return [one.lane for one in self.members if which(one)]


def _stratum(board: Board, own: Document | None, of: Document | None, generation: Generation) -> _Stratum:
    names: dict[str, frozenset[str]] = {}

    def marks(name: str) -> frozenset[str]:
        if name not in names:
            names[name] = _fingerprints(name, own, of)
        return names[name]

    members = []
    for lane in generation.lanes.values():
        if why_not(lane):
            continue
        cited: dict[str, bool] = {}
        for citation in lane.cited:
            for mark in marks(citation.observation):
                cited[mark] = cited.get(mark, False) or citation.shown is True
        clean = lane.plan.clean or board.task.memory is Memory.NONE
        told = frozenset().union(*map(marks, lane.injected))
        members.append(_Told(lane, clean, told, cited))
    return _Stratum(
        run=board.run,
        number=generation.number,
        told=any(lane.injected for lane in generation.lanes.values()),
        over=all(lane.checked is not None for lane in generation.lanes.values()),
        members=tuple(members),
    )


def _fingerprints(name: str, own: Document | None, of: Document | None) -> frozenset[str]:
    """What an id of a run stands for in the document that is asked about."""
    if own is None:
        return frozenset()
    marks = {o.id: o.fingerprint for o in own.observations}
    found = {marks[heir] for heir in heirs(own, name)} | ({marks[name]} if name in marks else set())
    if of is None or of is own:
        return frozenset(found)
    # What has become of it there may be something else than here.
    ids = {o.fingerprint: o.id for o in of.observations}
    by_id = {o.id: o.fingerprint for o in of.observations}
    return frozenset(by_id[heir] for mark in found if mark in ids for heir in heirs(of, ids[mark]))


def why_not(lane: Lane) -> str:
    """Why a lane counts for nothing here, "" when it counts."""
    if lane.checked is None:
        return "no verdict yet"
    if lane.idle:
        return "could not work"
    if lane.forked_from is not None:
        return "forked"
    if any(one.turn is not None and not one.text.startswith(LIMITS_RAISED) for one in lane.steering):
        return "steered"
    return ""


def _left_out(generations: Iterable[Generation]) -> dict[str, int]:
    found: dict[str, int] = {}
    for generation in generations:
        for lane in generation.lanes.values():
            if why := why_not(lane):
                found[why] = found.get(why, 0) + 1
    return found


def _sample(lanes: Sequence[Lane]) -> Sample:
    return Sample(
        Count(sum(lane.solved for lane in lanes), len(lanes)),
        tuple(sorted(lane.spend.usd for lane in lanes if lane.spend.priced)),
        sum(lane.spend.usage.total for lane in lanes),
    )


def _compared(strata: Sequence[tuple[Sequence[Lane], Sequence[Lane]]]) -> Comparison:
    both = [(_sample(given), _sample(without)) for given, without in strata if given and without]
    return Comparison(
        given=sum((given for given, _ in both), Sample()),
        without=sum((without for _, without in both), Sample()),
        generations=len(both),
        solved=difference([(given.count, without.count) for given, without in both]),
        usd=shift([(given.usd, without.usd) for given, without in both]),
    )


def _effect(observation: Observation, strata: Sequence[_Stratum]) -> Effect:
    mark = observation.fingerprint

    def compared(with_memory: bool) -> Comparison:
        return _compared(
            [
                (
                    one.lanes(lambda lane: mark in lane.fingerprints),
                    one.lanes(lambda lane: mark not in lane.fingerprints and lane.clean is not with_memory),
                )
                for one in strata
            ]
        )

    given = [(one.run, lane) for one in strata for lane in one.members if mark in lane.fingerprints]
    memory, clean = compared(True), compared(False)
    return Effect(
        id=observation.id,
        fingerprint=mark,
        status=observation.status,
        given=_sample([told.lane for _, told in given]),
        memory=memory,
        clean=clean,
        runs=len({run for run, _ in given}),
        cited=sum(mark in told.cited for _, told in given),
        shown=sum(told.cited.get(mark, False) for _, told in given),
        quarantine=_quarantine(observation, memory, clean),
    )


def _quarantine(observation: Observation, memory: Comparison, clean: Comparison) -> str:
    """Why an observation is proposed for quarantine: its lanes do worse than clean ones, and no better than lanes that
    had other observations."""
    if observation.status in (Status.DROPPED, Status.EXPIRED, Status.QUARANTINED) or clean.solved is None:
        return ""
    few = clean.given.count.lanes < LEAST_GIVEN or clean.without.count.lanes < LEAST_CLEAN
    if few or clean.solved.estimate >= 0 or (memory.solved is not None and memory.solved.estimate > 0):
        return ""
    given, without = clean.given.count, clean.without.count
    chance = "" if clean.solved.sure else f"; that may be chance, which does as much {by_chance(clean.solved)}"
    return (
        f"its lanes solved {given.solved} of {given.lanes}, clean ones of the same generations {without.solved} of "
        f"{without.lanes}{chance}"
    )


def _pair(number: int, strata: Sequence[_Stratum]) -> Pair:
    over = [one for one in strata if one.over]
    return Pair(
        number=number,
        runs=len(strata),
        memory=_sample([lane for one in over for lane in one.lanes(lambda lane: not lane.clean)]),
        clean=_sample([lane for one in over for lane in one.lanes(lambda lane: lane.clean)]),
    )


def given_and_cited(document: Document, lanes: Iterable[Lane]) -> Document:
    """The document with which of these attempts had each observation in their prompt, and which said they used it."""
    attempts = list(lanes)
    ours = {lane.id for lane in attempts}
    given: dict[str, set[SubagentId]] = {}
    cited: dict[str, set[SubagentId]] = {}
    for lane in attempts:
        for name in lane.injected:
            for heir in {name, *heirs(document, name)}:
                given.setdefault(heir, set()).add(lane.id)
        for citation in lane.cited:
            for heir in {citation.observation, *heirs(document, citation.observation)}:
                cited.setdefault(heir, set()).add(lane.id)

    def noted(o: Observation) -> Observation:
        # Read again, an attempt counts as it is now.
        had = (set(o.given_to) - ours) | given.get(o.id, set())
        used = (set(o.cited_by) - ours) | cited.get(o.id, set())
        return replace(o, given_to=tuple(sorted(had)), cited_by=tuple(sorted(used)))

    return replace(document, observations=tuple(map(noted, document.observations)))
