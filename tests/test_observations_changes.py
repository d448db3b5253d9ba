from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
    apply_edit,
    merge,
    render,
    select,
)
from store.domain.observations.changes import (
    Add,
    Change,
    Drop,
    Keep,
    Merge,
    Pin,
    Quarantine,
    Redo,
    Resolve,
    Restore,
    Reword,
    SetClaim,
    SetPriority,
    Split,
    Undo,
    apply_all,
    takes_back,
)
from store.domain.observations.comparing import compare, in_words
from store.domain.observations.conflicts import Conflict, conflicts, with_conflicts
from store.domain.observations.history import Stacks, stacks
from tests.observation_documents import RUN, changed, documents, finding, who

DOCUMENT = merge(
    Document(RUN, version=3, generation=2),
    [
        finding("lock"),
        finding("lock", who(2, 3)),
        finding("retry", who(1, 2), Claim.HALF),
        finding("sleep", who(2, 2)),
    ],
)
LOCK, RETRY, SLEEP = (o.id for o in DOCUMENT.observations)


def after(*changes: Change, document: Document = DOCUMENT) -> dict[str, Observation]:
    return {o.id: o for o in apply_all(document, changes).observations}


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (Keep(LOCK), Status.KEPT),
        (Drop(LOCK), Status.DROPPED),
        (Pin(LOCK), Status.PINNED),
        (Quarantine(LOCK), Status.QUARANTINED),
    ],
)
def test_a_status_is_given(change: Change, status: Status) -> None:
    now = after(change)
    assert now[LOCK] == replace(DOCUMENT.observations[0], status=status)
    assert now[RETRY] == DOCUMENT.observations[1]


def test_what_is_there_already_changes_nothing() -> None:
    once = apply_all(DOCUMENT, [Drop(LOCK), Pin(RETRY), Reword(SLEEP, "No sleep.")])
    assert apply_all(once, [Drop(LOCK), Pin(RETRY), Reword(SLEEP, "No sleep.")]) is once


def test_other_words_are_the_persons() -> None:
    lock = after(Reword(LOCK, " A lock\r\nalone. ", ("@ a.py", "+ x")))[LOCK]
    assert (lock.text, lock.excerpt) == ("A lock\nalone.", ("@ a.py", "+ x"))
    assert (lock.status, lock.author) == (Status.EDITED, Author.OPERATOR)
    assert lock.evidence == DOCUMENT.observations[0].evidence
    assert after(Reword(LOCK, "Otherwise."))[LOCK].excerpt == DOCUMENT.observations[0].excerpt
    assert after(Pin(LOCK), Reword(LOCK, "Otherwise."))[LOCK].status is Status.PINNED


def test_priority_and_claim_are_the_persons() -> None:
    now = after(SetPriority(LOCK, Priority.INFORMATIONAL), SetClaim(RETRY, Claim.HYPOTHESIS))
    assert (now[LOCK].priority, now[LOCK].author) == (Priority.INFORMATIONAL, Author.OPERATOR)
    assert (now[RETRY].claim, now[RETRY].status) == (Claim.HYPOTHESIS, Status.EDITED)


def test_one_is_added() -> None:
    seen = Evidence(who(2, 1), "c", "f" * 64, 0, 0, 3, "abc", 2)
    document = apply_all(DOCUMENT, [Add("Mine.", Priority.IMPORTANT, Claim.HYPOTHESIS, evidence=(seen,)), Add("Mine.")])
    one, two = document.observations[3:]
    assert (one.text, one.status, one.author, one.attempts) == ("Mine.", Status.KEPT, Author.OPERATOR, (who(2, 1),))
    assert one.id != two.id
    assert (two.priority, two.claim, two.attempts) == (Priority.POSSIBLE, Claim.FACT, ())
    assert apply_edit(document, render(document), render(document)) is document


