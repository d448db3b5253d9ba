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
_ABOVE = re.compile(r"^input_cost_per_token_above_(\d+)k_tokens")
_DATE = re.compile(r"[-@](?:20\d{6}|20\d\d-\d\d-\d\d|latest|default)$")
_SERVICE_TIERS = ("flex", "priority")
"""What a provider calls slower and cheaper, or quicker and dearer service; the map's names end in them."""


@dataclass(frozen=True)
class Extras:
    """What a provider reports beyond tokens by kind, and charges for.

    `hour_cache` are the tokens of `Usage.cache_write` that are kept for an hour; `audio_input` those of `Usage.input`,
    `audio_output` and `image_output` those of `Usage.output` that are no text; `searches` web searches; `place`,
    `speed` and `tier` name where, how fast and in which service tier the model ran, "" for the ordinary.
    """

    hour_cache: int = 0
    searches: int = 0
    place: str = ""
    speed: str = ""
    tier: str = ""
    audio_input: int = 0
    audio_output: int = 0
    image_output: int = 0


@dataclass(frozen=True)
class Rates:
    """US dollars per token."""

    input: float
    output: float
    cache_read: float
    cache_write: float
    hour_cache: float
    reasoning: float
    audio_input: float
    audio_output: float
    image_output: float


@dataclass(frozen=True)
class Price:
    """What one model costs.

    A prompt of more tokens than a threshold is charged at its rates as a whole; `above` is in falling order. `search`
    is US dollars a web search, or, with `by_prompt`, an answer that searched; `factors` multiply the tokens' price, by
    place or speed; `tiers` are the prices in other service tiers.
    """

    rates: Rates
    above: tuple[tuple[int, Rates], ...] = ()
    search: float = 0.0
    by_prompt: bool = False
    factors: Mapping[str, float] = field(default_factory=dict)
    tiers: Mapping[str, "Price"] = field(default_factory=dict)

    def usd(self, usage: Usage, extras: Extras = Extras()) -> float:
        """US dollars for that usage."""
        if extras.tier in self.tiers:
            return self.tiers[extras.tier].usd(usage, extras)
        prompt = usage.input + usage.cache_read + usage.cache_write
        rates = next((rates for above, rates in self.above if prompt > above), self.rates)
        hour = min(extras.hour_cache, usage.cache_write)
        audio = min(extras.audio_input, usage.input)
        # What is not text is counted within the output, beside reasoning.
        other = extras.audio_output + extras.image_output
        said = max(usage.output - usage.reasoning - other, 0)
        tokens = (
            (usage.input - audio) * rates.input
            + audio * rates.audio_input
            + said * rates.output
            + usage.reasoning * rates.reasoning
            + extras.audio_output * rates.audio_output
            + extras.image_output * rates.image_output
            + usage.cache_read * rates.cache_read
            + (usage.cache_write - hour) * rates.cache_write
            + hour * rates.hour_cache
        )
        factor = self.factors.get(extras.place, 1.0) * self.factors.get(extras.speed, 1.0)
        return tokens * factor + (min(extras.searches, 1) if self.by_prompt else extras.searches) * self.search


_MOST = 4096
"""Models whose prices are remembered."""


class Prices:
    """Prices by model name. The map is read at the first question that needs it."""

    def __init__(self, entries: Mapping[str, Any] | None = None, own: Mapping[str, Price] | None = None) -> None:
        self._given = entries
        self._own = dict(own or {})
        self._found: dict[tuple[str, ...], Price | None] = {}

    @classmethod
    def default(cls) -> "Prices":
        """LiteLLM's map, as installed."""
        return cls()

    def with_own(self, own: Mapping[str, Sequence[float]]) -> "Prices":
        """The same with an operator's prices in front: US dollars per million tokens of input and output and, if
        given, of cache reads and cache writes (without: the price of input). ValueError for fewer or more numbers."""
        prices = {model: _own_price(model, numbers) for model, numbers in own.items()}
        return Prices(self._given, {**self._own, **prices})

    def of(self, *models: str, provider: str = "") -> Price | None:
        """The price of a model, with or without its provider's prefix and its date; None when unknown. Of several names
        for it, an operator's own price for any of them wins, then the map's for the first that it knows."""
        asked = (*models, provider)
        if asked not in self._found:
            if len(self._found) >= _MOST:
                # Clients name what they like.
                self._found.clear()
            self._found[asked] = self._find(models, provider)
        return self._found[asked]

    def usd(self, model: str, usage: Usage, extras: Extras = Extras(), *, provider: str = "") -> float | None:
        """US dollars for that usage of the model; None when its price is unknown."""
        price = self.of(model, provider=provider)
        return None if price is None else price.usd(usage, extras)

    @cached_property
    def _entries(self) -> Mapping[str, Any]:
        return _read_map() if self._given is None else self._given

    def _find(self, models: Iterable[str], provider: str) -> Price | None:
        names = [name for model in models if model for name in _names(model, provider)]
        for name in names:
            if name in self._own:
                return self._own[name]
        for name in names:
            entry = self._entries.get(name)
            if entry is not None and (price := _price(entry)) is not None:
                return price
        return None


