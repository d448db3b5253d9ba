"""Themes and style sheets, as files."""

import tomllib
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent

DARK, LIGHT = "multitrack-dark", "multitrack-light"


def style_sheet() -> Path:
    """The style sheet of the whole app."""
    return FOLDER / "studio.tcss"


def load() -> list[dict[str, Any]]:
    """Every theme in the package, as its file says it; the fields are those of a Textual theme."""
    return [tomllib.loads(path.read_text("utf-8")) for path in sorted(FOLDER.glob("*.toml"))]
