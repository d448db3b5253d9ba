"""What can be said of a body that no reader of its protocol understands: what error it tells, and whether it is whole.

Gateways, load balancers and paths that pass unread have forms of their own for what went wrong.
"""

import html
import re
from typing import Any

from backends.proxy.protocol import loads_quickly
from backends.proxy.values import items, members, text
from store.domain.secrets import shown_line

LONGEST = 300
"""Characters of what is said of an error."""

READ = 1 << 20
"""Bytes of the largest body that is looked into for its error."""

_SENTENCES = ("message", "detail", "error_description", "description", "msg", "reason", "title")
"""Where a sentence stands: OpenAI's and most others' name, FastAPI's, OAuth's, problem details' (RFC 9457)."""

_KINDS = ("code", "type", "status")
_KIND = re.compile(r"(?!(?:error|fail|failed|failure)$)[\w.\-]{2,60}", re.IGNORECASE)
"""A word for a kind of error: no address of its description, and more than that it is one."""

_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_HIDDEN = re.compile(r"<(script|style)\b.*?</\1>|<!--.*?-->|<[^>]*>", re.IGNORECASE | re.DOTALL)


def is_json(content_type: bytes) -> bool:
    """The header speaks of one JSON value."""
    kind = content_type.partition(b";")[0].strip().lower()
    return kind == b"application/json" or kind.endswith(b"+json")


def is_cut(body: bytes, *, thoroughly: bool) -> bool:
    """A JSON body that ends before its end. A look at its last character tells most; `thoroughly` reads it."""
    body = body.removeprefix(b"\xef\xbb\xbf").strip()
    if body[:1] not in (b"{", b"["):
        return False
    if body[-1:] != (b"}" if body[:1] == b"{" else b"]"):
        return True
    if not thoroughly:
        return False
    try:
        loads_quickly(body)
    except (ValueError, RecursionError):
        return True
    return False


def told(body: bytes) -> str:
    """What a body says of an error, on one line, with keys hidden; "" where that can't be read."""
    if len(body) > READ:
        return ""
    said = body.removeprefix(b"\xef\xbb\xbf").strip()
    if said[:1] in (b"{", b"[", b'"'):
        try:
            return shown_line(_sentence(loads_quickly(said)), LONGEST)
        except (ValueError, RecursionError):
            # Of half a value, what there is.
            return shown_line(said[: 4 * LONGEST].decode("utf-8", "replace"), LONGEST)
    return shown_line(_first_line(said), LONGEST)


def _sentence(value: Any, kind: str = "") -> str:
    """The sentence in a JSON value, with the error's kind before it."""
    if isinstance(value, str):
        return f"{kind}: {value}" if kind and value and kind != value else value or kind
    if isinstance(value, list):
        return next(filter(None, map(_sentence, value[:10])), "")
    own = {name.lower(): item for name, item in members(value).items()}
    kind = next((kind for name in _KINDS if _KIND.fullmatch(kind := text(own.get(name)))), kind)
    inner = own.get("error") or items(own.get("errors"))
    if isinstance(inner, dict | list) and (said := _sentence(inner, kind)):
        return said
    for name in _SENTENCES:
        if said := _sentence(own.get(name)) if own.get(name) else "":
            return _sentence(said, text(inner) or kind)
    return _sentence(text(inner), kind)


def _first_line(body: bytes) -> str:
    """The first line of a text; of a page, its title."""
    try:
        said = body.decode()
    except UnicodeDecodeError:
        return ""
    if "\0" in said:
        return ""
    if said.startswith("<"):
        title = _TITLE.search(said)
        said = html.unescape(title[1] if title and title[1].strip() else _HIDDEN.sub(" ", said))
    return next((line for line in said.splitlines() if line.strip()), "")
