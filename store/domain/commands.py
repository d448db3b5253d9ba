"""What the operator asks of the engine. A command is a row that is applied once and answered with an outcome."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Command:
    """An order to the engine of one run."""

    name: ClassVar[str] = ""


@dataclass(frozen=True)
class Launch(Command):
    """Pass the gate. `rest` lets every later gate open by itself."""

    name: ClassVar[str] = "launch"
    rest: bool = False


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
class Restart(Command):
    """Start one subagent of the latest generation anew, which could not work through no fault of its own."""

    name: ClassVar[str] = "restart"
    generation: int
    lane: int


@dataclass(frozen=True)
class EditObservations(Command):
    """Replace the observations document. `base` is the version that the edit was made from."""

    name: ClassVar[str] = "edit-observations"
    text: str
    base: int


COMMANDS: dict[str, type[Command]] = {cls.name: cls for cls in Command.__subclasses__()}
