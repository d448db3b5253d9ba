"""Where a request goes: a fixed table of providers, and which protocol each of them speaks."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import urlsplit

from backends.proxy.anthropic import AnthropicMessages
from backends.proxy.gemini import Gemini
from backends.proxy.ollama import Ollama
from backends.proxy.openai import Azure, OpenAI
from backends.proxy.protocol import ProviderProtocol

PROTOCOLS: dict[str, ProviderProtocol] = {
    protocol.name: protocol for protocol in (AnthropicMessages(), OpenAI(), Azure(), Gemini(), Ollama())
}
"""The protocols that are understood, by the name that an upstream gives."""


@dataclass(frozen=True)
class Known:
    """A provider that needs no configuration but its key: `keys` are the environment variables that may hold it, the
    first that is set counts."""

    base_url: str
    keys: tuple[str, ...]
    protocol: str


KNOWN = {
    "anthropic": Known("https://api.anthropic.com", ("ANTHROPIC_API_KEY",), "anthropic"),
    "openai": Known("https://api.openai.com", ("OPENAI_API_KEY",), "openai"),
    "gemini": Known("https://generativelanguage.googleapis.com", ("GEMINI_API_KEY", "GOOGLE_API_KEY"), "gemini"),
    "ollama": Known("http://127.0.0.1:11434", (), "ollama"),
}
"""The providers that are known by name."""

_AZURE = "/openai/deployments/"
"""How Azure's paths begin: no provider's name."""

_SHAPES = (
    (re.compile(r"^/v1/(?:messages|complete)(?:/|$)"), ("anthropic",)),
    (
        re.compile(r"^(?:/v1)?/(?:chat/completions|completions|responses|embeddings|images|audio|moderations)(?:/|$)"),
        ("openai", "ollama", "azure"),
    ),
    (re.compile(rf"^{_AZURE}"), ("azure", "openai")),
    (re.compile(r"^(?:/upload)?/v1(?:alpha|beta)\d*/|/(?:models|tunedModels|endpoints)/[^/]+:\w+$"), ("gemini",)),
    (re.compile(r"^/api/(?:chat|generate|tags|show|embed)$"), ("ollama",)),
)
"""Paths that tell whose they are, with the protocols that have them, the likeliest first."""


_VERSION = re.compile(r"/v[0-9]+(?:alpha|beta)?[0-9]*$")


@dataclass(frozen=True)
class Upstream:
    """A provider. `base_url` ends where `/v1/…` begins, or with that version; `api_key` goes in last, in the protocol's
    own header; None sends no credential at all, or, with `own_key`, the client's own. ValueError for a URL that isn't
    plain HTTP(S), or an unknown protocol."""

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

    @cached_property
    def version(self) -> str:
        """The version that the address ends with, as its path has it (`/v1`, `/v1beta`); "" where there is none."""
        match = _VERSION.search(urlsplit(self.base_url).path.rstrip("/"))
        return match[0] if match else ""

    def __repr__(self) -> str:
        return f"Upstream({self.base_url!r}, protocol={self.protocol!r})"


@dataclass(frozen=True)
class Route:
    """One provider as the proxy reaches it. `path` is what is left for the provider, as on the wire. `instead` are the
    providers and models of those who may be asked in its place."""

    provider: str
    upstream: Upstream
    path: str
    instead: tuple[tuple[str, str], ...] = ()
    guessed: bool = False
    """Neither a name nor a shape led here: it is the first of several."""

    @property
    def protocol(self) -> ProviderProtocol:
        return PROTOCOLS[self.upstream.protocol]

    def url(self, query: str) -> str:
        """The whole address, with the request's query as it came. A version that the upstream's address ends with, as
        `https://openrouter.ai/api/v1` does, isn't said twice."""
        base, version = self.upstream.base_url.rstrip("/"), self.upstream.version
        if version and self.path.startswith(f"{version}/"):
            base = base.removesuffix(version)
        return base + self.path + (f"?{query}" if query else "")


def _meant(upstream: Upstream, path: str) -> str:
    """A path as the provider has it. Vercel's SDK takes its address from the variable of Anthropic's, and leaves the
    version out that that one puts in: where the provider's address has none either, there is no such path."""
    unversioned = upstream.protocol == "anthropic" and path.partition("?")[0] in ("/messages", "/messages/count_tokens")
    return f"/v1{path}" if unversioned and not upstream.version else path


def find(upstreams: Mapping[str, Upstream], path: str) -> Route:
    """The provider that the path names in its first segment, `/anthropic/v1/…`; else the first one in the table whose
    protocol has such a path; else the table's first."""
    name, _, rest = path[1:].partition("/")
    if name in upstreams and not path.startswith(_AZURE):
        return Route(name, upstreams[name], _meant(upstreams[name], f"/{rest}"))
    protocols = next((protocols for shape, protocols in _SHAPES if shape.search(path)), ())
    speaking = (name for protocol in protocols for name, each in upstreams.items() if each.protocol == protocol)
    spoken = next(speaking, None)
    first = spoken or next(iter(upstreams))
    return Route(first, upstreams[first], path, guessed=spoken is None and len(upstreams) > 1)
