"""Words in what was said on the tapes, by the full-text index."""

import hashlib
from collections.abc import Sequence
from typing import Any

from store import tool_names
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
_OF_TOOLS = (BlockKind.TOOL_CALL, BlockKind.TOOL_RESULT)


def match(query: Query) -> str:
    """The terms for FTS5, as strings in which nothing is syntax."""
    terms = []
    for term in query.terms:
        words = UNSTORABLE.sub(" ", term.text).replace('"', " ")
        terms.append(f'"{words}"{"*" if term.begins else ""}')
    return " ".join(terms)


class Words(Slices):
    """Blocks that have all of the words. A query of beginnings is looked up at once: FTS5 gathers all
    that begins so before it gives the first."""

    def __init__(self, look: Look) -> None:
        size = 2**62 if any(term.begins for term in look.query.terms) else SLICE
        over = tool_names.without(look.connection, look.is_tool) if look.query.tools else 0
        super().__init__(look, size, MOST, over)
        self._match = match(look.query)
        self._said: dict[tuple[str, str, bytes], bool] = {}

    def _newest(self) -> int:
        return int(self._look.connection.exec_driver_sql(_NEWEST).scalar() or 0)

    def _rows(self, low: int, high: int, count: int) -> Sequence[Any]:
        where, told = self._look.where()
        if self._look.query.tools:
            where += " AND kind IN ('tool_call', 'tool_result')"
        return self._look.connection.exec_driver_sql(
            f"{_ROWS}{where} ORDER BY rowid DESC LIMIT ?", (self._match, low, high, *told, count)
        ).all()

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
        for _ in range(tool_names.ABOVE):
            key = connection.exec_driver_sql(_PARENT, (key,)).scalar()
            if key is None:
                break
            for asked in blocks(node(connection, key).message):
                if asked.kind is BlockKind.TOOL_CALL and asked.id == block.id:
                    return block, asked.name
        return block, ""
