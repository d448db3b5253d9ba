import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from store import keys
from store.database import Store, open_store
from store.domain.ids import SubagentId

ONE = SubagentId("k3m9t", 1, 2)
OTHER = SubagentId("k3m9t", 1, 3)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "store.sqlite3") as store:
        yield store


def test_a_key_tells_whose_it_is_until_it_is_revoked(store: Store) -> None:
    first, second, other = keys.new_secret(), keys.new_secret(), keys.new_secret()
    store.write(lambda connection: keys.mint(connection, ONE, first, at=1.0))
    store.write(lambda connection: keys.mint(connection, ONE, second, at=2.0))
    store.write(lambda connection: keys.mint(connection, OTHER, other, at=2.0))
    assert keys.owner(store, first) == keys.owner(store, second) == ONE
    with store.read() as connection:
        assert keys.owner(connection, other) == OTHER
    store.write(lambda connection: keys.revoke(connection, ONE, at=3.0))
    assert keys.owner(store, first) is None and keys.owner(store, second) is None
    assert keys.owner(store, other) == OTHER


def test_owners_are_remembered_for_a_moment_and_forgotten_when_revoked(store: Store) -> None:
    now = 0.0
    remembering = keys.Owners(store, clock=lambda: now)

    def of(secret: str) -> SubagentId | None:
        key = remembering.of(secret)
        return None if key is None else key.subagent

    one, other = SubagentId("own3r", 1, 1), SubagentId("own3r", 1, 2)
    assert of("first") is None
    store.write(lambda connection: keys.mint(connection, one, "first", at=1.0))
    store.write(lambda connection: keys.mint(connection, other, "second", at=1.0))
    assert (of("first"), of("second")) == (one, other)

    # Another process revokes them: that shows a moment later, and not before for who was just there.
    with closing(sqlite3.connect(store.path, isolation_level=None)) as driver:
        driver.execute("UPDATE virtual_keys SET revoked = 2.0 WHERE lane = 1")
    now += keys.LAG / 2
    assert of("first") == one
    now += keys.LAG / 2
    assert of("first") is None

    # This process does: that shows as soon as it is committed, also to who asked while it was not.
    assert of("second") == other

    def revoke(connection: Connection) -> SubagentId | None:
        keys.revoke(connection, other, at=3.0)
        return of("second")

    assert store.write(revoke) == other
    assert of("second") is None


@pytest.mark.parametrize("secret", ["", "mt-unknown", "\ud800", "x" * 100_000])
def test_a_key_that_is_unknown_is_nobodys(store: Store, secret: str) -> None:
    assert keys.owner(store, secret) is None


def test_secrets_are_long_random_and_never_stored(store: Store) -> None:
    secrets = {keys.new_secret() for _ in range(200)}
    assert len(secrets) == 200
    assert all(secret.startswith("mt-") and len(secret) == 35 for secret in secrets)
    secret = secrets.pop()
    store.write(lambda connection: keys.mint(connection, ONE, secret, at=1.0))
    store.close()
    files = b"".join(path.read_bytes() for path in store.path.parent.iterdir())
    assert secret[3:].encode() not in files


def test_a_key_belongs_to_one_subagent(store: Store) -> None:
    secret = keys.new_secret()
    store.write(lambda connection: keys.mint(connection, ONE, secret, at=1.0))
    with pytest.raises(IntegrityError):
        store.write(lambda connection: keys.mint(connection, OTHER, secret, at=1.0))
    assert keys.owner(store, secret) == ONE
