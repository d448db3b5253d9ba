"""What makes two messages one node, and two requests the same: the forms that keys and digests are taken of.

Canonical JSON is ASCII without spaces, an object's keys sorted by code point, everything beyond ASCII as `\\uXXXX` in
lower case (a character above U+FFFF as a surrogate pair, a lone surrogate as itself), integers in all their digits,
other numbers as the shortest decimal that gives back the same double, as Python writes it (`1.0`, `1000.0`, `1e+16`).

Three forms, never mixed up; `docs/record.md` explains them, `tests/vectors/canonical.json` shows them:

- the **node key** covers the parent's key and the message less what doesn't change its meaning;
- the **request digest** covers the value of a whole body;
- the **match key** of a replay leaves out what differs from run to run. It comes with replay, and lives there.
"""

import json
from collections.abc import Mapping
from copy import copy
from decimal import Decimal, DecimalException
from hashlib import blake2b
from typing import Any

DIGEST_SIZE = 20
"""Bytes of a key or digest, as long as Git's: `b2sum -l 160` gives the same."""

Overlay = dict[str, Any]
"""What a message has beyond its kept form: `edits`, a list of [path, value] (a path's last step is the name of a member
to set, or the index of an item to insert, in this order), and `string` when its content was a plain string."""

_encoder = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False, check_circular=False)

_ANSWER_ONLY = frozenset({"id", "model", "stop_reason", "stop_sequence", "stop_details", "usage"}) | frozenset(
    {"container", "context_management", "diagnostics"}
)
_CACHE_MARKER = "cache_control"
_DIRECT = {"type": "direct"}
_REMINDER = "<system-reminder>"
_REMINDER_END = "</system-reminder>"


class InexactError(ValueError):
    """It is JSON, but its value cannot be held without loss: a key twice, or a number that no double equals."""


