"""What comes of an order at the gate. Pure: the operator's orders are carried out elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass

from backends.harness.planning import changed
from store.domain.board import Board
from store.domain.commands import ChangePlan, Launch
from store.domain.events import GatePassed, GenerationPlanned, Payload
from store.domain.strategy import Strategy


@dataclass(frozen=True)
class Ruling:
    """What is said of an order, and the events that carry it out; none where it is refused."""

    said: str
    payloads: tuple[Payload, ...] = ()


def ruled(board: Board, order: Launch | ChangePlan, portfolio: Sequence[Strategy] = ()) -> Ruling:
    """What comes of an order that an open gate takes. Its events belong to the gate's generation."""
    if board.generation is None or not board.waiting:
        return Ruling("No gate is open.")
    return _launched(board, order) if isinstance(order, Launch) else _planned(board, order, portfolio)


def _launched(board: Board, order: Launch) -> Ruling:
    generation = board.generation
    assert generation is not None
    number, told = generation.number, None
    said = "All generations that follow start." if order.rest else f"Generation {number + 1} starts."
    if order.again:
        told = generation.told
        said += f" It is generation {number} again: the same lanes, told the same."
    elif not order.curated and generation.observed is not None:
        told = generation.observed.version
        said += f" It is told version {told} of the observations, as it was written when the tapes were read."
    return Ruling(said, (GatePassed("operator", order.rest, told, order.again),))


def _planned(board: Board, order: ChangePlan, portfolio: Sequence[Strategy]) -> Ruling:
    assert board.generation is not None
    number = board.generation.number + 1
    if order.anew and not order.changes:
        return Ruling(f"Generation {number} is what the rules propose.", (GenerationPlanned(),))
    try:
        plans = changed(board, order.changes, portfolio, anew=order.anew)
    except ValueError as error:
        return Ruling(str(error))
    clean = sum(plan.clean for plan in plans)
    lanes = "1 lane" if len(plans) == 1 else f"{len(plans)} lanes"
    said = f"Generation {number} has {lanes}, {clean or 'none'} of them clean."
    return Ruling(said, (GenerationPlanned(plans),))
