"""Runs: every run of the store, newest first."""

import math
import time
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.message import Message

from app import actions
from app.disk import Recording, Weight
from app.nodes import pairs
from app.output import size
from app.screens.base import bindings, run_banner
from app.screens.report import table
from app.screens.taping import TapingScreen
from app.world import Track
from store.domain.secrets import shown_line
from store.errors import StoreError
from widgets import words
from widgets.chart import spark
from widgets.docview import DocView
from widgets.ink import Line
from widgets.runlist import RunList, RunRow

if TYPE_CHECKING:
    from store.sizes import Size

_WHAT = (
    "A run gives one hard bug to several subagents at once, generation after generation. What they learn is written "
    "down and given to the next generation. This screen will list every run, and how it converges."
)
_BEGINNINGS = (
    ("multitrack demo", "a practice bug, scripted model: no key, no network"),
    ("multitrack init", "a commented multitrack.toml for your own repository"),
    ("multitrack run", "the run that it describes"),
    ("multitrack exec -- claude", "any agent as it is, recorded call by call"),
    ("multitrack import FILE", "sessions of Claude Code, trajectories, tapes"),
)
SHORT = 30
"""Rows under which the list has the screen to itself."""
_OPENING: list[Line] = [[("Opening the record …", "faint")]]


WEIGH_EVERY, WEIGH_PART = 30.0, 20.0
"""Seconds between two looks at the disk, and how many times as long as a look takes."""


class Weighed(Message):
    """What was found; None where nothing could be."""

    def __init__(self, weight: Weight | None, seconds: float) -> None:
        super().__init__()
        self.weight, self.seconds = weight, seconds


class RunsScreen(TapingScreen):
    """The list. Enter opens a run's grid."""

    NAME: ClassVar[str] = "runs"
    OF_RUN: ClassVar[bool] = False
    BINDINGS: ClassVar[list[BindingType]] = bindings("runs")

    def __init__(self) -> None:
        super().__init__()
        self._weight: Weight | None = None
        self._due = 0.0

    def body(self) -> ComposeResult:
        yield RunList(classes="full")
        yield DocView(id="about", classes="full")
        yield DocView(id="empty")

    def on_mount(self) -> None:
        self.add_class("empty")
        for view in self.query(DocView):
            view.can_focus = False
        self.query_one("#empty", DocView).show(_OPENING)

    def update(self) -> None:
        world = self.world
        if world.opened:
            self.query_one("#empty", DocView).show(nothing(), "nothing")
        elif world.problem:
            # The banner says what is wrong; nothing is being opened.
            self.query_one("#empty", DocView).show([], "nothing")
        self.set_class(not world.tracks, "empty")
        self.set_class(self.size.height < SHORT, "short")
        now = self.studio.now()
        rows = self.query_one(RunList)
        recordings = self._weight.recordings if self._weight else {}
        rows.show([row(track, now, recordings.get(track.id)) for track in world.newest()])
        if world.tracks and self.focused is None:
            rows.focus()
            if self.studio.run_name:
                rows.point(self.studio.run_name)
        if self.wanted in world.tracks:
            rows.point(self.wanted)
            self.wanted = ""

        track = world.tracks.get(rows.cursor)
        lines = about(track, self._weight) if track else []
        view = self.query_one("#about", DocView)
        view.styles.height = len(lines) + 1
        view.show(lines, track.id if track else "")
        self._weigh()

    def _weigh(self) -> None:
        """Look what is taken of the disk, in a thread: now and then, and the less often the longer it takes."""
        # Without a run there may be no store, and looking must not make one.
        if not self.world.tracks or time.monotonic() < self._due:
            return
        self._due = math.inf

        def look() -> None:
            began, weight = time.monotonic(), None
            try:
                # A folder may go, or the disk be taken away, while it is looked at: the feed says what is wrong.
                with suppress(StoreError, OSError):
                    weight = self.studio.weigh(self.studio.feed.store(), self.studio.home)
            finally:
                self.post_message(Weighed(weight, time.monotonic() - began))

        self.studio.in_thread(look, group="weight")

    @on(Weighed)
    def _weighed(self, message: Weighed) -> None:
        self._weight = message.weight or self._weight
        self._due = time.monotonic() + max(WEIGH_EVERY, WEIGH_PART * message.seconds)
        self.redraw()

    def banner(self) -> Line:
        word = self._weight.disk.word if self._weight else None
        said: Line = [(f" ⚠ {word.said[0].upper()}{word.said[1:]}.", "bad" if word.urgent else "warn")] if word else []
        said += [(f" {word.todo[0].upper()}{word.todo[1:]}.", "text")] if word else []
        track = self.world.tracks.get(self.query_one(RunList).cursor)
        wants = run_banner(track, self.size.width) if track and (track.interrupted or track.waiting) else []
        return said if word and word.urgent else wants or said

    def on_run_list_pointed(self, message: RunList.Pointed) -> None:
        self.studio.show_run(message.run)
        self.redraw()

    def on_run_list_opened(self, message: RunList.Opened) -> None:
        self.studio.action_do("open")

    def why_not(self, action: str) -> str:
        if action in ("open", "stop", "resume") and not self.world.tracks:
            return "there is no run yet"
        return super().why_not(action)

    def do_open(self) -> None:
        self.studio.show_run(self.query_one(RunList).cursor)
        self.studio.action_do("grid")


