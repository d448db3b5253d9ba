"""Generations side by side: a row for each strategy, a column for each generation, and what became of it there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from store.domain.board import Generation, Lane
from store.domain.secrets import shown_line
from widgets import gauge, words
from widgets.flow import verdict
from widgets.ink import Inked, Line, cut, spread
from widgets.labels import Spots
from widgets.states import SUBAGENT, alert_span

NAME = 22
COLUMN = 26
"""Cells of a column at least; those that don't fit are scrolled to."""
HEAD = 2
"""Rows that say which generation a column is."""
CELL = 3
"""Rows of a cell: its state and numbers, what came of it, and a blank one."""


@dataclass(frozen=True)
class Row:
    """One strategy over the generations: its lane in each, where there is one."""

    name: str
    clean: bool
    lanes: Mapping[int, Lane]


def compare(generations: Mapping[int, Generation]) -> list[Row]:
    """Strategies in the order in which they stand in the latest generation that has them; one that several lanes of a
    generation share has as many rows."""
    found: dict[tuple[str, bool, int], dict[int, Lane]] = {}
    for number in sorted(generations, reverse=True):
        seen: dict[tuple[str, bool], int] = {}
        for lane in sorted(generations[number].lanes.values(), key=lambda lane: lane.id.lane):
            which = lane.plan.strategy.name, lane.plan.clean
            seen[which] = seen.get(which, 0) + 1
            found.setdefault((*which, seen[which]), {})[number] = lane
    return [Row(name, clean, lanes) for (name, clean, _), lanes in found.items()]


def head(generation: Generation, cells: int, *, latest: bool) -> list[Line]:
    """A column's head."""
    solved = f"{generation.solved(clean=False)}/{generation.count(clean=False)} solved"
    clean = generation.count(clean=True)
    control = f" · clean {generation.solved(clean=True)}/{clean}" if clean else ""
    name: Line = [("▸ " if latest else "", "accent"), (f"generation {generation.number}", "strong")]
    given = words.count(generation.injected, "observation") + " given"
    return [
        spread(name, [], cells),
        spread([(solved, "text"), (control, "faint"), (f" · {given}", "faint")], [], cells),
    ]


def cell(lane: Lane | None, now: float, cells: int) -> list[Line]:
    """What became of a strategy in one generation."""
    if lane is None:
        return [[("·", "faint")], []]
    mark = SUBAGENT[lane.state]
    first: Line = [mark.span, (f"  {gauge.turns(lane)} ", "text"), (words.money(lane.spend), "text")]
    first.append((f" {words.duration(lane.work.read(now))}", "faint"))
    if lane.checked is not None:
        second: Line = [(verdict(lane.checked), "faint")]
    elif lane.alert:
        second = [alert_span(lane.level, shown_line(lane.alert))]
    else:
        second = [(f"› {shown_line(lane.tool or lane.last)}" if lane.tool or lane.last else "", "tool")]
    return [cut(first, cells), cut(second, cells)]


