"""What tools are given and give back, drawn as what it is, whatever an agent calls it."""

import json
from typing import Any

import pytest
from hypothesis import given as over
from hypothesis import strategies as st

from app import tooling
from widgets.ink import Line, wrap_line


def text(lines: list[Line]) -> str:
    return "\n".join("".join(piece for piece, _ in line) for line in lines)


def inks(lines: list[Line], ink: str) -> list[str]:
    return [piece for line in lines for piece, own in line if own == ink]


@pytest.mark.parametrize(
    "value",
    [
        {"path": "a.py", "old": "x = 1\n", "new": "x = 2\n"},
        {"file_path": "a.py", "old_string": "x = 1\n", "new_string": "x = 2\n", "replace_all": False},
        {"command": "str_replace", "path": "a.py", "old_str": "x = 1\n", "new_str": "x = 2\n"},
        {"filePath": "a.py", "oldString": "x = 1\n", "newString": "x = 2\n"},
        {"file_path": "a.py", "edits": [{"old_string": "x = 1\n", "new_string": "x = 2\n"}]},
    ],
)
def test_an_edit_of_any_agent_is_a_diff(value: dict[str, Any]) -> None:
    lines = tooling.given("edit", value)
    assert inks(lines, "removed") == ["-x = 1"]
    assert inks(lines, "added") == ["+x = 2"]
    assert text(lines).count("a.py") == 2, "it is named where the diff begins"


@pytest.mark.parametrize("value", [{"command": "ls -l | wc"}, {"command": ["bash", "-lc", "ls -l | wc"]}])
def test_a_command_is_code_of_a_shell(value: dict[str, Any]) -> None:
    assert text(tooling.given("shell", value)) == "› shell\nls -l | wc"
    assert text(tooling.given("exec", {"command": ["grep", "-n", "a b"]})).endswith("grep -n 'a b'")


def test_what_is_short_stands_beside_the_name() -> None:
    assert text(tooling.given("read", {"path": "shop/bank.py", "start": 40})) == "› read  path shop/bank.py  start 40"
    assert text(tooling.given("view", {"command": "view", "path": "a.py"})) == "› view  command view  path a.py"
    many = tooling.given(
        "book", {"user": "mia_li_3668", "flight": "HAT136", "insurance": "no", "baggage": "two of them"}
    )
    assert [line[0][0].strip() for line in many] == ["›", "user", "flight", "insurance", "baggage"]


def test_a_new_file_is_code_by_its_name() -> None:
    lines = tooling.given("Write", {"file_path": "a.py", "content": "def total():\n    return 1\n"})
    assert "code-keyword" in {ink for line in lines for _, ink in line}
    assert "a.py" in text(lines[:1])


def test_a_patch_is_a_diff_under_any_name() -> None:
    patch = "*** Begin Patch\n*** Update File: a.py\n@@\n-x = 1\n+x = 2\n*** End Patch"
    for value in (patch, {"input": patch}, {"patch": patch, "why": "it is wrong"}):
        lines = tooling.given("apply_patch", value)
        assert inks(lines, "removed") == ["-x = 1"]
        assert inks(lines, "added") == ["+x = 2"]


def test_a_plan_is_a_list() -> None:
    todos = [{"content": "Look", "status": "completed"}, {"content": "Mend", "status": "in_progress"}]
    assert text(tooling.given("TodoWrite", {"todos": todos})) == "› TodoWrite\n✔ Look\n▶ Mend"
    assert "steps" in text(tooling.given("other", {"steps": [1, 2]}))


def test_words_are_prose_and_what_is_nested_is_json() -> None:
    lines = tooling.given("Task", {"prompt": "# Look\nat `a.py`", "options": {"deep": [1, None]}})
    assert "`" not in inks(lines, "code-string")[0]
    assert '"deep"' in text(lines)


@pytest.mark.parametrize("mark", ["\t", "→", "| "])
def test_a_file_that_was_read_is_code_with_its_numbers(mark: str) -> None:
    result = f"<file>\n    1{mark}import os\n    2{mark}\n    3{mark}x = 1\n</file>\nThat is all."
    lines = tooling.gave(result, {"file_path": "a.py"})
    assert text(lines) == "<file>\n    1 import os\n    2 \n    3 x = 1\n</file>\nThat is all."
    assert "import" in inks(lines, "code-keyword")


def test_output_that_only_has_numbers_is_output() -> None:
    assert text(tooling.gave("exit code 0\nall is well", {"path": "a.py"})) == "exit code 0\nall is well"


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["path", "command", "old", "new", "edits", "content", "todos", "prompt", "x", "\x1b[2J"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@over(st.text(max_size=20), values)
def test_anything_at_all_is_drawn(name: str, value: object) -> None:
    lines = tooling.given(name, json.loads(json.dumps(value)))
    assert lines[0][0][0].startswith("›")
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in text(lines).replace("\n", ""))


def test_what_has_megabytes_on_one_line_is_cut_and_folded_in_time() -> None:
    code = "var a=1;function b(c){return c+'x'};" * 60_000
    for lines in (
        tooling.given("Write", {"file_path": "a.js", "content": code}),
        tooling.gave("\x1b[31mx\x1b[0m \u202e" * 300_000, {"path": "a.js"}),
    ):
        rows = [row for line in lines for row in wrap_line(line, 40)]
        assert len(rows) < 20_000
        assert "more characters are on the tape" in text(lines)
        assert all(sum(len(piece) for piece, _ in row) <= 40 for row in rows)


@over(
    st.lists(st.tuples(st.text("ab \u3042", max_size=30), st.sampled_from(["text", "bad"])), max_size=12),
    st.integers(2, 20),
)
def test_folding_keeps_each_character_in_its_ink(line: Line, cells: int) -> None:
    inked = [(c, ink) for piece, ink in line for c in piece if c != " "]
    rows = wrap_line(line, cells)
    assert [(c, ink) for row in rows for piece, ink in row for c in piece if c != " "] == inked
