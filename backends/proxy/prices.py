"""What a call costs, by the price map that LiteLLM ships; read as a file, without importing LiteLLM.

A model that the map doesn't know has no price: None, never 0. An operator's own prices win over the map's.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from store.domain.limits import Usage

MAP = "model_prices_and_context_window_backup.json"
_TIER = re.compile(r"^input_cost_per_token_above_(\d+)k_tokens$")
_DATE = re.compile(r"[-@](?:20\d{6}|20\d\d-\d\d-\d\d|latest|default)$")


@dataclass(frozen=True)
class Extras:
    """What a provider reports beyond tokens by kind, and charges for.

    `hour_cache` are the tokens of `Usage.cache_write` that are kept for an hour; `searches` web searches; `place` and
    `speed` name where and how fast the model ran, "" for the ordinary.
    """

    hour_cache: int = 0
    searches: int = 0
    place: str = ""
    speed: str = ""


@dataclass(frozen=True)
class Rates:
    """US dollars per token."""

    input: float
    output: float
    cache_read: float
    cache_write: float
    hour_cache: float


@dataclass(frozen=True)
class Price:
    """What one model costs.

    A prompt of more tokens than a tier's threshold is charged at its rates as a whole; tiers are in falling order.
    `search` is US dollars a web search; `factors` multiply the tokens' price, by place or speed.
    """

    rates: Rates
    tiers: tuple[tuple[int, Rates], ...] = ()
    search: float = 0.0
    factors: Mapping[str, float] = field(default_factory=dict)

    def usd(self, usage: Usage, extras: Extras = Extras()) -> float:
        """US dollars for that usage."""
        prompt = usage.input + usage.cache_read + usage.cache_write
        rates = next((rates for above, rates in self.tiers if prompt > above), self.rates)
        hour = min(extras.hour_cache, usage.cache_write)
        tokens = (
            usage.input * rates.input
            + usage.output * rates.output
            + usage.cache_read * rates.cache_read
            + (usage.cache_write - hour) * rates.cache_write
            + hour * rates.hour_cache
        )
        factor = self.factors.get(extras.place, 1.0) * self.factors.get(extras.speed, 1.0)
        return tokens * factor + extras.searches * self.search


class Prices:
    """Prices by model name. The map is read at the first question that needs it."""

    def __init__(self, entries: Mapping[str, Any] | None = None, own: Mapping[str, Price] | None = None) -> None:
        self._given = entries
        self._own = dict(own or {})
        self._found: dict[str, Price | None] = {}

    @classmethod
    def default(cls) -> "Prices":
        """LiteLLM's map, as installed."""
        return cls()

    def with_own(self, own: Mapping[str, Sequence[float]]) -> "Prices":
        """The same with an operator's prices in front: US dollars per million tokens of input and output and, if
        given, of cache reads and cache writes (without: the price of input). ValueError for fewer or more numbers."""
        prices = {model: _own_price(model, numbers) for model, numbers in own.items()}
        return Prices(self._given, {**self._own, **prices})

    def of(self, model: str) -> Price | None:
        """The price of a model, with or without its provider's prefix and its date; None when unknown."""
        if model not in self._found:
            self._found[model] = self._find(model)
        return self._found[model]

    def usd(self, model: str, usage: Usage, extras: Extras = Extras()) -> float | None:
        """US dollars for that usage of the model; None when its price is unknown."""
        price = self.of(model)
        return None if price is None else price.usd(usage, extras)

    @cached_property
    def _entries(self) -> Mapping[str, Any]:
        return _read_map() if self._given is None else self._given

    def _find(self, model: str) -> Price | None:
        names = list(_names(model))
        for name in names:
            if name in self._own:
                return self._own[name]
        for name in names:
            entry = self._entries.get(name)
            if entry is not None and (price := _price(entry)) is not None:
                return price
        return None


def _names(model: str) -> Iterable[str]:
    """The names to look for, from the most exact on."""
    bare = model.rpartition("/")[2]
    for name in (model, bare, f"anthropic/{bare}"):
        yield name
        if undated := _DATE.sub("", name):
            yield undated


def _own_price(model: str, numbers: Sequence[float]) -> Price:
    if not 2 <= len(numbers) <= 4 or any(number < 0 for number in numbers):
        raise ValueError(
            f"the price of {model!r} is 2 to 4 numbers, US dollars per million tokens: "
            "input, output, cache reads, cache writes"
        )
    million = [number / 1e6 for number in numbers]
    million += [million[0]] * (4 - len(million))
    input_, output, cache_read, cache_write = million
    return Price(Rates(input_, output, cache_read, cache_write, cache_write))


def _price(entry: Mapping[str, Any]) -> Price | None:
    if not isinstance(entry.get("input_cost_per_token"), int | float):
        return None
    tiers = sorted((int(match[1]) for key in entry if (match := _TIER.match(key))), reverse=True)
    searches = entry.get("search_context_cost_per_query") or {}
    return Price(
        _rates(entry),
        tuple((thousands * 1000, _rates(entry, f"_above_{thousands}k_tokens")) for thousands in tiers),
        float(searches.get("search_context_size_medium") or 0.0),
        {str(name): float(factor) for name, factor in (entry.get("provider_specific_entry") or {}).items()},
    )


def _rates(entry: Mapping[str, Any], tier: str = "") -> Rates:
    """The rates of a tier. One that it lacks is the ordinary one; cache tokens that have none at all are input."""

    def rate(key: str, otherwise: float) -> float:
        for name in (key + tier, key):
            if isinstance(value := entry.get(name), int | float):
                return float(value)
        return otherwise

    input_ = rate("input_cost_per_token", 0.0)
    cache_write = rate("cache_creation_input_token_cost", input_)
    return Rates(
        input=input_,
        output=rate("output_cost_per_token", 0.0),
        cache_read=rate("cache_read_input_token_cost", input_),
        cache_write=cache_write,
        hour_cache=rate("cache_creation_input_token_cost_above_1hr", cache_write),
    )


def _read_map() -> Mapping[str, Any]:
    """The map's entries, only the fields that matter here; empty when LiteLLM is not installed."""
    import orjson

    spec = find_spec("litellm")
    for folder in (spec.submodule_search_locations if spec else None) or ():
        path = Path(folder) / MAP
        if path.is_file():
            entries: dict[str, dict[str, Any]] = orjson.loads(path.read_bytes())
            return {name: _needed(entry) for name, entry in entries.items()}
    return {}


def _needed(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: value
        for key, value in entry.items()
        if key.startswith(("input_cost_per_token", "output_cost_per_token", "cache_"))
        or key in ("search_context_cost_per_query", "provider_specific_entry")
    }
