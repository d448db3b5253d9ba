"""Which headers go through, which are ours to set, and which are never kept.

Headers are lists of pairs of bytes, in order, repeats included; names are compared without case.
"""

from collections.abc import Iterable, Sequence

from store.keys import PREFIX

Headers = Sequence[tuple[bytes, bytes]]

HOP_BY_HOP = frozenset(
    {
        b"connection",
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

CREDENTIALS = KEYS | {b"cookie", b"proxy-authorization"}
"""What a client may have proved itself with: never sent on, never kept."""

SECRET_ANSWERS = frozenset({b"set-cookie", b"set-cookie2"})
"""What a provider may hand out: sent on, never kept."""

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
    return [(name, value) for name, value in headers if name.lower() not in out]


def to_upstream(headers: Headers, *, own_key: bool = False) -> list[tuple[bytes, bytes]]:
    """A client's headers as they go on. The connection to the provider sets host and length itself. With `own_key` the
    keys that the client has for the provider go on; never a virtual one."""
    if not own_key:
        return _without(headers, CREDENTIALS | _SET_ANEW)
    return [
        (name, value)
        for name, value in _without(headers, CREDENTIALS - KEYS | _SET_ANEW)
        if name.lower() not in KEYS or not value.removeprefix(b"Bearer ").strip().startswith(_VIRTUAL)
    ]


def to_client(headers: Headers, *, length: bool) -> list[tuple[bytes, bytes]]:
    """A provider's headers as they go back; `length` keeps the content length."""
    return _without(headers, () if length else (b"content-length",))


def kept(headers: Headers) -> list[tuple[str, str]]:
    """Headers as the record keeps them: without anything secret."""
    return [
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in headers
        if name.lower() not in CREDENTIALS | SECRET_ANSWERS
    ]
