"""What is being written is kept in a file until it is handed in, whatever becomes of the screen."""

import subprocess
import sys
from pathlib import Path

import pytest

from app.drafting import Draft, Kind
from app.unsaved import MOST, Unsaved
from store.domain.observations.conflicts import Conflict
from store.home import RunFolder

ADD = Draft(Kind.ADD, (), 3, "[possible] (fact) ")
SETTLE = Draft(Kind.SETTLE, ("o-1234",), 7, "One.", Conflict("o-1234", "text", "Other.", "Somebody."))


def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "run")


@pytest.mark.parametrize("draft", [ADD, SETTLE])
def test_what_was_left_is_taken_over_once(tmp_path: Path, draft: Draft) -> None:
    first = Unsaved(folder(tmp_path))
    assert first.left() is None
    first.keep(draft, "Tëa\n\x1b")
    assert first.path is not None
    assert first.path.stat().st_mode & 0o077 == 0
    second = Unsaved(folder(tmp_path))
    assert second.left() is None, "the one who writes it is there"
    second.keep(ADD, "Beside it.")
    first.release()
    assert Unsaved(folder(tmp_path)).left() == (draft, "Tëa\n\x1b")


def test_what_was_handed_in_is_gone(tmp_path: Path) -> None:
    one = Unsaved(folder(tmp_path))
    one.keep(ADD, "Tea.")
    one.forget()
    assert Unsaved(folder(tmp_path)).left() is None


def test_a_screen_that_was_killed_leaves_it(tmp_path: Path) -> None:
    script = (
        "import os, pathlib, signal\n"
        "from app.drafting import Draft, Kind\n"
        "from app.unsaved import Unsaved\n"
        "from store.home import RunFolder\n"
        f"Unsaved(RunFolder(pathlib.Path({str(tmp_path / 'run')!r}))).keep(Draft(Kind.ADD, (), 1, ''), 'Tea.')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=False, timeout=60, cwd=Path.cwd())
    found = Unsaved(folder(tmp_path)).left()
    assert found is not None
    assert found[1] == "Tea."


@pytest.mark.parametrize("text", ["", "{", "[]", '{"kind": "edit", "ids": [], "base": 1, "before": "", "text": ""}'])
def test_a_broken_file_is_passed_over(tmp_path: Path, text: str) -> None:
    drafts = tmp_path / "run" / "drafts"
    drafts.mkdir(parents=True)
    (drafts / "1.json").write_text(text)
    one = Unsaved(folder(tmp_path))
    one.keep(ADD, "Tea.")
    one.release()
    assert Unsaved(folder(tmp_path)).left() == (ADD, "Tea.")


def test_where_nothing_can_be_written_writing_goes_on(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("no folder")
    one = Unsaved(folder(tmp_path))
    one.keep(ADD, "Tea.")
    assert one.left() is None
    many = [Unsaved(RunFolder(tmp_path / "other")) for _ in range(MOST + 1)]
    for each in many:
        each.keep(ADD, "Tea.")
    assert many[-1].path is None
