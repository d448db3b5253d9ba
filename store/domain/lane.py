"""One subagent as its events tell it. `Lane.apply` folds one event of its own after the other."""

from dataclasses import dataclass, field, replace

from store.domain.commands import Kill
from store.domain.events import (
    Alert,
    CallFinished,
    CommandSettled,
    Event,
    ForkedFrom,
    LimitsRaised,
    SubagentChecked,
    SubagentCited,
    SubagentContinued,
    SubagentEnded,
    SubagentJudged,
    SubagentLaunched,
    SubagentPaused,
    SubagentRestarted,
    SubagentSteered,
    ToolFinished,
    ToolStarted,
    TurnStarted,
)
from store.domain.ids import SubagentId
from store.domain.limits import Limits, Spend, Stopwatch
from store.domain.observations.citing import Citation
from store.domain.states import COULD_NOT_WORK, AlertLevel, Ending, SubagentState, Validity
from store.domain.strategy import LanePlan

_TEACHES_NOTHING = {Validity.NEVER_STARTED, Validity.INFRASTRUCTURE, Validity.RATE_LIMITED, Validity.CHECK_BROKEN}
"""Whatever the attempt was, it could not show what it is worth."""


@dataclass
class Steering:
    """A message of the operator's to a subagent. `seq` is its event's; `turn` the turn that it was read with, None
    while it waits."""

    seq: int
    at: float
    text: str
    turn: int | None = None


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
    level: AlertLevel = AlertLevel.NOTE
    """How much the last alert asks of the operator."""
    model: str = ""
    sandbox: str = ""
    attempt: int = 0
    began: float = 0.0
    """When what counts of its work began."""
    injected: tuple[str, ...] = ()
    injected_tokens: int = 0
    cited: tuple[Citation, ...] = ()
    """The observations that it says it used."""
    ended: SubagentEnded | None = None
    checked: SubagentChecked | None = None
    validity: Validity | None = None
    reason: str = ""
    observations: str = ""
    """The blob with the text of the observations in its prompt."""
    results: dict[str, ToolFinished] = field(default_factory=dict)
    """Tool calls that have their result, by the provider's id."""
    steering: list[Steering] = field(default_factory=list)
    """What the operator told it, oldest first."""
    promised: Limits = field(default_factory=Limits)
    """What its instructions say that it may use: they stay as they were when it began."""
    raised: Limits = field(default_factory=Limits)
    """Limits that the operator raised, which stand in place of those that it was given."""
    forked_from: ForkedFrom | None = None
    """Where its conversation comes from; None when it starts its own."""
    restarts: int = 0
    """Times that it was started anew by the operator."""

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

    @property
    def unread(self) -> list[Steering]:
        """What the operator told it that it has not read."""
        return [one for one in self.steering if one.turn is None]

    def spent(self, now: float) -> Spend:
        """What it has used so far, time included."""
        return replace(self.spend, seconds=self.work.read(now))

    def apply(self, event: Event) -> None:
        """Fold one event of its own."""
        match event.payload:
            case SubagentLaunched() as payload:
                self.state = SubagentState.PAUSED if self.state is SubagentState.PAUSED else SubagentState.RUNNING
                self.model, self.sandbox, self.attempt = payload.model, payload.sandbox, payload.attempt
                self.injected, self.injected_tokens = payload.injected, payload.injected_tokens
                self.observations = payload.observations
                if payload.afresh:
                    self._forget_reading(0)
                    self.answered, self.spend, self.work, self.results = 0, Spend(), Stopwatch(), {}
                if payload.attempt == 1 or payload.afresh:
                    self.began = event.at
                # A turn that died with its engine begins again, counts once, and is told the same again.
                self._forget_reading(self.answered)
                self.turn = self.answered
                self.spend = replace(self.spend, turns=self.turn)
                if self.state is SubagentState.RUNNING:
                    self.work.start(event.at)
            case TurnStarted() as payload:
                self.turn = max(self.turn, payload.turn)
                for one in self.steering:
                    if one.seq in payload.told:
                        one.turn = payload.turn
                self.spend = replace(self.spend, turns=self.turn)
            case CallFinished() as payload:
                self.spend = self._spent(payload)
                if payload.error:
                    self.last = payload.error
                elif not payload.parent:
                    self.answered = self.turn
            case ToolStarted() as payload:
                self.tool = self.last = payload.summary
            case ToolFinished() as payload:
                self.tool, self.last = "", payload.summary
                self.results[payload.tool_call] = payload
            case SubagentPaused():
                self.work.stop(event.at)
                self.state = SubagentState.PAUSED
            case SubagentContinued():
                self.state = SubagentState.RUNNING
                self.work.start(event.at)
            case SubagentSteered() as payload:
                self.steering.append(Steering(event.seq, event.at, payload.text))
            case LimitsRaised() as payload:
                self.raised = self.raised.with_own(payload.limits)
                self.limits = self.limits.with_own(payload.limits)
            case SubagentRestarted():
                # What it has read was about the attempt that counts no more.
                self.steering = self.unread
                self.restarts += 1
                self.killed = False
                self.tool = self.alert = ""
                self.level = AlertLevel.NOTE
                self.lost, self.spend, self.work = self.lost + self.spend, Spend(), Stopwatch()
                self.state, self.ended, self.checked, self.validity = SubagentState.QUEUED, None, None, None
                self.turn, self.answered, self.results, self.cited = 0, 0, {}, ()
                # Without a sandbox it gets a new one.
                self.sandbox = self.reason = self.last = ""
            case SubagentEnded() as payload:
                self.work.stop(event.at)
                self.ended, self.tool = payload, ""
                if not self.spend.usage.total:
                    # A tape from elsewhere may know only what all of it took, or not even that.
                    told = payload.spend
                    priced = told.priced and (self.spend.priced or bool(told.usage.total or told.usd))
                    self.spend = replace(self.spend, usage=told.usage, usd=told.usd, priced=priced)
                self.state = SubagentState.KILLED if payload.ending is Ending.KILLED else SubagentState.CHECKING
            case SubagentChecked() as payload:
                self.checked = payload
                self.state = self._verdict(payload)
            case SubagentCited() as payload:
                self.cited = payload.citations
            case SubagentJudged() as payload:
                self.validity, self.reason = payload.validity, payload.reason
            case Alert(level=AlertLevel.NOTE) if self.level is not AlertLevel.NOTE:
                # What asks something of the operator is not talked over.
                pass
            case Alert() as payload:
                self.alert, self.alerts, self.level = payload.text, self.alerts + 1, payload.level
            case CommandSettled(name=Kill.name, applied=True):
                self.killed = True

    def _spent(self, ended: CallFinished) -> Spend:
        """What has been used with that call."""
        told = bool(ended.usage.total)
        so_far = self.spend if self.spend.usage.total else replace(self.spend, priced=True)
        # What an answer took that tells of no token is not known, until another one says more: a route's tries do, and
        # a call that only asks for something takes none.
        silent = not (told or so_far.usage.total or ended.error or ended.parent)
        priced = ended.usd is not None or not (told or silent)
        return so_far + Spend(usage=ended.usage, usd=ended.usd or 0.0, priced=priced)

    def _verdict(self, checked: SubagentChecked) -> SubagentState:
        ending = self.ended.ending if self.ended else None
        if checked.solved:
            return SubagentState.SOLVED
        if ending is Ending.KILLED:
            return SubagentState.KILLED
        return SubagentState.FAILED if ending in COULD_NOT_WORK else SubagentState.UNSOLVED

    def _forget_reading(self, after: int) -> None:
        """What it read with later turns than this one it has yet to read."""
        for one in self.steering:
            if one.turn is not None and one.turn > after:
                one.turn = None
