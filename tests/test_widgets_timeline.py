"""The timeline of a playback as it is drawn."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from widgets.ink import width
from widgets.timeline import Reading, Spot, cell, course, draw, marked

SHARES = tuple(index / 99 for index in range(100))
SPOTS = (
    Spot(0.0, "generation", "generation 1 is designed"),
    Spot(0.25, "error", "1.1: run: exit code 1"),
    Spot(0.25, "alert", "1.1: the same call three times"),
    Spot(0.5, "gate", "gate after generation 1"),
    Spot(0.52, "generation", "generation 2 is designed"),
    Spot(0.75, "error", "2.1: call failed: overloaded"),
    Spot(0.9, "solved", "2.2: check passed in 1.3s"),
    Spot(1.0, "end", "solved: it passes"),
)


def reading(**more: object) -> Reading:
    given = {
        "share": 0.4, "playing": True, "speed": 4.0, "passed": 72.0, "took": 200.0, "left": 30.0, "count": 41,
        "what": "2.1 turn 3 tool started: run python check.py", "squeezed": 130.0, "shares": SHARES, "spots": SPOTS,
    }  # fmt: skip
    return Reading(**{**given, **more})  # type: ignore[arg-type]  # the fields' own values


def rows(cells: int, height: int, **more: object) -> list[str]:
    hover = more.pop("hover", None)
    return ["".join(text for text, _ in line) for line in draw(reading(**more), cells, height, hover=hover)]  # type: ignore[arg-type]  # a cell


def test_three_rows_have_marks_course_and_numbers() -> None:
    marks, track, numbers = rows(160, 3)
    assert marks.split() == ["1", "⚠", "◆", "2", "✗", "✔", "■"]
    assert track.index("┃") == 1 + cell(0.4, 158)
    for said in ("▶ 4×", "1m12s of 3m20s", "event 41 of 100", "2.1 turn 3 tool started", "✗2 ⚠1 ✔1", "30s left",
                 "2m10s of silence squeezed"):  # fmt: skip
        assert said in numbers


def test_two_rows_have_the_marks_on_the_course() -> None:
    track, numbers = rows(80, 2, playing=False, speed=0.5)
    assert "".join(each for each in track if each in "12⚠◆✗✔■") == "1⚠◆2✗✔■"
    assert "‖ 0.5×  1m12s/3m20s  41/100" in numbers


def test_one_row_has_the_numbers() -> None:
    (numbers,) = rows(80, 1)
    assert "▶ 4×" in numbers


def test_of_several_in_a_cell_the_most_telling_is_shown() -> None:
    both = [Spot(0.5, "error", "a"), Spot(0.5, "solved", "b"), Spot(0.5, "alert", "c")]
    assert marked(both, 10) == {5: ("✔", "good")}
    assert marked([Spot(0.0, "generation", "g")] * 12, 4)[0] == ("1", "strong")


def test_the_pointer_tells_what_the_mark_is() -> None:
    numbers = rows(120, 3, hover=cell(0.9, 118))[-1]
    assert "✔ 2.2: check passed in 1.3s" in numbers
    assert "⚠ 1.1: the same call three times (+1)" in rows(120, 3, hover=cell(0.25, 118))[-1]
    assert "2.1 turn 3 tool started" in rows(120, 3, hover=cell(0.1, 118))[-1]


def test_the_course_is_high_where_much_happens() -> None:
    bars = course([0.5] * 50 + [0.1, 0.9], 10)
    assert len(bars) == 10
    assert bars[5] == "█"
    assert bars[3] == "▁"
    assert course([], 5) == "▁" * 5


@given(
    st.integers(1, 220),
    st.integers(1, 3),
    st.floats(0, 1),
    st.lists(st.floats(0, 1), max_size=30),
    st.lists(
        st.tuples(st.floats(0, 1), st.sampled_from(["error", "generation", "end", "solved"]), st.text()), max_size=9
    ),
    st.integers(-2, 230) | st.none(),
)
def test_it_fits_any_room(
    cells: int, height: int, share: float, shares: list[float], spots: list[tuple[float, str, str]], hover: int | None
) -> None:
    found = reading(
        share=share, shares=tuple(sorted(shares)), spots=tuple(Spot(*spot) for spot in spots), what="漢字" * 40
    )
    lines = draw(found, cells, height, hover=hover)
    assert len(lines) <= height
    assert all(width(line) <= max(cells, 1) for line in lines)


@pytest.mark.parametrize(
    ("share", "cells", "at"), [(0.0, 10, 0), (1.0, 10, 9), (0.55, 10, 5), (2.0, 3, 2), (-1.0, 3, 0)]
)
def test_a_place_falls_into_a_cell(share: float, cells: int, at: int) -> None:
    assert cell(share, cells) == at
    assert cell_len("┃") == 1
