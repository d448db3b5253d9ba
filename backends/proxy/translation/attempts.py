"""One try of a routed call: a request that comes back to the proxy under a secret of its own, and is recorded as a call
made for another. The worker has this secret and no provider's key; it is good for one upstream, and for as long as the
try takes."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from backends.proxy.admission import Caller
from backends.proxy.answering import Answerer, Answering, Forward
from backends.proxy.headers import ATTEMPT, Headers, get
from backends.proxy.incoming import RefusedError
from backends.proxy.upstream import UpstreamError
from store.domain.route import Deployment
from store.keys import new_secret
from store.tapes import CallEnd

SETTLING = 5.0
"""Seconds that a try has to be recorded after its answer was passed on."""


class Stoppable(Protocol):
    """A call under way."""

    def stop(self, reason: str) -> None: ...


class Attempt:
    """What a try may do, and what came of it."""

    def __init__(self, call: str, caller: Caller, deployment: Deployment) -> None:
        """Made for that call."""
        self.call = call
        self.caller = caller
        self.deployment = deployment
        self.secret = new_secret()
        self.own_key = False
        """It brings the key of the client for its own provider. What a translation has in a key's place is none."""
        self.sent: list[bytes] = []
        """The bodies that went to the provider, without content codings."""
        self.ends: list[CallEnd] = []
        self.problem: UpstreamError | None = None
        """What kept the provider's answer from coming, or from coming whole."""
        self.left = False
        """It was no longer listened to: its client, or who asked for it, had gone."""
        self._exchanges: list[Stoppable] = []
        self._settled = asyncio.Event()

    def called(self, provider: str) -> Caller:
        """Who calls, when the try comes back to ask that provider. RefusedError for another one than its own, and when
        it has asked already: whatever tries again, it is not LiteLLM."""
        if self._exchanges:
            raise RefusedError(403, "this try has had its answer")
        if provider != self.deployment.upstream:
            raise RefusedError(403, f"this try is for {self.deployment.upstream}, not for {provider}")
        return self.caller

    def began(self, exchange: Stoppable, body: bytes) -> None:
        """A request of it goes out."""
        self._settled.clear()
        self._exchanges.append(exchange)
        self.sent.append(body)

    def ended(self, end: CallEnd) -> None:
        """It is over, and on the tape."""
        self.ends.append(end)
        if len(self.ends) == len(self._exchanges):
            self._settled.set()

    @property
    def end(self) -> CallEnd | None:
        """How the last request ended; None while there is none, or one is under way."""
        return self.ends[-1] if self.ends and len(self.ends) == len(self._exchanges) else None

    async def settle(self) -> None:
        """Wait until what was asked is recorded."""
        if self._exchanges:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._settled.wait(), SETTLING)

    def stop(self, reason: str) -> None:
        """End what is under way."""
        for exchange in self._exchanges:
            exchange.stop(reason)


class Attempts:
    """The tries under way, by their secrets."""

    def __init__(self) -> None:
        self._by_secret: dict[bytes, Attempt] = {}

    def find(self, headers: Headers) -> Attempt | None:
        """The try that a request belongs to."""
        return self._by_secret.get(get(headers, ATTEMPT)) if self._by_secret else None

    def begin(self, attempt: Attempt) -> None:
        self._by_secret[attempt.secret.encode()] = attempt

    def over(self, attempt: Attempt) -> None:
        """Nothing more is taken under its secret."""
        self._by_secret.pop(attempt.secret.encode(), None)


@dataclass
class Watched:
    """The provider's answer to a try, with a look at what goes wrong."""

    attempt: Attempt
    inner: Answerer
    source: str = ""
    notes: Sequence[str] = field(default=())

    async def ask(self, forward: Forward) -> Answering:
        try:
            return _WatchedAnswer(await self.inner.ask(forward), self.attempt)
        except UpstreamError as error:
            self.attempt.problem = error
            raise


class _WatchedAnswer:
    def __init__(self, inner: Answering, attempt: Attempt) -> None:
        self._inner = inner
        self._attempt = attempt
        self.status = inner.status
        self.headers = inner.headers

    @property
    def whole(self) -> bool:
        return self._inner.whole

    async def read(self) -> bytes:
        try:
            return await self._inner.read()
        except asyncio.CancelledError:
            self._attempt.left = True
            raise
        except UpstreamError as error:
            self._attempt.problem = error
            raise

    def left(self) -> bytes:
        return self._inner.left()

    def close(self) -> None:
        self._inner.close()
