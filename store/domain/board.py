"""A run as its events tell it: what screens show, what the harness resumes from, what the report counts.

`Board.apply` folds one event after the other; nothing else changes a board. Reading it needs no store.
"""

from collections import Counter
from dataclasses import dataclass, field, replace

from store.domain.commands import Kill, Stop
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
    GenerationDesigned,
    GenerationObserved,
    ObservationsWritten,
    RunCreated,
    RunFinished,
    SandboxesPrepared,
    SandboxesPreparing,
    SubagentChecked,
    SubagentContinued,
    SubagentEnded,
    SubagentJudged,
    SubagentLaunched,
    SubagentPaused,
    SubagentRestarted,
    ToolFinished,
    ToolStarted,
    TurnStarted,
)
from store.domain.ids import SubagentId
from store.domain.limits import Limits, Spend, Stopwatch
from store.domain.states import COULD_NOT_WORK, Ending, RunState, Step, SubagentState, Validity
from store.domain.strategy import LanePlan
from store.domain.task import Task

_PREPARING = 40
"""Lines kept of what is made ready: more than a screen shows."""
_TEACHES_NOTHING = {Validity.NEVER_STARTED, Validity.INFRASTRUCTURE, Validity.RATE_LIMITED, Validity.CHECK_BROKEN}
"""Whatever the attempt was, it could not show what it is worth."""


@dataclass
class Lane:
    """One subagent. Times are Unix seconds; `tool` is the tool call that runs now, `last` the latest telling line."""

    id: SubagentId
    plan: LanePlan
    limits: Limits
    state: SubagentState = SubagentState.QUEUED
    turn: int = 0
    answered: int = 0
    """The last turn whose answer came whole: where a new engine goes on."""
    killed: bool = False
    """The operator's order to kill it was taken; its end may not be recorded yet."""
    spend: Spend = field(default_factory=Spend)
    """From its calls, without seconds: see `spent`."""
    lost: Spend = field(default_factory=Spend)
    """What it had used before it was started anew, which its limits don't count."""
    work: Stopwatch = field(default_factory=Stopwatch)
    """Pauses, and the time in which no engine lived, left out."""
    tool: str = ""
    last: str = ""
    alert: str = ""
    alerts: int = 0
    model: str = ""
    sandbox: str = ""
    attempt: int = 0
    began: float = 0.0
    """When what counts of its work began."""
    injected: tuple[str, ...] = ()
    injected_tokens: int = 0
    ended: SubagentEnded | None = None
    checked: SubagentChecked | None = None
    validity: Validity | None = None
    reason: str = ""
    observations: str = ""
    """The blob with the text of the observations in its prompt."""
    results: dict[str, ToolFinished] = field(default_factory=dict)
    """Tool calls that have their result, by the provider's id."""

    @property
    def solved(self) -> bool:
        return self.checked is not None and self.checked.solved

    @property
    def idle(self) -> str:
        """Why it could not work through no fault of its approach; "" when it could."""
        if self.solved:
            return ""
        if self.validity is not None:
            return self.reason if self.validity in _TEACHES_NOTHING else ""
        if self.ended is None or self.ended.ending not in COULD_NOT_WORK:
            return ""
        return self.ended.detail or str(self.ended.ending)

    @property
    def restartable(self) -> bool:
        """It could not work, or the check could not be run on what it did: another try may show more."""
        result = self.checked.result if self.checked is not None else None
        return self.state is SubagentState.FAILED or (result is not None and bool(result.broken))

    def spent(self, now: float) -> Spend:
        """What it has used so far, time included."""
        return replace(self.spend, seconds=self.work.read(now))


