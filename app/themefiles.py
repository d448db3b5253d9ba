"""The operator's own themes: TOML files, each with the colours that are other than in our dark or light theme."""

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from textual.color import Color, ColorParseError
from textual.theme import Theme

import themes
from app.taskfile import Problem, syntax
from app.tomllines import lines

COLOURS = (
    *("primary", "secondary", "accent", "warning", "error", "success", "foreground", "background", "surface"),
    *("panel", "boost"),
)
FLAGS = ("dark", "ansi")


def ours() -> dict[str, Theme]:
    """The themes of the package, by name, in the order in which they are offered."""
    return {fields["name"]: Theme(**fields) for fields in themes.load()}


def own(folder: Path) -> tuple[dict[str, Theme], list[tuple[Path, Problem]]]:
    """The themes in the operator's folder, by name, and what is wrong in their files: those are left out."""
    found: dict[str, Theme] = {}
    wrong: list[tuple[Path, Problem]] = []
    paths = sorted(folder.glob("*.toml")) if folder.is_dir() else []
    for path in paths:
        try:
            source = path.read_bytes().decode("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            wrong.append((path, Problem(1, "", f"can't be read: {error}", "save it as UTF-8")))
            continue
        theme, problems = read(source, path.stem)
        wrong += [(path, problem) for problem in problems]
        if theme is not None:
            found[theme.name] = theme
    return found, wrong


def read(source: str, stem: str) -> tuple[Theme | None, list[Problem]]:
    """A theme as its file's text tells it, named after the file unless it names itself. What it leaves out is as in our
    dark theme, or the light or terminal one where it says `dark = false` or `ansi = true`. None when something is
    wrong."""
    try:
        document = tomllib.loads(source)
    except tomllib.TOMLDecodeError as error:
        return None, [syntax(str(error), source)]
    places = lines(source)
    name = document.pop("name", stem)
    variables = document.pop("variables", {})
    problems: list[Problem] = []

    def wrong(path: tuple[str, ...], what: str, right: str) -> None:
        problems.append(Problem(places.get(path, 1), ".".join(path), what, right))

    if not isinstance(name, str) or not name or name in ours():
        wrong(("name",), "is no name of its own", f"take another than {', '.join(ours())}")
    if not isinstance(variables, dict):
        wrong(("variables",), "is no table", "write [variables] on a line of its own")
        variables = {}
    for key, value in document.items():
        if key in FLAGS:
            if not isinstance(value, bool):
                wrong((key,), f"is {value!r}", "it should be true or false")
        elif key in COLOURS:
            if not _colour(value):
                wrong((key,), f"{value!r} is no colour", _COLOUR)
        else:
            near = get_close_matches(key, [*COLOURS, *FLAGS, "variables"], 1)
            wrong((key,), "is unknown", f"did you mean {near[0]}?" if near else f"there are {', '.join(COLOURS)}")
    base = _base(document)
    for key, value in variables.items():
        if key not in base["variables"]:
            near = get_close_matches(key, base["variables"], 1)
            wrong(("variables", key), "is unknown", f"did you mean {near[0]}?" if near else "our themes name them all")
        elif not _colour(value):
            wrong(("variables", key), f"{value!r} is no colour", _COLOUR)
    if problems:
        return None, problems
    return Theme(**{**base, **document, "name": name, "variables": {**base["variables"], **variables}}), []


_COLOUR = 'a colour reads "#5fb3d9", "ansi_blue" or "cornflowerblue"; "#5fb3d9 35%" is a part of one'


def _base(document: Mapping[str, Any]) -> dict[str, Any]:
    name = themes.TERMINAL if document.get("ansi") is True else themes.DARK
    if document.get("dark") is False and name == themes.DARK:
        name = themes.LIGHT
    return next(fields for fields in themes.load() if fields["name"] == name)


def _colour(value: object) -> bool:
    if not isinstance(value, str) or not value:
        return False
    colour, _, part = value.partition(" ")
    if part and not (part.endswith("%") and part[:-1].isdecimal()):
        return False
    try:
        Color.parse(colour)
    except ColorParseError:
        return False
    return True
