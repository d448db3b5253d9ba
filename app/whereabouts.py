"""Where the operator was, in a small file of the user's state folder: the app opens there again. No Textual.

A file is of one home. What is broken or unknown in it is as if it had not been said, and a folder that can't be written
costs the memory alone.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from store.home import Home

FOLDER_VARIABLE = "MULTITRACK_STATE"
KEPT = 50
"""Homes that are remembered; the ones that were left longest ago are forgotten."""
MOST = 200
"""Characters of a text that are taken from a file."""
BRANCHES = 100
"""Open branches of a tree that are remembered: those nearest to where the operator was."""


@dataclass(frozen=True)
class GridWhere:
    """Of the grid. `order` and `mode` count for any run, all else for `run`; generation 0 follows the latest. `view` is
    `panes`, `tape` or `beside`; of a tape, `part` is the part that was read, behind so many `letters` of it, -1 at its
    end. What was marked is not kept: orders would go to it."""

    run: str = ""
    generation: int = 0
    lane: int = 0
    view: str = "panes"
    filter: str = ""
    order: str = ""
    mode: str = ""
    part: int = -1
    letters: int = 0


@dataclass(frozen=True)
class TraceWhere:
    """Of the tree: the item under the cursor, by its key and, where it has to be read first, the way to it (its
    subagent's generation and lane, its turn, an event in that; 0 for none). `above` are the rows over it, or -1 when it
    was not in sight: then `top` is the first item that was, with what that is in. Branches are `opened` and `closed` by
    their keys. Of the node, `line` is the one that was read, behind so many `letters` of it."""

    run: str = ""
    generation: int = 0
    lane: int = 0
    key: str = ""
    turn: int = 0
    seq: int = 0
    errors: bool = False
    raw: bool = False
    above: int = -1
    top: tuple[str, ...] = ()
    opened: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()
    line: int = 0
    letters: int = 0


@dataclass(frozen=True)
class Whereabouts:
    """All of it. `scope` is which runs the Convergence screen draws together."""

    screen: str = ""
    run: str = ""
    grid: GridWhere = field(default_factory=GridWhere)
    trace: TraceWhere = field(default_factory=TraceWhere)
    scope: str = ""


def read(text: str) -> Whereabouts:
    """What a file says. Never fails."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return Whereabouts()
    return _fill(Whereabouts(), said)


def write(where: Whereabouts) -> str:
    """A file's text."""
    return json.dumps(asdict(where), indent=1) + "\n"


_Where = TypeVar("_Where", Whereabouts, GridWhere, TraceWhere)


def _fill(default: _Where, said: object) -> _Where:
    if not isinstance(said, Mapping):
        return default
    return type(default)(
        **{one.name: _value(getattr(default, one.name), said.get(one.name)) for one in fields(default)}
    )


def _value(default: Any, said: object) -> Any:
    """What is said, where it is of the default's kind."""
    match default:
        case GridWhere():
            return _fill(default, said)
        case TraceWhere():
            return _fill(default, said)
        case str() if isinstance(said, str):
            return said[:MOST]
        case tuple() if isinstance(said, list):
            return tuple(one[:MOST] for one in said[:BRANCHES] if isinstance(one, str))
        case bool() | int() if type(said) is type(default):
            return said
    return default


class Kept:
    """The file of one home."""

    def __init__(self, folder: Path, home: Home) -> None:
        name = hashlib.sha256(os.fsencode(home.store)).hexdigest()[:16]
        self.path = folder / f"screen-{name}.json"
        self._written: Whereabouts | None = None

    @classmethod
    def default(cls, environ: Mapping[str, str], home: Home) -> "Kept":
        """In the folder that the environment names, or else the user's state folder."""
        if named := environ.get(FOLDER_VARIABLE):
            return cls(Path(named).expanduser().absolute(), home)
        from platformdirs import user_state_path

        return cls(user_state_path("multitrack", appauthor=False), home)

    def read(self) -> Whereabouts:
        """Where the operator was; the beginning where that is not known."""
        try:
            return read(self.path.read_text("utf-8", "replace"))
        except OSError:
            return Whereabouts()

    def write(self, where: Whereabouts) -> None:
        """Note it, as a whole or not at all; nothing when it is there already."""
        if where == self._written:
            return
        self._written = where
        part = self.path.with_suffix(f".{os.getpid()}.part")
        with suppress(OSError):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            part.write_text(write(where), "utf-8")
            part.replace(self.path)
            self._tidy()

    def _tidy(self) -> None:
        files = sorted(self.path.parent.glob("screen-*"), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in files[KEPT:]:
            path.unlink(missing_ok=True)
