"""A run as its events tell it: what screens show, what the harness resumes from, what the report counts.

`Board.apply` folds one event after the other; nothing else changes a board. Reading it needs no store.
"""

from collections import Counter
from dataclasses import dataclass, field, replace

from store.domain.commands import Stop
from store.domain.events import (
    Alert,
    BaselineChecked,
    CallFinished,
    CommandSettled,
    EngineStarted,
    EngineStopped,
    Event,
    FinishRan,
    FinishStarted,
    GateOpened,
    GatePassed,
    GatesSet,
    GenerationDesigned,
    GenerationObserved,
    GenerationPlanned,
    ObservationsWritten,
    ObserverAsked,
    RunCreated,
    RunFinished,
    SandboxesPrepared,
    SandboxesPreparing,
    SubagentAdded,
    SubagentRestarted,
)
from store.domain.ids import OBSERVER, SubagentId
from store.domain.lane import Lane
from store.domain.limits import Limits, Spend, Stopwatch
from store.domain.states import RunState, Step
from store.domain.strategy import LanePlan
from store.domain.task import Task

__all__ = ["Board", "Generation", "Lane", "best_lane"]

_PREPARING = 40
"""Lines kept of what is made ready: more than a screen shows."""


@dataclass
class Generation:
    """One batch. `gate` is None before it opens; `observed` is None until the observer has read the tapes."""

    number: int
    lanes: dict[int, Lane]
    observed: GenerationObserved | None = None
    gate: GateOpened | None = None
    passed: GatePassed | None = None
    opened: float = 0.0
    """When its gate opened."""
    planned: tuple[LanePlan, ...] = ()
    """The lanes of the next generation as the operator wants them; none where nothing was changed."""
    told: int = 0
    """The version of the observations that its lanes start from."""
    observing: Spend = field(default_factory=Spend)
    """What the observer's model has used."""
    reader: str = ""
    """The model that was asked for the observer last, "" for none."""

    def overdue(self, now: float) -> bool:
        """Whether its gate has waited as long as it should."""
        seconds = self.gate.seconds if self.gate is not None else None
        return seconds is not None and self.passed is None and now >= self.opened + seconds

    def count(self, *, clean: bool) -> int:
        """Lanes of one sort."""
        return sum(lane.plan.clean == clean for lane in self.lanes.values())

    def solved(self, *, clean: bool) -> int:
        """Solved lanes of one sort."""
        return sum(lane.plan.clean == clean and lane.solved for lane in self.lanes.values())

    @property
    def known(self) -> int:
        """Live observations after it."""
        return self.observed.known if self.observed else 0

    @property
    def injected(self) -> int:
        """Observations that its lanes were given (the most that any lane was)."""
        return max((len(lane.injected) for lane in self.lanes.values()), default=0)

    @property
    def stalled(self) -> str:
        """Why none of its lanes could work, "" when one could: another generation would fare no better."""
        reasons = [lane.idle for lane in self.lanes.values()]
        if not reasons or not all(reasons):
            return ""
        (reason, _), *others = Counter(reasons).most_common()
        return reason if not others else f"{reason}; and others"

    @property
    def spend(self) -> Spend:
        """Turns, tokens and money of all its lanes and of the observer's model; seconds are the lanes' own."""
        return sum((lane.spend + lane.lost for lane in self.lanes.values()), self.observing)


