"""Two edits of one version become one version: nothing of either is lost."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.domain.observations import (
    Author,
    Claim,
    Document,
    Note,
    Observation,
    Priority,
    Status,
    apply_edit,
    merge,
    parse,
    render,
    threeway,
)
from store.domain.observations import changes as do
from store.domain.observations.conflicts import conflicts
from store.domain.observations.model import GONE
from store.domain.observations.threeway import Merged, merge_lines, merge_three, take_over
from tests.observation_documents import RUN, changed, documents, finding, who

BASE = merge(Document(RUN, version=3, generation=2), [finding("lock"), finding("retry"), finding("sleep")])
LOCK, RETRY, SLEEP = (o.id for o in BASE.observations)
SAID = "An edit of version 3 has it otherwise."


def after(*changes: do.Change) -> Document:
    return replace(do.apply_all(BASE, changes), version=4)


def merged(ours: Document, theirs: Document) -> Merged:
    return merge_three(BASE, ours, theirs, said=SAID)


def by_id(document: Document) -> dict[str, Observation]:
    return {o.id: o for o in document.observations}


def test_what_different_people_did_to_different_things_is_all_done() -> None:
    ours = after(do.Reword(LOCK, "No lock."), do.Pin(RETRY), do.Add("Ours."))
    theirs = after(do.SetPriority(LOCK, Priority.POSSIBLE), do.Drop(SLEEP), do.Add("Theirs."))
    both = merged(ours, theirs)
    now = by_id(both.document)
    assert both.conflicts == ()
    assert (now[LOCK].text, now[LOCK].priority, now[LOCK].status) == ("No lock.", Priority.POSSIBLE, Status.EDITED)
    assert (now[RETRY].status, now[SLEEP].status) == (Status.PINNED, Status.DROPPED)
    assert {o.text for o in now.values()} >= {"Ours.", "Theirs."}
    assert both.document.version == 4


def test_what_both_did_alike_is_done_once() -> None:
    one = after(do.Reword(LOCK, "No lock."), do.Add("The same."), do.Drop(SLEEP))
    both = merged(one, one)
    assert both.conflicts == ()
    assert both.document == one


def test_other_words_of_two_people_stand_side_by_side() -> None:
    both = merged(after(do.Reword(LOCK, "Ours.", ("+ ours",))), after(do.Reword(LOCK, "Theirs.", ("+ theirs",))))
    assert [(c.field, c.value, c.said) for c in both.conflicts] == [
        ("text", "Theirs.", SAID),
        ("excerpt", "+ theirs", SAID),
    ]
    assert by_id(both.document)[LOCK].text == "Ours."
    text = render(both.document)
    assert (
        f"> **Conflict** ({LOCK} · text): {SAID} Take what you want of it, then delete this quote.\n>\n> Theirs."
        in text
    )
    assert conflicts(apply_edit(both.document, text, text)) == conflicts(both.document) != ()
    # Resolved in any editor: the words taken over, the quote deleted.
    mine = text[: text.index("> **Conflict**")] + text[text.index("- (", text.index("> + theirs") + 4) :]
    resolved = apply_edit(both.document, text, mine.replace("Ours.", "Theirs."))
    assert conflicts(resolved) == ()
    assert by_id(resolved)[LOCK].text == "Theirs."


def test_what_one_dropped_and_another_reworded_stays_and_says_so() -> None:
    for ours, theirs in (
        (after(do.Drop(LOCK)), after(do.Reword(LOCK, "No lock."))),
        (after(do.Reword(LOCK, "No lock.")), after(do.Drop(LOCK))),
        (after(do.Merge((RETRY, LOCK), text="Both.")), after(do.Reword(LOCK, "No lock."))),
    ):
        both = merged(ours, theirs)
        now = by_id(both.document)[LOCK]
        assert (now.text, now.status, now.merged_into) == ("No lock.", Status.EDITED, ())
        assert [(c.field, c.value) for c in both.conflicts] == [("status", "dropped")]
        assert "dropped" in render(both.document)


def test_what_one_dropped_and_the_observer_found_again_is_dropped() -> None:
    observed = merge(BASE, [finding("lock", who(3, 1)), finding("retry", who(3, 1), Claim.HALF, "It helps.")])
    both = merged(after(do.Drop(LOCK), do.Drop(RETRY)), observed)
    assert both.conflicts == ()
    assert [by_id(both.document)[name].status for name in (LOCK, RETRY)] == [Status.DROPPED, Status.DROPPED]
    assert by_id(both.document)[LOCK].attempts == (who(1, 1), who(3, 1))


def test_a_persons_words_go_before_the_observers_whoever_came_first() -> None:
    observed = replace(merge(BASE, [finding("lock", who(3, 1), Claim.HALF, "It helps.")]), version=4)
    person = after(do.Reword(LOCK, "No lock."))
    for ours, theirs, said in ((observed, person, "Version 4 has it otherwise."), (person, observed, SAID)):
        both = merged(ours, theirs)
        now = by_id(both.document)[LOCK]
        assert (now.text, now.author, now.claim) == ("No lock.", Author.OPERATOR, Claim.HALF)
        assert [(c.field, c.value, c.said) for c in both.conflicts] == [("text", "It helps.", said)]
        assert who(3, 1) in now.attempts


def test_what_a_person_dropped_is_dropped_though_it_expired_at_the_same_time() -> None:
    lock = replace(BASE.observations[0], status=Status.EXPIRED, attempts=())
    observed = replace(BASE, observations=(lock, *BASE.observations[1:]))
    person = after(do.Drop(LOCK))
    for ours, theirs in ((observed, person), (person, observed)):
        both = merged(ours, theirs)
        assert (by_id(both.document)[LOCK].status, both.conflicts) == (Status.DROPPED, ())


def test_a_priority_of_a_persons_is_not_disputed_by_the_observer() -> None:
    person = after(do.SetPriority(LOCK, Priority.INFORMATIONAL))
    ranked = replace(BASE.observations[0], priority=Priority.POSSIBLE, attempts=(who(1, 1), who(2, 2)))
    observed = replace(BASE, observations=(ranked, *BASE.observations[1:]))
    both = merged(observed, person)
    assert both.conflicts == ()
    assert by_id(both.document)[LOCK].priority is Priority.INFORMATIONAL
    assert by_id(both.document)[LOCK].attempts == (who(1, 1), who(2, 2))


def test_two_statuses_that_disagree_are_shown() -> None:
    both = merged(after(do.Pin(LOCK)), after(do.Quarantine(LOCK)))
    assert by_id(both.document)[LOCK].status is Status.PINNED
    assert [(c.field, c.value) for c in both.conflicts] == [("status", "quarantined")]
    assert merged(after(do.Keep(LOCK)), after(do.Pin(LOCK))).conflicts == ()


def test_ids_that_two_gave_to_different_things_are_told_apart() -> None:
    ours, theirs = after(do.Add("Ours.")), after(do.Add("Theirs."))
    mine, other = ours.observations[-1], theirs.observations[-1]
    clashing = replace(theirs, observations=(*BASE.observations, replace(other, id=mine.id)))
    clashing = replace(clashing, notes=(Note(mine.id, "Of theirs."),))
    both = merged(ours, clashing).document
    found = {o.text: o.id for o in both.observations}
    assert found["Ours."] == mine.id != found["Theirs."]
    assert both.notes == (Note(found["Theirs."], "Of theirs."),)


def test_the_order_of_whoever_moved_something_stands() -> None:
    one, two, three = BASE.observations
    moved = replace(BASE, observations=(three, one, two))
    added = after(do.Add("Ours."))
    for ours, theirs in ((moved, added), (added, moved)):
        ids = [o.id for o in merged(ours, theirs).document.observations]
        assert ids == [SLEEP, added.observations[-1].id, LOCK, RETRY]


def test_struck_evidence_stays_struck_and_what_was_found_since_is_there() -> None:
    struck = replace(BASE, observations=(replace(BASE.observations[0], evidence=()), *BASE.observations[1:]))
    observed = merge(BASE, [finding("lock", who(3, 1))])
    for ours, theirs in ((struck, observed), (observed, struck)):
        found = by_id(merged(ours, theirs).document)[LOCK]
        assert [e.subagent for e in found.evidence] == [who(3, 1)]


def test_lines_of_both_stay_where_both_changed_the_same_place() -> None:
    base = ["a", "b", "c", "d"]
    assert merge_lines(base, ["a", "x", "c", "d"], ["a", "b", "c", "y"]) == ["a", "x", "c", "y"]
    assert merge_lines(base, ["a", "x", "c", "d"], ["a", "y", "c", "d"]) == ["a", "x", "y", "c", "d"]
    assert merge_lines(base, ["a", "c", "d"], ["a", "b", "c", "d", "e"]) == ["a", "c", "d", "e"]
    assert merge_lines([], ["x"], ["y"]) == ["x", "y"]
    assert merge_lines(base, [], base) == []


LINES = st.lists(st.sampled_from("abcdefg"), max_size=8)


@given(LINES, LINES, LINES)
def test_no_line_that_either_added_is_lost(base: list[str], ours: list[str], theirs: list[str]) -> None:
    both = merge_lines(base, ours, theirs)
    assert {*ours, *theirs} - {*base} <= {*both}
    assert {*both} <= {*base, *ours, *theirs}
    assert merge_lines(base, ours, base) == merge_lines(base, base, ours) == merge_lines(base, ours, ours) == ours


@given(LINES, LINES, LINES)
def test_nor_is_one_of_a_text_too_long_to_look_at_every_pair(
    base: list[str], ours: list[str], theirs: list[str]
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(threeway, "_PAIRS", 0)
        test_no_line_that_either_added_is_lost.hypothesis.inner_test(base, ours, theirs)  # type: ignore[attr-defined] # hypothesis's own


@pytest.mark.parametrize(
    "chunk",
    ["A paragraph, number {}.\n\n", "- One of mine, number {}.\n", "```\n{}\n", "the same again\n", "    ```diff\n"],
)
def test_a_file_of_megabytes_is_merged(chunk: str) -> None:
    """In time that grows with the text: one that grew with its square would take hours."""
    text = render(BASE)
    pasted = "".join(chunk.format(number) for number in range(1_000_000 // len(chunk)))
    edited = replace(take_over(BASE, BASE, text, f"{text}\n{pasted}").document, version=4)
    long = render(edited)
    ours = replace(take_over(edited, edited, long, f"{long}\nOurs.\n").document, version=5)
    both = render(take_over(ours, edited, long, long.replace("The lock was tried.", "No lock.\n\n  Theirs.")).document)
    assert len(both) > 900_000
    for line in ("Ours.", "Theirs."):
        assert both.count(line) == 1


# Random documents, random people.


@given(st.data())
def test_what_two_people_wrote_into_one_version_is_all_there(data: st.DataObject) -> None:
    base = data.draw(documents())
    ours = replace(changed(data.draw, base, "one"), version=base.version + 1)
    theirs = changed(data.draw, base, "two")
    both = merge_three(base, ours, theirs, said=SAID).document
    text = render(both)
    for side in (ours, theirs):
        for o in side.observations:
            if o.status not in GONE and re.search("(one|two) wrote", o.text):
                for line in o.text.split("\n"):
                    assert line.strip() in text
        for note in side.notes:
            for line in note.text.split("\n"):
                assert line in text
    # Nobody's decision is taken back by somebody who left it alone.
    was, first, second, now = (by_id(document) for document in (base, ours, theirs, both))
    for name, before in was.items():
        for changer, other in ((first, second), (second, first)):
            if other[name] == before:
                assert now[name] == changer[name]


@given(st.data())
def test_a_version_is_known_by_what_it_holds(data: st.DataObject) -> None:
    """Merging what is merged already, as after a crash, changes nothing."""
    base = data.draw(documents())
    theirs = changed(data.draw, base, "two")
    once = merge_three(base, replace(base, version=base.version + 1), theirs, said=SAID).document
    again = merge_three(base, once, theirs, said=SAID)
    assert again.conflicts == ()
    assert render(again.document) == render(once)


WRITTEN = st.sampled_from(
    [
        "A line of {}'s own.",
        "- A new one of {}'s",
        "  indented by {}",
        "## A heading of {}'s",
        "> {} quotes",
        "{} says (o-3f2a · fix) here",
        "1. {} counts",
        "| {} | table |",
    ]
)


@st.composite
def edits(draw: st.DrawFn, text: str, who_: str) -> tuple[str, list[str]]:
    """The text after somebody wrote lines into it and deleted others; with the lines that they wrote."""
    lines = text.split("\n")
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(3, len(lines)))
        del lines[at : at + draw(st.integers(1, 4))]
    wrote: list[str] = []
    for number in range(draw(st.integers(0, 4))):
        line = draw(WRITTEN).format(f"{who_} {number}")
        lines.insert(draw(st.integers(3, len(lines))), line)
        wrote.append(line)
    return "\n".join(lines), wrote


def said(line: str) -> str:
    """What a line says, without the marks that stand before it."""
    return line.lstrip(" -*+#>0123456789.|").rstrip(" |")


@given(st.data())
def test_no_line_that_a_person_writes_into_the_file_is_lost(data: st.DataObject) -> None:
    base = data.draw(documents())
    text = render(base)
    latest, version = base, base.version
    everything: list[str] = []
    for name in ("Ada", "Ben", "Cleo"):
        # All three opened the same version.
        edited, wrote = data.draw(edits(text, name))
        everything += wrote
        version += 1
        latest = replace(take_over(latest, base, text, edited).document, version=version)
    face = render(latest)
    for line in everything:
        assert said(line) in face, line


@given(st.data())
def test_reading_what_was_written_gives_the_same_bytes(data: st.DataObject) -> None:
    base = data.draw(documents())
    text = render(base)
    assert apply_edit(base, text, text) is base
    edited, _ = data.draw(edits(text, "Ada"))
    after_ = apply_edit(base, text, edited)
    face = render(after_)
    assert apply_edit(after_, face, face) is after_
    # And written by somebody who knows nothing but the text.
    shown = [(o.priority, o.id) for o in apply_edit(after_, text, face).observations if o.status not in GONE]
    items = [(item.priority, item.id) for item in parse(face).items]
    assert sorted(shown, key=lambda one: list(Priority).index(one[0])) == items
