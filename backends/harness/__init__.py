"""The harness: takes a run through its generations. The face of the trade.

`Harness(journal, ports).run()` works on a run until it is over; `report` writes down where it stands; `proposed` says
what the next generation would be.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from store.domain.board import Board
    from store.domain.observations import Document
    from store.domain.strategy import LanePlan, Strategy


def proposed(
    board: "Board", document: "Document | None", portfolio: "Sequence[Strategy]" = ()
) -> "tuple[LanePlan, ...]":
    """The lanes of the generation after the board's latest, as they would be launched now: with the operator's changes,
    and with what is kept from whom. `document` is the version of the observations that it is told; without a
    `portfolio` it is the task's, or the built-in one."""
    from backends.harness.planning import proposed as planned

    return planned(board, document, portfolio)
