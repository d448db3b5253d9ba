"""Text that tries to act on whoever shows it, and what must hold of a screen that shows it."""

import unicodedata
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from textual.app import App
from textual.strip import Strip

from store.database import open_store
from store.domain.strategy import Strategy
from store.domain.task import Check, Task
from store.home import Home
from tests import record, script

ESCAPES = (
    "\x1b]0;owned\x07\x1b[2J\x1b[31mred\x1b[0m\x9b5n\x1bP+q\x1b\\\x1b]52;c;b3duZWQ=\x07\x1b[?1049l\x08\x7f\x00\x85"
)
BIDI = "\u202eslaf si siht\u202c \u2066a\u2069 \u200fb\u200e \u061c"
MARKUP = "[bold red]markup[/] [link=http://e.vil]here[/link] [@click=app.quit]there[/] [/nothing] [ \\[ $accent"
ODD = "\u200b\ufeff\u2060 e\u0301\u0300 你好 🙂 👨‍👩‍👧 \u2028\u2029 \t\v\f\r x"
HUGE = "w" * 20_000 + " 長" * 3_000
TEXT = f"{MARKUP}{ESCAPES} {BIDI} {ODD}"
LINES = f"{TEXT}\n```\n{TEXT}\n\n- {TEXT}\n| {TEXT} |\n# {TEXT}\n{HUGE}\n{TEXT}"
PIECES = (ESCAPES, BIDI, MARKUP, ODD, "\ud800\udfff", "\n", "\r\n", "`", "**", "a" * 300, "─", "{", '"')
MEGABYTES = 10 * 2**20

ACTS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029")


class Torn(str):
    """A text that is no UTF-8 when it is written as bytes."""

    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return str.encode(self, "utf-8", "replace").replace(b"TORN", b"\xff\xc3\x28\xed\xa0\x80\x1b[31m")


def harmless(strips: list[Strip], cells: int) -> str:
    """Fail where something of what is drawn would act on the terminal, or is as wide as it should not be. The text."""
    console = Console(force_terminal=True, color_system="truecolor", width=cells, legacy_windows=False)
    rows = []
    for strip in strips:
        for segment in strip:
            assert not segment.control
            for character in segment.text:
                assert unicodedata.category(character) not in ("Cc", "Cs"), repr(segment.text)
                assert character not in ACTS, repr(segment.text)
            if segment.style is not None:
                assert segment.style.link is None
                assert "@click" not in segment.style.meta
        wide = sum(segment.cell_length for segment in strip)
        # Textual cuts emoji that are joined from several when something stands over a part of them.
        assert wide == cells or "\u200d" in strip.text, (wide, [segment.text for segment in strip])
        # What goes to the terminal: colours alone.
        rest = strip.render(console)
        while "\x1b" in rest:
            before, _, rest = rest.partition("\x1b")
            kind, end, rest = rest.partition("m")
            assert end and all(one in "[0123456789;:" for one in kind), repr(kind)
            assert "\x1b" not in before
        rows.append("".join(segment.text for segment in strip))
    return "\n".join(rows)


def screen(app: App[Any]) -> str:
    """What the app shows, seen to be harmless."""
    return harmless(app.screen._compositor.render_strips(), app.size.width)


def recorded(root: Path, patch: pytest.MonkeyPatch) -> Home:
    """A home with one run in which everything that anybody could say is hostile."""
    torn = Torn("TORN " + LINES.replace("\n", "\nTORN"))
    failed_at = f'Traceback (most recent call last):\n  File "{TEXT}", line 3\n{TEXT}'
    steps = tuple(
        script.Step(LINES, LINES, name, TEXT, given, ok, result)
        for name, given, ok, result in (
            ("run", {"command": LINES}, False, LINES),
            ("edit", {"path": TEXT, "old": LINES, "new": LINES + "x"}, True, torn),
            ("read", {"path": TEXT}, True, "\n".join(f"{number}\t{TEXT}" for number in range(60))),
            (TEXT[:60], {TEXT[:80]: TEXT, "deep": [{"a": LINES}] * 3}, True, '{"a": "' + MARKUP + "\x1b[2J"),
            ("run", {"command": TEXT}, False, failed_at),
        )
    )  # fmt: skip
    strategies = tuple(Strategy(TEXT[:number], TEXT, (TEXT,), (LINES,)) for number in (40, 70, 100, 130, 200))
    task = Task(goal=LINES, repository=f"/home/{TEXT}", check=Check(TEXT, 60.0, (TEXT, "tests/**")), generations=5)
    patch.setattr(script, "STEPS", steps)
    patch.setattr(script, "PATCH", f"diff --git a/x b/x\n--- a/{TEXT}\n+++ b/x\n@@ -1 +1 @@ {TEXT}\n-{TEXT}\n+{TEXT}\n")
    patch.setattr(record, "STRATEGIES", strategies)
    patch.setattr(record, "TASK", task)
    failed = record.FAILED
    patch.setattr(record, "FAILED", type(failed)(False, 1, 3, 1.4, "", LINES))
    patch.setattr(record, "_LESSONS", tuple((one, claim, MARKUP, (TEXT,)) for one, claim, *_ in record._LESSONS))
    home = Home(root).create()
    with open_store(home.store) as store:
        for run, tell in ((record.LIVE, record._live), (record.SOLVED, record._solved)):
            store.write(record._creation(run, TEXT, record.NOW - 200))
            home.folder(run).create()
            patch.setattr(record, "REPORT", LINES)
            tell(record.Writer(store, run, record.NOW - 200), home)
    return home
