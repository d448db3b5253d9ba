"""Who is calling, and whether the call may go out: the key, its limits, and what the engine itself has to say."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backends.proxy.budget import Admitted, Budgets, DeniedError
from backends.proxy.headers import Headers
from backends.proxy.identity import Addressed, thread
from backends.proxy.incoming import Asked, RefusedError
from backends.proxy.prices import Prices
from backends.proxy.routes import Route
from store import events, keys
from store.database import Store, StoreError
from store.domain.allowance import Bound
from store.domain.events import Alert
from store.domain.ids import SubagentId
from store.keys import Key

if TYPE_CHECKING:
    from sqlalchemy import Connection

log = logging.getLogger("multitrack.proxy")


@dataclass(frozen=True)
class Refusal:
    """Why a call may not go out. `kind` is the provider's own word for such an error, "" for the one that fits the
    status. The client is told not to try again."""

    message: str
    status: int = 403
    kind: str = ""


Admit = Callable[[SubagentId, str], Refusal | None]
"""Asked before a request goes out, with its model ("" where it names none). None lets it. It must not wait."""


BeforeTurn = Callable[[SubagentId, str, bytes], Awaitable[str]]
"""Awaited before a model call goes out that may, with what the agent says of who is calling (`Call.thread`) and the
request's body. It may wait, for a pause to end for instance. "" lets the call out; anything else says why not."""


@dataclass(frozen=True)
class Caller:
    """Who makes a call: the run that it is recorded in, and by which key, None for a client of a bare recording."""

    run: str
    key: Key | None = None

    @property
    def subagent(self) -> SubagentId | None:
        return None if self.key is None else self.key.subagent


class Admission:
    """Lets calls out or refuses them, and puts on record that it did."""

    def __init__(
        self,
        store: Store,
        prices: Prices,
        clock: Callable[[], float],
        *,
        admit: Admit | None,
        open_to: str | None,
        before_turn: BeforeTurn | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._admit = admit
        self._before_turn = before_turn
        self._open_to = open_to
        self.keyless = True
        """A client of the bare recording needs no key at all. Where other machines are, it is to bring its own."""
        self._owners = keys.Owners(store)
        self._budgets = Budgets(store, prices)

    def caller(self, addressed: Addressed) -> Caller:
        """Whose key it is; without one, a client of the bare recording where there is one. RefusedError."""
        secret = addressed.secret
        if self._open_to is not None and not addressed.prefixed and not secret.startswith(keys.PREFIX):
            if not secret and not self.keyless:
                raise RefusedError(401, "no key: here each client brings its own, for the provider that it asks")
            return Caller(self._open_to)
        if not secret:
            raise RefusedError(401, "no key: set x-api-key to this subagent's, or put /k/KEY in front of the path")
        try:
            key = self._owners.of(secret)
        except StoreError as error:
            log.error("keys cannot be looked up: %s", error)
            raise RefusedError(503, "the recording proxy cannot look up keys just now") from error
        if key is None:
            raise RefusedError(401, "the key is unknown, or was revoked with its subagent")
        return Caller(key.subagent.run, key)

    async def ask(
        self, caller: Caller, asked: Asked, route: Route, method: str, *, peer: str, headers: Headers
    ) -> Admitted | None:
        """Let a call out; what it gives is told how the call ends (None: nobody counts). `peer` is the client's
        address, `headers` are those of the request. RefusedError."""
        key = caller.key
        if key is None:
            return None
        refusal = None if self._admit is None else self._admit(key.subagent, asked.model)
        if refusal is not None:
            await self._note(key.subagent, Bound.OTHER, refusal.message)
            raise RefusedError(refusal.status, refusal.message, refusal.kind)
        try:
            admitted = self._budgets.admit(key, asked, route, method, peer=peer, at=self._clock())
        except DeniedError as denied:
            await self._note(key.subagent, denied.bound, str(denied))
            raise
        if self._before_turn is not None and route.protocol.is_call(method, route.path):
            try:
                why = await self._before_turn(key.subagent, thread(headers), asked.plain)
            except BaseException:
                admitted.release()
                raise
            if why:
                admitted.release()
                raise RefusedError(402, why)
        return admitted

    def refused(self, subagent: SubagentId) -> dict[Bound, int]:
        """How many calls of a subagent were refused, by reason."""
        return self._budgets.refused(subagent)

    def end(self, subagent: SubagentId) -> None:
        """The subagent is over. How often it was refused goes on record; nobody waits for that."""
        if alerts := self._budgets.forget(subagent):
            with suppress(StoreError):
                self._store.writer.submit(self._job(subagent, alerts))

    async def _note(self, subagent: SubagentId, bound: Bound, text: str) -> None:
        alert = self._budgets.count(subagent, bound, text)
        if alert is None:
            return
        try:
            await self._store.writer.write(self._job(subagent, [alert]))
        except StoreError as error:
            log.error("a refusal could not be recorded: %s", error)

    def _job(self, subagent: SubagentId, alerts: Sequence[Alert]) -> Callable[["Connection"], object]:
        at, generation, lane = self._clock(), subagent.generation, subagent.lane
        return lambda connection: events.append(
            connection, subagent.run, alerts, at=at, generation=generation, lane=lane
        )
