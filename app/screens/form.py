"""A small form: a few fields, answered together or not at all."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.suggester import SuggestFromList
from textual.widgets import Input, TextArea

from store.domain.secrets import shown_line
from widgets.docview import DocView
from widgets.ink import Line, wrap

CELLS = 68
LABEL = 10

Check = Callable[[Mapping[str, str]], str]
"""Says what is wrong with the answers, "" when nothing is."""


@dataclass(frozen=True)
class Field:
    """One thing to fill in. `tall` takes several lines, `choices` are offered while one types, `value` is there
    to begin with."""

    id: str
    label: str
    hint: str = ""
    tall: bool = False
    choices: tuple[str, ...] = ()
    value: str = ""


_TALL, _AROUND = 7, 6
"""Rows of a field of several lines; of what is around the fields."""


class Form(ModalScreen[dict[str, str]]):
    """Enter sends what `check` finds good; escape leaves everything as it is."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "send", "Send", priority=True),
        Binding("ctrl+j", "newline", "New line", priority=True),
        Binding("escape", "leave", "Leave", priority=True),
        Binding("down", "app.focus_next", "Next"),
        Binding("up", "app.focus_previous", "Previous"),
    ]

    def __init__(self, title: str, said: Sequence[Line], fields: Sequence[Field], verb: str, check: Check) -> None:
        super().__init__()
        self._fields, self._check = fields, check
        self._head: list[Line] = [*([(row, "strong")] for row in wrap(shown_line(title, 300), CELLS)), [], *said]
        keys: Line = [("enter", "key"), (f" {verb}", "text"), ("     esc", "key"), (" Leave it", "text")]
        if any(field.tall for field in fields):
            keys += [("     ctrl+j", "key"), (" New line", "text")]
        elif len(fields) > 1:
            keys += [("     tab", "key"), (" Next", "text")]
        self._keys = keys

    def compose(self) -> ComposeResult:
        with Vertical(id="card", classes="form"):
            yield DocView(id="said")
            for field in self._fields:
                if field.tall:
                    yield TextArea(field.value, id=f"field-{field.id}", tab_behavior="focus", soft_wrap=True)
                    continue
                with Horizontal(classes="row"):
                    yield DocView(id=f"label-{field.id}", classes="label")
                    suggester = SuggestFromList(field.choices, case_sensitive=False) if field.choices else None
                    yield Input(field.value, placeholder=field.hint, id=f"field-{field.id}", suggester=suggester)
            yield DocView(id="wrong")
            yield DocView(id="keys")

    def on_mount(self) -> None:
        for view in self.query(DocView):
            view.can_focus = False
        self._show("#said", self._head)
        self._show("#keys", [self._keys])
        self._show("#wrong", [[]])
        for field in self._fields:
            if not field.tall:
                self._show(f"#label-{field.id}", [[(field.label, "text")]])
        self.query_one(f"#field-{self._fields[0].id}").focus()

    def on_resize(self) -> None:
        # Where there is no room for all of it, the space between the fields goes first.
        rows = len(self._head) + sum(_TALL if field.tall else 2 for field in self._fields)
        self.set_class(rows + _AROUND > self.size.height * 9 // 10, "tight")

    def _show(self, which: str, lines: list[Line]) -> None:
        view = self.query_one(which, DocView)
        view.styles.height = len(lines)
        view.show(lines)

    @property
    def answers(self) -> dict[str, str]:
        """What stands in the fields."""
        found: dict[str, str] = {}
        for field in self._fields:
            widget = self.query_one(f"#field-{field.id}")
            found[field.id] = widget.text if isinstance(widget, TextArea) else getattr(widget, "value", "")
        return {name: text.strip() for name, text in found.items()}

    def action_send(self) -> None:
        wrong = self._check(self.answers)
        if wrong:
            self._show("#wrong", [[(row, "warn")] for row in wrap(shown_line(wrong, 300), CELLS)])
            return
        self.dismiss(self.answers)

    def action_newline(self) -> None:
        if isinstance(self.focused, TextArea):
            self.focused.insert("\n")

    def action_leave(self) -> None:
        self.dismiss(None)
