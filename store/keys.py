"""Virtual keys: what a subagent shows the proxy, what tells whose call it is, and what it may use. The store has only
their hashes."""

import json
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, bindparam, func, insert, select, update

from store import tapes
from store.domain.allowance import MINUTE, Allowance, Ledger
from store.domain.ids import ALPHABET, SubagentId
from store.errors import StoreError
from store.tables import metadata

if TYPE_CHECKING:
    from store.database import Store

_keys = metadata.tables["virtual_keys"]
_columns = _keys.c

_owner = select(_columns.run, _columns.generation, _columns.lane, _columns.limits).where(
    _columns.hash == bindparam("of"), _columns.revoked.is_(None)
)

_calls = metadata.tables["calls"].c

PREFIX = "mt-"
LENGTH = 32
"""Random characters of a key: 157 bits, so that a hash without salt and stretching is enough."""

LAG = 0.1
"""Seconds for which `Owners` may take a key for alive that another process has revoked."""

_MOST = 4096
"""Keys that are remembered at once."""

_ended: set[SubagentId] = set()
"""Whose keys this process has revoked, committed or not: nothing is remembered of them."""


@dataclass(frozen=True)
class Key:
    """A living key: whose it is, and what it may use."""

    subagent: SubagentId
    allowance: Allowance


def new_secret() -> str:
    """A fresh key."""
    return PREFIX + "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))


def mint(
    connection: Connection, subagent: SubagentId, secret: str, *, at: float, allowance: Allowance | None = None
) -> None:
    """Make a key the subagent's, inside a job. Without an allowance it has no limits."""
    connection.execute(
        insert(_keys),
        {
            "hash": _hash(secret),
            "run": subagent.run,
            "generation": subagent.generation,
            "lane": subagent.lane,
            "created": at,
            "limits": _encoded(allowance or Allowance()),
        },
    )


def allow(connection: Connection, subagent: SubagentId, allowance: Allowance) -> None:
    """What the subagent's living keys may use from now on, inside a job."""
    connection.execute(
        update(_keys)
        .where(
            _columns.run == subagent.run,
            _columns.generation == subagent.generation,
            _columns.lane == subagent.lane,
            _columns.revoked.is_(None),
        )
        .values(limits=_encoded(allowance))
    )


def owner(store: "Store | Connection", secret: str) -> SubagentId | None:
    """Whose key it is; None for one that is unknown or revoked."""
    key = find(store, secret)
    return None if key is None else key.subagent


def find(store: "Store | Connection", secret: str) -> Key | None:
    """The key of this secret; None for one that is unknown or revoked. StoreError when its limits can't be read."""
    if isinstance(store, Connection):
        row = store.execute(_owner, {"of": _hash(secret)}).first()
    else:
        with store.read() as connection:
            row = connection.execute(_owner, {"of": _hash(secret)}).first()
    return None if row is None else Key(SubagentId(row.run, row.generation, row.lane), _decoded(row.limits))


def used(store: "Store", subagent: SubagentId, *, at: float) -> Ledger:
    """What a subagent has used by the tape; calls that are still open count as nothing but calls."""
    spend = tapes.spend(store, subagent)
    # What a call made on another's behalf went out with that one.
    own = (
        _calls.run == subagent.run,
        _calls.generation == subagent.generation,
        _calls.lane == subagent.lane,
        _calls.parent.is_(None),
    )
    with store.read() as connection:
        calls = connection.execute(select(func.count()).where(*own)).scalar_one()
        begun = select(_calls.started).where(*own, _calls.started > at - MINUTE).order_by(_calls.started)
        recent = deque(connection.execute(begun).scalars())
    return Ledger(spend.turns, spend.usage.total, spend.usd, calls, recent)


class Owners:
    """The keys that are shown, for who asks at every call: `find`, remembered for a moment.

    A key that this process revokes is unknown as soon as that is committed, one that another process revokes `LAG`
    seconds later. For one thread at a time. StoreError as `find`.
    """

    def __init__(self, store: "Store", clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._known: dict[str, tuple[Key, float]] = {}

    def of(self, secret: str) -> Key | None:
        """The key of this secret; None for one that is unknown or revoked."""
        now, name = self._clock(), _hash(secret)
        key, until = self._known.get(name, (None, now))
        if key is None or now >= until or key.subagent in _ended:
            key = find(self._store, secret)
            if len(self._known) >= _MOST:
                self._known.clear()
            if key is not None:
                self._known[name] = key, now + LAG
        return key


def revoke(connection: Connection, subagent: SubagentId, *, at: float) -> None:
    """End all keys of a subagent, inside a job."""
    _ended.add(subagent)
    connection.execute(
        update(_keys)
        .where(
            _columns.run == subagent.run,
            _columns.generation == subagent.generation,
            _columns.lane == subagent.lane,
            _columns.revoked.is_(None),
        )
        .values(revoked=at)
    )


def _hash(secret: str) -> str:
    return blake2b(secret.encode("utf-8", "surrogatepass"), digest_size=32).hexdigest()


def _encoded(allowance: Allowance) -> str:
    """JSON of what it says beyond the defaults."""
    plain = Allowance()
    return json.dumps({name: value for name, value in asdict(allowance).items() if value != getattr(plain, name)})


_NAMES = {field.name for field in fields(Allowance)}


def _decoded(limits: str) -> Allowance:
    """The allowance back. A limit that this version doesn't know can't be held: such a key is good for nothing."""
    values = json.loads(limits)
    if unknown := values.keys() - _NAMES:
        raise StoreError(f"A virtual key has limits that this version does not know: {', '.join(sorted(unknown))}.")
    plain: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    return Allowance(**plain)
