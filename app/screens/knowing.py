"""What the Observations screen makes of a run's observations with the board of the moment."""

from collections.abc import Sequence
from dataclasses import dataclass

from textual.message import Message

from app import learned, reading
from app.gate import AtGate, at_gate
from app.known import Known
from app.reading import Reading
from store.domain.board import Board
from store.domain.observations import select


@dataclass(frozen=True)
class Seen:
    """What the screen shows of it, with the board as it is: the gate, what lanes read, and each observation."""

    known: Known
    gate: AtGate
    readings: tuple[Reading, ...]
    entries: tuple[learned.Entry, ...]

    def entry(self, name: str) -> learned.Entry | None:
        """The observation of an id."""
        return next((entry for entry in self.entries if entry.observation.id == name), None)


def seen(known: Known, board: Board, now: float) -> Seen:
    """Put both together."""
    gate = at_gate(board, known.document, now, known.others)
    readings = reading.readings(gate, known.document)
    told = select(known.document, gate.cap).ids
    return Seen(known, gate, readings, learned.entries(known.document, known.before, gate.effects, told))


def state_of(board: Board) -> tuple[object, ...]:
    """What of a board changes what is seen: not each token."""
    lanes = board.lanes
    generation = board.generation
    return (
        board.run,
        len(lanes),
        sum(lane.checked is not None for lane in lanes),
        sum(len(lane.cited) for lane in lanes),
        board.state,
        board.finished is not None,
        generation.planned if generation is not None else (),
        generation.told if generation is not None else 0,
    )


class Loaded(Message):
    """The record was read."""

    def __init__(self, run: str, known: Known | None) -> None:
        super().__init__()
        self.run, self.known = run, known


class VersionRead(Message):
    """A version was compared: with the one before, and with the latest."""

    def __init__(self, version: int, lines: Sequence[list[tuple[str, str]]]) -> None:
        super().__init__()
        self.version, self.lines = version, lines
