"""A request under another model's name, and otherwise to the byte as it was; or with what was said before it."""

import json
import re
from collections.abc import Sequence
from json.decoder import JSONDecodeError
from typing import Any

_BLANK = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()


def renamed(body: bytes, model: str) -> bytes:
    """The body with that value for every `model` of its object. One that is no JSON object names none: it stays."""
    text = body.decode("utf-8", "surrogateescape")
    new = json.dumps(model)
    pieces: list[str] = []
    done = 0
    try:
        found = _values(text, "model")
    except ValueError:
        return body
    for start, end in found:
        pieces += [text[done:start], new]
        done = end
    return "".join((*pieces, text[done:])).encode("utf-8", "surrogateescape")


def renamed_path(path: str, old: str, new: str) -> str:
    """The path with the other name where one stands in a path: Gemini's and Azure's."""
    return re.sub(rf"(/(?:models|tunedModels|deployments)/){re.escape(old)}(?=[:/]|%3[Aa])", lambda m: m[1] + new, path)


def renamed_inside(body: bytes, old: str, new: str) -> bytes:
    """A body of Gemini's, whose path has the model's name, and some requests in it once more."""
    return re.sub(
        rb'("model"\s*:\s*"models/)' + re.escape(old).encode() + rb'"', lambda m: m[1] + new.encode() + b'"', body
    )


def with_earlier(body: bytes, items: Sequence[Any]) -> bytes:
    """A Responses request with what was said before it, in place of the name of that. ValueError."""
    value = json.loads(body)
    given = value.pop("input", [])
    value.pop("previous_response_id", None)
    given = [{"role": "user", "content": given}] if isinstance(given, str) else given
    return json.dumps({**value, "input": [*items, *given]}, ensure_ascii=True).encode()


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
