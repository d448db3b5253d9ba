"""Conversations as chains of content-addressed nodes, in the store.

A node is put on a tape once, with those before it. Whether it is there is always asked of the store.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from store import attachments, jsontext
from store.blobs import compress, existing, put_new
from store.domain.canonical import canonical
from store.domain.kept import bare, reasons, role_of, split
from store.exact import dumps, form
from store.gathering import AnyConnection, Insertion, marks, peek, waiting

INSERT_NODES = Insertion("nodes", ("key", "parent", "depth", "role", "message", "attachments"), or_ignore=True)
INSERT_PLACES = Insertion("tape_nodes", ("node", "run", "generation", "lane", "call"))

_STRIDE = 4096
"""The most nodes that are asked for at once: SQLite takes 32,766 parameters."""


class Tape(NamedTuple):
    """Whose tape. Generation and lane are 0 for calls of no subagent."""

    run: str
    generation: int
    lane: int


class Kept(NamedTuple):
    """A message as its node keeps it: whose it is, what is stored of it, the bytes of that, and the canonical JSON of
    the kept form, which the key covers."""

    role: str
    message: Mapping[str, Any]
    data: bytes
    written: bytes


def keep(kept: dict[str, Any]) -> Kept:
    """What a node keeps of a message's kept form. ValueError when it has no role that a node can have."""
    return Kept(role_of(kept), kept, dumps(kept), canonical(kept))


def keep_answer(message: Mapping[str, Any], conversation: str) -> Kept:
    """What a node keeps of an answer, with its reasoning where the key leaves that out. ValueError as `keep`."""
    kept, _ = split(message, conversation)
    if not reasons(message):
        return keep(kept)
    told, _ = split(message, conversation, reasoning=True)
    if form(bare(told)) != form(kept):
        return keep(kept)
    return keep(kept)._replace(message=told, data=dumps(told))


def place(
    connection: AnyConnection,
    tape: Tape,
    call: str,
    base: tuple[str | None, int],
    more: Sequence[tuple[str, Kept]],
    keys: Sequence[str] = (),
    kept: Callable[[int], Kept] | None = None,
) -> list[tuple[str, Kept]]:
    """Put a chain of nodes on a tape, under a base on the tape (None for the root) and at this depth; those that
    weren't on it, with what they keep. What is `kept` under the `keys` is asked for only where it is new; `more` come
    behind them."""
    behind = [key for key, _ in more]
    first = _first_new(connection, tape, keys, behind)
    nodes: list[tuple[str | None, int, str, Kept]] = []
    parent, depth = base
    if first:
        parent = keys[first - 1] if first <= len(keys) else behind[first - 1 - len(keys)]
    for index in range(first, len(keys) + len(more)):
        if index < len(keys):
            assert kept is not None
            key, item = keys[index], kept(index)
        else:
            key, item = more[index - len(keys)]
        nodes.append((parent, depth + index, key, item))
        parent = key
    put(connection, tape, call, nodes)
    return [(key, item) for _, _, key, item in nodes]


def put(connection: AnyConnection, tape: Tape, call: str, nodes: Sequence[tuple[str | None, int, str, Kept]]) -> None:
    """Write nodes (parent, depth, key, message), parents first, that aren't on the tape yet."""
    if not nodes:
        return
    rows = []
    for parent, depth, key, kept in nodes:
        data, attached = kept.data, None
        if len(data) >= attachments.LEAST:
            data, attached = _detached(connection, kept)
        rows.append((key, parent, depth, kept.role, compress(data), attached))
    INSERT_NODES.gather(connection, rows)
    waiting(connection).update([(tape, key) for _, _, key, _ in nodes])
    INSERT_PLACES.gather(connection, [(key, *tape, call) for _, _, key, _ in nodes])


def on_tape(connection: AnyConnection, tape: Tape, keys: Sequence[str]) -> set[str]:
    """Those of the nodes that are on the tape."""
    found = peek(connection, _on_tape(len(keys)), (*keys, *tape))
    late = waiting(connection)
    return {key for (key,) in found}.union(key for key in keys if (tape, key) in late)


@lru_cache
def _on_tape(count: int) -> str:
    own = "run = ? AND generation = ? AND lane = ?"
    return f"SELECT node FROM tape_nodes WHERE node IN ({marks(count)}) AND {own}"  # noqa: S608 - parameters alone


def _detached(connection: AnyConnection, kept: Kept) -> tuple[bytes, str | None]:
    """Write a message's data as blobs; what is left, and where they were."""
    message, attached, found = attachments.take(dict(kept.message))
    if not attached:
        return kept.data, None
    there = existing(connection, found)
    for name, data in found.items():
        if name not in there:
            put_new(connection, name, data)
    return dumps(message), jsontext.dumps(attached)


def _first_new(connection: AnyConnection, tape: Tape, keys: Sequence[str], more: Sequence[str]) -> int:
    """Where the part of a chain begins that isn't on the tape. A node is never there without those before it, so the
    search goes back from the end, in growing strides, and mostly ends at once."""
    end, stride = len(keys) + len(more), 4 + len(more)
    while end:
        start = max(0, end - stride)
        some = [*keys[start:end], *more[max(0, start - len(keys)) : max(0, end - len(keys))]]
        found = on_tape(connection, tape, some)
        for index in range(end - 1, start - 1, -1):
            if some[index - start] in found:
                return index + 1
        end, stride = start, min(4 * stride, _STRIDE)
    return 0
