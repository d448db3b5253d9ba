"""Events come out the same however the stream is cut, and each knows where its bytes are."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.proxy.sse import Event, EventReader

RECORDED = sorted((Path(__file__).parent / "recorded").glob("*.sse"))


def read(*chunks: bytes) -> list[Event]:
    reader = EventReader()
    return [event for chunk in chunks for event in reader.feed(chunk)]


def said(events: list[Event]) -> list[tuple[str, bytes]]:
    return [(event.name, event.data) for event in events]


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_recorded_streams_read_the_same_cut_at_every_byte(path: Path) -> None:
    body = path.read_bytes()
    whole = said(read(body))
    assert whole
    for cut in range(len(body) + 1):
        assert said(read(body[:cut], body[cut:])) == whole
    assert said(read(*(body[i : i + 1] for i in range(len(body))))) == whole


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_an_event_lies_where_it_says(path: Path) -> None:
    body = path.read_bytes()
    for event in read(body):
        assert said(read(body[event.start : event.end])) == said([event])


LINE_END = st.sampled_from([b"\n", b"\r\n", b"\r"])
TEXT = st.text(st.characters(blacklist_characters="\r\n", blacklist_categories=["Cs"]), max_size=20)


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, list[tuple[str, bytes]]]:
    """A stream in all the grammar's liberties, and the events that are in it."""
    stream, expected = b"", []
    end = draw(LINE_END)
    for _ in range(draw(st.integers(0, 6))):
        name = draw(st.one_of(st.just(""), TEXT.filter(lambda text: not text.startswith(" "))))
        data = draw(st.lists(TEXT, max_size=3))
        lines = [b"event: " + name.encode()] if name else []
        if draw(st.booleans()):
            lines.insert(0, b": " + draw(TEXT).encode())
        lines += [b"data: " + text.encode() for text in data]
        if draw(st.booleans()):
            lines.append(b"id: 7")
        stream += b"".join(line + end for line in lines) + end
        if data:
            expected.append((name, "\n".join(data).encode()))
    return stream, expected


@settings(max_examples=300, deadline=None)
@given(streams(), st.data())
def test_any_stream_cut_anywhere(case: tuple[bytes, list[tuple[str, bytes]]], data: st.DataObject) -> None:
    stream, expected = case
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert said(read(*chunks)) == expected


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=20))
def test_no_bytes_break_the_reader(chunks: list[bytes]) -> None:
    reader = EventReader()
    for chunk in chunks:
        for event in reader.feed(chunk):
            assert 0 <= event.start < event.end
    assert reader.start + reader.pending == sum(map(len, chunks))


def test_lines_may_end_in_a_lone_carriage_return() -> None:
    assert said(read(b"event: a\rdata: 1\r\rdata: 2\r\r")) == [("a", b"1"), ("", b"2")]


def test_a_crlf_cut_in_two_is_no_empty_line() -> None:
    assert said(read(b"event: a\r", b"\ndata: 1\r", b"\n\r", b"\n")) == [("a", b"1")]


def test_a_byte_order_mark_is_no_part_of_the_first_field() -> None:
    assert [e.name for e in read(b"\xef\xbb", b"\xbfevent: a\ndata: 1\n\n")] == ["a"]


def test_the_name_of_an_unfinished_event_is_known_when_its_line_is() -> None:
    reader = EventReader()
    reader.feed(b"data: 1\n\nevent: mess")
    assert (reader.pending_name(), reader.start) == (None, 9)
    reader.feed(b"age_stop\n")
    assert reader.pending_name() == "message_stop"
    reader.feed(b"data: {}\n\n")
    assert (reader.pending_name(), reader.pending) == (None, 0)


def test_an_event_that_the_stream_ends_in_is_kept() -> None:
    reader = EventReader()
    reader.feed(b"data: 1\n\nevent: message_stop\ndata: {}")
    assert reader.finish() == Event("message_stop", b"{}", 9, 37)


def test_a_large_event_in_small_pieces_costs_its_size() -> None:
    # Searching the whole of it again at each piece would take minutes.
    reader = EventReader()
    piece = b"x" * 64
    reader.feed(b"data: ")
    for _ in range(60_000):
        assert reader.feed(piece) == []
    (event,) = reader.feed(b"\n\n")
    assert len(event.data) == 60_000 * 64
