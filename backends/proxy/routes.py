"""Where a request goes: a fixed table of providers, and which protocol each of them speaks."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from backends.proxy.anthropic import AnthropicMessages
from backends.proxy.protocol import ProviderProtocol

PROTOCOLS: dict[str, ProviderProtocol] = {"anthropic": AnthropicMessages()}
"""The protocols that are understood, by the name that an upstream gives."""


@dataclass(frozen=True)
class Upstream:
    """A provider. `base_url` ends where `/v1/…` begins; `api_key` goes in last, in the protocol's own header; None
    sends no credential at all, or, with `own_key`, the client's own. ValueError for a URL that isn't plain HTTP(S), or
    an unknown protocol."""

    base_url: str
    api_key: str | None = None
    protocol: str = "anthropic"
    own_key: bool = False

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"the upstream {self.base_url!r} is no http:// or https:// address")
        if parts.query or parts.fragment or parts.username or parts.password:
            raise ValueError(f"the upstream {self.base_url!r} may have a path, but no query, fragment or credentials")
        if self.protocol not in PROTOCOLS:
            raise ValueError(f"the protocol {self.protocol!r} is not known; there are: {', '.join(PROTOCOLS)}")

    def __repr__(self) -> str:
        return f"Upstream({self.base_url!r}, protocol={self.protocol!r})"


@dataclass(frozen=True)
class Route:
    """One provider as the proxy reaches it. `path` is what is left for the provider, as on the wire."""

    provider: str
    upstream: Upstream
    path: str

    @property
    def protocol(self) -> ProviderProtocol:
        return PROTOCOLS[self.upstream.protocol]

    def url(self, query: str) -> str:
        """The whole address, with the request's query as it came."""
        return self.upstream.base_url.rstrip("/") + self.path + (f"?{query}" if query else "")


def find(upstreams: Mapping[str, Upstream], path: str) -> Route:
    """The provider that the path names in its first segment, `/anthropic/v1/…`; else the table's first."""
    name, slash, rest = path[1:].partition("/")
    if slash and name in upstreams:
        return Route(name, upstreams[name], slash + rest)
    first = next(iter(upstreams))
    return Route(first, upstreams[first], path)
