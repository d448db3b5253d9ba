"""What routes there are: which models answer for a name that clients ask for. Plain values, and how people write them.

claude-sonnet-5-5 = openai/gpt-5.1 | openai/gpt-5.1@second, ollama_chat/qwen3, retries=1
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from zlib import crc32

from backends.proxy.routes import Upstream

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


class RouteTable:
    """Finds a model's route: the one of exactly this name, else the first whose pattern fits. ValueError when a route
    is there twice, or leads to an upstream that isn't in the table."""

    def __init__(self, routes: Iterable[ModelRoute], upstreams: Mapping[str, Upstream]) -> None:
        self._exact: dict[str, ModelRoute] = {}
        self._patterns: dict[str, ModelRoute] = {}
        for route in routes:
            kept = self._patterns if "*" in route.model else self._exact
            if route.model in kept:
                raise ValueError(f"the model {route.model!r} has two routes: leave one")
            kept[route.model] = route
            for one in (*route.deployments, *route.fallbacks):
                if one.upstream not in upstreams:
                    known = ", ".join(upstreams)
                    raise ValueError(
                        f"the route of {route.model!r}: {one} needs an upstream {one.upstream!r}; there are {known}"
                    )

    def __bool__(self) -> bool:
        return bool(self._exact or self._patterns)

    def find(self, model: str) -> ModelRoute | None:
        if (route := self._exact.get(model)) is not None:
            return route
        return next((route for name, route in self._patterns.items() if model and fnmatchcase(model, name)), None)
