"""Virtual keys: what a subagent shows the proxy, and what tells whose call it is. The store has only their hashes."""

import secrets
import time
from collections.abc import Callable
from hashlib import blake2b
from typing import TYPE_CHECKING

from sqlalchemy import Connection, bindparam, insert, select, update

from store.domain.ids import ALPHABET, SubagentId
from store.tables import metadata

if TYPE_CHECKING:
    from store.database import Store

_keys = metadata.tables["virtual_keys"]
_columns = _keys.c

_owner = select(_columns.run, _columns.generation, _columns.lane).where(
    _columns.hash == bindparam("of"), _columns.revoked.is_(None)
)

PREFIX = "mt-"
LENGTH = 32
"""Random characters of a key: 157 bits, so that a hash without salt and stretching is enough."""

LAG = 0.1
"""Seconds for which `Owners` may take a key for alive that another process has revoked."""

_MOST = 4096
"""Keys that are remembered at once."""

_ended: set[SubagentId] = set()
"""Whose keys this process has revoked, committed or not: nothing is remembered of them."""


def new_secret() -> str:
    """A fresh key."""
    return PREFIX + "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))


def mint(connection: Connection, subagent: SubagentId, secret: str, *, at: float) -> None:
    """Make a key the subagent's, inside a job."""
    connection.execute(
        insert(_keys),
        {
            "hash": _hash(secret),
            "run": subagent.run,
            "generation": subagent.generation,
            "lane": subagent.lane,
            "created": at,
        },
    )


def owner(store: "Store | Connection", secret: str) -> SubagentId | None:
    """Whose key it is; None for one that is unknown or revoked."""
    if isinstance(store, Connection):
        row = store.execute(_owner, {"of": _hash(secret)}).first()
    else:
        with store.read() as connection:
            row = connection.execute(_owner, {"of": _hash(secret)}).first()
    return None if row is None else SubagentId(row.run, row.generation, row.lane)


class Owners:
    """Whose keys are shown, for who asks at every call: `owner`, remembered for a moment.

    A key that this process revokes is unknown as soon as that is committed, one that another process revokes `LAG`
    seconds later. For one thread at a time. StoreError as `owner`.
    """

    def __init__(self, store: "Store", clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._known: dict[str, tuple[SubagentId, float]] = {}

    def of(self, secret: str) -> SubagentId | None:
        """Whose key it is; None for one that is unknown or revoked."""
        now, name = self._clock(), _hash(secret)
        subagent, until = self._known.get(name, (None, now))
        if subagent is None or now >= until or subagent in _ended:
            subagent = owner(self._store, secret)
            if len(self._known) >= _MOST:
                self._known.clear()
            if subagent is not None:
                self._known[name] = subagent, now + LAG
        return subagent


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
