"""Calls on their way to the process that records them, and what became of each on its way back: frames on a socket.

A frame is a group of calls, with whether they may be on the tape already, or their replies in the same order. Both
ends are one interpreter, and nobody else is on the line, so marshal will do, which is several times as quick as pickle.
"""

import marshal
import struct
from operator import attrgetter
from typing import Any

from store.domain.ids import SubagentId
from store.domain.limits import Usage
from store.recording import CallEnd, CallStart

SIZE = struct.Struct("<Q")
"""What a frame begins with: how many bytes follow."""

Reply = tuple[str, str] | None
"""What kept a call from being recorded, and that in few words; None for nothing."""

_WHOSE, _USED = CallStart._fields.index("subagent"), CallEnd._fields.index("usage")
_of_usage, _of_subagent = (attrgetter(*of.__dataclass_fields__) for of in (Usage, SubagentId))


def packed(start: CallStart, end: CallEnd | None, *, opened: bool) -> bytes:
    """A call as far as it has come: its request, its end when it has one, and whether it was opened before. ValueError
    for what marshal can't write."""
    begun, ended = [*start], None
    if start.subagent is not None:
        begun[_WHOSE] = _of_subagent(start.subagent)
    if end is not None:
        ended = [*end]
        ended[_USED] = _of_usage(end.usage)
    return marshal.dumps((begun, ended, opened))


def unpacked(call: bytes) -> tuple[CallStart, CallEnd | None, bool]:
    """Back from `packed`."""
    begun, ended, opened = marshal.loads(call)  # noqa: S302 - from our own process alone
    if begun[_WHOSE] is not None:
        begun[_WHOSE] = SubagentId(*begun[_WHOSE])
    start = CallStart(*begun)
    if ended is None:
        return start, None, opened
    ended[_USED] = Usage(*ended[_USED])
    return start, CallEnd(*ended), opened


def frame(of: tuple[bool, list[bytes]] | list[Reply]) -> bytes:
    """Calls, with whether some may be there already, or replies, as they go out."""
    data = marshal.dumps(of)
    return SIZE.pack(len(data)) + data


def group(data: bytes | bytearray | memoryview) -> Any:
    """Back from `frame`, without its size."""
    of: Any = marshal.loads(data)  # noqa: S302 - from our own process alone
    return of
