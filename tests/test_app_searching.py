"""The search on the Traces screen: as one types, over this run or all, in a playback."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from app.finding import highlit
from app.playback.feed import Start
from app.playback.where import where
from app.screens.traces import TracesScreen
from store.domain.query import parse
from store.home import Home
from tests import record
from tests.driving import settled, shown, studio, until
from widgets.docview import DocView
from widgets.ink import Line
from widgets.results import Results

SIZE = (120, 40)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with record.recorded(tmp_path) as made:
        yield made


def traces(pilot: Pilot[None]) -> TracesScreen:
    place = getattr(pilot.app, "place", None)
    assert isinstance(place, TracesScreen)
    return place


async def found(pilot: Pilot[None], text: str) -> TracesScreen:
    """Type a query, and wait for what it finds."""
    await settled(pilot)
    await pilot.press("slash", "ctrl+u", *text)
    screen = traces(pilot)
    await until(pilot, lambda: screen.search.text == text and (screen.search.hits or screen.search.done), "the hits")
    return screen


async def test_results_come_while_one_types_and_keys_choose_among_them(home: Home) -> None:
    async with studio(home, "traces", record.LIVE).run_test(size=SIZE) as pilot:
        screen = await found(pilot, "idempo")
        assert "idempotent" in shown(pilot) and screen.search.at == -1
        results = screen.query_one(Results)
        await pilot.press("down", "down", "up")
        assert results.cursor == 1 and isinstance(pilot.app.focused, Input)
        hit = screen.search.hits[1]
        await pilot.press("enter")
        await until(pilot, lambda: "2 of" in shown(pilot), "the place")
        await settled(pilot)
        assert screen.cursor is not None and screen.cursor.key == f"{hit.call} b{hit.block}"
        assert "idempotent" in screen.query_one("#node", DocView).text
        await pilot.press("slash")
        assert screen.query_one("#search", Input).value == "idempo", "it is there again"
        await pilot.press("escape")
        assert not screen.has_class("searching")
        assert screen.treeview.has_focus


async def test_one_key_looks_at_all_runs_and_enter_opens_another(home: Home) -> None:
    async with studio(home, "traces", record.LIVE).run_test(size=SIZE) as pilot:
        screen = await found(pilot, "run:m2 idempotent")
        assert "Nothing in this run has that" in shown(pilot)
        await pilot.press("tab")
        await until(pilot, lambda: screen.search.hits, "those of the other run")
        assert {hit.run for hit in screen.search.hits} == {record.GATE}
        hit = screen.search.hits[0]
        await pilot.press("enter")
        await until(pilot, lambda: screen.trace is not None and screen.trace.run == record.GATE, "the other run")
        await until(pilot, lambda: screen.cursor is not None and screen.cursor.key.startswith(hit.call), "the place")
        await pilot.press("n")
        await until(pilot, lambda: "2 of" in shown(pilot), "the next")


async def test_errors_and_what_is_wrong_in_a_query(home: Home) -> None:
    async with studio(home, "traces", record.LIVE).run_test(size=SIZE) as pilot:
        screen = await found(pilot, "error:charge")
        hit = screen.search.hits[0]
        await pilot.press("enter")
        await until(pilot, lambda: screen.cursor is not None and screen.cursor.key.endswith(" r"), "the result")
        assert screen.cursor is not None and hit.tool_call in screen.cursor.key
        await pilot.press("slash", "ctrl+u", *"gen:x")
        await until(pilot, lambda: "takes the number of a generation" in shown(pilot), "what is wrong")
        await pilot.press("ctrl+u")
        await until(pilot, lambda: "cost:>0.01" in shown(pilot), "the language")


async def test_a_playback_finds_what_it_has_come_to(home: Home) -> None:
    app = studio(home, "traces", play=Start(record.LIVE, where=where("50%"), playing=False))
    async with app.run_test(size=SIZE) as pilot:
        screen = await found(pilot, "lock")
        assert screen.search.hits
        assert all(hit.at <= app.now() for hit in screen.search.hits)


@pytest.mark.parametrize("size", [(80, 24), (200, 50), (40, 12), (20, 6)])
async def test_it_stands_at_every_size(home: Home, size: tuple[int, int]) -> None:
    async with studio(home, "traces", record.LIVE).run_test(size=size) as pilot:
        screen = await found(pilot, "error:")
        for key in ("down", "pagedown", "pagedown", "up", "pageup"):
            await pilot.press(key)
        await settled(pilot)
        assert screen.query_one("#search", Input).region.height == 1


def test_what_matched_is_marked_in_the_node_and_found_over_a_line_break() -> None:
    lines: list[Line] = [[("nothing", "text")], [("the lock ", "text"), ("times", "code-name"), (" out", "text")], []]
    marked, first = highlit(lines, parse("lock time*"))
    assert first == 1
    assert [text for text, ink in marked[1] if ink == "match"] == ["lock", "time"]
    assert ["".join(text for text, _ in line) for line in marked] == ["".join(text for text, _ in x) for x in lines]
    split, first = highlit([[("a lock", "text")], [("timeout b", "text")]], parse('"lock timeout"'))
    assert [[text for text, ink in line if ink == "match"] for line in split] == [["lock"], ["timeout"]]
    assert first == 0
    assert highlit(lines, parse("error:")) == (lines, None)


async def test_a_long_text_begins_where_the_match_is(home: Home) -> None:
    async with studio(home, "traces", record.LIVE).run_test(size=(120, 24)) as pilot:
        await settled(pilot)
        node = traces(pilot).query_one("#node", DocView)
        lines: list[Line] = [[(f"line {number} {'folded ' * 20}", "text")] for number in range(200)]
        node.show(lines, "a text", 150)
        await pilot.pause()
        assert "line 150 " in shown(pilot)
        at = node.scroll_offset.y
        node.show([*lines, [("more", "text")]], "a text", 10)
        await pilot.pause()
        assert node.scroll_offset.y == at, "the same text stays where it is read"
