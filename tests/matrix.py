"""Pictures of screens as text: what stands in each cell, and how it looks in each of three themes.

One file has one screen in one state at one size: the rows as text; under each row, run by run, a letter for how its
cells look; at the end what each letter is in each theme. Two inks that one theme draws alike and another doesn't are
two letters. A difference reads as what it is, and a file takes a few kilobytes. `MULTITRACK_PICTURES=write` writes what
is drawn in place of comparing it; `MULTITRACK_PICTURES=DIRECTORY` keeps SVGs of all there, to be looked at.
"""

import os
from functools import cache
from itertools import groupby, repeat
from pathlib import Path
from string import ascii_letters

from rich.style import Style
from textual.app import App
from textual.pilot import Pilot
from textual.strip import Strip
from textual.widgets import Input, TextArea

import themes
from tests.driving import settled

FOLDER = Path(__file__).parent / "pictures"
SIZES = ((80, 24), (120, 40), (200, 50))
THEMES = (themes.DARK, themes.LIGHT, themes.CONTRAST)
ASKED = os.environ.get("MULTITRACK_PICTURES", "")

Cells = list[tuple[str, str]]


@cache
def look(style: Style | None) -> str:
    """A style in words: its two colours, and what else it is."""
    if style is None:
        return "default"
    words = [style.color.name if style.color else "default", "on", style.bgcolor.name if style.bgcolor else "default"]
    words += [name for name in ("bold", "italic", "underline", "reverse", "dim", "strike") if getattr(style, name)]
    return " ".join(words)


def cells(strip: Strip) -> Cells:
    """Each character with its look."""
    return [cell for segment in strip for cell in zip(segment.text, repeat(look(segment.style)))]


def picture(drawn: list[list[Cells]]) -> str:
    """The text of a picture, of the same screen's rows in each theme."""
    letters: dict[tuple[str, ...], str] = {}
    rows: list[str] = []
    for versions in zip(*drawn, strict=True):
        texts = {"".join(character for character, _ in version) for version in versions}
        assert len(texts) == 1, f"a theme changes what is said: {texts}"
        rows.append("  " + texts.pop().rstrip())
        looks = list(zip(*([style for _, style in version] for version in versions), strict=True))
        runs = [(key, len(list(group))) for key, group in groupby(looks)]
        rows.append("~ " + " ".join(f"{letters.setdefault(key, _letter(len(letters)))}{count}" for key, count in runs))
    rows.append("")
    for key, letter in letters.items():
        rows.append(f"{letter} = " + " | ".join(key))
    return "\n".join(rows) + "\n"


def _letter(number: int) -> str:
    return ascii_letters[number % 52] * (number // 52 + 1)


async def take(pilot: Pilot[None], name: str) -> dict[str, str]:
    """The pictures of the screen as it is, by file name: at each size, in each theme."""
    found: dict[str, str] = {}
    app = pilot.app
    for field in (*app.screen.query(Input), *app.screen.query(TextArea)):
        field.cursor_blink = False
    for columns, rows in SIZES:
        await pilot.resize_terminal(columns, rows)
        await settled(pilot)
        drawn = []
        for theme in THEMES:
            app.theme = theme
            await pilot.pause()
            await pilot.pause()
            drawn.append([cells(strip) for strip in app.screen._compositor.render_strips()])
            _keep(app, f"{name}-{columns}x{rows}-{theme}.svg")
        found[f"{name}-{columns}x{rows}.txt"] = picture(drawn)
    return found


def _keep(app: App[None], name: str) -> None:
    if ASKED not in ("", "write"):
        app.save_screenshot(name, ASKED)


def compare(found: dict[str, str]) -> None:
    """Fail where a picture is other than the one that was committed."""
    if ASKED == "write":
        FOLDER.mkdir(exist_ok=True)
        for name, text in found.items():
            (FOLDER / name).write_text(text, "utf-8")
        return
    for name, text in found.items():
        path = FOLDER / name
        assert path.exists(), f"there is no picture {name} yet: MULTITRACK_PICTURES=write"
        assert text.split("\n") == path.read_text("utf-8").split("\n"), f"{name} is another picture"
