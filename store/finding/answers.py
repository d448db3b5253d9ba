"""Calls of a model: those that are right for the filters alone, and those of bare recordings that failed."""

import json
from collections.abc import Sequence
from typing import Any

from store.domain.blocks import BlockKind, blocks
from store.domain.ids import SubagentId
from store.domain.marking import Excerpt, excerpt, has_all, spans
from store.finding.calls import costs
from store.finding.hits import Hit
from store.finding.looking import USD, Look
from store.finding.slices import Slices
from store.rebuilding import node

SLICE = 20_000
"""Calls that the first look is over; each that finds little is over twice as many."""
MOST = 1024
"""Calls that are looked at in one go."""
_ROWS = (
    "SELECT rowid, id, run, generation, lane, started, ended, error FROM calls{} WHERE rowid > ? AND rowid <= ? "
    "AND parent IS NULL"
)
_OF_LANE = (
    "SELECT rowid, id, run, generation, lane, started, ended, error FROM calls INDEXED BY ix_calls_subagent "
    "WHERE run = ? AND generation = ? AND lane = ? AND (started, rowid) < (?, ?) AND parent IS NULL"
)
NEWEST = (1e300, 2**62)
_THESE = (
    "SELECT rowid, id, run, generation, lane, started, ended, error FROM calls WHERE rowid IN "
    "(SELECT value FROM json_each(?)) AND parent IS NULL"
)
_LAST_OF = "SELECT max(rowid) FROM calls INDEXED BY ix_calls_subagent WHERE run = ? AND generation = ? AND lane = ?"
_FAILED = "generation IS NULL AND error != ''"
_NEWEST = "SELECT rowid, run, generation, lane FROM calls ORDER BY rowid DESC LIMIT 100"


class Answers(Slices):
    """Calls that the clients made, each with the beginning of its answer."""

    _index = " NOT INDEXED"

    def __init__(self, look: Look) -> None:
        super().__init__(look, SLICE, MOST)

    def _newest(self) -> int:
        connection, whos = self._look.connection, self._look.called.whos
        newest = connection.exec_driver_sql(_NEWEST).all()
        for rowid, run, generation, lane in newest:
            if whos is None or SubagentId(run, generation or 0, lane or 0) in whos:
                return int(rowid)
        places = ((who.run, who.generation, who.lane) for who in whos or ())
        lasts = (connection.exec_driver_sql(_LAST_OF, place).scalar() for place in places)
        return max((last for last in lasts if last is not None), default=0)

    def _rows(self, low: int, high: int, count: int) -> Sequence[Any]:
        where, told = self._where()
        return self._look.connection.exec_driver_sql(
            f"{_ROWS.format(self._index)}{where} ORDER BY rowid DESC LIMIT ?", (low, high, *told, count)
        ).all()

    def _where(self) -> tuple[str, list[Any]]:
        where, told = self._look.where()
        more, values = self._of_calls()
        return where + more, [*told, *values]

    def _of_calls(self) -> tuple[str, list[Any]]:
        """What the query says of calls themselves, as a condition."""
        query = self._look.query
        where = " AND started <= ?"
        told: list[Any] = [min(self._look.until, 1e300)]
        if query.models:
            where += f" AND ({' OR '.join(['instr(lower(model), ?)'] * len(query.models))})"
            told += [name.strip("*") for name in query.models]
        paid, values = costs(query, USD)
        return where + paid, [*told, *values]

    def _hit(self, row: Any) -> Hit | None:
        look = self._look
        asked = look.call(row.id)
        if asked is None or not look.scope.has(row.run, row.generation, row.lane):
            return None
        there = asked.ended is not None and asked.ended <= look.until
        if look.query.costs and not there:
            # What it cost is known when it has ended.
            return None
        kind, block, said = BlockKind.TEXT, 0, Excerpt(row.error if there else "in progress")
        for number, one in enumerate(self._blocks(asked.answer) if there and asked.answer else ()):
            if one.text.strip() or one.kind is BlockKind.TOOL_CALL:
                kind, block = one.kind, number
                said = excerpt(f"{one.name} {one.text}" if one.name else one.text, ())
                break
        who = SubagentId(row.run, row.generation, row.lane) if row.generation else None
        return Hit(
            run=row.run,
            who=who,
            at=asked.ended if there and asked.ended is not None else asked.started,
            kind=kind.value,
            excerpt=said,
            role="assistant",
            call=asked.id,
            node=asked.answer or "" if there else "",
            block=block,
            turn=look.turn_at(who, asked.started, asked.thread),
            name=asked.model,
            usd=asked.usd if there else None,
        )

    def _blocks(self, key: str) -> Any:
        try:
            return blocks(node(self._look.connection, key).message)
        except (KeyError, ValueError):
            return ()


class Few(Answers):
    """The same where all that may be right are known, in the order in which they would be come upon."""

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self._found: list[Any] | None = None

    def portion(self, limit: int) -> list[Hit]:
        """The next places."""
        if self._found is None:
            self._found = self._all()
        found: list[Hit] = []
        while self._found and len(found) < limit:
            if (hit := self._hit(self._found.pop())) is not None:
                found.append(hit)
        self.done = not self._found
        return found

    def _all(self) -> list[Any]:
        """Oldest first."""
        look = self._look
        where, told = self._where()
        rowids = json.dumps([rowid for rowid, _ in look.called.few or ()])
        rows = look.connection.exec_driver_sql(f"{_THESE}{where} ORDER BY rowid", (rowids, *told)).all()
        if look.query.agents or look.query.generations:
            order = {who: at for at, who in enumerate(_in_order(look))}
            rows = sorted(rows, key=lambda row: (order[SubagentId(row[2], row[3], row[4])], row.started, row.rowid))
        return [*rows]


def _in_order(look: Look) -> list[SubagentId]:
    """The subagents that are looked at, oldest first."""
    order = {run: at for at, run in enumerate(look.scope.runs)}
    return sorted(look.scope.whos or (), key=lambda who: (order[who.run], who.generation, who.lane))


class OfSubagents(Answers):
    """The same of some subagents alone, one after the other, those of the newest generation first."""

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self._left = _in_order(look)
        self._before: tuple[float, int] = NEWEST

    def portion(self, limit: int) -> list[Hit]:
        """The next places of one subagent."""
        if not self._left:
            self.done = True
            return []
        who = self._left[-1]
        where, told = self._of_calls()
        rows = self._look.connection.exec_driver_sql(
            f"{_OF_LANE}{where} ORDER BY started DESC, rowid DESC LIMIT ?",
            (who.run, who.generation, who.lane, *self._before, *told, limit),
        ).all()
        if len(rows) < limit:
            self._left.pop()
            self._before, self.done = NEWEST, not self._left
        else:
            self._before = rows[-1].started, rows[-1].rowid
        return [hit for row in rows if (hit := self._hit(row)) is not None]


class Failed(Answers):
    """Calls of bare recordings, of which no events tell, that ended with an error."""

    _index = " INDEXED BY ix_calls_failed"

    def _where(self) -> tuple[str, list[Any]]:
        where, told = super()._where()
        return f"{where} AND {_FAILED}", told

    def _hit(self, row: Any) -> Hit | None:
        terms = self._look.query.terms
        if self._look.query.tools or not has_all((row.error,), terms):
            return None
        hit = super()._hit(row)
        if hit is None:
            return None
        told = {"excerpt": excerpt(row.error, spans(row.error, terms)), "kind": "call.finished", "node": ""}
        return Hit(**{**vars(hit), **told})