@dataclass
class Generation:
    """One batch. `gate` is None before it opens; `observed` is None until the observer has read the tapes."""

    number: int
    lanes: dict[int, Lane]
    observed: GenerationObserved | None = None
    gate: GateOpened | None = None
    passed: GatePassed | None = None
    told: int = 0
    """The version of the observations that its lanes start from."""

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
        """Turns, tokens and money of all its lanes; seconds are the lanes' own."""
        return sum((lane.spend + lane.lost for lane in self.lanes.values()), Spend())


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
    left: str = ""
    """Why the last engine left, in its own words; "" while one works, and after one that could not say it."""
    """The engine that works on it, by its own word: one that was killed could not say goodbye."""
    finished: RunFinished | None = None
    finish_started: FinishStarted | None = None
    finish_ran: FinishRan | None = None
    stopped: bool = False
    """The operator's order to end the run was taken; its end may not be recorded yet."""
    alerts: list[str] = field(default_factory=list)
    """What concerns no single lane."""
    gates_open: bool = False
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

    def lane(self, subagent: SubagentId) -> Lane | None:
        """A subagent's lane, None when there is none."""
        generation = self.generations.get(subagent.generation)
        return generation.lanes.get(subagent.lane) if generation else None

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
            _apply_to_lane(lane, event)
            if isinstance(payload, SubagentRestarted) and generation:
                generation.observed = generation.gate = None
                self._work_on(event.at)
            return
        match payload:
            case RunCreated():
                self.order, self.created, self.gates_open = payload, event.at, payload.gates_open
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
                    {
                        plan.lane: Lane(SubagentId(self.run, event.generation, plan.lane), plan, self._limits(plan))
                        for plan in payload.lanes
                    },
                    told=self.observations,
                )
                self.state = RunState.RUNNING
            case GenerationObserved() if generation:
                generation.observed, self.known = payload, payload.known
            case ObservationsWritten():
                self.observations, self.known = payload.version, payload.known
            case GateOpened() if generation:
                generation.gate = payload
                self.state = RunState.GATE if payload.waits else RunState.RUNNING
                if payload.waits:
                    self.work.stop(event.at)
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

    def _work_on(self, at: float) -> None:
        self.state = RunState.RUNNING
        self.work.start(at)

    def _rest(self, at: float) -> None:
        self.work.stop(at)
        for generation in self.generations.values():
            for lane in generation.lanes.values():
                lane.work.stop(at)
                lane.tool = ""

    def _limits(self, plan: LanePlan) -> Limits:
        return self.task.limits.with_own(plan.strategy.limits)


def _apply_to_lane(lane: Lane, event: Event) -> None:
    match event.payload:
        case SubagentLaunched() as payload:
            lane.state = SubagentState.PAUSED if lane.state is SubagentState.PAUSED else SubagentState.RUNNING
            lane.model, lane.sandbox, lane.attempt = payload.model, payload.sandbox, payload.attempt
            lane.injected, lane.injected_tokens = payload.injected, payload.injected_tokens
            lane.observations = payload.observations
            if payload.afresh:
                lane.answered, lane.spend, lane.work, lane.results = 0, Spend(), Stopwatch(), {}
            if payload.attempt == 1 or payload.afresh:
                lane.began = event.at
            # A turn that died with its engine begins again, and counts once.
            lane.turn = lane.answered
            lane.spend = replace(lane.spend, turns=lane.turn)
            if lane.state is SubagentState.RUNNING:
                lane.work.start(event.at)
        case TurnStarted() as payload:
            lane.turn = max(lane.turn, payload.turn)
            lane.spend = replace(lane.spend, turns=lane.turn)
        case CallFinished() as payload:
            lane.spend += Spend(
                usage=payload.usage, usd=payload.usd or 0.0, priced=payload.usd is not None or not payload.usage.total
            )
            if payload.error:
                lane.last = payload.error
            elif not payload.parent:
                lane.answered = lane.turn
        case ToolStarted() as payload:
            lane.tool = lane.last = payload.summary
        case ToolFinished() as payload:
            lane.tool, lane.last = "", payload.summary
            lane.results[payload.tool_call] = payload
        case SubagentPaused():
            lane.work.stop(event.at)
            lane.state = SubagentState.PAUSED
        case SubagentContinued():
            lane.state = SubagentState.RUNNING
            lane.work.start(event.at)
        case SubagentRestarted():
            lane.lost, lane.spend, lane.work = lane.lost + lane.spend, Spend(), Stopwatch()
            lane.state, lane.ended, lane.checked, lane.validity = SubagentState.QUEUED, None, None, None
            lane.turn, lane.answered, lane.results = 0, 0, {}
            # Without a sandbox it gets a new one.
            lane.sandbox = lane.reason = lane.last = ""
        case SubagentEnded() as payload:
            lane.work.stop(event.at)
            lane.ended, lane.tool = payload, ""
            lane.state = SubagentState.KILLED if payload.ending is Ending.KILLED else SubagentState.CHECKING
        case SubagentChecked() as payload:
            lane.checked = payload
            lane.state = _verdict(lane, payload)
        case SubagentJudged() as payload:
            lane.validity, lane.reason = payload.validity, payload.reason
        case Alert() as payload:
            lane.alert, lane.alerts = payload.text, lane.alerts + 1
        case CommandSettled(name=Kill.name, applied=True):
            lane.killed = True


def _verdict(lane: Lane, checked: SubagentChecked) -> SubagentState:
    ending = lane.ended.ending if lane.ended else None
    if checked.solved:
        return SubagentState.SOLVED
    if ending is Ending.KILLED:
        return SubagentState.KILLED
    return SubagentState.FAILED if ending in COULD_NOT_WORK else SubagentState.UNSOLVED


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
