"""Type-ahead: a key is looked at when all is done that the keys before it have begun, however fast they came.

Textual hands a key to what is focused as it comes, while what an earlier one does (something opens, something else is
focused) is told by messages that are still under way. Here keys wait for that, in a line.
"""

import asyncio
from collections import deque
from contextlib import suppress
from typing import Any, Protocol, runtime_checkable

from textual import events
from textual.message_pump import MessagePump
from textual.screen import Screen
from textual.widget import Widget

from widgets.ink import InkApp

POLL = 0.02
"""Seconds between two looks at whether a key can be answered now."""
PATIENCE = 10.0
"""Seconds that a key waits at most for what is being read, or for a widget that is busy."""
TURNS = 8
"""Times that the focus can be handed on through one key."""

Typed = events.Key | events.Paste


@runtime_checkable
class Patient(Protocol):
    """A screen that lets keys wait for what it reads."""

    def holds(self, key: str) -> bool:
        """Whether what a key is for is still being read."""


class TypeAhead(InkApp):
    """An app in which what is typed and pasted comes one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self._line: deque[Typed] = deque()
        self._worker: asyncio.Task[None] | None = None

    async def on_event(self, event: events.Event) -> None:
        if not isinstance(event, Typed) or event.is_forwarded:
            await super().on_event(event)
            return
        self._line.append(event)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work_off())

    def forget_typed(self) -> None:
        """What was typed ahead was meant for something else than what came."""
        self._line.clear()

    async def _work_off(self) -> None:
        while self._line:
            event = self._line[0]
            if self._held(event):
                await self._wait(event)
                # What was read may have opened something.
                await self._done(self._aim)
            if self._line and self._line[0] is event:
                self._line.popleft()
                there = self._aim
                await _behind(self, super().on_event, event)
                await self._done(there)

    def _held(self, event: Typed) -> bool:
        aim = self._aim
        if aim is None or type(aim[0]) is Screen:
            # Textual's own, until the first of ours is there.
            return True
        return isinstance(event, events.Key) and isinstance(aim[0], Patient) and aim[0].holds(event.key)

    async def _wait(self, event: Typed) -> None:
        for _ in range(round(PATIENCE / POLL)):
            # Escape behind it means that it is not to be waited for.
            if not self._held(event) or (len(self._line) > 1 and _leaves(self._line[1])):
                return
            await asyncio.sleep(POLL)

    @property
    def _aim(self) -> tuple[Screen[Any], Widget | None] | None:
        """What a key comes to."""
        stack = self.screen_stack
        return (stack[-1], stack[-1].focused) if stack else None

    async def _done(self, there: tuple[Screen[Any], Widget | None] | None) -> None:
        """Wait for what a key has begun that came there: behind it in every widget that it passes, then behind what was
        told through it, until that leads nowhere else."""
        for turn in range(TURNS):
            for pump in (there[1] or there[0]).ancestors_with_self if there else (self,):
                await _behind(pump)
            before, there = there, self._aim
            if turn and there == before:
                return


async def _behind(pump: MessagePump, *call: Any) -> None:
    """Wait until a widget, or the app, is done with all that was told to it before; let it make a call then."""
    done = asyncio.Event()

    async def reached() -> None:
        try:
            if call:
                await call[0](*call[1:])
        finally:
            done.set()

    # One that is being closed takes no more.
    if pump.call_later(reached):
        with suppress(TimeoutError):
            await asyncio.wait_for(done.wait(), PATIENCE)


def _leaves(event: Typed) -> bool:
    return isinstance(event, events.Key) and event.key == "escape"
