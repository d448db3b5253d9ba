"""Conversations as chains of content-addressed nodes, at the price of what is new in them.

A client sends its whole conversation with each call. What the last ones looked like is remembered, so that only the
messages that weren't there before are taken apart and hashed; the rest is compared as bytes. The memory holds results
of pure functions alone: whether a node is in the store is always asked of the store. So it may be lost at any time, and
a transaction that is rolled back leaves nothing wrong in it.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, insert, select

from store import overlay
from store.blobs import compress
from store.domain.canonical import InexactError, canonical, digest, kept_key
from store.domain.kept import join, split
from store.exact import dumps, form, loads
from store.prepared import Prepared, numbered, parameters, waiting
from store.tables import metadata

_nodes = metadata.tables["nodes"].c
_places = metadata.tables["tape_nodes"].c
_insert_nodes = Prepared(insert(_nodes.key.table).prefix_with("OR IGNORE"))
_insert_places = Prepared(insert(_places.node.table))

MEMORY_BYTES = 64 * 1024 * 1024
"""About how much of conversations is remembered, over all tapes."""

_STRIDE = 4096
"""The most nodes that are asked for at once: SQLite takes 32,766 parameters."""

CONVERSATIONS = 8
"""How many conversations of one tape are remembered: an agent may have several in parallel."""


class Tape(NamedTuple):
    """Whose tape. Generation and lane are 0 for calls of no subagent."""

    run: str
    generation: int
    lane: int


class Kept(NamedTuple):
    """A message as its node keeps it, and the bytes of that."""

    message: dict[str, Any]
    data: bytes


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a request beside its messages: its JSON, the blob it goes into, the digests of the body's members."""

    data: bytes
    blob: str
    members: dict[str, str]


@dataclass(slots=True)
class Conversation:
    """A request's messages, in parallel lists: their bytes as they are compared, their digests, their node keys; the
    overlays of those that have one. `written` and `parts` are what the last call of the conversation had."""

    forms: list[bytes] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    overlays: dict[int, bytes] = field(default_factory=dict)
    size: int = 0
    """About how many bytes of memory it takes."""
    written: overlay.Written | None = None
    parts: dict[str, Part] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Extension:
    """A request's conversation, next to the one remembered: how many nodes they have in common from the root, what was
    taken apart anew by index, and the indices at which the overlays differ."""

    conversation: Conversation
    common: int
    kept: dict[int, Kept]
    changed: set[int]


def extend(known: Conversation, messages: Sequence[Mapping[str, Any]], forms: Sequence[bytes]) -> Extension:
    """Find the nodes of a request's messages, whose forms the caller has made already. InexactError when one of them
    would not come back as it is."""
    shared = shared_length(known.forms, forms)
    # The shared beginning keeps its old objects, so that memory holds them once.
    new = Conversation(
        forms=[*known.forms[:shared], *forms[shared:]],
        digests=known.digests[:shared],
        keys=known.keys[:shared],
        overlays=dict(known.overlays),
        size=sum(map(len, forms)) + 200 * len(forms),
        written=known.written,
        parts=known.parts,
    )
    kept: dict[int, Kept] = {}
    changed = {index for index in known.overlays if index >= len(forms)}
    common = shared
    for index in range(shared, len(forms)):
        if common == index < len(known.forms) and forms[index] == known.forms[index]:
            new.keys.append(known.keys[index])
            new.digests.append(known.digests[index])
            common += 1
            continue
        message, left_out = split(messages[index])
        kept[index] = item = _kept(message)
        encoded = form(left_out) if left_out else None
        if form(join(loads(item.data), loads(encoded) if encoded else None)) != forms[index]:
            raise InexactError(f"message {index} would not come back as it is")
        written = canonical(message)
        new.keys.append(kept_key(new.keys[-1] if new.keys else None, written))
        new.digests.append(digest(canonical(messages[index]) if left_out else written))
        if encoded != known.overlays.get(index):
            changed.add(index)
        if encoded is None:
            new.overlays.pop(index, None)
        else:
            new.overlays[index] = encoded
        if common == index < len(known.keys) and new.keys[index] == known.keys[index]:
            common += 1
    for index in changed:
        if index >= len(forms):
            del new.overlays[index]
    return Extension(new, common, kept, changed)


def shared_length(one: Sequence[bytes], other: Sequence[bytes]) -> int:
    """How many items two lists have in common from the start."""
    length = min(len(one), len(other))
    if not length or one[0] != other[0]:
        return 0
    if one[:length] == other[:length]:
        return length
    return next(index for index in range(length) if one[index] != other[index])


