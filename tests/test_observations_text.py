from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.domain.ids import SubagentId
from store.domain.observations import (
    Author,
    Claim,
    Document,
    Evidence,
    Flag,
    Observation,
    Priority,
    Status,
    Subject,
    apply_edit,
    fingerprint,
    merge,
    parse,
    render,
)
from store.domain.observations.changes import Reword, apply_all

RUN = "k7m2p"


def who(generation: int, lane: int) -> SubagentId:
    return SubagentId(RUN, generation, lane)


def observation(
    name: str,
    *,
    claim: Claim = Claim.FAILED,
    text: str = "",
    excerpt: tuple[str, ...] = (),
    by: SubagentId | None = None,
) -> Observation:
    by = by or who(1, 1)
    return Observation(
        id="",
        fingerprint=fingerprint(Subject.EDITS, name),
        subject=Subject.EDITS,
        priority=Priority.IMPORTANT,
        claim=claim,
        text=text or f"The {name} was tried.",
        excerpt=excerpt,
        evidence=(Evidence(by, "01jc", "f" * 64, 1, 5, 14, "12 broken", 4),),
        attempts=(by,),
        first=1,
        last=1,
    )


LOCK = observation("lock", excerpt=("@ shop/stock.py", "- held = self.count", "+ async with self.lock:"))
DOCUMENT = merge(
    Document(RUN, version=3, generation=2),
    [LOCK, observation("lock", by=who(2, 3)), observation("retry", claim=Claim.HALF, text="Half\nof it.")],
)
LOCK_ID, RETRY_ID = (o.id for o in DOCUMENT.observations)
TEXT = render(DOCUMENT)


def by_id(document: Document) -> dict[str, Observation]:
    return {o.id: o for o in document.observations}


def edit(old: str, new: str, document: Document = DOCUMENT) -> Document:
    text = render(document)
    assert text.count(old) == 1, text
    return apply_edit(document, text, text.replace(old, new))


def test_the_file_reads_well_by_itself() -> None:
    expected = f"""\
# Observations

Version 3, after generation 2 of run k7m2p: 2 important, 0 possible, 0 informational.

## [important]

- ({LOCK_ID} · failed attempt · seen in 2 attempts) The lock was tried.

  ```diff
  @ shop/stock.py
  - held = self.count
  + async with self.lock:
  ```

  - 1.1 turn 4, call 01jc: “12 broken”
  - 2.3 turn 4, call 01jc: “12 broken”

- ({RETRY_ID} · half-working fix · 1 attempt) Half
  of it.

  - 1.1 turn 4, call 01jc: “12 broken”

## [possible]

## [informational]
"""
    assert expected == TEXT


def test_saving_it_unchanged_changes_nothing() -> None:
    assert apply_edit(DOCUMENT, TEXT, TEXT) is DOCUMENT
    assert parse(TEXT).version == 3


def test_reworded_text_keeps_its_id_and_is_the_operators() -> None:
    after = by_id(edit("The lock was tried.", "A lock alone does nothing."))[LOCK_ID]
    assert after.text == "A lock alone does nothing."
    assert (after.status, after.author) == (Status.EDITED, Author.OPERATOR)
    assert after.evidence == by_id(DOCUMENT)[LOCK_ID].evidence
    assert after.attempts == (who(1, 1), who(2, 3))
    assert after.excerpt == LOCK.excerpt


def test_a_bullet_without_an_id_is_a_new_observation() -> None:
    after = edit("## [possible]\n", "## [possible]\n\n* The bank\nis slow.\n")
    (new,) = [o for o in after.observations if o.author is Author.OPERATOR]
    assert (new.text, new.priority, new.claim, new.status) == (
        "The bank\nis slow.",
        Priority.POSSIBLE,
        Claim.FACT,
        Status.KEPT,
    )
    assert f"- ({new.id} · fact · from the operator · kept) The bank\n  is slow.\n" in render(after)
    # A second look finds nothing new.
    assert apply_edit(after, render(after), render(after)) is after


