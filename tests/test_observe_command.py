"""`multitrack observe`, and tapes that are read again."""

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from app.cli import main
from backends.observer import Observed, observe_all
from store import observations, runs, tapes
from store.database import Store, open_store
from store.domain.limits import Usage
from store.domain.observations import Author, Priority, Status, Subject
from store.domain.states import Ending, Validity
from store.home import Home
from store.lock import RunLock
from store.tapes import CallEnd, CallStart, new_call_id
from tests.observer_tapes import CHECK, CLAMP, LOCK, ROOT, RUN, Recorder, about, begun, check, run, save, seen
from tests.talks import Talk, home_in, imported

BOOK = ("book", {"flight": "F1"}, "Error: the card was declined")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return home_in(tmp_path)


@pytest.fixture
def store(home: Home) -> Iterator[Store]:
    with open_store(home.store) as store:
        yield store


def observed(home: Home, *arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, object], str]:
    """What the command prints as JSON, and what it says beside it."""
    assert main(["--home", str(home.root), "observe", *arguments, "--json"]) == 0
    printed = capsys.readouterr()
    return json.loads(printed.out), printed.err


def test_an_imported_run_is_observed_with_all_that_each_observation_rests_on(
    store: Store, home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    name = imported(store, home, Talk(0.0, [BOOK, "No."]), Talk(1.0, ["Yes."]))
    told, _ = observed(home, name, capsys=capsys)
    attempts, found = told["attempts"], told["observations"]
    assert isinstance(attempts, list)
    assert isinstance(found, list)
    assert [(a["subagent"], a["validity"], a["solved"]) for a in attempts] == [
        ("1.1", "valid", False),
        ("1.2", "valid", True),
    ]
    (error,) = [o for o in found if o["subject"] == "error"]
    assert (error["priority"], error["type"], error["support"]) == ("possible", "fact", 1)
    assert (error["status"], error["flags"], error["author"]) == ("proposed", [], "observer")
    place = error["evidence"][0]
    assert {*place} == {"subagent", "turn", "call", "node", "block", "start", "end", "quote"}
    assert (place["subagent"], place["quote"]) == ("1.1", BOOK[2])
    assert all(o["evidence"] for o in found)


def test_what_is_found_is_kept_once_and_never_against_the_operator(
    store: Store, home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    name = imported(store, home, Talk(0.0, [BOOK, "No."]))
    document = observations.load(store, name)
    assert document is not None
    dropped = [replace(o, status=Status.DROPPED) for o in document.observations if o.subject is Subject.ERROR]
    mine = replace(document, observations=tuple(dropped))
    store.write(lambda c: observations.save(c, mine, author="operator", at=1.0))
    told, _ = observed(home, name, "--dry-run", capsys=capsys)
    assert (told["kept"], told["version"]) == (False, 2)
    told, _ = observed(home, name, capsys=capsys)
    assert (told["kept"], told["version"]) == (True, 3)
    assert "error" not in [o["subject"] for o in told["observations"]]  # type: ignore[attr-defined]
    again, _ = observed(home, name, capsys=capsys)
    assert (again["kept"], again["version"]) == (False, 3)
    face = home.folder(name).observations.read_text()
    assert face == observations.text(store, name)


def test_what_somebody_wrote_in_the_file_is_taken_over_with_it(
    store: Store, home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    name = imported(store, home, Talk(0.0, [BOOK, "No."]))
    document = observations.load(store, name)
    assert document is not None
    store.write(lambda c: observations.save(c, replace(document, observations=()), author="operator", at=1.0))
    path = home.folder(name).observations
    path.write_text(path.read_text() + "\nA line of mine.\n")
    told, _ = observed(home, name, capsys=capsys)
    assert told["kept"]
    assert path.read_text().endswith("A line of mine.\n")
    assert path.read_text() == observations.text(store, name)


def test_what_somebody_adds_while_the_tapes_are_read_is_not_written_over(
    store: Store, home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = imported(store, home, Talk(0.0, [BOOK, "No."]))
    document = observations.load(store, name)
    assert document is not None
    few = replace(document, observations=document.observations[:1])
    store.write(lambda c: observations.save(c, few, author="operator", at=1.0))

    def meanwhile(store: Store, run: str) -> Observed:
        seen = observe_all(store, run)
        assert main(["--home", str(home.root), "observations", run, "add", "Mine, from another terminal."]) == 0
        return seen

    monkeypatch.setattr("backends.observer.observe_all", meanwhile)
    capsys.readouterr()
    assert main(["--home", str(home.root), "observe", name]) == 0
    latest = observations.load(store, name)
    assert latest is not None
    assert "Mine, from another terminal." in {o.text for o in latest.observations}
    assert {o.id for o in document.observations} < {o.id for o in latest.observations}


def test_nothing_is_kept_while_an_engine_works_on_it(
    store: Store, home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    name = imported(store, home, Talk(0.0, [BOOK, "No."]))
    with RunLock(home.folder(name).lock) as lock:
        assert lock.acquire()
        told, said = observed(home, name, capsys=capsys)
    assert not told["kept"]
    assert "an engine works on the run" in said


def test_a_person_reads_it_too(store: Store, home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    name = imported(store, home, Talk(0.0, [(*BOOK[:2], "Error: \x1b[2Jboom"), "No."]))
    assert main(["--home", str(home.root), "observe", name]) == 0
    printed = capsys.readouterr().out
    assert "1.1       trial 0   unsolved  valid     It ran its course" in printed
    assert "flagged escape" in printed
    assert "\x1b" not in printed


def test_a_bare_recording_is_one_attempt_of_which_nothing_is_kept(
    store: Store, home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[dict[str, Any]] = [{"role": "user", "content": "Repair it."}]
    call = {"id": "c1", "type": "function", "function": {"name": "bash", "arguments": '{"command": "make it"}'}}
    called: dict[str, Any] = {"role": "assistant", "content": None, "tool_calls": [call]}
    answered = {"role": "tool", "tool_call_id": "c1", "content": "exit code 2\nmake: *** No rule to make it"}
    said = {"role": "assistant", "content": "I stop."}
    store.write(lambda c: runs.create(c, RUN, "exec", at=1.0))
    for number, (messages, answer) in enumerate([(asked, called), ([*asked, called, answered], said)]):
        name = new_call_id(1000.0 + number, bytes(5))
        body = json.dumps({"model": "m", "messages": messages}).encode()
        start = CallStart(name, 1000.0 + number, RUN, None, "openai", "POST", "/v1/chat/completions", body)
        end = CallEnd(name, 1000.5 + number, 200, complete=True, messages=[answer], usage=Usage(input=10, output=2))
        store.write(partial(tapes.open_call, start=start))
        store.write(partial(tapes.close_call, end=end))
    told, why = observed(home, RUN, capsys=capsys)
    assert "it is a bare recording" in why
    assert [(a["subagent"], a["validity"]) for a in told["attempts"]] == [("1.1", "valid")]  # type: ignore[attr-defined]
    errors = [o for o in told["observations"] if o["subject"] == "error"]  # type: ignore[attr-defined]
    assert [e["quote"] for o in errors for e in o["evidence"]] == ["make: *** No rule to make it"]
    assert observations.load(store, RUN) is None


@pytest.fixture
def recorder(store: Store) -> Recorder:
    recorder = Recorder(store)
    recorder.begin()
    recorder.design(1, ["race first", "retry first"])
    return recorder


CRASH = 'Traceback (most recent call last):\n  File "{root}/shop/stock.py", line 3, in reserve\n    x\nKeyError: 7\n'


def test_a_tape_that_has_grown_is_read_as_it_is_now(store: Store, recorder: Recorder) -> None:
    tape = begun(recorder)
    crash = CRASH.format(root=f"{ROOT}{tape.subagent}")
    tape.turn("", LOCK, check(12))
    tape.turn("", run("python repro.py", 1, crash))
    tape.turn("I go on.")
    first = seen(store)
    save(store, first)
    assert first.judged[tape.subagent] == (Validity.VALID, "It is still at work")
    tape.turn("", run("python repro.py", 1, crash))
    tape.turn("", CLAMP, check(3))
    tape.turn("I stop.")
    tape.end(Ending.SUBMITTED)
    second = seen(store)
    (error,) = about(second, Subject.ERROR)
    assert len(error.evidence) == 2
    assert len(about(second, Subject.EDITS)) == 2
    (usage,) = about(second, Subject.USAGE)
    assert "1 submitted" in usage.text
    assert {o.id for o in first.document.observations} <= {o.id for o in second.document.observations}


def test_what_a_tape_shows_no_more_expires_unless_somebody_kept_it(store: Store, recorder: Recorder) -> None:
    for lane in (1, 2):
        tape = begun(recorder, lane)
        tape.turn(
            "",
            run("python repro.py", 1, CRASH.format(root=f"{ROOT}{tape.subagent}")),
            run("frob", 127, "sh: 1: frob: not found"),
        )
        tape.turn("I stop.")
        tape.end(Ending.SUBMITTED)
    first = seen(store)
    kept = [
        replace(o, status=Status.KEPT) if o.subject is Subject.ENVIRONMENT else o for o in first.document.observations
    ]
    save(store, replace(first, document=replace(first.document, observations=tuple(kept))))
    # The first begins anew: what it did until here doesn't count.
    recorder.at += 1
    tape = recorder.tape(1, 1, afresh=True)
    tape.turn("", run(CHECK, 1, "12 broken"))
    tape.end(Ending.SUBMITTED)
    second = seen(store)
    (error,), (frob,) = about(second, Subject.ERROR), about(second, Subject.ENVIRONMENT)
    assert [who.label for who in error.attempts] == ["1.2"]
    assert error.priority is Priority.POSSIBLE
    assert {e.subagent.label for e in error.evidence} == {"1.2"}
    assert len(frob.attempts) == 2
    save(store, second)
    recorder.at += 1
    tape = recorder.tape(1, 2, afresh=True)
    tape.turn("", run(CHECK, 1, "12 broken"))
    tape.end(Ending.SUBMITTED)
    third = seen(store)
    # An expired one is in no file; one that is met again is there again.
    (error,) = [o for o in third.document.observations if o.subject is Subject.ERROR]
    assert (error.status, error.attempts, error.author) == (Status.EXPIRED, (), Author.OBSERVER)
    save(store, third)
    tape.turn("", run("python repro.py", 1, CRASH.format(root=f"{ROOT}{tape.subagent}")))
    tape.turn("I stop.")
    fourth = seen(store)
    (error,) = about(fourth, Subject.ERROR)
    assert (error.status, [who.label for who in error.attempts]) == (Status.PROPOSED, ["1.2"])


def test_what_was_struck_out_stays_struck_out(store: Store, recorder: Recorder) -> None:
    tape = begun(recorder)
    crash = CRASH.format(root=f"{ROOT}{tape.subagent}")
    tape.turn("", run("python repro.py", 1, crash), run("python again.py", 1, crash))
    tape.turn("I stop.")
    tape.end(Ending.SUBMITTED)
    first = seen(store)
    struck = tuple(
        replace(o, evidence=o.evidence[:1]) if o.subject is Subject.ERROR else o for o in first.document.observations
    )
    save(store, replace(first, document=replace(first.document, observations=struck)))
    (error,) = about(seen(store), Subject.ERROR)
    assert len(error.evidence) == 1
