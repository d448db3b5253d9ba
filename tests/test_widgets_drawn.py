"""A drawn row is a strip like any other, whatever is done with it."""

import gc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from widgets.drawn import Drawn

BOLD = Style(bold=True)
TEXTS = st.lists(st.text("ab 你é", min_size=1, max_size=6), min_size=1, max_size=4)


def both(texts: list[str]) -> tuple[Drawn, Strip]:
    segments = [Segment(text, BOLD if number % 2 else Style()) for number, text in enumerate(texts)]
    plain = Strip(segments)
    return Drawn(segments, plain.cell_length), plain


@given(TEXTS, st.lists(st.integers(0, 30), min_size=1, max_size=4))
def test_it_is_cut_as_any_other(texts: list[str], places: list[int]) -> None:
    drawn, plain = both(texts)
    cuts = sorted({*places, plain.cell_length})
    for _ in range(2):
        assert [list(piece) for piece in drawn.divide(cuts)] == [list(piece) for piece in plain.divide(cuts)]
        assert list(drawn.crop(places[0])) == list(plain.crop(places[0]))
        assert list(drawn.apply_style(BOLD)) == list(plain.apply_style(BOLD))
        assert list(drawn.adjust_cell_length(places[0])) == list(plain.adjust_cell_length(places[0]))
        assert list(drawn.apply_offsets(1, 2)) == list(plain.apply_offsets(1, 2))
    assert drawn == plain


def test_as_a_whole_it_stays_itself_and_leaves_no_ring_behind() -> None:
    gc.collect()
    gc.disable()
    try:
        before = alive()
        drawn, plain = both(["as it is"])
        assert alive() == before + 1
        assert drawn.divide([plain.cell_length]) == [drawn]
        del drawn, plain
        assert alive() == before
    finally:
        gc.enable()


def alive() -> int:
    return sum(isinstance(one, Drawn) for one in gc.get_objects())


def test_a_name_that_it_does_not_know_is_told() -> None:
    with pytest.raises(AttributeError, match="colour"):
        both(["a"])[0].colour  # noqa: B018
