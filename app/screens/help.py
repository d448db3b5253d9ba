"""Help: every action with its keys and its command-line twin, made from the registry."""

from collections.abc import Iterator, Sequence
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from app import actions
from widgets.docview import DocView
from widgets.ink import Line, wrap_line

_MOVING = (
    ("arrows", "move; in trees and texts also h j k l, g and G"),
    ("tab", "next pane, next part of the screen"),
    ("enter", "open, fold or unfold"),
    ("mouse", "everything that can be pressed can be clicked"),
    ("escape", "leave a question, a search, an editor"),
)


BESIDE = 132
"""Cells of the terminal from which there is room for the twins beside the help."""
FRAME = 8
"""Cells that the card takes of the terminal around its text."""
_TITLE, _HELP = 17, 56
"""Cells of their columns; the help has the rest where the twins are under it."""


class Help(ModalScreen[None]):
    """`screen` comes first, then what works everywhere, then the other screens. In a playback its keys come before all,
    and what can't be done then is left out."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "leave", "Leave")]

    def __init__(self, screen: str, *, playback: bool = False) -> None:
        super().__init__()
        self._screen_name, self._playback = screen, playback

    def compose(self) -> ComposeResult:
        with Vertical(id="card"):
            yield DocView(id="text")

    def on_mount(self) -> None:
        self._show()
        self.query_one(DocView).focus()

    def on_resize(self) -> None:
        self._show()

    def on_key(self, event: events.Key) -> None:
        # The key that opens it closes it, whichever that is.
        if event.key in actions.find("help").keys:
            event.stop()
            self.dismiss(None)

    def _show(self) -> None:
        lines = text(self._screen_name, self.app.size.width, playback=self._playback)
        self.query_one(DocView).show(lines, self._screen_name)

    def action_leave(self) -> None:
        self.dismiss(None)


def text(screen: str, cells: int, *, playback: bool = False) -> list[Line]:
    """The help for a terminal so wide, the named screen's actions first."""
    column = 2 + max(len(_keys(action)) for action in actions.in_force()) + 1
    room = min(cells, BESIDE) - FRAME - column - _TITLE

    def section(title: str, said: str, found: Sequence[actions.Action]) -> list[Line]:
        if not found:
            return []
        rows = (row for action in found for row in _rows(action, column, room, beside=cells >= BESIDE))
        return [[(title, "strong"), (f"   {said}" if said else "", "faint")], *rows, []]

    def of(name: str) -> list[Line]:
        own = [
            action
            for action in actions.on(name, playback=playback)
            if name in action.where and not (playback and action.id in actions.ORDERS)
        ]
        return section(actions.find(name).title, actions.find(name).help, own)

    def where(place: str) -> list[actions.Action]:
        return [action for action in actions.in_force() if place in action.where]

    said = "This is one: what was recorded stays as it was." if playback else f"{actions.key('play')} begins it."
    played = section("Playback", said, where(actions.PLAYBACK))
    first = of(screen) if screen else []
    moving = [[(f"  {key:<{column - 2}}", "key"), (told, "faint")] for key, told in _MOVING]
    side = f"Two tapes; {actions.key('compare')} in a trace sets them so."
    return [
        [("Keys", "accent"), ("   what they do, and the same on the command line", "faint")],
        [],
        *(played if playback else []),
        *first,
        *section("Everywhere", "", where(actions.EVERYWHERE)),
        [("Moving", "strong")],
        *moving,
        [],
        *([] if playback else played),
        *(line for name in actions.SCREENS if name != screen for line in of(name)),
        *section("Side by side", side, where(actions.SIDE)),
        [("Leaving stops nothing: engines are processes of their own. `multitrack` attaches again.", "faint")],
        [("`multitrack settings --write`: keys, themes, ASCII, slow links. NO_COLOR=1: no colours.", "faint")],
    ]


def _keys(action: actions.Action) -> str:
    return " ".join(actions.key_name(key) for key in action.keys)


def _rows(action: actions.Action, column: int, room: int, *, beside: bool) -> Iterator[Line]:
    lead: Line = [(f"  {_keys(action):<{column - 2}}", "key"), (f"{action.title:<{_TITLE}}", "text")]
    twin = (action.twin, "code-string")
    beside = beside and len(action.twin) < room - _HELP
    for number, row in enumerate(wrap_line([(action.help, "faint")], max(_HELP if beside else room, 16))):
        start: Line = lead if number == 0 else [(" " * (column + _TITLE), "text")]
        told = "".join(piece for piece, _ in row).rstrip()
        if beside and number == 0 and action.twin:
            yield [*start, (f"{told:<{_HELP}} ", "faint"), twin]
        else:
            yield [*start, (told, "faint")]
    if action.twin and not beside:
        yield [(" " * (column + _TITLE), "text"), twin]
