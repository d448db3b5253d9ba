"""The append-only log that the whole program is driven by: one typed payload for each kind of event.

An event is an envelope (sequence number, time, run, generation, lane) around a payload. The kind in the store is the
payload's `kind`. A kind that this version doesn't know is kept as `Unknown`, never dropped.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from store.domain.ids import SubagentId
from store.domain.limits import Spend, Usage
from store.domain.replay import Replay
from store.domain.states import Ending, RunState, Validity
from store.domain.strategy import LanePlan
from store.domain.task import Task

SCHEMA = 1
"""Version of the payloads below; goes up when one changes in a way that an older reader would misread."""


@dataclass(frozen=True)
class Payload:
    """What an event says beyond when and where."""

    kind: ClassVar[str] = ""


@dataclass(frozen=True)
class Event:
    """One line of the log. `at` is Unix time in seconds; generation and lane are None where the event is wider."""

    seq: int
    at: float
    run: str
    generation: int | None
    lane: int | None
    payload: Payload

    @property
    def subagent(self) -> SubagentId | None:
        """Whose event it is, when it is a single subagent's."""
        if self.generation is None or self.lane is None:
            return None
        return SubagentId(self.run, self.generation, self.lane)


@dataclass(frozen=True)
class Unknown(Payload):
    """An event of a kind that this version doesn't know, as stored."""

    kind: ClassVar[str] = "unknown"
    name: str
    data: dict[str, Any]


# Results that several payloads share.


@dataclass(frozen=True)
class CheckResult:
    """One run of the check by the harness.

    `failures` is what the output counts as failed (None where it counts nothing); `output` is the digest of the blob
    with the whole output; `tail` its last lines; `broken` says why the check could not be run at all, "" when it could.
    """

    passed: bool
    exit_code: int | None
    failures: int | None
    seconds: float
    output: str
    tail: str
    broken: str = ""


# The run.


@dataclass(frozen=True)
class RunCreated(Payload):
    """Somebody ordered a run. `revision` is the full commit; `seed` drives every choice that is left to chance;
    `scripted` is set when the scripted model answers in place of a real one."""

    kind: ClassVar[str] = "run.created"
    task: Task
    title: str
    revision: str
    seed: int
    scripted: str = ""
    """Which practice task's scripted model answers; "" is a real provider."""
    gates_open: bool = False
    """Gates open by themselves from the start."""
    pace: float = 0.0
    """Words a second of the scripted model; 0 is as fast as it can."""
    replay: Replay | None = None
    """It is answered from another run's tape."""


@dataclass(frozen=True)
class EngineStarted(Payload):
    """An engine took the run. `orphans` counts the processes of an engine before it that it ended."""

    kind: ClassVar[str] = "engine.started"
    pid: int
    version: str
    proxy: str
    """Base URL of the recording proxy."""
    orphans: int = 0
    blobs: int = 0
    """The newest blob when it began (`store.blobs.newest`): what it keeps comes after that. 0 where nothing is said."""


@dataclass(frozen=True)
class EngineStopped(Payload):
    """The engine left the run in good order."""

    kind: ClassVar[str] = "engine.stopped"
    reason: str


@dataclass(frozen=True)
class SandboxesPreparing(Payload):
    """How far it is with what sandboxes are made of: the latest lines of an image that is built."""

    kind: ClassVar[str] = "sandboxes.preparing"
    lines: tuple[str, ...]


@dataclass(frozen=True)
class SandboxesPrepared(Payload):
    """Sandboxes can be made; `seconds` is how long that took."""

    kind: ClassVar[str] = "sandboxes.prepared"
    seconds: float


@dataclass(frozen=True)
class BaselineChecked(Payload):
    """The check on the unchanged code, several times; `refused` says why the run can't go on, "" when it can."""

    kind: ClassVar[str] = "baseline.checked"
    results: tuple[CheckResult, ...]
    refused: str = ""


@dataclass(frozen=True)
class RunFinished(Payload):
    """The run has come to its end; `report` is the path of the report."""

    kind: ClassVar[str] = "run.finished"
    state: RunState
    reason: str
    report: str


@dataclass(frozen=True)
class FinishStarted(Payload):
    """The operator's own command for the end of a run is about to run. It never runs again, whatever becomes of it."""

    kind: ClassVar[str] = "finish.started"
    command: str


@dataclass(frozen=True)
class FinishRan(Payload):
    """The operator's own command for the end of a run has run; `exit_code` is None when it could not be started, ran
    out of time, or was left when its engine went."""

    kind: ClassVar[str] = "finish.ran"
    command: str
    exit_code: int | None
    output: str


# A generation.


@dataclass(frozen=True)
class GenerationDesigned(Payload):
    """The lanes of the generation, settled."""

    kind: ClassVar[str] = "generation.designed"
    lanes: tuple[LanePlan, ...]


@dataclass(frozen=True)
class GenerationObserved(Payload):
    """The observer has read all tapes of the generation. `known` counts the live observations after it; `version` is
    the version of the observations document that it wrote."""

    kind: ClassVar[str] = "generation.observed"
    version: int
    known: int
    added: int
    supported: int


@dataclass(frozen=True)
class GateOpened(Payload):
    """The run waits for the operator (or for nobody, when gates open by themselves)."""

    kind: ClassVar[str] = "gate.opened"
    waits: bool


@dataclass(frozen=True)
class GatePassed(Payload):
    """The next generation may start; `by` is `operator` or `auto`. `rest` lets every later gate open by itself."""

    kind: ClassVar[str] = "gate.passed"
    by: str
    rest: bool = False


# A subagent.


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


@dataclass(frozen=True)
class TurnStarted(Payload):
    """A turn begins; turns count from 1. Where an agent has subagents of its own, `thread` says whose turn it is, as
    the turn's calls do, and `under` which tool call began that one, "" where it is the agent's own."""

    kind: ClassVar[str] = "turn.started"
    turn: int
    thread: str = ""
    under: str = ""


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
class SubagentRestarted(Payload):
    """It could not work, and begins anew in a new sandbox: its end and its verdict don't count, and its generation is
    not over."""

    kind: ClassVar[str] = "subagent.restarted"


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


@dataclass(frozen=True)
class SubagentJudged(Payload):
    """The observer's word on whether the attempt can teach anything."""

    kind: ClassVar[str] = "subagent.judged"
    validity: Validity
    reason: str


@dataclass(frozen=True)
class Alert(Payload):
    """Something the operator should know; `rule` names what fired."""

    kind: ClassVar[str] = "alert"
    rule: str
    text: str


@dataclass(frozen=True)
class CommandSettled(Payload):
    """A command of the operator's was carried out or refused."""

    kind: ClassVar[str] = "command.settled"
    command: int
    name: str
    applied: bool
    outcome: str


@dataclass(frozen=True)
class ObservationsWritten(Payload):
    """A new version of the observations; `author` is `observer` or `operator`."""

    kind: ClassVar[str] = "observations.written"
    version: int
    author: str
    known: int


PAYLOADS: dict[str, type[Payload]] = {cls.kind: cls for cls in Payload.__subclasses__() if cls is not Unknown}
"""Every kind that this version knows."""
