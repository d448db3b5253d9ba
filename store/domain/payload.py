"""What every event has: the envelope around its payload, and results that several payloads share."""

from dataclasses import dataclass
from typing import Any, ClassVar

from store.domain.ids import SubagentId

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
