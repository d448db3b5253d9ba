"""What changed from one version of the observations to another, as lines. Pure."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from store.domain.observations import Document
from store.domain.observations.comparing import Difference, compare, in_words
from store.domain.secrets import shown_line
from widgets import paint, words
from widgets.ink import Line
from widgets.picklist import Row

if TYPE_CHECKING:
    from store.observations import Version

_INKS = {"new": "good", "gone": "bad", "merged": "bad", "reworded": "accent", "changed": "accent"}
_GLYPHS = {"new": "+", "gone": "−", "merged": "−"}


def lines(before: Document | None, after: Document) -> list[Line]:
    """All that differs; of what was reworded, both texts."""
    comparison = compare(before, after)
    found: list[Line] = []
    for one in comparison.differences:
        found += _difference(one)
    if comparison.notes:
        found.append([("Your own lines differ as well.", "text")])
    return found or [[("Nothing: both say the same.", "faint")]]


def _difference(one: Difference) -> list[Line]:
    there = one.after or one.before
    ink = _INKS.get(one.what, "faint")
    head: Line = [(f"{_GLYPHS.get(one.what, '*')} ", ink), (one.id, "strong"), (f" {in_words(one)}  ", ink)]
    if one.before is not None and one.after is not None and one.before.text != one.after.text:
        return [
            head,
            [("  - ", "removed"), (shown_line(one.before.text), "removed")],
            [("  + ", "added"), (shown_line(one.after.text), "added")],
        ]
    return [[*head, *(paint.prose(shown_line(there.text))[0] if there is not None else [])]]


def versions(known: "Sequence[Version]", now: float) -> list[Row]:
    """The versions, newest first."""
    return [
        Row(
            str(one.version),
            ((f" {one.version:>3} ", "accent"),
             (f"{words.age(now - one.at):>8}  ", "faint"),
             (f"{one.author:<9}", "strong" if one.author == "operator" else "text"),
             (shown_line(one.what or "wrote what was found", 200), "text")),
        )
        for one in reversed(known)
    ]  # fmt: skip
