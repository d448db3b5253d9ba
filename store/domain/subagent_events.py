"""Events of one subagent, from its launch to what the observer says of it."""

from dataclasses import dataclass
from typing import ClassVar

from store.domain.limits import Limits, Spend, Usage
from store.domain.observations.citing import Citation
from store.domain.payload import CheckResult, Payload
from store.domain.states import AlertLevel, Ending, Validity
from store.domain.strategy import LanePlan


@dataclass(frozen=True)
class ForkedFrom:
    """The recorded conversation that a subagent starts with: that of `call` up to and with `node`, "" being the call's
    answer. `text` is what stands in place of the node's own words, None where nothing was changed."""

    call: str
    node: str = ""
    text: str | None = None
    subagent: str = ""
    """Whose it is, by its full name."""
    turn: int = 0
    """Which of that one's turns it parts from; 0 where nothing is said."""


@dataclass(frozen=True)
class SubagentAdded(Payload):
    """A lane joins a generation that is at work. Its sandbox starts at the run's base commit, wherever its conversation
    comes from."""

    kind: ClassVar[str] = "subagent.added"
    plan: LanePlan
    forked_from: ForkedFrom | None = None


@dataclass(frozen=True)
class SubagentLaunched(Payload):
    """Its sandbox is ready and it begins. `injected` are the ids of the observations in its prompt, `observations` the
    blob with their text, "" for none: a resumed subagent is told the same, whatever was edited since."""

    kind: ClassVar[str] = "subagent.launched"
    sandbox: str
    """What the sandbox's own kind needs to find it again: a folder, a container."""
    model: str
    injected: tuple[str, ...] = ()
    injected_tokens: int = 0
    observations: str = ""
    attempt: int = 1
    """Counts up when an engine takes it over from one that died."""
    afresh: bool = False
    """It begins anew, in a new sandbox, and nothing of what it did before counts."""


@dataclass(frozen=True)
class CallStarted(Payload):
    """A model call went out. `call` is its id on the tape, `parent` the call that it is made for: a route's try."""

    kind: ClassVar[str] = "call.started"
    call: str
    model: str
    parent: str = ""
    thread: str = ""
    """What the agent itself says of who is calling: its session, its own subagent."""


@dataclass(frozen=True)
class CallFinished(Payload):
    """A model call is on the tape, whole or not. `error` is "" for a whole answer, `parent` the call that it was made
    for. Such a try has the tokens and the cost, its call has the turn and the time, so nothing counts twice."""

    kind: ClassVar[str] = "call.finished"
    call: str
    status: int | None
    stop_reason: str
    usage: Usage
    usd: float | None
    """None when the model's price is unknown."""
    seconds: float
    error: str = ""
    parent: str = ""

    @property
    def spend(self) -> Spend:
        """What it used; a turn when it is a whole answer and was made for no other call."""
        return Spend(
            turns=int(not self.error and not self.parent),
            usage=self.usage,
            usd=self.usd or 0.0,
            priced=self.usd is not None or not self.usage.total,
        )


@dataclass(frozen=True)
class TurnStarted(Payload):
    """A turn begins; turns count from 1. Where an agent has subagents of its own, `thread` says whose turn it is, as
    the turn's calls do, and `under` which tool call began that one, "" where it is the agent's own."""

    kind: ClassVar[str] = "turn.started"
    turn: int
    thread: str = ""
    under: str = ""
    told: tuple[int, ...] = ()
    """What the operator told it that it reads with this turn: the sequence numbers of those `SubagentSteered`."""


@dataclass(frozen=True)
class ToolStarted(Payload):
    """A tool call begins. `summary` is one line that says what it does."""

    kind: ClassVar[str] = "tool.started"
    turn: int
    tool_call: str
    """The provider's id of the tool call."""
    name: str
    summary: str


@dataclass(frozen=True)
class ToolFinished(Payload):
    """A tool call has its result, which `result` names as a blob: a resumed subagent does not run it again."""

    kind: ClassVar[str] = "tool.finished"
    turn: int
    tool_call: str
    name: str
    ok: bool
    seconds: float
    result: str
    summary: str
    """The first telling line of the result."""


@dataclass(frozen=True)
class ProgramSaid(Payload):
    """The subagent's own program printed this: lines that are safe to show, some left out where there were many."""

    kind: ClassVar[str] = "program.said"
    lines: tuple[str, ...]
    left_out: int = 0


@dataclass(frozen=True)
class SubagentPaused(Payload):
    """It holds before its next turn."""

    kind: ClassVar[str] = "subagent.paused"


@dataclass(frozen=True)
class SubagentContinued(Payload):
    """It goes on after a pause."""

    kind: ClassVar[str] = "subagent.continued"


@dataclass(frozen=True)
class SubagentSteered(Payload):
    """The operator told it something, which it reads with the first turn that begins after this."""

    kind: ClassVar[str] = "subagent.steered"
    text: str


@dataclass(frozen=True)
class LimitsRaised(Payload):
    """Some of its limits are higher from here on; None is one that stays as it was."""

    kind: ClassVar[str] = "limits.raised"
    limits: Limits


@dataclass(frozen=True)
class SubagentRestarted(Payload):
    """It begins anew in a new sandbox: what it did until here, its end and its verdict don't count, and its generation
    is not over. `plan` is how it is told to work from here on, None when nothing changes."""

    kind: ClassVar[str] = "subagent.restarted"
    plan: LanePlan | None = None


@dataclass(frozen=True)
class SubagentEnded(Payload):
    """It has stopped working; the check comes next."""

    kind: ClassVar[str] = "subagent.ended"
    ending: Ending
    detail: str
    spend: Spend


@dataclass(frozen=True)
class SubagentChecked(Payload):
    """The harness's verdict on its patch. `patch` is the blob's digest, "" when nothing was changed; `left_out` are
    the protected paths whose changes didn't count; `result` is None when there was nothing to check."""

    kind: ClassVar[str] = "subagent.checked"
    solved: bool
    patch: str
    files: tuple[str, ...] = ()
    insertions: int = 0
    deletions: int = 0
    left_out: tuple[str, ...] = ()
    result: CheckResult | None = None
    word: str = ""
    """What the verdict rests on where the harness has checked nothing: what the file of an imported run says."""

    @property
    def known(self) -> bool:
        """Whether anybody found out: the file of an imported run may not say whether it was solved."""
        return self.solved or not self.word or self.word.startswith("not solved")


@dataclass(frozen=True)
class SubagentJudged(Payload):
    """The observer's word on whether the attempt can teach anything."""

    kind: ClassVar[str] = "subagent.judged"
    validity: Validity
    reason: str


@dataclass(frozen=True)
class SubagentCited(Payload):
    """The observations of its prompt that it says it used, each once, and what its tape shows of that."""

    kind: ClassVar[str] = "subagent.cited"
    citations: tuple[Citation, ...]


@dataclass(frozen=True)
class Reference:
    """One place in the record that an alert rests on: a call, a node in its conversation, an event by its sequence
    number; "" and 0 where it names none."""

    call: str = ""
    node: str = ""
    seq: int = 0


@dataclass(frozen=True)
class Alert(Payload):
    """Something the operator should know; `rule` names what fired, `evidence` is where to look."""

    kind: ClassVar[str] = "alert"
    rule: str
    text: str
    evidence: tuple[Reference, ...] = ()
    level: AlertLevel = AlertLevel.WARNING