def test_two_become_one_with_the_support_of_both() -> None:
    document = replace(DOCUMENT, notes=(Note(RETRY, "Seen it too."),))
    document = replace(
        document,
        observations=(
            replace(document.observations[0], priority=Priority.POSSIBLE, given_to=(who(2, 1),)),
            replace(
                document.observations[1], flags=(Flag.SECRET,), contradicted_by=(who(1, 1),), cited_by=(who(2, 2),)
            ),
            document.observations[2],
        ),
    )
    merged = apply_all(document, [Merge((LOCK, RETRY), text="Neither helps.")])
    now = {o.id: o for o in merged.observations}
    assert now[LOCK].text == "Neither helps."
    assert now[LOCK].attempts == (who(1, 1), who(1, 2), who(2, 3))
    assert now[LOCK].contradicted_by == ()
    assert len(now[LOCK].evidence) == 3
    assert (now[LOCK].given_to, now[LOCK].cited_by) == ((who(2, 1),), (who(2, 2),))
    assert (now[LOCK].priority, now[LOCK].status, now[LOCK].flags) == (
        Priority.IMPORTANT,
        Status.EDITED,
        (Flag.SECRET,),
    )
    assert now[LOCK].excerpt == ("@ shop/stock.py", "+ lock", "@ shop/stock.py", "+ retry")
    assert (now[RETRY].status, now[RETRY].merged_into) == (Status.DROPPED, (LOCK,))
    assert "Seen it too." in render(merged)
    # Found again, it counts for what it went into, and doesn't come back.
    again = merge(merged, [finding("retry", who(2, 5), Claim.HALF)])
    assert who(2, 5) in {o.id: o for o in again.observations}[LOCK].contradicted_by
    assert RETRY not in render(again)


def test_merged_without_words_of_its_own_it_has_those_of_all() -> None:
    now = after(Merge((LOCK, RETRY, SLEEP), into=SLEEP))
    assert now[SLEEP].text == "The sleep was tried.\n\nThe lock was tried.\n\nThe retry was tried."
    assert now[LOCK].merged_into == now[RETRY].merged_into == (SLEEP,)


def test_what_is_in_quarantine_is_not_let_out_by_merging() -> None:
    assert after(Quarantine(LOCK), Pin(RETRY), Merge((RETRY, LOCK)))[RETRY].status is Status.QUARANTINED
    assert after(Pin(LOCK), Merge((RETRY, LOCK)))[RETRY].status is Status.PINNED


def test_what_is_flagged_is_not_let_in_by_sorting_it() -> None:
    flagged = replace(DOCUMENT.observations[0], flags=(Flag.INSTRUCTION,))
    document = replace(DOCUMENT, observations=(flagged, *DOCUMENT.observations[1:]))
    for change in (SetPriority(LOCK, Priority.POSSIBLE), SetClaim(LOCK, Claim.FACT), Merge((RETRY, LOCK))):
        told = select(apply_all(document, [change]), 10_000).ids
        assert LOCK not in told and (RETRY not in told or isinstance(change, SetPriority | SetClaim))
    parts = apply_all(document, [Split(LOCK, ("one", "two"))]).observations[:2]
    assert [o.status for o in parts] == [Status.PROPOSED] * 2
    text = render(document)
    item = text[text.index(f"- ({LOCK}") : text.index(f"- ({RETRY}")]
    moved = apply_edit(document, text, f"{text.replace(item, '')}\n{item}")
    assert LOCK not in select(moved, 10_000).ids
    for approving in (Keep(LOCK), Pin(LOCK), Reword(LOCK, "No lock."), Merge((LOCK, RETRY), text="Neither.")):
        assert LOCK in select(apply_all(document, [approving]), 10_000).ids


def test_one_becomes_several() -> None:
    document = replace(DOCUMENT, notes=(Note(LOCK, "About the lock."),))
    split = apply_all(document, [Split(LOCK, ("The lock is held.", "Twice."))])
    one, two, lock, *_ = split.observations
    assert [o.text for o in (one, two)] == ["The lock is held.", "Twice."]
    assert (lock.status, lock.merged_into) == (Status.DROPPED, (one.id, two.id))
    assert one.evidence == two.evidence == lock.evidence
    assert (one.excerpt, two.excerpt) == (lock.excerpt, ())
    assert one.author is Author.OPERATOR
    assert render(split).index("Twice.") < render(split).index("About the lock.")
    again = merge(split, [finding("lock", who(2, 5))])
    assert [who(2, 5) in o.attempts for o in again.observations[:3]] == [True, True, True]
    # Back, it stands for itself.
    assert after(Keep(LOCK), document=split)[LOCK].merged_into == ()


