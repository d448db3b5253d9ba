"""The timeline of a playback: where it is, what lies on it, and a handle to scrub with.

    ┌ marks:   1        ✗           ◆2           ✗  ⚠      ✔ ✔   ◆3
    │ course:  ▁▂▅▃▂▁▃▁▁▂▁▂▃▅▆▃┃▂▁▁▂▃▁▁▂▁▁▁▂▂▁▂▁▁▁
    └ numbers: ▶ 4×  1m12s of 3m20s  event 214 of 580  2.1 turn 3 tool started: run python check.py  ✗4 ⚠1 ✔2

On a short terminal the marks stand on the course.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from widgets import words
from widgets.ink import Line, Painted, Span, cut, spread, width

_BARS = "▁▂▃▄▅▆▇█"
_MARKS: dict[str, Span] = {
    "solved": ("✔", "good"),
    "stuck": ("▲", "bad"),
    "alert": ("⚠", "warn"),
    "error": ("✗", "bad"),
    "gate": ("◆", "banner"),
    "end": ("■", "strong"),
    "note": ("·", "faint"),
}
"""The more telling first: where several fall into one cell, that one is shown."""


@dataclass(frozen=True)
class Spot:
    """A mark: where it lies, from 0 to 1; its kind (an alert that is none for all: its level), and what it says."""

    share: float
    kind: str
    text: str


@dataclass(frozen=True)
class Reading:
    """What a timeline shows at one moment: plain values. Times in seconds; `squeezed` is how much of the silences is
    left out, `left` what is still to be played at this speed. `shares` is where each event lies."""

    share: float
    playing: bool
    speed: float
    passed: float
    took: float
    left: float
    count: int
    what: str
    squeezed: float
    shares: Sequence[float]
    spots: Sequence[Spot]
    timed: bool = True
    """It is known when things happened."""


def cell(share: float, cells: int) -> int:
    """The cell that a place on the timeline falls into."""
    return min(max(int(share * cells), 0), max(cells - 1, 0))


def course(shares: Sequence[float], cells: int) -> str:
    """How much happens along the way: a bar for each of at least one cell."""
    edges = [bisect_left(shares, index / cells) for index in range(cells)] + [len(shares)]
    counts = [after - before for before, after in pairwise(edges)]
    # With the neighbours' share, for an event more or less tells nothing; and a square root, so that what happens all
    # at once doesn't hide the rest.
    wide = [counts[0], *counts, counts[-1]]
    level = [(a + 2 * b + c) ** 0.5 for a, b, c in zip(wide, wide[1:], wide[2:], strict=False)]
    most = max(level) or 1.0
    return "".join(_BARS[round((len(_BARS) - 1) * each / most)] for each in level)


def marked(spots: Sequence[Spot], cells: int) -> dict[int, Span]:
    """What stands in which cell: generations by their number, all else by its glyph."""
    order = list(_MARKS)
    found: dict[int, Span] = {}
    telling: dict[int, int] = {}
    generation = 0
    for spot in spots:
        at = cell(spot.share, cells)
        if spot.kind == "generation":
            generation += 1
            for index, digit in enumerate(str(generation)):
                if at + index < cells and at + index not in telling:
                    found[at + index] = digit, "strong"
        elif spot.kind in _MARKS and telling.get(at, len(order)) > order.index(spot.kind):
            telling[at] = order.index(spot.kind)
            found[at] = _MARKS[spot.kind]
    return found


def draw(reading: Reading, cells: int, height: int, *, hover: int | None = None, focused: bool = False) -> list[Line]:
    """The timeline in so many rows: one has the numbers alone, three have all."""
    numbers = spread(*_numbers(reading, cells, hover), cells)
    if height <= 1 or cells < 20:
        return [numbers]
    room = cells - 2
    head = cell(reading.share, room)
    bars = course(reading.shares, room)
    marks = marked(reading.spots, room)
    row: Line = [(" ", "text")]
    for at, bar in enumerate(bars):
        if at == head:
            row.append(("┃", "banner" if focused else "accent"))
        elif height == 2 and at in marks:
            row.append(marks[at])
        else:
            row.append((bar, "accent" if at < head else "frame"))
    if height == 2:
        return [row, numbers]
    above: Line = [(" ", "text"), *(marks.get(at, (" ", "text")) for at in range(room))]
    return [_joined(above), _joined(row), numbers]


def _joined(line: Line) -> Line:
    """Neighbours of one ink as one span."""
    joined: Line = []
    for text, ink in line:
        if joined and joined[-1][1] == ink:
            joined[-1] = joined[-1][0] + text, ink
        else:
            joined.append((text, ink))
    return joined


def _numbers(reading: Reading, cells: int, hover: int | None) -> tuple[Line, Line]:
    state: Span = ("▶", "accent") if reading.playing else ("‖", "warn")
    left: Line = [(" ", "text"), state, (f" {reading.speed:g}×", "strong")]
    passed, took = words.duration(reading.passed), words.duration(reading.took)
    events = len(reading.shares)
    if cells >= 100:
        left += (
            [(f"   {passed}", "text"), (f" of {took}", "faint")] if reading.timed else [("   no times kept", "faint")]
        )
        left += [(f"   event {reading.count:,}", "text"), (f" of {events:,}", "faint")]
    else:
        left += [(f"  {passed}/{took}", "text")] if reading.timed else []
        left += [(f"  {reading.count:,}/{events:,}", "faint")]
    counts = {kind: sum(spot.kind == kind for spot in reading.spots) for kind in ("error", "stuck", "alert", "solved")}
    right: Line = [(f" {_MARKS[kind][0]}{count}", _MARKS[kind][1]) for kind, count in counts.items() if count]
    if cells >= 140:
        right += [(f"   {words.duration(reading.left)} left", "faint")]
        right += (
            [(f", {words.duration(reading.squeezed)} of silence squeezed", "faint")] if reading.squeezed >= 1 else []
        )
    right.append((" ", "text"))
    pointed = _pointed(reading, cells, hover)
    what: Line = pointed or [(reading.what, "text")]
    return [
        *left,
        ("   " if cells >= 100 else "  ", "text"),
        *cut(what, max(cells - width(left) - width(right) - 3, 0)),
    ], right


def _pointed(reading: Reading, cells: int, hover: int | None) -> Line:
    """The mark under the pointer, or the nearest within a cell of it."""
    if hover is None:
        return []
    room = max(cells - 2, 1)
    near = [spot for spot in reading.spots if abs(cell(spot.share, room) - hover) <= 1 and spot.kind in _MARKS]
    near.sort(key=lambda spot: (abs(cell(spot.share, room) - hover), list(_MARKS).index(spot.kind)))
    if not near:
        return []
    glyph, ink = _MARKS[near[0].kind]
    more = f" (+{len(near) - 1})" if len(near) > 1 else ""
    return [(f"{glyph} ", ink), (near[0].text + more, "text")]


class Timeline(Painted, can_focus=True):
    """The widget. Press or drag to scrub; focused, arrows move it cell by cell."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "move(-1)", "Back", show=False),
        Binding("right,l", "move(1)", "Forth", show=False),
        Binding("home", "go(0)", "Beginning", show=False),
        Binding("end", "go(1)", "End", show=False),
    ]

    class Scrubbed(Message):
        """The operator wants another place: `share` from 0 to 1."""

        def __init__(self, share: float) -> None:
            super().__init__()
            self.share = share

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id)
        self.reading: Reading | None = None
        self._hover: int | None = None
        self._dragging = False
        self._seen: tuple[object, ...] = ()

    def show(self, reading: Reading | None) -> None:
        """Take the moment's values; draws only what a reader would see change."""
        self.set_class(reading is not None, "on")
        self.reading = reading
        if reading is None:
            return
        room = max(self.size.width - 2, 1)
        seen = (
            cell(reading.share, room), reading.playing, reading.speed, int(reading.passed), int(reading.left),
            reading.count, reading.what, id(reading.shares), id(reading.spots),
        )  # fmt: skip
        if seen != self._seen:
            self._seen = seen
            self.repaint()

    def lines(self, cells: int, height: int) -> Iterable[Line]:
        if self.reading is None:
            return []
        return draw(self.reading, cells, height, hover=self._hover, focused=self.has_focus)

    def on_focus(self) -> None:
        self.repaint()

    def on_blur(self) -> None:
        self.repaint()

    def action_move(self, by: int) -> None:
        if self.reading is not None:
            room = max(self.size.width - 2, 1)
            self.action_go((cell(self.reading.share, room) + by + 0.5) / room)

    def action_go(self, share: float) -> None:
        share = min(max(share, 0.0), 1.0)
        if self.reading is not None:
            # At once: the next key counts from here.
            self.reading = replace(self.reading, share=share)
            self.repaint()
        self.post_message(self.Scrubbed(share))

    def on_mouse_down(self, event: events.MouseDown) -> None:
        self._dragging = True
        self.capture_mouse()
        self._scrub(event.x)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self._dragging:
            self._scrub(event.x)
        self._point(event.x - 1)

    def on_mouse_up(self) -> None:
        self._dragging = False
        self.release_mouse()

    def on_leave(self) -> None:
        self._point(None)

    def _point(self, at: int | None) -> None:
        if at != self._hover:
            self._hover = at
            self.repaint()

    def _scrub(self, x: int) -> None:
        room = max(self.size.width - 2, 1)
        at = x - 1
        # A mark is gone to where it is pressed, not to the cell's beginning just before it.
        here = [spot.share for spot in self.reading.spots if cell(spot.share, room) == at] if self.reading else []
        self.action_go(here[0] if here else (at + 0.5) / room)
