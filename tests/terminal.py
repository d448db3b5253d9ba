"""A real terminal for tests: tmux on a socket of its own. Two verbs, `type` and `screen`."""

import contextlib
import os
import shlex
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence

PATIENCE = 90.0
"""Seconds until a screen that doesn't come is a failure; far above what it takes."""


class Terminal:
    """One program in a terminal of a given size."""

    def __init__(self, socket: str) -> None:
        self._socket = socket

    def type(self, *keys: str) -> None:
        """Press keys, by tmux's names."""
        self._tmux("send-keys", "-t", "main", *keys)

    def screen(self, *, colours: bool = False) -> str:
        """What is on the screen."""
        return self._tmux("capture-pane", "-p", "-t", "main", *(["-e"] if colours else []))

    @property
    def title(self) -> str:
        """What the program has set the terminal's title to."""
        return self._tmux("display-message", "-p", "-t", "main", "#{pane_title}").strip()

    def resize(self, columns: int, rows: int) -> None:
        self._tmux("resize-window", "-t", "main", "-x", str(columns), "-y", str(rows))

    def until(self, condition: Callable[[str], bool], what: str) -> str:
        """Wait until the screen makes the condition true; the screen."""
        end = time.monotonic() + PATIENCE
        while not condition(screen := self.screen()):
            assert time.monotonic() < end, f"waited in vain for {what}; the screen:\n{screen}"
            time.sleep(0.05)
        return screen

    def shows(self, *texts: str) -> str:
        """Wait until all texts are on the screen; the screen."""
        return self.until(lambda screen: all(text in screen for text in texts), " and ".join(map(repr, texts)))

    @property
    def alive(self) -> bool:
        return "0" in self._tmux("display-message", "-p", "-t", "main", "#{pane_dead}")

    def _tmux(self, *arguments: str) -> str:
        line = ["tmux", "-L", self._socket, *arguments]
        return subprocess.run(line, capture_output=True, text=True, check=True, timeout=20).stdout


@contextlib.contextmanager
def terminal(
    command: Sequence[str], environ: Mapping[str, str], columns: int = 120, rows: int = 40
) -> Iterator[Terminal]:
    """A terminal with a program in it; both are gone at the end. The screen stays readable after the program's end."""
    socket = f"multitrack-{uuid.uuid4().hex[:8]}"
    settings = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": os.environ.get("HOME", "/")}
    # Where the operator was is kept by those alone that name a folder for it.
    settings |= {"MULTITRACK_STATE": f"{os.devnull}/none", **environ}
    line = "exec env -i " + " ".join(f"{name}={shlex.quote(value)}" for name, value in settings.items())
    line += " TERM=tmux-256color " + shlex.join(command)
    server = ["tmux", "-L", socket, "-f", "/dev/null"]
    start = ["new-session", "-d", "-s", "main", "-x", str(columns), "-y", str(rows), line]
    keep = [";", "set-option", "-g", "remain-on-exit", "on", ";", "set-option", "-g", "window-size", "manual"]
    subprocess.run([*server, *start, *keep], check=True, timeout=20)
    try:
        yield Terminal(socket)
    finally:
        subprocess.run([*server, "kill-server"], check=False, capture_output=True, timeout=20)
