import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store import events
from store.database import Store, open_store
from store.domain.codec import encode_payload
from store.domain.events import (
    PAYLOADS,
    SCHEMA,
    Alert,
    BaselineChecked,
    CallFinished,
    CheckResult,
    EngineStopped,
    Event,
    ForkedFrom,
    GateOpened,
    GatePassed,
    GatesSet,
    GenerationPlanned,
    LimitsRaised,
    ModelObserved,
    ObserverAsked,
    Payload,
    Reference,
    SubagentAdded,
    SubagentCited,
    SubagentEnded,
    SubagentRestarted,
    SubagentSteered,
    ToolStarted,
    TurnStarted,
    Unknown,
)
from store.domain.ids import SubagentId
from store.domain.limits import Limits, Spend, Usage
from store.domain.observations import Evidence
from store.domain.observations.citing import Citation
from store.domain.observations.deltas import DeltaTaken
from store.domain.states import AlertLevel, Ending
from store.domain.strategy import LanePlan, Strategy

PLAN = LanePlan(4, Strategy("a", "b", ("c",), ("d",), "m", Limits(turns=3)), False, "why")
EVIDENCE = Evidence(SubagentId("k3m9t", 2, 1), "c1", "ab" * 32, 0, 3, 9, "o-3f2a", 7)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "store.sqlite3") as store:
        yield store


def test_what_is_appended_is_read_in_order(store: Store) -> None:
    first = store.write(
        lambda c: events.append(c, "k3m9t", [TurnStarted(1), TurnStarted(2)], at=5.0, generation=1, lane=2)
    )
    second = store.write(lambda c: events.append(c, "other", [EngineStopped("done")], at=6.0))
    assert store.write(lambda c: events.append(c, "k3m9t", [], at=7.0)) == []
    assert first + second == [1, 2, 3]
    assert events.read(store) == [
        Event(1, 5.0, "k3m9t", 1, 2, TurnStarted(1)),
        Event(2, 5.0, "k3m9t", 1, 2, TurnStarted(2)),
        Event(3, 6.0, "other", None, None, EngineStopped("done")),
    ]
    assert events.read(store)[0].subagent == SubagentId("k3m9t", 1, 2)


def test_reading_on_from_a_place(store: Store) -> None:
    for run in ("a", "b") * 5:
        store.write(partial(events.append, run=run, payloads=[TurnStarted(1)], at=1.0))
    assert [event.seq for event in events.read(store, after=7)] == [8, 9, 10]
    assert [event.seq for event in events.read(store, after=3, run="a")] == [5, 7, 9]
    assert [event.seq for event in events.read(store, after=3, run="a", limit=2)] == [5, 7]
    assert [event.seq for event in events.read(store, limit=1)] == [1]
    assert events.read(store, run="none") == []
    assert [events.last(store, run) for run in ("a", "b", "none")] == [9, 10, 0]


def test_payloads_come_back_as_they_were(store: Store) -> None:
    check = CheckResult(False, None, 3, 1.25, "ab" * 32, "3 failed\n\ttail \u202e é 🎛", broken="timed out")
    payloads: list[Payload] = [
        BaselineChecked((check, replace(check, passed=True, exit_code=0, failures=None)), refused="flaky"),
        SubagentEnded(Ending.COST, "spent", Spend(3, Usage(1, 2, 3, 4), 0.1, 2.5, priced=False)),
        CallFinished("c1", None, "", Usage(), None, 0.0, error="cut off"),
        ToolStarted(1, "toolu_1", "run", "a lone surrogate \udcff, a NUL \0, and 'quotes\""),
        TurnStarted(3, told=(7, 9)),
        SubagentSteered("Look at the lock\n\x1b[31m \udcff \u202e"),
        LimitsRaised(Limits(turns=90, usd=1.25)),
        SubagentAdded(PLAN, ForkedFrom("c1", "ab" * 32, "another word", "k3m9t.1.2", 7)),
        SubagentAdded(PLAN),
        SubagentRestarted(PLAN),
        SubagentRestarted(),
        GateOpened(waits=True, seconds=900.0),
        GatesSet(open=True),
        GatesSet(open=False, seconds=900.0),
        GatePassed("operator", told=0, again=True),
        GenerationPlanned((PLAN, replace(PLAN, lane=5, without=("o-3f2a", "o-91bc")))),
        GenerationPlanned(),
        SubagentCited((Citation("o-3f2a", EVIDENCE, None, "nothing could \x1b show it"),)),
        Alert("loop", "the same call 3 times", (Reference("c1", "ab" * 32, 5), Reference(seq=9)), AlertLevel.STUCK),
        ModelObserved("m", (DeltaTaken("ADD", "o-3f2a", "t"), DeltaTaken("SUPPORT", "", "q \u202e", "no")), "cut off"),
        ModelObserved("m"),
        ObserverAsked("m"),
        Unknown("dance.started", {"slowly": True, "large": 2**70, "deep": [{"a": None}]}),
    ]
    store.write(lambda c: events.append(c, "k3m9t", payloads, at=1.0))
    assert [event.payload for event in events.read(store)][:-1] == payloads[:-1]
    with store.read() as connection:
        rows = connection.exec_driver_sql("SELECT kind, data FROM events ORDER BY seq").all()
    assert [(row.kind, json.loads(row.data)) for row in rows] == [encode_payload(payload) for payload in payloads]


