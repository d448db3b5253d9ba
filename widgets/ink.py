"""Text with named inks: what every drawn line is made of.

A line is a list of (text, ink) spans. It knows no colour: the theme's style sheet gives each ink its style, so a line
that was laid out once is drawn again under another theme. Nothing here is parsed as markup.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

from rich.cells import cell_len, chop_cells, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from store.domain.secrets import shown

Span = tuple[str, str]
Line = list[Span]

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
        "»": ">",
    }
)  # fmt: skip
ASCII.update(dict.fromkeys(range(0x2801, 0x2900), "."))
"""One ASCII character for each glyph that we draw ourselves, for terminals and screen readers that want no others."""


def clean(text: str) -> str:
    """Foreign text made safe to draw: no controls, no secrets, tabs as four blanks, lines stay lines."""
    return shown(text).replace("\t", "    ")


def width(line: Line) -> int:
    """Cells that a line takes."""
    return sum(cell_len(text) for text, _ in line)


def cut(line: Line, cells: int) -> Line:
    """The line in at most `cells` cells; what doesn't fit ends in an ellipsis."""
    if width(line) <= cells:
        return line
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


def spread(left: Line, right: Line, cells: int, fill: Span = (" ", "text")) -> Line:
    """A line of exactly `cells`: `left` at the left, `right` at the right, cut on the left's side when short."""
    room = width(right)
    if room > cells:
        right, room = cut(right, cells), min(room, cells)
    left = cut(left, max(cells - room, 0))
    gap = max(cells - width(left) - width(right), 0)
    return [*left, (fill[0] * gap, fill[1]), *right]


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
    for start, stop in _rows(text, cells, indent):
        row: Line = [(" " * indent, "text")] if rows and indent else []
        at = 0
        for piece, ink in line:
            inside = piece[max(start - at, 0) : max(stop - at, 0)]
            if inside:
                row.append((inside, ink))
            at += len(piece)
        rows.append(row)
    return rows


_LEAD = re.compile(r" *(?:[-*+] |\d+[.)] )? *")


def _rows(text: str, cells: int, indent: int) -> Iterator[tuple[int, int]]:
    """Where the rows of one line begin and end; all but the first have `indent` cells less."""
    room, start = max(cells, 2), 0
    while len(text) - start > room or cell_len(text[start:]) > room:
        # Only the beginning is measured: a line may be megabytes long.
        head = (chop_cells(text[start : start + room + 1], room) or [""])[0] or text[start]
        blank = head.rfind(" ")
        if blank > room // 2 and not head[:blank].isspace():
            yield start, start + blank
            start += blank + 1
        else:
            yield start, start + len(head)
            start += len(head)
        room = max(cells - indent, 2)
    yield start, len(text)


class Inked(Widget):
    """A widget that draws lines of spans. To be named first among bases: Textual inherits from the first alone."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"ink--{ink}" for ink in INKS}

    ALLOW_SELECT: ClassVar[bool] = False
    _styles: dict[str, Style] | None = None

    def ink(self, name: str) -> Style:
        """The theme's style for an ink, to be laid over another."""
        return self.get_component_rich_style(f"ink--{name}", partial=True)

    def style_of(self, name: str) -> Style:
        """An ink on the widget's own background; "" is that alone. Kept until the theme or the widget's style changes:
        Textual finds it out anew each time, which costs more than all the rest of a line."""
        if self._styles is None:
            self._styles = {"": self.rich_style}
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
        base = self.style_of("")
        ascii_only = self.ascii
        segments: list[Segment] = []
        for text, ink in line:
            if not text:
                continue
            if not (text.isascii() and text.isprintable()):
                text = clean(text).replace("\n", "↵")
                if ascii_only:
                    text = text.translate(ASCII)
            style = self.style_of(ink)
            segments.append(Segment(text, style + under if under else style))
        strip = Strip(segments)
        return strip.adjust_cell_length(cells, base + under if under else base)

    def strips(self, lines: Iterable[Sequence[Span]], cells: int, height: int) -> list[Strip]:
        """Exactly `height` strips."""
        result = [self.strip(line, cells) for line, _ in zip(lines, range(height), strict=False)]
        if len(result) < height:
            result += [Strip.blank(cells, self.style_of(""))] * (height - len(result))
        return result


class Painted(Inked):
    """An inked widget of a fixed size that draws itself as a whole when it is dirty, and is then only cropped.

    Overrides `render_lines`, which skips Textual's cache of styled lines: measured 2 to 4 times cheaper for a pane.
    """

    _cached: tuple[tuple[int, int], list[Strip]] | None = None

    def lines(self, cells: int, height: int) -> Iterable[Sequence[Span]]:
        """What is shown in the given room. To be overridden."""
        raise NotImplementedError

    def repaint(self) -> None:
        """Something changed: draw anew at the next refresh."""
        self._cached = None
        self.refresh()

    def notify_style_update(self) -> None:
        self._cached = None
        super().notify_style_update()

    def render_lines(self, crop: Region) -> list[Strip]:
        size = (self.size.width, self.size.height)
        if self._cached is None or self._cached[0] != size:
            self._cached = size, self.strips(self.lines(*size), *size)
        strips = self._cached[1][crop.y : crop.bottom]
        if crop.column_span != (0, size[0]):
            strips = [strip.crop(*crop.column_span) for strip in strips]
        for line_filter in self.get_line_filters():
            strips = [strip.apply_filter(line_filter, self.background_colors[1]) for strip in strips]
        return strips
