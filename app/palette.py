"""The command palette: the registry's actions, by name."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider

from app import actions

if TYPE_CHECKING:
    from app.studio import Studio


class Palette(Provider):
    """What can be done on the screen below."""

    async def discover(self) -> Hits:
        for title, action, run in self._commands():
            yield DiscoveryHit(title, run, text=action.title, help=action.help)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for title, action, run in self._commands():
            # What an action is called counts for more than what is said of it.
            score = max(matcher.match(action.title), matcher.match(action.help) / 4)
            if score > 0:
                yield Hit(score, title, run, text=action.title, help=action.help)

    def _commands(self) -> Iterator[tuple[str, actions.Action, Callable[[], None]]]:
        studio = cast("Studio", self.app)
        for action in studio.place.offered() if studio.place else actions.on(""):
            if action.id != "palette" and not studio.why_not(action.id):
                keys = " ".join(actions.key_name(key) for key in action.keys)

                def run(action_id: str = action.id) -> None:
                    studio.action_do(action_id)

                yield f"{action.title}  ({keys})", action, run
