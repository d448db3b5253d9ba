"""A node handed to other programs, in a real terminal: an editor, a pager, the clipboard."""

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from store.home import Home
from tests import record, runs
from tests.terminal import terminal

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with record.recorded(tmp_path / "home", alive=()) as made:
        yield made


def script(file: Path, *lines: str) -> str:
    file.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return str(file)


def test_a_node_is_read_in_the_operators_programs_and_the_screen_comes_back(home: Home, tmp_path: Path) -> None:
    seen = tmp_path / "seen.txt"
    editor = script(tmp_path / "editor", f'cp "$1" {seen}', "echo THE EDITOR HAS THE TERMINAL", "read answer", "exit 3")
    pager = script(tmp_path / "pager", "echo THE PAGER HAS THE TERMINAL", 'head -c 300 "$1"', "read answer")
    environ = {"MULTITRACK_HOME": str(home.root), "EDITOR": editor, "VISUAL": "", "PAGER": pager, "TMUX": ""}
    with terminal([runs.PYTHON, "-P", "-m", "app"], environ, 120, 40) as screen:
        screen.shows(record.SOLVED)
        screen.type("3")
        screen.shows("generation 1")
        screen.type("g", "O")
        screen.shows("THE EDITOR HAS THE TERMINAL")
        assert "generation 1" not in screen.screen(), "the screen has gone"
        screen.type("x", "Enter")
        screen.shows("generation 1", "exit code 3")
        assert "protected" in seen.read_text(), "it got the node's text"
        screen.type("o")
        screen.shows("THE PAGER HAS THE TERMINAL", "repository")
        screen.type("Enter")
        screen.shows("generation 1")
        screen.type("y")
        screen.shows("characters of run")
        screen.type("q")
        screen.until(lambda _: not screen.alive, "the screen's end")
    assert list(tmp_path.glob("**/multitrack-node-*")) == []