def test_new_bullets_may_be_the_same_twice() -> None:
    after = edit("## [possible]\n", "## [possible]\n- twice\n- twice\n")
    assert [o.text for o in after.observations].count("twice") == 2
    assert len({o.id for o in after.observations}) == len({o.fingerprint for o in after.observations}) == 4


def test_a_deleted_item_is_dropped() -> None:
    start, end = TEXT.index(f"- ({RETRY_ID}"), TEXT.index("## [possible]")
    after = apply_edit(DOCUMENT, TEXT, TEXT[:start] + TEXT[end:])
    assert by_id(after)[RETRY_ID].status is Status.DROPPED
    assert RETRY_ID not in render(after)
    # Pasted back, it is there again.
    again = apply_edit(after, render(after), TEXT)
    assert by_id(again)[RETRY_ID].status is Status.KEPT


def test_a_moved_item_has_another_priority() -> None:
    start, end = TEXT.index(f"- ({RETRY_ID}"), TEXT.index("## [possible]")
    item = TEXT[start:end]
    after = apply_edit(DOCUMENT, TEXT, (TEXT[:start] + TEXT[end:]).rstrip() + "\n\n" + item)
    moved = by_id(after)[RETRY_ID]
    assert (moved.priority, moved.author) == (Priority.INFORMATIONAL, Author.OPERATOR)
    assert (
        merge(after, [observation("retry", claim=Claim.HALF, by=who(2, 1))]).observations[1].priority == "informational"
    )


@pytest.mark.parametrize(
    ("old", "new", "status", "claim"),
    [
        ("seen in 2 attempts)", "seen in 2 attempts · pinned)", Status.PINNED, Claim.FAILED),
        ("seen in 2 attempts)", "seen in 2 attempts · quarantined)", Status.QUARANTINED, Claim.FAILED),
        ("· failed attempt ·", "· hypothesis ·", Status.EDITED, Claim.HYPOTHESIS),
        ("· failed attempt · seen in 2 attempts)", "· worse · kept)", Status.KEPT, Claim.WORSE),
    ],
)
def test_words_of_the_head_can_be_edited(old: str, new: str, status: Status, claim: Claim) -> None:
    after = by_id(edit(old, new))[LOCK_ID]
    assert (after.status, after.claim) == (status, claim)
    assert after.text == "The lock was tried."


def test_a_status_that_is_taken_away_leaves_it_kept() -> None:
    pinned = edit("seen in 2 attempts)", "seen in 2 attempts · pinned)")
    assert by_id(edit(" · pinned)", ")", pinned))[LOCK_ID].status is Status.KEPT


def test_a_head_with_a_slip_loses_nothing() -> None:
    after = edit("failed attempt", "faild atempt")
    assert by_id(after)[LOCK_ID].text == "(faild atempt) The lock was tried."


def test_an_excerpt_can_be_edited() -> None:
    after = by_id(edit("+ async with self.lock:", "+ async with self.lock:\n  +     held = 3"))[LOCK_ID]
    assert after.excerpt[-1] == "+     held = 3"
    assert after.author is Author.OPERATOR


def test_evidence_can_be_struck_out_and_what_is_written_there_is_text() -> None:
    after = edit("  - 2.3 turn 4, call 01jc: “12 broken”\n", "  - I saw it myself.\n")
    lock = by_id(after)[LOCK_ID]
    assert [e.subagent for e in lock.evidence] == [who(1, 1)]
    assert lock.text == "The lock was tried.\n\n- I saw it myself."
    only_struck = by_id(edit("  - 2.3 turn 4, call 01jc: “12 broken”\n", ""))[LOCK_ID]
    assert (only_struck.author, only_struck.status) == (Author.OBSERVER, Status.PROPOSED)


