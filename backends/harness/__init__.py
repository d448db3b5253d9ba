"""The harness: takes a run through its generations. The face of the trade.

`Harness(journal, ports).run()` works on a run until it is over; `report` writes down where it stands; `proposed` says
what the next generation would be; `curate` carries out an order about observations where no engine lives, and
`keep_observed` and `keep_consulted` keep what was read on tapes there.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backends.harness.ports import Consulted
    from store.database import Store
    from store.domain.board import Board
    from store.domain.commands import ChangeObservations, EditObservations
    from store.domain.events import ModelObserved
    from store.domain.observations import Document
    from store.domain.strategy import LanePlan, Strategy
    from store.home import RunFolder


def proposed(
    board: "Board", document: "Document | None", portfolio: "Sequence[Strategy]" = ()
) -> "tuple[LanePlan, ...]":
    """The lanes of the generation after the board's latest, as they would be launched now: with the operator's changes,
    and with what is kept from whom. `document` is the version of the observations that it is told; without a
    `portfolio` it is the task's, or the built-in one."""
    from backends.harness.planning import proposed as planned

    return planned(board, document, portfolio)


async def curate(
    store: "Store", run: str, folder: "RunFolder", order: int, command: "EditObservations | ChangeObservations"
) -> None:
    """Carry out an order about a run's observations, and answer it, where no engine works on the run; whoever calls
    holds the run's lock. StoreError, OSError."""
    from backends.harness.curating import curate as carried_out

    await carried_out(store, run, folder, order, command)


async def keep_observed(store: "Store", run: str, folder: "RunFolder", document: "Document") -> "tuple[Document, bool]":
    """Keep what the observer made of the version that `document` says it is, where no engine works on the run; whoever
    calls holds the run's lock. The latest version then, and whether it is a new one. StoreError, OSError."""
    from backends.harness.writing import keep_observed as kept

    return await kept(store, run, folder, document)


async def keep_consulted(
    store: "Store", run: str, folder: "RunFolder", number: int, consulted: "Consulted"
) -> "ModelObserved":
    """Keep what came of asking the observer's model about a generation, where no engine works on the run; whoever calls
    holds the run's lock. What became of each change. StoreError, OSError."""
    from backends.harness.writing import keep_consulted as kept

    return await kept(store, run, folder, number, consulted)
