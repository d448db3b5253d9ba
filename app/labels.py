"""The labels of the jump mode: short, all of one length where they are many, so that none begins another. Pure."""

from collections.abc import Sequence

LETTERS = "asdfghjklqwertyuiopzxcvbnm"
"""The home row first."""


def labels(count: int) -> list[str]:
    """So many labels, no two alike and none the beginning of another; the earlier ones are the easier to type."""
    if count <= len(LETTERS):
        return list(LETTERS[:count])
    # As many letters as are needed begin labels of two; the others stay alone.
    heads = -(-(count - len(LETTERS)) // (len(LETTERS) - 1))
    heads = min(heads, len(LETTERS))
    alone = list(LETTERS[: len(LETTERS) - heads])
    pairs = [first + second for first in LETTERS[len(LETTERS) - heads :] for second in LETTERS]
    return (alone + pairs)[:count]


def left(names: Sequence[str], typed: str) -> list[int]:
    """Which labels what was typed can still become."""
    return [index for index, name in enumerate(names) if name.startswith(typed)]
