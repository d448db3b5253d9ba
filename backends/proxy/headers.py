"""Which headers go through, which are ours to set, and which are never kept.

Headers are lists of pairs of bytes, in order, repeats included; names are compared without case.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from store.domain.secrets import mask
from store.keys import PREFIX

Headers = Sequence[tuple[bytes, bytes]]

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"http2-settings",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""RFC 9110, 7.6.1 and older habit: they speak of one connection and end with it."""

KEYS = frozenset({b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key"})
"""Where clients put a provider's key, or a virtual one in its place."""

ATTEMPT = b"x-multitrack-attempt"
"""The secret of a routed call's try, which comes back to the proxy."""

CREDENTIALS = KEYS | {b"cookie", b"proxy-authorization", ATTEMPT}
"""What a client may have proved itself with: never sent on, never kept."""

COOKIES = frozenset({b"set-cookie", b"set-cookie2"})
"""A provider's cookies go with the operator's key, and a client's are not sent on: they are nobody's here."""

_SECRET = re.compile(
    rb"(?:^|-)(?:authorization|auth|token|secret|password|passwd|credentials?|cookie2?|signature)$"
    rb"|api-?key|access-?key|subscription-key|client-secret"
)
"""Names of headers that are never kept, whatever they are for."""

_VIRTUAL = PREFIX.encode()
_SET_ANEW = frozenset({b"host", b"content-length", b"expect"})


def get(headers: Headers, name: bytes) -> bytes:
    """The value of a header; of a repeated one the values joined by commas; b"" when it isn't there."""
    values = [value for key, value in headers if key.lower() == name]
    return values[0] if len(values) == 1 else b", ".join(values)


def _without(headers: Headers, names: Iterable[bytes]) -> list[tuple[bytes, bytes]]:
    """The headers without those names, hop-by-hop ones, and those that Connection names."""
    named = (token.strip().lower() for token in get(headers, b"connection").split(b","))
    out = HOP_BY_HOP.union(names, named)
    # With underscores they pass for the same names where somebody makes variables of them, as CGI does.
    return [(name, value) for name, value in headers if name.lower().replace(b"_", b"-") not in out]


def to_upstream(headers: Headers, *, own_key: bool = False) -> list[tuple[bytes, bytes]]:
    """A client's headers as they go on. The connection to the provider sets host and length itself. With `own_key` the
    keys that the client has for the provider go on; never a virtual one."""
    if not own_key:
        return _without(headers, CREDENTIALS | _SET_ANEW)
    return [
        (name, value)
        for name, value in _without(headers, CREDENTIALS - KEYS | _SET_ANEW)
        if name.lower().replace(b"_", b"-") not in KEYS or not _is_virtual(value)
    ]


def _is_virtual(value: bytes) -> bool:
    """A virtual key, also behind a scheme, which may be written in any case."""
    return any(word.startswith(_VIRTUAL) for word in value.split())


def to_client(headers: Headers, *, length: bool) -> list[tuple[bytes, bytes]]:
    """A provider's headers as they go back; `length` keeps the content length."""
    return _without(headers, COOKIES if length else COOKIES | {b"content-length"})


def kept(headers: Headers) -> list[tuple[str, str]]:
    """Headers as the record keeps them: without anything secret. A key of a known form under another name is masked."""
    pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers if not _is_secret(name)]
    return [(name, _masked(value)) for name, value in pairs]


def _masked(value: str) -> str:
    if len(value) < 16 and "@" not in value:
        return value
    # Nearly all values are those of the call before.
    return _masked_before(value) if len(value) < 200 else mask(value)


_masked_before = lru_cache(1024)(mask)


@lru_cache(1024)
def _is_secret(name: bytes) -> bool:
    plain = name.lower().replace(b"_", b"-")
    return plain in CREDENTIALS or _SECRET.search(plain) is not None
