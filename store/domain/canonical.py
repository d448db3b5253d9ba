"""The JSON that keys and digests are taken of, and what makes two requests the same.

Canonical JSON is ASCII without spaces, an object's keys sorted by code point, everything beyond ASCII as `\\uXXXX` in
lower case (a character above U+FFFF as a surrogate pair, a lone surrogate as itself), integers in all their digits,
other numbers as the shortest decimal that gives back the same double, as Python writes it (`1.0`, `1000.0`, `1e+16`).

Three forms, never mixed up; `docs/record.md` explains them, `tests/vectors/canonical.json` shows them:

- the **node key** covers the parent's key and the message less what doesn't change its meaning
  (`store.domain.kept`);
- the **request digest** covers the value of a whole body;
- the **match key** of a replay leaves out what differs from run to run: `store.domain.matching`.
"""

import json
from collections.abc import Mapping
from decimal import Decimal, DecimalException
from hashlib import blake2b
from typing import Any

DIGEST_SIZE = 20
"""Bytes of a key or digest, as long as Git's: `b2sum -l 160` gives the same."""

CONVERSATIONS = ("messages", "input", "contents")
"""The members of a body that may hold a conversation: of Anthropic's Messages and OpenAI's Chat Completions, OpenAI's
Responses, Gemini."""

_encoder = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False, check_circular=False)


class InexactError(ValueError):
    """It is JSON, but its value cannot be held without loss: a key twice, or a number that no double equals."""


def parse(data: bytes | str) -> Any:
    """The JSON value, exactly. InexactError where that can't be, another ValueError where it is no JSON in UTF-8."""
    try:
        # Decoded here: the standard library would let lone surrogates pass as bytes, where they aren't UTF-8.
        text = data.decode() if isinstance(data, bytes) else data
        return decoder.decode(text)
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


def kept_key(parent: str | None, kept: bytes) -> str:
    """The node key from the canonical JSON of the kept form: the digest of canonical JSON `[parent, kept]`."""
    return digest(b"[%b,%b]" % (b"null" if parent is None else b'"%b"' % parent.encode(), kept))


def request_digest(body: Any) -> str:
    """The digest of a request's value. In an object each member counts by the digest of its value, and a list that is
    a conversation by the digests of its items, so that a longer conversation costs only what is new in it."""
    if not isinstance(body, Mapping):
        return value_digest(body)
    return digest_of_members({name: member_digest(name, value) for name, value in body.items()})


def member_digest(name: str, value: Any) -> str | list[str]:
    """What a member of a body counts by in the request digest."""
    if name in CONVERSATIONS and isinstance(value, list):
        return [value_digest(item) for item in value]
    return value_digest(value)


def digest_of_members(members: Mapping[str, str | list[str]]) -> str:
    """The request digest from the digests of the body's members."""
    return digest(canonical(members))


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


decoder = json.JSONDecoder(object_pairs_hook=_object, parse_float=_float, parse_constant=_constant)
"""Reads JSON text exactly, as `parse`; its `raw_decode` reads a value that stands in a text. RecursionError where a
value is nested too deeply."""
