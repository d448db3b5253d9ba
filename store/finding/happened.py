"""What happened: what went wrong, and uses of a tool, by the events."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from store import blobs
from store.domain.codec import decode_payload
from store.domain.events import Event
from store.domain.marking import Excerpt, excerpt, has_all, spans
from store.domain.payload import Payload
from store.domain.subagent_events import CallFinished, SubagentChecked, SubagentEnded, ToolFinished, ToolStarted
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
_CALL = (
    "SELECT data FROM events WHERE run = ? AND seq < ? AND generation = ? AND lane = ? AND kind = 'call.finished' "
    "ORDER BY seq DESC LIMIT 1"
)
_RESULT = (
    "SELECT data FROM events WHERE run = ? AND seq > ? AND generation = ? AND lane = ? AND kind = 'tool.finished' "
    "ORDER BY seq LIMIT 8"
)
_TELLING = ("text", "error", "detail", "reason")
"""Members of events that say what went wrong."""


class _Events(Slices):
    """Events of some kinds."""

    def __init__(self, look: Look, which: str, told: list[Any]) -> None:
        super().__init__(look, SLICE, MOST)
        self._which = which
        self._told = told

    def _newest(self) -> int:
        return int(self._look.connection.exec_driver_sql(_NEWEST).scalar() or 0)

    def _rows(self, low: int, high: int, count: int) -> Sequence[Any]:
        where, told = self._look.where()
        return self._look.connection.exec_driver_sql(
            f"{_ROW} WHERE {self._which} AND seq > ? AND seq <= ?{where} ORDER BY seq DESC LIMIT ?",
            (*self._told, low, high, *told, count),
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

    def __init__(self, look: Look, wrong: Callable[[Payload], bool]) -> None:
        super().__init__(look, WRONG, [])
        self._wrong = wrong

    def _told_by(self, event: Event) -> Hit | None:
        payload, terms = event.payload, self._look.query.terms
        name = payload.name if isinstance(payload, ToolFinished) else str(getattr(payload, "rule", ""))
        if not self._wrong(payload) or (self._look.query.tools and not self._tool(payload)):
            return None
        said = _said(payload)
        if isinstance(payload, ToolFinished):
            output = self._output(payload)
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

    def _output(self, payload: ToolFinished) -> str:
        try:
            return blobs.load(self._look.connection, payload.result).decode("utf-8", "replace")
        except (KeyError, ValueError):
            return ""


class Tools(_Events):
    """Uses of a tool: what it was to do, and what came of it."""

    def __init__(self, look: Look) -> None:
        names = look.query.tools
        kinds = [f"{_TOOL} GLOB ?" if name.endswith("*") else f"{_TOOL} = ?" for name in names]
        super().__init__(look, f"kind = 'tool.started' AND ({' OR '.join(kinds)})", [_glob(name) for name in names])

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


def _said(payload: Payload) -> str:
    if isinstance(payload, ToolFinished):
        return payload.summary
    told = [str(getattr(payload, name)) for name in _TELLING if getattr(payload, name, "")]
    if isinstance(payload, SubagentEnded):
        told.insert(0, f"ended: {payload.ending.value}")
    elif isinstance(payload, SubagentChecked) and payload.result is not None:
        told.append(payload.result.broken)
    return "\n".join(told) or payload.kind
