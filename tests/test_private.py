"""What was said is for the eyes of the store's user alone, whatever the umask."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from store import keys
from store.database import open_store
from store.domain.ids import SubagentId
from store.home import Home
from store.tail import TailReader, TailWriter, tail_path

WHO = SubagentId("k3m9t", 1, 1)


@pytest.fixture(autouse=True)
def no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir() if path.is_file()}


def use(path: Path) -> dict[str, int]:
    """Write and read a store and its live text; the modes of all that lies there meanwhile."""
    with open_store(path) as store:
        secret = keys.new_secret()
        store.write(lambda connection: keys.mint(connection, WHO, secret, at=1.0))
        assert keys.owner(store, secret) == WHO
        tail, reader = TailWriter(tail_path(path)), TailReader(tail_path(path))
        tail.put(WHO, "call", "text", "a secret")
        tail.flush()
        assert WHO in reader.read()
        with store.hold():
            seen = modes(path.parent)
        tail.close()
        reader.close()
    return {**seen, **modes(path.parent)}


def test_the_store_is_made_for_its_user_alone(tmp_path: Path) -> None:
    seen = use(tmp_path / "store.sqlite3")
    assert {"store.sqlite3", "store.sqlite3-wal", "store.sqlite3-shm", "store.sqlite3.tail"} <= seen.keys()
    assert set(seen.values()) == {0o600}


def test_a_store_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite3"
    use(path)
    for file in tmp_path.iterdir():
        file.chmod(0o666)
    assert set(use(path).values()) == {0o600}


def test_the_home_is_for_its_user_alone(tmp_path: Path) -> None:
    home = Home(tmp_path / "a" / "home").create()
    folder = home.folder("k3m9t").create()
    for made in (home.root, folder.path.parent, folder.path, folder.patches, folder.sandboxes):
        assert stat.S_IMODE(made.stat().st_mode) == 0o700
