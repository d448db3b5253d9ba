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


# Other protocols.


def of(kind: BlockKind, text: str = "", **more: Any) -> Block:
    return Block(kind, text, **more)


def test_an_answer_of_chat_completions() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "bash", "arguments": '{"command":"ls"}'}}
    broken = {"id": "c2", "type": "function", "function": {"name": "bash", "arguments": '{"command'}}
    custom = {"id": "c3", "type": "custom", "custom": {"name": "patch", "input": "*** Begin"}}
    message = {
        "role": "assistant",
        "reasoning_content": "Two writers.",
        "content": [{"type": "text", "text": "Let me look."}, {"type": "refusal", "refusal": "Not this."}],
        "refusal": "Nor that.",
        "audio": {"id": "a", "transcript": "Hm."},
        "tool_calls": [call, broken, custom, 7],
    }
    assert blocks(message) == (
        of(BlockKind.REASONING, "Two writers."),
        of(BlockKind.TEXT, "Let me look."),
        of(BlockKind.TEXT, "Not this."),
        of(BlockKind.TEXT, "Nor that."),
        of(BlockKind.TEXT, "Hm."),
        of(BlockKind.TOOL_CALL, '{\n  "command": "ls"\n}', name="bash", id="c1", input={"command": "ls"}),
        of(BlockKind.TOOL_CALL, '{"command', name="bash", id="c2", input='{"command'),
        of(BlockKind.TOOL_CALL, "*** Begin", name="patch", id="c3", input="*** Begin"),
        of(BlockKind.OTHER, "7"),
    )
    legacy = {"role": "assistant", "content": None, "function_call": {"name": "ls", "arguments": "{}"}}
    assert blocks(legacy) == (of(BlockKind.TOOL_CALL, "{}", name="ls", id="ls", input={}),)


@pytest.mark.parametrize(
    "more",
    [
        {"reasoning": "Hm."},
        {
            "reasoning_content": "Hm.",
            "reasoning": "Hm.",
            "reasoning_details": [{"type": "reasoning.text", "text": "Hm."}],
        },
        {"reasoning_details": [{"type": "reasoning.summary", "summary": "Hm."}, {"type": "reasoning.encrypted"}]},
        {"thinking_blocks": [{"type": "thinking", "thinking": "Hm.", "signature": "x"}]},
    ],
)
def test_reasoning_stands_in_many_places_and_is_said_once(more: dict[str, Any]) -> None:
    message = {"role": "assistant", "content": "So.", **more}
    assert blocks(message) == (of(BlockKind.REASONING, "Hm."), of(BlockKind.TEXT, "So."))


def test_what_is_told_to_a_model_by_chat_completions() -> None:
    data = "data:image/png;base64,iVBORw0KGgo="
    content = [
        {"type": "text", "text": "see"},
        {"type": "image_url", "image_url": {"url": data}},
        {"type": "image_url", "image_url": {"url": "https://a/b.png"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
    ]
    assert blocks({"role": "user", "content": content}) == (
        of(BlockKind.TEXT, "see"),
        of(BlockKind.IMAGE, name="image/png"),
        of(BlockKind.IMAGE),
        of(BlockKind.DOCUMENT, name="a.pdf"),
        of(BlockKind.OTHER, name="wav"),
    )
    result = of(BlockKind.TOOL_RESULT, "shop.py", id="c1", ok=True)
    assert blocks({"role": "tool", "tool_call_id": "c1", "content": "shop.py"}) == (result,)
    assert blocks({"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "shop.py"}]}) == (result,)


@pytest.mark.parametrize(
    ("item", "found"),
    [
        (
            {"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_file", "filename": "b"}]},
            (of(BlockKind.TEXT, "a"), of(BlockKind.DOCUMENT, name="b")),
        ),
        ({"role": "assistant", "content": [{"type": "output_text", "text": "a"}]}, (of(BlockKind.TEXT, "a"),)),
        (
            {"role": "user", "content": [{"type": "input_image", "image_url": "data:image/jpeg;base64,AA=="}]},
            (of(BlockKind.IMAGE, name="image/jpeg"),),
        ),
        (
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}], "encrypted_content": "x"},
            (of(BlockKind.REASONING, "Hm."),),
        ),
        (
            {
                "type": "reasoning",
                "summary": [{"type": "summary_text", "text": "in short"}],
                "content": [{"type": "reasoning_text", "text": "at length"}],
            },
            (of(BlockKind.REASONING, "at length"),),
        ),
        (
            {"type": "function_call", "call_id": "c1", "name": "bash", "arguments": '{"n": 1}'},
            (of(BlockKind.TOOL_CALL, '{\n  "n": 1\n}', name="bash", id="c1", input={"n": 1}),),
        ),
        (
            {"type": "custom_tool_call", "call_id": "c1", "name": "patch", "input": "*** Begin"},
            (of(BlockKind.TOOL_CALL, "*** Begin", name="patch", id="c1", input="*** Begin"),),
        ),
        (
            {"type": "local_shell_call", "call_id": "c1", "action": {"command": ["ls"]}},
            (
                of(
                    BlockKind.TOOL_CALL,
                    '{\n  "command": [\n    "ls"\n  ]\n}',
                    name="local_shell",
                    id="c1",
                    input={"command": ["ls"]},
                ),
            ),
        ),
        (
            {"type": "function_call_output", "call_id": "c1", "output": "shop.py"},
            (of(BlockKind.TOOL_RESULT, "shop.py", id="c1", ok=True),),
        ),
        (
            {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "shop.py"}]},
            (of(BlockKind.TOOL_RESULT, "shop.py", id="c1", ok=True),),
        ),
        (
            {"type": "mcp_call", "id": "m1", "name": "look", "arguments": "{}", "output": "found", "error": None},
            (
                of(BlockKind.TOOL_CALL, "{}", name="look", id="m1", input={}),
                of(BlockKind.TOOL_RESULT, "found", id="m1", ok=True),
            ),
        ),
        ({"type": "image_generation_call", "result": "AAAA"}, (of(BlockKind.IMAGE),)),
        ({"type": "compaction", "encrypted_content": "x"}, (of(BlockKind.OTHER, '{\n  "type": "compaction"\n}'),)),
    ],
)
def test_items_of_responses(item: dict[str, Any], found: tuple[Block, ...]) -> None:
    assert blocks(item) == found


