"""The strategy that the operator asks for: one that the run has, by its name, or an approach in their own words."""

from collections.abc import Iterable
from dataclasses import replace

from store.domain.board import Board
from store.domain.safe_text import safe_line
from store.domain.strategy import Strategy

LONGEST = 4000
"""Characters of an approach."""
NAMED = 40
"""Characters of the name that an approach gets."""


def known(board: Board, portfolio: Iterable[Strategy]) -> dict[str, Strategy]:
    """The strategies of a run, by name: those that it designs from, and as its lanes had them last."""
    lanes = (lane for generation in board.generations.values() for lane in generation.lanes.values())
    return {one.name: one for one in (*(lane.plan.strategy for lane in lanes), *portfolio)}


def chosen(words: str, model: str, before: Strategy, known: Iterable[Strategy]) -> Strategy:
    """What is asked for, in the place of `before`: a strategy's name, an approach of two words and more, or "" for the
    same. ValueError that says what is wrong."""
    words, model = words.strip(), model.strip()
    strategy = before if not words else _by_name(words, known) or _in_words(words, before, known)
    return replace(strategy, model=model) if model else strategy


def _by_name(name: str, known: Iterable[Strategy]) -> Strategy | None:
    return next((one for one in known if one.name.casefold() == name.casefold()), None)


def _in_words(words: str, before: Strategy, known: Iterable[Strategy]) -> Strategy:
    if len(words.split()) == 1:
        names = ", ".join(f"“{safe_line(one.name, 60)}”" for one in known)
        raise ValueError(f"There is no strategy “{safe_line(words, 60)}”. Name one of {names}, or write an approach.")
    if len(words) > LONGEST:
        raise ValueError(f"An approach has at most {LONGEST:,} characters; this one has {len(words):,}.")
    return Strategy(safe_line(words, NAMED), words, model=before.model, limits=before.limits)
