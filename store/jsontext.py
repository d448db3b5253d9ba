"""JSON text as the store keeps it: compact UTF-8, by orjson where it can."""

import json
from typing import Any

import orjson

from store.domain.codec import encode


def dumps(value: Any) -> str:
    """JSON of a value or a dataclass, also when a text in it has a lone surrogate or a number is large, which orjson
    refuses."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return json.dumps(encode(value), separators=(",", ":"))


def loads(text: str) -> Any:
    """Back from `dumps`. ValueError when the text is no JSON."""
    try:
        return orjson.loads(text)
    except ValueError:
        return json.loads(text)
