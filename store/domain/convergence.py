"""How runs converge, in numbers: by generation, by model, by strategy, and why attempts failed.

A pure function of boards, one or several. Whatever is not known yet is None or left out, never zero.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from store.domain.board import Board, Generation
from store.domain.effect import Comparison, effects
from store.domain.lane import Lane
from store.domain.limits import Spend
from store.domain.states import Ending, Validity
from store.domain.task import Memory


class Arm(StrEnum):
    """What a lane remembers. The value is the word that people see."""

    MEMORY = "with memory"
    CLEAN = "clean"
    """Nothing: a clean lane, or any lane of a control run without memory."""
    SHUFFLED = "shuffled"
    """What was learned on another task: a control run's."""


@dataclass(frozen=True)
class Tally:
    """Lanes, how many of them have their verdict, and how many are solved."""

    lanes: int = 0
    judged: int = 0
    solved: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.lanes + other.lanes, self.judged + other.judged, self.solved + other.solved)

    @property
    def share(self) -> float | None:
        """Solved of those with a verdict; None without one."""
        return self.solved / self.judged if self.judged else None


@dataclass(frozen=True)
class Point:
    """One generation, over all runs that came to it. `known` and `injected` are observations of a run, on average;
    `known` is None until one has been observed."""

    number: int
    runs: int
    arms: Mapping[Arm, Tally]
    known: float | None
    injected: float
    spend: Spend
    over: bool
    """No lane of it is at work any more, in any run."""

    def tally(self, arm: Arm) -> Tally:
        return self.arms.get(arm, Tally())


@dataclass(frozen=True)
class ModelCost:
    """What one model used. What was lost when a subagent was started anew is in it."""

    model: str
    tally: Tally
    spend: Spend

    @property
    def per_solved(self) -> float | None:
        """US dollars for each solved lane, with the failed ones; None when none is solved."""
        return self.spend.usd / self.tally.solved if self.tally.solved else None


@dataclass(frozen=True)
class Failure:
    """Why lanes that are not solved ended so. `generations` counts them by generation."""

    kind: str
    count: int
    generations: Mapping[int, int]


@dataclass(frozen=True)
class Outcome:
    """What came of one strategy, with or without memory. `lanes` are its lanes by generation, over all runs; `fewest`
    is the fewest failures that the check counted on any of its patches, None where it counted none."""

    strategy: str
    arm: Arm
    tally: Tally
    lanes: Mapping[int, Tally]
    spend: Spend
    fewest: int | None


@dataclass(frozen=True)
class OneRun:
    """One of several runs, to be set beside the others."""

    run: str
    title: str
    memory: Memory
    tally: Tally
    known: int
    first_solved: int | None
    shares: tuple[float | None, ...]
    """Solved share of each generation, clean lanes aside unless it has no other."""
    spend: Spend


