"""Tapes as files, from the list of runs: what `multitrack export` and `import` do, done by them."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from app.screens.base import StudioScreen
from app.screens.form import Field, Form
from store.domain.secrets import shown_line
from store.home import Home
from widgets import words
from widgets.ink import Line

Done = Callable[[subprocess.CompletedProcess[str]], None]

_EXPORTED: list[Line] = [
    [("Everything of it goes into one file, secrets left out.", "text")],
    [],
]
_IMPORTED: list[Line] = [
    [("A tape of Multitrack's, a session of Claude Code (.jsonl), conversations in", "text")],
    [("OpenAI's format, a trajectory of SWE-agent or mini-swe-agent, a store of the", "text")],
    [("tapes proxy. What it is is seen from its content.", "text")],
    [],
]


class TapingScreen(StudioScreen):
    """A screen from which runs go to files and come from them. A process of its own does it: large files take long, and
    the screens go on meanwhile."""

    wanted = ""
    """The run that came in last, until the list has pointed to it."""

    def why_not(self, action: str) -> str:
        track = self.track
        if action == "export":
            if track is None:
                return "there is no run yet"
            if track.alive:
                return f"run {track.id} goes on: its tape can be exported when it is over"
        return ""

    def do_export(self) -> None:
        track = self.track
        if track is None:
            return
        run = track.id
        usual = f"{run}.tape"

        def check(given: Mapping[str, str]) -> str:
            path = _path(given["file"] or usual)
            if path.exists():
                return f"{path} is there already: name another file."
            return "" if path.parent.is_dir() else f"there is no folder {path.parent}"

        def answered(given: Mapping[str, str] | None) -> None:
            if given is not None:
                output = str(_path(given["file"] or usual))
                self._have(["export", run, "--output", output], lambda done: self.studio.say(_last(done.stderr)))

        fields = [Field("file", "File", f"{usual}, in {Path.cwd()}")]
        self.studio.push_screen(Form(f"Export run {run}", _EXPORTED, fields, "Export", check), answered)

    def do_import(self) -> None:
        def check(given: Mapping[str, str]) -> str:
            if not given["file"]:
                return "Which file?"
            path = _path(given["file"])
            return "" if path.is_file() else f"there is no file {path}"

        def answered(given: Mapping[str, str] | None) -> None:
            if given is not None:
                path = str(_path(given["file"]))
                self.studio.say(f"Importing {path} …")
                self._have(["import", path, "--json"], self._imported)

        fields = [Field("file", "File", "~/.claude/projects/PROJECT/SESSION.jsonl, bug.tape …")]
        self.studio.push_screen(Form("Import runs from a file", _IMPORTED, fields, "Import", check), answered)

    def _imported(self, done: subprocess.CompletedProcess[str]) -> None:
        told = json.loads(done.stdout)
        made = [run for run in told["runs"] if run["made"]]
        self.wanted = (made or told["runs"])[0]["run"]
        if not made:
            self.studio.say(f"It was imported before, as run {self.wanted}: nothing was changed.")
        elif len(made) == 1:
            self.studio.say(f"Run {self.wanted} is here: {words.count(made[0]['calls'], 'call')}.")
        else:
            calls = sum(run["calls"] for run in made)
            self.studio.say(f"{len(made)} runs are here: {words.count(calls, 'call')}.")
        self.redraw()

    def _have(self, arguments: Sequence[str], then: Done) -> None:
        """Have a command do it, and tell what came of it."""

        def work() -> None:
            done = subprocess.run(
                command(self.studio.home, arguments), capture_output=True, text=True, errors="replace", check=False,
                stdin=subprocess.DEVNULL, env=dict(os.environ),
            )  # fmt: skip
            if done.returncode:
                self.app.call_from_thread(self.studio.say, _last(done.stderr), "error")
            else:
                self.app.call_from_thread(then, done)

        self.studio.in_thread(work, group="tapes", exclusive=False)


def command(home: Home, arguments: Sequence[str]) -> list[str]:
    """A command on a home and its store. `-P`: nothing in the current folder is imported as ours."""
    return [sys.executable, "-P", "-m", "app", "--home", str(home.root), "--store", str(home.store), *arguments]


def _path(text: str) -> Path:
    return Path(text).expanduser().absolute()


def _last(stderr: str) -> str:
    """What a command said at its end, as a sentence of the screen's."""
    lines = [line for line in stderr.splitlines() if line.strip()]
    return shown_line(lines[-1].removeprefix("multitrack: "), 400) if lines else "It ended without a word."
