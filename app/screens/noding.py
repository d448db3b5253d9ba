"""What can be done with the node under the cursor, as a part of the Traces screen."""

import math
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from textual.app import SuspendNotSupported

from app import clipboard, giving, nodes, noting, saying
from app.alignment import counterparts
from app.screens.base import StudioScreen
from app.screens.form import Field, Form
from app.screens.going import Goal
from app.screens.side import SideScreen
from app.spots import OfBlock, OfBranch, OfEvent, OfFault, OfLane, OfResult, OfTold, OfTool, OfTry, OfTurn, Shown
from store.domain.commands import ChangeObservations, Fork
from store.domain.ids import SubagentId
from store.domain.observations import Evidence, Priority
from store.domain.observations.changes import Add
from store.domain.secrets import shown, shown_line
from store.domain.states import RunState
from widgets.ink import Line
from widgets.outline import Item

EDITED = 20_000
"""Characters of a message that can be edited in a form."""
ON_NODE = ("copy", "editor", "pager", "write", "observe", "fork")
"""The actions on a node."""


class NodeActions(StudioScreen):
    """Actions on a node: it is copied, shown by another program, written to a file, made an observation, forked."""

    raw: bool

    @property
    def cursor(self) -> Item | None:
        """The item that the cursor is on."""
        raise NotImplementedError

    def go_to(self, goal: Goal) -> None:
        """Bring the cursor there."""
        raise NotImplementedError

    def why_not_node(self, action: str) -> str:
        """Why one of its actions can't be done now."""
        item, track = self.cursor, self.track
        if action == "compare":
            who = lane_of(item)
            if who is None or track is None:
                return "choose a subagent, or something of one: d sets its tape beside another"
            return "" if counterparts(track.board, who) else "there is no other subagent to compare it with"
        if action not in ON_NODE:
            return ""
        if item is None or item.blank or track is None:
            return "there is no node yet"
        data = item.data
        if action == "observe":
            if not isinstance(data, OfBlock | OfBranch | OfEvent | OfFault | OfResult | OfTold | OfTool | OfTurn):
                return "choose a turn, or something in one: that is what an observation rests on"
            if track.board.order is None:
                return f"run {track.id} is a recording, without observations"
        if action == "fork":
            if not isinstance(data, OfBlock | OfBranch | OfResult | OfTold | OfTool | OfTry | OfTurn):
                return "choose a turn, or something in one: a fork starts with the conversation up to it"
            if isinstance(data, OfTold) and not data.node:
                return "a fork has a prompt of its own: choose what it was told after that, or what it said"
            if not calls_of(data):
                return "no call was made in this turn yet"
            if track.board.state is not RunState.RUNNING:
                return "only a generation that is at work can get another subagent"
        return ""

    def _spot(self) -> Shown | None:
        item = self.cursor
        return None if item is None or item.blank else nodes.shown(item.data)

    def _with_text(self, done: Callable[[Shown, str], None]) -> None:
        """Read the node's text in a thread, and go on with it on the screen's own."""
        spot, track = self._spot(), self.track
        if spot is None or track is None:
            return
        raw, board = self.raw, track.board

        def read() -> None:
            found = giving.text(self.studio.feed.store(), board, spot, raw=raw)
            self.studio.call_from_thread(done, spot, found)

        self.studio.in_thread(read, group="text")

    def do_copy(self) -> None:
        self._with_text(self._copied)

    def _copied(self, spot: Shown, text: str) -> None:
        studio = self.studio
        found = clipboard.ways(os.environ, len(text.encode("utf-8", "replace")), lambda name: bool(shutil.which(name)))
        file, what = studio.home.root / "copied.txt", f"{len(text):,} characters of {nodes.path(spot)}"

        def copy() -> None:
            said = clipboard.copy(text, found, lambda one: studio.call_from_thread(studio.copy_to_clipboard, one), file)
            studio.call_from_thread(studio.say, f"{what} {said}.")

        studio.in_thread(copy, group="copy")

    # Other programs.

    def do_editor(self) -> None:
        self._with_text(lambda spot, text: self._show_in("editor", spot, text))

    def do_pager(self) -> None:
        self._with_text(lambda spot, text: self._show_in("pager", spot, text))

    def _show_in(self, kind: str, spot: Shown, text: str) -> None:
        """Give the terminal to another program until that ends. It gets a copy: what is recorded stays as it was."""
        found = {name: shutil.which(name) is not None for name in (*giving.EDITORS, *giving.PAGERS)}
        try:
            program = giving.program(os.environ, kind, found)
        except ValueError as error:
            self.studio.say(f"{error}.", "error")
            return
        if not program:
            self.studio.say(f"There is no {kind}: set {'EDITOR' if kind == 'editor' else 'PAGER'}.", "error")
            return
        with tempfile.TemporaryDirectory(prefix="multitrack-node-") as folder:
            file = Path(folder) / giving.file_name(spot, raw=self.raw)
            file.write_text(text, "utf-8", "replace")
            try:
                with self.studio.suspend():
                    code = subprocess.run([*program, str(file)], check=False).returncode
            except SuspendNotSupported:
                self.studio.say(
                    "This terminal can't be given to another program. w writes the node to a file.", "error"
                )
                return
            except OSError as error:
                self.studio.say(f"{program[0]} can't be started: {error.strerror or error}.", "error")
                return
        self.studio.refresh(layout=True)
        if code:
            self.studio.say(f"{shown_line(program[0])} ended with exit code {code}.", "warning")

    def do_write(self) -> None:
        self._with_text(self._write)

    def _write(self, spot: Shown, text: str) -> None:
        track = self.track
        if track is None:
            return
        folder = self.studio.home.folder(track.id).path / "nodes"
        file = folder / giving.file_name(spot, raw=self.raw)
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            file.write_text(text, "utf-8", "replace")
        except OSError as error:
            self.studio.say(f"{file} can't be written: {error.strerror or error}.", "error")
            return
        self.studio.say(f"Written to {file}")

    # Beside another.

    def do_compare(self) -> None:
        track, who = self.track, lane_of(self.cursor)
        if track is None or who is None:
            return

        def answered(goal: Goal | None) -> None:
            if goal is not None:
                self.go_to(goal)

        played = self.studio.playback is not None
        until, now = (max(self.world.flowed, track.board.seq), self.studio.now()) if played else (None, math.inf)
        self.studio.push_screen(SideScreen(track.board, who, counterparts(track.board, who), until, now), answered)

    # Orders.

    def do_observe(self) -> None:
        spot, track = self._spot(), self.track
        if spot is None or track is None:
            return
        raw, board = self.raw, track.board

        def read() -> None:
            store = self.studio.feed.store()
            seen = noting.evidence(store, spot)
            text = seen.quote if seen is not None else giving.text(store, board, spot, raw=raw)
            self.studio.call_from_thread(self._observe, spot, text, seen)

        self.studio.in_thread(read, group="text")

    def _observe(self, spot: Shown, text: str, evidence: Evidence | None) -> None:
        track = self.track
        if track is None:
            return
        run, seen = track.id, nodes.path(spot)
        quote = next((line.strip() for line in text.split("\n") if line.strip()), "")
        priorities = tuple(priority.value for priority in Priority)
        said: list[Line] = [[(f"Seen in {shown_line(seen)}: ", "faint"), (f"“{shown_line(quote, 60)}”", "text")], []]
        fields = (
            Field("words", "words", tall=True),
            Field("priority", "priority", f"{', '.join(priorities)}; possible when empty", choices=priorities),
        )

        def check(answers: Mapping[str, str]) -> str:
            if not answers["words"]:
                return "An observation says something: facts and results, no orders."
            return "" if answers["priority"] in ("", *priorities) else f"The priorities are {', '.join(priorities)}."

        def answered(answers: dict[str, str] | None) -> None:
            if answers:
                priority = Priority(answers["priority"] or Priority.POSSIBLE)
                self._add_observation(run, noting.added(answers["words"], priority, seen, quote, evidence))

        form = Form(f"An observation of run {run}", said, fields, "Add it", check)
        self.studio.push_screen(form, answered)

    def _add_observation(self, run: str, added: Add) -> None:
        studio = self.studio

        def work() -> None:
            from app.curate import ordered, told
            from store import observations

            store = studio.feed.store()
            document = observations.load(store, run)
            order = ChangeObservations(document.version if document is not None else 0, (added,))
            studio.call_from_thread(studio.say, *told(run, ordered(studio.home, store, run, order)))

        studio.in_thread(work, group="observe", exclusive=False)

    def do_fork(self) -> None:
        item, track = self.cursor, self.track
        if item is None or track is None:
            return
        calls = calls_of(item.data)
        if not calls:
            return
        run, call, where = track.id, calls[-1], nodes.path(item.data)
        node = item.data.node if isinstance(item.data, OfTold) else ""

        def read() -> None:
            words = saying.words(self.studio.feed.store(), call, node)
            self.studio.call_from_thread(self._fork, run, Fork(call, node), where, words)

        self.studio.in_thread(read, group="fork")

    def _fork(self, run: str, order: Fork, where: str, words: str) -> None:
        """Ask how; `words` are those that may be edited."""
        # What is hidden or made visible on the screen would come back changed.
        editable = len(words) <= EDITED and shown(words) == words
        said: list[Line] = [
            [("It joins the latest generation and starts with the conversation up to and with", "faint")],
            [(f"{'this' if order.node else 'the answer of this turn'}: {shown_line(where)}", "faint")],
            [("Its words, to be edited or left as they are:" if editable else
              "Words below stand in place of its own, which can't be edited here; without any they stay.", "faint")],
            [],
        ]  # fmt: skip
        fields = (
            Field("text", "words", tall=True, value=words if editable else ""),
            Field("strategy", "strategy", "a strategy's name, or an approach in words; the same when empty"),
            Field("model", "model", "another model; the same when empty"),
        )
        before = words.strip() if editable else ""

        def answered(answers: dict[str, str] | None) -> None:
            if answers is not None:
                text = None if answers["text"] == before else answers["text"]
                asked = replace(order, text=text, strategy=answers["strategy"], model=answers["model"])
                self.studio.order(run, asked, f"fork a subagent from {where}")

        self.studio.push_screen(Form(f"Fork a subagent from {where}", said, fields, "Fork it", lambda _: ""), answered)


def lane_of(item: Item | None) -> SubagentId | None:
    """Whose an item is."""
    while item is not None:
        if isinstance(item.data, OfLane):
            return item.data.who
        item = item.parent
    return None


def calls_of(data: object) -> list[str]:
    """The calls that a node belongs to, oldest first."""
    match data:
        case OfTurn():
            return list(data.calls)
        case OfTool():
            return list(data.turn.calls)
        case OfResult() | OfBranch():
            return list(data.tool.turn.calls)
        case OfBlock() | OfTold() | OfTry():
            return [data.call]
    return []
