"""What all ways of looking share: the query, whose tapes it is for, and what is known of calls and turns."""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from store.domain.ids import SubagentId
from store.domain.query import Query
from store.finding.calls import Called
from store.finding.hits import Hit
from store.finding.scope import Scope

if TYPE_CHECKING:
    from sqlalchemy import Connection

FIRST = 32
"""Turns of a subagent that are read first, and four times as many whenever it takes more."""

USD = (
    "CASE calls.source WHEN 'route' THEN (SELECT sum(tried.usd) FROM calls AS tried WHERE tried.parent = calls.id) "
    "ELSE calls.usd END"
)
"""What a call cost: one that a route answered, what the calls cost that were made for it."""
_CALL = f"SELECT id, parent, run, started, ended, model, answer, thread, {USD} FROM calls WHERE id = ?"  # noqa: S608
_TURNS = (
    "SELECT seq, at, json_extract(data, '$.turn'), json_extract(data, '$.thread') FROM events INDEXED BY "
    "ix_events_turns WHERE run = ? AND kind = 'turn.started' AND generation = ? AND lane = ?"
)
_OWN = "AND coalesce(json_extract(data, '$.under'), '') = ''"


class Source(Protocol):
    """A way of looking, newest first."""

    done: bool

    def portion(self, limit: int) -> list[Hit]:
        """The next places, at most so many, after a short look; none does not say that there are no more."""


class Asked(NamedTuple):
    """What is known of a call."""

    id: str
    parent: str | None
    run: str
    started: float
    ended: float | None
    model: str
    answer: str | None
    thread: str
    usd: float | None


class Look:
    """One search: what it is for, and what it has read on its way. `connection` is that of the portion at hand."""

    def __init__(self, connection: "Connection", query: Query, scope: Scope, until: float, called: Called) -> None:
        self.connection = connection
        self.query = query
        self.scope = scope
        self.until = until
        self.called = called
        self._calls: dict[str, Asked | None] = {}
        self._turns: dict[SubagentId, _Turns] = {}

    def call(self, name: str) -> Asked | None:
        """A call; of one that was made for another, that one."""
        if name not in self._calls:
            row = self.connection.exec_driver_sql(_CALL, (name,)).first()
            asked = Asked(*row) if row is not None else None
            self._calls[name] = self.call(asked.parent) if asked is not None and asked.parent else asked
        return self._calls[name]

    def has(self, asked: Asked | None) -> bool:
        """Whether the call is right for the filters that are about calls, as far as there are any."""
        query = self.query
        if query.models and (asked is None or not any(name.strip("*") in asked.model.lower() for name in query.models)):
            return False
        usd = asked.usd if asked is not None else None
        return not query.costs or (usd is not None and all(bounds.have(usd) for bounds in query.costs))

    def is_tool(self, name: str) -> bool:
        """Whether a tool is one of those asked for, if any are."""
        folded = name.lower()
        return not self.query.tools or any(
            folded.startswith(tool[:-1]) if tool.endswith("*") else folded == tool for tool in self.query.tools
        )

    def where(self) -> tuple[str, list[Any]]:
        """Whose tapes, as a condition on the columns `run`, `generation` and `lane`; "" for all."""
        scope = self.scope
        if scope.whos is not None:
            values = ", ".join("(?, ?, ?)" for _ in scope.whos)
            told = [part for who in sorted(scope.whos) for part in (who.run, who.generation, who.lane)]
            return f" AND (run, generation, lane) IN (VALUES {values})", told
        if scope.narrow:
            return f" AND run IN ({', '.join('?' * len(scope.runs))})", [*scope.runs]
        return "", []

    def turn_at(self, who: SubagentId | None, at: float, thread: str = "") -> int:
        """The turn that a subagent was at, of its own or of the thread of its agent's; 0 where nothing says."""
        return self._last(who, lambda turn: turn.at <= at, thread)

    def turn_of(self, who: SubagentId | None, seq: int) -> int:
        """The turn in which an event happened."""
        return self._last(who, lambda turn: turn.seq <= seq, "")

    def _last(self, who: SubagentId | None, before: Callable[["_Turn"], bool], thread: str) -> int:
        """The last of a subagent's turns that began before something. The newest are read first: so are the hits."""
        if who is None:
            return 0
        turns = self._turns.setdefault(who, _Turns())
        if thread and not turns.threads:
            turns.threads = [turn for turn in self._read(f"{_TURNS} ORDER BY seq DESC", who) if turn.thread]
        if nested := next((turn for turn in turns.threads if thread and turn.thread == thread and before(turn)), None):
            return nested.number
        if turns.far and before(turns.own[0]):
            turns = self._turns[who] = _Turns(threads=turns.threads)
        while not turns.all and (not turns.own or not before(turns.own[-1])):
            count = max(4 * len(turns.own), FIRST)
            if len(turns.own) == FIRST and not turns.far:
                # Far from the newest: read from there on.
                turns.far, turns.own = True, [self._after(who, before, turns.own[-1])]
            last = turns.own[-1].seq if turns.own else 2**62
            more = self._read(f"{_TURNS} {_OWN} AND seq < ? ORDER BY seq DESC LIMIT ?", who, last, count)
            turns.own += more
            turns.all = len(more) < count
        at = bisect_left(turns.own, True, key=before)
        return turns.own[at].number if at < len(turns.own) else 0

    def _after(self, who: SubagentId, before: Callable[["_Turn"], bool], known: "_Turn") -> "_Turn":
        """The oldest turn of its own that is not before something, as one that is known is not."""
        low = 0
        while known.seq - low > 1:
            middle = (low + known.seq) // 2
            found = self._read(f"{_TURNS} {_OWN} AND seq <= ? AND seq > ? ORDER BY seq DESC LIMIT 1", who, middle, low)
            if found and not before(found[0]):
                known = found[0]
            else:
                low = middle
        return known

    def _read(self, statement: str, who: SubagentId, *more: int) -> list["_Turn"]:
        rows = self.connection.exec_driver_sql(statement, (who.run, who.generation, who.lane, *more))
        return [_Turn(seq, at, number, thread or "") for seq, at, number, thread in rows]


class _Turn(NamedTuple):
    seq: int
    at: float
    number: int
    thread: str


@dataclass
class _Turns:
    """Those of a subagent that were read, newest first: its own, as far as needed, and those of its agent's threads.
    Where they begin `far` from the newest, the first of them is one that was too new."""

    own: list[_Turn] = field(default_factory=list)
    all: bool = False
    far: bool = False
    threads: list[_Turn] = field(default_factory=list)
