"""One of a few: a list to take one line of."""

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from store.domain.secrets import shown_line
from widgets.docview import DocView
from widgets.picklist import PickList, Row

CELLS = 66


class Choose(ModalScreen[str]):
    """Enter takes the line under the cursor; escape leaves everything as it is. `choices` are (value, what is said of
    it); `now` is the one to begin at."""

    CSS: ClassVar[str] = """
    Choose { align: center middle; background: $background 60%; }
    Choose #card { width: 72; max-width: 100%; }
    Choose DocView { width: 100%; background: $surface; overflow: hidden; height: 2; }
    Choose PickList { width: 100%; background: $surface; scrollbar-size-vertical: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "leave", "Leave")]

    def __init__(self, title: str, choices: Sequence[tuple[str, str]], now: str = "") -> None:
        super().__init__()
        self._title, self._choices, self._now = title, choices, now

    def compose(self) -> ComposeResult:
        with Vertical(id="card"):
            yield DocView(id="said")
            yield PickList(id="choices")
            yield DocView(id="keys")

    def on_mount(self) -> None:
        for view in self.query(DocView):
            view.can_focus = False
        self.query_one("#said", DocView).show([[(shown_line(self._title, 200), "strong")]])
        self.query_one("#keys", DocView).show([[], [("enter", "key"), (" Take it", "text"), ("     esc", "key"),
                                                    (" Leave it", "text")]])  # fmt: skip
        size = max((len(value) for value, _ in self._choices), default=0) + 2
        choices = self.query_one(PickList)
        choices.styles.height = min(len(self._choices), 14)
        choices.show(
            [
                Row(value, ((f" {value:<{size}}", "strong"), (shown_line(said), "faint")))
                for value, said in self._choices
            ]
        )
        choices.point(self._now)
        choices.focus()

    @on(PickList.Chosen)
    def _chosen(self, message: PickList.Chosen) -> None:
        message.stop()
        self.dismiss(message.key)

    @on(PickList.Pointed)
    def _pointed(self, message: PickList.Pointed) -> None:
        message.stop()

    def action_leave(self) -> None:
        self.dismiss(None)
