"""What the Observations screen reads from the record, and what it makes of it with the board of the moment."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.message import Message

from app import learned, reading
from app.gate import AtGate, at_gate, remembered_by
from app.reading import Reading
from store.domain.board import Board
from store.domain.observations import Document, select
from store.domain.observations.conflicts import Conflict, conflicts
from store.domain.observations.history import Stacks, stacks

if TYPE_CHECKING:
    from store.database import Store
    from store.observations import Version


@dataclass(frozen=True)
class Known:
    """A run's observations as they are in the record. `before` is the version that the latest generation was told,
    `proposal` what the observer wrote last; None where there is none. `others` are runs that this one started from."""

    run: str
    document: Document
    text: str
    versions: "tuple[Version, ...]"
    before: Document | None
    proposal: Document | None
    others: tuple[tuple[Board, Document | None], ...]

    @property
    def version(self) -> int:
        return self.document.version

    @property
    def conflicts(self) -> tuple[Conflict, ...]:
        return conflicts(self.document)

    @property
    def stacks(self) -> Stacks:
        """What can be taken back, and done again."""
        return stacks((one.version, one.undoes) for one in self.versions if one.author == "operator")


def read(store: "Store", board: Board, version: int) -> Known | None:
    """Read it, up to a version: in a playback later ones are there already. None where there is none."""
    from store import observations

    run = board.run
    versions = [each for each in observations.versions(store, run) if each.version <= version]
    document = observations.load(store, run, versions[-1].version) if versions else None
    if document is None:
        return None
    generation = board.generation
    told = generation.told if generation is not None else 0
    proposal = observations.proposed(versions)
    return Known(
        run=run,
        document=document,
        text=observations.text(store, run, document.version) or "",
        versions=tuple(versions),
        before=observations.load(store, run, told) if told else None,
        proposal=observations.load(store, run, proposal) if proposal else None,
        others=tuple(remembered_by(store, board)) if board.order is not None else (),
    )


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
