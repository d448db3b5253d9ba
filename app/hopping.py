"""Jump mode on any screen: gathers what can be focused or clicked, labels it, and goes where the label says."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from textual import events
from textual.errors import NoWidget
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget

from app.labels import labels, left
from widgets.labels import Clickable, Labels


@dataclass(frozen=True)
class Target:
    """A cell of a widget; `click` says whether something is there to be clicked, or the widget only focused."""

    widget: Widget
    x: int
    y: int
    click: bool

    @property
    def place(self) -> tuple[int, int]:
        """Where it is on the screen."""
        corner = self.widget.region.offset
        return corner.x + self.x, corner.y + self.y


def targets(screen: Screen[object]) -> list[Target]:
    """Everything on a screen that can be gone to, from the top left on; one for each cell."""
    found: dict[tuple[int, int], Target] = {}
    for target in _all(screen):
        x, y = target.place
        if screen.region.contains(x, y) and (target.place not in found or target.click):
            found[target.place] = target
    return [found[place] for place in sorted(found, key=lambda place: (place[1], place[0]))]


def _all(screen: Screen[object]) -> Iterator[Target]:
    for widget in screen.query("*"):
        if not widget.is_on_screen or widget.size.area == 0 or widget.disabled:
            continue
        spots = widget.click_spots() if isinstance(widget, Clickable) else ()
        yield from (Target(widget, x, y, True) for x, y in spots if _in_sight(widget, x, y))
        if not spots and widget.focusable and _in_sight(widget, 0, 0):
            yield Target(widget, 0, 0, False)


def _in_sight(widget: Widget, x: int, y: int) -> bool:
    """Whether that cell of a widget is drawn, and not scrolled away."""
    try:
        found = widget.screen.find_widget(widget)
    except NoWidget:
        return False
    at = found.region.x + x, found.region.y + y
    return found.region.contains(*at) and found.clip.contains(*at)


class Hop:
    """One use of the jump mode, from the labels to the place or back."""

    def __init__(self, screen: Screen[object]) -> None:
        self._screen = screen
        self._before = screen.focused
        self._targets = targets(screen)
        self._names = labels(len(self._targets))
        self._typed = ""
        self._over = False
        self.widget = Labels(_drawn(screen), self._marks())

    def begin(self) -> None:
        """Show the labels."""
        self._screen.mount(self.widget)
        self.widget.focus(scroll_visible=False)

    @property
    def count(self) -> int:
        """How many places there are to go to."""
        return len(self._targets)

    def typed(self, character: str | None) -> bool:
        """Take one more character; None leaves. Whether it is over."""
        if self._over:
            return True
        found = left(self._names, self._typed + character.lower()) if character else []
        if character and not found:
            self._screen.app.bell()
            return False
        if character and len(found) > 1:
            self._typed += character.lower()
            self.widget.narrow(self._marks(), len(self._typed))
            return False
        self._over = True
        self.widget.remove()
        if self._before is not None and self._before.is_attached:
            self._before.focus(scroll_visible=False)
        if character:
            go(self._targets[found[0]])
        return True

    def _marks(self) -> dict[tuple[int, int], str]:
        return {self._targets[index].place: self._names[index] for index in left(self._names, self._typed)}


def go(target: Target) -> None:
    """Focus a target, and click what is there to be clicked."""
    widget = target.widget
    if widget.focusable:
        widget.focus(scroll_visible=False)
    if target.click:
        x, y = target.place
        widget.post_message(
            events.Click(widget, target.x + 1, target.y, 0, 0, 1, False, False, False, screen_x=x + 1, screen_y=y)
        )


def _drawn(screen: Screen[object]) -> Sequence[Strip]:
    """The screen as it stands on the terminal."""
    return screen._compositor.render_strips()
