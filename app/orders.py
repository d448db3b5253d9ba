"""Orders to one subagent or to several at once: who can take one, and why another can't. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app import actions
from store.domain.board import Generation, Lane
from store.domain.commands import Command, Continue, Kill, Pause
from store.domain.states import SubagentState
from widgets.words import count

TO_SUBAGENTS = ("kill", "pause", "continue", "steer", "limits", "restart")
"""The actions that are orders to subagents."""


def refusal(action: str, lane: Lane, *, open: bool) -> str:  # noqa: A002 - the generation's own word
    """Why an action can't be done to a subagent; "" when it can. `open` is whether its generation may still change."""
    state, label = lane.state, lane.id.label
    if action == "restart":
        if lane.solved:
            return f"subagent {label} has solved the task"
        return "" if open else "only a subagent of the latest generation can be started anew"
    if state.final or state is SubagentState.CHECKING:
        return f"subagent {label} has ended its work"
    if action == "pause" and state is SubagentState.PAUSED:
        return f"subagent {label} is paused already; {actions.key('continue')} lets it go on"
    if action == "continue" and state is not SubagentState.PAUSED:
        return f"subagent {label} is not paused"
    return ""


@dataclass(frozen=True)
class Targets:
    """Whom an order goes to: `willing` can take it, `refusals` say why the others can't."""

    willing: tuple[Lane, ...]
    refusals: tuple[str, ...]

    @property
    def why_not(self) -> str:
        """Why nobody can take it; "" when somebody can."""
        if self.willing:
            return ""
        if len(self.refusals) > 1:
            return f"none of the {len(self.refusals)} can take it: {self.refusals[0]}"
        return self.refusals[0] if self.refusals else "no subagent is selected"

    @property
    def named(self) -> str:
        """Who they are, for a question or a title: `subagent 2.1 (history)`, `3 subagents: 2.1, 2.2, 2.5`."""
        if len(self.willing) == 1:
            return f"subagent {self.willing[0].id.label} ({self.willing[0].plan.strategy.name})"
        return f"{count(len(self.willing), 'subagent')}: {', '.join(lane.id.label for lane in self.willing)}"


def targets(action: str, lanes: Sequence[Lane], *, open: bool) -> Targets:  # noqa: A002 - as above
    """Those of the chosen ones that can take an order."""
    said = [(lane, refusal(action, lane, open=open)) for lane in lanes]
    return Targets(tuple(lane for lane, why in said if not why), tuple(why for _, why in said if why))


def is_open(generation: Generation, latest: int) -> bool:
    """Whether a generation may still change: it is the latest, and its gate was not passed."""
    return generation.number == latest and generation.passed is None


_SIMPLE: dict[str, type[Kill] | type[Pause] | type[Continue]] = {"kill": Kill, "pause": Pause, "continue": Continue}


def simple(action: str, lane: Lane) -> Command:
    """The order of an action that needs nothing else. KeyError for others."""
    return _SIMPLE[action](lane.id.generation, lane.id.lane)


class Several:
    """Counts the answers to orders that were given together, and says once what came of them."""

    def __init__(self, what: str, labels: Sequence[str], say: Callable[[str, str], object]) -> None:
        self._what, self._say = what, say
        self._waiting = len(labels)
        self._total = len(labels)
        self._refused: list[str] = []

    def answered(self, label: str) -> Callable[[bool], None]:
        """Takes the answer of one of them."""

        def take(applied: bool) -> None:
            self._waiting -= 1
            if not applied:
                self._refused.append(label)
            if not self._waiting:
                self._tell()

        return take

    def _tell(self) -> None:
        taken = self._total - len(self._refused)
        said = f"{self._what}: {taken} of {self._total} taken"
        if self._refused:
            said += f"; refused by {', '.join(self._refused)}"
        self._say(said, "warning" if self._refused else "information")
