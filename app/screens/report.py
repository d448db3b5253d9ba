"""Report: the generations in numbers, then the report itself."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.message import Message

from app import actions
from app.screens.base import NO_RUN, StudioScreen, bindings
from app.world import Track
from store.domain.board import Generation
from store.domain.secrets import shown_line
from widgets import paint, words
from widgets.docview import DocView
from widgets.ink import Line


class ReportRead(Message):
    """The report file of a run, painted; None when there is none."""

    def __init__(self, run: str, lines: list[Line] | None) -> None:
        super().__init__()
        self.run, self.lines = run, lines


class ReportScreen(StudioScreen):
    """One text that scrolls: the table live, the report when it is written."""

    NAME: ClassVar[str] = "report"
    BINDINGS: ClassVar[list[BindingType]] = bindings("report")

    def __init__(self) -> None:
        super().__init__()
        self._asked: tuple[str, int] = ("", -1)
        self._report: tuple[str, list[Line] | None] = ("", None)

    def body(self) -> ComposeResult:
        yield DocView(id="report")

    def on_mount(self) -> None:
        self.query_one(DocView).focus()

    def banner(self) -> Line:
        track = self.track
        # How it ended stands in the text already.
        return super().banner() if track is not None and track.board.finished is None else []

    def update(self) -> None:
        track = self.track
        if track is None or not track.read:
            said = "Reading the run …" if track else NO_RUN.format(actions.key("runs"))
            self.query_one(DocView).show([[(said, "faint")]], said)
            return
        if self._asked != (track.id, track.version):
            self._asked = (track.id, track.version)
            self._read(track.id)
        lines = summary(track)
        run, report = self._report
        # In a playback the report is there before it was written.
        if run == track.id and report and (track.board.state.final or not track.played):
            lines += [[("─" * max(self.size.width - 3, 1), "frame")], [], *report]
        elif track.board.state.final:
            lines.append([("There is no report file: the run ended before one could be written.", "faint")])
        else:
            lines.append([("The report is written when the run ends; the numbers above are live.", "faint")])
        self.query_one(DocView).show([[(" ", "text"), *line] for line in lines], (track.id, "report"))

    def _read(self, run: str) -> None:
        path = self.studio.home.folder(run).report

        def read() -> None:
            try:
                lines = paint.prose(path.read_text("utf-8", "replace"))
            except OSError:
                lines = None
            self.post_message(ReportRead(run, lines))

        self.studio.in_thread(read, group="report")

    def on_report_read(self, message: ReportRead) -> None:
        if self._report != (message.run, message.lines):
            self._report = (message.run, message.lines)
            self.update()


def summary(track: Track) -> list[Line]:
    """How it ended, and its generations in numbers."""
    board = track.board
    generations = [board.generations[number] for number in sorted(board.generations)]
    lines: list[Line] = []
    if board.finished is not None:
        lines += [[track.mark.span, (f"  {shown_line(board.finished.reason)}", "text")], []]
    if not generations:
        return [*lines, [("No generation has been designed yet.", "faint")], []]
    lines += [
        *table(generations),
        [],
        [("  " + actions.key("convergence"), "key"), ("  draws how it converged", "faint")],
        [],
    ]
    return [*lines, [("The scripted model answered, not a real one.", "warn")], []] if track.scripted else lines


def table(generations: list[Generation]) -> list[Line]:
    """One row a generation, live ones too."""
    head = (
        f"{'generation':<12}{'solved':>8}{'clean':>8}{'known':>8}{'in prompts':>12}{'turns':>8}{'tokens':>9}{'cost':>9}"
    )
    lines: list[Line] = [[(head, "faint")]]
    for each in generations:
        spend = each.spend
        solved, lanes = each.solved(clean=False), each.count(clean=False)
        line: Line = [(f"{each.number:<12}", "strong"), (f"{f'{solved}/{lanes}':>8}", "good" if solved else "text")]
        line.append((f"{f'{each.solved(clean=True)}/{each.count(clean=True)}':>8}", "faint"))
        line.append((f"{each.known if each.observed else '':>8}{each.injected:>12}{spend.turns:>8}", "text"))
        line.append((f"{words.tokens(spend.tokens):>9}{words.money(spend):>9}", "text"))
        if each.observed is None:
            line.append(("   goes on", "accent"))
        lines.append(line)
    return lines
