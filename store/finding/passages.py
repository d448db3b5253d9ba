"""Words in what was said on the tapes, by the full-text index."""

import hashlib
import json
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Any

from store import zones
from store.domain.blocks import Block, BlockKind, blocks
from store.domain.ids import SubagentId
from store.domain.marking import excerpt, spans
from store.domain.query import Query
from store.finding.hits import Hit
from store.finding.looking import Asked, Look
from store.finding.slices import Slices
from store.passages import UNSTORABLE
from store.rebuilding import node

SLICE = 50_000
"""Passages of the index that the first look is over; each that finds little is over twice as many."""
MOST = 4096
"""Places that are looked at in one go."""
_ROWS = (
    "SELECT rowid, call, node, block, run, generation, lane, role, kind FROM passages WHERE passages MATCH ? "
    "AND rowid > ? AND rowid <= ?"
)
_TEXT = "SELECT text FROM passages WHERE rowid = ?"
_NEWEST = "SELECT rowid FROM passages ORDER BY rowid DESC LIMIT 1"
_PARENT = "SELECT parent FROM nodes WHERE key = ?"
_TRIES = "SELECT id FROM calls WHERE parent IN (SELECT value FROM json_each(?))"
NAMED = 200
"""Calls that passages are asked for by name, at most."""
_OF_TOOLS = (BlockKind.TOOL_CALL, BlockKind.TOOL_RESULT)


def match(query: Query) -> str:
    """The terms for FTS5, as strings in which nothing is syntax."""
    terms = []
    for term in query.terms:
        words = UNSTORABLE.sub(" ", term.text).replace('"', " ")
        terms.append(f'"{words}"{"*" if term.begins else ""}')
    return " ".join(terms)


def _with_tries(look: Look, calls: list[str]) -> str:
    """The names of calls, and of those that were made for them, as JSON."""
    tries = look.connection.exec_driver_sql(_TRIES, (json.dumps(calls),))
    return json.dumps([*calls, *(name for (name,) in tries)])


