"""What `multitrack observations RUN list` prints: the list of the Observations screen."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from app.gate import at_gate
from app.known import read as read_known
from app.learned import Entry, Sort, difference, entries, listed
from store.domain.board import Board
from store.domain.codec import encode
from store.domain.observations import Observation, injectable, select, tokens
from store.domain.observations.injection import item
from store.domain.safe_text import safe_line

if TYPE_CHECKING:
    from store.database import Store

TEXT = 80
"""Characters of a text in a list."""
HEADS = ("ID", "PRIORITY", "CLAIM", "STATUS", "SUPPORT", "SINCE", "TOKENS", "EFFECT", "TEXT")
RIGHT = (4, 6, 7)
"""The columns of numbers."""


def read(store: "Store", board: Board) -> tuple[Entry, ...]:
    """A run's observations as they are now, with what is known of each."""
    known = read_known(store, board)
    if known is None:
        return ()
    gate = at_gate(board, known.document, board.at, known.others)
    return entries(known.document, known.before, gate.effects, select(known.document, gate.cap).ids)


def chosen(all_of: Sequence[Entry], only: str, words: str, *, everything: bool) -> list[Entry]:
    """Those that a filter leaves; `everything` is without a filter, with those that are no longer in the file."""
    sorts = (Sort.ALL, Sort.OUT) if everything else tuple(each for each in Sort if each.option == only)
    found = {entry.observation.id for sort in sorts for entry in listed(all_of, sort, words)}
    return [entry for entry in all_of if entry.observation.id in found]


def plain(o: Observation) -> dict[str, object]:
    """An observation as JSON; `tokens` is about what it takes in a prompt, `injectable` whether it may go into one."""
    return {**encode(o), "tokens": tokens(item(o)), "injectable": injectable(o)}


def facts(entry: Entry) -> dict[str, object]:
    """The same with what the list knows: `told` is whether the next generation is told it; `since` what became of it
    since the latest one was: `new`, `more` support, an `edit`, or ""; `effect` what `learned.difference` says."""
    return {
        **plain(entry.observation),
        "told": entry.told,
        "since": entry.news,
        "effect": difference(entry.effect),
        "conflicts": entry.disputed,
    }


def row(entry: Entry) -> tuple[object, ...]:
    """A line of the table."""
    o = entry.observation
    status = f"{o.status}, flagged" if o.flags else str(o.status)
    if o.merged_into:
        status = f"into {', '.join(o.merged_into)}"
    support = f"{len(o.attempts)}{f'-{len(o.contradicted_by)}' if o.contradicted_by else ''}"
    text = safe_line(o.text, TEXT)
    return o.id, o.priority, o.claim, status, support, entry.news, entry.tokens, difference(entry.effect), text
