"""Plain printing: aligned, readable, and harmless to a terminal."""

import contextlib
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.commands.begin import title
from app.output import counted, duration, emit, money, note, prepare, say, table


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 ms"),
        (0.0421, "42 ms"),
        (0.96, "1.0 s"),
        (1, "1 s"),
        (2.34, "2.3 s"),
        (59.4, "59 s"),
        (59.7, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (3660, "1 h 1 min"),
        (90_000, "25 h"),
    ],
)
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_what_a_terminal_cannot_draw_is_drawn_in_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    bytes_ = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(bytes_, encoding="ascii"))
    prepare()
    print("├─ “a” → b… é ✓", flush=True)
    assert bytes_.getvalue() == b'|- "a" -> b... \\xe9 \\u2713\n'


def test_counts() -> None:
    assert [counted(0, "turn"), counted(1, "turn"), counted(2000, "turn")] == ["0 turns", "1 turn", "2,000 turns"]


def test_money() -> None:
    assert [money(0), money(0.000042), money(0.0012), money(0.01), money(1234.5), money(None)] == [
        "$0.00",
        "$0.000042",
        "$0.0012",
        "$0.01",
        "$1,234.50",
        "unknown",
    ]
    assert money(1, priced=False) == "at least $1.00"


def test_columns_are_aligned_and_cells_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    table(("A", "NUMBER", "LAST"), [("a\nb", 5, ""), ("c", 1234, "\x1b[2Jlong")], right=(1,))
    assert capsys.readouterr().out == "A    NUMBER  LAST\na b       5\nc      1234  ␛[2Jlong\n"


@given(st.text())
def test_whatever_is_printed_is_harmless(text: str) -> None:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        say(text)
        note(text)
        table(("HEAD",), [(text,)])
        emit({"text": text})
    printed = out.getvalue() + err.getvalue()
    assert all(char in "\n\t" or char.isprintable() or char.isspace() or ord(char) > 0x9F for char in printed)
    assert not any(0xD800 <= ord(char) <= 0xDFFF for char in printed)
    assert json.loads(out.getvalue().splitlines()[-1]) == {"text": text}


def test_a_title_is_the_goals_first_line() -> None:
    assert title("\n\nMend it.\nPlease.") == "Mend it"
    assert title("word " * 40).endswith("…")
    assert len(title("word " * 40)) == 80
