"""Hostile text in every widget: whatever a model, a tool or a file says, nothing of it acts."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from textual.app import ComposeResult
from textual.widget import Widget

from store.domain.board import Generation, Lane
from store.domain.ids import SubagentId
from store.domain.limits import Limits
from store.domain.strategy import LanePlan, Strategy
from tests import hostile
from widgets import ink, paint
from widgets.bars import Banner, Bar, KeyBar, TabBar
from widgets.docview import DocView
from widgets.flow import Flow, Part
from widgets.matrix import Matrix
from widgets.outline import Item, Outline
from widgets.pane import Pane, View
from widgets.results import Result, Results
from widgets.roster import Roster
from widgets.runlist import RunList, RunRow
from widgets.sidebyside import Row, SideBySide
from widgets.states import INTERRUPTED
from widgets.tape import TapeView
from widgets.timeline import Reading, Spot, Timeline
from widgets.tracetree import TraceTree

TEXTS = st.lists(st.one_of(st.sampled_from(hostile.PIECES), st.text(max_size=12)), max_size=12).map("".join)
WHO = SubagentId("7k3ab", 2, 3)


def lane(text: str) -> Lane:
    plan = LanePlan(3, Strategy(text, text), clean=True, why=text)
    return replace(Lane(WHO, plan, Limits(turns=24)), last=text, tool=text, alerts=1, alert=text)


def flow(text: str) -> Flow:
    flow = Flow()
    for kind in ("turn", "text", "reasoning", "tool", "result", "failure", "steer", "alert", "note"):
        flow.parts.append(Part(kind, text))
    flow.stream("call", [("reasoning", text), ("text", text), ("tool", text)])
    flow.version += 1
    return flow


def view(text: str) -> View:
    return View(lane(text), flow(text), 0.0, selected=True, stalled=True, marked=True)


def tree(text: str) -> Outline:
    outline = Outline()
    for number in range(4):
        outline.add(Item(f"{number}{text}", [(text, "text"), (text, "bad")], leaf=True, bad=2))
    return outline


def show(widget: Widget, text: str) -> None:
    """Give a widget a text in every place that it has for one."""
    line: ink.Line = [(text, "text"), (text, "bad")]
    match widget:
        case Bar():
            widget.show(line, line)
        case Banner():
            widget.show(line)
        case KeyBar():
            widget.show([("kill", text, text), ("quit", "q", text)])
        case TabBar():
            widget.show(line)
        case DocView():
            # What drew text is prepared by: the widget takes lines.
            widget.show([line, *paint.plain(text), *paint.shell(text), *paint.prose(text), *paint.diff(text)])
        case RunList():
            row = RunRow("7k3ab", INTERRUPTED, text, text, text, text, text, (text, text), text, text, text)
            widget.show([row])
        case SideBySide():
            widget.show([Row(line, line), Row([], [], rule=text), Row(line, line, (text[:1] or " ", "bad"))])
        case Results():
            widget.show([Result(line, line, [line], [line])] * 3, line, 1)
        case Timeline():
            spots = (Spot(0.2, "error", text), Spot(0.9, "alert", text))
            widget.show(Reading(0.5, True, 1.0, 1.0, 2.0, 1.0, 3, text, 0.0, (0.1, 0.9), spots))
        case TraceTree():
            widget.hold(tree(text))
        case TapeView():
            widget.show(flow(text))
        case Pane():
            widget.show(view(text))
        case Roster():
            widget.show([3], {3: view(text)})
        case Matrix():
            widget.show({2: Generation(2, lanes={3: lane(text)})}, 0.0)
        case _:
            raise AssertionError(widget)


MAKE: Sequence[Callable[[], Widget]] = (
    Bar, Banner, KeyBar, lambda: TabBar([("runs", "1", hostile.MARKUP)], "runs"), DocView, RunList, SideBySide, Results,
    Timeline, TraceTree, TapeView, lambda: Pane(3), Roster, Matrix,
)  # fmt: skip


class Shown(ink.InkApp):
    """One widget and nothing else."""

    CSS_PATH = "../themes/studio.tcss"

    def __init__(self, widget: Widget, *, ascii_only: bool) -> None:
        super().__init__()
        from app import themefiles

        self.ascii = ascii_only
        self.widget = widget
        for theme in themefiles.ours().values():
            self.register_theme(theme)
        self.theme = "multitrack-dark"

    def compose(self) -> ComposeResult:
        yield self.widget

    def on_mount(self) -> None:
        self.widget.display = True
        self.widget.styles.width, self.widget.styles.height = 70, 20


@pytest.mark.parametrize("ascii_only", [False, True], ids=["utf8", "ascii"])
@pytest.mark.parametrize("make", MAKE, ids=lambda make: type(make()).__name__)
async def test_nothing_of_it_acts(make: Callable[[], Widget], ascii_only: bool) -> None:
    texts: list[str] = [hostile.TEXT, hostile.LINES, hostile.MARKUP, "\x1b" * 3000, "[" * 3000, "\u202e" * 500, ""]

    @settings(max_examples=25, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(TEXTS)
    def gather(text: str) -> None:
        texts.append(text)

    gather()
    widget = make()
    async with Shown(widget, ascii_only=ascii_only).run_test(size=(72, 22)) as pilot:
        for text in texts:
            show(widget, text)
            await pilot.pause()
            hostile.screen(pilot.app)


@given(TEXTS)
def test_what_is_cleaned_has_nothing_left_that_acts(text: str) -> None:
    for line in (*paint.plain(text), *paint.shell(text), *paint.traceback(text), *paint.prose(text)):
        joined = "".join(part for part, _ in line)
        assert "\x1b" not in ink.clean(joined)
        assert not set(ink.clean(joined)) & hostile.ACTS
