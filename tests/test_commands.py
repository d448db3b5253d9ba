from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from store import commands, events
from store.database import Store, open_store
from store.domain.commands import (
    ChangeObservations,
    ChangePlan,
    Command,
    Continue,
    EditObservations,
    Fork,
    Kill,
    Launch,
    Pause,
    PlanChange,
    Raise,
    Restart,
    Steer,
    Stop,
)
from store.domain.events import CommandSettled
from store.domain.ids import SubagentId
from store.domain.limits import Limits
from store.domain.observations import Claim, Evidence, Priority
from store.domain.observations import changes as do

SEEN = Evidence(SubagentId("k3m9t", 1, 2), "c1", "ab" * 32, 0, 3, 9, "broken", 4)
CHANGES: list[do.Change] = [
    do.Keep("o-1111"),
    do.Drop("o-1111"),
    do.Pin("o-1111"),
    do.Quarantine("o-1111"),
    do.Reword("o-1111", "Other\nwords \ud800"),
    do.Reword("o-1111", "With code", ("@ a.py", "+ x")),
    do.SetPriority("o-1111", Priority.POSSIBLE),
    do.SetClaim("o-1111", Claim.HALF),
    do.Add("Mine.", Priority.IMPORTANT, Claim.HYPOTHESIS, ("+ x",), (SEEN,)),
    do.Merge(("o-1111", "o-2222"), "o-2222", "Both."),
    do.Merge(("o-1111", "o-2222")),
    do.Split("o-1111", ("one", "two")),
    do.Resolve("o-1111", "text", True, "the other"),
    do.Restore(3),
]
EVERY: list[Command] = [
    Launch(rest=True),
    Launch(curated=False),
    Launch(again=True),
    ChangePlan((PlanChange("add", strategy="Read it backwards.", limits=Limits(usd=1.5), clean=True),)),
    ChangePlan((PlanChange("remove", 2), PlanChange("change", 3, "time budgets first", "claude-x")), anew=True),
    Stop(),
    Kill(2, 3),
    Pause(1, 1),
    Continue(1, 1),
    Steer(1, 2, "Look at the lock\n\x1b[31m \ud800"),
    Raise(1, 2, turns=90, usd=1.25),
    Raise(1, 2, tokens=10**7, seconds=7200.0),
    Restart(1, 2),
    Restart(1, 2, "time budgets first", "claude-x"),
    Fork("c1", "ab" * 32, "other words", "an approach of my own", "claude-x"),
    Fork("c1"),
    EditObservations("# Observations\n\ud800 é", 4),
    ChangeObservations(7, tuple(CHANGES)),
    ChangeObservations(8, (do.Undo(),)),
    ChangeObservations(9, (do.Redo(),)),
]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "store.sqlite3") as store:
        yield store


def test_orders_wait_in_order_for_their_run_alone(store: Store) -> None:
    ids = [commands.issue(store, "k3m9t", command, at=10.0 + i) for i, command in enumerate(EVERY)]
    commands.issue(store, "other", Stop(), at=1.0)
    waiting = commands.pending(store, "k3m9t")
    assert [row.command for row in waiting] == EVERY
    assert [row.id for row in waiting] == ids == sorted(ids)
    assert waiting[6].name == "kill" and waiting[6].at == 16.0
    assert all(commands.outcome(store, order) is None for order in ids)


def test_an_order_is_answered_once_and_its_answer_is_an_event(store: Store) -> None:
    kill = commands.issue(store, "k3m9t", Kill(2, 3), at=1.0)
    stop = commands.issue(store, "k3m9t", Stop(), at=2.0)
    assert store.write(lambda c: commands.settle(c, kill, applied=False, outcome="2.3 has ended", at=3.0))
    assert not store.write(lambda c: commands.settle(c, kill, applied=True, outcome="again", at=4.0))
    assert commands.outcome(store, kill) == (False, "2.3 has ended")
    assert [row.id for row in commands.pending(store, "k3m9t")] == [stop]
    (event,) = events.read(store, run="k3m9t")
    assert event.payload == CommandSettled(kill, "kill", False, "2.3 has ended")
    assert (event.at, event.generation, event.lane) == (3.0, 2, 3)
    assert store.write(lambda c: commands.settle(c, stop, applied=True, outcome="", at=5.0))
    assert commands.outcome(store, stop) == (True, "")
    assert commands.pending(store, "k3m9t") == []


def test_an_answer_counts_only_with_the_job_that_gave_it(store: Store) -> None:
    stop = commands.issue(store, "k3m9t", Stop(), at=1.0)

    def fails(connection: object) -> None:
        commands.settle(connection, stop, applied=True, outcome="done", at=2.0)  # type: ignore[arg-type] # a Connection
        raise RuntimeError("died on the way")

    with pytest.raises(RuntimeError, match="died"):
        store.write(fails)
    assert commands.outcome(store, stop) is None and events.read(store) == []


def test_an_order_of_a_newer_version_is_given_to_be_refused(store: Store) -> None:
    store.write(
        lambda connection: connection.exec_driver_sql(
            "INSERT INTO commands (run, at, name, data, applied) VALUES "
            "('k3m9t', 1.0, 'dance', '{\"slowly\": true}', 0), ('k3m9t', 2.0, 'kill', '{\"generation\": \"x\"}', 0)"
        )
    )
    waiting = commands.pending(store, "k3m9t")
    assert [(row.name, row.command) for row in waiting] == [("dance", None), ("kill", None)]
    for row in waiting:
        assert store.write(partial(commands.settle, command=row.id, applied=False, outcome="unknown", at=3.0))
    assert commands.pending(store, "k3m9t") == []
    assert [event.generation for event in events.read(store)] == [None, None]


def test_an_order_that_nobody_gave(store: Store) -> None:
    assert not store.write(lambda c: commands.settle(c, 7, applied=True, outcome="", at=1.0))
    with pytest.raises(KeyError):
        commands.outcome(store, 7)
