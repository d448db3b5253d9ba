"""The operator's settings: one file in the configuration folder. What is wrong in it is told, and the rest counts."""

import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from app import actions, keynames
from app.taskfile import Problem, syntax
from app.taskkinds import Kind, UnfitError, flag, text
from app.tomllines import lines

FOLDER_VARIABLE = "MULTITRACK_CONFIG"
FILE = "settings.toml"
THEMES = "themes"
DEFAULT_THEME = "multitrack-dark"


@dataclass(frozen=True)
class Settings:
    """What the operator wants. `ascii` None is what the terminal's locale asks for; `keys` are Textual's names."""

    theme: str = DEFAULT_THEME
    ascii: bool | None = None
    low_bandwidth: bool = False
    bell: bool = True
    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Option:
    """One key of `[screen]`. `variable` is the environment variable that goes before the file."""

    name: str
    kind: Kind
    default: str
    help: str
    variable: str = ""


def _auto() -> Kind:
    yes_or_no = flag()

    def read(value: Any) -> bool | None:
        return None if value == "auto" else bool(yes_or_no.read(value))

    return Kind('true, false or "auto"', read)


OPTIONS: tuple[Option, ...] = (
    Option("theme", text("a theme's name", empty=False), f'"{DEFAULT_THEME}"', "Which theme; t shows the next one."),
    Option(
        "ascii",
        _auto(),
        '"auto"',
        'Draw with ASCII alone, nothing animated: for screen readers. "auto" asks the locale.',
        "MULTITRACK_ASCII",
    ),
    Option(
        "low_bandwidth",
        flag(),
        "false",
        "For slow links: a repaint a second at most, no ticking clocks.",
        "MULTITRACK_LOW_BANDWIDTH",
    ),
    Option("bell", flag(), "true", "Ring the terminal's bell when something begins to need you."),
)


@dataclass(frozen=True)
class Configuration:
    """Where the settings are, and what the environment says before them."""

    folder: Path
    environ: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def default(cls, environ: Mapping[str, str]) -> "Configuration":
        """The folder that the environment names, or else the user's configuration folder."""
        if named := environ.get(FOLDER_VARIABLE):
            return cls(Path(named).expanduser().absolute(), environ)
        from platformdirs import user_config_path

        return cls(user_config_path("multitrack", appauthor=False), environ)

    @property
    def file(self) -> Path:
        """The settings file; it need not exist."""
        return self.folder / FILE

    @property
    def themes(self) -> Path:
        """The folder of the operator's own themes; it need not exist."""
        return self.folder / THEMES

    def read(self, themes: Iterable[str]) -> tuple[Settings, list[Problem]]:
        """The settings, and what is wrong in the file. `themes` are the names that there are."""
        found, problems = _read_file(self.file)
        settings, more = understand(found, tuple(themes))
        return _environment(settings, self.environ), problems + more


@dataclass(frozen=True)
class Found:
    """A settings file as TOML, with the lines that its keys stand on."""

    document: Mapping[str, Any] = field(default_factory=dict)
    places: Mapping[tuple[str | int, ...], int] = field(default_factory=dict)

    def line(self, *path: str) -> int:
        """The line of a key."""
        return self.places.get(path, 1)


def _read_file(path: Path) -> tuple[Found, list[Problem]]:
    try:
        source = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return Found(), []
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        return Found(), [Problem(line, "", "is not UTF-8", "save it as UTF-8")]
    except OSError as error:
        return Found(), [Problem(1, "", f"can't be read: {error.strerror or error}", "make it a readable file")]
    return parse(source)


def parse(source: str) -> tuple[Found, list[Problem]]:
    """A settings file's text; nothing of it when it is no TOML."""
    try:
        return Found(tomllib.loads(source), lines(source)), []
    except tomllib.TOMLDecodeError as error:
        return Found(), [syntax(str(error), source)]


def understand(found: Found, themes: Sequence[str]) -> tuple[Settings, list[Problem]]:
    """What a file says; what is wrong is left out, and told."""
    problems: list[Problem] = []
    for name in found.document:
        if name not in ("screen", "keys"):
            owner = "screen" if name in {option.name for option in OPTIONS} else "keys" if _action(name) else ""
            right = f"it belongs under [{owner}]" if owner else "there are [screen] and [keys]"
            problems.append(Problem(found.line(name), name, "is unknown", right))
    values = dict(_options(found, themes, problems))
    keys = _keys(found, problems)
    problems.sort(key=lambda problem: problem.line)
    return Settings(**values, keys=keys), problems


def _table(found: Found, name: str, problems: list[Problem]) -> Mapping[str, Any]:
    table = found.document.get(name, {})
    if isinstance(table, dict):
        return table
    problems.append(Problem(found.line(name), name, "is no table", f"write [{name}] on a line of its own"))
    return {}


