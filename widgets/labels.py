"""Jump mode: a label on everything that can be focused or clicked, over the screen as it is."""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from textual import events
from textual.message import Message
from textual.strip import Strip

from widgets.ink import Inked

Spots = Sequence[tuple[int, int]]
"""Where in a widget labels have their places, from the top left corner: (column, row). The cell to the right of each is
clicked: a label may cover what only leads to the thing."""


@runtime_checkable
class Clickable(Protocol):
    """A widget with several things to click."""

    def click_spots(self) -> Spots:
        """Where the label of each of them goes that is in sight."""


class Labels(Inked, can_focus=True):
    """Stands over a screen for as long as a label is typed. `rows` is the screen as it was drawn, `marks` the labels by
    the cell that they stand on; what was typed leaves only those that begin with it."""

    class Typed(Message):
        """One more character, or None for leaving."""

        def __init__(self, character: str | None) -> None:
            super().__init__()
            self.character = character

    def __init__(self, rows: Sequence[Strip], marks: Mapping[tuple[int, int], str]) -> None:
        super().__init__(id="labels")
        self._rows, self._marks = rows, marks
        self._typed = 0

    def narrow(self, marks: Mapping[tuple[int, int], str], typed: int) -> None:
        """Show only these from now on, without their first characters."""
        self._marks, self._typed = marks, typed
        self.refresh()

    def render_line(self, y: int) -> Strip:
        cells = self.size.width
        if y >= len(self._rows):
            return Strip.blank(cells, self.style_of(""))
        strip = self._rows[y].adjust_cell_length(cells)
        for (x, row), label in sorted(self._marks.items()):
            if row == y and x < cells:
                mark = self.strip([(label[self._typed :], "match")], len(label) - self._typed)
                strip = Strip.join([strip.crop(0, x), mark, strip.crop(x + mark.cell_length)]).crop(0, cells)
        return strip

    def on_key(self, event: events.Key) -> None:
        event.stop()
        event.prevent_default()
        letter = event.character is not None and event.character.isalpha()
        self.post_message(self.Typed(event.character if letter else None))

    def on_click(self, event: events.Click) -> None:
        event.stop()
        self.post_message(self.Typed(None))

    def on_blur(self) -> None:
        self.post_message(self.Typed(None))

    def on_resize(self, event: events.Resize) -> None:
        if event.size.height != len(self._rows):
            # What the labels stand on is no longer there.
            self.post_message(self.Typed(None))
