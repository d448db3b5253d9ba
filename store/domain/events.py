"""The append-only log that the whole program is driven by: one typed payload for each kind of event.

An event is an envelope (sequence number, time, run, generation, lane) around a payload. The kind in the store is the
payload's `kind`. A kind that this version doesn't know is kept as `Unknown`, never dropped.
"""

from dataclasses import dataclass
from typing import ClassVar

from store.domain.observations.deltas import DeltaTaken
from store.domain.payload import SCHEMA, CheckResult, Event, Payload, Unknown
from store.domain.replay import Replay
from store.domain.states import RunState
from store.domain.strategy import LanePlan
from store.domain.subagent_events import (
    Alert,
    CallFinished,
    CallStarted,
    ForkedFrom,
    LimitsRaised,
    ProgramSaid,
    Reference,
    SubagentAdded,
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
from store.domain.task import Task

__all__ = [
    "PAYLOADS",
    "SCHEMA",
    "Alert",
    "BaselineChecked",
    "CallFinished",
    "CallStarted",
    "CheckResult",
    "CommandSettled",
    "EngineStarted",
    "EngineStopped",
    "Event",
    "FinishRan",
    "FinishStarted",
    "ForkedFrom",
    "GateOpened",
    "GatePassed",
    "GatesSet",
    "GenerationDesigned",
    "GenerationObserved",
    "GenerationPlanned",
    "LimitsRaised",
    "ModelObserved",
    "ObservationsWritten",
    "ObserverAsked",
    "Payload",
    "ProgramSaid",
    "Reference",
    "RunCreated",
    "RunFinished",
    "RunImported",
    "SandboxesPrepared",
    "SandboxesPreparing",
    "SubagentAdded",
    "SubagentChecked",
    "SubagentCited",
    "SubagentContinued",
    "SubagentEnded",
    "SubagentJudged",
    "SubagentLaunched",
    "SubagentPaused",
    "SubagentRestarted",
    "SubagentSteered",
    "ToolFinished",
    "ToolStarted",
    "TurnStarted",
    "Unknown",
]

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
    gate_seconds: float | None = None
    """How long a gate waits for the operator before it opens by itself; None is until they come."""
    remembered: tuple[str, ...] = ()
    """The runs whose observations it starts from."""
    replay: Replay | None = None
    """It is answered from another run's tape."""
    imported: str = ""
    """The format of the file that it was made from, which somebody else's program wrote; "" for a run of Multitrack's.
    Its task is no more than what was asked, and verdicts are the file's own."""


@dataclass(frozen=True)
class RunImported(Payload):
    """The run came from a file. `source` is the file's format: "tape" for a file of Multitrack's own; `file` its name,
    without a path; `digest` its content's; `name` what the run, or its part of the file, is called there. `notes` are
    sentences about what is not known of it, or was left out. `at` is when it was imported: the event itself has the
    time of the run's last one."""

    kind: ClassVar[str] = "run.imported"
    source: str
    file: str
    digest: str
    name: str
    at: float = 0.0
    notes: tuple[str, ...] = ()


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
class ObserverAsked(Payload):
    """The observer's model is about to be asked. What is asked has turns, on a tape in the place of lane 0."""

    kind: ClassVar[str] = "observer.asked"
    model: str


@dataclass(frozen=True)
class ModelObserved(Payload):
    """The observer's model was asked about the generation. `deltas` are the changes that it wanted, in order, those
    that were refused with the reason; `failed` is why no more came of it, "" when it came to its end. What it used is
    on its tape."""

    kind: ClassVar[str] = "model.observed"
    model: str
    deltas: tuple[DeltaTaken, ...] = ()
    failed: str = ""


@dataclass(frozen=True)
class GateOpened(Payload):
    """The run waits for the operator (or for nobody, when gates open by themselves), for at most so many `seconds`;
    None is as long as it takes."""

    kind: ClassVar[str] = "gate.opened"
    waits: bool
    seconds: float | None = None


@dataclass(frozen=True)
class GatesSet(Payload):
    """How gates wait from here on, whatever the run was ordered with: not at all when `open`, else for at most so many
    `seconds`. One that waits now does so as well, from now on."""

    kind: ClassVar[str] = "gates.set"
    open: bool
    seconds: float | None = None


@dataclass(frozen=True)
class GenerationPlanned(Payload):
    """The operator changed what the rules propose for the next generation: these are its lanes. It belongs to the
    generation before it. Without lanes it is what the rules propose."""

    kind: ClassVar[str] = "generation.planned"
    lanes: tuple[LanePlan, ...] = ()


@dataclass(frozen=True)
class GatePassed(Payload):
    """The next generation may start; `by` is `operator`, `auto`, or `timeout` where nobody came in time. `rest` lets
    every later gate open by itself. `told` is the version of the observations that it is told, 0 for none, None for the
    latest. `again` repeats this generation's lanes."""

    kind: ClassVar[str] = "gate.passed"
    by: str
    rest: bool = False
    told: int | None = None
    again: bool = False


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
    """A new version of the observations; `author` is `observer`, `model` or `operator`. `what` is what an operator did,
    in words; `undoes` is the version that this one takes back, 0 for a change of its own."""

    kind: ClassVar[str] = "observations.written"
    version: int
    author: str
    known: int
    what: str = ""
    undoes: int = 0


PAYLOADS: dict[str, type[Payload]] = {cls.kind: cls for cls in Payload.__subclasses__() if cls is not Unknown}
"""Every kind that this version knows."""