@dataclass(frozen=True)
class Convergence:
    """All of it. `planned` is the most generations that any of the runs may have."""

    runs: tuple[OneRun, ...] = ()
    planned: int = 0
    points: tuple[Point, ...] = ()
    models: tuple[ModelCost, ...] = ()
    failures: tuple[Failure, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    arms: Mapping[Arm, Tally] = field(default_factory=dict)
    """From the generation on in which lanes are told anything, `since`: the second, for in the first nobody remembers
    anything; the first where a run started from an earlier one's observations."""
    since: int = 2
    memory: Comparison = field(default_factory=Comparison)
    """Lanes that were told something beside clean ones of the same generations, with the interval."""
    spend: Spend = field(default_factory=Spend)

    @property
    def first_solved(self) -> int | None:
        """The first generation in which any lane of any run is solved."""
        return min((run.first_solved for run in self.runs if run.first_solved is not None), default=None)

    def solved_by(self, number: int) -> int:
        """Runs with a solved lane in that generation or before: one that stops when it is solved has no later ones."""
        return sum(run.first_solved is not None and run.first_solved <= number for run in self.runs)


def convergence(boards: Iterable[Board]) -> Convergence:
    """The numbers of these runs together. Runs without a generation count as runs, and for nothing else."""
    known = [board for board in boards if board.order is not None]
    placed = [(board, generation) for board in known for generation in board.generations.values()]
    lanes = [(board, lane) for board, generation in placed for lane in generation.lanes.values()]
    numbers = sorted({generation.number for _, generation in placed})
    return Convergence(
        runs=tuple(map(_run, known)),
        planned=max((board.task.generations for board in known), default=0),
        points=tuple(_point(n, [(b, g) for b, g in placed if g.number == n]) for n in numbers),
        models=_models(lanes, placed),
        failures=_failures(lane for _, lane in lanes),
        outcomes=_outcomes(lanes),
        arms=_arms((board, lane) for board, lane in lanes if lane.id.generation >= _since(board)),
        since=min(map(_since, known), default=2),
        memory=_memory(known),
        spend=_spent(generation for _, generation in placed),
    )


def arm(board: Board, lane: Lane) -> Arm:
    """What a lane remembers."""
    if lane.plan.clean or board.task.memory is Memory.NONE:
        return Arm.CLEAN
    return Arm.SHUFFLED if board.task.memory is Memory.SHUFFLED else Arm.MEMORY


def failure(lane: Lane) -> str:
    """Why a lane that has its verdict is not solved, in a few words; "" where it is, or has none."""
    if lane.checked is None or lane.solved:
        return ""
    if lane.validity not in (None, Validity.VALID, Validity.CUT_OFF):
        return str(lane.validity)
    ending, result = lane.ended.ending if lane.ended else None, lane.checked.result
    if ending not in (None, Ending.SUBMITTED):
        return "gave up" if ending is Ending.SILENT else str(ending)
    if not lane.checked.patch:
        return "changed nothing"
    if result is None or result.broken:
        return "check broken"
    return "check timed out" if result.exit_code is None else "check fails"


def _since(board: Board) -> int:
    first = board.generations.get(1)
    return 1 if first is not None and first.told else 2


def _memory(boards: Sequence[Board]) -> Comparison:
    return effects([(board, None) for board in boards]).overall


def _run(board: Board) -> OneRun:
    generations = sorted(board.generations.values(), key=lambda generation: generation.number)
    first = next((g.number for g in generations if any(lane.solved for lane in g.lanes.values())), None)
    return OneRun(
        run=board.run,
        title=board.order.title if board.order else "",
        memory=board.task.memory,
        tally=sum((_tally(generation.lanes.values()) for generation in generations), Tally()),
        known=board.known,
        first_solved=first,
        shares=tuple(_share(generation) for generation in generations),
        spend=_spent(generations),
    )


def _share(generation: Generation) -> float | None:
    lanes = generation.lanes.values()
    return _tally([lane for lane in lanes if not lane.plan.clean] or lanes).share


def _point(number: int, placed: Sequence[tuple[Board, Generation]]) -> Point:
    observed = [generation.known for _, generation in placed if generation.observed is not None]
    lanes = [(board, lane) for board, generation in placed for lane in generation.lanes.values()]
    return Point(
        number=number,
        runs=len(placed),
        arms=_arms(lanes),
        known=sum(observed) / len(observed) if observed else None,
        injected=sum(generation.injected for _, generation in placed) / len(placed),
        spend=_spent(generation for _, generation in placed),
        over=all(lane.checked is not None for _, lane in lanes),
    )


def _arms(lanes: Iterable[tuple[Board, Lane]]) -> dict[Arm, Tally]:
    found: dict[Arm, Tally] = {}
    for board, lane in lanes:
        which = arm(board, lane)
        found[which] = found.get(which, Tally()) + _tally([lane])
    return found


def _models(lanes: Iterable[tuple[Board, Lane]], placed: Iterable[tuple[Board, Generation]]) -> tuple[ModelCost, ...]:
    found: dict[str, list[Lane]] = {}
    for board, lane in lanes:
        model = lane.model or lane.plan.strategy.model or board.task.model
        found.setdefault(model, []).append(lane)
    costs = [ModelCost(model, _tally(of), _spend(of)) for model, of in found.items()]
    asked: dict[str, Spend] = {}
    for board, generation in placed:
        if generation.observing != Spend():
            name = f"{generation.reader or board.task.observer_model} (observer)"
            asked[name] = asked.get(name, Spend()) + generation.observing
    costs += [ModelCost(name, Tally(), spend) for name, spend in asked.items()]
    return tuple(sorted(costs, key=lambda cost: (-cost.spend.usd, cost.model)))


def _failures(lanes: Iterable[Lane]) -> tuple[Failure, ...]:
    counts: dict[str, Counter[int]] = {}
    for lane in lanes:
        if kind := failure(lane):
            counts.setdefault(kind, Counter())[lane.id.generation] += 1
    found = [Failure(kind, by.total(), dict(sorted(by.items()))) for kind, by in counts.items()]
    return tuple(sorted(found, key=lambda one: (-one.count, one.kind)))


def _outcomes(lanes: Iterable[tuple[Board, Lane]]) -> tuple[Outcome, ...]:
    found: dict[tuple[str, Arm], list[Lane]] = {}
    for board, lane in lanes:
        found.setdefault((lane.plan.strategy.name, arm(board, lane)), []).append(lane)
    outcomes = [
        Outcome(
            strategy=strategy,
            arm=which,
            tally=_tally(of),
            lanes={
                number: _tally([lane for lane in of if lane.id.generation == number])
                for number in sorted({lane.id.generation for lane in of})
            },
            spend=_spend(of),
            fewest=min(_counted(of), default=None),
        )
        for (strategy, which), of in found.items()
    ]
    order = list(Arm)
    return tuple(sorted(outcomes, key=lambda one: (order.index(one.arm), -(one.tally.share or 0.0))))


def _counted(lanes: Iterable[Lane]) -> Iterator[int]:
    for lane in lanes:
        if lane.checked and lane.checked.result and lane.checked.result.failures is not None:
            yield lane.checked.result.failures


def _tally(lanes: Iterable[Lane]) -> Tally:
    total = Tally()
    for lane in lanes:
        total += Tally(1, lane.checked is not None, lane.solved)
    return total


def _spent(generations: Iterable[Generation]) -> Spend:
    """With what the observer's model used."""
    return sum((generation.spend for generation in generations), Spend())


def _spend(lanes: Iterable[Lane]) -> Spend:
    return sum((lane.spend + lane.lost for lane in lanes), Spend())
