"""What the screens know: the runs, each with its board, and what its lanes have said of late.

The app owns one `World`; the feed's messages are folded into it, and screens read it. No widget, no store.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from store.domain.board import Board, Generation, Lane
from store.domain.events import Event, RunCreated
from store.domain.ids import SubagentId
from store.domain.states import RunState
from widgets.flow import Flow, Parts
from widgets.states import OPENING, RECORDED, RECORDING, Mark, run_mark


@dataclass
class Track:
    """One run on the screen. `alive` is whether an engine holds it; `read` whether its past has been read."""

    id: str
    title: str
    created: float
    board: Board
    alive: bool = False
    read: bool = False
    version: int = 0
    lived: bool = False
    """An engine held it while the app looked."""
    played: bool = False
    """It is seen again, as it was then: nothing can be asked of it."""

    @property
    def mark(self) -> Mark:
        """The state as it is drawn."""
        if self.recording:
            return RECORDING if self.alive else RECORDED
        return run_mark(self.board.state, alive=self.alive) if self.read else OPENING

    @property
    def recording(self) -> bool:
        """It has calls of tools outside a run, and nothing else: no event is told of it."""
        return self.read and not self.board.seq

    @property
    def interrupted(self) -> bool:
        """Not over, and no engine works on it."""
        return self.read and not self.alive and not self.board.state.final and not self.recording

    @property
    def waiting(self) -> bool:
        """An engine waits at the gate for the operator."""
        return self.board.waiting and self.alive and not self.played

    @property
    def scripted(self) -> bool:
        """The scripted model answers, not a real one."""
        return self.board.order is not None and bool(self.board.order.scripted)

    @property
    def planned(self) -> int:
        """Generations that the task allows; 0 before it is known."""
        return self.board.order.task.generations if self.board.order else 0

    @property
    def latest(self) -> int:
        """The latest generation's number, 0 before the first."""
        return self.board.generation.number if self.board.generation else 0

    def generation(self, number: int | None) -> Generation | None:
        """A generation by number; None is the latest."""
        return self.board.generation if number is None else self.board.generations.get(number)


@dataclass
class World:
    """All of it. `flows` are those of the watched run alone."""

    tracks: dict[str, Track] = field(default_factory=dict)
    flows: dict[SubagentId, Flow] = field(default_factory=dict)
    watched: str | None = None
    flowed: int = 0
    """The last event that the flows have; 0 until the watched run's past has been read."""
    past: list[Event] = field(default_factory=list)
    """Every event of the watched run so far."""
    handled: dict[SubagentId, int] = field(default_factory=dict)
    """How many alerts of a subagent the operator had seen when the last order went to it."""
    version: int = 0
    """Changes with every message."""
    pointed: SubagentId | None = None
    """The subagent that the operator asked to see; the trace takes it."""
    opened: bool = False
    """The list of runs has been read once."""
    problem: str = ""
    """Why the record can't be read, "" when it can."""
    _early: list[tuple[Event, Mapping[str, Parts]]] = field(default_factory=list)

    def newest(self) -> list[Track]:
        """Runs, newest first."""
        return sorted(self.tracks.values(), key=lambda track: (-track.created, track.id))

    def know(self, run: str, title: str, created: float) -> Track:
        """A run's track, made when it is new."""
        if run not in self.tracks:
            self.tracks[run] = Track(run, title, created, Board(run))
        return self.tracks[run]

    def forget(self, *, but: Collection[str]) -> None:
        """Let go of runs that are no longer there."""
        for run in set(self.tracks).difference(but):
            del self.tracks[run]

    def take(self, board: Board) -> None:
        """A board that was folded elsewhere, when it is ahead of ours."""
        track = self.tracks.get(board.run)
        if track is None:
            return
        if not track.read or board.seq > track.board.seq:
            track.board, track.read = board, True
            track.version += 1

    def apply(self, events: Sequence[Event], said: Mapping[str, Parts]) -> list[Track]:
        """Fold live events; the tracks whose gate has begun to wait for the operator."""
        gates: list[Track] = []
        for event in events:
            track = self.tracks.get(event.run)
            if track is not None and event.seq > track.board.seq:
                before = track.board.state
                track.board.apply(event)
                # A run whose first event is seen live has no past to read.
                track.read = track.read or isinstance(event.payload, RunCreated)
                track.version += 1
                if track.board.state is RunState.GATE and before is not RunState.GATE:
                    gates.append(track)
            if event.run == self.watched:
                if self.flowed:
                    self._flow(event, said)
                else:
                    self._early.append((event, said))
        return [track for track in gates if track.board.state is RunState.GATE]

    def watch(self, run: str | None) -> bool:
        """Follow another run's lanes; whether it is another one."""
        if run == self.watched:
            return False
        self.watched, self.flows, self.flowed, self.past, self._early = run, {}, 0, [], []
        return True

    def rewind(
        self, board: Board, title: str, created: float, flows: dict[SubagentId, Flow], past: Sequence[Event]
    ) -> None:
        """A run as it was at another time, in place of all that is known of it. It is played from there on."""
        track = self.know(board.run, title, created)
        track.board, track.read, track.alive, track.played = board, True, True, True
        track.version += 1
        if board.run == self.watched:
            self.flows, self.past, self.flowed, self._early = flows, list(past), max(board.seq, 1), []
        self.version += 1

    def begin_flows(self, run: str, flows: dict[SubagentId, Flow], past: Sequence[Event], seq: int) -> None:
        """The watched run's past, as read from the record up to event `seq`; what came meanwhile is added."""
        if run != self.watched or self.flowed:
            return
        self.flows, self.past, self.flowed = flows, list(past), max(seq, 1)
        early, self._early = self._early, []
        for event, said in early:
            self._flow(event, said)

    def stream(self, tails: Mapping[SubagentId, tuple[str, Parts]]) -> None:
        """Text in progress."""
        for subagent, (call, parts) in tails.items():
            if subagent.run == self.watched and self.flowed:
                self.flow(subagent).stream(call, parts)

    def flow(self, subagent: SubagentId) -> Flow:
        """A lane's flow, made when it is new."""
        if subagent not in self.flows:
            self.flows[subagent] = Flow()
        return self.flows[subagent]

    def lane(self, subagent: SubagentId) -> Lane | None:
        """A lane of any run."""
        track = self.tracks.get(subagent.run)
        return track.board.lane(subagent) if track else None

    def _flow(self, event: Event, said: Mapping[str, Parts]) -> None:
        if event.seq > self.flowed:
            self.flowed = event.seq
            self.past.append(event)
            if event.subagent is not None:
                self.flow(event.subagent).apply(event, said)
