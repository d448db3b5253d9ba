"""What happened: what went wrong, and uses of a tool, by the events."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from store import error_words
from store.domain.codec import decode_payload
from store.domain.events import Event
from store.domain.marking import Excerpt, excerpt, has_all, spans
from store.domain.payload import Payload
from store.domain.subagent_events import CallFinished, ToolFinished, ToolStarted
from store.finding.hits import Hit
from store.finding.listed import ANSWERED, OF_CALL, STARTED, TOOL, Listed, followed, used
from store.finding.looking import Asked, Look, Source
from store.finding.slices import Slices
from store.jsontext import loads
from store.windows import WRONG

SLICE = 50_000
"""Events that the first look is over; each that finds little is over twice as many."""
MOST = 1024
"""Events that are looked at in one go."""
_ROW = "SELECT seq, at, run, generation, lane, kind, data FROM events"
SOON = 10_000
"""Events after its beginning among which a tool's end is shown with it."""
_NEWEST = "SELECT max(seq) FROM events"
# From each name the index leads to the next one: however often a tool was used.
_NAME = f"SELECT {TOOL} FROM events INDEXED BY ix_events_tools WHERE {STARTED} AND {TOOL}"  # noqa: S608
_NAMES = (
    f"WITH RECURSIVE names (name) AS (SELECT * FROM ({_NAME} >= ? ORDER BY {TOOL} LIMIT 1) UNION ALL SELECT "  # noqa: S608
    f"({_NAME} > name ORDER BY {TOOL} LIMIT 1) FROM names WHERE name IS NOT NULL) "
    "SELECT name FROM names WHERE name <= ?"
)
_CALL = f"SELECT {OF_CALL} {ANSWERED} AND seq < ? ORDER BY seq DESC LIMIT 1"
_RESULT = (
    "SELECT data FROM events WHERE run = ? AND seq > ? AND seq < ? AND generation = ? AND lane = ? "
    "AND kind = 'tool.finished' ORDER BY seq LIMIT 8"
)


class _Told(ABC):
    """Places that events tell of."""

    _look: Look

    def _hit(self, row: Any) -> Hit | None:
        seq, at, run, generation, lane, kind, data = row
        if at > self._look.until or not self._look.scope.has(run, generation, lane):
            return None
        event = Event(seq, at, run, generation, lane, decode_payload(kind, loads(data)))
        query = self._look.query
        if (query.models or query.costs) and not self._look.has(self._asked(event)):
            return None
        return self._told_by(event)

    @abstractmethod
    def _told_by(self, event: Event) -> Hit | None:
        """What an event is a place of, if it is one."""

    def _asked(self, event: Event) -> Asked | None:
        """The call that an event belongs to: the subagent's last one before it."""
        if isinstance(event.payload, CallFinished):
            return self._look.call(event.payload.call)
        if event.subagent is None:
            return None
        place = (event.run, event.generation, event.lane, event.seq)
        call = self._look.connection.exec_driver_sql(_CALL, place).scalar()
        return self._look.call(str(call)) if call is not None else None

    def _made(self, event: Event, excerpt: Excerpt, name: str) -> Hit:
        asked = self._asked(event)
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


class Errors(_Told, Slices):
    """Events in which something went wrong; words are looked for in what they say, and in the output of tools."""

    def __init__(self, look: Look, wrong: Callable[[Payload], bool], over: int = 0) -> None:
        Slices.__init__(self, look, SLICE, MOST, over)
        self._wrong = wrong

    def listed(self, seqs: Iterator[int | None]) -> Listed:
        """The same among these events alone."""
        return Listed(self._look, seqs, self._hit)

    def _newest(self) -> int:
        return int(self._look.connection.exec_driver_sql(_NEWEST).scalar() or 0)

    def _rows(self, low: int, high: int, count: int) -> Sequence[Any]:
        where, values = self._look.where()
        more, names = self._of_tools()
        return self._look.connection.exec_driver_sql(
            f"{_ROW} INDEXED BY {error_words.INDEX} WHERE {WRONG}{more} AND seq > ? AND seq <= ?{where} "
            "ORDER BY seq DESC LIMIT ?",
            (*names, low, high, *values, count),
        ).all()

    def _of_tools(self) -> tuple[str, list[str]]:
        """A condition that leaves out most of what other tools did."""
        names = self._look.query.tools
        if not names or not all(map(str.isascii, names)):
            return "", []
        kinds = [f"{TOOL} GLOB ?" if name.endswith("*") else f"{TOOL} = ?" for name in names]
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


def errors(look: Look, wrong: Callable[[Payload], bool]) -> list[Source]:
    """All ways to errors, newest first."""
    called = look.called
    if called.few is not None and called.whos is not None:
        return [Errors(look, wrong).listed(followed(look, None))]
    match = error_words.match(look.query.terms)
    if not match:
        return [Errors(look, wrong)]
    return [Errors(look, wrong, error_words.newest(look.connection)), ErrorsByWords(look, wrong, match)]


def tools(look: Look) -> Listed:
    """Uses of a tool."""
    names = [*dict.fromkeys(name for asked in look.query.tools for name in _called(look, asked))]
    called = look.called
    seqs = used(look, names) if called.few is None or called.whos is None else followed(look, names)
    return Tools(look).listed(seqs)


def _called(look: Look, asked: str) -> list[str]:
    """The tools that are called so; of which there may be none."""
    if not asked.endswith("*"):
        return [asked]
    begin = asked[:-1]
    return [str(name) for (name,) in look.connection.exec_driver_sql(_NAMES, (begin, begin + "\U0010ffff"))]


class Tools(_Told):
    """Uses of a tool: what it was to do, and what came of it."""

    def __init__(self, look: Look) -> None:
        self._look = look

    def listed(self, seqs: Iterator[int | None]) -> Listed:
        """These events as a way of looking."""
        return Listed(self._look, seqs, self._hit)

    def _told_by(self, event: Event) -> Hit | None:
        payload = event.payload
        if not isinstance(payload, ToolStarted):
            return None
        place = (event.run, event.seq, event.seq + SOON, event.generation, event.lane)
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
