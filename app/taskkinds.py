"""What a value in the task file may be: read, or said to be wrong in a few words."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any
from urllib.parse import urlsplit

from store.domain.docker import KEEPER, DockerSettings
from store.domain.route import Deployment, deployment

NO_LIMIT = "none"

_WORD = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,99}")


TELLING = ("{prompt}", "{goal}", "MULTITRACK_PROMPT", "MULTITRACK_GOAL")
"""How a command of the operator's is told what to do: the path of a file, or the text itself."""

_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_BYTES = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]iB|B)")
_ARGUMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")


class Bytes(int):
    """A number of bytes that people read: `4 GiB`, and `none` for 0."""

    def __str__(self) -> str:
        unit = next(unit for unit, size in reversed(_UNITS.items()) if self % size == 0)
        return f"{self // _UNITS[unit]} {unit}" if self else NO_LIMIT


class UnfitError(Exception):
    """A value that a key can't have; the message says what is wrong with it."""


@dataclass(frozen=True)
class Kind:
    """What a value may be. `right` says so to people, after "should be"; `read` gives the value, or UnfitError."""

    right: str
    read: Callable[[Any], Any]


def text(right: str = "text", *, empty: bool = True) -> Kind:
    """A string."""

    def read(value: Any) -> str:
        if not isinstance(value, str):
            raise UnfitError(f"is {_named(value)}")
        if not empty and not value.strip():
            raise UnfitError("is empty")
        return value

    return Kind(right, read)


def texts(right: str) -> Kind:
    """An array of strings that are not empty."""

    def read(value: Any) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise UnfitError(f"is {_named(value)}")
        for item in value:
            if not isinstance(item, str) or not item.strip():
                raise UnfitError(f"holds {_named(item) if not isinstance(item, str) else 'an empty text'}")
        return tuple(value)

    return Kind(right, read)


def patterns() -> Kind:
    """Path patterns as in `.gitignore`, each of which can be read."""
    plain = texts("an array of path patterns")

    def read(value: Any) -> tuple[str, ...]:
        from backends.sandboxes import Patterns, SandboxError

        said: tuple[str, ...] = plain.read(value)
        try:
            Patterns(said)
        except SandboxError as error:
            raise UnfitError(f"can't be read: {error}") from error
        return said

    return Kind(plain.right, read)


def choice(*words: str) -> Kind:
    """One of some words."""

    def read(value: Any) -> str:
        if value not in words:
            raise UnfitError(f"is {_shown(value)}")
        return str(value)

    return Kind(" or ".join(f'"{word}"' for word in words), read)


def agent(known: tuple[str, ...]) -> Kind:
    """A known agent, or a command of the operator's that says where it is told what to do."""

    def read(value: Any) -> str:
        if not isinstance(value, str):
            raise UnfitError(f"is {_named(value)}")
        if value in known or any(sign in value for sign in TELLING):
            return value
        near = get_close_matches(value, known, 1)
        raise UnfitError(f"is {_shown(value)}" + (f', which is close to "{near[0]}"' if near else ""))

    names = ", ".join(f'"{name}"' for name in known)
    return Kind(f"{names}, or a command with {{prompt}} or {{goal}} in it", read)


def word(right: str) -> Kind:
    """A short name that can stand in an address."""

    def read(value: Any) -> str:
        if not isinstance(value, str) or not _WORD.fullmatch(value):
            raise UnfitError(f"is {_shown(value)}")
        return value

    return Kind(right, read)


def variable() -> Kind:
    """The name of an environment variable, or ""."""

    def read(value: Any) -> str:
        if not isinstance(value, str) or not (value == "" or _VARIABLE.fullmatch(value)):
            # What stands here by mistake may be the key itself.
            raise UnfitError("is no variable's name" if isinstance(value, str) else f"is {_named(value)}")
        return value

    return Kind('the name of an environment variable, or ""', read)


def deployments() -> Kind:
    """Models of providers."""
    plain = texts('an array of "PROVIDER/MODEL" or "PROVIDER/MODEL@UPSTREAM"')

    def read(value: Any) -> tuple[Deployment, ...]:
        try:
            return tuple(deployment(item) for item in plain.read(value))
        except ValueError as error:
            raise UnfitError(f"can't be read: {str(error).partition(':')[0]}") from error

    return Kind(plain.right, read)


