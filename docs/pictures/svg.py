"""A terminal's screen as an SVG file: small, and alike wherever it is shown.

An <img> loads no fonts, and what a reader's monospaced font makes of frames, blocks and Braille leaves gaps. So these
are drawn as shapes, one path for each colour; words are text, each run held to its cells. Symbols, which come from
whatever font has them, stand in a run of their own, so that their width moves nothing.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby

from rich.cells import cell_len
from rich.color import Color
from rich.style import Style
from rich.terminal_theme import DIMMED_MONOKAI
from textual.strip import Strip

WIDTH, HEIGHT, SIZE, PAD = 8, 18, 13.2, 12
"""Of a cell, of the letters, and around all of it, in pixels."""
BASELINE = 13.5

_LINES = {
    "─": "0101", "│": "1010", "┌": "0110", "┐": "0011", "└": "1100", "┘": "1001", "├": "1110", "┤": "1011",
    "┬": "0111", "┴": "1101", "┼": "1111", "━": "0202", "┃": "2020", "┏": "0220", "┓": "0022", "┗": "2200",
    "┛": "2002", "┣": "2220", "┫": "2022", "┳": "0222", "┻": "2202", "╋": "2222", "╴": "0001", "╵": "1000",
    "╶": "0100", "╷": "0010", "╸": "0002", "╹": "2000", "╺": "0200", "╻": "0020",
}  # fmt: skip
"""Box drawing: how thick the strokes are from the middle up, right, down and left."""
_ARCS = {"╭": (1, 1), "╮": (-1, 1), "╰": (1, -1), "╯": (-1, -1)}
"""Where a rounded corner goes to: right or left, down or up."""
_SHADES = {"░": 0.25, "▒": 0.5, "▓": 0.75}
_BRAILLE = ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3))
"""Column and row of each of its bits."""


@dataclass(frozen=True)
class Look:
    """What a character looks like; colours as #rrggbb."""

    ink: str
    bold: bool = False
    italic: bool = False
    underlined: bool = False
    struck: bool = False

    @property
    def attributes(self) -> str:
        """As SVG has it."""
        lines = " ".join(name for name, has in (("underline", self.underlined), ("line-through", self.struck)) if has)
        return f'fill="{self.ink}"' + "".join(
            f' {name}="{value}"'
            for name, value, has in (
                ("font-weight", "bold", self.bold),
                ("font-style", "italic", self.italic),
                ("text-decoration", lines, lines),
            )
            if has
        )


@dataclass(frozen=True)
class Cell:
    """A character where it stands, and the ground under it."""

    at: int
    character: str
    look: Look
    ground: str

    @property
    def cells(self) -> int:
        """How wide it is."""
        return cell_len(self.character)


def svg(strips: Sequence[Strip], title: str) -> str:
    """The file."""
    rows = [[*_cells(strip)] for strip in strips]
    columns = max(strip.cell_length for strip in strips)
    width, height = columns * WIDTH + 2 * PAD, len(rows) * HEIGHT + 2 * PAD
    ground = _most(cell.ground for row in rows for cell in row)
    shapes = _Shapes()
    texts = []
    for number, row in enumerate(rows):
        shapes.grounds(number, row, ground)
        words = [cell for cell in row if not shapes.draws(number, cell)]
        if text := "".join(_runs(words)):
            texts.append(f'<text y="{number * HEIGHT + BASELINE:g}">{text}</text>')
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
            f"<title>{escape(title)}</title>",
            "<style>text{font:" + f"{SIZE}px ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace"
            ";white-space:pre}</style>",
            f'<rect width="{width}" height="{height}" rx="9" fill="{ground}"/>',
            f'<g transform="translate({PAD} {PAD})">',
            *shapes.paths(),
            *texts,
            "</g></svg>\n",
        )
    )


def _cells(strip: Strip) -> Iterable[Cell]:
    at = 0
    for segment in strip:
        look, ground = _look(segment.style or Style())
        for character in segment.text:
            cell = Cell(at, character, look, ground)
            if cell.cells:
                yield cell
            at += cell.cells


def _look(style: Style) -> tuple[Look, str]:
    ink, ground = _colour(style.color, foreground=True), _colour(style.bgcolor, foreground=False)
    if style.reverse:
        ink, ground = ground, ink
    if style.dim:
        ink = _between(ink, ground)
    return Look(ink, bool(style.bold), bool(style.italic), bool(style.underline), bool(style.strike)), ground


