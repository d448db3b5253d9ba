"""What a new run starts with."""

from dataclasses import replace

from store.domain.ids import SubagentId
from store.domain.observations import (
    Author,
    Claim,
    Document,
    Evidence,
    Note,
    Observation,
    Priority,
    Status,
    Subject,
    apply_edit,
    parse,
    render,
)
from store.domain.observations.carrying import carried


def by(run: str, lane: int = 1, generation: int = 1) -> SubagentId:
    return SubagentId(run, generation, lane)


def observation(name: str, *attempts: SubagentId, mark: str = "", **more: object) -> Observation:
    evidence = tuple(Evidence(each, "call", "node", 0, 0, 5, f"quote {each}", 3) for each in attempts)
    plain = Observation(
        name,
        mark or name.removeprefix("o-") + "0" * 24,
        Subject.EDITS,
        Priority.IMPORTANT,
        Claim.HALF,
        "A lesson.",
        evidence=evidence,
        attempts=attempts,
        first=1,
        last=4,
    )
    return replace(plain, **more)  # type: ignore[arg-type]


def document(run: str, *observations: Observation, notes: tuple[Note, ...] = ()) -> Document:
    return Document(run, 7, 4, observations, notes)


def test_what_is_known_goes_on_as_it_is() -> None:
    known = observation("o-1111", by("one"), by("one", 2), status=Status.PINNED, given_to=(by("one", 3),))
    went = observation("o-2222", by("one"), subject=Subject.USAGE)
    gone = observation("o-3333", by("one"), status=Status.EXPIRED)
    dropped = observation("o-4444", by("one"), status=Status.DROPPED)
    made = carried([document("one", known, went, gone, dropped, notes=(Note("o-1111", "Mine."),))], "new")
    assert (made.run, made.version, made.generation) == ("new", 0, 0)
    assert made.observations == (replace(known, first=0, last=0), replace(dropped, first=0, last=0))
    assert made.notes == (Note("o-1111", "Mine."),)
    assert "one.1.2 turn 3" in render(made)
    assert apply_edit(made, render(made), render(made)) == made
    assert parse(render(made)).items[0].id == "o-1111"


def test_support_is_counted_by_attempt_once() -> None:
    first = document("one", observation("o-1111", by("one"), by("one", 2)))
    second = carried([first], "two")
    grown = replace(second.observations[0], attempts=(*second.observations[0].attempts, by("two")))
    both = carried([first, replace(second, observations=(grown,))], "new")
    assert both.observations[0].attempts == (by("one"), by("one", 2), by("two"))
    assert len(both.observations[0].evidence) == 2
    again = carried([both, first, both], "newer")
    assert again.observations == both.observations


def test_the_best_effect_stands_and_the_others_count_against_it() -> None:
    half = observation("o-1111", by("one"), by("one", 2), text="It helps.")
    failed = observation("o-1111", by("two"), claim=Claim.FAILED, text="It does not.")
    for documents in (
        [document("one", half), document("two", failed)],
        [document("two", failed), document("one", half)],
    ):
        (made,) = carried(documents, "new").observations
        assert (made.claim, made.text) == (Claim.HALF, "It helps.")
        assert (made.attempts, made.contradicted_by) == ((by("one"), by("one", 2)), (by("two"),))


def test_a_persons_word_stands() -> None:
    theirs = observation("o-1111", by("one"), text="Mine.", author=Author.OPERATOR, status=Status.EDITED)
    proposed = observation("o-1111", by("two"), claim=Claim.FIX, text="The rules'.")
    for documents in (
        [document("one", theirs), document("two", proposed)],
        [document("two", proposed), document("one", theirs)],
    ):
        (made,) = carried(documents, "new").observations
        assert (made.text, made.author, made.status) == ("Mine.", Author.OPERATOR, Status.EDITED)
    later = replace(theirs, text="Mine, later.", status=Status.QUARANTINED)
    (made,) = carried([document("one", theirs), document("two", later)], "new").observations
    assert (made.text, made.status) == ("Mine, later.", Status.QUARANTINED)


def test_ids_that_two_runs_gave_to_different_things_are_told_apart() -> None:
    one = observation("o-1111", by("one"), mark="1111" + "a" * 28)
    merged = observation("o-2222", by("two"), merged_into=("o-1111",), status=Status.DROPPED)
    other = observation("o-1111", by("two"), mark="1111" + "b" * 28)
    notes = (Note("o-1111", "Of the other."),)
    made = carried([document("one", one), document("two", merged, other, notes=notes)], "new")
    assert [o.id for o in made.observations] == ["o-1111", "o-2222", "o-1111b"]
    assert made.observations[1].merged_into == ("o-1111b",)
    assert made.notes == (Note("o-1111b", "Of the other."),)


def test_priority_is_by_all_attempts_together() -> None:
    runs = [
        document(
            run, observation("o-1111", by(run), subject=Subject.ERROR, claim=Claim.FACT, priority=Priority.POSSIBLE)
        )
        for run in ("one", "two")
    ]
    assert [o.priority for o in carried(runs[:1], "new").observations] == [Priority.POSSIBLE]
    assert [o.priority for o in carried(runs, "new").observations] == [Priority.IMPORTANT]


def test_notes_of_several_are_kept_once_each() -> None:
    runs = [document(run, notes=(Note("top", "Same."), Note("important", run))) for run in ("one", "two")]
    assert carried(runs, "new").notes == (Note("top", "Same."), Note("important", "one\n\ntwo"))
