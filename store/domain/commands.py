"""What the operator asks of the engine. A command is a row that is applied once and answered with an outcome."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from store.domain.limits import Limits
from store.domain.observations.changes import Change


@dataclass(frozen=True)
class Command:
    """An order to the engine of one run."""

    name: ClassVar[str] = ""


@dataclass(frozen=True)
class Launch(Command):
    """Pass the gate. `rest` lets every later gate open by itself. Without `curated` the next generation is told what
    the observer wrote, whatever was changed since. `again` repeats the generation as it was: the same lanes, told the
    same."""

    name: ClassVar[str] = "launch"
    rest: bool = False
    curated: bool = True
    again: bool = False


@dataclass(frozen=True)
class PlanChange:
    """One change of the next generation's lanes. `strategy` is the name of a strategy of the run's or an approach in
    words, "" for as it is; `model` is another model, "" for as it is; `limits` stand in place of those that its
    subagent would have, None in a field leaves one. With `clean` a lane that is added has no memory."""

    what: Literal["add", "remove", "change"]
    lane: int = 0
    """Which one; 0 where one is added."""
    strategy: str = ""
    model: str = ""
    limits: Limits = field(default_factory=Limits)
    clean: bool = False


@dataclass(frozen=True)
class ChangePlan(Command):
    """Change the lanes of the generation that the open gate leads to, all of it or nothing. With `anew` they are first
    what the rules propose."""

    name: ClassVar[str] = "change-plan"
    changes: tuple[PlanChange, ...] = ()
    anew: bool = False


@dataclass(frozen=True)
class Stop(Command):
    """End the run: running subagents are killed, what they did is checked and observed, the report is written."""

    name: ClassVar[str] = "stop"


@dataclass(frozen=True)
class Kill(Command):
    """End one subagent now."""

    name: ClassVar[str] = "kill"
    generation: int
    lane: int


@dataclass(frozen=True)
class Pause(Command):
    """Hold one subagent before its next turn."""

    name: ClassVar[str] = "pause"
    generation: int
    lane: int


@dataclass(frozen=True)
class Continue(Command):
    """Let a paused subagent go on."""

    name: ClassVar[str] = "continue"
    generation: int
    lane: int


@dataclass(frozen=True)
class Steer(Command):
    """Tell one subagent something, which it reads at its next turn."""

    name: ClassVar[str] = "steer"
    generation: int
    lane: int
    text: str


@dataclass(frozen=True)
class Raise(Command):
    """Raise limits of one subagent that works or is paused: what is here is the most that it may use from now on, None
    leaves a limit as it is. Money in US dollars, time in seconds."""

    name: ClassVar[str] = "raise"
    generation: int
    lane: int
    turns: int | None = None
    tokens: int | None = None
    usd: float | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Restart(Command):
    """Start one subagent of the latest generation anew: one that could not work through no fault of its own, or any
    that has not solved the task, when it is told to work in another way. `strategy` is the name of a strategy of the
    run's or an approach in words, "" the one that it had; `model` is another model, "" the one that it had."""

    name: ClassVar[str] = "restart"
    generation: int
    lane: int
    strategy: str = ""
    model: str = ""


@dataclass(frozen=True)
class Fork(Command):
    """Add a subagent to the latest generation that starts with a recorded conversation of this run: that of `call` up
    to and with `node`, "" being the call's answer. `text` stands in place of the node's own words; None leaves them.
    `strategy` and `model` as in `Restart`, "" being those of the subagent whose conversation it is."""

    name: ClassVar[str] = "fork"
    call: str
    node: str = ""
    text: str | None = None
    strategy: str = ""
    model: str = ""


@dataclass(frozen=True)
class EditObservations(Command):
    """Replace the observations document. `base` is the version that the edit was made from."""

    name: ClassVar[str] = "edit-observations"
    text: str
    base: int


@dataclass(frozen=True)
class ChangeObservations(Command):
    """Change observations of the document: all of it or, when something can't be done, nothing. `base` is the version
    that they were seen in; what was changed since stays, and what disagrees with it is shown beside it."""

    name: ClassVar[str] = "change-observations"
    base: int
    changes: tuple[Change, ...]


COMMANDS: dict[str, type[Command]] = {cls.name: cls for cls in Command.__subclasses__()}