def nothing() -> list[Line]:
    """What there is to do while there is no run."""
    return [
        [("Nothing is recorded here yet.", "strong")],
        [],
        [(_WHAT, "text")],
        [],
        *([(f"  {command:<28}", "accent"), (what, "text")] for command, what in _BEGINNINGS),
        [],
        [("Start one in another terminal: it appears here by itself.", "faint")],
        [(actions.key("import"), "key"), (" brings a file in from here.", "faint")],
    ]


def about(track: Track, weight: Weight | None = None) -> list[Line]:
    """The run under the cursor: its orders, what it takes of the disk, and its generations."""
    board = track.board
    own = weight.runs.get(track.id) if weight else None
    if track.recording:
        recording = weight.recordings.get(track.id) if weight else None
        return [
            [(shown_line(track.title), "strong")],
            [("Calls of tools outside a run, as `multitrack exec` or `proxy` recorded them.", "text")],
            *pairs(("used", _used(recording)), ("disk", _taken(own))),
            [("  multitrack calls ", "accent"), (track.id, "accent"), ("   lists them", "text")],
        ]
    if board.order is None:
        return [[("Reading the run …", "faint")]]
    task = board.task
    lines: list[Line] = [[(shown_line(track.title), "strong")], [(shown_line(task.goal, 300), "text")], []]
    lines += pairs(
        ("imported", f"{board.order.imported}: verdicts are the file's own" if board.order.imported else ""),
        ("repository", f"{task.repository} at {board.order.revision[:10]}" if task.repository else ""),
        ("check", task.check.command),
        ("model", "scripted model, not a real one" if track.scripted else task.model),
        ("engine", _engine(track)),
        ("ended", board.finished.reason if board.finished else ""),
        ("disk", _taken(own)),
    )
    if board.generations:
        lines += [[], *table([board.generations[number] for number in sorted(board.generations)])]
    return lines


def _taken(own: "Size | None") -> str:
    """What is the run's alone."""
    if own is None:
        return ""
    return f"{size(own.total)}: {size(own.store)} in the store, {size(own.files)} in its folder"


def _used(recording: Recording | None) -> str:
    if recording is None:
        return ""
    tries = f" ({words.count(recording.tries, 'try', 'tries')} by routes)" if recording.tries else ""
    spend = recording.spend
    return f"{words.count(recording.calls, 'call')}{tries}, {spend.usage.total:,} tokens, {words.money(spend)}"


def _engine(track: Track) -> str:
    engine = track.board.engine
    if track.alive:
        return f"process {engine.pid}" if engine else "starting"
    return f"none: {actions.key('resume')} resumes the run" if track.interrupted else "none, the run is over"


def row(track: Track, now: float, recording: Recording | None = None) -> RunRow:
    """A run as the list shows it."""
    board = track.board
    spend = recording.spend if recording else board.spent(board.at)
    counted = track.read and not track.recording
    generation = board.generation
    generations = [board.generations[number] for number in sorted(board.generations)]
    lanes = max((each.count(clean=False) for each in generations), default=0)
    imported = board.order is not None and bool(board.order.imported)
    done = [each for each in generations if each.observed is not None]
    return RunRow(
        id=track.id,
        mark=track.mark,
        generation=f"{track.latest}/{track.planned}" if track.planned else "",
        solved=f"{generation.solved(clean=False)}/{generation.count(clean=False)}" if generation else "",
        # 0 of 0 would look like a control that failed.
        clean=f"{generation.solved(clean=True)}/{count}"
        if generation and (count := generation.count(clean=True))
        else "",
        observations=str(board.known) if counted else "",
        # A file from elsewhere may not say what it cost.
        cost=words.money(spend) if (counted and (spend.usage.total or not imported)) or recording else "",
        curve=(spark([each.known for each in done]), spark([each.solved(clean=False) for each in done], lanes)),
        age=words.age(now - track.created),
        title=shown_line(track.title),
        note="scripted" if track.scripted else "",
    )
