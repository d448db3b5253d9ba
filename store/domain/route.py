"""Routes: which models answer for a name that clients ask for. Plain values, and how people write them.

claude-sonnet-5-5 = openai/gpt-5.1 | openai/gpt-5.1@second, ollama_chat/qwen3, retries=1
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from zlib import crc32

MOST_RETRIES = 10

_TARGET = re.compile(
    r"(?P<provider>[a-z][a-z0-9_]*)/(?P<model>[^\s@,|]+(?:@\d[^\s@,|]*)?)(?:@(?P<upstream>[a-z][a-z0-9_-]*))?"
)
_SAME_HOUSE = {"ollama_chat": "ollama"}
"""Providers of LiteLLM's that have an upstream of another name."""


@dataclass(frozen=True)
class Deployment:
    """One model that can answer: LiteLLM's word for its provider, the provider's for the model, and the entry of the
    table of upstreams through which it is reached."""

    provider: str
    model: str
    upstream: str

    @property
    def name(self) -> str:
        """As LiteLLM writes it."""
        return f"{self.provider}/{self.model}"

    def __str__(self) -> str:
        usual = _SAME_HOUSE.get(self.provider, self.provider)
        return self.name if self.upstream == usual else f"{self.name}@{self.upstream}"


@dataclass(frozen=True)
class ModelRoute:
    """Who answers for a model's name, which may have `*` in it. `deployments` share the work, each subagent staying
    with one while it works; then `fallbacks`, in order. Each is tried `1 + retries` times."""

    model: str
    deployments: tuple[Deployment, ...]
    fallbacks: tuple[Deployment, ...] = ()
    retries: int = 0

    def __post_init__(self) -> None:
        if not self.model.strip():
            raise ValueError("a route needs the name of a model that clients ask for")
        if not self.deployments:
            raise ValueError(f"the route of {self.model!r} leads nowhere: it needs a deployment")
        if not 0 <= self.retries <= MOST_RETRIES:
            raise ValueError(
                f"the route of {self.model!r} has {self.retries} retries; there may be 0 to {MOST_RETRIES}"
            )

    @property
    def tried(self) -> tuple[Deployment, ...]:
        """Everybody that may be tried."""
        return (*self.deployments, *self.fallbacks)

    def order(self, who: str) -> tuple[Deployment, ...]:
        """The deployments in the order in which they are tried for that caller: always the same one first, for a
        provider's prompt cache is worth most to who stays with it."""
        first = crc32(who.encode()) % len(self.deployments)
        return (*self.deployments[first:], *self.deployments[:first], *self.fallbacks)


def deployment(text: str) -> Deployment:
    """Read `PROVIDER/MODEL`, or `PROVIDER/MODEL@UPSTREAM`. ValueError."""
    match = _TARGET.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text.strip()!r} is no deployment: it reads PROVIDER/MODEL or PROVIDER/MODEL@UPSTREAM")
    provider = match["provider"]
    return Deployment(provider, match["model"], match["upstream"] or _SAME_HOUSE.get(provider, provider))


def parse(text: str) -> ModelRoute:
    """Read `MODEL=TARGET|TARGET,FALLBACK,…,retries=N`. ValueError."""
    model, equals, rest = text.partition("=")
    if not equals:
        raise ValueError(f"{text!r} is no route: it reads MODEL=PROVIDER/MODEL")
    parts, retries = [part.strip() for part in rest.split(",")], 0
    if parts and (match := re.fullmatch(r"retries\s*=\s*(\d+)", parts[-1])):
        retries = int(match[1])
        parts.pop()
    first, *others = parts or [""]
    return ModelRoute(
        model.strip(),
        tuple(deployment(part) for part in first.split("|")),
        tuple(deployment(part) for part in others),
        retries,
    )


def route_of(routes: Iterable[ModelRoute], model: str) -> ModelRoute | None:
    """The route of a model: the one of exactly this name, else the first whose pattern fits."""
    routes = list(routes)
    exact = (route for route in routes if route.model == model)
    fitting = (route for route in routes if "*" in route.model and model and fnmatchcase(model, route.model))
    return next(exact, None) or next(fitting, None)


def asked_of(routes: Iterable[ModelRoute], model: str, home: str) -> frozenset[str]:
    """The upstreams that may be asked for a model; `home` is that of one without a route."""
    route = route_of(routes, model)
    return frozenset({home}) if route is None else frozenset(one.upstream for one in route.tried)


@dataclass(frozen=True)
class Provider:
    """A provider that the operator names: where it is, the protocol that it speaks, and the environment variable that
    has its key, "" for one that needs none."""

    name: str
    url: str
    protocol: str = "openai"
    key: str = ""
