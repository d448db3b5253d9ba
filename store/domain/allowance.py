"""What a virtual key may use, what its subagent has used, and whether one more call may go out.

The rule is that of `store.domain.limits`: a limit is reached when as much as it allows is used, so that the last call
may go beyond it. Calls under way count by an estimate, for else many at once would all slip under one limit: what goes
beyond it is one call, however many come together. Plain decisions; the time comes with the question.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from fnmatch import fnmatchcase
from ipaddress import ip_address

from store.domain.limits import Limits, Spend
from store.domain.safe_text import safe_line

MINUTE = 60.0

AGAIN = 1.0
"""Seconds after which a call that was refused for those under way may be tried again."""

AT_ONCE = 256
"""Calls that a subagent may have under way at once, whatever its limits: several times what any agent was seen with."""

LONGEST_MODEL = 256
"""Characters of a model's name; a longer one is none."""


class Bound(StrEnum):
    """What kept a call from going out. The value is the word that people see, the same as in `Ending`."""

    TURNS = "turn limit"
    TOKENS = "token limit"
    COST = "cost limit"
    CALLS = "call limit"
    RATE = "rate limit"
    MODELS = "model not allowed"
    PATHS = "path not allowed"
    PEER = "address not allowed"
    OTHER = "refused"


@dataclass(frozen=True)
class Allowance:
    """The most that a key's subagent may use; None and empty are no limit.

    `turns` are answers that came whole, `calls` all exchanges that went out, `rate` those in a minute. `models` are
    names or patterns (`claude-*`). Under a limit in US dollars a model of unknown price is refused, for nobody could
    tell when it is reached; `unpriced` are names or patterns of those that the operator chose knowing it, and that
    count nothing. `peer` is the one address that the key is good from.
    """

    turns: int | None = None
    tokens: int | None = None
    usd: float | None = None
    calls: int | None = None
    rate: int | None = None
    models: tuple[str, ...] = ()
    unpriced: tuple[str, ...] = ()
    peer: str = ""

    @classmethod
    def of(cls, limits: Limits, model: str, *, peer: str = "") -> "Allowance":
        """That of a subagent with these limits, which works with this model. Its time is for who started it to watch:
        the key ends with the subagent."""
        return cls(turns=limits.turns, tokens=limits.tokens, usd=limits.usd, unpriced=(model,), peer=peer)

    def beyond(self, spent: Spend) -> "Allowance":
        """The same for one that has used so much which doesn't count."""
        return replace(
            self,
            turns=None if self.turns is None else self.turns + spent.turns,
            tokens=None if self.tokens is None else self.tokens + spent.usage.total,
            usd=None if self.usd is None else self.usd + spent.usd,
        )

    @property
    def measures(self) -> bool:
        """It limits what only a call that is understood tells of."""
        return self.turns is not None or self.tokens is not None or self.usd is not None or bool(self.models)


@dataclass(frozen=True, eq=False)
class Claim:
    """One call that wants to go out. `tokens` and `usd` are estimates, on the high side; `usd` is None for an unknown
    price. `uses` is whether it uses a model, `measured` whether what it uses will be known, or is nothing. Two calls
    that claim the same are two claims."""

    model: str = ""
    uses: bool = True
    measured: bool = True
    tokens: int = 0
    usd: float | None = 0.0


@dataclass(frozen=True)
class Denial:
    """Why a call may not go out. `retry_after` is in how many seconds it may, None when it never will."""

    bound: Bound
    text: str
    retry_after: float | None = None


@dataclass
class Ledger:
    """What a subagent has used, and what is under way. `begun` are the times of the calls of the last minute."""

    turns: int = 0
    tokens: int = 0
    usd: float = 0.0
    calls: int = 0
    begun: deque[float] = field(default_factory=deque)
    under_way: list[Claim] = field(default_factory=list)

    def begin(self, claim: Claim, at: float) -> None:
        """The call goes out."""
        self.calls += 1
        self.begun.append(at)
        self.under_way.append(claim)

    def end(self, claim: Claim, *, turn: bool = False, tokens: int = 0, usd: float | None = 0.0) -> None:
        """It is over, and this is what it used: an answer that came whole, tokens, US dollars (None: unknown)."""
        self.under_way.remove(claim)
        self.turns += turn
        self.tokens += tokens
        self.usd += usd or 0.0

    def recent(self, at: float) -> int:
        """Calls in the minute before. A clock that was set back forgets them."""
        while self.begun and not at - MINUTE < self.begun[0] <= at:
            self.begun.popleft()
        return len(self.begun)


