"""Images, documents and other data that requests carry in base64, each kept once as a blob of its own.

It is taken out of what a node stores, and put back when that is read; the node key covers the whole message. So an
image that comes again under another parent, in a fork of the conversation or on another subagent's tape, is no second
image, and what a node stores stays small. The same goes for what is beside the messages: system prompt, tools and
parameters.
"""

import re
from binascii import Error, a2b_base64, b2a_base64
from collections.abc import Callable, Sequence
from copy import copy
from typing import Any

from store.domain.canonical import digest

LEAST = 4096
"""Characters from which on data is taken out. A blob of its own costs about 150 bytes: its row, its digest there, in
the index and in the node. That is 5 % of the 3 KiB that these characters hold; what is smaller stays in its place."""

_HEAD = re.compile(r"data:[^,]{0,200};base64,")

Attachment = tuple[list[Any], str]
"""Where in a message, or in the parts beside them, data stood, and the blob that it is."""


def take(message: dict[str, Any]) -> tuple[dict[str, Any], list[Attachment], dict[str, bytes]]:
    """A message without its data, where that stood, and the blobs. Of a URL with data, all before the data stays. What
    base64 would not give back to the letter is left alone."""
    found: list[tuple[list[Any], str, bytes]] = []
    _look(message, [], found)
    blobs: dict[str, bytes] = {}
    attachments: list[Attachment] = []
    for path, head, data in found:
        message = _set(message, path, head)
        name = digest(data)
        blobs[name] = data
        attachments.append((path, name))
    return message, attachments, blobs


def put_back(
    message: dict[str, Any], attachments: Sequence[Sequence[Any]], load: Callable[[str], bytes]
) -> dict[str, Any]:
    """The message as it was; `load` gives a blob's bytes."""
    for path, name in attachments:
        place: Any = message
        for step in path:
            place = place[step]
        message = _set(message, path, place + b2a_base64(load(name), newline=False).decode())
    return message


def _look(value: Any, path: list[Any], found: list[tuple[list[Any], str, bytes]]) -> None:
    if isinstance(value, str):
        if len(value) >= LEAST and (data := _data(value)) is not None:
            found.append((path, *data))
    elif isinstance(value, dict):
        for name, item in value.items():
            _look(item, [*path, name], found)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _look(item, [*path, index], found)


def _data(text: str) -> tuple[str, bytes] | None:
    match = _HEAD.match(text)
    head = match[0] if match else ""
    try:
        data = a2b_base64(text[len(head) :], strict_mode=True)
    except (Error, ValueError):
        return None
    return (head, data) if head + b2a_base64(data, newline=False).decode() == text else None


def _set(value: Any, path: Sequence[Any], to: Any) -> Any:
    """The value with another one at a path; only what is on the way is copied."""
    if not path:
        return to
    value = copy(value)
    value[path[0]] = _set(value[path[0]], path[1:], to)
    return value
