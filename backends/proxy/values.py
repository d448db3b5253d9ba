"""Values out of JSON that somebody else wrote: of the type that is asked for, or empty."""

from typing import Any


def text(value: Any) -> str:
    """The string, "" where it is none."""
    return value if isinstance(value, str) else ""


def number(value: Any) -> int:
    """The integer, 0 where it is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def members(value: Any) -> dict[str, Any]:
    """The object, an empty one where it is none."""
    return value if isinstance(value, dict) else {}


def items(value: Any) -> list[Any]:
    """The list, an empty one where it is none."""
    return value if isinstance(value, list) else []
