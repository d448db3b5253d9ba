"""Widgets alive in an app of their own: many panes, any size, hostile text, and what the mouse marks."""

from collections.abc import Callable

import pytest
from textual.app import App, ComposeResult
from textual.theme import Theme
from textual.widget import Widget

import themes
from store.domain.board import Lane
from store.domain.ids import SubagentId
from store.domain.limits import Limits
from store.domain.strategy import LanePlan, Strategy
from widgets.bars import Bar, KeyBar, TabBar
from widgets.docview import DocView
from widgets.flow import Flow
from widgets.ink import InkApp
from widgets.outline import Item, Outline
from widgets.pane import Pane, View
from widgets.runlist import RunList, RunRow
from widgets.states import INTERRUPTED
from widgets.tracetree import TraceTree
from widgets.wall import Wall

HOSTILE = "[red]\x1b]0;x\x07\x1b[2J\u202eevil\u200b\x9b \ud800 你好🙂 e\u0301\u0301 " + "a" * 5000 + "\n\t\r[/]"


class Stage(InkApp):
    """One widget under our style sheet."""

    CSS_PATH = str(themes.style_sheet())

    def __init__(self, make: Callable[[], Widget]) -> None:
        super().__init__()
        self._make = make
        for fields in themes.load():
            self.register_theme(Theme(**fields))
        self.theme = themes.DARK

    def compose(self) -> ComposeResult:
        yield self._make()


def view(number: int, text: str = "says", *, selected: bool = False) -> View:
    flow = Flow()
    flow.stream("c", (("reasoning", text), ("text", text), ("tool", text)))
    plan = LanePlan(number, Strategy(text if len(text) > 10 else f"lane {number}", text), clean=number == 1)
    lane = Lane(SubagentId("7k3ab", 1, number), plan, Limits(turns=9), alert=text, alerts=1, last=text)
    return View(lane, flow, 0.0, selected=selected)


def screen_text(app: App[None]) -> str:
    """All that would go to the terminal, every line joined by a newline."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)


def harmless(app: App[None]) -> None:
    """Nothing that acts on a terminal is on the screen, and no line is wider than it."""
    text = screen_text(app)
    assert not [c for c in text if (ord(c) < 32 and c != "\n") or 0x7F <= ord(c) < 0xA0 or c in "\u202e\u200b\ud800"]
    width = app.size.width
    assert all(strip.cell_length == width for strip in app.screen._compositor.render_strips())


@pytest.mark.parametrize("count", [1, 2, 5, 13, 25, 100])
async def test_any_number_of_panes_in_any_size(count: int) -> None:
    async with Stage(Wall).run_test(size=(120, 40)) as pilot:
        wall = pilot.app.query_one(Wall)
        wall.hold(list(range(1, count + 1)))
        for size in ((80, 24), (200, 50), (30, 8), (4, 3), (1, 1), (120, 40)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            wall.show({number: view(number, selected=number == wall.selected) for number in range(1, count + 1)})
            await pilot.pause()
        wall.focus()
        await pilot.press("end")
        await pilot.pause()
        wall.show({number: view(number, selected=number == wall.selected) for number in range(1, count + 1)})
        await pilot.pause()
        assert wall.selected == count
        assert f"1.{count} " in screen_text(pilot.app)


async def test_a_pane_that_did_not_change_is_not_drawn_again() -> None:
    async with Stage(Wall).run_test(size=(120, 40)) as pilot:
        wall = pilot.app.query_one(Wall)
        wall.hold([1, 2])
        views = {1: view(1), 2: view(2)}
        wall.show(views)
        await pilot.pause()
        panes = [child for child in wall.children if isinstance(child, Pane) and child.display]
        before = [pane.drawn for pane in panes]
        wall.show(views)
        await pilot.pause()
        assert [pane.drawn for pane in panes] == before
        views[2].flow.stream("c", (("text", "more"),))
        wall.show(views)
        await pilot.pause()
        assert [pane.drawn for pane in panes] == [before[0], before[1] + 1]


def hostile_tree() -> TraceTree:
    tree = TraceTree()
    outline = Outline()
    root = Item(HOSTILE, [(HOSTILE, "text")], open=True)
    outline.add(root)
    for number in range(50):
        outline.add(Item(str(number), [(HOSTILE, "bad"), (HOSTILE, "tool")], bad=1), root)
    tree.outline = outline
    tree.cursor = root
    return tree


def hostile_list() -> RunList:
    rows = RunList()
    text = HOSTILE
    row = RunRow("7k3ab", INTERRUPTED, text, text, text, text, text, (text, text), text, text, text)
    rows._rows = [row]
    rows.cursor = "7k3ab"
    return rows


def hostile_doc() -> DocView:
    doc = DocView()
    doc._lines = [[(HOSTILE, "text"), (HOSTILE, "added")]] * 3
    return doc


def hostile_bar() -> Bar:
    bar = Bar()
    bar.show([(HOSTILE, "text")], [(HOSTILE, "warn")])
    return bar


def hostile_tabs() -> TabBar:
    tabs = TabBar([("a", "1", HOSTILE), ("b", "2", "b")], "a")
    tabs.show([(HOSTILE, "warn")])
    return tabs


def hostile_keys() -> KeyBar:
    keys = KeyBar()
    keys.show([("a", HOSTILE, HOSTILE), ("b", "?", "Help")])
    return keys


@pytest.mark.parametrize(
    "make",
    [hostile_tree, hostile_list, hostile_doc, hostile_bar, hostile_tabs, hostile_keys],
    ids=lambda make: make.__name__,
)
async def test_hostile_text_is_harmless_in_every_widget(make: Callable[[], Widget]) -> None:
    async with Stage(make).run_test(size=(80, 24)) as pilot:
        for size in ((80, 24), (13, 7), (200, 50)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            harmless(pilot.app)


async def test_hostile_text_is_harmless_in_panes() -> None:
    async with Stage(Wall).run_test(size=(120, 40)) as pilot:
        wall = pilot.app.query_one(Wall)
        wall.hold([1, 2, 3, 4, 5])
        for size in ((120, 40), (80, 24), (44, 9), (200, 50)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            wall.show({number: view(number, HOSTILE) for number in range(1, 6)})
            await pilot.pause()
            harmless(pilot.app)


async def test_the_tree_by_keys() -> None:
    tree = TraceTree()
    outline = Outline()
    root, leaf = Item("root", [("root", "text")], loaded=False), Item("leaf", [("leaf", "text")], leaf=True)
    outline.add(root)
    outline.add(leaf, root)
    async with Stage(lambda: tree).run_test(size=(40, 10)) as pilot:
        tree.hold(outline)
        tree.focus()
        await pilot.press("l")
        assert [item.key for item in outline.rows] == ["root", "leaf"]
        await pilot.press("j")
        assert tree.cursor is leaf
        await pilot.press("h")
        assert tree.cursor is root
        await pilot.press("h")
        assert [item.key for item in outline.rows] == ["root"]
        await pilot.press("enter", "G")
        assert tree.cursor is leaf
        await pilot.press("g")
        assert tree.cursor is root


async def test_what_the_mouse_marks_can_be_copied() -> None:
    doc = DocView()
    async with Stage(lambda: doc).run_test(size=(40, 10)) as pilot:
        doc.show([[("first ", "text"), ("line", "bad")], [("second line", "text")]])
        await pilot.pause()
        await pilot.mouse_down(doc, offset=(6, 0))
        await pilot.hover(doc, offset=(6, 1))
        await pilot.mouse_up(doc, offset=(6, 1))
        await pilot.pause()
        assert pilot.app.screen.get_selected_text() == "line\nsecond "