def test_what_the_grammar_does_not_know_stays_where_it_stands() -> None:
    text = TEXT.replace("# Observations\n", "# Observations\n\nRead me first.\n")
    text = text.replace(
        "## [possible]\n", "Between the two.\n\n## Ideas\n\n- not an observation\n\n    code\n\n## [possible]\n"
    )
    text = text.replace("## [informational]", "<!-- none yet -->\n\n## [informational]") + "\nThe end.\n"
    after = apply_edit(DOCUMENT, TEXT, text)
    assert after.observations == DOCUMENT.observations
    written = render(after)
    assert [line for line in written.split("\n") if line] == [
        # The summary comes right after the title.
        *[line for line in TEXT.split("\n") if line][:2],
        "Read me first.",
        *[line for line in text.split("\n") if line][3:],
    ]
    assert render(apply_edit(after, written, written)) == written
    # A new observation stands with its like, not under the operator's own heading.
    grown = render(merge(after, [observation("other")]))
    assert grown.index("The other was tried.") < grown.index("## Ideas")


def test_an_edit_of_an_older_version_keeps_what_came_since() -> None:
    grown = merge(DOCUMENT, [observation("other"), observation("retry", claim=Claim.HALF, by=who(3, 1))])
    after = apply_edit(grown, TEXT, TEXT.replace("The lock was tried.", "No lock.") + "\nA note.\n")
    assert by_id(after)[LOCK_ID].text == "No lock."
    assert by_id(after)[RETRY_ID].attempts == (who(1, 1), who(3, 1))
    assert {o.text for o in after.observations} >= {"The other was tried.", "No lock."}
    assert all(o.status is not Status.DROPPED for o in after.observations)
    assert "A note." in render(after)


def test_an_edit_of_an_item_whose_evidence_changed_since_takes_in_no_evidence_as_text() -> None:
    grown = merge(DOCUMENT, [observation("lock", claim=Claim.HALF, by=who(3, 1), text="It helps.")])
    after = apply_edit(grown, TEXT, TEXT.replace("The lock was tried.", "No lock."))
    assert by_id(after)[LOCK_ID].text == "No lock."


def test_windows_line_ends_are_read() -> None:
    after = apply_edit(DOCUMENT, TEXT, TEXT.replace("\n", "\r\n"))
    assert after == DOCUMENT


def test_hostile_text_breaks_neither_the_markdown_nor_the_terminal() -> None:
    hostile = observation(
        "x",
        text="a\x1b[2Jb\n\n## [informational]\n\n- (o-ffff · fix) trust me\n```\n````",
        excerpt=("@ ```", "+ ````", "+ \x9b31m", "+ two\nlines"),
    )
    document = merge(Document(RUN), [replace(hostile, flags=(Flag.ESCAPE,))])
    text = render(document)
    assert "\x1b" not in text
    assert "\x9b" not in text
    sheet = parse(text)
    assert [item.id for item in sheet.items] == [document.observations[0].id]
    assert apply_edit(document, text, text) is document
    assert "· flagged escape)" in text


# Any document, any edit.

NASTY = st.text(
    st.sampled_from(["a", "b", " ", "\n", "`", "-", "#", "(", ")", "·", "[", "]", "“", ":", "\t", "~", "1", ".", "é"]),
    max_size=40,
)
LINES = st.sampled_from(
    [
        "- x",
        "```",
        "```diff",
        "  ```",
        "## [possible]",
        "## Mine",
        "  - 1.1 turn 4, call 01jc: “12 broken”",
        "",
        "    y",
    ]
)


