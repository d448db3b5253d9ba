"""Values out of JSON that somebody else wrote: of the type that is asked for, or empty."""

from typing import Any


def text(value: Any) -> str:
    """The string, "" where it is none."""
    return value if isinstance(value, str) else ""


def number(value: Any) -> int:
    """The count, 0 where it is none that a provider could mean."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53 else 0


def index(value: Any) -> int:
    """A place in a list, 0 where nothing is said. TypeError for what is none."""
    if value is None:
        return 0
    if not isinstance(value, int) or not 0 <= value < 1 << 16:
        raise TypeError("index")
    return value


def members(value: Any) -> dict[str, Any]:
    """The object, an empty one where it is none."""
    return value if isinstance(value, dict) else {}


def items(value: Any) -> list[Any]:
    """The list, an empty one where it is none."""
    return value if isinstance(value, list) else []
