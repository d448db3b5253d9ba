"""Who is calling, by the request alone: the virtual key, as a header or in front of the path, and the checks that keep
web pages and other hosts' names out."""

import re
from dataclasses import dataclass
from urllib.parse import unquote, unquote_plus

from backends.proxy.headers import KEYS, Headers, get
from store.domain.safe_text import safe_line
from store.keys import PREFIX

KEY_PREFIX = "/k/"
"""For clients that can't set a key: `/k/SECRET/v1/messages`."""

KEY_HEADERS = (b"x-api-key", b"x-goog-api-key", b"api-key")

QUERY_KEYS = frozenset({"key", "api_key", "api-key", "apikey", "access_token", "auth_token"})
"""Parameters of a query that hold a credential."""

SHORTEST_KEY = 16
"""Characters of a real key. A shorter one, as a test's or a local server's, could be any word of an answer."""

THREAD_HEADERS = (
    b"x-claude-code-agent-id",
    b"x-claude-code-session-id",
    b"thread-id",
    b"session-id",
    b"x-session-id",
)
"""Claude Code's subagent, and its session; codex's thread, and its session; opencode's session."""

LONGEST_THREAD = 200
"""Characters that are kept of such a name; those that were seen have 36."""


@dataclass(frozen=True)
class Addressed:
    """A request's secret ("" where it has none) and the path that is left without it. `prefixed` when the secret stood
    in front of the path, where no client puts a provider's key."""

    secret: str
    path: str
    prefixed: bool = False


def address(path: str, headers: Headers, query: str = "") -> Addressed:
    """Find the key: in front of the path, else in a header of one of the usual names, else in the query. Path and query
    are as on the wire."""
    if path.startswith(KEY_PREFIX):
        secret, slash, rest = path[len(KEY_PREFIX) :].partition("/")
        return Addressed(secret, slash + rest if slash else "/", prefixed=True)
    for name in KEY_HEADERS:
        if value := get(headers, name):
            return Addressed(value.decode("latin-1").strip(), path)
    scheme, _, token = get(headers, b"authorization").decode("latin-1").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return Addressed(token.strip(), path)
    found = (unquote_plus(match[3]) for match in _PARAMETER.finditer(query) if _is_key(match))
    return Addressed(next(found, ""), path)


def without_keys(query: str, *, own_key: bool = False) -> str:
    """A query as it goes on: without credentials, all else to the letter. With `own_key` those that the client has for
    the provider stay; never a virtual key."""

    def part(match: re.Match[str]) -> str:
        stays = not _is_key(match) or (own_key and not unquote_plus(match[3]).startswith(PREFIX))
        return match[0] if stays else ""

    out = _PARAMETER.sub(part, query)
    return out if out == query else out.lstrip("&;")


def own_keys(headers: Headers, query: str) -> list[bytes]:
    """The keys that a client has brought for the provider, as they go on, but for short ones."""
    words = [word for name, value in headers if name.lower().replace(b"_", b"-") in KEYS for word in value.split()]
    words += [unquote_plus(match[3]).encode() for match in _PARAMETER.finditer(query) if _is_key(match)]
    return [word for word in words if len(word) >= SHORTEST_KEY and not word.startswith(PREFIX.encode())]


def kept_query(query: str) -> str:
    """A query as the record keeps it: stars in place of what is secret."""
    return _PARAMETER.sub(lambda match: f"{match[1]}{match[2]}=***" if _is_key(match) else match[0], query)


def thread(headers: Headers) -> str:
    """What the agent itself says of who is calling: its own subagent, else its session. "" where it says nothing."""
    found = {lower: value for name, value in headers if (lower := name.lower()) in THREAD_HEADERS}
    if not found:
        return ""
    said = next(found[name] for name in THREAD_HEADERS if name in found)
    return safe_line(said.decode("latin-1"), LONGEST_THREAD)


_PARAMETER = re.compile(r"(^|[&;])([^&;=]*)=([^&;]*)")


def _is_key(match: re.Match[str]) -> bool:
    return unquote_plus(match[2]).lower() in QUERY_KEYS


_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{0,5})?")


def host_name(headers: Headers) -> str | None:
    """The name in the Host header, without its port; None when there is not exactly one, or it is none."""
    hosts = [value for name, value in headers if name.lower() == b"host"]
    if len(hosts) != 1:
        return None
    match = _HOST.fullmatch(hosts[0].decode("latin-1").strip().lower())
    return match[1] if match else None


def is_odd(path: str) -> bool:
    """The path could mean another one to who reads it next. It has a segment `.` or `..`, and so could leave what the
    upstream's base URL names: plain or escaped, escaped twice, with a parameter, behind a backslash. Or it has escapes
    that are control characters or no UTF-8."""
    for _ in range(_UNESCAPINGS):
        segments = path.replace("\\", "/").split("/")
        if any(segment.partition(";")[0] in (".", "..") for segment in segments):
            return True
        if "%" not in path:
            return False
        try:
            plain = unquote(path, errors="strict")
        except UnicodeDecodeError:
            return True
        if _CONTROL.search(plain):
            return True
        if plain == path:
            return False
        path = plain
    return True


_UNESCAPINGS = 4
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