def _names(model: str, provider: str) -> Iterable[str]:
    """The names to look for, from the most exact on."""
    bare = model.rpartition("/")[2]
    names = [*([f"{provider}/{bare}"] if provider else ()), model, bare, f"anthropic/{bare}", f"gemini/{bare}"]
    yield from names
    yield from (undated for name in names if (undated := _DATE.sub("", name)) not in ("", name))


def _own_price(model: str, numbers: Sequence[float]) -> Price:
    if not 2 <= len(numbers) <= 4 or any(number < 0 for number in numbers):
        raise ValueError(
            f"the price of {model!r} is 2 to 4 numbers, US dollars per million tokens: "
            "input, output, cache reads, cache writes"
        )
    million = [number / 1e6 for number in numbers]
    million += [million[0]] * (4 - len(million))
    input_, output, cache_read, cache_write = million
    return Price(Rates(input_, output, cache_read, cache_write, cache_write, output, input_, output, output))


def _price(entry: Mapping[str, Any], tier: str = "") -> Price | None:
    """The price that an entry of the map gives, in a service tier ("" for the ordinary one)."""
    if not isinstance(entry.get("input_cost_per_token"), int | float):
        return None
    above = sorted({int(match[1]) for key in entry if (match := _ABOVE.match(key))}, reverse=True)
    searches = entry.get("search_context_cost_per_query") or {}
    tiers = {} if tier else {name: price for name in _SERVICE_TIERS if (price := _tier_price(entry, name)) is not None}
    return Price(
        _rates(entry, "", tier),
        tuple((thousands * 1000, _rates(entry, f"_above_{thousands}k_tokens", tier)) for thousands in above),
        float(searches.get("search_context_size_medium") or 0.0),
        str(entry.get("litellm_provider")).startswith(("gemini", "vertex_ai"))
        and entry.get("web_search_billing_unit") != "per_query",
        {str(name): float(factor) for name, factor in (entry.get("provider_specific_entry") or {}).items()},
        tiers,
    )


def _tier_price(entry: Mapping[str, Any], tier: str) -> Price | None:
    return _price(entry, f"_{tier}") if f"input_cost_per_token_{tier}" in entry else None


def _rates(entry: Mapping[str, Any], above: str, tier: str) -> Rates:
    """The rates above a threshold and in a service tier. One that is not there is the ordinary one; cache tokens that
    have none at all are input, and what is no text costs what text does."""

    def rate(key: str, otherwise: float) -> float:
        for name in (key + above + tier, key + above, key + tier, key):
            if isinstance(value := entry.get(name), int | float):
                return float(value)
        return otherwise

    def plain(key: str, otherwise: float) -> float:
        value = entry.get(key + tier, entry.get(key))
        return float(value) if isinstance(value, int | float) else otherwise

    input_, output = rate("input_cost_per_token", 0.0), rate("output_cost_per_token", 0.0)
    cache_write = rate("cache_creation_input_token_cost", input_)
    return Rates(
        input=input_,
        output=output,
        cache_read=rate("cache_read_input_token_cost", input_),
        cache_write=cache_write,
        hour_cache=rate("cache_creation_input_token_cost_above_1hr", cache_write),
        reasoning=_reasoning(entry, tier, output),
        audio_input=plain("input_cost_per_audio_token", input_),
        audio_output=plain("output_cost_per_audio_token", output),
        image_output=plain("output_cost_per_image_token", output),
    )


def _reasoning(entry: Mapping[str, Any], tier: str, output: float) -> float:
    value = entry.get("output_cost_per_reasoning_token" + tier)
    if tier and value is None and "output_cost_per_token" + tier not in entry:
        value = entry.get("output_cost_per_reasoning_token")
    return float(value) if isinstance(value, int | float) else output


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
        if key.startswith(("input_cost_per_", "output_cost_per_", "cache_"))
        or key
        in ("search_context_cost_per_query", "web_search_billing_unit", "provider_specific_entry", "litellm_provider")
    }
