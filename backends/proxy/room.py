"""What the answers under way take of the memory, all together: bounded, whatever so many of them at once would take.

An answer is in memory until it is recorded. When all of them together are more than there is room for, one of them goes
on, the largest, and the others wait until there is room again: their providers are not read from, and wait too. Nothing
is dropped.
"""

import asyncio

MOST = 512 * 1024 * 1024
"""Bytes of answers in memory, at which all but one wait. So there are at most as many and the longest answer's."""


class Room:
    """For one event loop. Who takes room is any object."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._taken: dict[object, int] = {}
        self._total = 0
        self._first: object = None
        """Who goes on although there is no room: nobody could leave otherwise."""
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def full(self) -> bool:
        """There is no room left."""
        return self._total > self._most

    def take(self, who: object, size: int) -> None:
        """Take so many bytes more."""
        self._taken[who] = self._taken.get(who, 0) + size
        self._total += size

    async def wait(self, who: object) -> None:
        """Wait until there is room, or nobody else could go on."""
        while self.full:
            if self._first is None:
                self._first = max(self._taken, key=self._taken.__getitem__, default=who)
            if self._first is who:
                return
            future = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            await future

    def leave(self, who: object) -> None:
        """Give back what it took."""
        self._total -= self._taken.pop(who, 0)
        if self._first is who:
            self._first = None
        elif self.full:
            return
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)
