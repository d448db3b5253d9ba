"""Words in what was said on the tapes, by the full-text index."""

import hashlib
from typing import Any

from store.domain.blocks import Block, BlockKind, blocks
from store.domain.ids import SubagentId
from store.domain.marking import excerpt, spans
from store.domain.query import Query
from store.finding.hits import Hit
from store.finding.looking import Asked, Look
from store.passages import UNSTORABLE
from store.rebuilding import node

SLICE = 50_000
"""Passages of the index that the first look is over; each that finds little is over twice as many."""
LEAST, MOST = 64, 4096
"""Places that are looked at in one go."""
ABOVE = 16
"""Messages that are looked back through for the tool call that a result answers."""
_ROWS = (
    "SELECT rowid, call, node, block, run, generation, lane, role, kind FROM passages WHERE passages MATCH ? "
    "AND rowid > ? AND rowid <= ?"
)
_TEXT = "SELECT text FROM passages WHERE rowid = ?"
_NEWEST = "SELECT rowid FROM passages ORDER BY rowid DESC LIMIT 1"
_PARENT = "SELECT parent FROM nodes WHERE key = ?"
_OF_TOOLS = (BlockKind.TOOL_CALL, BlockKind.TOOL_RESULT)


def match(query: Query) -> str:
    """The terms for FTS5, as strings in which nothing is syntax."""
    terms = []
    for term in query.terms:
        words = UNSTORABLE.sub(" ", term.text).replace('"', " ")
        terms.append(f'"{words}"{"*" if term.begins else ""}')
    return " ".join(terms)


class Words:
    """Blocks that have all of the words, newest first. A query of beginnings is looked up at once: FTS5 gathers all
    that begins so before it gives the first."""

    def __init__(self, look: Look) -> None:
        self.done = False
        self._look = look
        self._match = match(look.query)
        self._high: int | None = None
        self._count = LEAST
        self._slice = 2**62 if any(term.begins for term in look.query.terms) else SLICE
        self._said: dict[tuple[str, str, bytes], bool] = {}

    def portion(self, limit: int) -> list[Hit]:
        """The next places of one slice of the index."""
        connection = self._look.connection
        if self._high is None:
            row = connection.exec_driver_sql(_NEWEST).first()
            self._high = row[0] if row is not None else 0
        low = max(self._high - self._slice, 0)
        where, told = self._look.where()
        if self._look.query.tools:
            where += " AND kind IN ('tool_call', 'tool_result')"
        rows = connection.exec_driver_sql(
            f"{_ROWS}{where} ORDER BY rowid DESC LIMIT ?", (self._match, low, self._high, *told, self._count)
        ).all()
        found: list[Hit] = []
        for row in rows:
            self._high = row.rowid - 1
            if (hit := self._hit(row)) is not None:
                found.append(hit)
                if len(found) == limit:
                    return found
        if len(rows) < self._count:
            self._high, self._slice = low, 2 * self._slice
            self.done = low == 0
        if len(found) < limit:
            self._count = min(2 * self._count, MOST)
        return found

    def _hit(self, row: Any) -> Hit | None:
        look = self._look
        if not look.scope.has(row.run, row.generation, row.lane):
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
        for _ in range(ABOVE):
            key = connection.exec_driver_sql(_PARENT, (key,)).scalar()
            if key is None:
                break
            for asked in blocks(node(connection, key).message):
                if asked.kind is BlockKind.TOOL_CALL and asked.id == block.id:
                    return block, asked.name
        return block, ""
