"""Text with named inks: what every drawn line is made of.

A line is a list of (text, ink) spans. It knows no colour: the theme's style sheet gives each ink its style, so a line
that was laid out once is drawn again under another theme. Nothing here is parsed as markup.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import ClassVar, cast

from rich.cells import cell_len, chop_cells, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.app import App
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from store.domain.secrets import shown
from widgets.drawn import Drawn

Span = tuple[str, str]
Line = list[Span]
Row = tuple[Span, ...]
"""A line that stays as it is: what is found out of it can be kept."""

INKS = (
    "text",
    "faint",
    "strong",
    "reasoning",
    "tool",
    "good",
    "bad",
    "warn",
    "accent",
    "frame",
    "frame-selected",
    "banner",
    "badge",
    "tab",
    "tab-active",
    "key",
    "match",
    "cursor",
    "cursor-away",
    "added",
    "removed",
    "code-keyword",
    "code-string",
    "code-comment",
    "code-number",
    "code-name",
    "code-plain",
)
"""Every ink. The style sheet has a rule `.ink--NAME` for each."""

ASCII = str.maketrans(
    {
        "─": "-", "━": "=", "│": "|", "┃": "#", "┌": "+", "┐": "+", "└": "+", "┘": "+", "┏": "#", "┓": "#", "┗": "#",
        "┛": "#", "├": "+", "┤": "+", "╌": "-", "▸": "+", "▾": "-", "▶": ">", "✔": "+", "✗": "x", "■": "#", "◆": "*",
        "◌": "o", "‖": "=", "◐": "?", "○": ".", "◇": "!", "▰": "#", "▱": ".", "●": "*", "▲": "^", "…": "~", "·": "|",
        "›": ">", "∙": "~", "⚠": "!", "—": "-", "–": "-", "×": "x", "≥": ">", "▁": "_", "▂": "_", "▃": "-", "▄": "-",
        "▅": "=", "▆": "=", "▇": "#", "█": "#", "░": ".", "⋮": ":", "→": ">", "←": "<", "↑": "^", "↓": "v", "−": "-",
        "’": "'", "↵": "/", "◦": "o", "╱": "/", "╲": "\\", "┼": "+", "┴": "+", "┬": "+", "▏": "|", "▌": "#", "▐": "#",
        "»": ">", "“": '"', "”": '"', "‘": "'", "•": "*",
    }
)  # fmt: skip
ASCII.update(dict.fromkeys(range(0x2801, 0x2900), "."))
ASCII.update(dict.fromkeys((*range(0x2400, 0x2422),), "?") | {ord("⟨"): "<", ord("⟩"): ">"})
"""One ASCII character for each glyph that we draw ourselves, for terminals and screen readers that want no others."""


OFTEN = 200
"""Characters up to which a span is worth keeping as it is drawn."""


def clean(text: str) -> str:
    """Foreign text made safe to draw: no controls, no secrets, tabs as four blanks, lines stay lines."""
    return shown(text).replace("\t", "    ")


@lru_cache(8192)
def _drawn_often(text: str) -> str:
    return clean(text).replace("\n", "↵")


def _drawable(text: str) -> str:
    """A span as it may go to the terminal. Frames and gutters come again and again."""
    return _drawn_often(text) if len(text) < OFTEN else clean(text).replace("\n", "↵")


def width(line: Iterable[tuple[str, object]]) -> int:
    """Cells that a line takes."""
    cells = 0
    for text, _ in line:
        # Nearly all are plain, and need no look at each character.
        cells += len(text) if text.isascii() and text.isprintable() else cell_len(text)
    return cells


def cut(line: Sequence[Span], cells: int) -> Line:
    """The line in at most `cells` cells; what doesn't fit ends in an ellipsis."""
    if width(line) <= cells:
        return list(line)
    result: Line = []
    left = cells - 1
    for text, ink in line:
        size = cell_len(text)
        if size > left:
            result.append((set_cell_size(text, max(left, 0)).rstrip() + "…", ink))
            break
        result.append((text, ink))
        left -= size
    return result if cells > 0 else []


def spread(left: Sequence[Span], right: Sequence[Span], cells: int, fill: Span = (" ", "text")) -> Line:
    """A line of exactly `cells`: `left` at the left, `right` at the right, cut on the left's side when short."""
    room, used = width(right) if right else 0, width(left)
    if room > cells:
        right = cut(right, cells)
        room = width(right)
    if used > cells - room:
        left = cut(left, max(cells - room, 0))
        used = width(left)
    return [*left, (fill[0] * max(cells - used - room, 0), fill[1]), *right]


