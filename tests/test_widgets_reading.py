"""A place in a text is the same at any width."""

from hypothesis import given
from hypothesis import strategies as st

from widgets.ink import Line, wrap_line
from widgets.reading import Place, place, row

words = st.lists(st.text("abcdefgh", min_size=1, max_size=12), min_size=1, max_size=30).map(" ".join)


def folded(texts: list[str], cells: int) -> tuple[list[Line], list[int]]:
    rows: list[Line] = []
    starts: list[int] = []
    for text in texts:
        starts.append(len(rows))
        rows += ([("∙ ", "faint"), *one] for one in wrap_line([(text, "text")], cells))
    return rows, starts


def letters(rows: list[Line]) -> str:
    return "".join(text for one in rows for text, _ in one[1:]).replace(" ", "")


@given(st.lists(words, min_size=1, max_size=8), st.integers(4, 60), st.integers(4, 60), st.data())
def test_the_first_letter_in_sight_is_in_the_first_row_at_another_width(
    texts: list[str], wide: int, narrow: int, data: st.DataObject
) -> None:
    rows, starts = folded(texts, wide)
    top = data.draw(st.integers(0, len(rows) - 1))
    where = place(rows, starts, top, 1)
    assert row(rows, starts, where, 1) == top
    others, begins = folded(texts, narrow)
    there = row(others, begins, where, 1)
    before = len(letters(rows[:top]))
    assert len(letters(others[:there])) <= before < len(letters(others[: there + 1]))


def test_a_place_that_is_not_there_is_the_nearest_before() -> None:
    rows, starts = folded(["one two three", "four"], 5)
    assert row(rows, starts, Place(7), 1) == len(rows) - 1
    assert row(rows, starts, Place(0, 999), 1) == starts[1] - 1
    assert row(rows, starts, Place(-3, -3), 1) == 0
    assert (row([], [], Place(2, 2)), place([], [], 4)) == (0, Place(0))
