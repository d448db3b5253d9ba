"""What is read from the record of a run's observations."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.gate import remembered_by
from store.domain.board import Board
from store.domain.observations import Document
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


def read(store: "Store", board: Board, version: int | None = None) -> Known | None:
    """Read it, up to a version: in a playback later ones are there already. None where there is none."""
    from store import observations

    run = board.run
    versions = [each for each in observations.versions(store, run) if version is None or each.version <= version]
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
