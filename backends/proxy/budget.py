"""The limits of virtual keys, held before a call goes out: what each subagent has used, and what is under way.

What was used is read from the tape when a subagent is first seen, so it outlives the engine; from then on each call
adds to it when it ends. The decisions are in `store.domain.allowance`.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import replace

from backends.proxy.incoming import Asked, RefusedError
from backends.proxy.prices import Prices
from backends.proxy.protocol import OpaqueReader
from backends.proxy.routes import Route
from store import keys
from store.database import Store, StoreError
from store.domain.allowance import LONGEST_MODEL, Bound, Claim, Denial, Ledger, denial
from store.domain.events import Alert
from store.domain.ids import SubagentId
from store.domain.limits import Usage
from store.keys import Key
from store.recording import CallEnd

log = logging.getLogger("multitrack.proxy")

BYTES_A_TOKEN = 3
"""Of a request's body. English in JSON has four and more, code somewhat less, other scripts have less in characters and
more in bytes: three errs on the high side. Only calls under way are estimated."""

EVENT_BYTES_A_TOKEN = 100
"""Of an event stream: an event around a token or a few has 100 to 300."""

UNSTATED_OUTPUT = 8192
"""Tokens that an answer is taken to have when its request states no maximum: more than nearly all have."""

_MOST = 4096
"""Ledgers that are kept; one without calls under way can be read again."""

_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_COUNTS = ("/count_tokens", ":counttokens", "/input_tokens")
"""What the ends of paths that count tokens for nothing look like."""


class DeniedError(RefusedError):
    """A call that a limit keeps from going out."""

    def __init__(self, subagent: SubagentId, found: Denial) -> None:
        status = _STATUS.get(found.bound, 402) if found.retry_after is None else 429
        super().__init__(status, found.text, retry_after=found.retry_after)
        self.subagent = subagent
        self.bound = found.bound


_STATUS = {Bound.MODELS: 403, Bound.PATHS: 403, Bound.PEER: 403}


class Admitted:
    """A call that may go out. It counts as under way until `end` says what it used, or `release` that it is over."""

    def __init__(
        self, ledger: Ledger, claim: Claim, turn: bool, prompt: int, price: Callable[[Usage], float | None]
    ) -> None:
        self._ledger = ledger
        self._claim = claim
        self._turn = turn
        self._prompt = prompt
        self._price = price
        self._open = True

    def end(self, end: CallEnd) -> None:
        """The call is over. An answer that came but whose use was not reported, for the client hung up before the
        report or the provider makes none, is counted by an estimate: hanging up is no way around a limit."""
        if not self._open:
            return
        self._open = False
        usage, usd = end.usage, end.usd
        came = end.status is not None and end.status < 400
        if self._claim.uses and came and (not end.complete or not usage.total):
            streamed = len(end.response) // EVENT_BYTES_A_TOKEN
            usage = replace(usage, input=max(usage.input, self._prompt - usage.cache_read - usage.cache_write))
            usage = replace(usage, output=max(usage.output, min(streamed, self._claim.tokens - self._prompt)))
            usd = self._price(usage)
        turn = self._turn and end.complete and came
        self._ledger.end(self._claim, turn=turn, tokens=usage.total, usd=usd)

    def release(self) -> None:
        """It is over, however it ended."""
        if self._open:
            self._open = False
            self._ledger.end(self._claim)


class Budgets:
    """What the subagents that call have used, and how often they were refused. For one thread at a time."""

    def __init__(self, store: Store, prices: Prices) -> None:
        self._store = store
        self._prices = prices
        self._ledgers: dict[SubagentId, Ledger] = {}
        self._refused: dict[SubagentId, dict[Bound, int]] = {}

    def admit(self, key: Key, asked: Asked, route: Route, method: str, *, peer: str, at: float) -> Admitted:
        """Let a call out, which counts as under way from now on. DeniedError, or RefusedError when nobody can tell."""
        ledger = self._ledger(key.subagent, at)
        turn = route.protocol.is_call(method, route.path)
        uses = turn or (key.allowance.measures and _is_read(route, method))
        prompt = len(asked.plain) // BYTES_A_TOKEN if uses else 0
        output = (UNSTATED_OUTPUT if asked.most_output is None else asked.most_output) if turn else 0
        model = asked.model
        if uses and key.allowance.models and is_unclear(asked.plain):
            model = ""

        def price(usage: Usage) -> float | None:
            if not 0 < len(asked.model) <= LONGEST_MODEL:
                return None
            # Of several that may answer, any one may be the dearest.
            models = route.instead or ((route.provider, asked.model),)
            costs = [self._prices.usd(name, usage, provider=provider) for provider, name in models]
            return None if None in costs else max(cost for cost in costs if cost is not None)

        claim = Claim(
            model=model,
            uses=uses,
            measured=uses or method in _READS or route.path.lower().endswith(_COUNTS),
            tokens=prompt + output,
            usd=price(Usage(input=prompt, output=output)) if uses and key.allowance.usd is not None else 0.0,
        )
        found = denial(key.allowance, ledger, claim, at=at, peer=peer)
        if found is not None:
            raise DeniedError(key.subagent, found)
        ledger.begin(claim, at)
        return Admitted(ledger, claim, turn, prompt, price)

    def count(self, subagent: SubagentId, bound: Bound, text: str) -> Alert | None:
        """Count a refusal. An alert for the log at the first of its kind, and whenever there are ten times as many: a
        client that never stops asking fills no log."""
        counts = self._refused.setdefault(subagent, {})
        count = counts[bound] = counts.get(bound, 0) + 1
        if count == 1:
            return Alert(bound, text)
        if set(str(count)) <= {"1", "0"} and str(count).count("1") == 1:
            return Alert(bound, f"{text} ({count:,} calls refused so far)")
        return None

    def refused(self, subagent: SubagentId) -> dict[Bound, int]:
        """How many calls of a subagent were refused, by reason."""
        return dict(self._refused.get(subagent, {}))

    def forget(self, subagent: SubagentId) -> list[Alert]:
        """The subagent has ended. How often it was refused in all, where the alerts so far don't say it."""
        if (ledger := self._ledgers.get(subagent)) is not None and not ledger.under_way:
            del self._ledgers[subagent]
        counts = self._refused.pop(subagent, {})
        return [Alert(bound, f"{count:,} calls were refused in all") for bound, count in counts.items() if count > 1]

    def _ledger(self, subagent: SubagentId, at: float) -> Ledger:
        ledger = self._ledgers.get(subagent)
        if ledger is None:
            if len(self._ledgers) >= _MOST:
                self._ledgers = {owner: kept for owner, kept in self._ledgers.items() if kept.under_way}
            try:
                ledger = self._ledgers[subagent] = keys.used(self._store, subagent, at=at)
            except StoreError as error:
                log.error("what a subagent has used cannot be looked up: %s", error)
                raise RefusedError(503, "the recording proxy cannot look up limits just now") from error
        return ledger


def _is_read(route: Route, method: str) -> bool:
    """What the answer says of its use is read, though it is no turn: that of embeddings."""
    return method == "POST" and type(route.protocol.reader(method, route.path, _unheard)) is not OpaqueReader


def _unheard(kind: str, text: str) -> None:
    pass


def is_unclear(body: bytes) -> bool:
    """Another reader of this JSON may see another model in it: the name comes twice, or in another case as well, which
    some readers take for the same."""
    if body.lower().count(b'"model"') <= 1 and b"\\u" not in body:
        return False
    try:
        members = json.loads(body.decode("utf-8", "replace"), object_pairs_hook=list)
    except (ValueError, RecursionError):
        return True
    names = [member[0].lower() for member in members if isinstance(member, tuple)]
    return names.count("model") > 1
