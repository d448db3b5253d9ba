import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.domain.timing import decode, encode


@given(st.lists(st.tuples(st.integers(0, 2**40), st.floats(0, 1e6)), max_size=20))
def test_timing_comes_back_to_the_microsecond(steps: list[tuple[int, float]]) -> None:
    timing, size, at = [], 0, 0.0
    for more, later in steps:
        size, at = size + more, at + later
        timing.append((size, at))
    back = decode(encode(timing))
    assert [size for size, _ in back] == [size for size, _ in timing]
    assert all(abs(one - other) < 1e-6 for (_, one), (_, other) in zip(back, timing, strict=True))


def test_a_usual_piece_takes_a_few_bytes() -> None:
    pieces = [(120 * number, 0.35 + 0.02 * number) for number in range(1, 201)]
    assert len(encode(pieces)) < 1000


def test_a_clock_that_goes_back_stands_still() -> None:
    assert decode(encode([(1, 0.5), (2, 0.25), (3, -1.0), (4, 0.75)])) == [(1, 0.5), (2, 0.5), (3, 0.5), (4, 0.75)]
    assert decode(encode([(1, -0.25)])) == [(1, 0.0)]


def test_an_answer_does_not_shrink() -> None:
    with pytest.raises(ValueError, match="shrunk"):
        encode([(2, 0.0), (1, 0.0)])


@pytest.mark.parametrize("data", [b"\x01", b"\x01\x80", b"\xff"])
def test_what_ends_in_the_middle_is_said(data: bytes) -> None:
    with pytest.raises(ValueError, match="middle"):
        decode(data)