def _colour(colour: Color | None, *, foreground: bool) -> str:
    red, green, blue = (colour or Color.default()).get_truecolor(DIMMED_MONOKAI, foreground=foreground)
    return f"#{red:02x}{green:02x}{blue:02x}"


def _between(one: str, other: str) -> str:
    pairs = ((int(one[at : at + 2], 16), int(other[at : at + 2], 16)) for at in (1, 3, 5))
    return "#" + "".join(f"{(a + b) // 2:02x}" for a, b in pairs)


def _most(colours: Iterable[str]) -> str:
    counts: dict[str, int] = defaultdict(int)
    for colour in colours:
        counts[colour] += 1
    return max(counts, key=lambda colour: counts[colour])


def _symbol(character: str) -> bool:
    """Whether it may come from another font, and be of any width."""
    return ord(character) > 0x2030


def _runs(cells: Sequence[Cell]) -> Iterable[str]:
    """Text in one look, each run with the cells it takes; the space around and far between is left out."""
    run: list[Cell] = []
    for cell in cells:
        gap = cell.at - (run[-1].at + run[-1].cells) if run else 0
        if cell.character == " " and not cell.look.underlined:
            continue
        alone = run and (_symbol(cell.character) or _symbol(run[-1].character))
        if run and (cell.look != run[-1].look or gap > 2 or alone):
            yield _run(run)
            run = []
        run.append(cell)
    if run:
        yield _run(run)


def _run(run: Sequence[Cell]) -> str:
    text, at = "", run[0].at
    for cell in run:
        text += " " * (cell.at - at) + cell.character
        at = cell.at + cell.cells
    if _symbol(text[0]):
        # As a character of the text, not as a picture of its own.
        return f'<tspan x="{run[0].at * WIDTH}" {run[0].look.attributes}>{escape(text)}\ufe0e</tspan>'
    length = (at - run[0].at) * WIDTH
    held = f' textLength="{length}"' if len(text) > 1 else ""
    return f'<tspan x="{run[0].at * WIDTH}"{held} {run[0].look.attributes}>{escape(text, quote=False)}</tspan>'


