"""What the passages of the full-text index are of, for some hundreds of them at a time that follow each other: which
tools, which subagents, which calls. Where none of it is asked for, their words need not be looked for.

As with the words of errors (`store.error_words`), who records does not write it down: who searches does (`catch_up`),
so it may go at any time (`forget`). What is not in a zone yet is looked at itself.
"""

import json
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from store.blobs import decompress
from store.domain.blocks import BlockKind, blocks
from store.exact import loads
from store.gathering import driver_of

if TYPE_CHECKING:
    from sqlalchemy import Connection

SIZE = 500
"""Passages of one zone, at most."""
RARE = 50
"""Passages of a tool in a zone that are named, at most."""
HELD = 100_000
"""Messages and calls that are remembered: what a result answers was read just before."""
LONG = 0.02
"""Seconds after which a transaction has had enough of them."""
ABOVE = 16
"""Messages that are looked back through for the tool call that a result answers."""

_NEWEST = "SELECT upto FROM zones ORDER BY upto DESC LIMIT 1"
_ALL = "SELECT upto, first, last, tools, whos FROM zones ORDER BY upto DESC"
_DELETING = "SELECT 1 FROM deletions LIMIT 1"
_MISSING = "SELECT rowid, call, node, kind, run, generation, lane FROM passages WHERE rowid > ? ORDER BY rowid LIMIT ?"
_NODE = "SELECT parent, message FROM nodes WHERE key = ?"
_CALL = "SELECT rowid, parent FROM calls WHERE id = ?"
_INSERT = "INSERT INTO zones (upto, first, last, tools, whos) VALUES (?, ?, ?, ?, ?)"
_OF_TOOLS = (BlockKind.TOOL_CALL, BlockKind.TOOL_RESULT)


class Zone(NamedTuple):
    """Passages `after` one and `upto` another. `tools` has the passages that may be of each, None where they are many.
    `whos` are (run, generation, lane), zeros for none; `first` and `last` the rowids of
    calls."""

    after: int
    upto: int
    first: int
    last: int
    tools: Mapping[str, list[int] | None]
    whos: frozenset[tuple[str, int, int]]


@dataclass
class Read:
    """What was read for it, also by a transaction that was not kept: messages, each with the names of its tools and of
    those before it, and calls."""

    messages: dict[str, tuple[str | None, frozenset[str]]] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)


def those(connection: "Connection", right: Callable[[Zone], bool]) -> Sequence[tuple[int, int]]:
    """The zones that are right, newest first, each as the passages after one and up to another; where zones follow each
    other as one. What has come since is the first."""
    found: list[tuple[int, int]] = []
    high = 2**62
    rows = connection.exec_driver_sql(_ALL).all()
    # What was deleted leaves places to be taken anew.
    if connection.exec_driver_sql(_DELETING).first() is not None:
        rows = []
    of_tools: dict[str, dict[str, list[int] | None]] = {}
    of_whos: dict[str, frozenset[tuple[str, int, int]]] = {}
    if not rows or rows[0][0] < high:
        found.append((rows[0][0] if rows else 0, high))
    afters = [*(row[0] for row in rows[1:]), 0]
    for (upto, first, last, tools, whos), after in zip(rows, afters, strict=False):
        if tools not in of_tools:
            of_tools[tools] = json.loads(tools)
        if whos not in of_whos:
            of_whos[whos] = frozenset((run, generation, lane) for run, generation, lane in json.loads(whos))
        if right(Zone(after, upto, first, last, of_tools[tools], of_whos[whos])):
            _append(found, after, upto)
    return found


def _append(found: list[tuple[int, int]], low: int, high: int) -> None:
    if found and found[-1][0] == high:
        found[-1] = (low, found[-1][1])
    else:
        found.append((low, high))


def newest(connection: "Connection") -> int:
    """The newest passage that is in a zone, 0 before the first."""
    return int(connection.exec_driver_sql(_NEWEST).scalar() or 0)


def catch_up(connection: "Connection", most: int = SIZE, read: Read | None = None) -> bool:
    """Write down a zone of the oldest passages that are in none, inside a job; whether there may be more. `read` is
    what jobs before it have read."""
    read = read or Read()
    for held in (read.messages, read.calls):
        if len(held) > HELD:
            held.clear()
    end = time.monotonic() + LONG
    driver = driver_of(connection)
    found = driver.execute(_MISSING, (newest(connection), most)).fetchall()
    tools: dict[str, list[int]] = {}
    whos: set[tuple[str, int, int]] = set()
    calls: set[int] = set()
    upto = 0
    for rowid, call, key, kind, run, generation, lane in found:
        whos.add((run, generation or 0, lane or 0))
        calls.add(_call(driver, call, read))
        if kind in _OF_TOOLS:
            for name in _names(driver, key, read):
                tools.setdefault(name, []).append(rowid)
        upto = rowid
        if time.monotonic() >= end:
            break
    if found:
        few = {name: rowids if len(rowids) <= RARE else None for name, rowids in sorted(tools.items())}
        told = upto, min(calls), max(calls), json.dumps(few), json.dumps(sorted(whos))
        connection.exec_driver_sql(_INSERT, told)
    return bool(found) and (len(found) == most or upto != found[-1][0])


def forget(connection: "Connection") -> None:
    """Begin anew, inside a job."""
    connection.exec_driver_sql("DELETE FROM zones")


def _call(driver: sqlite3.Connection, name: str, read: Read) -> int:
    """Where a call stands; of one that was made for another, that one."""
    if name not in read.calls:
        row = driver.execute(_CALL, (name,)).fetchone()
        read.calls[name] = 0 if row is None else row[0] if row[1] is None else _call(driver, row[1], read)
    return read.calls[name]


def _names(driver: sqlite3.Connection, key: str | None, read: Read) -> frozenset[str]:
    """The tools of a message and of those before it: a result is of one of them."""
    names: frozenset[str] = frozenset()
    for _ in range(ABOVE + 1):
        if key is None:
            break
        if key not in read.messages:
            row = driver.execute(_NODE, (key,)).fetchone()
            if row is None:
                break
            try:
                # What was taken out of it is large: no name.
                of_node = blocks(loads(decompress(row[1])))
            except ValueError:
                of_node = ()
            own = frozenset(block.name for block in of_node if block.kind is BlockKind.TOOL_CALL)
            read.messages[key] = row[0], own
        key, own = read.messages[key]
        names |= own
    return names
