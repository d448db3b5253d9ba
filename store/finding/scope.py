"""Whose tapes a query looks at."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from store.domain.codec import decode_payload
from store.domain.events import GenerationDesigned, SubagentAdded, SubagentRestarted
from store.domain.ids import SubagentId
from store.domain.query import Query
from store.domain.strategy import LanePlan
from store.jsontext import loads

if TYPE_CHECKING:
    from sqlalchemy import Connection

_RUNS = "SELECT id FROM runs WHERE id NOT IN (SELECT run FROM deletions) ORDER BY created, id"
_PLANS = (
    "SELECT run, generation, lane, kind, data FROM events INDEXED BY ix_events_beside WHERE run = ? AND kind NOT IN "
    "('turn.started', 'call.started', 'call.finished', 'tool.started', 'tool.finished', 'program.said') "
    "AND kind IN ('generation.designed', 'subagent.added', 'subagent.restarted') ORDER BY seq"
)


@dataclass(frozen=True)
class Scope:
    """`runs` are those looked at, oldest first; `narrow` says that there are others. `whos` are the subagents, None for
    all of these runs and for what belongs to none."""

    runs: tuple[str, ...]
    narrow: bool
    whos: frozenset[SubagentId] | None = None

    @property
    def nothing(self) -> bool:
        """Nobody is left."""
        return not self.runs or self.whos == frozenset()

    def only(self, whos: Collection[SubagentId] | None) -> "Scope":
        """The same without other subagents; None leaves all."""
        if whos is None:
            return self
        left = frozenset(who for who in whos if self.has(who.run, who.generation, who.lane))
        return Scope(tuple(run for run in self.runs if any(who.run == run for who in left)), True, left)

    def has(self, run: str, generation: int | None, lane: int | None) -> bool:
        """Whether something of that subagent, or of none, is looked at."""
        if self.whos is not None:
            return SubagentId(run, generation or 0, lane or 0) in self.whos
        return run in self.runs


def resolve(connection: "Connection", query: Query, runs: Collection[str] | None) -> Scope:
    """Whose tapes the query's filters leave, of these runs or of all."""
    every = [str(run) for (run,) in connection.exec_driver_sql(_RUNS)]
    left = [run for run in every if runs is None or run in runs]
    if query.runs:
        left = [run for run in left if any(run.lower().startswith(name.rstrip("*")) for name in query.runs)]
    whos = None
    if query.agents or query.generations:
        whos = frozenset(who for run in left for who in _those(connection, query, run))
        left = [run for run in left if any(who.run == run for who in whos)]
    return Scope(tuple(left), len(left) < len(every), whos)


def _those(connection: "Connection", query: Query, run: str) -> set[SubagentId]:
    plans: dict[SubagentId, set[str]] = {}
    for _, generation, lane, kind, data in connection.exec_driver_sql(_PLANS, (run,)):
        payload = decode_payload(kind, loads(data))
        planned: list[tuple[int, LanePlan]] = []
        if isinstance(payload, GenerationDesigned):
            planned = [(plan.lane, plan) for plan in payload.lanes]
        elif isinstance(payload, SubagentAdded):
            planned = [(payload.plan.lane, payload.plan)]
        elif isinstance(payload, SubagentRestarted) and payload.plan is not None:
            planned = [(lane, payload.plan)]
        for number, plan in planned:
            plans.setdefault(SubagentId(run, generation, number), set()).add(plan.strategy.name.lower())
    return {
        who
        for who, names in plans.items()
        if all(bounds.have(who.generation) for bounds in query.generations)
        and (not query.agents or any(_is(agent, who, names) for agent in query.agents))
    }


def _is(agent: str, who: SubagentId, names: Collection[str]) -> bool:
    """Whether it is called so: by its label, its full name, or a part of its strategy's."""
    return agent in (who.label, str(who).lower()) or any(agent.rstrip("*") in name for name in names)
