"""What an operator types to set or raise limits: `40`, `+10`, `+50%`, `2M`, `15m`. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from store.domain.commands import Raise
from store.domain.lane import Lane
from store.domain.limits import Limits
from store.domain.secrets import shown_line

FIELDS = ("turns", "tokens", "usd", "seconds")
LABELS: Mapping[str, str] = {"turns": "Turns", "tokens": "Tokens", "usd": "Dollars", "seconds": "Time"}
HINTS: Mapping[str, str] = {
    "turns": "40 · +10 · +50%",
    "tokens": "800k · 2M · +50%",
    "usd": "2.50 · +1 · +50%",
    "seconds": "900 · 20m · 2h · +10m",
}

_TYPED = re.compile(r"(\+?)\s*\$?(\d+(?:[.,]\d+)?)\s*(%|[a-zA-Z]*)")
_UNITS: Mapping[str, Mapping[str, float]] = {
    "turns": {"": 1},
    "tokens": {"": 1, "k": 1e3, "m": 1e6},
    "usd": {"": 1},
    "seconds": {"": 1, "s": 1, "m": 60, "h": 3600},
}


@dataclass(frozen=True)
class Wanted:
    """One limit as typed: an amount, one more than now, or a share more than now."""

    field: str
    amount: float
    more: bool = False
    share: bool = False

    def of(self, now: float | None) -> float | None:
        """The new limit; None where nothing is limited, so that nothing can be raised."""
        if now is None:
            return None
        if self.share:
            return now * (1 + self.amount / 100)
        return now + self.amount if self.more else self.amount


def parse(field: str, typed: str) -> Wanted | str | None:
    """What was typed for a limit; None for nothing, a sentence for what is not understood."""
    typed = typed.strip()
    if not typed:
        return None
    found = _TYPED.fullmatch(typed)
    units = _UNITS[field]
    if found is None or (found[3] != "%" and found[3].lower() not in units):
        return f"{LABELS[field]}: “{shown_line(typed, 20)}” is not understood; {HINTS[field]}"
    amount = float(found[2].replace(",", "."))
    if found[3] == "%":
        if not found[1]:
            return f"{LABELS[field]}: +{found[2]}% raises it by so much; without + it says nothing"
        return Wanted(field, amount, share=True)
    return Wanted(field, amount * units[found[3].lower()], more=bool(found[1]))


def limits(typed: Mapping[str, str]) -> Limits | str:
    """The limits of a subagent that is still to come; a sentence for what is not understood."""
    values: dict[str, float] = {}
    for field in FIELDS:
        read = parse(field, typed.get(field, ""))
        if isinstance(read, str):
            return read
        if read is None:
            continue
        if read.more or read.share:
            return f"{LABELS[field]}: there is nothing yet to add to; name the limit itself"
        if read.amount <= 0:
            return f"{LABELS[field]}: a limit is more than nothing"
        values[field] = round(read.amount) if field in ("turns", "tokens") else read.amount
    return Limits(**values)  # type: ignore[arg-type]  # whole numbers where they have to be


def raised(lane: Lane, wanted: list[Wanted]) -> Raise | str:
    """The order for one subagent, or why there is none."""
    values: dict[str, float] = {}
    for one in wanted:
        now = getattr(lane.limits, one.field)
        to = one.of(now)
        if to is None:
            continue
        if to <= now:
            return f"{LABELS[one.field]}: {lane.id.label} may use {now:g} already; a limit is only raised"
        values[one.field] = to
    if not values:
        return f"{lane.id.label} has no such limit"
    whole = {name: round(value) if name in ("turns", "tokens") else value for name, value in values.items()}
    return Raise(lane.id.generation, lane.id.lane, **whole)  # type: ignore[arg-type]  # whole numbers where they have to be
