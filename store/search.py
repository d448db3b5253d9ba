"""Full-text search over what was said on the tapes, passage by passage (`store.passages`)."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, and_, case, column, func, literal_column, not_, or_, select, table, text, tuple_

from store.domain.blocks import BlockKind
from store.domain.ids import OBSERVER, SubagentId
from store.passages import CLOSE, NAMES, OPEN, UNSTORABLE
from store.ranking import ranked

if TYPE_CHECKING:
    from store.database import Store

_columns = table("passages", *map(column, NAMES)).c

# The answers on the tape before this call, and this call's own if it is the node. A call that was made for another one
# is part of that.
_answers = text(
    "SELECT count(DISTINCT earlier.answer) FROM calls AS made "
    "JOIN calls AS its ON its.id = coalesce(made.parent, made.id) JOIN calls AS earlier WHERE made.id = :call "
    "AND earlier.run = its.run AND earlier.generation IS its.generation AND earlier.lane IS its.lane "
    "AND earlier.answer IS NOT NULL AND earlier.complete AND earlier.parent IS NULL "
    "AND (earlier.started < its.started OR (earlier.id = its.id AND made.answer = :node))"
)
_made_for: Any = literal_column("(SELECT calls.parent FROM calls WHERE calls.id = passages.call)").label("made_for")

TWICE = 2
"""What a translation made of a call says the same once more: so many rows are looked at for each hit."""

WINDOW = 1200
"""Code points of a block that a hit shows around itself: about 300 tokens."""

SNIPPET = 160
"""Code points of a hit's one line."""

NEAR = 80
"""Code points within which a hit's text is cut at a line's end, or else at a space."""

_TERM = re.compile(r'"([^"]*)"(\*?)|(\S+)')


@dataclass(frozen=True)
class Hit:
    """A block that matches. `text` is the part of it around the place with most matches, `snippet` one line of that;
    `start` and `end` are where the first match there stands in the whole block, in code points. `call` is the client's,
    where others were made for it. `turn` counts the subagent's answers from 1: an answer's own, or the one whose tool
    calls a result belongs to. `subagent` is None for a call of no subagent."""

    call: str
    node: str
    block: int
    run: str
    subagent: SubagentId | None
    turn: int
    role: str
    kind: BlockKind
    snippet: str
    text: str
    start: int
    end: int


def search(
    store: "Store",
    query: str,
    *,
    run: str | None = None,
    subagent: SubagentId | None = None,
    before_generation: int | None = None,
    besides: Sequence[str] = (),
    kinds: Collection[BlockKind] | None = None,
    prompts: bool = True,
    limit: int = 20,
) -> list[Hit]:
    """The blocks that match, best first (BM25). Any text is a query: words, "phrases in quotes" and beginnings*.

    A block that has all of the terms is looked for; where there is none, those that have any of them. Without
    `prompts` what was said to the model in words is left out: tool results stay. The order of a search of the past,
    with `before_generation`, depends on that past alone; all of the runs `besides` belongs to it.
    """
    terms = _terms(query)
    if not terms:
        return []
    marked = func.highlight(literal_column("passages"), 0, OPEN, CLOSE).label("marked")
    statement = select(*(_columns[name] for name in NAMES[1:]), _made_for, marked)
    statement = statement.where(text("passages MATCH :query"))
    if subagent is not None:
        own = (subagent.run, subagent.generation, subagent.lane)
        statement = statement.where(tuple_(_columns.run, _columns.generation, _columns.lane) == own)
    elif run is not None:
        there = text("run NOT IN (SELECT run FROM deletions)")
        statement = statement.where(or_(_columns.run == run, and_(_columns.run.in_(besides), there)))
    else:
        statement = statement.where(text("run NOT IN (SELECT run FROM deletions)"))
    if before_generation is not None:
        # Calls of no subagent have generation 0, and belong to nobody's past. What the observer's model said is no
        # attempt's: what it found goes through the operator's hands.
        before = or_(_columns.generation < before_generation, _columns.run.in_(besides))
        statement = statement.where(_columns.generation >= 1, before, _columns.lane != OBSERVER)
    if kinds is not None:
        statement = statement.where(_columns.kind.in_([kind.value for kind in kinds]))
    if not prompts:
        told = and_(_columns.role.in_(["user", "system", "developer"]), _columns.kind == BlockKind.TEXT.value)
        statement = statement.where(not_(told))
    past = before_generation is not None
    if past:
        # The order of a lane's own rows is that of its turns; that of all rows is chance.
        whose = [case({name: place for place, name in enumerate(besides)}, value=_columns.run, else_=len(besides))]
        statement = statement.order_by(*whose[: len(besides)], _columns.generation, _columns.lane, text("rowid"))
    else:
        statement = statement.order_by(text("rank"), text("rowid")).limit(TWICE * limit)
    with store.read() as connection:
        rows: Sequence[Any] = ()
        for operator in (" ", " OR ") if len(terms) > 1 else (" ",):
            rows = _once(connection.execute(statement, {"query": operator.join(terms)}))
            if rows:
                break
        if past:
            unmarked = [_unmark(row.marked) for row in rows]
            order = ranked([words for words, _ in unmarked], [spans for _, spans in unmarked])
            rows = [rows[place] for place in order]
        return [_hit(connection, row) for row in rows[:limit]]


