"""Grid: one live pane for each subagent of a generation."""

import re
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from app.nodes import check
from app.screens.ask import Ask, Number
from app.screens.base import NARROW, StudioScreen, bindings, run_banner
from app.world import Track
from store.domain.board import Generation, Lane
from store.domain.commands import Continue, Kill, Pause, Restart
from store.domain.secrets import shown_line
from store.domain.states import SubagentState
from widgets.docview import DocView
from widgets.ink import Line
from widgets.pane import View
from widgets.wall import Wall


class GridScreen(StudioScreen):
    """The wall of panes. `looking` is the generation that is looked back at; None follows the latest."""

    NAME: ClassVar[str] = "grid"
    BINDINGS: ClassVar[list[BindingType]] = bindings("grid")

    def __init__(self) -> None:
        super().__init__()
        self.looking: int | None = None
        self._held: tuple[str | None, int] = (None, 0)

    def body(self) -> ComposeResult:
        yield Wall(id="wall")
        yield DocView(id="empty")

    def on_mount(self) -> None:
        self.query_one(DocView).can_focus = False
        self.query_one(Wall).focus()

    @property
    def generation(self) -> Generation | None:
        """The generation on the screen."""
        return self.track.generation(self.looking) if self.track else None

    @property
    def lane(self) -> Lane | None:
        """The selected lane."""
        generation, selected = self.generation, self.query_one(Wall).selected
        return generation.lanes.get(selected) if generation and selected is not None else None

    def update(self) -> None:
        track, generation = self.track, self.generation
        if self._held[0] != self.studio.run_name:
            self.looking, generation = None, track.generation(None) if track else None
        self.query_one(Wall).display = generation is not None
        self.set_class(generation is None, "empty")
        if track is None or generation is None:
            self._held = self.studio.run_name, 0
            self.query_one("#empty", DocView).show(_waiting(track, self.size.width - _MARGINS), "waiting")
            return
        self._held = track.id, generation.number
        self.show_panes()

    def tick(self) -> None:
        super().tick()
        self.show_panes()

    def show_panes(self) -> None:
        """Bring the panes up to date; the wall draws only those that changed."""
        track, generation = self.track, self.generation
        if track is None or generation is None:
            return
        wall = self.query_one(Wall)
        numbers = sorted(generation.lanes)
        if wall.lanes != numbers:
            wall.hold(numbers)
        now = self.studio.now() if track.alive else track.board.at
        wall.show(
            {
                number: View(lane, self.world.flow(lane.id), now, number == wall.selected, track.interrupted)
                for number, lane in generation.lanes.items()
            }
        )

    def banner(self) -> Line:
        track, generation = self.track, self.generation
        if track is None or generation is None or generation.number == track.latest:
            return run_banner(track, self.size.width, self.NAME)
        line: Line = [(f" ← looking back at generation {generation.number}", "banner")]
        if self.size.width >= NARROW:
            line.append(((f": {generation.solved(clean=False)} of {generation.count(clean=False)} solved, "
                         f"{generation.known} observations known after it"), "text"))  # fmt: skip
        return [*line, ("  ]", "key"), (f" on to {generation.number + 1}, the latest is {track.latest}", "text")]

    def on_wall_chosen(self) -> None:
        self.show_panes()
        self.show_keys()

    def why_not(self, action: str) -> str:
        generation, lane = self.generation, self.lane
        if action in ("kill", "pause", "continue", "restart", "tape") and lane is None:
            return "no subagent is selected"
        if lane is not None and action in ("kill", "pause", "continue"):
            state, label = lane.state, lane.id.label
            if state.final or state is SubagentState.CHECKING:
                return f"subagent {label} has ended its work"
            if action == "pause" and state is SubagentState.PAUSED:
                return f"subagent {label} is paused already; c lets it go on"
            if action == "continue" and state is not SubagentState.PAUSED:
                return f"subagent {label} is not paused"
        if action == "restart" and lane is not None:
            if not lane.restartable:
                return f"subagent {lane.id.label} could work, and be checked; only one that could not is started anew"
            if generation is None or self.track is None or generation.number != self.track.latest or generation.passed:
                return "only a subagent of the latest generation can be started anew"
        if action == "earlier" and (generation is None or generation.number <= 1):
            return "this is the first generation"
        if action == "later" and (generation is None or self.track is None or generation.number >= self.track.latest):
            return "this is the latest generation"
        return ""

    def do_tape(self) -> None:
        if self.lane is not None:
            self.studio.open_tape(self.lane.id)

    def do_kill(self) -> None:
        lane = self.lane
        if lane is None:
            return
        order = Kill(lane.id.generation, lane.id.lane)
        question = f"Kill subagent {lane.id.label} ({lane.plan.strategy.name})?"
        said = "It ends now, in the middle of its turn. What it changed so far is still checked; it can't be undone."

        def answered(yes: bool | None) -> None:
            if yes:
                self.studio.order(lane.id.run, order, f"kill {lane.id.label}")

        self.app.push_screen(Ask(question, said, "Kill"), answered)

    def do_pause(self) -> None:
        if self.lane is not None:
            who = self.lane.id
            self.studio.order(who.run, Pause(who.generation, who.lane), f"pause {who.label}")

    def do_continue(self) -> None:
        if self.lane is not None:
            who = self.lane.id
            self.studio.order(who.run, Continue(who.generation, who.lane), f"continue {who.label}")

    def do_restart(self) -> None:
        if self.lane is not None:
            who = self.lane.id
            self.studio.order(who.run, Restart(who.generation, who.lane), f"restart {who.label}")

    def do_earlier(self) -> None:
        if self.generation is not None:
            self._look(self.generation.number - 1)

    def do_later(self) -> None:
        if self.generation is not None:
            self._look(self.generation.number + 1)

    def do_jump(self) -> None:
        generation = self.generation
        if generation is None:
            return

        def answered(lane: int | None) -> None:
            if lane is not None:
                self.query_one(Wall).select(lane)

        self.app.push_screen(Number("Go to lane", sorted(generation.lanes)), answered)

    def _look(self, number: int) -> None:
        if self.track is not None:
            self.looking = None if number >= self.track.latest else number
            self.redraw()
            self.show_panes()


