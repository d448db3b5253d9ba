import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.domain.blocks import Block, BlockKind, blocks
from store.domain.kept import split

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda items: st.lists(items, max_size=3) | st.dictionaries(st.text(max_size=5), items, max_size=3),
)


def only(block: Any) -> Block:
    (found,) = blocks({"role": "user", "content": [block]})
    return found


def test_a_plain_string_is_one_text_block() -> None:
    assert blocks({"role": "user", "content": "hello"}) == (Block(BlockKind.TEXT, "hello"),)


def test_a_conversation_reads_as_it_was_said() -> None:
    answer = {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "Two writers.", "signature": "Eq"},
            {"type": "redacted_thinking", "data": "Zm9v"},
            {"type": "text", "text": "Let me look."},
            {"type": "tool_use", "id": "t1", "name": "bash", "input": {"timeout": 5, "command": "grep -n 'é' a\nls"}},
        ],
    }
    assert blocks(answer) == (
        Block(BlockKind.REASONING, "Two writers."),
        Block(BlockKind.REASONING),
        Block(BlockKind.TEXT, "Let me look."),
        Block(
            BlockKind.TOOL_CALL,
            '{\n  "command": "grep -n \'é\' a\\nls",\n  "timeout": 5\n}',
            name="bash",
            id="t1",
            input={"timeout": 5, "command": "grep -n 'é' a\nls"},
        ),
    )


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("17: x = 3", "17: x = 3"),
        ([{"type": "text", "text": "one"}, {"type": "text", "text": "two"}], "one\ntwo"),
        ([{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}}], ""),
        ([], ""),
        (None, ""),
    ],
)
def test_a_tool_result_is_the_text_of_its_content(content: Any, text: str) -> None:
    result = {"type": "tool_result", "tool_use_id": "t1", "content": content}
    assert only(result) == Block(BlockKind.TOOL_RESULT, text, id="t1", ok=True)


def test_a_tools_failure_is_seen_and_keeps_its_text() -> None:
    failed = {"type": "tool_result", "tool_use_id": "t1", "content": "Traceback", "is_error": True}
    assert only(failed) == Block(BlockKind.TOOL_RESULT, "Traceback", id="t1", ok=False)


@pytest.mark.parametrize(
    ("block", "text", "ok"),
    [
        (
            {"type": "web_search_tool_result", "content": [{"type": "web_search_result", "title": "T", "url": "u"}]},
            "T\nu",
            True,
        ),
        (
            {
                "type": "web_search_tool_result",
                "content": {"type": "web_search_tool_result_error", "error_code": "unavailable"},
            },
            "unavailable",
            False,
        ),
        (
            {
                "type": "code_execution_tool_result",
                "content": {"type": "code_execution_result", "stdout": "a", "stderr": "b", "return_code": 1},
            },
            "a\nb",
            False,
        ),
    ],
)
def test_results_of_the_providers_own_tools(block: dict[str, Any], text: str, ok: bool) -> None:
    found = only({**block, "tool_use_id": "s1"})
    assert (found.kind, found.text, found.id, found.ok) == (BlockKind.TOOL_RESULT, text, "s1", ok)


def test_the_providers_own_tool_calls_are_tool_calls() -> None:
    call = {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "q"}}
    assert only(call).kind is BlockKind.TOOL_CALL and only(call).name == "web_search"


def test_a_tool_call_whose_input_was_no_json_shows_it() -> None:
    assert only({"type": "tool_use", "id": "t", "name": "bash", "input": '{"comm'}).text == '{"comm'


def test_pictures_and_documents() -> None:
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}}
    paper = {"type": "document", "title": "Notes", "source": {"type": "text", "data": "words"}}
    assert only(picture) == Block(BlockKind.IMAGE, name="image/png")
    assert only(paper) == Block(BlockKind.DOCUMENT, "Notes\nwords", name="Notes")


def test_what_is_unknown_is_shown_as_it_is() -> None:
    assert (
        only({"type": "container_upload", "file_id": "f"}).text
        == '{\n  "file_id": "f",\n  "type": "container_upload"\n}'
    )
    assert only(7) == Block(BlockKind.OTHER, "7")


@pytest.mark.parametrize("content", [None, 3, {"type": "text", "text": "x"}])
def test_content_that_is_none_has_no_blocks(content: Any) -> None:
    assert blocks({"role": "user", "content": content}) == ()


def test_nesting_without_end_is_no_crash() -> None:
    deep: Any = "x"
    for _ in range(100_000):
        deep = [deep]
    assert only({"type": "tool_result", "tool_use_id": "t", "content": deep}).kind is BlockKind.OTHER


KINDS = ["text", "thinking", "image", "document", "tool_use", "tool_result", "web_search_tool_result", "what"]
odd_blocks = st.builds(
    lambda kind, members: {**members, "type": kind},
    st.sampled_from(KINDS),
    st.dictionaries(st.sampled_from(["text", "content", "source", "input", "title", "id", "name"]), json_values),
)


@given(st.lists(odd_blocks | json_values, max_size=4))
def test_nothing_malformed_breaks_the_reader_or_moves_a_block(content: list[Any]) -> None:
    message = {"role": "assistant", "content": content}
    found = blocks(message)
    assert len(found) == len(content)
    # The text depends on the value alone, not on how it was written or which form a node keeps of it.
    assert blocks(json.loads(json.dumps(message, sort_keys=True))) == found
    kept, _ = split(message)
    assert len(blocks(kept)) == len(kept["content"])