def _once(rows: Iterable[Any]) -> list[Any]:
    """The rows without those of tries that say what the tape has otherwise: a translation says all once more."""
    rows = [*rows]
    said = {_said(row) for row in rows if row.made_for is None}
    kept = []
    for row in rows:
        if row.made_for is not None:
            if _said(row) in said:
                continue
            said.add(_said(row))
        kept.append(row)
    return kept


def _said(row: Any) -> tuple[Any, ...]:
    return row.run, row.generation, row.lane, row.kind, row.marked


def _terms(query: str) -> list[str]:
    """The query's terms as FTS5 strings, in which nothing is syntax. Those without a letter or digit match nothing."""
    terms = []
    for match in _TERM.finditer(UNSTORABLE.sub(" ", query)):
        word = match[1] if match[3] is None else match[3]
        beginning = match[2] if match[3] is None else "*" * word.endswith("*")
        if any(character.isalnum() for character in word):
            quoted = word.replace('"', " ")
            terms.append(f'"{quoted}"{beginning}')
    return terms


def _hit(connection: Connection, row: Any) -> Hit:
    words, spans = _unmark(row.marked)
    start, end = _densest(spans, WINDOW) if spans else (0, 0)
    subagent = SubagentId(row.run, row.generation, row.lane) if row.generation else None
    return Hit(
        call=row.made_for or row.call,
        node=row.node,
        block=row.block,
        run=row.run,
        subagent=subagent,
        turn=_turn(connection, row.call, row.node),
        role=row.role,
        kind=BlockKind(row.kind),
        snippet=" ".join(_around(words, start, end, SNIPPET).split()),
        text=_around(words, start, end, WINDOW),
        start=start,
        end=end,
    )


def _unmark(marked: str) -> tuple[str, list[tuple[int, int]]]:
    """The text without the marks of what matched, and where those were."""
    pieces = re.split(f"[{OPEN}{CLOSE}]", marked)
    spans, position = [], 0
    for number, piece in enumerate(pieces):
        if number % 2:
            spans.append((position, position + len(piece)))
        position += len(piece)
    return "".join(pieces), spans


def _densest(spans: Sequence[tuple[int, int]], width: int) -> tuple[int, int]:
    """The match that begins the stretch of `width` code points with the most matches."""
    best, most, first = 0, 0, 0
    for last, (_, end) in enumerate(spans):
        while end - spans[first][0] > width and first < last:
            first += 1
        if last - first + 1 > most:
            best, most = first, last - first + 1
    return spans[best]


def _around(words: str, start: int, end: int, width: int) -> str:
    """About `width` code points around a place, from and to a line's or a word's border where one is near."""
    if len(words) <= width:
        return words
    left = max(0, min(start - width // 4, len(words) - width))
    right = min(len(words), max(left + width, end))
    if left:
        borders = (words.find(mark, left, min(start, left + NEAR)) for mark in "\n ")
        left = next((border + 1 for border in borders if border >= 0), left)
    if right < len(words):
        borders = (words.rfind(mark, max(end, right - NEAR), right) for mark in "\n ")
        right = next((border for border in borders if border >= 0), right)
    return ("…" if left else "") + words[left:right] + ("…" if right < len(words) else "")


def _turn(connection: Connection, call: str, node: str) -> int:
    """The turn that a node of a call belongs to."""
    answers = connection.execute(_answers, {"call": call, "node": node}).scalar_one()
    return max(1, int(answers))
