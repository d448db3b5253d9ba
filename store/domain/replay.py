"""A run that is answered from another run's tape: what was ordered, and how it came out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from store.domain.ids import SubagentId
from store.domain.tape import Call

if TYPE_CHECKING:
    from store.domain.board import Board, Lane

TAPE = "tape:"
"""What the source of a call begins with that a tape answered; the recorded call's id follows."""
SOFT = "A call that is only alike has answered this one."
"""The beginning of the note on such a call; the difference follows."""
MISSED = "it is not on the tape"
"""What the error of a call says that the tape could not answer."""

NO_ANSWERS = frozenset(
    {"the client hung up", "engine died", "the engine stopped", "the subagent was killed", "the proxy was stopped"}
)
"""Errors of calls that our own side ended: what the provider would have said is not on the tape, and nobody waited for
it. Such a call is left out."""


class OnMismatch(StrEnum):
    """What to do about a request that is not on the tape."""

    STOP = "stop"
    """Answer it with an error that shows the difference, and end the run. Nothing is ever asked live."""
    LIVE = "live"
    """Ask the provider, and record it."""


@dataclass(frozen=True)
class Replay:
    """The order of a replay: of which run, and how."""

    run: str
    on_mismatch: OnMismatch = OnMismatch.STOP
    soft: bool = False
    """Let a call answer that is only built alike, when none matches."""
    paced: bool = False
    """Give the answers at the pace at which they came."""


def playable(call: Call) -> bool:
    """The provider's part of the call is known, and it was made by a client, not for the sake of another call."""
    return (
        call.ended is not None
        and call.parent is None
        and call.error not in NO_ANSWERS
        and not (call.status is None and MISSED in call.error)
    )


def answered_by(call: Call) -> str:
    """The recorded call that answered this one, "" when none did."""
    return call.source.removeprefix(TAPE) if call.source.startswith(TAPE) else ""


def used(calls: Iterable[Call]) -> set[str]:
    """The recorded calls that have answered these: each answers once, unless its answer reached nobody."""
    return {answered_by(call) for call in calls if call.ended is not None and call.error not in NO_ANSWERS} - {""}


@dataclass(frozen=True)
class LaneReplayed:
    """One subagent, then and now. States are "" where there was no such subagent. `matched`, `soft` and `missed` count
    calls of the replay; `unused` the recorded ones that were not asked for."""

    label: str
    then: str
    now: str
    matched: int
    soft: int
    missed: int
    unused: int

    @property
    def same(self) -> bool:
        """The verdict is the same."""
        return self.then == self.now


@dataclass(frozen=True)
class Replayed:
    """A replay beside the run that it plays, subagent by subagent."""

    run: str
    lanes: tuple[LaneReplayed, ...]

    @property
    def matched(self) -> int:
        return sum(lane.matched for lane in self.lanes)

    @property
    def soft(self) -> int:
        return sum(lane.soft for lane in self.lanes)

    @property
    def missed(self) -> int:
        return sum(lane.missed for lane in self.lanes)

    @property
    def unused(self) -> int:
        return sum(lane.unused for lane in self.lanes)

    @property
    def differing(self) -> int:
        """Subagents whose verdict is another one."""
        return sum(not lane.same for lane in self.lanes)

    @property
    def faithful(self) -> bool:
        """Every verdict is the same, every call was matched, and every recorded one was used."""
        return not (self.differing or self.soft or self.missed or self.unused)


def replayed(then: "Board", now: "Board", recorded: Sequence[Call], made: Sequence[Call]) -> Replayed:
    """Compare a replay with its run: their boards, and all their calls."""
    before = {(lane.id.generation, lane.id.lane): lane for lane in _lanes(then)}
    after = {(lane.id.generation, lane.id.lane): lane for lane in _lanes(now)}
    return Replayed(
        then.run,
        tuple(
            _lane(
                before.get(key),
                after.get(key),
                [call for call in recorded if _key(call.subagent) == key and playable(call) and _counts(then, call)],
                [call for call in made if _key(call.subagent) == key],
            )
            for key in sorted(before.keys() | after.keys())
        ),
    )


def _lane(then: "Lane | None", now: "Lane | None", recorded: Sequence[Call], made: Sequence[Call]) -> LaneReplayed:
    lane = now or then
    assert lane is not None
    # A subagent that began anew has made its calls anew.
    mine = [call for call in made if now is not None and call.started >= now.began and call.error not in NO_ANSWERS]
    soft = sum(any(note.startswith(SOFT) for note in call.notes) for call in mine)
    answered = sum(bool(answered_by(call)) for call in mine)
    return LaneReplayed(
        lane.id.label,
        str(then.state) if then is not None else "",
        str(now.state) if now is not None else "",
        matched=answered - soft,
        soft=soft,
        missed=sum(call.parent is None for call in mine) - answered,
        unused=len({call.id for call in recorded} - used(mine)),
    )


def _lanes(board: "Board") -> "list[Lane]":
    return [lane for generation in board.generations.values() for lane in generation.lanes.values()]


def _counts(board: "Board", call: Call) -> bool:
    """It is not of what a subagent did before it was started anew."""
    return call.subagent is None or call.started >= board.began(call.subagent)


def _key(subagent: SubagentId | None) -> tuple[int, int] | None:
    return None if subagent is None else (subagent.generation, subagent.lane)
