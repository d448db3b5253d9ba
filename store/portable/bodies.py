"""Secrets hidden in the bytes of an answer, as they were received.

A stream has what it says in pieces, and a key may be in several of them. So what belongs together is put together
first: the texts at the same place of events that are alike. Masking keeps the length, and the pieces get theirs back.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from store.domain.secrets import mask, masked

_STREAM = re.compile(r"\A\ufeff?(?:event:|data:|id:|retry:|:)")
_TOLD_APART = ("type", "index", "output_index", "content_index", "item_id", "summary_index")
"""Members that say to what a piece belongs."""

_STYLES = tuple((separators, ascii_only) for separators in ((",", ":"), (", ", ": ")) for ascii_only in (False, True))
"""How providers write JSON. What was written so is written so again, and stays as long as it was."""


def hide(data: bytes, *, in_pieces: bool = True) -> bytes:
    """A body without its secrets: of a stream of events, of JSON, or of any text. `in_pieces` says that the events of a
    stream may have parts of one."""
    text = data.decode("utf-8", "surrogateescape")
    if not in_pieces and mask(text) == text:
        return data
    if _STREAM.match(text):
        text = _events(text)
    elif text.lstrip()[:1] in ("{", "["):
        text = _json(text)
    return mask(text).encode("utf-8", "surrogateescape")


def _json(text: str) -> str:
    value = _read(text)
    hidden = masked(value)
    return text if hidden == value else _written(hidden, value, text)


def _events(text: str) -> str:
    lines = re.split(r"(\r\n|\r|\n)", text)
    told: dict[int, Any] = {}
    groups: dict[tuple[Any, ...], list[tuple[int, tuple[Any, ...], str]]] = {}
    for number, line in enumerate(lines):
        if line.startswith("data:") and isinstance(value := _read(line[5:]), dict):
            told[number] = value
            for group, path, words in _texts(value, (), ()):
                groups.setdefault(group, []).append((number, path, words))
    changed: set[int] = set()
    for pieces in groups.values():
        whole = "".join(words for _, _, words in pieces)
        if (hidden := mask(whole)) == whole:
            continue
        at = 0
        for number, path, words in pieces:
            piece, at = hidden[at : at + len(words)], at + len(words)
            if piece != words:
                _put(told[number], path, piece)
                changed.add(number)
    for number in changed:
        before = lines[number][5:]
        lead = before[: len(before) - len(before.lstrip())]
        lines[number] = f"data:{lead}{_written(told[number], _read(before), before.strip())}"
    return "".join(lines)


def _texts(value: Any, path: tuple[Any, ...], group: tuple[Any, ...]) -> Iterator[tuple[Any, Any, str]]:
    """The texts in a value: to what each belongs, where it stands, and what it says."""
    if isinstance(value, str):
        yield (path, group), path, value
    elif isinstance(value, dict):
        own = tuple(value[name] for name in _TOLD_APART if isinstance(value.get(name), str | int))
        for name, item in value.items():
            yield from _texts(item, (*path, name), (*group, *own))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(item, (*path, index), group)


def _put(value: Any, path: tuple[Any, ...], words: str) -> None:
    for step in path[:-1]:
        value = value[step]
    value[path[-1]] = words


def _written(value: Any, before: Any, text: str) -> str:
    """A value as the one before it was written."""
    for separators, ascii_only in _STYLES:
        if json.dumps(before, separators=separators, ensure_ascii=ascii_only) == text.strip():
            return json.dumps(value, separators=separators, ensure_ascii=ascii_only)
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
