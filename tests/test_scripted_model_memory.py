"""Observations, as the harness injects them, held against the code at hand."""

import pytest

from backends.observer.changes import Change, excerpt
from backends.practice import other_memory
from backends.practice.model import memory
from backends.practice.model.faults import Hypothesis
from backends.practice.model.hunks import render
from backends.practice.model.suspects import Suspects, suspects
from store.domain.observations import Claim, Observation, Priority, Subject
from store.domain.observations.injection import item
from tests import rehearsal
from tests.rehearsal import Bench


@pytest.fixture(scope="module")
def bench() -> Bench:
    return rehearsal.bench("one")


@pytest.fixture(scope="module")
def known(bench: Bench) -> Suspects:
    return suspects({p: t for p, t in bench.files.items() if p.endswith(".py") and not bench.guarded(p)})


def observed(bench: Bench, claim: Claim, *repairs: Hypothesis) -> str:
    """The item that a prompt has when these edits were tried together."""
    changes = []
    for path in sorted({path for each in repairs for path in each.paths}):
        hunks = frozenset(hunk for each in repairs for hunk in each.hunks if hunk.path == path)
        changes += differences(path, bench.files[path], render(bench.files[path], hunks))
    return item(
        Observation(
            id="o-" + repairs[0].id[2:],
            fingerprint="f",
            subject=Subject.EDITS,
            priority=Priority.IMPORTANT,
            claim=claim,
            text="In some places: the edits below did something.",
            excerpt=excerpt(changes),
            evidence=(),
            attempts=(),
            first=1,
            last=1,
        )
    )


def differences(path: str, before: str, after: str) -> list[Change]:
    from backends.observer.changes import _differences

    return list(_differences(path, before, after))


def learned(known: Suspects, *items: str) -> memory.Lessons:
    return memory.lessons(memory.items("\n".join(items)), known, "")


def test_each_edit_is_known_again_by_its_item(bench: Bench, known: Suspects) -> None:
    for each in known.hypotheses:
        failed = learned(known, observed(bench, Claim.FAILED, each))
        assert list(failed.ruled_out) == [each.id], each
        half = learned(known, observed(bench, Claim.HALF, each))
        assert [other.id for other, _ in half.helped] == [each.id], each


def test_a_fix_of_several_edits_is_taken_apart(bench: Bench, known: Suspects) -> None:
    by_fault = {each.fault: each for each in known.hypotheses if each.fitness >= 0.6}
    several = tuple(by_fault.values())[:4]
    found = learned(known, observed(bench, Claim.FIX, *several))
    assert {each.id for each, _ in found.helped} == {each.id for each in several}
    assert set(found.fix) == {each.id for each in several}


def test_what_failed_alone_is_not_believed_for_having_been_there(bench: Bench, known: Suspects) -> None:
    one = next(each for each in known.hypotheses if each.fault.name == "LEAK")
    idle = next(each for each in known.hypotheses if each.fault.name == "GATHER")
    found = learned(known, observed(bench, Claim.HALF, one, idle), observed(bench, Claim.FAILED, idle))
    assert [each.id for each, _ in found.helped] == [one.id]
    assert list(found.ruled_out) == [idle.id]


def test_half_working_beats_failed_elsewhere(bench: Bench, known: Suspects) -> None:
    one = next(each for each in known.hypotheses if each.fault.name == "LEAK")
    found = learned(known, observed(bench, Claim.FAILED, one), observed(bench, Claim.HALF, one))
    assert [each.id for each, _ in found.helped] == [one.id]
    assert not found.ruled_out


def test_recall_tells_two_edits_with_the_same_beginning_apart(known: Suspects) -> None:
    narrow, whole = (each for each in known.hypotheses if each.fault.name == "RACE" and each.lines[0] < 35)
    path = next(iter(narrow.paths))
    name = next(line for hunk in whole.hunks for line in hunk.added if "_lock = " in line).strip()
    head = "- [important] (o-1 · half-working fix · 1 attempt) In `x`: half."
    items = memory.items(f"{head}\n      @ {path}\n      + {name}\n      … 9 more lines")
    said = [line for hunk in whole.hunks for line in hunk.added]
    for seen in ("\n".join(said), "\\n".join(said)):
        found = memory.lessons(items, known, seen)
        assert [each.id for each, _ in found.helped] == [whole.id]


def test_memory_of_another_task_fits_nothing(known: Suspects) -> None:
    injected = other_memory()
    assert len(injected.ids) >= 10
    assert 0 < injected.tokens <= 3000
    found = learned(known, injected.text)
    assert not found.helped
    assert not found.ruled_out


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- [important] (o-1 · fix · 1 attempt) nothing below",
        "      + lonely",
        "- [x] (y",
        "- [important] (o-1 · fix · z) a\n      @ a.py\n",
    ],
)
def test_any_text_can_be_read(text: str, known: Suspects) -> None:
    found = learned(known, text)
    assert not found.helped
