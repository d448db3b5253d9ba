"""Where things stand in the text of a request: what the conversation's messages are found by, without reading the rest.

It reads exactly, as `store.domain.canonical` does: InexactError for what can't be held, another ValueError for what is
no JSON. Positions are in bytes.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from store.domain.canonical import InexactError, decoder

_SPACE = re.compile(r"[ \t\n\r]*")


class Items(NamedTuple):
    """Objects of a list, where each ends, and where the bracket stands that closes it."""

    items: list[dict[str, Any]]
    ends: list[int]
    close: int


def start(body: bytes, member: str) -> int | None:
    """Where the list under this member of the body's object begins, behind its bracket; None when there is none."""
    try:
        text = body.decode()
        at = _expect(text, 0, "{")
        seen: set[str] = set()
        while text[at : at + 1] != "}":
            name, at = decoder.raw_decode(text, at)
            if not isinstance(name, str):
                raise ValueError("an object's member has no name")
            if name in seen:
                raise InexactError("an object has a key twice")
            seen.add(name)
            at = _expect(text, at, ":")
            if name == member:
                return len(text[: at + 1].encode()) if text[at : at + 1] == "[" else None
            _, at = decoder.raw_decode(text, at)
            at = _next(text, at, "}")
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return None


def items(body: bytes, at: int, *, first: bool) -> Items:
    """The objects of a list from a place in it: its beginning (`first`) or the end of one of its objects. ValueError
    also when something else is among them."""
    rest = body[at:]
    text = rest.decode()
    ascii_only = text.isascii()
    found: list[dict[str, Any]] = []
    ends: list[int] = []
    here, counted = _space(text, 0), 0
    try:
        while text[here : here + 1] != "]":
            if not first:
                here = _expect(text, here, ",")
            first = False
            value, here = decoder.raw_decode(text, here)
            if not isinstance(value, dict):
                raise ValueError("a message is no object")
            at += here - counted if ascii_only else len(text[counted:here].encode())
            counted = here
            found.append(value)
            ends.append(at)
            here = _space(text, here)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return Items(found, ends, at + here - counted)


def compact(value: dict[str, Any], member: str) -> tuple[int, Items] | None:
    """`start` and `items` of a body that orjson writes to the byte as it came, by what it makes of it; None where the
    list is missing or something else than objects is in it."""
    at = 1
    for name, item in value.items():
        at += len(orjson.dumps(name)) + 1
        if name == member:
            break
        at += len(orjson.dumps(item)) + 1
    else:
        return None
    if not isinstance(item, list) or any(type(one) is not dict for one in item):
        return None
    begin = here = at + 1
    ends = []
    for one in item:
        here += len(orjson.dumps(one))
        ends.append(here)
        here += 1
    return begin, Items(item, ends, ends[-1] if ends else begin)


def common(one: bytes, ends: Sequence[int], other: bytes, begin: int, guess: int = 0) -> int:
    """How many objects of a list, which ends[0] begins and which end at the others, stand in another body too, where
    the list begins at `begin`; at least so many as the `guess`, most likely."""
    view, shift = memoryview(one), begin - ends[0]
    low, high = 0, len(ends) - 1
    # What is the same is looked at once.
    tries = [high, min(guess, high)]
    while low < high:
        middle = tries.pop() if tries else (low + high + 1) // 2
        if not low < middle <= high:
            continue
        if other.startswith(view[ends[low] : ends[middle]], ends[low] + shift):
            low = middle
        else:
            high = middle - 1
    return low


def _expect(text: str, at: int, mark: str) -> int:
    at = _space(text, at)
    if text[at : at + 1] != mark:
        raise ValueError(f"a {mark} is missing")
    return _space(text, at + 1)


def _next(text: str, at: int, last: str) -> int:
    """Behind a comma, or at the mark that ends it all."""
    at = _space(text, at)
    if text[at : at + 1] == last:
        return at
    at = _expect(text, at, ",")
    if text[at : at + 1] == last:
        raise ValueError("a comma ends it")
    return at


def _space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    assert match is not None
    return match.end()
