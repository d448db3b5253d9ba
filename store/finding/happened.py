"""What happened: what went wrong, and uses of a tool, by the events."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

from store import error_words
from store.domain.codec import decode_payload
from store.domain.events import Event
from store.domain.marking import Excerpt, excerpt, has_all, spans
from store.domain.payload import Payload
from store.domain.subagent_events import CallFinished, ToolFinished, ToolStarted
from store.finding.hits import Hit
from store.finding.looking import Asked, Look
from store.finding.slices import Slices
from store.jsontext import loads
from store.windows import WRONG

SLICE = 50_000
"""Events that the first look is over; each that finds little is over twice as many."""
MOST = 1024
"""Events that are looked at in one go."""
_ROW = "SELECT seq, at, run, generation, lane, kind, data FROM events"
_NEWEST = "SELECT max(seq) FROM events"
_TOOL = "lower(json_extract(data, '$.name'))"
_STARTED = "kind = 'tool.started'"
# From each name the index leads to the next one: however often a tool was used.
_NAME = f"SELECT {_TOOL} FROM events INDEXED BY ix_events_tools WHERE {_STARTED} AND {_TOOL}"  # noqa: S608
_NAMES = (
    f"WITH RECURSIVE names (name) AS (SELECT * FROM ({_NAME} >= ? ORDER BY {_TOOL} LIMIT 1) UNION ALL SELECT "  # noqa: S608
    f"({_NAME} > name ORDER BY {_TOOL} LIMIT 1) FROM names WHERE name IS NOT NULL) "
    "SELECT name FROM names WHERE name <= ?"
)
_CALL = (
    "SELECT data FROM events WHERE run = ? AND seq < ? AND generation = ? AND lane = ? AND kind = 'call.finished' "
    "ORDER BY seq DESC LIMIT 1"
)
_RESULT = (
    "SELECT data FROM events WHERE run = ? AND seq > ? AND generation = ? AND lane = ? AND kind = 'tool.finished' "
    "ORDER BY seq LIMIT 8"
)


class _Events(Slices):
    """Events of some kinds."""

    def __init__(self, look: Look, which: str, over: int = 0) -> None:
        """`which` is an index, and the condition that it is for."""
        super().__init__(look, SLICE, MOST, over)
        self._which = which

    def _newest(self) -> int:
        return int(self._look.connection.exec_driver_sql(_NEWEST).scalar() or 0)

    def _of(self, low: int, high: int, count: int, more: str = "", told: Sequence[Any] = ()) -> Sequence[Any]:
        where, values = self._look.where()
        return self._look.connection.exec_driver_sql(
            f"{_ROW} {self._which}{more} AND seq > ? AND seq <= ?{where} ORDER BY seq DESC LIMIT ?",
            (*told, low, high, *values, count),
        ).all()

    def _hit(self, row: Any) -> Hit | None:
        seq, at, run, generation, lane, kind, data = row
        if at > self._look.until or not self._look.scope.has(run, generation, lane):
            return None
        return self._told_by(Event(seq, at, run, generation, lane, decode_payload(kind, loads(data))))

    @abstractmethod
    def _told_by(self, event: Event) -> Hit | None:
        """What an event is a place of, if it is one."""

    def _asked(self, event: Event) -> Asked | None:
        """The call that an event belongs to: the subagent's last one before it."""
        if isinstance(event.payload, CallFinished):
            return self._look.call(event.payload.call)
        if event.subagent is None:
            return None
        place = (event.run, event.seq, event.generation, event.lane)
        data = self._look.connection.exec_driver_sql(_CALL, place).scalar()
        return self._look.call(loads(data)["call"]) if data is not None else None

    def _made(self, event: Event, excerpt: Excerpt, name: str) -> Hit | None:
        asked = self._asked(event)
        if not self._look.has(asked):
            return None
        turn = getattr(event.payload, "turn", 0) or self._look.turn_of(event.subagent, event.seq)
        return Hit(
            run=event.run,
            who=event.subagent,
            at=event.at,
            kind=event.payload.kind,
            excerpt=excerpt,
            call=asked.id if asked is not None else "",
            turn=turn,
            tool_call=getattr(event.payload, "tool_call", ""),
            name=name,
            seq=event.seq,
            usd=asked.usd if asked is not None else None,
        )


