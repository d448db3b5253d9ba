"""Small questions: yes or no, once, before something that can't be undone; and a number."""

from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from store.domain.secrets import shown_line
from widgets.docview import DocView
from widgets.ink import Line, wrap

CELLS = 54


class Ask(ModalScreen[bool]):
    """`y` or enter is yes; escape, `n` and anything else that leaves is no. Nothing happens by itself."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y,enter", "answer(True)", "Yes"),
        Binding("n,escape,q", "answer(False)", "No"),
    ]

    def __init__(self, question: str, said: str, verb: str) -> None:
        super().__init__()
        self._lines: list[Line] = [
            *([(row, "strong")] for row in wrap(shown_line(question), CELLS)),
            [],
            *([(row, "text")] for row in wrap(shown_line(said), CELLS)),
            [],
            [("y", "key"), (f" {verb}", "text"), ("     n", "key"), (" Leave it", "text")],
        ]

    def compose(self) -> ComposeResult:
        with Vertical(id="card"):
            yield DocView(id="question")

    def on_mount(self) -> None:
        view = self.query_one(DocView)
        view.styles.height = len(self._lines)
        view.show(self._lines)

    def action_answer(self, yes: bool) -> None:
        self.dismiss(yes)


class Number(ModalScreen[int]):
    """Takes digits; answers as soon as they can mean only one of the choices, or on enter."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "leave", "Leave"),
        Binding("enter", "take", "Take"),
        Binding("backspace", "back", "Back"),
    ]

    def __init__(self, title: str, choices: list[int]) -> None:
        super().__init__()
        self._title, self._choices, self._typed = title, [str(choice) for choice in choices], ""

    def compose(self) -> ComposeResult:
        with Vertical(id="card"):
            yield DocView(id="question")

    def on_mount(self) -> None:
        self.query_one(DocView).styles.height = 1
        self._draw()

    def on_key(self, event: events.Key) -> None:
        if event.character is None or not event.character.isdigit():
            return
        event.stop()
        matches = [choice for choice in self._choices if choice.startswith(self._typed + event.character)]
        if not matches:
            self.app.bell()
            return
        self._typed += event.character
        if matches == [self._typed]:
            self.dismiss(int(self._typed))
        self._draw()

    def action_take(self) -> None:
        self.dismiss(int(self._typed) if self._typed in self._choices else None)

    def action_back(self) -> None:
        self._typed = self._typed[:-1]
        self._draw()

    def action_leave(self) -> None:
        self.dismiss(None)

    def _draw(self) -> None:
        span = f"{self._choices[0]} to {self._choices[-1]}" if self._choices else "there is none"
        self.query_one(DocView).show(
            [[(f"{self._title} ", "strong"), (self._typed + "▌", "accent"), (f"   {span}", "faint")]]
        )
