"""Text with named inks: what every drawn line is made of.

A line is a list of (text, ink) spans. It knows no colour: the theme's style sheet gives each ink its style, so a line
that was laid out once is drawn again under another theme. Nothing here is parsed as markup.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

from rich.cells import cell_len, chop_cells, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from store.domain.safe_text import safe

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
    }
)  # fmt: skip
"""One ASCII character for each glyph that we draw ourselves, for terminals and screen readers that want no others."""


def clean(text: str) -> str:
    """Foreign text made safe to draw: no controls, tabs as four blanks, lines stay lines."""
    return safe(text).replace("\t", "    ")


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
    cells = max(cells, 2)
    for line in text.split("\n"):
        while len(line) > cells or cell_len(line) > cells:
            head = _head(line, cells)
            blank = head.rfind(" ")
            if blank > cells // 2 and not head[:blank].isspace():
                yield head[:blank]
                line = line[blank + 1 :]
            else:
                yield head
                line = line[len(head) :]
        yield line


def _head(text: str, cells: int) -> str:
    """As much of the text's beginning as fits, at least one character."""
    # Only the beginning is measured: a line may be megabytes long.
    return (chop_cells(text[: cells + 1], cells) or [""])[0] or text[:1]


def wrap_line(line: Line, cells: int) -> list[Line]:
    """A line folded into rows of at most `cells` cells, spans kept. Code is folded where it is, not at blanks."""
    cells = max(cells, 2)
    rows: list[Line] = [[]]
    left = cells
    for text, ink in line:
        while text:
            size = cell_len(text) if len(text) <= left else left + 1
            if size <= left:
                rows[-1].append((text, ink))
                left -= size
                break
            head = _head(text, left) if left else ""
            if head and cell_len(head) <= left:
                rows[-1].append((head, ink))
                text = text[len(head) :]
            rows.append([])
            left = cells
    return rows


INK_CLASSES = {f"ink--{ink}" for ink in INKS}
"""The component classes of a widget that draws inks. Textual inherits them from a widget's first base alone."""


class Inked(Widget):
    """A widget that draws lines of spans."""

    COMPONENT_CLASSES: ClassVar[set[str]] = INK_CLASSES

    def ink(self, name: str) -> Style:
        """The theme's style for an ink."""
        return self.get_component_rich_style(f"ink--{name}", partial=True)

    @property
    def ascii(self) -> bool:
        """Whether the app draws with ASCII alone."""
        return bool(getattr(self.app, "ascii", False))

    def strip(self, line: Sequence[Span], cells: int, under: Style | None = None) -> Strip:
        """The line as exactly `cells` cells on the widget's background; `under` is laid over every span's style."""
        base = self.rich_style
        ascii_only = self.ascii
        segments: list[Segment] = []
        for text, ink in line:
            if not text:
                continue
            text = clean(text).replace("\n", "↵")
            if ascii_only:
                text = text.translate(ASCII)
            style = base + self.ink(ink)
            segments.append(Segment(text, style + under if under else style))
        strip = Strip(segments)
        return strip.adjust_cell_length(cells, base + under if under else base)

    def strips(self, lines: Iterable[Sequence[Span]], cells: int, height: int) -> list[Strip]:
        """Exactly `height` strips."""
        result = [self.strip(line, cells) for line, _ in zip(lines, range(height), strict=False)]
        if len(result) < height:
            result += [Strip.blank(cells, self.rich_style)] * (height - len(result))
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
