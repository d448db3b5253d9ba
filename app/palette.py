"""The command palette: the registry's actions, by name, and the themes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, cast

from textual import on
from textual.command import CommandPalette, DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.widgets import Input

from app import actions

if TYPE_CHECKING:
    from app.studio import Studio


@dataclass(frozen=True)
class Entry:
    """One line of it: what it is called, what stands behind that, what it does."""

    name: str
    beside: str
    help: str
    run: Callable[[], object]

    @property
    def shown(self) -> Content:
        """Never as markup: a key may be a bracket, and a theme is called as its file says."""
        return Content(f"{self.name}  ({self.beside})" if self.beside else self.name)


class Palette(Provider):
    """What can be done on the screen below."""

    async def discover(self) -> Hits:
        for entry in self._entries():
            yield DiscoveryHit(entry.shown, entry.run, text=entry.name, help=entry.help)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for entry in self._entries():
            # What an action is called counts for more than what is said of it.
            score = max(matcher.match(entry.name), matcher.match(entry.help) / 4)
            if score > 0:
                yield Hit(score, entry.shown, entry.run, text=entry.name, help=entry.help)

    def _entries(self) -> Iterator[Entry]:
        studio = cast("Studio", self.app)
        for action in studio.place.offered() if studio.place else actions.on(""):
            if action.id != "palette" and not studio.why_not(action.id):
                keys = " ".join(actions.key_name(key) for key in action.keys)
                yield Entry(action.title, keys, action.help, partial(studio.action_do, action.id))
        # Going through them by a key is for two or three.
        for name in studio.theme_names:
            now = "this one" if name == studio.theme else ""
            yield Entry(
                f"Theme {name}", now, "Draw with it until the app is closed.", partial(studio.choose_theme, name)
            )


class Commands(CommandPalette):
    """Textual's palette, in which enter takes a command of those for all that was typed, however fast."""

    _taken = False

    @on(Input.Submitted)
    def _take(self) -> None:
        self._taken = self._list_visible

    def holds(self, key: str) -> bool:
        """Enter waits for the list, and what comes behind it for the command."""
        gathering = any(worker.node is self and not worker.is_finished for worker in self.workers)
        return self._taken or (gathering and key in ("enter", "up", "down"))
