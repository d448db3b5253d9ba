"""The names of all tools that the passages of the full-text index are of: what is none of them need not be looked for.

As with the words of errors (`store.error_words`), who records does not write them down: who searches does (`catch_up`).
One row says up to which passage the names are all there; it may go at any time (`forget`).
"""

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from store.domain.blocks import BlockKind, blocks
from store.rebuilding import node

if TYPE_CHECKING:
    from sqlalchemy import Connection

BATCH = 1000
"""Passages of one transaction, at most."""
LONG = 0.02
"""Seconds after which a transaction has had enough of them."""
ABOVE = 16
"""Messages that are looked back through for the tool call that a result answers."""

_KNOWN = "SELECT upto, names FROM tool_names"
_DELETING = "SELECT 1 FROM deletions LIMIT 1"
_MISSING = "SELECT rowid, node, kind FROM passages WHERE rowid > ? ORDER BY rowid LIMIT ?"
_PARENT = "SELECT parent FROM nodes WHERE key = ?"
_OF_TOOLS = (BlockKind.TOOL_CALL, BlockKind.TOOL_RESULT)


def without(connection: "Connection", asked: Callable[[str], bool]) -> int:
    """The passage up to which none is of a tool that is `asked` for; 0 where nothing says so."""
    upto, names = _known(connection)
    # What was deleted leaves places to be taken anew.
    deleting = connection.exec_driver_sql(_DELETING).first() is not None
    return 0 if deleting or any(map(asked, names)) else upto


def catch_up(connection: "Connection", most: int = BATCH) -> bool:
    """Write down the names of the oldest passages that were not looked at yet, inside a job; whether there may be
    more."""
    end = time.monotonic() + LONG
    upto, names = _known(connection)
    found = connection.exec_driver_sql(_MISSING, (upto, most)).all()
    seen: set[str] = set()
    for rowid, key, kind in found:
        if kind in _OF_TOOLS:
            _read(connection, key, names, seen)
        upto = rowid
        if time.monotonic() >= end:
            break
    if found:
        forget(connection)
        connection.exec_driver_sql("INSERT INTO tool_names (upto, names) VALUES (?, ?)", (upto, json.dumps([*names])))
    return bool(found) and (len(found) == most or upto != found[-1][0])


def forget(connection: "Connection") -> None:
    """Begin anew, inside a job."""
    connection.exec_driver_sql("DELETE FROM tool_names")


def _known(connection: "Connection") -> tuple[int, dict[str, None]]:
    upto, names = connection.exec_driver_sql(_KNOWN).first() or (0, "[]")
    return upto, dict.fromkeys(json.loads(names))


def _read(connection: "Connection", key: str | None, names: dict[str, None], seen: set[str]) -> None:
    """A message's tools, and those of the messages before it, which may have said nothing but a tool's name."""
    for _ in range(ABOVE + 1):
        if key is None or key in seen:
            break
        seen.add(key)
        try:
            of_node = blocks(node(connection, key).message)
        except (KeyError, ValueError):
            of_node = ()
        names.update(dict.fromkeys(block.name for block in of_node if block.kind is BlockKind.TOOL_CALL))
        key = connection.exec_driver_sql(_PARENT, (key,)).scalar()
