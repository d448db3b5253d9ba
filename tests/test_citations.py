"""What attempts say of the observations that they were given, and what their tapes show of that."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from backends.observer import check_evidence, cited
from store import observations
from store.database import Store, open_store
from store.domain.ids import SubagentId
from store.domain.observations import Claim, Document, Observation, Priority, Subject
from tests.observer_tapes import RUN, STOCK, Recorder, check, edit, read

LOCKED = "        async with self.lock:"


def observation(name: str, claim: Claim, text: str = "A lesson.", *excerpt: str) -> Observation:
    return Observation(name, f"mark of {name}", Subject.EDITS, Priority.IMPORTANT, claim, text, excerpt)


KNOWN = Document(
    RUN,
    1,
    1,
    (
        observation(
            "o-1111", Claim.HALF, "It helps.", "@ shop/stock.py", f"+{LOCKED}", "+            held = self.count"
        ),
        observation("o-2222", Claim.FAILED, "It does not help.", "@ shop/stock.py", "+        time.sleep(1)"),
        observation("o-3333", Claim.FACT, "`shop/stock.py` is read in `Stock.reserve`."),
        observation("o-4444", Claim.FACT, "Orders come twice."),
        observation("o-5555", Claim.ENVIRONMENT, "`pytest` is not there."),
        observation("o-6666", Claim.FACT, "`shop/till.py` is never closed."),
    ),
)
ALL = tuple(o.id for o in KNOWN.observations)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "store.sqlite3") as store:
        yield store


def attempt(store: Store, said: str, *edits: str, submits: str = "") -> SubagentId:
    recorder = Recorder(store)
    recorder.begin()
    recorder.design(2, ["race first", "clean"])
    tape = recorder.tape(2, 1)
    tape.turn("I look.", read("shop/stock.py", STOCK))
    tape.turn(said, *(edit("shop/stock.py", "        held = self.count", new) for new in edits), check(12))
    if submits:
        tape.turn("Done.", ("submit", {"summary": submits}, ""))
    tape.end()
    return tape.subagent


def found(store: Store, who: SubagentId, given: tuple[str, ...] = ALL) -> dict[str, bool | None]:
    (citations,) = [each for one, each in cited(store, RUN, 2, KNOWN, {who: given}).items() if one == who]
    document = replace(
        KNOWN, observations=(replace(KNOWN.observations[0], evidence=tuple(c.evidence for c in citations)),)
    )
    assert check_evidence(store, document) == [], "each is quoted from the tape to the letter"
    assert all(c.observation in c.evidence.quote and c.why for c in citations)
    return {c.observation: c.shown for c in citations}


def test_edits_that_helped_are_shown_by_what_was_written(store: Store) -> None:
    who = attempt(store, "As o-1111 says, I take the lock.", f"{LOCKED}\n            held = self.count\n")
    assert found(store, who) == {"o-1111": True}


def test_less_than_half_of_it_shows_nothing(store: Store) -> None:
    long = replace(KNOWN.observations[0], excerpt=(f"+{LOCKED}", "+    one = 1", "+    two = 2"))
    who = attempt(store, "As o-1111 says, I take the lock.", LOCKED)
    known = replace(KNOWN, observations=(long,))
    (citation,) = cited(store, RUN, 2, known, {who: ALL})[who]
    assert (citation.shown, citation.why) == (False, "1 of 3 added lines are in what it wrote")


def test_words_alone_show_nothing(store: Store) -> None:
    who = attempt(store, "o-1111 and o-6666 helped me a lot.", "        return 1")
    assert found(store, who) == {"o-1111": False, "o-6666": False}


def test_what_failed_is_used_by_leaving_it(store: Store) -> None:
    assert found(store, attempt(store, "I leave out o-2222.", "        return 1")) == {"o-2222": None}


def test_making_what_failed_again_is_no_use_of_it(store: Store) -> None:
    assert found(store, attempt(store, "See o-2222.", "        time.sleep(1)")) == {"o-2222": False}


def test_a_fact_is_shown_by_a_call_that_names_its_subject(store: Store) -> None:
    said = "By o-3333 I look there; o-4444 and o-5555 I keep in mind."
    assert found(store, attempt(store, said)) == {"o-3333": True, "o-4444": None, "o-5555": None}


def test_the_last_word_counts_too(store: Store) -> None:
    assert found(store, attempt(store, "Hm.", submits="With the help of o-3333.")) == {"o-3333": True}


def test_what_it_was_not_given_is_no_citation(store: Store) -> None:
    who = attempt(store, "o-3333, o-9999 and go-1111x")
    assert found(store, who, ("o-1111", "o-4444")) == {}
    assert cited(store, RUN, 2, KNOWN, {}) == {}


def test_it_only_reads(store: Store) -> None:
    who = attempt(store, "By o-3333.")
    assert found(store, who) == found(store, who)
    assert observations.versions(store, RUN) == []
