"""The run that a replay plays, as the harness looks at it: what was designed, and how its subagents ended."""

from typing import Protocol

from store.domain.board import Board, Lane
from store.domain.events import GatePassed, SubagentAdded
from store.domain.ids import SubagentId
from store.domain.limits import Limits
from store.domain.states import Ending
from store.domain.strategy import LanePlan

_OF_AN_ANSWER = frozenset({Ending.SUBMITTED, Ending.SILENT})
"""What an answer alone brings about: a subagent that asks on has left its tape."""


class Tapes(Protocol):
    """The tapes that are played."""

    def over(self, subagent: SubagentId) -> bool:
        """Nothing is left of the subagent's tape."""

    def rewind(self, subagent: SubagentId) -> None:
        """Play the subagent's tape from its beginning."""


class Played:
    """A recorded run beside the one that plays it. `strict` when nothing is ever asked live."""

    def __init__(self, board: Board, tapes: Tapes, *, strict: bool) -> None:
        self._board, self._tapes = board, tapes
        self.strict = strict

    def plans(self, generation: int) -> tuple[LanePlan, ...] | None:
        """How a generation was designed; None for one that was not."""
        recorded = self._board.generations.get(generation)
        if recorded is None:
            return None
        return tuple(lane.plan for lane in recorded.lanes.values() if lane.forked_from is None)

    def added(self, generation: int) -> tuple[SubagentAdded, ...]:
        """The lanes that joined a generation while it was at work."""
        recorded = self._board.generations.get(generation)
        lanes = recorded.lanes.values() if recorded is not None else ()
        return tuple(SubagentAdded(lane.plan, lane.forked_from) for lane in lanes if lane.forked_from is not None)

    def steering(self, subagent: SubagentId, turn: int) -> tuple[str, ...]:
        """What the operator told the subagent that it read with a turn."""
        lane = self._lane(subagent)
        return tuple(one.text for one in lane.steering if one.turn == turn) if lane is not None else ()

    def raised(self, subagent: SubagentId) -> Limits:
        """The limits of the subagent that the operator raised."""
        lane = self._lane(subagent)
        return lane.raised if lane is not None else Limits()

    def promised(self, subagent: SubagentId) -> Limits | None:
        """The limits that the subagent's instructions had; None for one that was not there."""
        lane = self._lane(subagent)
        return lane.promised if lane is not None else None

    def _lane(self, subagent: SubagentId) -> Lane | None:
        return self._board.lane(SubagentId(self._board.run, subagent.generation, subagent.lane))

    @property
    def run(self) -> str:
        """Its name."""
        return self._board.run

    def told(self, generation: int) -> int:
        """The version of the observations that a generation started from, 0 for none."""
        recorded = self._board.generations.get(generation)
        return recorded.told if recorded is not None else 0

    def passed(self, generation: int) -> GatePassed | None:
        """How the gate after a generation was passed; None where it was not."""
        recorded = self._board.generations.get(generation)
        return recorded.passed if recorded is not None else None

    def observed(self, generation: int) -> int:
        """The version of the observations that the observer wrote after a generation, 0 for none."""
        recorded = self._board.generations.get(generation)
        return recorded.observed.version if recorded is not None and recorded.observed is not None else 0

    def ending(self, subagent: SubagentId) -> Ending | None:
        """How the subagent ended, when its tape is over and something other than an answer ended it there: the
        operator, a limit, the clock. None while it goes on."""
        lane = self._lane(subagent)
        ended = lane.ended.ending if lane is not None and lane.ended is not None else None
        if ended is None or ended in _OF_AN_ANSWER or not self._tapes.over(subagent):
            return None
        return ended

    def rewind(self, subagent: SubagentId) -> bool:
        """Whether a subagent whose engine died begins anew. The answers cost nothing, and one that went on with a tool
        call that was interrupted would leave its tape."""
        if self.strict:
            self._tapes.rewind(subagent)
        return self.strict
