"""What a model costs its operator, where that is not in the public map of prices or is otherwise."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class OwnPrice:
    """US dollars per million tokens. What is read from a cache and written to it costs as much as other input where
    nothing is said. ValueError for what can't be a price."""

    model: str
    input: float
    output: float
    cache_read: float | None = None
    cache_write: float | None = None

    def __post_init__(self) -> None:
        if not self.model.strip():
            raise ValueError("a price needs the name of its model")
        if any(not (math.isfinite(number) and number >= 0) for number in self.numbers):
            raise ValueError(f"the price of {self.model!r} is no number of US dollars per million tokens")

    @property
    def numbers(self) -> tuple[float, float, float, float]:
        """Input, output, cache reads, cache writes."""
        read, write = (self.input if each is None else each for each in (self.cache_read, self.cache_write))
        return self.input, self.output, read, write


def parse(text: str) -> OwnPrice:
    """As the command line has it: `qwen3=0.1,0.4` or `qwen3=0.1,0.4,0.01,0.1`. ValueError, which says what is wrong."""
    model, equals, said = text.rpartition("=")
    try:
        numbers = [float(number) for number in said.split(",")]
    except ValueError:
        numbers = []
    if not equals or not 2 <= len(numbers) <= 4:
        raise ValueError(
            f"{text!r} is no price: it reads MODEL=INPUT,OUTPUT[,CACHE_READ[,CACHE_WRITE]], "
            "in US dollars per million tokens"
        )
    return OwnPrice(model.strip(), *numbers)


def by_model(prices: Iterable[OwnPrice]) -> Mapping[str, tuple[float, float, float, float]]:
    """The numbers of each; of a model that is there twice, the last."""
    return {price.model: price.numbers for price in prices}
