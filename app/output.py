"""Plain printing for the command line. Nothing reaches the terminal with control characters or secrets in it."""

import codecs
import json
import math
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from store.domain.secrets import masked, shown, shown_line

_PLAIN = str.maketrans(
    {"├": "|", "└": "`", "│": "|", "─": "-", "…": "...", "→": "->", "−": "-", "–": "-", "“": '"', "”": '"', "’": "'"}
    | {"·": "*", "█": "#"}
)
"""What this program draws with, for a terminal that has no more than ASCII."""


def say(text: str = "") -> None:
    """Print a text; its lines stay."""
    print(shown(text))


def note(text: str) -> None:
    """Print a text to standard error: for the person, not for the program that reads the output."""
    print(shown(text), file=sys.stderr)


def emit(value: Any, *, indent: int | None = None) -> None:
    """Print a JSON value, in ASCII: whatever was recorded is harmless in it, and has its secrets hidden."""
    print(json.dumps(masked(value), indent=indent))


def emit_each(values: Iterable[Any]) -> None:
    """Print a JSON array, an item a line, as the items come."""
    comma = "["
    for value in values:
        print(f"{comma}{json.dumps(masked(value))}", end="")
        comma = ",\n "
    print("]" if comma != "[" else "[]")


def table(heads: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[int] = ()) -> None:
    """Print rows under their heads, columns aligned; those in `right` to the right. The last one may be long."""
    lines = [list(heads), *([shown_line(str(cell)) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    for line in lines:
        cells = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())


def counted(count: int, thing: str, things: str = "") -> str:
    """So many of a thing: `1 failure`, `2,000 failures`; `things` is its plural where that is another."""
    return f"{count:,} {thing if count == 1 else things or f'{thing}s'}"


def money(usd: float | None, *, priced: bool = True) -> str:
    """US dollars as people read them; `priced` is false when some of it has no known price."""
    if usd is None or not (priced or usd):
        return "unknown"
    digits = 2 if usd >= 0.01 or usd <= 0 else 1 - math.floor(math.log10(usd))
    text = f"${usd:,.{digits}f}"
    return text if priced else f"at least {text}"


def size(count: int) -> str:
    """Bytes as people read them, a thousand to the next unit."""
    if count < 1000:
        return counted(count, "byte")
    amount, unit = count / 1000, 0
    while amount >= 999.5 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1000, unit + 1
    return f"{amount:.1f} {_UNITS[unit]}" if amount < 10 else f"{amount:,.0f} {_UNITS[unit]}"


_UNITS = ("kB", "MB", "GB", "TB")


def duration(seconds: float) -> str:
    """A stretch of time in its two largest units."""
    whole = round(seconds)
    if seconds < 0.95:
        return f"{seconds * 1000:.0f} ms"
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 and seconds != whole else f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def prepare() -> None:
    """Let no character that the terminal's encoding lacks end a command: it is drawn in ASCII, or named."""
    codecs.register_error("multitrack", _without)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="multitrack")


def _without(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    plain = error.object[error.start : error.end].translate(_PLAIN)
    return plain.encode("ascii", "backslashreplace").decode("ascii"), error.end
