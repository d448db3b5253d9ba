"""Random documents, and random things that people do to them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from store.domain.ids import SubagentId
from store.domain.observations import (
    Author,
    Claim,
    Document,
    Evidence,
    Flag,
    Note,
    Observation,
    Priority,
    Status,
    Subject,
    fingerprint,
    merge,
)
from store.domain.observations import changes as do
from store.domain.observations.notes import TOP, end

RUN = "k7m2p"


def who(generation: int, lane: int) -> SubagentId:
    return SubagentId(RUN, generation, lane)


def finding(name: str, by: SubagentId | None = None, claim: Claim = Claim.FAILED, text: str = "") -> Observation:
    by = by or who(1, 1)
    return Observation(
        id="",
        fingerprint=fingerprint(Subject.EDITS, name),
        subject=Subject.EDITS,
        priority=Priority.IMPORTANT,
        claim=claim,
        text=text or f"The {name} was tried.",
        excerpt=("@ shop/stock.py", f"+ {name}"),
        evidence=(Evidence(by, f"call{by.lane}", "f" * 64, 1, 5, 14, f"{name} broken", 4),),
        attempts=(by,),
        first=by.generation,
        last=by.generation,
    )


WORDS = st.sampled_from(
    [
        "lock",
        "retry",
        "the lock is held",
        "- a bullet",
        "# heading",
        "> quote",
        "```",
        "(o-3f2a · fix)",
        "x\n\ny",
        "é → ü",
    ]
)
TEXTS = st.lists(WORDS, min_size=1, max_size=3).map("\n".join)
WHO = st.builds(who, st.integers(1, 3), st.integers(1, 5))


@st.composite
def documents(draw: st.DrawFn, least: int = 2, most: int = 6) -> Document:
    """A document as the observer and a person may have left it."""
    names = [f"subject {number}" for number in range(draw(st.integers(least, most)))]
    found = [
        finding(name, by, draw(st.sampled_from([Claim.FAILED, Claim.HALF, Claim.FACT])), draw(TEXTS))
        for name in names
        for by in draw(st.lists(WHO, min_size=1, max_size=3))
    ]
    document = merge(Document(RUN, version=draw(st.integers(1, 9)), generation=3), found)
    dressed = tuple(
        replace(
            o,
            status=draw(st.sampled_from([s for s in Status if s is not Status.EXPIRED])),
            priority=draw(st.sampled_from(Priority)),
            author=draw(st.sampled_from(Author)),
            flags=draw(st.sampled_from([(), (Flag.INSTRUCTION,)])),
        )
        for o in document.observations
    )
    places = [TOP, *Priority, *map(end, Priority), *(o.id for o in dressed)]
    anchors = draw(st.lists(st.sampled_from(places), unique=True, max_size=3))
    notes = tuple(Note(anchor, f"Note {at} of mine.") for at, anchor in enumerate(anchors))
    return replace(document, observations=dressed, notes=notes)


def change(document: Document, mark: str) -> st.SearchStrategy[do.Change]:
    """One thing that a person may do to a document; words that they write have the mark in them."""
    ids = st.sampled_from([o.id for o in document.observations])
    words = st.integers(0, 99).map(lambda n: f"{mark} wrote {n} here")
    return st.one_of(
        st.builds(do.Keep, ids),
        st.builds(do.Drop, ids),
        st.builds(do.Pin, ids),
        st.builds(do.Quarantine, ids),
        st.builds(do.Reword, ids, words),
        st.builds(do.SetPriority, ids, st.sampled_from(Priority)),
        st.builds(do.SetClaim, ids, st.sampled_from(Claim)),
        st.builds(do.Add, words, st.sampled_from(Priority)),
        st.builds(do.Merge, st.lists(ids, min_size=2, max_size=3, unique=True).map(tuple), text=st.none() | words),
        st.builds(do.Split, ids, st.lists(words, min_size=2, max_size=3, unique=True).map(tuple)),
    )


def changed(draw: Callable[[st.SearchStrategy[Any]], Any], document: Document, mark: str, most: int = 5) -> Document:
    """The document after a few things that a person did, those that could be done."""
    for _ in range(draw(st.integers(0, most))):
        try:
            document = do.apply_all(document, [draw(change(document, mark))])
        except ValueError:
            continue
    return document
