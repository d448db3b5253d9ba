"""What a stuck rule is: it is told one subagent's facts in order and says what it sees, once for each level it reaches.

None looks through a window: what is counted is counted over the whole attempt, on tool, normalised arguments and
normalised result, and is counted anew when the workspace changes, for running the tests again after an edit is no loop.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from store.domain.safe_text import safe_line
from store.domain.states import AlertLevel
from store.domain.stuck.facts import Fact, Used
from store.domain.subagent_events import Alert, Reference

NOTE, WARNING, STUCK = AlertLevel.NOTE, AlertLevel.WARNING, AlertLevel.STUCK

EVIDENCE = 8
"""References of one alert: the first ones and the last ones."""


@dataclass(frozen=True)
class Moment:
    """A fact, with what the files of the subagent were doing: whether it changed them, and their name since."""

    fact: Fact
    changed: bool = False
    state: str = ""
    check: str = ""
    """The task's check."""


class Rule(Protocol):
    """`thresholds` say at which count it speaks, and how loud; `source` where they come from."""

    name: ClassVar[str]
    sees: ClassVar[str]
    source: ClassVar[str]
    thresholds: ClassVar[Mapping[int, AlertLevel]]

    def take(self, moment: Moment) -> Iterator[Alert]:
        """What it has to say about the moment."""


def alert(rule: type[Rule], count: int, text: str, evidence: Sequence[Reference]) -> Iterator[Alert]:
    if (level := rule.thresholds.get(count)) is not None:
        half = EVIDENCE // 2
        kept = evidence if len(evidence) <= EVIDENCE else (*evidence[:half], *evidence[-half:])
        yield Alert(rule.name, text, tuple(kept), level)


def what(used: Used) -> str:
    """A call in a few words."""
    given = used.given
    said = next((given[name] for name in ("command", "path", "pattern", "query") if given.get(name)), "")
    if not said:
        said = next((value for value in given.values() if isinstance(value, str) and value), "")
    return safe_line(f"{used.name} {said}".strip(), 100)


def quoted(text: str, length: int) -> str:
    """Words of a tool or a model in an alert, at most so many characters."""
    return safe_line(text, length) or "(no words)"


def telling(used: Used) -> str:
    """The last line of a result: what went wrong mostly stands there."""
    lines = [line for line in used.text.splitlines() if line.strip()]
    return (lines[-1] if used.name == "run" else lines[0]) if lines else ""
