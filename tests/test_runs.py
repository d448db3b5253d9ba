from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from store import runs
from store.database import Store, open_store
from store.errors import StoreError


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "store.sqlite3") as store:
        yield store


def fill(store: Store, *names: str) -> None:
    for number, name in enumerate(names):
        store.write(partial(runs.create, run=name, title=f"title of {name}", at=float(number)))


def test_runs_are_listed_newest_first(store: Store) -> None:
    assert runs.runs(store) == []
    fill(store, "aaaaa", "bbbbb")
    assert runs.runs(store) == [
        runs.RunRow("bbbbb", "title of bbbbb", 1.0),
        runs.RunRow("aaaaa", "title of aaaaa", 0.0),
    ]


@pytest.mark.parametrize(
    ("name", "found"),
    [("k3m9t", "k3m9t"), ("k3", "k3m9t"), ("K3M", "k3m9t"), ("last", "kz222"), ("latest", "kz222"), (" kz ", "kz222")],
)
def test_a_run_is_found_by_what_tells_it_from_the_others(store: Store, name: str, found: str) -> None:
    fill(store, "k3m9t", "a2222", "kz222")
    assert runs.find(store, name).id == found


def test_a_whole_name_wins_over_those_that_begin_with_it(store: Store) -> None:
    fill(store, "k3", "k3m9t")
    assert runs.find(store, "k3").id == "k3"


def test_what_is_not_found_is_answered_with_what_there_is(store: Store) -> None:
    with pytest.raises(StoreError, match=r"no run yet in .*store\.sqlite3.*multitrack run"):
        runs.find(store, "last")
    fill(store, "k3m9t", "k3zzz", "a2222")
    with pytest.raises(StoreError, match="could be any of these runs: k3zzz, k3m9t"):
        runs.find(store, "k3")
    for name in ("x", "", "  "):
        with pytest.raises(StoreError, match=r"no run .* There are: a2222, k3zzz, k3m9t"):
            runs.find(store, name)
    fill(store, *(f"b{number:04}" for number in range(9)))
    with pytest.raises(StoreError, match=r"and 7 more \(`multitrack runs`\)"):
        runs.find(store, "x")


def test_a_name_is_given_once(store: Store) -> None:
    fill(store, "k3m9t")
    with pytest.raises(IntegrityError):
        fill(store, "k3m9t")