def keep(message: Mapping[str, Any]) -> Kept:
    """A message as its node keeps it. ValueError when it has no role that a node can have."""
    kept, _ = split(message)
    return _kept(kept)


class Memory:
    """The conversations that were last recorded, by tape; those of tapes that were quiet longest go first."""

    def __init__(self, most: int = MEMORY_BYTES) -> None:
        self._most = most
        self._size = 0
        self._tapes: OrderedDict[Tape, list[Conversation]] = OrderedDict()

    def find(self, tape: Tape, forms: Sequence[bytes]) -> Conversation:
        """The conversation that these messages most likely go on with: the newest of those that begin with the same
        messages for longest. An empty one when there is none."""
        known = self._tapes.get(tape)
        if not known:
            return Conversation()
        if len(known) == 1:
            return known[0]
        return max(reversed(known), key=lambda conversation: shared_length(conversation.forms, forms))

    def keep(self, tape: Tape, conversation: Conversation, before: Conversation, common: int) -> None:
        """Remember a conversation: in place of the one before it when most of that is in it, beside it otherwise."""
        known = self._tapes.setdefault(tape, [])
        self._tapes.move_to_end(tape)
        self._size -= sum(one.size for one in known)
        known[:] = [one for one in known if one is not before or 2 * common < len(one.keys)][1 - CONVERSATIONS :]
        known.append(conversation)
        self._size += sum(one.size for one in known)
        while self._size > self._most and self._tapes:
            _, gone = self._tapes.popitem(last=False)
            self._size -= sum(one.size for one in gone)


def memory(connection: Connection) -> Memory:
    """The memory that goes with a database connection, and away with it."""
    found = connection.info.get("conversations")
    if not isinstance(found, Memory):
        found = connection.info["conversations"] = Memory()
    return found


def place(
    connection: Connection, tape: Tape, call: str, keys: Sequence[str], kept: Callable[[int], Kept]
) -> list[tuple[str, dict[str, Any]]]:
    """Put a chain of nodes, from its root, on a tape; the nodes that weren't on it, with their messages."""
    first = _first_new(connection, tape, keys)
    if first == len(keys):
        return []
    fresh = [(index, keys[index], kept(index)) for index in range(first, len(keys))]
    put(connection, tape, call, [(keys[index - 1] if index else None, index, key, item) for index, key, item in fresh])
    return [(key, item.message) for _, key, item in fresh]


def put(connection: Connection, tape: Tape, call: str, nodes: Sequence[tuple[str | None, int, str, Kept]]) -> None:
    """Write nodes (parent, depth, key, message), parents first, that aren't on the tape yet."""
    _insert_nodes.gather(
        connection,
        [
            {
                "key": key,
                "parent": parent,
                "depth": depth,
                "role": kept.message["role"],
                "message": compress(kept.data),
                "attachments": None,
            }
            for parent, depth, key, kept in nodes
        ],
    )
    waiting(connection).update((tape, key) for _, _, key, _ in nodes)
    _insert_places.gather(connection, [{"node": key, **tape._asdict(), "call": call} for _, _, key, _ in nodes])


def on_tape(connection: Connection, tape: Tape, keys: Sequence[str]) -> set[str]:
    """Those of the nodes that are on the tape."""
    found = _on_tape(len(keys)).peek(connection, {**numbered(keys), **tape._asdict()})
    late = waiting(connection)
    return {key for (key,) in found}.union(key for key in keys if (tape, key) in late)


@lru_cache
def _on_tape(count: int) -> Prepared:
    return Prepared(
        select(_places.node).where(
            _places.node.in_(parameters(count)),
            _places.run == bindparam("run"),
            _places.generation == bindparam("generation"),
            _places.lane == bindparam("lane"),
        )
    )


def _kept(message: dict[str, Any]) -> Kept:
    role = message.get("role")
    if not isinstance(role, str) or not role.isascii():
        raise InexactError("a message has no role, or none that is ASCII")
    return Kept(message, dumps(message))


def _first_new(connection: Connection, tape: Tape, keys: Sequence[str]) -> int:
    """Where the part of a chain begins that isn't on the tape. A node is never there without those before it, so the
    search goes back from the end, in growing strides, and mostly ends at once."""
    end, stride = len(keys), 4
    while end:
        start = max(0, end - stride)
        found = on_tape(connection, tape, keys[start:end])
        for index in range(end - 1, start - 1, -1):
            if keys[index] in found:
                return index + 1
        end, stride = start, min(4 * stride, _STRIDE)
    return 0