class Words(Slices):
    """Blocks that have all of the words. A query of beginnings is looked up at once: FTS5 gathers all
    that begins so before it gives the first."""

    def __init__(self, look: Look) -> None:
        self._whole = any(term.begins for term in look.query.terms)
        super().__init__(look, 2**62 if self._whole else SLICE, MOST)
        self._match = match(look.query)
        self._left: list[tuple[int, int]] | None = None
        self._exact: list[tuple[int, int]] = []
        self._named: set[int] = set()
        few = look.called.few
        self._calls = _with_tries(look, [name for _, name in few]) if few is not None and len(few) <= NAMED else ""
        self._said: dict[tuple[str, str, bytes], bool] = {}

    def portion(self, limit: int) -> list[Hit]:
        """The next places of one slice, among the passages that may be right."""
        if self._left is None:
            self._left = self._ranges()[::-1]
        if self._high is None and self._left:
            self._over, high = self._left[-1]
            self._high = min(high, self._newest())
        found = super().portion(limit) if self._left else []
        if self.done or not self._left:
            self._left = self._left[:-1]
            self._high, self.done = None, not self._left
        return found

    def _ranges(self) -> list[tuple[int, int]]:
        """Passages after one and up to another that may be right, newest first."""
        look = self._look
        scope, few = look.scope, look.called.few
        if not look.query.tools and not scope.narrow and scope.whos is None and few is None:
            return [(0, 2**62)]
        whos = None if scope.whos is None else {(who.run, who.generation, who.lane) for who in scope.whos}
        rowids = None if few is None else sorted(rowid for rowid, _ in few)

        def right(zone: zones.Zone) -> bool:
            if rowids is not None and not bisect_left(rowids, zone.first) < bisect_right(rowids, zone.last):
                return False
            if whos is not None and whos.isdisjoint(zone.whos):
                return False
            if scope.narrow and not any(run in scope.runs for run, _, _ in zone.whos):
                return False
            if not look.query.tools:
                return True
            of_tools = [rowids for name, rowids in zone.tools.items() if look.is_tool(name)]
            if of_tools and None not in of_tools:
                self._exact.append((zone.upto, zone.after))
                self._named.update(rowid for rowids in of_tools for rowid in rowids or ())
            return bool(of_tools)

        ranges = zones.those(look.connection, right)
        self._exact.reverse()
        return [(ranges[-1][0], ranges[0][1])] if self._whole and ranges else [*ranges]

    def _other(self, rowid: int) -> bool:
        """Whether a passage's zone says that it is of none of the tools."""
        at = bisect_left(self._exact, (rowid,))
        return at < len(self._exact) and rowid > self._exact[at][1] and rowid not in self._named

    def _newest(self) -> int:
        return int(self._look.connection.exec_driver_sql(_NEWEST).scalar() or 0)

    def _rows(self, low: int, high: int, count: int) -> Sequence[Any]:
        where, told = self._look.where()
        if self._look.query.tools:
            where += " AND kind IN ('tool_call', 'tool_result')"
        if self._calls:
            where += " AND call IN (SELECT value FROM json_each(?))"
            told = [*told, self._calls]
        return self._look.connection.exec_driver_sql(
            f"{_ROWS}{where} ORDER BY rowid DESC LIMIT ?", (self._match, low, high, *told, count)
        ).all()

    def _hit(self, row: Any) -> Hit | None:
        look = self._look
        if not look.scope.has(row.run, row.generation, row.lane) or self._other(row.rowid):
            return None
        asked = look.call(row.call)
        if asked is None or not look.has(asked):
            return None
        at = asked.ended if row.node == asked.answer and asked.ended is not None else asked.started
        if at > look.until:
            return None
        block, name = self._block(row)
        if not look.is_tool(name):
            return None
        text = str(look.connection.exec_driver_sql(_TEXT, (row.rowid,)).scalar_one())
        if self._told(row, asked, text):
            return None
        who = SubagentId(row.run, row.generation, row.lane) if row.generation else None
        return Hit(
            run=row.run,
            who=who,
            at=at,
            kind=row.kind,
            excerpt=excerpt(text, spans(text, look.query.terms)),
            role=row.role,
            call=asked.id,
            node=row.node,
            block=row.block,
            turn=self._turn(who, asked, row),
            tool_call=block.id if block is not None and block.kind in _OF_TOOLS else "",
            name=name or asked.model,
            usd=asked.usd,
        )

    def _turn(self, who: SubagentId | None, asked: Asked, row: Any) -> int:
        turn = self._look.turn_at(who, asked.started, asked.thread)
        # A result comes with the request of the turn after that which asked for it.
        return max(turn - 1, 1) if row.kind == BlockKind.TOOL_RESULT and turn else turn

    def _told(self, row: Any, asked: Asked, text: str) -> bool:
        """Whether it was found before: what a translation made of a call says all once more."""
        key = asked.id, row.kind, hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest()
        tried = row.call != asked.id
        before = self._said.get(key)
        if before is None:
            self._said[key] = tried
        return before is not None and (tried or before)

    def _block(self, row: Any) -> tuple[Block | None, str]:
        """The block, and the tool that it belongs to, "" for other words."""
        if row.kind not in _OF_TOOLS:
            return None, ""
        connection = self._look.connection
        of_node = blocks(node(connection, row.node).message)
        block = of_node[row.block] if row.block < len(of_node) else None
        if block is None or block.kind is BlockKind.TOOL_CALL:
            return block, block.name if block is not None else ""
        key: str | None = row.node
        for _ in range(zones.ABOVE):
            key = connection.exec_driver_sql(_PARENT, (key,)).scalar()
            if key is None:
                break
            for asked in blocks(node(connection, key).message):
                if asked.kind is BlockKind.TOOL_CALL and asked.id == block.id:
                    return block, asked.name
        return block, ""