def test_of_several_conflicts_one_is_settled_at_a_time() -> None:
    found = tuple(
        Conflict(LOCK, field, value, "An edit of version 2 has it otherwise.")
        for field, value in (("text", "It helps."), ("text", "It hurts."), ("claim", "worse"))
    )
    document = with_conflicts(DOCUMENT, found)
    assert set(conflicts(document)) == set(found)
    taken = apply_all(document, [Resolve(LOCK, "text", take=True, value="It hurts.")])
    assert set(conflicts(taken)) == {found[0], found[2]}
    assert next(o.text for o in taken.observations if o.id == LOCK) == "It hurts."


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ([Keep("o-none")], "There is no observation o-none."),
        ([Reword(LOCK, " \n ")], "An observation needs words."),
        ([Add("")], "An observation needs words."),
        ([Drop(LOCK), Reword(LOCK, "x")], f"{LOCK} is dropped: keep it first."),
        ([Merge((LOCK,))], "It takes two observations to merge."),
        ([Merge((LOCK, LOCK))], "It takes two observations to merge."),
        ([Merge((LOCK, RETRY), into=SLEEP)], f"{SLEEP} is none of those that are to be merged."),
        ([Merge(())], " is none of those that are to be merged."),
        ([Split(LOCK, ("one",))], "It takes two different texts to split an observation."),
        ([Resolve(LOCK, "text")], f"There is no conflict about the text of {LOCK}."),
        ([Restore(7)], "There is no version 7."),
        ([Undo()], "There is nothing to undo."),
        ([Redo()], "There is nothing to redo."),
        ([Undo(), Keep(LOCK)], "An undo or a redo goes alone."),
    ],
)
def test_what_cannot_be_done_says_why_and_changes_nothing(changes: list[Change], said: str) -> None:
    with pytest.raises(ValueError, match=r".") as raised:
        apply_all(DOCUMENT, [Pin(SLEEP), *changes] if len(changes) == 1 and "goes" not in said else changes)
    assert str(raised.value) in (said, "An undo or a redo goes alone.")


def test_a_note_whose_observation_is_dropped_stays() -> None:
    document = replace(DOCUMENT, notes=(Note(RETRY, "Mine."), Note(LOCK, "And mine.")))
    dropped = apply_all(document, [Drop(RETRY)])
    assert dropped.notes == (Note(LOCK, "Mine.\n\nAnd mine."),)
    assert "Mine." in render(apply_all(dropped, [Drop(LOCK), Drop(SLEEP)]))


# Conflicts.


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("text", "Other\n\nwords > here"),
        ("excerpt", "@ a.py\n+ ~~~\n- x"),
        ("claim", "worse"),
        ("priority", "possible"),
        ("status", "dropped"),
    ],
)
def test_a_conflict_is_settled_by_taking_one_side(field: str, value: str) -> None:
    conflict = Conflict(LOCK, field, value, "An edit of version 2 has it otherwise.")
    document = with_conflicts(replace(DOCUMENT, notes=(Note(LOCK, "My own.\n\n> My quote."),)), (conflict,))
    assert conflicts(document) == (conflict,)
    assert with_conflicts(document, (conflict,)) == document
    # It lives in the file, and is read back from it.
    read = apply_edit(DOCUMENT, render(DOCUMENT), render(document))
    assert conflicts(read) == (conflict,)
    taken = apply_all(document, [Resolve(LOCK, field, take=True)])
    assert conflicts(taken) == ()
    (lock,) = (o for o in taken.observations if o.id == LOCK)
    shown = {
        "text": lock.text,
        "excerpt": "\n".join(lock.excerpt),
        "claim": lock.claim,
        "priority": lock.priority,
        "status": lock.status,
    }
    assert shown[field] == value
    left = apply_all(document, [Resolve(LOCK, field)])
    assert left == replace(DOCUMENT, notes=(Note(LOCK, "My own.\n\n> My quote."),))


# Undo and redo.


class Versions:
    """Versions as a store keeps them."""

    def __init__(self, document: Document) -> None:
        self.kept = [replace(document, version=1)]
        self.undoes = [(1, -1)]

    def document(self, version: int) -> Document | None:
        return self.kept[version - 1] if 1 <= version <= len(self.kept) else None

    def stacks(self) -> Stacks:
        return stacks([one for one in self.undoes if one[1] >= 0])

    @property
    def latest(self) -> Document:
        return self.kept[-1]

    def do(self, *changes: Change) -> None:
        undoes = takes_back(changes, self)
        self.keep(apply_all(self.latest, changes, self), undoes)

    def keep(self, document: Document, undoes: int = -1) -> None:
        if undoes > 0 or document != self.latest:
            self.kept.append(replace(document, version=len(self.kept) + 1))
            self.undoes.append((len(self.kept), undoes))


def same(one: Document, other: Document) -> bool:
    return replace(one, version=0) == replace(other, version=0)