def flag() -> Kind:
    """Yes or no."""

    def read(value: Any) -> bool:
        if not isinstance(value, bool):
            raise UnfitError(f"is {_shown(value)}")
        return value

    return Kind("true or false", read)


def whole(least: int, most: int, *, none: bool = False) -> Kind:
    """A whole number within bounds; with `none` also no limit at all."""
    return _number("a whole number", least, most, int, none=none)


def number(least: float, most: float, unit: str, *, none: bool = False) -> Kind:
    """A number of some unit within bounds."""
    return _number(f"a number of {unit}", least, most, float, none=none)


def _number(what: str, least: float, most: float, cls: type[int] | type[float], *, none: bool) -> Kind:
    bounds = " to ".join(f"{bound:,.0f}" if bound == int(bound) else str(bound) for bound in (least, most))

    def read(value: Any) -> float | None:
        if none and value == NO_LIMIT:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or (cls is int and isinstance(value, float)):
            raise UnfitError(f"is {_shown(value)}")
        if math.isnan(value) or not least <= value <= most:
            raise UnfitError(f"is {_shown(value)}")
        return cls(value)

    return Kind(f"{what} from {bounds}" + (f', or "{NO_LIMIT}"' if none else ""), read)


def size(least: int, *, none: bool = False) -> Kind:
    """Bytes, at least so many, as a number or as text with a unit; with `none` also no limit at all, which is 0."""

    def read(value: Any) -> int:
        if none and value == NO_LIMIT:
            return 0
        match = _BYTES.fullmatch(value.strip()) if isinstance(value, str) else None
        found = int(float(match[1]) * _UNITS[match[2]]) if match else value
        if isinstance(found, bool) or not isinstance(found, int) or not least <= found < 1 << 63:
            raise UnfitError(f"is {_shown(value)}")
        return found

    return Kind(f'a size from "{Bytes(least)}" on' + (f', or "{NO_LIMIT}"' if none else ""), read)


def arguments() -> Kind:
    """Names with a text each, for a Dockerfile's `ARG`s."""

    def read(value: Any) -> tuple[tuple[str, str], ...]:
        if not isinstance(value, dict):
            raise UnfitError(f"is {_named(value)}")
        for name, given in value.items():
            if not _ARGUMENT.fullmatch(name):
                raise UnfitError(f"has the name {_shown(name)}")
            if not isinstance(given, str):
                raise UnfitError(f"has {_named(given)} as {name}")
        return tuple(value.items())

    return Kind("a table of names and texts", read)


def hosts() -> Kind:
    """Docker engines, each once."""
    plain = texts("an array of Docker contexts or addresses (unix://, tcp://, ssh://)")

    def read(value: Any) -> tuple[str, ...]:
        from backends.sandboxes.docker import malformed

        said: tuple[str, ...] = plain.read(value)
        for host in said:
            if wrong := malformed(host):
                raise UnfitError(f"holds {_shown(host)}, which {wrong}")
        if len(set(said)) < len(said):
            raise UnfitError("names one twice")
        return said

    return Kind(plain.right, read)


def user() -> Kind:
    """Whom a container's programs run as."""

    def read(value: Any) -> str:
        try:
            _ = DockerSettings(user=value).ids
        except (ValueError, AttributeError) as error:
            raise UnfitError(f"is {_shown(value)}") from error
        return str(value)

    return Kind(f"numbers of a user and a group that are not root's, the user not {KEEPER}", read)


def address(*, empty: bool = True) -> Kind:
    """A base URL; with `empty` also "", for the provider's own."""

    def read(value: Any) -> str:
        if not isinstance(value, str):
            raise UnfitError(f"is {_named(value)}")
        try:
            parts = urlsplit(value)
            good = (not value and empty) or (parts.scheme in ("http", "https") and bool(parts.hostname))
            bare = not (parts.username or parts.password or parts.query or parts.fragment)
        except ValueError:
            good = bare = False
        if not good:
            raise UnfitError(f"is {_shown(value)}")
        if not bare:
            raise UnfitError("carries a name, a key or a query")
        return value.rstrip("/")

    return Kind("an http or https address" + (', or ""' if empty else ""), read)


def _named(value: Any) -> str:
    names = {bool: "true or false", int: "a number", float: "a number", list: "an array", dict: "a table", str: "text"}
    return names.get(type(value), "a date or time")


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        shown = value if len(value) <= 40 else value[:39] + "…"
        return f'"{shown}"'
    return str(value) if isinstance(value, int | float) else _named(value)
