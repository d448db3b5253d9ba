"""Text painted as what it is, and never able to act."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from widgets import paint
from widgets.ink import INKS, Line

HOSTILE = st.text(
    st.one_of(st.characters(), st.sampled_from("\x1b\x07\x9b\u202e\u200b\t\r\n[]`#*|-+@{}\"'\ud800")), max_size=200
)
PAINTERS = [
    paint.plain,
    paint.guess,
    paint.prose,
    paint.shell,
    paint.diff,
    paint.traceback,
    paint.numbered,
    lambda text: paint.code(text, "a.py"),
    lambda text: paint.code(text, language="json"),
    lambda text: paint.edit("a.py", text, text + "x"),
    lambda text: paint.as_json({"text": text}),
]


def text(lines: list[Line]) -> str:
    return "\n".join("".join(piece for piece, _ in line) for line in lines)


def inks(lines: list[Line]) -> set[str]:
    return {name for line in lines for piece, name in line if piece.strip()}


@settings(deadline=None)
@given(HOSTILE)
@pytest.mark.parametrize("painter", PAINTERS)
def test_whatever_is_painted_cannot_act(painter: object, said: str) -> None:
    assert callable(painter)
    lines = painter(said)
    for line in lines:
        for piece, name in line:
            assert name in INKS
            assert "\n" not in piece
            assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or c in "\u202e\u200b\ud800" for c in piece), piece


def test_code_is_painted_by_the_name_of_its_file() -> None:
    lines = paint.code("def f(x):\n    return 'a'  # why\n", "shop/stock.py")
    assert text(lines) == "def f(x):\n    return 'a'  # why"
    assert {"code-keyword", "code-string", "code-comment", "code-name"} <= inks(lines)
    assert inks(paint.code("anything", "no.such.kind.at.all")) == {"text"}


def test_what_the_read_tool_gave_keeps_its_numbers() -> None:
    lines = paint.numbered("(lines 7 to 8 of 9)\n     7\tdef f():\n     8\t    pass", "a.py")
    assert text(lines) == "(lines 7 to 8 of 9)\n    7 def f():\n    8     pass"
    assert "code-keyword" in inks(lines)


def test_an_edit_is_a_diff() -> None:
    lines = paint.edit("a.py", "one\ntwo\n", "one\nthree\n")
    assert ("-two", "removed") in [span for line in lines for span in line]
    assert ("+three", "added") in [span for line in lines for span in line]


def test_output_is_recognised() -> None:
    failing = 'exit code 1\nTraceback (most recent call last):\n  File "a.py", line 3, in f\n    x\nValueError: no'
    assert ("ValueError: no", "bad") in [span for line in paint.guess(failing) for span in line]
    assert "added" in inks(paint.guess("--- a\n+++ b\n@@ -1 +1 @@\n-x\n+y"))
    assert "code-number" in inks(paint.guess(json.dumps({"a": [1, 2]})))
    assert inks(paint.guess("{ not json")) == {"text"}


def test_colours_of_a_program_become_inks_and_other_controls_are_shown() -> None:
    lines = paint.shell("\x1b[31mred\x1b[0m plain \x1b[2J\x1b]0;title\x07")
    assert ("red", "bad") in lines[0]
    assert text(lines) == "red plain ␛[2J␛]0;title␇"


def test_markdown_is_drawn_not_parsed() -> None:
    lines = paint.prose(
        "# Title\n\n- [important] (o-3f2a · failed attempt) In `a.py` [bold]no[/bold]\n\n```diff\n-x\n+y\n```"
    )
    assert text(lines).startswith("# Title\n\n- [important] (o-3f2a · failed attempt) In a.py [bold]no[/bold]")
    assert {"accent", "bad", "added", "removed", "code-string"} <= inks(lines)


def test_a_fence_inside_a_list_is_painted_too() -> None:
    lines = paint.prose("- item\n\n  ```diff\n  @ a.py\n  - x\n  + y\n  ```")
    assert {"added", "removed"} <= inks(lines)
    assert "  + y" in text(lines)


def test_a_fence_that_is_never_closed_is_painted_to_the_end() -> None:
    assert "code-keyword" in inks(paint.prose("```python\ndef f(): pass"))


def test_what_is_too_long_says_how_much_is_left_out() -> None:
    lines = paint.shell("x" * (paint.MOST + 1234))
    assert "1,234 more characters" in text(lines[-1:])
