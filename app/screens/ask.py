"""Small questions: yes or no, once, before something that can't be undone; and where to go."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from app.typeahead import TypeAhead
from store.domain.ids import SubagentId
from store.domain.secrets import shown_line
from widgets.docview import DocView
from widgets.ink import Line, Span, wrap

CELLS = 54
SHOWN = 6
"""Places that a jump shows at once."""


@dataclass(frozen=True)
class Place:
    """A subagent that one can go to."""

    who: SubagentId
    name: str
    state: Span


def matching(typed: str, places: Sequence[Place], here: int) -> list[Place]:
    """The places that a text can mean, the likeliest first: a lane of the generation that is shown, a label of any, a
    strategy by its beginning, then by any part of its name."""

    def rank(place: Place) -> int:
        lane, name = str(place.who.lane), place.name.lower()
        mine = place.who.generation == here
        tests = (
            mine and lane == typed, place.who.label == typed, mine and lane.startswith(typed),
            mine and name.startswith(typed), place.who.label.startswith(typed) and typed != "", mine and typed in name,
        )  # fmt: skip
        return next((number for number, test in enumerate(tests) if test), len(tests))

    ranked = [(rank(place), place.who.generation, place.who.lane, place) for place in places]
    return [place for number, _, _, place in sorted(ranked, key=lambda entry: entry[:3]) if number < 6]


class Ask(ModalScreen[bool]):
    """`y` or enter is yes; escape, `n` and anything else that leaves is no. Nothing happens by itself, nor by what was
    typed before there was a question."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y,enter", "answer(True)", "Yes"),
        Binding("n,escape,q", "answer(False)", "No"),
    ]

    def __init__(self, question: str, said: str | Sequence[str], verb: str) -> None:
        super().__init__()
        self._lines: list[Line] = [
            *([(row, "strong")] for row in wrap(shown_line(question), CELLS)),
            [],
            *(
                line
                for text in ([said] if isinstance(said, str) else said)
                for line in (*([(row, "text")] for row in wrap(shown_line(text), CELLS)), [])
            ),
            [("y", "key"), (f" {verb}", "text"), ("     n", "key"), (" Leave it", "text")],
        ]

    def compose(self) -> ComposeResult:
        with Vertical(id="card"):
            yield DocView(id="question")

    def on_mount(self) -> None:
        if isinstance(self.app, TypeAhead):
            self.app.forget_typed()
        view = self.query_one(DocView)
        view.styles.height = len(self._lines)
        view.show(self._lines)

    def action_answer(self, yes: bool) -> None:
        self.dismiss(yes)


class Jump(ModalScreen[SubagentId]):
    """Takes a label or the beginning of a strategy's name, then enter; a lane's number is enough where it means one."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Leave"),
        Binding("enter", "take", "Take"),
        Binding("backspace", "back", "Back"),
    ]

    def __init__(self, places: Sequence[Place], here: int) -> None:
        super().__init__()
        self._places, self._here, self._typed = places, here, ""

    def compose(self) -> ComposeResult:
        with Vertical(id="card"):
            yield DocView(id="question")

    def on_mount(self) -> None:
        self._draw()

    def on_key(self, event: events.Key) -> None:
        if event.character is None or not event.character.isprintable():
            return
        event.stop()
        typed = self._typed + event.character.lower()
        found = matching(typed, self._places, self._here)
        if not found:
            self.app.bell()
            return
        self._typed = typed
        if len(found) == 1 and typed == str(found[0].who.lane):
            self.dismiss(found[0].who)
        self._draw()

    def action_take(self) -> None:
        found = matching(self._typed, self._places, self._here)
        self.dismiss(found[0].who if found else None)

    def action_back(self) -> None:
        self._typed = self._typed[:-1]
        self._draw()

    def action_leave(self) -> None:
        self.dismiss(None)

    def _draw(self) -> None:
        found = matching(self._typed, self._places, self._here)
        lines: list[Line] = [[("Go to ", "strong"), (self._typed + "▌", "accent")], []]
        for index, place in enumerate(found[:SHOWN]):
            pointer = "› " if not index else "  "
            line: Line = [(pointer, "accent"), (f"{place.who.label:<7}", "strong"), (place.name, "text")]
            lines.append([*line, ("  ", "text"), place.state])
        lines += [[] for _ in range(SHOWN - len(found[:SHOWN]))]
        lines.append([(f"and {len(found) - SHOWN} more" if len(found) > SHOWN else "", "faint")])
        lines.append([("enter", "key"), (" Go there", "text"), ("     esc", "key"), (" Stay", "text")])
        view = self.query_one(DocView)
        view.styles.height = len(lines)
        view.show(lines, "jump")
