"""What must come out, read another way than the product does: simply, and without caring for time."""

import json
import re
from collections.abc import Callable
from decimal import Decimal, DecimalException
from itertools import accumulate
from typing import Any
from urllib.parse import unquote_plus

from store.domain.canonical import InexactError

HOP_BY_HOP = {
    *(
        b"connection",
        b"http2-settings",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    ),
    *(b"proxy-authenticate", b"proxy-authorization"),
}
PROVIDERS = {b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key"}
CREDENTIALS = PROVIDERS | {b"cookie", b"proxy-authorization", b"x-multitrack-attempt"}
SET_ANEW = {b"host", b"content-length", b"expect"}


def plain_name(name: bytes) -> bytes:
    return name.lower().replace(b"_", b"-")


def is_key(name: str) -> bool:
    names = ("key", "api_key", "api-key", "apikey", "access_token", "auth_token")
    return unquote_plus(name).lower() in names


def parameters(query: str) -> list[tuple[str, str, str]]:
    """A query's parameters: name, "=" or "", value."""
    return [part.partition("=") for part in re.split("[&;]", query)]


def by_the_standard(stream: bytes) -> list[tuple[str, bytes]]:
    """The events of a stream, as the HTML standard has it (9.2.6) but that the last one may lack its empty line."""
    found: list[tuple[str, bytes]] = []
    name, said = "", list[bytes]()
    for line in [*re.split(rb"\r\n|\r|\n", stream.removeprefix(b"\xef\xbb\xbf")), b""]:
        if not line:
            if said:
                found.append((name, b"\n".join(said)))
            name, said = "", []
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            said.append(value)
        elif field == b"event":
            name = value.decode("utf-8", "replace")
    return found


def is_deep(data: bytes) -> bool:
    """JSON that nests too deeply for a Python function that calls itself; what nests still deeper nobody reads."""
    return max(accumulate((byte in b"[{") - (byte in b"]}") for byte in data), default=0) > 150


def written(text: str) -> Any:
    """JSON as it is written: numbers in all their digits, an object as a tuple of pairs."""
    return json.loads(text, parse_float=_number, object_pairs_hook=tuple)


def _number(text: str) -> Decimal:
    try:
        return Decimal(text)
    except DecimalException:
        # Beyond what exponents can say: no double equals that, and nothing equals this.
        return Decimal("nan")


def holds(value: Any, written: Any) -> bool:
    """Whether a value is what is written, and all of it."""
    if isinstance(written, Decimal):
        return isinstance(value, float) and Decimal(repr(value)) == written
    if isinstance(written, tuple):
        return (
            isinstance(value, dict)
            and len(value) == len(written)
            and all(holds(value[name], item) for name, item in written)
        )
    if isinstance(written, list):
        return isinstance(value, list) and len(value) == len(written) and all(map(holds, value, written))
    return type(value) is type(written) and value == written


def attempt(parse: Callable[[bytes], Any], data: bytes) -> tuple[str, Any]:
    """What kept it from being read, "" for nothing, and the value."""
    try:
        return "", parse(data)
    except InexactError:
        return "inexact", None
    except ValueError:
        return "no JSON", None
