"""How two requests differ, for a person: a unified diff of their canonical forms, only around what differs."""

import json
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Any

from store.domain.matching import DEFAULT, MatchPolicy, Names, Request, canonical_form
from store.domain.safe_text import safe, safe_line
from store.domain.secrets import mask

LINES = 60
"""Lines of a diff that are shown."""
WIDTH = 240
"""Characters shown of one line: those around its first difference."""
CONTEXT = 2
COMPARED = 4000
"""Lines that are compared, from the first that differs on."""

_Line = tuple[str, str]
"""Where it stands in the request, and what it says."""


def difference(
    recorded: Request,
    asked: Request,
    policy: MatchPolicy = DEFAULT,
    names: tuple[Names, Names] = ({}, {}),
) -> str:
    """What a recorded request (-) and another (+) don't share, a hunk for each place; "" when they match. `names` are
    those of the one and of the other. Safe for a terminal, without secrets of a known form, and of bounded length."""
    before = list(_lines("", canonical_form(recorded, policy, names[0])))
    after = list(_lines("", canonical_form(asked, policy, names[1])))
    first = next(
        (n for n, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), min(len(before), len(after))
    )
    if first == len(before) == len(after):
        return ""
    start = max(0, first - CONTEXT)
    before, after = before[start : start + COMPARED], after[start : start + COMPARED]
    shown: list[str] = []
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    for group in matcher.get_grouped_opcodes(CONTEXT):
        shown.extend(_hunk(group, before, after))
        if len(shown) > LINES:
            left = len(shown) - LINES
            return "\n".join([*shown[:LINES], f"… and {left} lines more at least"])
    return "\n".join(shown)


def _hunk(
    group: Sequence[tuple[str, int, int, int, int]], before: Sequence[_Line], after: Sequence[_Line]
) -> Iterator[str]:
    tag, i1, i2, j1, j2 = next(code for code in group if code[0] != "equal")
    yield f"@@ {safe_line((before[i1:i2] or after[j1:j2])[0][0] or 'the request', WIDTH)} @@"
    for tag, i1, i2, j1, j2 in group:
        if tag == "equal":
            yield from (f"  {_cut(text, 0)}" for _, text in before[i1:i2])
            continue
        pairs = list(zip(before[i1:i2], after[j1:j2], strict=False))
        places = [_first_difference(a, b) for (_, a), (_, b) in pairs]
        for sign, lines in (("-", before[i1:i2]), ("+", after[j1:j2])):
            for number, (_, text) in enumerate(lines):
                yield f"{sign} {_cut(text, places[number] if number < len(places) else 0)}"


def _lines(path: str, value: Any) -> Iterator[_Line]:
    """A JSON value a line a member, in the order of its canonical form; a text of several lines a line each."""
    if isinstance(value, dict) and value:
        for name in sorted(value):
            yield from _lines(f"{path}.{name}" if path else name, value[name])
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from _lines(f"{path}[{index}]", item)
    elif isinstance(value, str):
        for line in value.split("\n"):
            yield path, f"{path.rpartition('.')[2]}: {line}"
    else:
        yield path, f"{path.rpartition('.')[2]}: {json.dumps(value)}"


def _first_difference(one: str, other: str) -> int:
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _cut(text: str, place: int) -> str:
    text = mask(text)
    start = max(0, place - WIDTH // 3) if len(text) > WIDTH else 0
    shown = safe(text[start : start + WIDTH + 1])
    return ("…" if start else "") + (shown if len(shown) <= WIDTH else shown[:WIDTH] + "…")
