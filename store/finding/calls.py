"""Which calls are right for what a query says of calls, by their indexes: none, a few, or many of some subagents."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from store.domain.ids import SubagentId
from store.domain.query import Query
from store.finding.scope import Scope
from store.gathering import driver_of

if TYPE_CHECKING:
    import sqlite3

    from sqlalchemy import Connection

FEW = 2000
"""Calls that are named, at most."""
NARROW = 1000
"""Subagents that others are left out for, at most."""
_GENERATION, _LANE = "coalesce(generation, 0)", "coalesce(lane, 0)"
_PAID = "FROM calls INDEXED BY ix_calls_paid WHERE parent IS NULL"
_TRIES = "SELECT parent FROM calls INDEXED BY ix_calls_parent WHERE parent IS NOT NULL GROUP BY parent HAVING"
_ROWS = (
    "SELECT rowid, id, run, generation, lane FROM calls WHERE {} IN (SELECT value FROM json_each(?)) "
    "AND parent IS NULL ORDER BY rowid DESC"
)


@dataclass(frozen=True)
class Called:
    """Calls that the clients made. `few` are all that may be right, newest first, as (rowid, id); None where they are
    many. `whos` are the subagents that have some; None where others have, or nobody knows."""

    few: tuple[tuple[int, str], ...] | None = None
    whos: frozenset[SubagentId] | None = None

    @property
    def nothing(self) -> bool:
        """There is none."""
        return self.few == ()


def called(connection: "Connection", query: Query, scope: Scope) -> Called:
    """The calls of the models and costs that are asked for, of the subagents that are looked at."""
    if not query.models and not query.costs:
        return Called()
    driver = driver_of(connection)
    of_routes = _of_routes(driver, query)
    rowids: list[int] = []
    whos: set[SubagentId] = set()
    where, told = costs(query, "usd")
    for run, generation, lane in _whose(driver, scope):
        for model in _following(driver, "model", run=run, generation=generation, lane=lane):
            if query.models and not any(name.strip("*") in model.lower() for name in query.models):
                continue
            rows = driver.execute(
                f"SELECT rowid {_PAID} AND run = ? AND {_GENERATION} = ? AND {_LANE} = ? AND model = ?{where} LIMIT ?",
                (run, generation, lane, model, *told, max(FEW + 1 - len(rowids), 1)),
            ).fetchall()
            if rows:
                whos.add(SubagentId(run, generation, lane))
                rowids += [rowid for (rowid,) in rows]
    if of_routes is None:
        return Called()
    if len(rowids) > FEW:
        whos |= {who for _, _, who in of_routes}
        return Called(None, _subagents(whos) if len(whos) <= NARROW else None)
    few = [*_rows(driver, "rowid", rowids), *of_routes]
    ordered = sorted({(rowid, name) for rowid, name, _ in few}, reverse=True)
    return Called(tuple(ordered), _subagents({who for _, _, who in few}))


def _subagents(whos: set[SubagentId]) -> frozenset[SubagentId] | None:
    """All of them, None where one is nobody."""
    return frozenset(whos) if all(who.generation and who.lane for who in whos) else None


def costs(query: Query, column: str) -> tuple[str, list[Any]]:
    """What the query says of costs, as a condition on a column."""
    where, told = "", list[Any]()
    for bounds in query.costs:
        less = "<" if bounds.open else "<="
        where += f" AND {column} {less} ? AND {column} {less.replace('<', '>')} ?"
        told += [min(bounds.high, 1e300), bounds.low]
    return where, told


def _whose(driver: "sqlite3.Connection", scope: Scope) -> Iterator[tuple[str, int, int]]:
    """Subagents that made calls, zeros for nobody."""
    if scope.whos is not None:
        yield from ((who.run, who.generation, who.lane) for who in sorted(scope.whos))
        return
    for run in scope.runs:
        for generation in _following(driver, _GENERATION, run=run):
            for lane in _following(driver, _LANE, run=run, generation=generation):
                yield run, generation, lane


def _following(driver: "sqlite3.Connection", column: str, **of: Any) -> Iterator[Any]:
    """All values of a column of the index, each of which leads to the next: however many calls have it."""
    names = {"run": "run", "generation": _GENERATION, "lane": _LANE}
    where = "".join(f" AND {names[name]} = ?" for name in of)
    after, told = "", tuple(of.values())
    while True:
        row = driver.execute(f"SELECT {column} {_PAID}{where}{after} ORDER BY {column} LIMIT 1", told).fetchone()
        if row is None:
            return
        yield row[0]
        after, told = f" AND {column} > ?", (*of.values(), row[0])


def _of_routes(driver: "sqlite3.Connection", query: Query) -> list[tuple[int, str, SubagentId]] | None:
    """Calls that routes answered, which cost what their tries did together; None where they are many."""
    if not query.costs:
        return []
    where, told = costs(query, "sum(usd)")
    parents = driver.execute(f"{_TRIES} sum(usd) IS NOT NULL{where} LIMIT ?", (*told, FEW + 1)).fetchall()
    return _rows(driver, "id", [parent for (parent,) in parents]) if len(parents) <= FEW else None


def _rows(driver: "sqlite3.Connection", column: str, values: list[Any]) -> list[tuple[int, str, SubagentId]]:
    if not values:
        return []
    rows = driver.execute(_ROWS.format(column), (json.dumps(values),)).fetchall()
    return [(rowid, name, SubagentId(run, generation or 0, lane or 0)) for rowid, name, run, generation, lane in rows]
