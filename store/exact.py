"""JSON in and out, exact and fast. Orjson does the work where it loses nothing, the standard library where it would:
integers beyond 64 bits, lone surrogates, keys that come twice."""

import json
from typing import Any

import orjson

from store.domain import canonical


def parse(data: bytes, value: Any = None) -> Any:
    """The JSON value, exactly. InexactError where that can't be, another ValueError where it is no JSON.

    `value` is what orjson makes of it, for who has that already; it is checked as if it were read here."""
    return read(data, value)[0]


def read(data: bytes, value: Any = None) -> tuple[Any, bool]:
    """`parse`, and whether orjson writes the value to the byte as it came."""
    try:
        if value is None:
            value = orjson.loads(data)
        # Most clients write compact JSON in UTF-8: when it comes back to the byte, nothing was lost.
        if orjson.dumps(value) == data:
            return value, True
    except (ValueError, TypeError):
        pass
    return canonical.parse(data), False


def dumps(value: Any) -> bytes:
    """Compact JSON, keys in their own order: what the store keeps."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, separators=(",", ":")).encode("ascii")


def trimmed(data: bytes) -> bytes:
    """The same bytes, for whoever keeps them: those that orjson wrote take 4 KiB of memory, however short."""
    return b"%b" % data


def loads(data: bytes) -> Any:
    """Back from `dumps`, exactly."""
    try:
        value = orjson.loads(data)
        if orjson.dumps(value) == data:
            return value
    except (ValueError, TypeError):
        pass
    return json.loads(data)


def form(value: Any) -> bytes:
    """Compact JSON with sorted keys. Two values with the same form are the same JSON value. For comparing within a
    process only: how floats look depends on the library's version, which canonical JSON doesn't."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        return canonical.canonical(value)