class _Shapes:
    """What is drawn and not written, by how it is drawn."""

    def __init__(self) -> None:
        self._fills: dict[str, list[tuple[float, float, float, float]]] = defaultdict(list)
        self._grounds: dict[str, list[tuple[float, float, float, float]]] = defaultdict(list)
        self._strokes: dict[tuple[str, float], list[tuple[float, float, float, float]]] = defaultdict(list)
        self._curves: dict[str, list[str]] = defaultdict(list)
        self._dots: dict[str, list[str]] = defaultdict(list)

    def grounds(self, row: int, cells: Sequence[Cell], but: str) -> None:
        """What is under the characters of a row."""
        for colour, group in groupby(cells, key=lambda cell: cell.ground):
            run = [*group]
            if colour != but:
                end = run[-1].at + run[-1].cells
                self._grounds[colour].append((run[0].at * WIDTH, row * HEIGHT, end * WIDTH, (row + 1) * HEIGHT))

    def draws(self, row: int, cell: Cell) -> bool:
        """Draw the character, if it is one that is drawn."""
        x, y, ink = float(cell.at * WIDTH), float(row * HEIGHT), cell.look.ink
        if cell.character in _LINES:
            self._line(x + WIDTH / 2, y + HEIGHT / 2, ink, [int(one) for one in _LINES[cell.character]])
        elif cell.character in _ARCS:
            right, down = _ARCS[cell.character]
            self._curves[ink].append(
                f"M{x + WIDTH / 2 + right * WIDTH / 2:g} {y + HEIGHT / 2:g}q{-right * WIDTH / 2:g} 0 "
                f"{-right * WIDTH / 2:g} {down * HEIGHT / 2:g}"
            )
        elif "⠀" <= cell.character <= "⣿":
            bits = ord(cell.character) - 0x2800
            self._dots[ink] += [
                f"M{x + WIDTH * (1 + 2 * column) / 4:g} {y + HEIGHT * (1 + 2 * line) / 8:g}h0"
                for bit, (column, line) in enumerate(_BRAILLE)
                if bits >> bit & 1
            ]
        elif cell.character in "▰▱":
            slant = f"M{x + 2:g} {y + 6:g}h{WIDTH - 2}l-2 6h-{WIDTH - 2}z"
            self._curves[f"{ink} {'full' if cell.character == '▰' else ''}"].append(slant)
        elif (part := _block(cell.character)) is not None:
            where = (x + part[0] * WIDTH, y + part[1] * HEIGHT, x + part[2] * WIDTH, y + part[3] * HEIGHT)
            shade = _SHADES.get(cell.character)
            self._fills[_mixed(ink, cell.ground, shade) if shade else ink].append(where)
        else:
            return False
        return True

    def _line(self, x: float, y: float, ink: str, thick: Sequence[int]) -> None:
        ends = ((x, y - HEIGHT / 2), (x + WIDTH / 2, y), (x, y + HEIGHT / 2), (x - WIDTH / 2, y))
        for (to_x, to_y), weight in zip(ends, thick, strict=True):
            if weight:
                self._strokes[ink, weight].append((min(x, to_x), min(y, to_y), max(x, to_x), max(y, to_y)))

    def paths(self) -> Iterable[str]:
        """All of it: what is under it first."""
        for fills in (self._grounds, self._fills):
            for ink, boxes in fills.items():
                joined = _joined(_joined(boxes, across=True), across=False)
                drawn = "".join(f"M{a:g} {b:g}H{c:g}V{d:g}H{a:g}z" for a, b, c, d in joined)
                yield f'<path fill="{ink}" d="{drawn}"/>'
        for (ink, weight), lines in self._strokes.items():
            flat = _joined([line for line in lines if line[1] == line[3]], across=True)
            steep = _joined([line for line in lines if line[0] == line[2]], across=False)
            drawn = "".join(f"M{a:g} {b:g}H{c:g}" for a, b, c, _ in flat)
            drawn += "".join(f"M{a:g} {b:g}V{d:g}" for a, b, _, d in steep)
            yield f'<path stroke="{ink}" stroke-width="{weight * 1.2:g}" stroke-linecap="square" d="{drawn}"/>'
        for key, curves in self._curves.items():
            ink, _, full = key.partition(" ")
            yield f'<path stroke="{ink}" stroke-width="1.2" fill="{ink if full else "none"}" d="{"".join(curves)}"/>'
        for ink, dots in self._dots.items():
            yield f'<path stroke="{ink}" stroke-width="2.4" stroke-linecap="round" d="{"".join(dots)}"/>'


def _block(character: str) -> tuple[float, float, float, float] | None:
    """The part of a cell that a block element covers."""
    if "▁" <= character <= "█":
        return 0, 1 - (ord(character) - 0x2580) / 8, 1, 1
    if "▉" <= character <= "▏":
        return 0, 0, (0x2590 - ord(character)) / 8, 1
    return {
        "▀": (0.0, 0.0, 1.0, 0.5), "▐": (0.5, 0.0, 1.0, 1.0), "▔": (0.0, 0.0, 1.0, 0.125),
        "▕": (0.875, 0.0, 1.0, 1.0), **dict.fromkeys(_SHADES, (0.0, 0.0, 1.0, 1.0)),
    }.get(character)  # fmt: skip


def _mixed(ink: str, ground: str, share: float) -> str:
    pairs = ((int(ink[at : at + 2], 16), int(ground[at : at + 2], 16)) for at in (1, 3, 5))
    return "#" + "".join(f"{round(a * share + b * (1 - share)):02x}" for a, b in pairs)


def _joined(
    boxes: Sequence[tuple[float, float, float, float]], *, across: bool
) -> list[tuple[float, float, float, float]]:
    """Boxes that touch, side by side or one below the other, as one."""
    low, high = (0, 2) if across else (1, 3)
    others = (1, 3) if across else (0, 2)
    found: list[tuple[float, float, float, float]] = []
    for box in sorted(boxes, key=lambda box: (box[others[0]], box[others[1]], box[low])):
        last = found[-1] if found else None
        if last is not None and [last[at] for at in others] == [box[at] for at in others] and box[low] <= last[high]:
            found[-1] = (last[0], last[1], box[2], box[3]) if box[high] > last[high] else last
        else:
            found.append(box)
    return found
