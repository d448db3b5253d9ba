"""Help: every action with its keys and its command-line twin, made from the registry."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from app import actions
from widgets.docview import DocView
from widgets.ink import Line

_MOVING = (
    ("arrows", "move; in trees and texts also h j k l, g and G"),
    ("tab", "next pane, next part of the screen"),
    ("enter", "open, fold or unfold"),
    ("mouse", "everything that can be pressed can be clicked"),
    ("escape", "leave a question, a search, an editor"),
)


BESIDE = 126
"""Cells of the terminal from which there is room for the twins beside the help."""


class Help(ModalScreen[None]):
    """`screen` comes first, then what works everywhere, then the other screens."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,question_mark", "leave", "Leave")]

    def __init__(self, screen: str, cells: int) -> None:
        super().__init__()
        self._screen_name, self._cells = screen, cells

    def compose(self) -> ComposeResult:
        with Vertical(id="card"):
            yield DocView(id="text")

    def on_mount(self) -> None:
        self.query_one(DocView).show(text(self._screen_name, beside=self._cells >= BESIDE))
        self.query_one(DocView).focus()

    def action_leave(self) -> None:
        self.dismiss(None)


def text(screen: str, *, beside: bool) -> list[Line]:
    """The help, the named screen's actions first; the twins `beside` them, or under them."""
    lines: list[Line] = [[("Keys", "accent"), ("      what they do, and the same on the command line", "faint")], []]
    order = [screen, *(name for name in actions.SCREENS if name != screen)] if screen else list(actions.SCREENS)
    for index, name in enumerate(order):
        own = [action for action in actions.in_force() if name in action.where]
        title = actions.find(name).title
        if own:
            lines += [
                [(title, "strong"), (f"   {actions.find(name).help}", "faint")],
                *(line for action in own for line in _lines(action, beside=beside)),
                [],
            ]
        if index == 0:
            for title, where, said in (
                ("Everywhere", actions.EVERYWHERE, ""),
                ("Playback", actions.PLAYBACK, f"   While a run is played; {actions.key('play')} begins it."),
                ("Side by side", actions.SIDE, f"   Two tapes; {actions.key('compare')} in a trace sets them so."),
            ):
                lines += [
                    [
                        (title, "strong"),
                        (said, "faint"),
                    ],
                    *(
                        line
                        for each in actions.in_force()
                        if where in each.where
                        for line in _lines(each, beside=beside)
                    ),
                    [],
                ]
    lines += [[("Moving", "strong")], *([(f"  {key:<9}", "key"), (said, "text")] for key, said in _MOVING), []]
    lines += [
        [
            (
                "Leaving this screen stops nothing: engines are processes of their own. `multitrack` attaches again.",
                "faint",
            )
        ],
        [("`multitrack settings`: keys, themes, ASCII, slow links. NO_COLOR=1 draws without colours.", "faint")],
    ]
    return lines


def _lines(action: actions.Action, *, beside: bool) -> list[Line]:
    keys = " ".join(actions.key_name(key) for key in action.keys)
    line: Line = [(f"  {keys:<9}", "key"), (f"{action.title:<16}", "text")]
    if not action.twin:
        return [[*line, (action.help, "faint")]]
    twin = (action.twin, "code-string")
    if beside:
        return [[*line, (f"{action.help:<56} ", "faint"), twin]]
    return [[*line, (action.help, "faint")], [(" " * 27, "text"), twin]]