@dataclass
class Board:
    """One run. `seq` is the last event applied; `at` its time."""

    run: str
    seq: int = 0
    at: float = 0.0
    created: float = 0.0
    ended: float | None = None
    order: RunCreated | None = None
    state: RunState = RunState.CHECKING
    preparing: list[str] = field(default_factory=list)
    """The latest lines of what is made ready for the sandboxes; none when they can be made."""
    baseline: BaselineChecked | None = None
    generations: dict[int, Generation] = field(default_factory=dict)
    engine: EngineStarted | None = None
    """The engine that works on it, by its own word: one that was killed could not say goodbye."""
    left: str = ""
    """Why the last engine left, in its own words; "" while one works, and after one that could not say it."""
    finished: RunFinished | None = None
    finish_started: FinishStarted | None = None
    finish_ran: FinishRan | None = None
    stopped: bool = False
    """The operator's order to end the run was taken; its end may not be recorded yet."""
    alerts: list[str] = field(default_factory=list)
    """What concerns no single lane."""
    gates_open: bool = False
    gate_seconds: float | None = None
    """How long a gate waits before it opens by itself; None is until the operator comes."""
    observations: int = 0
    """Version of the observations document."""
    known: int = 0
    work: Stopwatch = field(default_factory=Stopwatch)
    """Time in which an engine worked on it; waiting at a gate is left out."""

    @property
    def task(self) -> Task:
        """The run's orders. ValueError before its first event."""
        if self.order is None:
            raise ValueError(f"run {self.run} has no order yet")
        return self.order.task

    @property
    def generation(self) -> Generation | None:
        """The latest generation."""
        return self.generations[max(self.generations)] if self.generations else None

    def spent(self, now: float) -> Spend:
        """What the run has used so far: its lanes' turns, tokens and money, and its own time."""
        total = sum((generation.spend for generation in self.generations.values()), Spend())
        return replace(total, seconds=self.work.read(now))

    @property
    def waiting(self) -> bool:
        """At a gate that waits for the operator."""
        return self.state is RunState.GATE

    @property
    def lanes(self) -> list[Lane]:
        """The lanes of all generations, in order."""
        return [lane for generation in self.generations.values() for lane in generation.lanes.values()]

    def lane(self, subagent: SubagentId) -> Lane | None:
        """A subagent's lane, None when there is none."""
        generation = self.generations.get(subagent.generation)
        return generation.lanes.get(subagent.lane) if generation else None

    def tells(self, number: int) -> int:
        """The version of the observations that a generation starts from when it is designed now, 0 for none."""
        before = self.generations.get(number - 1)
        if before is None or before.passed is None or before.passed.told is None:
            return self.observations
        return before.passed.told

    def recalls(self, number: int) -> bool:
        """Whether there are earlier tapes that a generation may search: one that repeats the first has none either."""
        before = self.generations.get(number - 1)
        if before is None:
            return self.order is not None and bool(self.order.remembered)
        return not (before.passed is not None and before.passed.told == 0)

    def began(self, subagent: SubagentId) -> float:
        """When what counts of a subagent's work began; 0 where it has not."""
        lane = self.lane(subagent)
        return lane.began if lane is not None else 0.0

    def next_step(self) -> tuple[int, Step] | None:
        """The first step that is not finished, with its generation; None when the run is over."""
        if self.finished is not None:
            return None
        generation = self.generation
        if generation is None:
            return 1, Step.DESIGN
        number, lanes = generation.number, generation.lanes.values()
        if any(lane.ended is None for lane in lanes):
            return number, Step.LAUNCH if any(lane.attempt == 0 for lane in lanes) else Step.WATCH
        if any(lane.checked is None for lane in lanes):
            return number, Step.CHECK
        if generation.observed is None:
            return number, Step.OBSERVE
        if generation.passed is None:
            return number, Step.GATE
        return number + 1, Step.DESIGN

    def apply(self, event: Event) -> None:
        """Fold one event. Events that were applied before, and kinds that this version doesn't know, change nothing."""
        if event.seq <= self.seq or event.run != self.run:
            return
        before, self.seq, self.at = self.at, event.seq, event.at
        payload = event.payload
        generation = self.generations.get(event.generation) if event.generation is not None else None
        lane = generation.lanes.get(event.lane) if generation and event.lane is not None else None
        if lane is not None:
            lane.apply(event)
            if isinstance(payload, SubagentRestarted) and generation:
                if payload.plan is not None:
                    lane.plan, lane.limits = payload.plan, self._limits(payload.plan).with_own(lane.raised)
                lane.promised = lane.limits
                self._work_again(generation, event.at)
            return
        match payload:
            case RunCreated():
                self.order, self.created = payload, event.at
                self.gates_open, self.gate_seconds = payload.gates_open, payload.gate_seconds
            case EngineStarted():
                # Whoever worked under an engine that died has not worked since its last event.
                self._rest(before)
                self.engine, self.left = payload, ""
                if self.state is not RunState.GATE and self.finished is None:
                    self.work.start(event.at)
            case EngineStopped(reason=reason):
                self._rest(event.at)
                self.engine, self.left, self.preparing = None, reason, []
            case SandboxesPreparing(lines=lines):
                self.preparing = [*self.preparing, *lines][-_PREPARING:]
            case SandboxesPrepared():
                self.preparing = []
            case BaselineChecked():
                self.baseline, self.state = payload, RunState.CHECKING if payload.refused else RunState.RUNNING
            case GenerationDesigned() if event.generation is not None:
                self.generations[event.generation] = Generation(
                    event.generation,
                    {plan.lane: self._lane(event.generation, plan) for plan in payload.lanes},
                    told=self.tells(event.generation),
                )
                self.state = RunState.RUNNING
            case SubagentAdded(plan=plan) if generation:
                added = generation.lanes[plan.lane] = self._lane(generation.number, plan)
                added.forked_from = payload.forked_from
                self._work_again(generation, event.at)
            case CallFinished() if generation and event.lane == OBSERVER:
                generation.observing += payload.spend
            case ObserverAsked(model=model) if generation:
                generation.reader = model
            case GenerationObserved() if generation:
                generation.observed, self.known = payload, payload.known
            case ObservationsWritten():
                self.observations, self.known = payload.version, payload.known
            case GateOpened() if generation:
                self._at_gate(generation, payload, event.at)
            case GatesSet():
                self.gates_open, self.gate_seconds = payload.open, payload.seconds
                if self.waiting and self.generation is not None:
                    self._at_gate(self.generation, GateOpened(not payload.open, payload.seconds), event.at)
            case GenerationPlanned() if generation:
                generation.planned = payload.lanes
            case GatePassed() if generation:
                generation.passed = payload
                self._work_on(event.at)
                self.gates_open = self.gates_open or payload.rest
            case RunFinished():
                self.finished, self.state, self.ended = payload, payload.state, event.at
                self.work.stop(event.at)
            case FinishStarted():
                self.finish_started = payload
            case FinishRan():
                self.finish_ran = payload
            case CommandSettled(name=Stop.name, applied=True):
                self.stopped = True
            case Alert(text=text):
                self.alerts.append(text)

    def _at_gate(self, generation: Generation, gate: GateOpened, at: float) -> None:
        generation.gate, generation.opened = gate, at
        self.state = RunState.GATE if gate.waits else RunState.RUNNING
        if gate.waits:
            self.work.stop(at)

    def _work_again(self, generation: Generation, at: float) -> None:
        """There is something to do in it: what came of it so far, and its gate, don't count."""
        generation.observed = generation.gate = None
        self._work_on(at)

    def _work_on(self, at: float) -> None:
        self.state = RunState.RUNNING
        self.work.start(at)

    def _rest(self, at: float) -> None:
        self.work.stop(at)
        for generation in self.generations.values():
            for lane in generation.lanes.values():
                lane.work.stop(at)
                lane.tool = ""

    def _lane(self, generation: int, plan: LanePlan) -> Lane:
        limits = self._limits(plan)
        return Lane(SubagentId(self.run, generation, plan.lane), plan, limits, promised=limits)

    def _limits(self, plan: LanePlan) -> Limits:
        return self.task.limits.with_own(plan.strategy.limits)


def best_lane(board: Board) -> Lane | None:
    """The lane whose patch is worth most: the smallest that solves, else the fewest failures; None without one."""
    patched = [
        lane
        for generation in board.generations.values()
        for lane in generation.lanes.values()
        if lane.checked is not None and lane.checked.patch
    ]
    return min(patched, key=_worth, default=None)


def _worth(lane: Lane) -> tuple[bool, float, int, SubagentId]:
    checked = lane.checked
    assert checked is not None
    failures = checked.result.failures if checked.result else None
    size = checked.insertions + checked.deletions
    return not checked.solved, float("inf") if failures is None else failures, size, lane.id