def test_events_that_an_earlier_version_wrote_are_read(store: Store) -> None:
    store.write(
        lambda connection: connection.exec_driver_sql(
            "INSERT INTO events (at, run, kind, version, data) VALUES"
            ' (1.0, \'r\', \'alert\', 1, \'{"rule": "host", "text": "gone"}\'),'
            " (1.0, 'r', 'gate.opened', 1, '{\"waits\": true}'), (1.0, 'r', 'gate.passed', 1, '{\"by\": \"auto\"}'),"
            " (1.0, 'r', 'subagent.restarted', 1, '{}'), (1.0, 'r', 'turn.started', 1, '{\"turn\": 2}')"
        )
    )
    assert [event.payload for event in events.read(store)] == [
        Alert("host", "gone"),
        GateOpened(waits=True),
        GatePassed("auto"),
        SubagentRestarted(),
        TurnStarted(2),
    ]


def test_an_event_of_a_newer_version_is_kept(store: Store) -> None:
    store.write(
        lambda connection: connection.exec_driver_sql(
            "INSERT INTO events (at, run, kind, version, data) VALUES"
            " (1.0, 'r', 'dance.started', 9, '{\"slowly\": 1}'), (1.0, 'r', 'turn.started', 9, '{\"number\": 1}')"
        )
    )
    assert [event.payload for event in events.read(store)] == [
        Unknown("dance.started", {"slowly": 1}),
        Unknown("turn.started", {"number": 1}),
    ]


def test_events_of_a_job_that_fails_leave_no_gap_that_could_be_filled_later(store: Store) -> None:
    def fails(connection: object) -> None:
        events.append(connection, "r", [TurnStarted(1)], at=1.0)  # type: ignore[arg-type] # a Connection
        raise RuntimeError

    for _ in range(3):
        store.write(lambda c: events.append(c, "r", [TurnStarted(1)], at=1.0))
        with pytest.raises(RuntimeError):
            store.write(fails)
    seqs = [event.seq for event in events.read(store)]
    assert len(seqs) == 3 and seqs == sorted(set(seqs))


def test_rows_say_their_kind_and_version_and_hold_plain_json(store: Store) -> None:
    store.write(lambda c: events.append(c, "r", [TurnStarted(4)], at=1.0))
    with store.read() as connection:
        row = connection.exec_driver_sql("SELECT kind, version, data FROM events").one()
    assert (row.kind, row.version, json.loads(row.data)) == (
        "turn.started",
        SCHEMA,
        {"turn": 4, "thread": "", "under": "", "told": []},
    )
    assert "turn.started" in PAYLOADS


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(batches=st.lists(st.lists(st.text(), max_size=4), max_size=6))
def test_any_text_in_any_batches(store: Store, batches: list[list[str]]) -> None:
    before = events.read(store)
    after = before[-1].seq if before else 0
    given_back: list[int] = []
    for batch in batches:
        payloads = [ToolStarted(1, "t", "run", text) for text in batch]
        given_back += store.write(partial(events.append, run="r", payloads=payloads, at=1.0))
    found = events.read(store, after=after, run="r")
    assert [event.seq for event in found] == given_back
    assert [event.payload.summary for event in found if isinstance(event.payload, ToolStarted)] == [*chain(*batches)]