def test_contents_of_gemini() -> None:
    parts = [
        {"text": "Two writers.", "thought": True},
        {"text": "Let me look."},
        {"functionCall": {"name": "bash", "args": {"n": 1}}},
        {"functionCall": {"id": "f1", "name": "bash"}},
        {"functionResponse": {"name": "bash", "response": {"output": "shop.py"}}},
        {"functionResponse": {"id": "f1", "name": "bash", "response": {"error": "no such file"}}},
        {"functionResponse": {"name": "bash", "response": {"code": 0, "text": "ok"}}},
        {"executableCode": {"language": "PYTHON", "code": "1 + 1"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_FAILED", "output": "no"}},
        {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
        {"inlineData": {"mimeType": "application/pdf", "data": "AAAA"}},
        {"fileData": {"mimeType": "text/plain", "fileUri": "https://a", "displayName": "notes"}},
        {"hologram": {}},
        7,
    ]
    assert blocks({"role": "model", "parts": parts}) == (
        of(BlockKind.REASONING, "Two writers."),
        of(BlockKind.TEXT, "Let me look."),
        of(BlockKind.TOOL_CALL, '{\n  "n": 1\n}', name="bash", id="bash", input={"n": 1}),
        of(BlockKind.TOOL_CALL, name="bash", id="f1"),
        of(BlockKind.TOOL_RESULT, "shop.py", id="bash", ok=True),
        of(BlockKind.TOOL_RESULT, "no such file", id="f1", ok=False),
        of(BlockKind.TOOL_RESULT, '{\n  "code": 0,\n  "text": "ok"\n}', id="bash", ok=True),
        of(BlockKind.TOOL_CALL, "1 + 1", name="code_execution", id="code_execution", input="1 + 1"),
        of(BlockKind.TOOL_RESULT, "no", id="code_execution", ok=False),
        of(BlockKind.IMAGE, name="image/png"),
        of(BlockKind.DOCUMENT, name="application/pdf"),
        of(BlockKind.DOCUMENT, name="notes"),
        of(BlockKind.OTHER, '{\n  "hologram": {}\n}'),
        of(BlockKind.OTHER, "7"),
    )


@given(
    st.dictionaries(
        st.sampled_from(["role", "type", "content", "parts", "tool_calls", "output", "arguments", "reasoning"]),
        json_values | st.sampled_from(["tool", "assistant", "reasoning", "x_call", "x_call_output", "[1", "{}"]),
    )
)
def test_nothing_that_looks_like_a_message_is_too_odd_to_read(message: dict[str, Any]) -> None:
    assert [block.kind in BlockKind for block in blocks(message)] == [True] * len(blocks(message))


def test_a_message_that_is_nested_without_end_is_one_block() -> None:
    value: Any = "x"
    for _ in range(5000):
        value = [value]
    assert blocks({"role": "user", "content": [{"type": "odd", "x": value}]})[-1].kind is BlockKind.OTHER
