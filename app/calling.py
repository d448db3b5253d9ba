"""When the operator is called: a bell as something begins to need them, and a mark in the title as long as it does.
Pure."""

from collections.abc import Iterable, Mapping

from app.orders import is_open
from app.world import Track, World
from store.domain.ids import SubagentId
from widgets.lanes import STUCK, Seat, need

TITLE = "multitrack"
SAVE, BACK = "\x1b[22;2t", "\x1b[23;2t"
"""Have a terminal keep its title and take it back (xterm's title stack)."""


def needing(world: World) -> frozenset[str]:
    """What needs the operator, each by a name: gates that wait, runs that lost their engine while the app looked, and
    subagents that could not work, or are at work and stuck and were given no order since."""
    return frozenset(name for track in world.tracks.values() if not track.played for name in _of(track, world.handled))


def _of(track: Track, handled: Mapping[SubagentId, int]) -> Iterable[str]:
    if track.interrupted and track.lived:
        yield f"{track.id} engine"
    generation = track.board.generation
    if not track.alive or generation is None:
        return
    if track.waiting:
        yield f"{track.id} gate {track.latest}"
    for lane in generation.lanes.values():
        needed = need(Seat(lane, 0.0, handled=handled.get(lane.id, 0), open=is_open(generation, track.latest)))
        if needed is not None and needed.rank <= STUCK:
            yield f"{lane.id} {lane.attempt} {lane.alerts}"


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
