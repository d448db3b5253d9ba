"""What is particular to the terminal that the app is on, and how the app leaves it when it fails."""

import locale
import os
import sys
import traceback
from pathlib import Path
from typing import ClassVar

from textual.scrollbar import ScrollBar, ScrollBarRender

from store.domain.safe_text import safe, safe_line


class WholeCells(ScrollBarRender):
    """Scrollbars out of whole cells: no terminal draws a part of one as a gap, and ASCII needs no other."""

    VERTICAL_BARS: ClassVar[list[str]] = [" "] * 8
    HORIZONTAL_BARS: ClassVar[list[str]] = [" "] * 8


ScrollBar.renderer = WholeCells


def ascii_wanted() -> bool:
    """ASCII alone where the operator asks for it, or the terminal's locale knows nothing else."""
    asked = os.environ.get("MULTITRACK_ASCII", "")
    return asked not in ("", "0") if asked else "utf" not in locale.getpreferredencoding(False).lower()


def last_words(log: Path) -> str:
    """What the operator is told of the error that is being handled; what is to be mended goes into a file."""
    lines = traceback.format_exc()
    try:
        log.write_text(lines, "utf-8", "replace")
        where = f"What happened is in {log}."
    except OSError:
        where = safe(lines)
    error = sys.exc_info()[1]
    said = f"The screen failed ({type(error).__name__}: {safe_line(str(error), 200)}). {where}"
    return f"{said} Engines go on; `multitrack` opens the screen again."
