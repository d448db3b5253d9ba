"""The walls that `bench.panes` measures: panes of ours, or Textual's RichLog, in the same grid, with the same lines."""

import json
import sys
import time
from collections import deque
from pathlib import Path

from textual.app import ComposeResult
from textual.containers import Container
from textual.theme import Theme
from textual.widgets import RichLog

import themes
from bench.panes import LINES, TICK, line
from store.domain.board import Lane
from store.domain.ids import SubagentId
from store.domain.limits import Limits
from store.domain.states import SubagentState
from store.domain.strategy import LanePlan, Strategy
from widgets.flow import Flow
from widgets.ink import InkApp
from widgets.pane import View
from widgets.wall import Wall

WARM = 20
"""Repaints that are not counted: until then all panes are full."""
KEPT = 4000
"""Characters that the live tail keeps."""


class Streaming(InkApp):
    """A wall to which every repaint brings new lines. After `repaints` of them it writes to `told` what they took."""

    CSS_PATH = str(themes.style_sheet())

    def __init__(self, panes: int, repaints: int, told: Path) -> None:
        super().__init__()
        self.panes, self.number = panes, 0
        self._left, self._told = WARM + repaints, told
        self._repaints = repaints
        self._used, self._bytes = 0.0, 0
        for fields in themes.load():
            self.register_theme(Theme(**fields))
        self.theme = themes.DARK

    def on_mount(self) -> None:
        self.begin()
        assert self._driver is not None
        write = self._driver.write

        def counted(data: str) -> None:
            self._bytes += len(data.encode())
            write(data)

        self._driver.write = counted  # type: ignore[method-assign]  # what goes to the terminal is counted
        self.set_timer(0.5, self._go_on)

    def begin(self) -> None:
        """Put the panes up."""

    def bring(self) -> None:
        """Bring the new lines."""
        raise NotImplementedError

    def _go_on(self) -> None:
        if self._left == self._repaints:
            self._used, self._bytes = time.process_time(), 0
        if not self._left:
            said = {"cpu": time.process_time() - self._used, "bytes": self._bytes}
            part = self._told.with_suffix(".part")
            part.write_text(json.dumps(said), "utf-8")
            part.rename(self._told)
            self.exit()
            return
        self._left -= 1
        begin = time.perf_counter()
        self.number += LINES
        self.bring()
        self.call_after_refresh(lambda: self.set_timer(max(begin + TICK - time.perf_counter(), 0.001), self._go_on))


class RichLogs(Streaming):
    """The plain Textual way."""

    CSS = """
    #grid { layout: grid; grid-size: 5; }
    RichLog { border: solid $frame; scrollbar-size: 0 0; }
    """

    def compose(self) -> ComposeResult:
        with Container(id="grid"):
            for number in range(1, self.panes + 1):
                # As our panes: folded to their width, and not without end.
                log = RichLog(wrap=True, max_lines=1000, min_width=10)
                log.border_title = f"1.{number} strategy"
                yield log

    def bring(self) -> None:
        for pane, log in enumerate(self.query(RichLog), start=1):
            for part in range(LINES):
                log.write(line(self.number + part, pane))


class Panes(Streaming):
    """Ours."""

    def compose(self) -> ComposeResult:
        yield Wall()

    def begin(self) -> None:
        self.flows = [Flow() for _ in range(self.panes)]
        self.said = [deque[str](maxlen=80) for _ in range(self.panes)]
        names = [Strategy("strategy", "Work.")] * self.panes
        self.lanes = [
            Lane(SubagentId("bench", 1, number), LanePlan(number, name, clean=False), Limits(turns=24, usd=2.0))
            for number, name in enumerate(names, start=1)
        ]
        for lane in self.lanes:
            lane.state = SubagentState.RUNNING
            lane.work.start(0.0)
        self.query_one(Wall).hold([lane.id.lane for lane in self.lanes])
        self.show()

    def show(self) -> None:
        """Bring the panes up to date, as the grid does."""
        now = self.number / LINES * TICK
        self.query_one(Wall).show(
            {
                lane.id.lane: View(lane, flow, now, selected=lane.id.lane == 1)
                for lane, flow in zip(self.lanes, self.flows, strict=True)
            }
        )

    def bring(self) -> None:
        for pane, (said, flow) in enumerate(zip(self.said, self.flows, strict=True), start=1):
            said.extend(line(self.number + part, pane) for part in range(LINES))
            flow.stream(f"c{pane}", (("text", "\n".join(said)[-KEPT:]),))
        self.show()


if __name__ == "__main__":
    kind, panes, repaints, told = sys.argv[1:]
    app = RichLogs if kind == "richlog" else Panes
    app(int(panes), int(repaints), Path(told)).run()
