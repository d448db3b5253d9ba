"""What the observer's model does, in the log: turns and tool calls as a subagent's, in the place of lane 0."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from backends.observer.model.talk import ToolCall
from store import blobs, events
from store.domain.events import ObserverAsked, Payload, ToolFinished, ToolStarted, TurnStarted
from store.domain.ids import SubagentId
from store.domain.safe_text import safe_line

if TYPE_CHECKING:
    from store.database import Store


class Log:
    """The diary of one generation's asking, which goes on where an engine before this one left it."""

    def __init__(self, store: "Store", who: SubagentId, clock: Callable[[], float]) -> None:
        from store import windows

        self._store, self._who, self._clock = store, who, clock
        self._turn = windows.counts(store, who.run).get(who, 0)

    async def begin(self, model: str) -> None:
        """The model is asked from here on."""
        await self._write([ObserverAsked(model)], lane=None)

    async def turn(self) -> None:
        """See `Diary`."""
        self._turn += 1
        await self._write([TurnStarted(self._turn)], lane=self._who.lane)

    async def tool(self, call: ToolCall, query: str, result: str, *, ok: bool) -> None:
        """See `Diary`."""
        data = result.encode("utf-8", "surrogatepass")
        kept = await self._store.writer.write(lambda connection: blobs.keep(connection, data), size=len(data))
        name = safe_line(call.name, 60)
        summary = safe_line(result, 100)
        await self._write(
            [
                ToolStarted(self._turn, call.id, name, safe_line(query, 100)),
                ToolFinished(self._turn, call.id, name, ok, 0.0, kept, summary),
            ],
            lane=self._who.lane,
        )

    async def _write(self, payloads: list[Payload], *, lane: int | None) -> None:
        run, generation = self._who.run, self._who.generation
        await self._store.writer.write(
            lambda connection: events.append(
                connection, run, payloads, at=self._clock(), generation=generation, lane=lane
            )
        )
