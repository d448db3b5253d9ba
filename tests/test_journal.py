"""The file that makes calls safe: what is read from it is what was written, as far as it is whole."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store import journal
from store.journal import LARGEST, Journal


def left_by(store: Path, calls: list[bytes]) -> Path:
    """A journal whose owner is gone, without having given it up."""
    owned = Journal(store)
    for call in calls:
        assert owned.add(call)
    path = owned.path
    assert path is not None and owned._descriptor is not None
    os.close(owned._descriptor)
    return path


def read(store: Path) -> list[list[bytes]]:
    return [[*left.calls()] for left in journal.left(store)]


@given(st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=8), st.data())
def test_whatever_is_torn_off_what_is_whole_before_it_comes_back(
    tmp_path_factory: pytest.TempPathFactory, calls: list[bytes], data: st.DataObject
) -> None:
    store = tmp_path_factory.mktemp("journal") / "store.sqlite3"
    path = left_by(store, calls)
    whole = path.read_bytes()
    assert read(store) == [calls]
    at = data.draw(st.integers(16, len(whole) - 1))
    path.write_bytes(whole[:at])
    (found,) = read(store)
    assert found == calls[: len(found)] and len(found) < len(calls)
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    (found,) = read(store)
    assert found == calls[: len(found)] and len(found) < len(calls)


def test_that_of_a_living_owner_is_its_own(tmp_path: Path) -> None:
    store = tmp_path / "store.sqlite3"
    mine = Journal(store)
    assert mine.add(b"one") and mine.path is not None
    assert mine.path.stat().st_mode & 0o777 == 0o600
    assert read(store) == []
    mine.clear()
    mine.close()
    assert [*tmp_path.iterdir()] == []


def test_what_is_in_it_when_it_is_given_up_stays(tmp_path: Path) -> None:
    store = tmp_path / "store[1].sqlite3"
    mine = Journal(store)
    assert mine.add(b"one")
    mine.close()
    assert read(store) == [[b"one"]]
    for left in journal.left(store):
        left.remove()
    assert read(store) == [] and [*tmp_path.iterdir()] == []


def test_it_begins_anew_when_all_is_on_the_tape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "MOST", 20)
    store = tmp_path / "store.sqlite3"
    mine = Journal(store)
    assert mine.add(b"x" * 30) and not mine.add(b"y")
    assert not mine.add(b"x" * (LARGEST + 1))
    mine.clear()
    assert mine.add(b"z") and mine._descriptor is not None
    os.close(mine._descriptor)
    assert read(store) == [[b"z"]]


def test_a_full_disk_leaves_what_came_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, write = tmp_path / "store.sqlite3", os.write
    mine = Journal(store)
    assert mine.add(b"one")
    with monkeypatch.context() as patch:
        patch.setattr("store.journal.os.write", lambda descriptor, data: write(descriptor, data[:5]))
        assert not mine.add(b"two")
    assert mine.add(b"three")
    mine.close()
    assert read(store) == [[b"one", b"three"]]


def test_without_a_folder_to_write_in_nothing_is_safe(tmp_path: Path) -> None:
    mine = Journal(tmp_path / "gone" / "store.sqlite3")
    assert not mine.add(b"one") and not mine.add(b"two") and mine.path is None
    mine.close()
