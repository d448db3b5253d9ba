"""When the operator is called: a bell as something begins to need them, and a mark in the title as long as it does.
Pure."""

from collections.abc import Iterable

from app.world import Track, World
from store.domain.states import AlertLevel, SubagentState

TITLE = "multitrack"
SAVE, BACK = "\x1b[22;2t", "\x1b[23;2t"
"""Have a terminal keep its title and take it back (xterm's title stack)."""


def needing(world: World) -> frozenset[str]:
    """What needs the operator, each by a name: gates that wait, and subagents at work that an alert says are stuck."""
    return frozenset(name for track in world.tracks.values() if track.alive and not track.played for name in _of(track))


def _of(track: Track) -> Iterable[str]:
    generation = track.board.generation
    if track.waiting:
        yield f"{track.id} gate {track.latest}"
    for lane in generation.lanes.values() if generation is not None else ():
        if lane.level is AlertLevel.STUCK and lane.alert and not _over(lane.state):
            yield f"{lane.id} {lane.alerts}"


def _over(state: SubagentState) -> bool:
    return state.final or state is SubagentState.CHECKING


class Calling:
    """What needed the operator before. What is there at the first look calls nobody: it began before they came."""

    def __init__(self) -> None:
        self._known: frozenset[str] | None = None
        self._titled = ""

    def look(self, now: frozenset[str]) -> tuple[bool, str]:
        """Whether to ring, and the title to set, "" when it stays."""
        before, self._known = self._known, now
        title = f"({len(now)}) {TITLE}" if now else TITLE
        changed = title if title != self._titled and (now or self._titled) else ""
        self._titled = title if changed else self._titled
        return before is not None and bool(now - before), changed


def sequence(title: str) -> str:
    """What sets a terminal's title. Ours has nothing in it that could act."""
    return f"\x1b]2;{title}\x07"
