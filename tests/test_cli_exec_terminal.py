"""`multitrack exec` in a real terminal: the program in it has it to itself."""

import shlex
import signal
import sys
from pathlib import Path

import pytest

from tests.execrig import calls, recordings
from tests.terminal import Terminal, terminal

pytestmark = pytest.mark.timeout(300)

FULL_SCREEN = """
import os, signal, sys, termios, time, tty
said = []
def note(word):
    said.append(word)
    size = os.get_terminal_size()
    sys.stdout.write("\\x1b[2J\\x1b[H" + f"{size.columns}x{size.lines} " + " ".join(said) + " .")
    sys.stdout.flush()
signal.signal(signal.SIGWINCH, lambda *_: note("resized"))
signal.signal(signal.SIGINT, lambda *_: note("interrupted"))
signal.signal(signal.SIGCONT, lambda *_: (tty.setcbreak(0), note("continued")))
before = termios.tcgetattr(0)
sys.stdout.write("\\x1b[?1049h")
tty.setcbreak(0)
note("started")
while (key := os.read(0, 1)) != b"q":
    if key == b"s":  # as programs do that take Ctrl-Z as a key
        termios.tcsetattr(0, termios.TCSANOW, before)
        os.kill(os.getpid(), signal.SIGSTOP)
    else:
        note(key.decode())
termios.tcsetattr(0, termios.TCSANOW, before)
sys.stdout.write("\\x1b[?1049l")
sys.stdout.flush()
sys.exit(6)
"""
"""A program that takes the whole screen, and says what it is told."""


@pytest.fixture
def program(tmp_path: Path) -> str:
    """What to type, to run it."""
    (tmp_path / "full.py").write_text(FULL_SCREEN)
    command = [sys.executable, "-P", "-E", "-m", "app", "--home", str(tmp_path / "home"), "exec", "--"]
    return shlex.join([*command, sys.executable, "-I", str(tmp_path / "full.py")])


def shell(tmp_path: Path) -> list[str]:
    (tmp_path / "rc").write_text("PS1='$? ready> '\n")
    return ["bash", "--rcfile", str(tmp_path / "rc"), "-i"]


def enter(screen: Terminal, text: str) -> None:
    screen.type(text, "Enter")


def test_a_program_that_takes_the_whole_screen(tmp_path: Path, program: str) -> None:
    with terminal(shell(tmp_path), {}, 100, 30) as screen:
        screen.shows("ready>")
        enter(screen, f"clear; {program}")
        screen.shows("100x30 started .")
        screen.type("a")
        screen.shows("started a .")
        screen.resize(90, 25)
        screen.shows("90x25 started a resized .")
        screen.type("C-c")
        screen.shows("resized interrupted .")
        # The kernel stops it: the shell has the terminal until it is told to go on.
        screen.type("C-z")
        screen.shows("Stopped", f"{128 + signal.SIGTSTP} ready>")
        enter(screen, "clear; fg")
        screen.shows("interrupted continued .")
        # It stops itself.
        screen.type("s")
        screen.shows("Stopped", f"{128 + signal.SIGSTOP} ready>")
        enter(screen, "clear; fg")
        screen.shows("continued continued .")
        screen.type("b")
        assert "interrupted" in screen.shows("continued b .")
        screen.type("q")
        last = screen.shows("multitrack: nothing was recorded", "6 ready>")
        assert "started" not in last, "the screen is as it was"
        assert last.count("multitrack:") == 1
    assert recordings(tmp_path / "home") == []


def test_a_key_that_ends_it_ends_it_once(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-E", "-m", "app", "--home", str(tmp_path / "home"), "exec", "--"]
    with terminal(shell(tmp_path), {}, 100, 30) as screen:
        screen.shows("ready>")
        enter(screen, f"clear; {shlex.join(command)} sh -c 'echo be''gun; sleep 1000'")
        screen.shows("begun")
        screen.type("C-c")
        last = screen.shows(f"{128 + signal.SIGINT} ready>", "nothing was recorded")
        assert "Traceback" not in last
        enter(screen, "clear; jobs; echo none")
        assert "Running" not in screen.shows("none")


def test_it_begins_in_the_background_and_reads_when_it_is_called(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-E", "-m", "app", "--home", str(tmp_path / "home"), "exec", "--quiet", "--"]
    with terminal(shell(tmp_path), {}, 100, 30) as screen:
        screen.shows("ready>")
        enter(screen, f"clear; {shlex.join(command)} sh -c 'read word; echo got $word' &")
        # It asks for the terminal, which it hasn't got.
        screen.until(lambda now: "Stopped" in now or _asked(screen), "that it is stopped")
        enter(screen, "clear; fg")
        screen.shows("read word")
        enter(screen, "hello")
        screen.shows("got hello", "0 ready>")
    assert calls(tmp_path / "home") == []


def _asked(screen: Terminal) -> bool:
    """The shell says what became of a job when it is asked for something."""
    screen.type("Enter")
    return False