_PREPARING = 12
"""Lines shown of an image that is built."""
_STEP = re.compile(r"(?:\S+: )?Step \d+/\d+ ")
"""How Docker begins a step of a build; before it is the host, where there are several."""
_MARGINS = 6
"""Cells beside what is shown where there are no panes."""

_BASELINE = (
    "It has to fail, each time alike, before a subagent is started: a check that passes before anything is changed, or "
    "that disagrees with itself, would make every verdict worthless."
)


def _waiting(track: Track | None, cells: int) -> list[Line]:
    if track is None:
        return [[("No run to show.", "strong")], [], [("1", "key"), (" lists the runs; ", "text"),
                ("multitrack demo", "accent"), (" makes one.", "text")]]  # fmt: skip
    if not track.read:
        return [[("Reading the run …", "faint")]]
    if track.interrupted and track.board.left:
        return [[("The engine left before a subagent could be started.", "strong")], [],
                [(shown_line(track.board.left), "bad")], [],
                [("r", "key"), (" starts another one, which goes on where this one stood.", "text")]]  # fmt: skip
    if track.board.preparing:
        # A row each, so that the latest is seen.
        latest = [shown_line(said, cells) for said in track.board.preparing]
        step = next((said for said in reversed(latest) if _STEP.match(said)), "")
        told = [(said, "text" if said == step else "faint") for said in latest[-_PREPARING:]]
        above: list[Line] = [[(step, "text")]] if step and step not in latest[-_PREPARING:] else []
        return [[("The sandboxes are being made ready.", "strong")], [], *above, *([span] for span in told)]
    lines: list[Line] = [[("The check is tried on the unchanged code first.", "strong")], [], [(_BASELINE, "text")]]
    baseline = track.board.baseline
    for result in baseline.results if baseline else ():
        lines += [[], *check(result)]
    return lines
