"""Hostile text on every screen: nothing of it acts on the terminal or the markup."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from app.playback.feed import Start
from store import blobs
from store.database import open_store
from store.domain.events import ToolFinished, ToolStarted, TurnStarted
from store.home import Home
from tests import hostile, record
from tests.driving import settled, studio, until
from widgets.docview import DocView
from widgets.tracetree import TraceTree


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    with pytest.MonkeyPatch.context() as patch:
        return hostile.recorded(tmp_path_factory.mktemp("hostile"), patch)


LARGE = pytest.param((160, 50), marks=pytest.mark.soak)


@pytest.mark.parametrize("size", [(80, 24), LARGE], ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize(
    ("screen", "run", "keys"),
    [
        ("runs", None, ("down",)),
        ("grid", record.LIVE, ("z", "escape", "b", "escape", "g", "escape", "w", "w", "x", "escape", "s", "escape")),
        ("traces", record.LIVE, ("v", "v", "e", "question_mark", "escape", "ctrl+p", "escape")),
        (
            "observations",
            record.SOLVED,
            ("down", "enter", "escape", "n", "d", "h", "escape", "e", "escape"),
        ),
        ("convergence", record.SOLVED, ("a", "a", "pagedown")),
        ("report", record.SOLVED, ("pagedown", "end")),
        ("report", record.LIVE, ()),
    ],
    ids=["runs", "grid", "traces", "observations", "convergence", "report", "report_live"],
)
async def test_screens(home: Home, screen: str, run: str | None, keys: Sequence[str], size: tuple[int, int]) -> None:
    app = studio(home, screen, run)
    async with app.run_test(size=size, notifications=True) as pilot:
        await settled(pilot)
        hostile.screen(app)
        app.say(hostile.LINES, "error")
        for key in keys:
            await pilot.press(key)
            await settled(pilot)
            hostile.screen(app)


async def test_every_node_of_a_trace(home: Home) -> None:
    app = studio(home, "traces", record.LIVE)
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        tree = app.screen.query_one(TraceTree)
        seen, shown = set(), ""
        for step in range(45):
            await pilot.press(*("down",) if step % 2 else ("right",))
            await settled(pilot)
            shown = hostile.screen(app)
            seen.add(tree.cursor.key if tree.cursor else "")
        assert len(seen) > 15
        assert "[bold red]markup[/]" in shown


async def test_the_editor_and_a_search_that_is_typed(home: Home) -> None:
    app = studio(home, "traces", record.LIVE)
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        await pilot.press("slash", *"[bold]", "enter")
        await settled(pilot)
        hostile.screen(app)


@pytest.mark.parametrize("screen", ["grid", "traces"])
async def test_playback(home: Home, screen: str) -> None:
    app = studio(home, screen, record.LIVE, play=Start(record.LIVE, playing=False))
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        for key in (*["full_stop"] * 4, *["greater_than_sign"] * 3, "m", "m"):
            await pilot.press(key)
            await settled(pilot)
            hostile.screen(app)


async def test_ten_megabytes_of_output(tmp_path: Path) -> None:
    home = Home(tmp_path).create()
    row = f"{hostile.TEXT} 0123456789abcdef\n"
    output = (row * (hostile.MEGABYTES // 2 // len(row.encode()))).encode() + b"\xff" + b"x" * (hostile.MEGABYTES // 2)
    with open_store(home.store) as store:
        store.write(record._creation(record.LIVE, "large", record.NOW - 200))
        home.folder(record.LIVE).create()
        writer = record.Writer(store, record.LIVE, record.NOW - 200)
        record._begin(writer, "large")
        record._launch(writer, 1, 0)
        digest = store.write(lambda connection: blobs.put(connection, output))
        summary = "x" * 100_000
        writer.add(TurnStarted(1), ToolStarted(1, "t", "run", summary), generation=1, lane=1)
        writer.add(ToolFinished(1, "t", "run", True, 0.4, digest, summary), generation=1, lane=1)
    app = studio(home, "grid", record.LIVE)
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        hostile.screen(app)
        await pilot.press("z")
        await settled(pilot)
        hostile.screen(app)
        await pilot.press("escape", "3")
        await settled(pilot)
        await pilot.press("f")
        await settled(pilot)
        tree = app.screen.query_one(TraceTree)
        await until(pilot, lambda: tree.cursor is not None, "the newest")
        await pilot.press("home")
        seen = ""
        for key in ("right", "down") * 12:
            await pilot.press(key)
            await settled(pilot)
            hostile.screen(app)
            seen += "\n".join(view.text for view in app.screen.query(DocView) if view.display)
            if "0123456789abcdef" in seen:
                break
        assert "0123456789abcdef" in seen
