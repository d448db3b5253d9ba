"""Runs: every run of the store, newest first."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from app.nodes import pairs
from app.screens.base import StudioScreen, bindings, run_banner
from app.screens.report import table
from app.world import Track
from store.domain.secrets import shown_line
from widgets import words
from widgets.chart import spark
from widgets.docview import DocView
from widgets.ink import Line
from widgets.runlist import RunList, RunRow

_WHAT = (
    "A run gives one hard bug to several subagents at once, generation after generation. What they learn is written "
    "down and given to the next generation. This screen will list every run, and how it converges."
)
_NOTHING: list[Line] = [
    [("Nothing is recorded here yet.", "strong")],
    [],
    [(_WHAT, "text")],
    [],
    [("  multitrack demo", "accent"), ("   a practice bug, scripted model: no key, no network", "text")],
    [("  multitrack init", "accent"), ("   a commented multitrack.toml for your own repository", "text")],
    [("  multitrack run", "accent"), ("    the run that it describes", "text")],
    [],
    [("Start one in another terminal: it appears here by itself.", "faint")],
]
SHORT = 30
"""Rows under which the list has the screen to itself."""
_OPENING: list[Line] = [[("Opening the record …", "faint")]]


class RunsScreen(StudioScreen):
    """The list. Enter opens a run's grid."""

    NAME: ClassVar[str] = "runs"
    OF_RUN: ClassVar[bool] = False
    BINDINGS: ClassVar[list[BindingType]] = bindings("runs")

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
            self.query_one("#empty", DocView).show(_NOTHING, "nothing")
        elif world.problem:
            # The banner says what is wrong; nothing is being opened.
            self.query_one("#empty", DocView).show([], "nothing")
        self.set_class(not world.tracks, "empty")
        self.set_class(self.size.height < SHORT, "short")
        now = self.studio.now()
        rows = self.query_one(RunList)
        rows.show([row(track, now) for track in world.newest()])
        if world.tracks and self.focused is None:
            rows.focus()
            if self.studio.run_name:
                rows.point(self.studio.run_name)

        track = world.tracks.get(rows.cursor)
        lines = about(track) if track else []
        view = self.query_one("#about", DocView)
        view.styles.height = len(lines) + 1
        view.show(lines, track.id if track else "")

    def banner(self) -> Line:
        track = self.world.tracks.get(self.query_one(RunList).cursor)
        return run_banner(track, self.size.width) if track and (track.interrupted or track.waiting) else []

    def on_run_list_pointed(self, message: RunList.Pointed) -> None:
        self.studio.show_run(message.run)
        self.redraw()

    def on_run_list_opened(self, message: RunList.Opened) -> None:
        self.studio.action_do("open")

    def why_not(self, action: str) -> str:
        if action in ("open", "stop", "resume") and not self.world.tracks:
            return "there is no run yet"
        return ""

    def do_open(self) -> None:
        self.studio.show_run(self.query_one(RunList).cursor)
        self.studio.action_do("grid")


def about(track: Track) -> list[Line]:
    """The run under the cursor: its orders, and its generations."""
    board = track.board
    if track.recording:
        return [
            [(shown_line(track.title), "strong")],
            [("Calls of tools outside a run, as `multitrack proxy` recorded them.", "text")],
            [("  multitrack calls ", "accent"), (track.id, "accent"), ("   lists them", "text")],
        ]
    if board.order is None:
        return [[("Reading the run …", "faint")]]
    task = board.task
    lines: list[Line] = [[(shown_line(track.title), "strong")], [(shown_line(task.goal, 300), "text")], []]
    lines += pairs(
        ("repository", f"{task.repository} at {board.order.revision[:10]}"),
        ("check", task.check.command),
        ("model", "scripted model, not a real one" if track.scripted else task.model),
        ("engine", _engine(track)),
        ("ended", board.finished.reason if board.finished else ""),
    )
    if board.generations:
        lines += [[], *table([board.generations[number] for number in sorted(board.generations)])]
    return lines


def _engine(track: Track) -> str:
    engine = track.board.engine
    if track.alive:
        return f"process {engine.pid}" if engine else "starting"
    return "none: r resumes the run" if track.interrupted else "none, the run is over"


def row(track: Track, now: float) -> RunRow:
    """A run as the list shows it."""
    board = track.board
    counted = track.read and not track.recording
    generation = board.generation
    generations = [board.generations[number] for number in sorted(board.generations)]
    lanes = max((each.count(clean=False) for each in generations), default=0)
    done = [each for each in generations if each.observed is not None]
    return RunRow(
        id=track.id,
        mark=track.mark,
        generation=f"{track.latest}/{track.planned}" if track.planned else "",
        solved=f"{generation.solved(clean=False)}/{generation.count(clean=False)}" if generation else "",
        clean=f"{generation.solved(clean=True)}/{generation.count(clean=True)}" if generation else "",
        observations=str(board.known) if counted else "",
        cost=words.money(board.spent(board.at)) if counted else "",
        curve=(spark([each.known for each in done]), spark([each.solved(clean=False) for each in done], lanes)),
        age=words.age(now - track.created),
        title=shown_line(track.title),
        note="scripted" if track.scripted else "",
    )
