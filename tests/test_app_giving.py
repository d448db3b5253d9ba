"""A node handed on, its call's facts, a line of the observations, and the map of errors: pure."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import giving, noting
from app.callnodes import reported
from app.spots import OfBlock, OfLane, OfResult, OfRun, OfTool, OfTurn
from app.trace import Trace
from backends.observer.evidence import check_evidence
from store import events, tapes
from store.database import Store, open_store
from store.domain.blocks import BlockKind, blocks
from store.domain.board import Board
from store.domain.ids import SubagentId
from store.domain.observations import Document, Evidence, Priority
from tests import record
from widgets.minimap import marks, row_at

WHO = SubagentId(record.LIVE, 2, 1)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with record.recorded(Path(tmp_path_factory.mktemp("home"))) as home, open_store(home.store) as opened:
        yield opened


def tool(store: Store, number: int) -> OfTool:
    trace = Trace(record.LIVE, "a title")
    trace.apply(events.read(store, run=record.LIVE))
    turn = trace.turn(WHO, number)
    assert turn is not None
    return next(item.data for item in turn.children if isinstance(item.data, OfTool))


def test_the_text_of_a_node_is_its_own_words(store: Store) -> None:
    board = Board(record.LIVE)
    ran = tool(store, 4)
    result = giving.text(store, board, OfResult(ran))
    assert result.startswith("exit code 1\noversold: 2 of 50 schedules")
    assert "went well" not in result
    asked = giving.text(store, board, ran)
    assert asked.startswith("run {")
    assert asked.endswith(result)
    call = ran.turn.calls[0]
    words = giving.text(store, board, OfBlock(WHO, 4, BlockKind.REASONING, call, 0))
    assert words
    assert "reasoning" not in words.split("\n")[0]
    raw = giving.text(store, board, ran.turn, raw=True)
    assert "Request  POST /v1/messages" in raw
    assert "\x1b" not in asked + raw


def test_a_file_says_whose_and_what_it_is(store: Store) -> None:
    ran = tool(store, 4)
    assert giving.file_name(OfResult(ran)) == "2.1-turn-4-run-result.txt"
    assert giving.file_name(OfBlock(WHO, 4, BlockKind.TEXT, "c", 0)) == "2.1-turn-4-text.md"
    assert giving.file_name(OfTurn(WHO, 4), raw=True) == "2.1-turn-4-raw.txt"
    assert giving.file_name(OfLane(WHO)) == "2.1.txt"
    assert giving.file_name(OfRun("x")) == "run.txt"


def test_the_operators_own_programs_come_first() -> None:
    none: dict[str, bool] = {}
    assert giving.program({"VISUAL": "code --wait", "EDITOR": "vi"}, "editor", none) == ["code", "--wait"]
    assert giving.program({"EDITOR": "vi"}, "pager", {"less": True}) == ["less"]
    assert giving.program({"PAGER": " "}, "pager", {"more": True}) == ["more"]
    assert giving.program({}, "editor", none) == []
    with pytest.raises(ValueError, match="EDITOR can't be read"):
        giving.program({"EDITOR": 'vi "'}, "editor", none)


def test_an_observation_of_what_no_message_has_says_where_it_was_seen() -> None:
    seen = Evidence(WHO, "c", "n", 0, 0, 3, "two", 4)
    assert noting.added("The lock.", Priority.POSSIBLE, "2.1", "two", seen).text == "The lock."
    added = noting.added("The lock.\n", Priority.POSSIBLE, "2.1 · ended", "oversold: 2\x1b[0m", None)
    assert added.text.startswith("The lock.\nSeen in 2.1 · ended: “oversold: 2")
    assert "\x1b" not in added.text
    assert not added.evidence


def test_an_observation_rests_on_the_first_line_that_a_node_says(store: Store) -> None:
    ran = tool(store, 4)
    for spot in (ran, OfResult(ran), ran.turn, OfBlock(WHO, 4, BlockKind.TEXT, ran.turn.calls[-1], 0)):
        found = noting.evidence(store, spot)
        assert found is not None, spot
        text = blocks(tapes.node(store, found.node).message)[found.block].text
        assert text[found.start : found.end] == found.quote
        assert text[: found.start].strip() == ""
        document = noting.added("Mine.", Priority.POSSIBLE, "", "", found).apply(Document(WHO.run))
        assert not check_evidence(store, document)
        assert document.observations[0].attempts == (WHO,)
    assert noting.evidence(store, OfLane(WHO)) is None


def test_usage_is_what_the_provider_said_in_every_protocol() -> None:
    stream = (
        'data: {"message": {"usage": {"input_tokens": 5}}}\n\ndata: {"usage": {"input_tokens": 5, "output_tokens": 9}}'
    )
    assert reported(stream) == [{"input_tokens": 5}, {"input_tokens": 5, "output_tokens": 9}]
    assert reported('{"usageMetadata": {"totalTokenCount": 3}}') == [{"totalTokenCount": 3}]
    assert reported('{"text": "\\"usage\\": none", "usage": null} "usage": {"cut') == []


def test_the_map_has_each_error_beside_where_it_is() -> None:
    assert marks([0, 9], 10, 10) == [1, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    assert marks([2], 4, 10)[2] == 1
    assert marks([0, 1, 999_999], 1_000_000, 4) == [2, 0, 0, 1]
    assert marks([5], 0, 4) == [0, 0, 0, 0]


@given(st.integers(1, 10**6), st.integers(1, 200))
def test_every_cell_of_the_map_stands_for_a_row(total: int, cells: int) -> None:
    for cell in range(cells):
        row = row_at(cell, total, cells)
        assert 0 <= row < total
        if total >= cells:
            assert marks([row], total, cells)[cell] == 1
