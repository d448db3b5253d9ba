"""The runs that a store has."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Connection, delete, exists, insert, select

from store.errors import StoreError
from store.tables import metadata

if TYPE_CHECKING:
    from store.database import Store

_runs = metadata.tables["runs"]
_deleted = select(metadata.tables["deletions"].c.run)

LISTED = 5
"""How many runs an error message names."""


@dataclass(frozen=True)
class RunRow:
    """A run's name, its title, and when it was created (Unix seconds)."""

    id: str
    title: str
    created: float


def create(connection: Connection, run: str, title: str, *, at: float) -> None:
    """Add a run, inside a job. sqlalchemy.exc.IntegrityError when the name is taken."""
    connection.execute(insert(_runs), {"id": run, "title": title, "created": at})


def take_back(connection: Connection, run: str) -> None:
    """Remove a run of which nothing was recorded, inside a job; one that has anything stays."""
    told = [exists().where(table.c.run == run) for table in (metadata.tables["calls"], metadata.tables["events"])]
    connection.execute(delete(_runs).where(_runs.c.id == run, *(~each for each in told)))


def runs(store: "Store") -> list[RunRow]:
    """All runs, newest first, but those that are being deleted."""
    newest = select(_runs.c.id, _runs.c.title, _runs.c.created).where(_runs.c.id.not_in(_deleted))
    newest = newest.order_by(_runs.c.created.desc(), _runs.c.id)
    with store.read() as connection:
        return [RunRow(*row) for row in connection.execute(newest)]


def find(store: "Store", name: str) -> RunRow:
    """The run of that name, or whose name alone begins so; `last` and `latest` are the newest. StoreError."""
    known = runs(store)
    if not known:
        raise StoreError(
            f"There is no run yet in {store.path}. `multitrack run` starts one, and `multitrack demo` too."
        )
    word = name.strip().lower()
    if word in {"last", "latest"}:
        return known[0]
    matches = [run for run in known if run.id == name] or [run for run in known if word and run.id.startswith(word)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise StoreError(f"{name!r} could be any of these runs: {_listed(matches)}. Give more of its name.")
    raise StoreError(f"There is no run {name!r} in {store.path}. There are: {_listed(known)}; `last` is the newest.")


def _listed(rows: list[RunRow]) -> str:
    names = ", ".join(row.id for row in rows[:LISTED])
    return names if len(rows) <= LISTED else f"{names} and {len(rows) - LISTED} more (`multitrack runs`)"