class Errors(_Events):
    """Events in which something went wrong; words are looked for in what they say, and in the output of tools."""

    def __init__(self, look: Look, wrong: Callable[[Payload], bool], over: int = 0) -> None:
        super().__init__(look, f"INDEXED BY {error_words.INDEX} WHERE {WRONG}", over)
        self._wrong = wrong

    def _rows(self, low: int, high: int, count: int) -> Sequence[Any]:
        return self._of(low, high, count, *self._of_tools())

    def _of_tools(self) -> tuple[str, list[str]]:
        """A condition that leaves out most of what other tools did."""
        names = self._look.query.tools
        if not names or not all(map(str.isascii, names)):
            return "", []
        kinds = [f"{_TOOL} GLOB ?" if name.endswith("*") else f"{_TOOL} = ?" for name in names]
        return f" AND ({' OR '.join(kinds)})", [_glob(name) for name in names]

    def _told_by(self, event: Event) -> Hit | None:
        payload, terms = event.payload, self._look.query.terms
        name = payload.name if isinstance(payload, ToolFinished) else str(getattr(payload, "rule", ""))
        if not self._wrong(payload) or (self._look.query.tools and not self._tool(payload)):
            return None
        said = error_words.said(payload)
        if isinstance(payload, ToolFinished):
            output = error_words.output(self._look.connection, payload)
            if not has_all((said, output), terms):
                return None
            marks = spans(output, terms)
            text = output if marks or said in output else said
            return self._made(event, excerpt(text, spans(text, terms), at=max(text.find(said), 0)), name)
        if not has_all((said,), terms):
            return None
        return self._made(event, excerpt(said, spans(said, terms)), name)

    def _tool(self, payload: Payload) -> bool:
        return isinstance(payload, ToolFinished) and self._look.is_tool(payload.name)


class ErrorsByWords(Errors):
    """The same by the index of their words, as far as that goes."""

    def __init__(self, look: Look, wrong: Callable[[Payload], bool], match: str) -> None:
        super().__init__(look, wrong)
        self._match = match

    def _newest(self) -> int:
        return error_words.newest(self._look.connection)

    def _rows(self, low: int, high: int, count: int) -> Sequence[Any]:
        where, told = self._look.where()
        more, names = self._of_tools()
        return error_words.rows(self._look.connection, self._match, low, high, where + more, [*told, *names], count)


def errors(look: Look, wrong: Callable[[Payload], bool]) -> list[Errors]:
    """All ways to errors, newest first."""
    match = error_words.match(look.query.terms)
    if not match:
        return [Errors(look, wrong)]
    return [Errors(look, wrong, error_words.newest(look.connection)), ErrorsByWords(look, wrong, match)]


class Tools(_Events):
    """Uses of a tool: what it was to do, and what came of it."""

    def __init__(self, look: Look) -> None:
        super().__init__(look, f"INDEXED BY ix_events_tools WHERE {_STARTED}")
        self._names: list[str] | None = None

    def _rows(self, low: int, high: int, count: int) -> Sequence[Any]:
        if self._names is None:
            self._names = [name for asked in self._look.query.tools for name in self._called(asked)]
        found = (self._of(low, high, count, f" AND {_TOOL} = ?", [name]) for name in dict.fromkeys(self._names))
        return sorted((row for rows in found for row in rows), key=itemgetter(0), reverse=True)[:count]

    def _called(self, asked: str) -> list[str]:
        """The tools that are called so; of which there may be none."""
        if not asked.endswith("*"):
            return [asked]
        begin = asked[:-1]
        return [str(name) for (name,) in self._look.connection.exec_driver_sql(_NAMES, (begin, begin + "\U0010ffff"))]

    def _told_by(self, event: Event) -> Hit | None:
        payload = event.payload
        if not isinstance(payload, ToolStarted):
            return None
        place = (event.run, event.seq, event.generation, event.lane)
        after: tuple[str, ...] = ()
        for (data,) in self._look.connection.exec_driver_sql(_RESULT, place):
            result = loads(data)
            if result.get("tool_call") == payload.tool_call and result.get("turn") == payload.turn:
                after = (excerpt(str(result.get("summary", "")), ()).line,)
                break
        line = excerpt(payload.summary, ()).line
        return self._made(event, Excerpt(line, after=after), payload.name)


def _glob(name: str) -> str:
    """A beginning as a GLOB pattern, in which nothing else is one."""
    if not name.endswith("*"):
        return name
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in name[:-1]) + "*"
