"""What a subagent or a run may use, what it has used, and which limit that reaches first."""

from dataclasses import dataclass, field, fields
from math import isfinite

from store.domain.states import Ending


@dataclass(frozen=True)
class Usage:
    """Tokens of one call or of many, as the provider counts them. The first four kinds are disjoint; `reasoning` counts
    those of the output that were reasoning, where the provider says."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0

    @property
    def total(self) -> int:
        return self.input + self.output + self.cache_read + self.cache_write

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


@dataclass(frozen=True)
class Spend:
    """What has been used: model calls, tokens, US dollars and seconds of work (pauses left out).

    `priced` is false as soon as one call's model had no known price, or where nothing says what any of them took: then
    `usd` is a lower bound.
    """

    turns: int = 0
    usage: Usage = field(default_factory=Usage)
    usd: float = 0.0
    seconds: float = 0.0
    priced: bool = True

    @property
    def tokens(self) -> int | None:
        """All tokens; None where nothing says how many, for there is a cost, or it is not known."""
        return self.usage.total or (None if self.usd or not self.priced else 0)

    def __add__(self, other: "Spend") -> "Spend":
        return Spend(
            self.turns + other.turns,
            self.usage + other.usage,
            self.usd + other.usd,
            self.seconds + other.seconds,
            self.priced and other.priced,
        )


@dataclass(frozen=True)
class Limits:
    """The most that may be used; None is no limit. Money in US dollars, time in seconds."""

    turns: int | None = None
    tokens: int | None = None
    usd: float | None = None
    seconds: float | None = None

    def with_own(self, own: "Limits") -> "Limits":
        """These limits with those of `own` in their place where it has any."""
        return Limits(
            self.turns if own.turns is None else own.turns,
            self.tokens if own.tokens is None else own.tokens,
            self.usd if own.usd is None else own.usd,
            self.seconds if own.seconds is None else own.seconds,
        )

    def reached(self, spend: Spend) -> Ending | None:
        """The first limit that is used up, or None while work may go on."""
        checks: tuple[tuple[float, float | None, Ending], ...] = (
            (spend.turns, self.turns, Ending.TURNS),
            (spend.usage.total, self.tokens, Ending.TOKENS),
            (spend.usd, self.usd, Ending.COST),
            (spend.seconds, self.seconds, Ending.TIME),
        )
        return next((ending for used, most, ending in checks if most is not None and used >= most), None)


LIMITS_RAISED = "Your limits are raised."
"""What a subagent is told begins so when they are."""


def in_words(limits: Limits) -> str:
    """Limits as a sentence says them: `40 turns, 2,000,000 tokens, $1.50 and 900 s`."""
    said = [
        f"{limits.turns:,} turns" if limits.turns is not None else "",
        f"{limits.tokens:,} tokens" if limits.tokens is not None else "",
        f"${limits.usd:,.2f}" if limits.usd is not None else "",
        f"{limits.seconds:,g} s" if limits.seconds is not None else "",
    ]
    *first, last = [part for part in said if part] or ["as much as it wants"]
    return f"{', '.join(first)} and {last}" if first else last


def not_higher(now: Limits, wanted: Limits) -> str:
    """Why limits can't be raised to these, as what follows a subagent's name; "" when they can."""
    asked = [(f.name, getattr(now, f.name), getattr(wanted, f.name)) for f in fields(Limits)]
    asked = [one for one in asked if one[2] is not None]
    if not asked:
        return "was given no new limit: name turns, tokens, US dollars or seconds."
    for name, has, to in asked:
        word = {"usd": "cost", "seconds": "time"}.get(name, name)
        if has is None:
            return f"has no limit of {word} that could be raised."
        if not isfinite(to) or to <= has:
            return f"may already use {in_words(Limits(**{name: has}))}: a limit is only raised."
    return ""


@dataclass
class Stopwatch:
    """Seconds of work, in stretches. It has no clock of its own: the caller says the time, in Unix seconds."""

    seconds: float = 0.0
    since: float | None = None

    def start(self, at: float) -> None:
        """Begin a stretch; one that runs already goes on."""
        if self.since is None:
            self.since = at

    def stop(self, at: float) -> None:
        """End the stretch, if one runs."""
        self.seconds, self.since = self.read(at), None

    def read(self, now: float) -> float:
        """All seconds so far."""
        return self.seconds + (max(now - self.since, 0.0) if self.since is not None else 0.0)
