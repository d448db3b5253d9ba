"""What a value in the task file may be: read, or said to be wrong in a few words."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from store.domain.route import Deployment, deployment

NO_LIMIT = "none"

_WORD = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,99}")


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
