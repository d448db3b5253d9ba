"""Two edits that disagree, side by side, until a person has chosen."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import ClassVar, Literal

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen

from store.domain.observations import Document, Observation
from store.domain.observations.conflicts import Conflict
from store.domain.secrets import shown, shown_line
from widgets import paint
from widgets.docview import DocView
from widgets.ink import Line, wrap_line

What = Literal["leave", "take", "edit"]


@dataclass(frozen=True)
class Settled:
    """What was chosen: what stands is left, the other one taken, or both are put into words by hand."""

    conflict: Conflict
    what: What


def standing(o: Observation, field: str) -> str:
    """What an observation has there, as the file writes it."""
    found = {"text": o.text, "excerpt": "\n".join(o.excerpt), "claim": o.claim, "priority": o.priority}
    return str(found.get(field, o.status))


class Settling(ModalScreen[Settled]):
    """One conflict at a time: what stands in the item at the left, the other side at the right."""

    CSS: ClassVar[str] = """
    Settling { align: center middle; background: $background 60%; }
    Settling #card { width: 150; max-width: 100%; }
    Settling #sides { height: 1fr; }
    Settling.stacked #card { padding: 0 1; }
    Settling.stacked #sides { layout: vertical; }
    Settling.stacked #there { border-top: solid $frame; }
    Settling DocView { background: $surface; width: 1fr; height: 1fr; padding: 0 1; }
    Settling #said, Settling #keys { height: 2; overflow: hidden; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("l", "settle('leave')", "Leave what stands"),
        Binding("t", "settle('take')", "Take the other"),
        Binding("e", "settle('edit')", "Edit"),
        Binding("n", "step(1)", "Next"),
        Binding("N", "step(-1)", "Previous"),
        Binding("escape,q", "leave", "Decide later"),
    ]

    def __init__(self, document: Document, found: Sequence[Conflict], first: int = 0) -> None:
        super().__init__()
        self._document, self._found, self._at = document, found, first

    def compose(self) -> ComposeResult:
        with Vertical(id="card"):
            yield DocView(id="said")
            with Horizontal(id="sides"):
                yield DocView(id="here")
                yield DocView(id="there")
            yield DocView(id="keys")

    def on_mount(self) -> None:
        for name in ("#said", "#keys"):
            self.query_one(name, DocView).can_focus = False
        self.on_resize()
        self.query_one("#here", DocView).focus()

    def on_resize(self) -> None:
        self.set_class(self.size.width < 100, "stacked")
        self._draw()

    def _draw(self) -> None:
        conflict = self._found[self._at]
        o = next((o for o in self._document.observations if o.id == conflict.id), None)
        many = f"  {self._at + 1} of {len(self._found)}" if len(self._found) > 1 else ""
        title: Line = [("◇ ", "warn"), (f"The {conflict.field} of {conflict.id}", "strong"), (many, "faint")]
        self.query_one("#said", DocView).show([title, []])
        mine = standing(o, conflict.field) if o is not None else ""
        here, there = _sides(conflict.field, mine, conflict.value)
        stacked = self.size.width < 100
        cells = min(self.size.width, 150) // (1 if stacked else 2) - 8
        rows = [2 + sum(len(wrap_line(line, cells)) for line in side) for side in (here, there)]
        self.query_one("#card").styles.height = min(
            2 * max(rows) + 7 if stacked else max(rows) + 9, self.size.height * 9 // 10
        )
        self.query_one("#here", DocView).show([[("What stands", "strong")], [], *here], (conflict, "here"))
        self.query_one("#there", DocView).show(
            [[("The other", "strong"), (f"  {shown_line(conflict.said)}", "faint")], [], *there], (conflict, "there")
        )
        keys: Line = [("l", "key"), (" Leave what stands   ", "text"), ("t", "key"), (" Take the other   ", "text")]
        if conflict.field in ("text", "excerpt"):
            keys += [("e", "key"), (" Edit   ", "text")]
        if many:
            keys += [("n", "key"), (" Next   ", "text")]
        self.query_one("#keys", DocView).show([[], [*keys, ("esc", "key"), (" Later", "text")]])

    def action_step(self, by: int) -> None:
        self._at = (self._at + by) % len(self._found)
        self._draw()

    def action_settle(self, what: What) -> None:
        conflict = self._found[self._at]
        if what != "edit" or conflict.field in ("text", "excerpt"):
            self.dismiss(Settled(conflict, what))

    def action_leave(self) -> None:
        self.dismiss(None)


def _sides(field: str, mine: str, other: str) -> tuple[list[Line], list[Line]]:
    """Both, with the words that the other one doesn't have in another ink; words of very long texts aren't compared."""
    if field == "excerpt":
        return paint.diff(shown(mine)), paint.diff(shown(other))
    words = [_WORDS.findall(shown(text)) for text in (mine, other)]
    if field != "text" or max(map(len, words)) > COMPARED:
        return paint.prose(shown(mine)), paint.prose(shown(other))
    matcher = SequenceMatcher(None, words[0], words[1])
    sides: tuple[list[Line], list[Line]] = ([[]], [[]])
    for what, *ends in matcher.get_opcodes():
        for side, ink, some in ((0, "removed", words[0][ends[0] : ends[1]]), (1, "added", words[1][ends[2] : ends[3]])):
            for word in some:
                if word == "\n":
                    sides[side].append([])
                else:
                    sides[side][-1].append((word, "text" if what == "equal" or word.isspace() else ink))
    return sides


_WORDS = re.compile(r"\n|[^\S\n]+|\w+|[^\w\s]")
COMPARED = 800
"""Words and spaces of a text, up to which two are compared word by word."""
