"""The states of runs and subagents, the steps of a generation, how an attempt ended, and how much an alert asks."""

from enum import StrEnum


class RunState(StrEnum):
    """Where a run stands. The value is the word that people see."""

    CHECKING = "checking"
    """The check is tried on the unchanged code, before anything is spent."""
    RUNNING = "running"
    GATE = "at gate"
    """Waiting for the operator between two generations."""
    SOLVED = "solved"
    UNSOLVED = "unsolved"
    STOPPED = "stopped"
    """Ended by the operator or by a limit."""
    FAILED = "failed"
    """Ended because it could not be carried out: a broken check, a store that cannot be written."""

    @property
    def final(self) -> bool:
        """Nothing more will happen in it."""
        return self in {RunState.SOLVED, RunState.UNSOLVED, RunState.STOPPED, RunState.FAILED}


class Step(StrEnum):
    """The steps of a generation, in order. Each is finished once and never runs again."""

    DESIGN = "design"
    LAUNCH = "launch"
    WATCH = "watch"
    CHECK = "check"
    OBSERVE = "observe"
    GATE = "gate"


class SubagentState(StrEnum):
    """Where a subagent stands. The value is the word that people see."""

    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    CHECKING = "checking"
    """It has ended its work; the harness runs the check on its patch."""
    SOLVED = "solved"
    UNSOLVED = "unsolved"
    KILLED = "killed"
    FAILED = "failed"
    """It could not work at all: infrastructure, not the attempt, is to blame."""

    @property
    def final(self) -> bool:
        """Its verdict is in."""
        return self in {SubagentState.SOLVED, SubagentState.UNSOLVED, SubagentState.KILLED, SubagentState.FAILED}


class Ending(StrEnum):
    """Why a subagent stopped working."""

    SUBMITTED = "submitted"
    """It said that it was done."""
    SILENT = "silent"
    """It answered without a tool call and without submitting."""
    TURNS = "turn limit"
    TOKENS = "token limit"
    COST = "cost limit"
    TIME = "time limit"
    KILLED = "killed"
    """By the operator, or with its run."""
    NEVER_STARTED = "never started"
    """Its sandbox or its program could not be started."""
    PROVIDER = "provider error"
    """The model could not be reached, or refused, to the end of the retries."""
    RATE_LIMITED = "rate limited"
    LOGIN_LOST = "login lost"
    """The provider refused its key, or its account."""
    CRASHED = "crashed"
    """A fault of our own, or of its sandbox, in the middle of the work."""


COULD_NOT_WORK = frozenset(
    {Ending.NEVER_STARTED, Ending.PROVIDER, Ending.RATE_LIMITED, Ending.LOGIN_LOST, Ending.CRASHED}
)
"""Endings through no fault of the attempt's."""


class Validity(StrEnum):
    """Whether an attempt can teach anything. Only a valid one can teach a failed fix."""

    VALID = "valid"
    NEVER_STARTED = "never started"
    INFRASTRUCTURE = "infrastructure"
    RATE_LIMITED = "rate limited"
    CHECK_BROKEN = "check broken"
    CUT_OFF = "cut off"
    """A limit or the operator ended it before it tried anything."""


class AlertLevel(StrEnum):
    """How much an alert asks of the operator. The value is the word that people see."""

    NOTE = "note"
    """Worth knowing; nothing to do."""
    WARNING = "warning"
    """Worth a look."""
    STUCK = "stuck"
    """The subagent gets no further by itself."""