def parse(data: bytes | str) -> Any:
    """The JSON value, exactly. InexactError where that can't be, another ValueError where it is no JSON in UTF-8."""
    try:
        # Decoded here: the standard library would let lone surrogates pass as bytes, where they aren't UTF-8.
        text = data.decode() if isinstance(data, bytes) else data
        return json.loads(text, object_pairs_hook=_object, parse_float=_float, parse_constant=_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def canonical(value: Any) -> bytes:
    """Canonical JSON of a JSON value. ValueError for NaN and the infinities, which are none."""
    return _encoder.encode(value).encode("ascii")


def digest(data: bytes) -> str:
    """BLAKE2b of bytes, in hexadecimal: the name of a blob, and the last step of every key."""
    return blake2b(data, digest_size=DIGEST_SIZE).hexdigest()


def value_digest(value: Any) -> str:
    """The digest of a JSON value, spacing and order of keys aside."""
    return digest(canonical(value))


def node_key(parent: str | None, message: Mapping[str, Any]) -> str:
    """The key of a message under its parent's, None at the root of a conversation."""
    kept, _ = split(message)
    return kept_key(parent, canonical(kept))


def kept_key(parent: str | None, kept: bytes) -> str:
    """The node key from the canonical JSON of the kept form: the digest of canonical JSON `[parent, kept]`."""
    return digest(b"[%b,%b]" % (b"null" if parent is None else b'"%b"' % parent.encode(), kept))


def request_digest(body: Any) -> str:
    """The digest of a request's value. In an object each member counts by the digest of its value, and a list under
    `messages` by the digests of its items, so that a longer conversation costs only what is new in it."""
    if not isinstance(body, Mapping):
        return value_digest(body)
    return digest_of_members(
        {
            name: [value_digest(item) for item in value]
            if name == "messages" and isinstance(value, list)
            else value_digest(value)
            for name, value in body.items()
        }
    )


def digest_of_members(members: Mapping[str, str | list[str]]) -> str:
    """The request digest from the digests of the body's members."""
    return digest(canonical(members))


def split(message: Mapping[str, Any]) -> tuple[dict[str, Any], Overlay | None]:
    """A message as its node keeps it, and what that leaves out, None for nothing. `join` puts them together.

    The kept form has its content as a list of blocks. Left out are, whoever sent the message: cache markers, members
    that are null, fields that only an answer has, empty text blocks, and a user's text blocks that are wholly a
    client's reminder. Never looked into is the `input` of a tool call. The kept form of a kept form is itself.
    """
    edits: list[list[Any]] = []
    kept: dict[str, Any] = {}
    string = False
    whole_answer = message.get("type") == "message"
    user = message.get("role") == "user"
    for name, value in message.items():
        if name == "content" and isinstance(value, str | list):
            string = isinstance(value, str)
            content = [{"type": "text", "text": value}] if isinstance(value, str) else value
            kept[name] = _content(content, user, [name], edits)
        elif name in _ANSWER_ONLY or _empty(name, value) or (whole_answer and name not in ("role", "content")):
            edits.append([[name], value])
        else:
            kept[name] = _strip(value, [name], edits)
    overlay: Overlay = {}
    if edits:
        overlay["edits"] = edits
    if string:
        overlay["string"] = True
    return kept, overlay or None


def join(kept: Mapping[str, Any], overlay: Overlay | None) -> dict[str, Any]:
    """The message as it was. Shares with `kept` what the overlay doesn't touch."""
    message = dict(kept)
    if overlay is None:
        return message
    for path, value in overlay.get("edits", ()):
        place: Any = message
        for step in path[:-1]:
            place[step] = copy(place[step])
            place = place[step]
        if isinstance(path[-1], str):
            place[path[-1]] = value
        else:
            place.insert(path[-1], value)
    if overlay.get("string"):
        message["content"] = message["content"][0]["text"]
    return message


def _content(content: list[Any], user: bool, path: list[Any], edits: list[list[Any]]) -> list[Any]:
    kept = []
    for index, block in enumerate(content):
        if not isinstance(block, dict):
            kept.append(_strip(block, [*path, index], edits))
        elif block.get("type") == "text" and _says_nothing(block.get("text"), user):
            edits.append([[*path, index], block])
        else:
            kept.append(_block(block, [*path, index], edits))
    return kept


def _block(block: dict[str, Any], path: list[Any], edits: list[list[Any]]) -> dict[str, Any]:
    kept = {}
    for name, value in block.items():
        # A tool's input is the tool's own business: null and `cache_control` mean there what the tool wants.
        if name == "input":
            kept[name] = value
        elif _empty(name, value) or (name == "citations" and value == []):
            edits.append([[*path, name], value])
        elif name == "caller" and _strip(value, [], []) == _DIRECT:
            # The default, which answers spell out and clients drop.
            edits.append([[*path, name], value])
        else:
            kept[name] = _strip(value, [*path, name], edits)
    return kept


def _strip(value: Any, path: list[Any], edits: list[list[Any]]) -> Any:
    if isinstance(value, dict):
        kept = {}
        for name, item in value.items():
            if name == "input":
                kept[name] = item
            elif _empty(name, item):
                edits.append([[*path, name], item])
            else:
                kept[name] = _strip(item, [*path, name], edits)
        return kept
    if isinstance(value, list):
        return [_strip(item, [*path, index], edits) for index, item in enumerate(value)]
    return value


def _empty(name: str, value: Any) -> bool:
    return value is None or name == _CACHE_MARKER


def _says_nothing(text: Any, user: bool) -> bool:
    return isinstance(text, str) and (not text or (user and _is_reminder(text)))


def _is_reminder(text: str) -> bool:
    """Nothing but reminders. One that quotes the closing tag is taken for more than that, and kept."""
    position, found = 0, False
    text = text.strip()
    while text.startswith(_REMINDER, position):
        end = text.find(_REMINDER_END, position)
        if end < 0:
            return False
        found, position = True, end + len(_REMINDER_END)
        while position < len(text) and text[position].isspace():
            position += 1
    return found and position == len(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise InexactError("an object has a key twice")
    return value


def _float(text: str) -> float:
    value = float(text)
    try:
        exact = Decimal(text) == Decimal(repr(value))
    except DecimalException:
        exact = False
    if not exact:
        raise InexactError(f"no double equals {text[:40]}")
    return value


def _constant(text: str) -> float:
    raise ValueError(f"{text} is no JSON")