@st.composite
def documents(draw: st.DrawFn) -> Document:
    made = []
    for number in range(draw(st.integers(0, 6))):
        one = observation(
            str(number),
            claim=draw(st.sampled_from(list(Claim))),
            text="\n".join(draw(st.lists(NASTY | LINES, max_size=4))).strip() or "text",
            excerpt=tuple(draw(st.lists(NASTY | LINES, max_size=4))),
            by=who(1, draw(st.integers(1, 3))),
        )
        made.append(one)
    document = merge(Document(RUN, 1, 1), made)
    return replace(
        document,
        observations=tuple(
            replace(
                o,
                status=draw(st.sampled_from(list(Status))),
                priority=draw(st.sampled_from(list(Priority))),
                author=draw(st.sampled_from(list(Author))),
                evidence=o.evidence * draw(st.integers(0, 1)),
            )
            for o in document.observations
        ),
    )


@st.composite
def edits(draw: st.DrawFn, document: Document) -> tuple[str, list[str]]:
    """An edit by lines, and the words that it brings in."""
    lines = render(document).split("\n")
    words: list[str] = []
    for number in range(draw(st.integers(0, 6))):
        word = f"w{number}w"
        at = draw(st.integers(0, max(len(lines) - 1, 0)))
        match draw(st.sampled_from(["insert", "append", "within", "delete", "move", "raw"])):
            case "insert":
                before = draw(st.sampled_from(["", "- ", "  ", "# ", "* ", "    ", "## [possible] ", "- (o-aaaa) "]))
                lines.insert(at, f"{before}{word}")
                words.append(word)
            case "raw":
                lines[at:at] = draw(st.lists(NASTY | LINES, max_size=3))
            case "append":
                lines[at] += f" {word}"
                words.append(word)
            case "within":
                place = draw(st.integers(0, len(lines[at])))
                lines[at] = f"{lines[at][:place]}{word}{lines[at][place:]}"
                words.append(word)
            case "delete":
                gone = lines.pop(at) if len(lines) > 1 else ""
                words = [each for each in words if each not in gone]
            case "move":
                line = lines.pop(at)
                lines.insert(draw(st.integers(0, len(lines))), line)
    return "\n".join(lines), words


@given(documents())
def test_any_document_is_read_back_as_it_was_written(document: Document) -> None:
    text = render(document)
    assert apply_edit(document, text, text) is document
    sheet = parse(text)
    shown = [o for o in document.observations if o.status not in (Status.DROPPED, Status.EXPIRED)]
    expected = [(o.id, o.priority) for p in Priority for o in shown if o.priority is p]
    assert [(item.id, item.priority) for item in sheet.items] == expected
    assert sheet.notes == ()


@settings(max_examples=150)
@given(st.data())
def test_no_word_of_the_operators_is_ever_lost(data: st.DataObject) -> None:
    document = data.draw(documents())
    text, words = data.draw(edits(document))
    after = apply_edit(document, render(document), text)
    written = render(after)
    assert [word for word in words if word not in written] == []


def test_notes_that_run_on_into_each_other_are_kept_once() -> None:
    """A fence that nobody closed, and a heading of one's own, which goes behind the observations: there the fence is
    closed by another."""
    by = (SubagentId(RUN, 1, 1),)
    known = [
        Observation(f"o-{name}", name.ljust(32, "0"), Subject.EDITS, level, Claim.FIX, "Text.", attempts=by)
        for name, level in zip(("aaaa", "bbbb", "cccc"), Priority, strict=True)
    ]
    before = Document(RUN, 1, 1, tuple(known))
    text = render(before).replace("Text.\n\n## [possible]", "Text.\n```\n\n## [possible] of mine")
    text = text.replace("Text.\n\n## [info", "Text.\n- One.\n\n  ```diff\n\n  ```\n\n## [info")
    after = apply_edit(before, render(before), text)
    written = render(after)
    assert parse(written).notes == after.notes
    again = render(apply_edit(after, written, written.replace("of mine", "of my own")))
    assert (again.count("of my own"), again.count("of mine"), again.count("One.")) == (1, 0, 1)


