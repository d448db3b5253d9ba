"""Themes and style sheets, as files."""

import tomllib
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent

DARK, LIGHT, CONTRAST, TERMINAL = "multitrack-dark", "multitrack-light", "multitrack-contrast", "multitrack-terminal"


def style_sheet() -> Path:
    """The style sheet of the whole app."""
    return FOLDER / "studio.tcss"


def load() -> list[dict[str, Any]]:
    """Every theme in the package, as its file says it, in the order in which they are offered; the fields are those of
    a Textual theme."""
    return [tomllib.loads((FOLDER / f"{name}.toml").read_text("utf-8")) for name in (DARK, LIGHT, CONTRAST, TERMINAL)]
