"""Which attempts can teach, on tapes that were recorded through the store."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from store.database import Store, open_store
from store.domain.observations import Claim, Subject
from store.domain.states import Ending, Validity
from tests.observer_tapes import (
    CHECK,
    LOCK,
    STOCK,
    Recorder,
    about,
    begun,
    check,
    judged,
    read,
    run,
    seen,
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "store.sqlite3") as store:
        yield store


@pytest.fixture
def recorder(store: Store) -> Recorder:
    recorder = Recorder(store)
    recorder.begin()
    recorder.design(1, ["race first", "retry first", "time first"])
    return recorder


def test_an_attempt_that_never_started_teaches_nothing(store: Store, recorder: Recorder) -> None:
    recorder.tape(1, 1).end(Ending.NEVER_STARTED, detail="no space left")
    observed = seen(store)
    assert judged(observed) is Validity.NEVER_STARTED
    assert observed.document.observations == ()


def test_a_provider_that_fails_is_infrastructure(store: Store, recorder: Recorder) -> None:
    tape = recorder.tape(1, 1)
    tape.call(None, status=529, error="overloaded")
    tape.end(Ending.PROVIDER, detail="")
    observed = seen(store)
    assert observed.judged[tape.subagent] == (Validity.INFRASTRUCTURE, "The model could not be reached: overloaded")


def test_a_rate_limit_before_anything_was_tried(store: Store, recorder: Recorder) -> None:
    tape = recorder.tape(1, 1)
    tape.turn("I look.", read("shop/stock.py", STOCK))
    tape.call(None, status=429, error="rate limited")
    tape.end(Ending.RATE_LIMITED)
    assert judged(seen(store)) is Validity.RATE_LIMITED


@pytest.mark.parametrize("ending", [Ending.TURNS, Ending.TOKENS, Ending.COST, Ending.TIME, Ending.KILLED])
def test_cut_off_is_who_tried_nothing(store: Store, recorder: Recorder, ending: Ending) -> None:
    tape = recorder.tape(1, 1)
    tape.turn("I look.", read("shop/stock.py", STOCK))
    tape.end(ending)
    tape = begun(recorder, 2)
    tape.turn("", LOCK, check(7))
    tape.end(ending)
    observed = seen(store)
    assert judged(observed, 1) is Validity.CUT_OFF
    assert judged(observed, 2) is Validity.VALID
    assert [o.claim for o in about(observed, Subject.EDITS)] == [Claim.HALF]


def test_a_crash_of_ours_teaches_no_failed_fix(store: Store, recorder: Recorder) -> None:
    tape = begun(recorder)
    tape.turn("", LOCK, check(12))
    tape.end(Ending.CRASHED, detail="the sandbox is gone")
    observed = seen(store)
    assert judged(observed) is Validity.INFRASTRUCTURE
    assert about(observed, Subject.EDITS) == []


@pytest.mark.parametrize("broken", ["", "make: not found"])
def test_a_broken_check_teaches_no_failed_fix(store: Store, recorder: Recorder, broken: str) -> None:
    tape = recorder.tape(1, 1)
    tape.turn("", read("shop/stock.py", STOCK), LOCK, run(CHECK, 127, "sh: 1: make: not found"))
    tape.turn("", run(CHECK, 127, "sh: 1: make: not found"))
    tape.turn("I stop.")
    if broken:
        tape.end(Ending.SUBMITTED, broken=broken)
    else:
        recorder.event(generation=1, lane=1)
    observed = seen(store)
    assert judged(observed) is Validity.CHECK_BROKEN
    assert about(observed, Subject.EDITS) == []
    (missing,) = about(observed, Subject.ENVIRONMENT)
    assert (missing.claim, missing.evidence[0].quote) == (Claim.ENVIRONMENT, "sh: 1: make: not found")


def test_an_answer_without_any_tool_never_started(store: Store, recorder: Recorder) -> None:
    tape = recorder.tape(1, 1)
    tape.turn("The bug is in the stock.")
    tape.end(Ending.SILENT)
    assert judged(seen(store)) is Validity.NEVER_STARTED
