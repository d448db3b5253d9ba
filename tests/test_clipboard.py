"""How a text is copied, and what is said of it."""

from pathlib import Path

import pytest

from app.clipboard import FILE, OSC_52, TERMINAL, Way, copy, ways

XTERM = {"TERM": "xterm-256color"}


@pytest.mark.parametrize(
    ("environ", "there", "names"),
    [
        (XTERM, (), ["terminal", "file"]),
        (XTERM | {"DISPLAY": ":0"}, ("xclip", "xsel"), ["xclip", "xsel", "terminal", "file"]),
        (XTERM | {"WAYLAND_DISPLAY": "w"}, ("xclip", "wl-copy"), ["wl-copy", "terminal", "file"]),
        # A tool on the far side fills the wrong clipboard.
        (XTERM | {"DISPLAY": ":0", "SSH_TTY": "/dev/pts/1"}, ("xclip", "pbcopy"), ["terminal", "file"]),
        (XTERM | {"TMUX": "x", "SSH_TTY": "/dev/pts/1"}, ("tmux",), ["tmux", "terminal", "file"]),
        (XTERM | {"TERM_PROGRAM": "Apple_Terminal"}, ("pbcopy",), ["pbcopy", "file"]),
        ({"TERM": "linux"}, (), ["file"]),
        ({"TERM": "screen", "STY": "1"}, (), ["file"]),
        ({}, (), ["file"]),
    ],
)
def test_the_ways_that_there_are(environ: dict[str, str], there: tuple[str, ...], names: list[str]) -> None:
    assert [way.name for way in ways(environ, 10, there.__contains__)] == names


def test_a_terminal_is_not_given_more_than_it_takes() -> None:
    assert ways(XTERM, OSC_52, lambda _: False) == (TERMINAL, FILE)
    assert ways(XTERM, OSC_52 + 1, lambda _: False) == (FILE,)


def test_the_first_that_works_is_told_and_what_did_not(tmp_path: Path) -> None:
    file, target = tmp_path / "new" / "copied.txt", tmp_path / "got"
    works = Way("tee", ("tee", str(target)))
    handed: list[str] = []
    assert copy("a \ud800 text", (works, TERMINAL, FILE), handed.append, file) == "are copied, by tee"
    assert (target.read_text(), handed) == ("a ? text", [])
    broken, missing = Way("false", ("false",)), Way("none", (str(tmp_path / "none"),))
    said = copy("text", (broken, missing, TERMINAL, FILE), handed.append, file)
    assert handed == ["text"] and "OSC 52" in said
    assert "(false ended with exit code 1, none could not be started (No such file or directory))" in said
    assert not file.exists()
    assert str(file) in copy("text", (broken, FILE), handed.append, file)
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("text", 0o600)