def _options(found: Found, themes: Sequence[str], problems: list[Problem]) -> Iterator[tuple[str, Any]]:
    known = {option.name: option for option in OPTIONS}
    for name, value in _table(found, "screen", problems).items():
        line, path = found.line("screen", name), f"screen.{name}"
        if name not in known:
            near = get_close_matches(name, known, 1)
            right = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            problems.append(Problem(line, path, "is unknown", right))
            continue
        try:
            read = known[name].kind.read(value)
        except UnfitError as error:
            problems.append(Problem(line, path, str(error), f"it should be {known[name].kind.right}"))
            continue
        if name == "theme" and read not in themes:
            near = get_close_matches(read, themes, 1)
            right = f"did you mean {near[0]}?" if near else f"there are {', '.join(themes)}"
            problems.append(Problem(line, path, f"there is no theme {read!r}", right))
            continue
        yield name, read


def _action(name: str) -> bool:
    return any(action.id == name for action in actions.ACTIONS)


def _keys(found: Found, problems: list[Problem]) -> dict[str, tuple[str, ...]]:
    keys: dict[str, tuple[str, ...]] = {}
    for name, value in _table(found, "keys", problems).items():
        line, path = found.line("keys", name), f"keys.{name}"
        if not _action(name):
            near = get_close_matches(name, [action.id for action in actions.ACTIONS], 1)
            right = f"did you mean {near[0]}?" if near else "`multitrack settings` names them all"
            problems.append(Problem(line, path, "there is no such action", right))
            continue
        said = [value] if isinstance(value, str) else value
        if not isinstance(said, list) or not said or not all(isinstance(one, str) for one in said):
            problems.append(Problem(line, path, "is no key", 'it should be a key such as "x", or an array of keys'))
            continue
        read = {one: keynames.textual(one) for one in said}
        wrong = next((one for one, key in read.items() if not key or key in keynames.TAKEN), None)
        if wrong is None:
            keys[name] = tuple(dict.fromkeys(read.values()))
        elif reason := keynames.TAKEN.get(read[wrong]):
            problems.append(Problem(line, path, f"{wrong!r} can't be an action's key: {reason}", "take another"))
        else:
            right = 'a key is a character, a name such as "f5" or "space", or "ctrl+", "alt+", "shift+" before one'
            problems.append(Problem(line, path, f"{wrong!r} is no key", right))
    while clash := clashing(keys):
        name, other, key = clash
        problems.append(
            Problem(
                found.line("keys", name),
                f"keys.{name}",
                f"{keynames.written(key)} is the key of {other}, too",
                f"take another, or give {other} another",
            )
        )
        del keys[name]
    return keys


def clashing(keys: Mapping[str, tuple[str, ...]]) -> tuple[str, str, str] | None:
    """A rebound action that has a key in common with another that works in the same place: both, and the key."""
    everyone = actions.with_keys(keys)
    for place in (*actions.SCREENS, actions.PLAYBACK, actions.SIDE):
        holder: dict[str, str] = {}
        for action in everyone:
            everywhere = actions.EVERYWHERE in action.where and place != actions.SIDE
            if place not in action.where and not everywhere:
                continue
            for key in action.keys:
                other = holder.setdefault(key, action.id)
                if other != action.id and {other, action.id} & keys.keys():
                    return (action.id, other, key) if action.id in keys else (other, action.id, key)
    return None


def _environment(settings: Settings, environ: Mapping[str, str]) -> Settings:
    values = {name: getattr(settings, name) for name in ("theme", "ascii", "low_bandwidth", "bell", "keys")}
    for option in OPTIONS:
        said = environ.get(option.variable, "") if option.variable else ""
        if said:
            values[option.name] = said != "0"
    return Settings(**values)


def told(path: os.PathLike[str] | str, problem: Problem) -> str:
    """A problem in a line, as editors read it."""
    key = f"{problem.key}: " if problem.key else ""
    return f"{path}:{problem.line}: {key}{problem.wrong}; {problem.right}"


def document(settings: Settings) -> str:
    """Every key with its default, as a settings file; what is set otherwise stands as it is set."""
    rows = [
        "# What multitrack shows, and how. Lines that begin with # have the defaults.",
        "",
        "[screen]",
    ]
    for option in OPTIONS:
        value = _toml(getattr(settings, option.name))
        rows += [f"# {option.help}", f"{'# ' if value == option.default else ''}{option.name} = {value}"]
    rows += ["", "[keys]", '# A key, or an array of keys, for each action: a character, "f5", "ctrl+s", "shift+right".']
    for action, now in zip(actions.ACTIONS, actions.with_keys(settings.keys), strict=True):
        keys = [keynames.written(key) for key in now.keys]
        value = _toml(keys[0] if len(keys) == 1 else keys)
        line = f"{'' if action.id in settings.keys else '# '}{action.id} = {value}"
        rows.append(f"{line:<34} # {', '.join(action.where).replace(actions.EVERYWHERE, 'everywhere')}: {action.help}")
    return "\n".join(rows) + "\n"


def _toml(value: Any) -> str:
    if value is None:
        return '"auto"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        quoted = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{quoted}"'
    return "[" + ", ".join(_toml(one) for one in value) + "]"
