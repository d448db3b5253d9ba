"""Server-sent events out of a stream of bytes, however it is cut into pieces.

The grammar is that of the HTML standard (9.2.6): lines end in LF, CR or CRLF, an empty line ends an event. Every event
keeps its place in the stream, for whoever passes the bytes on has to know where one begins.
"""

import re
from typing import NamedTuple

# A line's end is atomic, or CRLF would pass for an empty line.
_BLANK_LINE = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_NAME_FIRST = re.compile(rb"[\r\n]*event:[ ]?([^\r\n]*)[\r\n]")
_USUAL = re.compile(rb"event: ([^\r\n]*)\ndata: ([^\r\n]*)\n\n")
_BOM = b"\xef\xbb\xbf"


class Event(NamedTuple):
    """One event: its name ("" where it has none), its data, and where its bytes begin and end in the stream."""

    name: str
    data: bytes
    start: int
    end: int


class EventReader:
    """Reads events from the chunks of one stream. Costs what is new, not what is kept."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._start = 0
        """Where in the stream `_kept` begins: the first byte of the event that is not complete yet."""
        self._searched = 0
        self._returns = False
        """A carriage return has been seen."""

    @property
    def start(self) -> int:
        """Where the event that is not complete begins; the end of the stream so far when there is none."""
        return self._start

    @property
    def pending(self) -> int:
        """Bytes of the event that is not complete."""
        return len(self._kept)

    def pending_name(self) -> str | None:
        """The name of the event that is not complete, when it came first and its line is whole."""
        match = _NAME_FIRST.match(self._kept)
        return match[1].decode("utf-8", "replace") if match else None

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that this chunk completes."""
        kept: bytes | bytearray
        if self._kept:
            kept = self._kept
            kept += chunk
        else:
            # Nearly always: a chunk is an event. What it leaves over is copied, and nothing else.
            kept = chunk
        begin = 0
        if self._start == 0 and kept.startswith(_BOM):
            begin = len(_BOM)
        events: list[Event] = []
        search = max(begin, self._searched)
        # Looking for one kind of empty line is many times as quick as looking for all.
        self._returns = self._returns or b"\r" in chunk
        find = _any_blank_line if self._returns else _blank_line
        while (end := find(kept, search)) > 0:
            search = end
            # A lone CR may be the first half of a CRLF whose LF comes with the next chunk: that LF then begins the next
            # event, where an empty line does no harm.
            name, data = _fields(bytes(kept[begin:end]))
            if data is not None:
                events.append(Event(name, data, self._start + begin, self._start + end))
            begin = end
        if kept is chunk:
            self._kept += memoryview(chunk)[begin:]
        else:
            del self._kept[:begin]
        self._start += begin
        self._searched = max(len(self._kept) - 3, 0)
        return events

    def finish(self) -> Event | None:
        """The event that the end of the stream cut off before its empty line, if it had data."""
        name, data = _fields(bytes(self._kept))
        if data is None:
            return None
        return Event(name, data, self._start, self._start + len(self._kept))


def _blank_line(data: bytes | bytearray, start: int) -> int:
    """The end of the first empty line that LFs make; 0 where there is none."""
    at = data.find(b"\n\n", start)
    return at + 2 if at >= 0 else 0


def _any_blank_line(data: bytes | bytearray, start: int) -> int:
    """The end of the first empty line of any kind; 0 where there is none."""
    match = _BLANK_LINE.search(data, start)
    return match.end() if match else 0


def _fields(block: bytes) -> tuple[str, bytes | None]:
    """Name and data of an event's lines; no data is no event."""
    if match := _USUAL.fullmatch(block):
        return match[1].decode("utf-8", "replace"), match[2]
    name = ""
    data: list[bytes] = []
    for line in block.splitlines():
        field, _, value = line.partition(b":")
        if value.startswith(b" "):
            value = value[1:]
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value.decode("utf-8", "replace")
    return name, b"\n".join(data) if data else None
