"""The names of all tools that the passages of the full-text index are of: what is none of them need not be looked for.

As with the words of errors (`store.error_words`), who records does not write them down: who searches does (`catch_up`).
One row says up to which passage the names are all there; it may go at any time (`forget`).
"""

import json
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from store.blobs import decompress
from store.domain.blocks import BlockKind, blocks
from store.exact import loads
from store.gathering import driver_of

if TYPE_CHECKING:
    from sqlalchemy import Connection

BATCH = 1000
"""Passages of one transaction, at most."""
HELD = 100_000
"""Messages that are remembered to have been read: what a result answers was read just before."""
LONG = 0.02
"""Seconds after which a transaction has had enough of them."""
ABOVE = 16
"""Messages that are looked back through for the tool call that a result answers."""

_KNOWN = "SELECT upto, names FROM tool_names"
_DELETING = "SELECT 1 FROM deletions LIMIT 1"
_MISSING = "SELECT rowid, node, kind FROM passages WHERE rowid > ? ORDER BY rowid LIMIT ?"
_NODE = "SELECT parent, message FROM nodes WHERE key = ?"
_OF_TOOLS = (BlockKind.TOOL_CALL, BlockKind.TOOL_RESULT)


@dataclass
class Read:
    """Messages that were read for it, and all names in them: also of a transaction that was not kept."""

    messages: set[str] = field(default_factory=set)
    names: dict[str, None] = field(default_factory=dict)


def without(connection: "Connection", asked: Callable[[str], bool]) -> int:
    """The passage up to which none is of a tool that is `asked` for; 0 where nothing says so."""
    upto, names = _known(connection)
    # What was deleted leaves places to be taken anew.
    deleting = connection.exec_driver_sql(_DELETING).first() is not None
    return 0 if deleting or any(map(asked, names)) else upto


def catch_up(connection: "Connection", most: int = BATCH, read: Read | None = None) -> bool:
    """Write down the names of the oldest passages that were not looked at yet, inside a job; whether there may be
    more. `read` is what jobs before it have read."""
    read = read or Read()
    if len(read.messages) > HELD:
        read.messages.clear()
    end = time.monotonic() + LONG
    upto, names = _known(connection)
    driver = driver_of(connection)
    found = driver.execute(_MISSING, (upto, most)).fetchall()
    for rowid, key, kind in found:
        if kind in _OF_TOOLS:
            _read(driver, key, read)
        upto = rowid
        if time.monotonic() >= end:
            break
    if found:
        names |= read.names
        forget(connection)
        connection.exec_driver_sql("INSERT INTO tool_names (upto, names) VALUES (?, ?)", (upto, json.dumps([*names])))
    return bool(found) and (len(found) == most or upto != found[-1][0])


def forget(connection: "Connection") -> None:
    """Begin anew, inside a job."""
    connection.exec_driver_sql("DELETE FROM tool_names")


def _known(connection: "Connection") -> tuple[int, dict[str, None]]:
    upto, names = connection.exec_driver_sql(_KNOWN).first() or (0, "[]")
    return upto, dict.fromkeys(json.loads(names))


def _read(driver: sqlite3.Connection, key: str | None, read: Read) -> None:
    """A message's tools, and those of the messages before it, which may have said nothing but a tool's name."""
    for _ in range(ABOVE + 1):
        row = driver.execute(_NODE, (key,)).fetchone() if key is not None and key not in read.messages else None
        if row is None:
            break
        read.messages.add(str(key))
        key, packed = row
        try:
            # What was taken out of it is large: no name.
            of_node = blocks(loads(decompress(packed)))
        except ValueError:
            continue
        read.names.update(dict.fromkeys(block.name for block in of_node if block.kind is BlockKind.TOOL_CALL))