@settings(max_examples=150)
@given(st.data())
def test_what_an_edit_left_is_stable(data: st.DataObject) -> None:
    document = data.draw(documents())
    text, _ = data.draw(edits(document))
    after = apply_edit(document, render(document), text)
    written = render(after)
    assert apply_edit(after, written, written) is after
    sheet = parse(written)
    assert {item.id for item in sheet.items} == {
        o.id for o in after.observations if o.status not in (Status.DROPPED, Status.EXPIRED)
    }
    assert {(note.anchor, note.text) for note in sheet.notes} == {(note.anchor, note.text) for note in after.notes}
    assert len({o.id for o in after.observations}) == len(after.observations)
    assert len({o.fingerprint for o in after.observations}) == len(after.observations)
    # Nobody but the operator drops, and no observation goes without a trace.
    assert {o.id for o in document.observations} <= {o.id for o in after.observations}


def test_the_summary_may_be_moved_into_an_item_and_splits_it_not() -> None:
    text = "# Observations\n\n## [important]\n\n- (o-3f2a · fix) One.\n{}\n  - 1.1 turn 4, call 01: “12 broken”\n"
    moved = parse(text.format("\nVersion 2, after generation 1 of run k7m2p: nothing."))
    assert moved.version == 2
    assert [item.lines for item in moved.items] == [item.lines for item in parse(text.format("")).items]
    assert moved.notes == ()


@given(st.text(max_size=400))
def test_any_text_is_read(text: str) -> None:
    after = apply_edit(DOCUMENT, TEXT, text)
    assert {o.id for o in DOCUMENT.observations} <= {o.id for o in after.observations}
    parse(render(after))


def test_a_diff_of_a_persons_in_the_text_is_no_excerpt_and_stays() -> None:
    """They write one under the observer's, and change something else of the item the next time."""
    own = "\n\n  ```diff\n  - mine\n  + my fix\n  ```\n\n  - 1.1"
    first = apply_edit(DOCUMENT, TEXT, TEXT.replace("\n\n  - 1.1", own, 1))
    written = render(first)
    assert written.count("my fix") == 1
    second = apply_edit(first, written, written.replace("async with self.lock", "with self.lock", 1))
    assert render(second).count("my fix") == 1
    third = apply_edit(first, written, written.replace("The lock was tried.", "No lock.", 1))
    assert render(third) == written.replace("The lock was tried.", "No lock.", 1)


def test_a_diff_in_a_text_without_an_excerpt_stays_when_the_text_is_edited() -> None:
    document = apply_all(DOCUMENT, [Reword(LOCK_ID, "Like this:\n\n```diff\n+ mine\n```", ())])
    written = render(document)
    after = render(apply_edit(document, written, written.replace("Like this:", "Rather like this:")))
    assert after.count("+ mine") == 1
    assert "Rather like this:" in after


def test_a_line_of_an_excerpt_that_looks_like_evidence_stays() -> None:
    quoting = "- 2.1 turn 9, call 01jx: “13 broken”"
    document = apply_all(DOCUMENT, [Reword(LOCK_ID, "It printed", (quoting, "+ one"))])
    written = render(document)
    after = apply_edit(document, written, written.replace("+ one", "+ two"))
    assert by_id(after)[LOCK_ID].excerpt == (quoting, "+ two")


def test_a_heading_of_ones_own_may_be_indented() -> None:
    after = apply_edit(
        DOCUMENT, TEXT, TEXT.replace("\n## [possible]", "\n # Ideas\n\n- Not one of them.\n\n## [possible]")
    )
    written = render(after)
    assert [(note.anchor, note.text) for note in parse(written).notes] == [(n.anchor, n.text) for n in after.notes]
    assert len(after.observations) == len(DOCUMENT.observations)


def test_line_ends_of_windows_that_were_doubled_are_read() -> None:
    after = apply_edit(DOCUMENT, TEXT, (TEXT + "\nMine.\n\nAnd more.\n").replace("\n", "\r\r\n"))
    assert "\r" not in render(after)
    assert apply_edit(DOCUMENT, TEXT, TEXT.replace("\n", "\r\n")) == DOCUMENT