def denial(allowance: Allowance, ledger: Ledger, claim: Claim, *, at: float, peer: str = "") -> Denial | None:
    """Why the call may not go out now; None lets it. What will never change comes before what will."""
    return (
        _out_of_bounds(allowance, claim, peer) or _used_up(allowance, ledger) or _not_now(allowance, ledger, claim, at)
    )


def _out_of_bounds(allowance: Allowance, claim: Claim, peer: str) -> Denial | None:
    if allowance.peer and not _same_address(allowance.peer, peer):
        return Denial(Bound.PEER, f"this key is not good from the address {peer or 'unknown'}")
    if allowance.measures and not claim.measured:
        return Denial(Bound.PATHS, "this key has limits that could not be held on this path")
    if not claim.uses:
        return None
    name = safe_line(claim.model, 100)
    if allowance.models and not _matches(claim.model, allowance.models):
        allowed = ", ".join(allowance.models)
        said = f"the model {name!r} is" if name else "a request whose model cannot be read is"
        return Denial(Bound.MODELS, f"{said} not allowed with this key, which may use: {allowed}")
    if allowance.usd is not None and claim.usd is None and not _matches(claim.model, allowance.unpriced):
        return Denial(Bound.COST, f"the price of the model {name!r} is unknown, so a cost limit cannot be held with it")
    return None


def _used_up(allowance: Allowance, ledger: Ledger) -> Denial | None:
    if allowance.turns is not None and ledger.turns >= allowance.turns:
        return Denial(Bound.TURNS, f"the turn limit is reached: {ledger.turns:,} of {allowance.turns:,} turns")
    if allowance.tokens is not None and ledger.tokens >= allowance.tokens:
        return Denial(Bound.TOKENS, f"the token limit is reached: {ledger.tokens:,} of {allowance.tokens:,} tokens")
    if allowance.usd is not None and ledger.usd >= allowance.usd:
        return Denial(Bound.COST, f"the cost limit is reached: ${ledger.usd:.2f} of ${allowance.usd:.2f}")
    # A call counts from its beginning: how it ends changes nothing.
    if allowance.calls is not None and ledger.calls >= allowance.calls:
        return Denial(Bound.CALLS, f"the call limit is reached: {ledger.calls:,} of {allowance.calls:,} calls")
    return None


def _not_now(allowance: Allowance, ledger: Ledger, claim: Claim, at: float) -> Denial | None:
    if allowance.rate is not None and ledger.recent(at) >= allowance.rate:
        wait = ledger.begun[0] + MINUTE - at if ledger.begun else MINUTE
        return Denial(Bound.RATE, f"the rate limit is reached: {allowance.rate:,} calls a minute", wait)
    busy = ledger.under_way
    if len(busy) >= AT_ONCE:
        return Denial(Bound.RATE, f"{AT_ONCE} calls are under way with this key", AGAIN)
    if not busy or not claim.uses or (allowance.turns is allowance.tokens is allowance.usd is None):
        return None
    turns, tokens, usd = sum(c.uses for c in busy), sum(c.tokens for c in busy), sum(c.usd or 0.0 for c in busy)
    for bound, reached in (
        (Bound.TURNS, allowance.turns is not None and ledger.turns + turns >= allowance.turns),
        (Bound.TOKENS, allowance.tokens is not None and ledger.tokens + tokens >= allowance.tokens),
        (Bound.COST, allowance.usd is not None and ledger.usd + usd >= allowance.usd),
    ):
        if reached:
            return Denial(bound, f"the calls under way with this key may reach its {bound}: wait for one to end", AGAIN)
    return None


def _matches(model: str, patterns: Iterable[str]) -> bool:
    return 0 < len(model) <= LONGEST_MODEL and any(fnmatchcase(model, pattern) for pattern in patterns)


def _same_address(one: str, other: str) -> bool:
    try:
        return ip_address(one) == ip_address(other)
    except ValueError:
        return False
