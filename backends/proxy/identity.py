"""Who is calling, by the request alone: the virtual key, as a header or in front of the path, and the checks that keep
web pages and other hosts' names out."""

from dataclasses import dataclass

from backends.proxy.headers import Headers, get

KEY_PREFIX = "/k/"
"""For clients that can't set a key: `/k/SECRET/v1/messages`."""

KEY_HEADERS = (b"x-api-key", b"x-goog-api-key", b"api-key")


@dataclass(frozen=True)
class Addressed:
    """A request's secret ("" where it has none) and the path that is left without it. `prefixed` when the secret stood
    in front of the path, where no client puts a provider's key."""

    secret: str
    path: str
    prefixed: bool = False


def address(path: str, headers: Headers) -> Addressed:
    """Find the key: in front of the path, else in a header of one of the usual names. The path is as on the wire."""
    if path.startswith(KEY_PREFIX):
        secret, slash, rest = path[len(KEY_PREFIX) :].partition("/")
        return Addressed(secret, slash + rest if slash else "/", prefixed=True)
    for name in KEY_HEADERS:
        if value := get(headers, name):
            return Addressed(value.decode("latin-1").strip(), path)
    scheme, _, token = get(headers, b"authorization").decode("latin-1").partition(" ")
    return Addressed(token.strip() if scheme.lower() == "bearer" else "", path)


def host_name(headers: Headers) -> str | None:
    """The name in the Host header, without its port; None when there is not exactly one."""
    hosts = [value for name, value in headers if name.lower() == b"host"]
    if len(hosts) != 1:
        return None
    host = hosts[0].decode("latin-1").strip().lower()
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]


def climbs(path: str) -> bool:
    """The path has a segment `.` or `..`, plain or escaped: it could leave what the upstream's base URL names."""
    segments = path.lower().replace("%2e", ".").replace("%2f", "/").replace("%5c", "/").replace("\\", "/").split("/")
    return any(segment in (".", "..") for segment in segments)
