"""What is written in the editor's field means changes; what is listed, read and planned: pure."""

from dataclasses import replace

import pytest

from app import changed, drafting, learned, learned_lines, planned, raising, reading
from app.learned import Sort
from app.screens import settling
from store.domain.commands import PlanChange
from store.domain.effect import Effects
from store.domain.limits import Limits
from store.domain.observations import Claim, Document, Flag, Priority, Status, select
from store.domain.observations import changes as do
from store.domain.observations.conflicts import Conflict, conflicts, with_conflicts
from tests.observation_documents import finding, who
from widgets.ink import Line

ONE, TWO, THREE = (
    replace(finding(name, who(1, lane)), id=f"o-000{lane}") for lane, name in enumerate(("lock", "retry", "queue"), 1)
)
DOCUMENT = Document("k7m2p", 3, 1, (ONE, TWO, THREE))


def made(draft: drafting.Draft, text: str) -> Document:
    return do.apply_all(DOCUMENT, drafting.changes(draft, text))


def test_a_text_that_stays_is_no_change() -> None:
    draft = drafting.editing(DOCUMENT, ONE)
    assert drafting.changes(draft, draft.before + "\n") == ()
    assert drafting.changes(drafting.adding(DOCUMENT), "  ") == ()


def test_other_words_leave_the_diff_and_another_diff_is_taken() -> None:
    draft = drafting.editing(DOCUMENT, ONE)
    (change,) = drafting.changes(draft, draft.before.replace("was tried", "helps nobody"))
    assert change == do.Reword(ONE.id, "The lock helps nobody.", None)
    (change,) = drafting.changes(draft, "Words alone.")
    assert change == do.Reword(ONE.id, "Words alone.", ())


def test_what_is_added_may_say_its_priority_and_claim() -> None:
    draft = drafting.adding(DOCUMENT)
    assert drafting.changes(draft, draft.before + "Mine.") == (do.Add("Mine."),)
    said = "[Important] (failed attempt) Sleeping.\n\n```diff\n@ a.py\n+ sleep()\n```"
    assert drafting.changes(draft, said) == (
        do.Add("Sleeping.", Priority.IMPORTANT, Claim.FAILED, ("@ a.py", "+ sleep()")),
    )
    for wrong in ("[urgent] Now.", "[possible] (guess) Perhaps.", "[possible] (fact) "):
        with pytest.raises(ValueError, match=r"is no priority|is no claim|needs words"):
            drafting.changes(drafting.Draft(drafting.Kind.ADD, (), 3, ""), wrong)


def test_several_become_one_as_they_are_or_in_other_words() -> None:
    draft = drafting.merging(DOCUMENT, (TWO, ONE))
    whole = next(o for o in made(draft, draft.before).observations if o.id == TWO.id)
    assert whole.text == f"{TWO.text}\n\n{ONE.text}"
    assert whole.excerpt == (*TWO.excerpt, *ONE.excerpt)
    whole = next(o for o in made(draft, f"{draft.before}\n\nBoth.").observations if o.id == TWO.id)
    assert whole.text.endswith("Both.")
    assert whole.excerpt == (*TWO.excerpt, *ONE.excerpt)
    with pytest.raises(ValueError, match="two observations"):
        drafting.merging(DOCUMENT, (ONE,))


def test_one_becomes_several_at_lines_between() -> None:
    draft = drafting.splitting(DOCUMENT, replace(ONE, text="First.\n\nSecond."))
    assert drafting.changes(draft, draft.before) == (do.Split(ONE.id, ("First.", "Second.")),)
    with pytest.raises(ValueError, match="---"):
        drafting.changes(draft, "First and second.")


def test_both_sides_of_a_conflict_are_put_into_words_which_settles_it() -> None:
    conflict = Conflict(ONE.id, "text", "A lock alone.", "Somebody else.")
    document = with_conflicts(DOCUMENT, (conflict,))
    draft = drafting.settling(document, ONE, conflict)
    assert "A lock alone." in draft.before
    after = do.apply_all(document, drafting.changes(draft, "Neither."))
    assert not conflicts(after)
    assert after.observations[0].text == "Neither."


def test_secrets_and_controls_do_not_come_into_the_field() -> None:
    draft = drafting.editing(DOCUMENT, replace(ONE, text="\x1b[2J sk-ant-api03-" + "a" * 95, excerpt=("+ \x07",)))
    assert "\x1b" not in draft.before
    assert "\x07" not in draft.before
    assert "a" * 20 not in draft.before


def entries(*observations: object, told: tuple[str, ...] = ()) -> tuple[learned.Entry, ...]:
    document = replace(DOCUMENT, observations=observations)  # type: ignore[arg-type]  # observations they are
    return learned.entries(document, Document("k7m2p", 2, 1, (ONE,)), Effects(), told)


