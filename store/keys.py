"""Virtual keys: what a subagent shows the proxy, and what tells whose call it is. The store has only their hashes."""

import secrets
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


def revoke(connection: Connection, subagent: SubagentId, *, at: float) -> None:
    """End all keys of a subagent, inside a job."""
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
