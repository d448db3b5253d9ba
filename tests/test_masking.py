"""What is drawn and printed hides keys; what is kept and counted in does not change."""

import json
from collections.abc import Callable

import pytest

from app.output import emit, emit_each, say
from app.turning import _said
from store.domain.blocks import Block, BlockKind
from store.domain.secrets import mask, shown, shown_line
from tests.test_secrets import KNOWN, PEM
from widgets import paint
from widgets.ink import Line, clean

KEY = KNOWN["sk-ant-api03-"]
MASKED = "sk-ant-api03-" + "*" * (len(KEY) - len("sk-ant-api03-"))
PRIVATE = PEM.format("RSA ")


def text_of(lines: list[Line]) -> str:
    return "\n".join("".join(text for text, _ in line) for line in lines)


@pytest.mark.parametrize("painted", [paint.plain, paint.shell, paint.prose, paint.code, paint.traceback, paint.guess])
def test_what_is_painted_hides_keys_also_over_many_lines(painted: Callable[[str], list[Line]]) -> None:
    drawn = text_of(painted(f"one {KEY}\n{PRIVATE}\ntwo"))
    assert MASKED in drawn and KEY[13:] not in drawn and "two" in drawn
    assert not any(line in drawn for line in PRIVATE.split("\n")[1:-1])


def test_what_is_coloured_hides_keys_over_tokens() -> None:
    value = {"headers": {"authorization": "Basic dXNlcjpwYXNzd29yZHBhc3M="}, "key": PRIVATE, "n": 1}
    drawn = text_of(paint.as_json(value))
    assert "dXNlcjpwYXNz" not in drawn and PRIVATE.split("\n")[1] not in drawn and '"n": 1' in drawn
    changed = text_of(paint.edit("a.env", "A=1\n", f"A=1\nKEY={KEY}\n"))
    assert KEY[13:] not in changed and "A=1" in changed


def test_a_text_that_is_cut_is_cut_masked() -> None:
    drawn = text_of(paint.plain("x" * (paint.MOST - 40) + " " + KEY))
    assert KEY[13:20] not in drawn and "sk-ant-api03-****" in drawn
    assert shown_line(f"say {KEY}", 30) == f"say {MASKED}"[:29] + "…"


def test_lines_of_the_trace_and_of_panes_hide_keys() -> None:
    line = _said(Block(BlockKind.TEXT, text=f"the key is {KEY}"))
    assert MASKED in "".join(text for text, _ in line)
    assert clean(f"\t{KEY}\x1b") == f"    {MASKED}␛"


def test_what_is_printed_hides_keys(capsys: pytest.CaptureFixture[str]) -> None:
    say(f"it said {KEY}\nand {PRIVATE}")
    assert MASKED in (out := capsys.readouterr().out) and PRIVATE.split("\n")[1] not in out


def test_places_in_a_text_stay_its_places() -> None:
    """Evidence says where it is in the text as it was said."""
    text = f"é {KEY} 😀 FAILED test_x {PRIVATE} end"
    for word in ("FAILED test_x", "end"):
        at = text.index(word)
        assert mask(text)[at : at + len(word)] == word
        assert len(mask(text).encode()) == len(text.encode())
    assert shown("") == "" and shown_line("  a \n b ") == "a b"


def test_what_is_printed_as_json_hides_keys_and_stays_json(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"text": f"{KEY} {PRIVATE}", KEY: [1, 2.5, None, True, {"deep": KEY}]}
    hidden = {"text": mask(f"{KEY} {PRIVATE}"), MASKED: [1, 2.5, None, True, {"deep": MASKED}]}
    emit(value)
    emit_each([value])
    one, many = capsys.readouterr().out.split("\n", 1)
    assert json.loads(one) == hidden and json.loads(many) == [hidden]
