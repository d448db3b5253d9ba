"""A request's body under another model's name, and otherwise to the byte as it was."""

import json
import re
from json.decoder import JSONDecodeError

_BLANK = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()


def renamed(body: bytes, model: str) -> bytes:
    """The body with that value for every `model` of its object. ValueError when it is no JSON object."""
    text = body.decode("utf-8", "surrogateescape")
    new = json.dumps(model)
    pieces: list[str] = []
    done = 0
    for start, end in _values(text, "model"):
        pieces += [text[done:start], new]
        done = end
    return "".join((*pieces, text[done:])).encode("utf-8", "surrogateescape")


def _values(text: str, name: str) -> list[tuple[int, int]]:
    """Where the values of a member of the outermost object stand."""
    found: list[tuple[int, int]] = []
    at = _skip(text, _skip(text, 0, "{"))
    try:
        while text[at] != "}":
            if text[at] != '"':
                raise JSONDecodeError("no name", text, at)
            key, at = _DECODER.raw_decode(text, at)
            start = _skip(text, _skip(text, at, ":"))
            _, at = _DECODER.raw_decode(text, start)
            if key == name:
                found.append((start, at))
            at = _skip(text, at)
            if text[at] == ",":
                at = _skip(text, at + 1)
    except (IndexError, StopIteration, RecursionError) as error:
        raise ValueError("the body is no JSON object") from error
    return found


def _skip(text: str, at: int, sign: str = "") -> int:
    """Past blanks, then past a sign that has to be there."""
    match = _BLANK.match(text, at)
    assert match is not None
    at = match.end()
    if sign and text[at : at + 1] != sign:
        raise ValueError("the body is no JSON object")
    return at + len(sign)