def test_filters() -> None:
    flagged = replace(TWO, flags=(Flag.SECRET,))
    dropped = replace(THREE, status=Status.DROPPED)
    denied = replace(ONE, contradicted_by=(who(2, 1),))
    all_of = entries(denied, flagged, dropped, told=(ONE.id,))

    def names(sort: Sort, words: str = "") -> list[str]:
        return [entry.observation.id for entry in learned.listed(all_of, sort, words)]

    assert names(Sort.ALL) == [ONE.id, TWO.id]
    assert names(Sort.ALL, "RETRY failed") == [TWO.id]
    assert names(Sort.NEW) == [TWO.id]
    assert names(Sort.FLAGGED) == names(Sort.UNTOLD) == [TWO.id]
    assert names(Sort.CONTRADICTED) == [ONE.id]
    assert names(Sort.OUT) == [THREE.id]
    assert names(Sort.WITHOUT_EFFECT) == names(Sort.DISPUTED) == []


def test_rows_have_a_heading_for_each_priority_and_one_line_each() -> None:
    low = replace(TWO, priority=Priority.INFORMATIONAL, text="a\nb\x1b[2J")
    rows = learned_lines.rows(entries(ONE, low, told=(ONE.id,)), {ONE.id}, 100)
    assert [row.key for row in rows] == ["", ONE.id, "", TWO.id]
    said = "".join(text for text, _ in rows[1].left)
    assert said.startswith("●▸ o-0001 failed attempt")
    assert not {"\n", "\x1b"} & set("".join(text for row in rows for text, _ in row.left))


def test_where_there_is_little_room_the_claim_is_short_and_folders_go() -> None:
    row = learned_lines.rows(entries(replace(ONE, text="In `shop/a/stock.py`, `Stock`: the lock.")), (), 60)[1]
    said = "".join(text for text, _ in row.left)
    assert "o-0001 failed " in said
    assert said.endswith(" stock.py, Stock: the lock.")
    assert max(len(learned_lines._SHORT.get(claim, str(claim))) for claim in Claim) <= 6


def test_of_two_texts_the_words_are_marked_that_the_other_lacks() -> None:
    def marked(side: list[Line], ink: str) -> list[str]:
        return [text for line in side for text, its in line if its == ink]

    here, there = settling._sides("text", "The lock\nis held.", "The lock\nwas never held.")
    assert marked(here, "removed") == ["is"]
    assert marked(there, "added") == ["was", "never"]
    assert ["".join(text for text, _ in line) for line in there] == ["The lock", "was never held."]
    here, there = settling._sides("text", "x " * settling.COMPARED, "y")
    assert not marked(here, "removed")
    assert marked(settling._sides("excerpt", "+ a", "- b")[1], "removed")


def test_an_empty_field_shows_the_limit_in_force() -> None:
    limits = Limits(24, 400_000, 2.5)
    assert [planned.limit_now(name, limits) for name in raising.FIELDS] == ["24", "400k", "2.50", "no limit"]


def test_what_has_no_room_is_named() -> None:
    told = select(DOCUMENT, 45)
    left = reading.no_room(DOCUMENT, told)
    assert {*told.ids, *(o.id for o in left)} == {ONE.id, TWO.id, THREE.id}
    assert left
    lines = reading.lines(reading.Reading((1,), told), DOCUMENT, 45)
    text = "\n".join("".join(span for span, _ in line) for line in lines)
    assert text.startswith("- [important] (o-000")
    assert "No room under 45 tokens" in text
    assert all(o.id in text for o in left)


def test_what_changed_is_said_with_both_texts() -> None:
    after = do.apply_all(DOCUMENT, [do.Reword(ONE.id, "Otherwise."), do.Drop(TWO.id)])
    text = "\n".join("".join(span for span, _ in line) for line in changed.lines(DOCUMENT, after))
    assert "The lock was tried." in text
    assert "Otherwise." in text
    assert "− o-0002 gone" in text
    assert "both say the same" in str(changed.lines(DOCUMENT, DOCUMENT))


@pytest.mark.parametrize(
    ("lane", "answers", "expected"),
    [
        (2, {"model": "small", "usd": "1.5"}, PlanChange("change", 2, "", "small", Limits(usd=1.5))),
        (0, {"strategy": "Look at the callers."}, PlanChange("add", 0, "Look at the callers.")),
        (0, {"clean": "yes"}, PlanChange("add", clean=True)),
        (2, {"turns": "+3"}, "there is nothing yet to add to"),
        (2, {"turns": "0"}, "more than nothing"),
        (2, {}, "Nothing is changed yet"),
        (0, {}, "Say how it is to work"),
        (0, {"clean": "perhaps"}, "yes or no"),
    ],
)
def test_answers_of_the_form_of_a_lane(lane: int, answers: dict[str, str], expected: object) -> None:
    found = planned.asked(lane, answers)
    assert expected in found if isinstance(found, str) and isinstance(expected, str) else found == expected
