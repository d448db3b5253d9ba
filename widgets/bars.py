"""The one-line bars at the edges of every screen."""

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from textual import events
from textual.message import Message

from widgets.ink import Line, Painted, spread, width, wrap_line
from widgets.labels import Spots


class Bar(Painted):
    """One line: something at the left, something at the right."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id, classes=classes)
        self._left: Line = []
        self._right: Line = []

    def show(self, left: Line, right: Line | None = None) -> None:
        """Take other contents; draws only when they are others."""
        right = right or []
        if (left, right) != (self._left, self._right):
            self._left, self._right = left, right
            self.repaint()

    def lines(self, cells: int, height: int) -> Iterable[Line]:
        return [spread(self._left, self._right, cells)]


class Banner(Painted):
    """What the operator should see now: a sentence, folded into as many rows as it needs; nothing takes no row."""

    ROWS: ClassVar[int] = 3
    """Rows at most: the screen is for the work."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id)
        self._line: Line = []

    def show(self, line: Line) -> None:
        """Take another sentence; draws only when it is another."""
        self.set_class(bool(line), "on")
        if line != self._line:
            self._line = line
            self.repaint()
        self.styles.height = len(self._folded(self.app.size.width))

    def lines(self, cells: int, height: int) -> Iterable[Line]:
        return [spread(row, [], cells) for row in self._folded(cells)]

    def _folded(self, cells: int) -> list[Line]:
        return wrap_line(self._line, cells)[: self.ROWS]


class KeyBar(Painted):
    """The keys that work here and now, in order of use; those that don't fit give way, the last one stays."""

    class Pressed(Message):
        """A key in the bar was clicked."""

        def __init__(self, action: str) -> None:
            super().__init__()
            self.action = action

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id)
        self._keys: Sequence[tuple[str, str, str]] = ()
        self._spots: list[tuple[int, int, str]] = []

    def show(self, keys: Sequence[tuple[str, str, str]]) -> None:
        """Take (action id, key, title) triples."""
        if keys != self._keys:
            self._keys = keys
            self.repaint()

    def lines(self, cells: int, height: int) -> Iterable[Line]:
        self._spots = []
        if not self._keys:
            return [[]]
        *others, last = self._keys
        end = _key(last)
        line: Line = []
        for key in others:
            piece = _key(key)
            if width(line) + width(piece) + width(end) > cells:
                continue
            self._spots.append((width(line), width(line) + width(piece), key[0]))
            line += piece
        self._spots.append((cells - width(end), cells, last[0]))
        return [spread(line, end, cells)]

    def click_spots(self) -> Spots:
        """For the jump mode: the first cell of each."""
        return [(start, 0) for start, _, _ in self._spots]

    def on_click(self, event: events.Click) -> None:
        for start, end, action in self._spots:
            if start <= event.x < end:
                self.post_message(self.Pressed(action))


class TabBar(Painted):
    """The screens, the active one marked; at the right whose run is shown."""

    class Pressed(Message):
        """A screen's name was clicked."""

        def __init__(self, action: str) -> None:
            super().__init__()
            self.action = action

    def __init__(self, tabs: Sequence[tuple[str, str, str]], active: str) -> None:
        super().__init__()
        self._tabs, self._active = tabs, active
        self._right: Line = []
        self._spots: list[tuple[int, int, str]] = []

    def name_keys(self, keys: Mapping[str, str]) -> None:
        """Other keys of the screens, by action."""
        self._tabs = [(action, keys.get(action, key), title) for action, key, title in self._tabs]
        self.repaint()

    def show(self, right: Line) -> None:
        """What stands at the right."""
        if right != self._right:
            self._right = right
            self.repaint()

    def lines(self, cells: int, height: int) -> Iterable[Line]:
        line: Line = [(" multitrack ", "badge")] if cells >= 100 else []
        self._spots = []
        for action, key, title in self._tabs:
            active = action == self._active
            piece: Line = [
                (f" {key} ", "tab-active" if active else "key"),
                (f"{title} ", "tab-active" if active else "tab"),
            ]
            self._spots.append((width(line), width(line) + width(piece), action))
            line += piece
        return [spread(line, self._right, cells)]

    def click_spots(self) -> Spots:
        """For the jump mode: the first cell of each."""
        return [(start, 0) for start, _, _ in self._spots]

    def on_click(self, event: events.Click) -> None:
        for start, end, action in self._spots:
            if start <= event.x < end:
                self.post_message(self.Pressed(action))


def _key(key: tuple[str, str, str]) -> Line:
    return [(f" {key[1]} ", "key"), (f"{key[2]} ", "faint")]