def over(line: Line, marks: Sequence[tuple[int, int]], ink: str) -> Line:
    """The line with another ink from one character to another, for each of `marks`, which are in order."""
    result: Line = []
    at, left = 0, list(marks)
    for text, own in line:
        end, start = at + len(text), at
        while left and left[0][0] < end:
            first, last = max(left[0][0], start), min(left[0][1], end)
            result += [(text[start - at : first - at], own), (text[first - at : last - at], ink)]
            start = last
            if left[0][1] > end:
                break
            left.pop(0)
        result.append((text[start - at :], own))
        at = end
    return [span for span in result if span[0]]


def wrap(text: str, cells: int) -> Iterator[str]:
    """Lines of at most `cells` cells, broken at blanks where possible. Indentation stays."""
    for line in text.split("\n"):
        for start, stop in _rows(line, cells, 0):
            yield line[start:stop]


def wrap_line(line: Line, cells: int) -> list[Line]:
    """A line folded into rows of at most `cells` cells, spans kept. What follows the first row is indented like it: a
    list's items and code stay readable."""
    if width(line) <= cells:
        return [line]
    text = "".join(text for text, _ in line)
    lead = _LEAD.match(text)
    indent = min(lead.end() if lead else 0, cells // 3)
    rows: list[Line] = []
    # A line may have megabytes and be painted in as many pieces: each is looked at once for each row that has some of
    # it, and no more.
    first, began = 0, 0
    for start, stop in _rows(text, cells, indent):
        while first < len(line) and began + len(line[first][0]) <= start:
            began += len(line[first][0])
            first += 1
        row: Line = [(" " * indent, "text")] if rows and indent else []
        number, at = first, began
        while number < len(line) and at < stop:
            piece, ink = line[number]
            inside = piece[max(start - at, 0) : stop - at]
            if inside:
                row.append((inside, ink))
            at += len(piece)
            number += 1
        rows.append(row)
    return rows


_LEAD = re.compile(r" *(?:[-*+] |\d+[.)] )? *")


def _rows(text: str, cells: int, indent: int) -> Iterator[tuple[int, int]]:
    """Where the rows of one line begin and end; all but the first have `indent` cells less."""
    room, start = max(cells, 2), 0
    while len(text) - start > room or width([(text[start:], "")]) > room:
        # Only the beginning is measured: a line may be megabytes long.
        head = _head(text[start : start + room + 1], room) or text[start]
        blank = head.rfind(" ")
        if blank > room // 4 and not head[:blank].isspace():
            yield start, start + blank
            start += blank + 1
        else:
            yield start, start + len(head)
            start += len(head)
        room = max(cells - indent, 2)
    yield start, len(text)


def _head(text: str, cells: int) -> str:
    """As much of a text as stands in so many cells."""
    if text.isascii() and text.isprintable():
        return text[:cells]
    return (chop_cells(text, cells) or [""])[0]


class InkApp(App[None]):
    """An app with inked widgets: it finds out how each ink looks, once for all of them.

    Were the inks each widget's own, Textual would apply the style sheet anew for every ink of every widget whenever a
    class changes, the focus moves or a widget is mounted: that was half of what opening a screen took.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"ink--{ink}" for ink in INKS}

    def __init__(self) -> None:
        super().__init__()
        self._inks: dict[str, Style] = {}

    def ink(self, name: str) -> Style:
        """The theme's style for an ink, to be laid over another."""
        if name not in self._inks:
            self._inks[name] = self.get_component_styles(f"ink--{name}").partial_rich_style
        return self._inks[name]

    def notify_style_update(self) -> None:
        self._inks = {}
        super().notify_style_update()


class Inked(Widget):
    """A widget that draws lines of spans, in an `InkApp`. To be named first among bases: Textual inherits from the
    first alone."""

    ALLOW_SELECT: ClassVar[bool] = False
    _styles: dict[str, Style] | None = None
    _flats: dict[str, bool]

    def ink(self, name: str) -> Style:
        """The theme's style for an ink, to be laid over another."""
        return cast("InkApp", self.app).ink(name)

    def style_of(self, name: str) -> Style:
        """An ink on the widget's own background; "" is that alone. Kept until the theme or the widget's style changes:
        Textual finds it out anew each time, which costs more than all the rest of a line."""
        if self._styles is None:
            self._styles, self._flats = {"": self.rich_style}, {}
        if name not in self._styles:
            self._styles[name] = self._styles[""] + self.ink(name)
        return self._styles[name]

    def notify_style_update(self) -> None:
        self._styles = None
        super().notify_style_update()

    @property
    def ascii(self) -> bool:
        """Whether the app draws with ASCII alone."""
        return bool(getattr(self.app, "ascii", False))

    def strip(self, line: Sequence[Span], cells: int, under: Style | None = None) -> Strip:
        """The line as exactly `cells` cells on the widget's background; `under` is laid over every span's style."""
        ascii_only = self.ascii
        runs: list[tuple[str, str]] = []
        for text, ink in line:
            if not text:
                continue
            if not (text.isascii() and text.isprintable()):
                text = _drawable(text)
                if ascii_only:
                    text = text.translate(ASCII)
            if runs and (ink == runs[-1][1] or (text.isspace() and self._flat(runs[-1][1]) and self._flat(ink))):
                # One style for as long as it goes: a terminal is told of each, and a blank shows none.
                runs[-1] = runs[-1][0] + text, runs[-1][1]
            else:
                runs.append((text, ink))
        used = width(runs)
        if used < cells:
            if runs and self._flat(runs[-1][1]):
                runs[-1] = runs[-1][0] + " " * (cells - used), runs[-1][1]
            else:
                runs.append((" " * (cells - used), ""))
        style_of = self.style_of
        segments = [Segment(text, style_of(ink) + under if under else style_of(ink)) for text, ink in runs]
        strip = Drawn(segments, max(used, cells))
        return strip.crop(0, cells) if used > cells else strip

    def _flat(self, ink: str) -> bool:
        """Whether a blank in this ink looks like any other on the widget's background."""
        found = self._flats.get(ink) if self._styles is not None else None
        if found is None:
            style = self.style_of(ink)
            lined = style.underline or style.strike or style.reverse or style.overline or style.underline2
            found = self._flats[ink] = style.bgcolor == self.style_of("").bgcolor and not lined
        return found


class Painted(Inked):
    """An inked widget of a fixed size, without border or padding. It draws itself as a whole when it is dirty, and is
    then only cropped.

    Overrides `render_lines`, which skips Textual's cache of styled lines. Rows that come again, at whatever height, are
    the same strips as before: what Textual found out of them stays known, and only rows that are others are painted.
    """

    _cached: tuple[Size, list[Strip]] | None = None
    _rows: dict[tuple[Span, ...], Strip] | None = None
    """Rows that are drawn, by what they say; None when the style is another, so that none is of use."""
    _rows_for: tuple[object, ...] = ()
    _let_through: dict[str, Style]

    def style_of(self, name: str) -> Style:
        """An ink as the app's filters let it through: they look at a style alone, so once is enough for all rows."""
        if self._styles is None:
            self._let_through = {}
        found = self._let_through.get(name)
        if found is None:
            segments = [Segment(" ", super().style_of(name))]
            for line_filter in self.get_line_filters():
                segments = line_filter.apply(segments, self.background_colors[1])
            found = self._let_through[name] = segments[0].style or Style.null()
        return found

    def lines(self, cells: int, height: int) -> Iterable[Sequence[Span]]:
        """What is shown in the given room. To be overridden."""
        raise NotImplementedError

    def repaint(self) -> None:
        """Something changed: draw it anew, and let only those rows be painted that are others than before."""
        before, size = self._cached, self.outer_size
        if before is None or before[0] != size:
            self._cached = None
            self.refresh()
            return
        strips = self._drawn(*size)
        self._cached = size, strips
        others = [y for y, (old, new) in enumerate(zip(before[1], strips, strict=True)) if old is not new]
        if others:
            self._mark(Region(0, others[0], size.width, others[-1] - others[0] + 1))

    def _mark(self, region: Region) -> None:
        """Let a part of it be painted with the next frame. As `refresh`, without the three messages of each and what is
        kept for widgets that Textual draws: a fifth of what a wall of panes costs."""
        screen = self.screen
        if screen.is_current and self.display:
            self._repaint_regions.add(region)
            screen._dirty_widgets.add(self)
            screen.check_idle()
        else:
            self.refresh(region)

    def notify_style_update(self) -> None:
        self._cached = self._rows = None
        super().notify_style_update()

    def _drawn(self, cells: int, height: int) -> list[Strip]:
        """All rows, drawn; those that were there before are taken from there."""
        filters = self.get_line_filters()
        drawn_for = (cells, self.ascii, *filters)
        if self._rows is None or self._rows_for != drawn_for:
            self._rows, self._styles = {}, None
        known = self._rows
        rows: dict[tuple[Span, ...], Strip] = {}
        strips: list[Strip] = []
        for line, _ in zip(self.lines(cells, height), range(height), strict=False):
            key = tuple(line)
            strip = rows.get(key) or known.get(key)
            if strip is None:
                strip = self.strip(line, cells)
            rows[key] = strip
            strips.append(strip)
        if len(strips) < height:
            blank = known.get(()) or Strip.blank(cells, self.style_of(""))
            rows[()] = blank
            strips += [blank] * (height - len(strips))
        self._rows, self._rows_for = rows, drawn_for
        return strips

    def render_lines(self, crop: Region) -> list[Strip]:
        size = self.outer_size
        if self._cached is None or self._cached[0] != size:
            self._cached = size, self._drawn(*size)
        strips = self._cached[1][crop.y : crop.bottom]
        if crop.width != size.width:
            strips = [strip.crop(*crop.column_span) for strip in strips]
        return strips
