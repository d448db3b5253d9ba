"""The gate as it stands: what would be launched, what its lanes would be told, what it may cost, what the numbers say.

Pure: whoever shows it brings the board and the documents.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backends.harness import proposed
from store.domain.board import Board
from store.domain.effect import Effect, Effects, effects, same_task
from store.domain.observations import Document, Injection, select
from store.domain.outlook import Outlook, outlook
from store.domain.strategy import LanePlan
from store.domain.task import Memory

if TYPE_CHECKING:
    from store.database import Store

_NOTHING = Injection("", (), 0)


@dataclass(frozen=True)
class Proposed:
    """One lane of the next generation, and what it would be told."""

    plan: LanePlan
    told: Injection


@dataclass(frozen=True)
class AtGate:
    """What there is to decide. `next` is the generation that would be launched, 0 where there will be none. `waits` is
    whether a gate is open now, `until` when it opens by itself. `changed` is whether the lanes are the operator's."""

    next: int
    waits: bool
    until: float | None
    changed: bool
    lanes: tuple[Proposed, ...]
    version: int
    known: int
    cap: int
    outlook: Outlook
    effects: Effects

    @property
    def quarantine(self) -> tuple[Effect, ...]:
        """The observations that are proposed for it."""
        return tuple(one for one in self.effects.effects if one.quarantine)


def at_gate(
    board: Board,
    document: Document | None,
    now: float,
    others: Sequence[tuple[Board, Document | None]] = (),
    *,
    plans: Sequence[LanePlan] | None = None,
) -> AtGate:
    """The gate after the board's latest generation, open or to come. `document` is the latest version of its
    observations; `others` are further runs of the same task, which its numbers count as well. `plans` stand in the
    place of those that would be launched."""
    generation = board.generation
    number = generation.number + 1 if generation is not None else 1
    more = number <= board.task.generations and board.finished is None
    lanes = tuple(proposed(board, document) if plans is None else plans) if more else ()
    cap = board.task.injected_tokens
    remembers = board.task.memory is Memory.OWN and document is not None
    seconds = generation.gate.seconds if board.waiting and generation is not None and generation.gate else None
    return AtGate(
        next=number if more else 0,
        waits=board.waiting,
        until=generation.opened + seconds if generation is not None and seconds is not None else None,
        changed=bool(generation is not None and generation.planned),
        lanes=tuple(
            Proposed(
                plan,
                select(document, cap, plan.without)
                if remembers and document is not None and not plan.clean
                else _NOTHING,
            )
            for plan in lanes
        ),
        version=document.version if document is not None else 0,
        known=board.known,
        cap=cap,
        outlook=outlook(board, lanes, now),
        effects=effects([*others, (board, document)], document),
    )


def of_task(store: "Store", board: Board) -> list[tuple[Board, Document | None]]:
    """The other runs of a store that work on the same task, with what they know, oldest first. Replays are left out:
    they show the same once more."""
    from store import runs

    return _read(store, board, [row.id for row in reversed(runs.runs(store))])


def remembered_by(store: "Store", board: Board) -> list[tuple[Board, Document | None]]:
    """The runs that a run started from, as far as they are still there and have the same task."""
    from store import runs

    there = {row.id for row in runs.runs(store)}
    return _read(store, board, [run for run in board.order.remembered if run in there] if board.order else [])


def _read(store: "Store", board: Board, names: Sequence[str]) -> list[tuple[Board, Document | None]]:
    from app.context import read_board
    from store import observations

    boards = [read_board(store, name) for name in names if name != board.run]
    return [
        (other, observations.load(store, other.run))
        for other in boards
        if same_task(board, other) and other.order is not None and other.order.replay is None
    ]