class Matrix(Inked, ScrollView, can_focus=True):
    """The cursor is a row and a generation; it stays there while generations come."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "move(-1, 0)", "Generation before", show=False),
        Binding("right", "move(1, 0)", "Next generation", show=False),
        Binding("up,k", "move(0, -1)", "Up", show=False),
        Binding("down,j", "move(0, 1)", "Down", show=False),
        Binding("pageup", "move(0, -5)", "Page up", show=False),
        Binding("pagedown", "move(0, 5)", "Page down", show=False),
        Binding("home", "move(-1000000, 0)", "First generation", show=False),
        Binding("end", "move(1000000, 0)", "Last generation", show=False),
    ]

    class Chosen(Message):
        """Another cell has the cursor."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id)
        self._rows: Sequence[Row] = ()
        self._generations: Mapping[int, Generation] = {}
        self._now = 0.0
        self._row = 0
        self._column: int | None = None

    @property
    def lane(self) -> Lane | None:
        """The lane under the cursor."""
        if not self._rows or self._column is None:
            return None
        return self._rows[min(self._row, len(self._rows) - 1)].lanes.get(self._column)

    def show(self, generations: Mapping[int, Generation], now: float) -> None:
        """Take the moment's values."""
        self._generations, self._now = generations, now
        self._rows = compare(generations)
        if self._column not in generations:
            self._column = max(generations, default=None)
        size = Size(self.scrollable_content_region.width, HEAD + CELL * len(self._rows))
        if size != self.virtual_size:
            self.virtual_size = size
        self.refresh()

    def point(self, lane: Lane) -> None:
        """Put the cursor on a lane."""
        for index, row in enumerate(self._rows):
            if row.lanes.get(lane.id.generation) is lane:
                self._row, self._column = index, lane.id.generation
                self._bring()

    def _columns(self, cells: int) -> tuple[list[int], int]:
        """The generations in sight, and the width of each: those up to the latest, and the cursor's among them."""
        numbers = sorted(self._generations)
        if not numbers:
            return [], 0
        most = max((cells - NAME) // COLUMN, 1)
        last = len(numbers)
        if self._column in numbers:
            last = max(min(last, numbers.index(self._column) + most), most)
        shown = numbers[max(last - most, 0) : last]
        return shown, (cells - NAME) // len(shown)

    def render_line(self, y: int) -> Strip:
        cells = self.scrollable_content_region.width
        shown, size = self._columns(cells)
        latest = max(self._generations, default=0)
        # The heads stay where they are; the rows are scrolled under them.
        if y < HEAD:
            line: Line = [(" " * NAME, "text")]
            for number in shown:
                line += spread(head(self._generations[number], size - 1, latest=number == latest)[y], [], size)
            return self.strip(line, cells)
        index, part = divmod(y - HEAD + self.scroll_offset.y, CELL)
        if index >= len(self._rows) or part == CELL - 1:
            return Strip.blank(cells, self.style_of(""))
        row = self._rows[index]
        name: Line = [(" " + shown_line(row.name), "strong")] if not part else [(" clean" if row.clean else "", "warn")]
        line = spread(cut(name, NAME - 1), [], NAME)
        for number in shown:
            here = index == self._row and number == self._column
            pointer = ("▌", "frame-selected") if here else (" ", "text")
            line += [pointer, *spread(cell(row.lanes.get(number), self._now, size - 2)[part], [], size - 1)]
        return self.strip(line, cells)

    def on_resize(self) -> None:
        self.show(self._generations, self._now)

    def click_spots(self) -> Spots:
        """For the jump mode: the cells in sight."""
        shown, size = self._columns(self.scrollable_content_region.width)
        first, last = self.scroll_offset.y // CELL, (self.scroll_offset.y + self.size.height - HEAD) // CELL
        rows = range(first, min(last + 1, len(self._rows)))
        tops = [HEAD + row * CELL - self.scroll_offset.y for row in rows]
        return [(NAME + column * size, y) for y in tops if y >= HEAD for column in range(len(shown))]

    def on_click(self, event: events.Click) -> None:
        shown, size = self._columns(self.scrollable_content_region.width)
        index = (event.y - HEAD + self.scroll_offset.y) // CELL
        if event.y >= HEAD and event.x >= NAME and 0 <= index < len(self._rows) and size:
            self._row, self._column = index, shown[min((event.x - NAME) // size, len(shown) - 1)]
            self._chosen()

    def action_move(self, columns: int, rows: int) -> None:
        numbers = sorted(self._generations)
        if not numbers or self._column is None:
            return
        self._column = numbers[min(max(numbers.index(self._column) + columns, 0), len(numbers) - 1)]
        self._row = min(max(self._row + rows, 0), max(len(self._rows) - 1, 0))
        self._bring()
        self._chosen()

    def _bring(self) -> None:
        region = Region(0, max(self._row * CELL, 0), 1, CELL + HEAD)
        self.scroll_to_region(region, animate=False, force=True)
        self.refresh()

    def _chosen(self) -> None:
        self.refresh()
        self.post_message(self.Chosen())