def test_everything_can_be_undone_and_done_again() -> None:
    made = Versions(DOCUMENT)
    steps: list[tuple[Change, ...]] = [
        (Reword(LOCK, "No lock."), Pin(LOCK), Drop(RETRY)),
        (Merge((LOCK, SLEEP)),),
        (Split(LOCK, ("one", "two")),),
        (Add("Mine."),),
        (Restore(1),),
    ]
    for step in steps:
        made.do(*step)
    forward = list(made.kept)
    for version in reversed(forward[:-1]):
        made.do(Undo())
        assert_like(made.latest, version)
    assert made.stacks().undo == ()
    for version in forward[1:]:
        made.do(Redo())
        assert_like(made.latest, version)
    assert made.stacks().redo == ()
    made.do(Undo())
    made.do(Keep(RETRY))
    assert made.stacks().redo == ()
    assert same(made.kept[0], DOCUMENT)


def assert_like(one: Document, other: Document) -> None:
    """The file is the same; what wasn't there yet may stay known as dropped."""
    assert render(replace(one, version=0)) == render(replace(other, version=0))


def test_an_undo_leaves_what_the_observer_wrote_since() -> None:
    made = Versions(DOCUMENT)
    made.do(Reword(LOCK, "No lock."), Drop(RETRY))
    made.keep(merge(made.latest, [finding("lock", who(3, 1)), finding("new", who(3, 1))]))
    made.do(Undo())
    now = {o.id: o for o in made.latest.observations}
    assert now[LOCK].text == "The lock was tried."
    assert now[LOCK].author is Author.OBSERVER
    assert who(3, 1) in now[LOCK].attempts
    assert now[RETRY].status is Status.PROPOSED
    assert any(o.text == "The new was tried." for o in now.values())
    made.do(Redo())
    assert {o.id: o for o in made.latest.observations}[LOCK].text == "No lock."


def test_restored_the_file_is_as_it_was_and_what_came_since_is_dropped_not_forgotten() -> None:
    made = Versions(DOCUMENT)
    made.keep(merge(made.latest, [finding("new", who(3, 1))]))
    made.do(Restore(1))
    assert_like(made.latest, made.kept[0])
    assert made.latest.observations[-1].status is Status.DROPPED
    assert merge(made.latest, [finding("new", who(3, 2))]).observations[-1].status is Status.DROPPED


@settings(max_examples=40)
@given(st.data())
def test_undoing_all_gives_back_the_file_and_redoing_all_what_was_made_of_it(data: st.DataObject) -> None:
    made = Versions(data.draw(documents()))
    for mark in ("first", "second", "third"):
        made.keep(changed(data.draw, made.latest, mark), 0)
    steps = len(made.stacks().undo)
    forward = list(made.kept)
    for version in reversed(forward[:-1]):
        made.do(Undo())
        assert_like(made.latest, version)
    for version in forward[1:]:
        made.do(Redo())
        assert_like(made.latest, version)
    assert len(made.stacks().undo) == steps


# Comparing.


def test_what_changed_is_told_apart() -> None:
    before = DOCUMENT
    now = apply_all(before, [Reword(LOCK, "No lock."), Add("Mine.")])
    now = merge(now, [finding("sleep", who(3, 1))])
    now = apply_all(now, [Drop(RETRY), Pin(SLEEP)])
    found = {d.id: d for d in compare(before, now).differences}
    mine = now.observations[3].id
    assert {name: d.what for name, d in found.items()} == {
        LOCK: "reworded",
        RETRY: "gone",
        SLEEP: "changed",
        mine: "new",
    }
    assert in_words(found[LOCK]) == "reworded"
    assert in_words(found[SLEEP]) == "pinned, 1 attempt more"
    assert not compare(now, now)
    assert compare(now, replace(now, notes=(Note("top", "x"),))).notes
    assert [d.what for d in compare(None, before).differences] == ["new"] * 3
    merged = apply_all(before, [Merge((LOCK, RETRY))])
    gone = compare(before, merged).differences[-1]
    assert (gone.what, in_words(gone)) == ("merged", f"merged into {LOCK}")


@given(documents())
def test_a_prompt_has_what_is_pinned_and_nothing_that_is_quarantined_or_dropped(document: Document) -> None:
    first, second, *_ = document.observations
    changed_ = apply_all(document, [Pin(first.id), Quarantine(second.id)])
    ids = select(changed_, 100_000).ids
    assert ids[0] in {o.id for o in changed_.observations if o.status is Status.PINNED}
    assert first.id in ids
    assert second.id not in ids
