"""Ways to copy a text: a local tool, the terminal itself (OSC 52), a file. Which of them, and what to say of it."""

import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

OSC_52 = 74_994
"""Bytes that terminals take at least: xterm's bound for a sequence of 100,000 characters of base64."""
SECONDS = 3.0
"""How long a tool may take."""

_TOOLS = (
    ("TMUX", ("tmux", "load-buffer", "-w", "-"), "tmux"),
    ("WAYLAND_DISPLAY", ("wl-copy",), "wl-copy"),
    ("DISPLAY", ("xclip", "-selection", "clipboard"), "xclip"),
    ("DISPLAY", ("xsel", "--clipboard", "--input"), "xsel"),
    ("", ("pbcopy",), "pbcopy"),
    ("", ("clip.exe",), "clip.exe"),
)
"""What has to be set, the command, its name."""
_FAR = ("SSH_CONNECTION", "SSH_TTY", "SSH_CLIENT")
_DEAF = ("", "dumb", "linux")
"""Terminals, by TERM, that have no clipboard."""


@dataclass(frozen=True)
class Way:
    """One way; without a `command` it is the terminal's own, or a file."""

    name: str
    command: tuple[str, ...] = ()


TERMINAL, FILE = Way("terminal"), Way("file")


def ways(environ: Mapping[str, str], size: int, found: Callable[[str], bool]) -> tuple[Way, ...]:
    """The ways to try, best first, for a text of so many bytes; `found` says whether a program is there. Over ssh a
    local tool would fill a clipboard that the operator doesn't sit at, but tmux hands on what it is given."""
    far = any(environ.get(name) for name in _FAR)
    tools = [
        Way(name, command)
        for needs, command, name in _TOOLS
        if (not needs or environ.get(needs)) and found(command[0]) and (not far or name == "tmux")
    ]
    # Apple's Terminal and screen swallow the sequence without a word.
    deaf = (
        environ.get("TERM", "") in _DEAF or environ.get("TERM_PROGRAM") == "Apple_Terminal" or bool(environ.get("STY"))
    )
    return (*tools, *(() if deaf or size > OSC_52 else (TERMINAL,)), FILE)


def copy(text: str, ways: Sequence[Way], terminal: Callable[[str], object], file: Path) -> str:
    """Copy by the first way that works; the sentence that tells which, and what didn't. For a thread; `terminal` hands
    a text to the terminal. OSError when not even the file can be written."""
    failed: list[str] = []
    for way in ways:
        if way.command:
            if why := _run(way.command, text):
                failed.append(f"{way.name} {why}")
                continue
            return _told(f"are copied, by {way.name}", failed)
        if way is TERMINAL:
            terminal(text.encode("utf-8", "replace").decode())
            return _told("were handed to the terminal to copy (OSC 52); one that can't, does not say so", failed)
        break
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    file.write_text(text, "utf-8", "replace")
    file.chmod(0o600)
    return _told(f"are in {file}: this terminal has no clipboard that can be reached, or not for so much", failed)


def _run(command: tuple[str, ...], text: str) -> str:
    """Why a tool couldn't, "" when it could."""
    try:
        # It may stay to serve the clipboard: it gets none of our streams, or they would never end.
        done = subprocess.run(
            command, input=text.encode("utf-8", "replace"), timeout=SECONDS, check=False, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return "did not answer"
    except OSError as error:
        return f"could not be started ({error.strerror or error})"
    return f"ended with exit code {done.returncode}" if done.returncode else ""


def _told(what: str, failed: Sequence[str]) -> str:
    return what + (f" ({', '.join(failed)})" if failed else "")
