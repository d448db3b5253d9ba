"""What the node keys of a request leave out, kept as a small blob on the call.

The blob is JSON: `set` holds overlays by the index of their message. With a `base` it is a change of another such blob,
after taking away the indices in `drop`. A conversation whose every message has an overlay thus still costs each call
only what is new: a whole one is written again only when as many bytes of changes have piled up.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from store.blobs import digest, load, put_new
from store.domain.kept import Overlay
from store.exact import dumps, loads
from store.gathering import AnyConnection

if TYPE_CHECKING:
    from sqlalchemy import Connection

Entries = Mapping[int, bytes]
"""Overlays by the index of their message, each as its JSON."""


@dataclass(frozen=True, slots=True)
class Written:
    """A conversation's overlay as it was last written, and the bytes of changes since it was last written whole."""

    blob: str
    since: int


def write(
    connection: AnyConnection,
    entries: Entries,
    size: int,
    changed: Collection[int],
    before: Written | None,
    known: Collection[str],
) -> Written | None:
    """Write a request's overlay, of so many bytes. `changed` are the indices at which it differs from `before`; a base
    is used only when it is among the `known` blobs. None when there is nothing to write."""
    if not entries:
        return None
    if before is not None and before.blob in known:
        if not changed:
            return before
        some = {index: entries[index] for index in changed if index in entries}
        data = _encode(some, before.blob, [index for index in changed if index not in entries])
        since = before.since + len(data)
        if since < size:
            return Written(_put(connection, data), since)
    return Written(_put(connection, _encode(entries, None, ())), 0)


def read(
    connection: "Connection", blob: str, known: Mapping[str, dict[int, Overlay]] | None = None
) -> dict[int, Overlay]:
    """The overlays of a request by the index of their message; `known` are some that were read. KeyError when a blob is
    missing."""
    changes = []
    overlays: dict[int, Overlay] = {}
    name: str | None = blob
    while name is not None:
        if known is not None and name in known:
            overlays.update(known[name])
            break
        change = loads(load(connection, name))
        changes.append(change)
        name = change["base"]
    for change in reversed(changes):
        for index in change["drop"]:
            overlays.pop(index, None)
        overlays.update((int(index), overlay) for index, overlay in change["set"].items())
    return overlays


def base(connection: "Connection", blob: str) -> str | None:
    """The overlay that this one is a change of; None for a whole one. KeyError when the blob is missing."""
    name: str | None = loads(load(connection, blob))["base"]
    return name


def _encode(entries: Entries, base: str | None, drop: Iterable[int]) -> bytes:
    members = b",".join(b'"%d":%b' % entry for entry in sorted(entries.items()))
    return b'{"base":%b,"drop":%b,"set":{%b}}' % (dumps(base), dumps(sorted(drop)), members)


def _put(connection: AnyConnection, data: bytes) -> str:
    name = digest(data)
    put_new(connection, name, data)
    return name
