"""The app with settings: other keys, themes that change while it runs, slow links, jump mode."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot

from app import actions
from app.configured import SLOW_CLOCK
from app.hopping import targets
from app.screens.help import Help
from app.settings import Configuration
from app.studio import Studio
from store.home import Home
from tests import record
from tests.driving import settled, shown, studio, until
from widgets.docview import DocView
from widgets.labels import Labels
from widgets.runlist import RunList
from widgets.tracetree import TraceTree
from widgets.wall import Wall


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with record.recorded(tmp_path / "home") as opened:
        yield opened
    actions.rebind({})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "config"
    (path / "themes").mkdir(parents=True)
    return path


def settings(folder: Path, text: str) -> Configuration:
    (folder / "settings.toml").write_text(text, "utf-8")
    return Configuration(folder)


def told(app: Studio) -> str:
    """What the app tells just now."""
    return "\n".join(notification.message for notification in app._notifications)


def place(app: Studio) -> str:
    return app.place.NAME if app.place else ""


async def test_rebound_keys_work_and_are_shown_everywhere(home: Home, folder: Path) -> None:
    configuration = settings(folder, '[keys]\ntraces = ["f3", "ö"]\nkill = "K"\nrestart = "x"\npalette = "ctrl+k"\n')
    app = studio(home, "grid", record.LIVE, configuration=configuration)
    async with app.run_test(size=(160, 50)) as pilot:
        await settled(pilot)
        assert " f3 Traces" in shown(pilot)
        assert " K Kill" in shown(pilot)
        assert " x Restart" in shown(pilot)
        await pilot.press("3")
        assert place(app) == "grid"
        await pilot.press("ö")
        await until(pilot, lambda: place(app) == "traces", "the traces")
        await pilot.press("2")
        await until(pilot, lambda: place(app) == "grid", "the grid")
        await settled(pilot)
        await pilot.press("K")
        await until(pilot, lambda: "Kill" in shown(pilot) and app.place is not app.screen, "the question")
        assert "End" in shown(pilot) or "Kill" in shown(pilot)
        await pilot.press("escape", "question_mark")
        await until(pilot, lambda: isinstance(app.screen, Help), "the help")
        text = app.screen.query_one(DocView).text
        assert re.search(r"^  K +Kill ", text, re.MULTILINE)
        assert re.search(r"^  f3 ö +Traces ", text, re.MULTILINE)
        await pilot.press("escape", "ctrl+k")
        await until(pilot, lambda: "Who needs you  (a)" in shown(pilot), "the palette")
        assert "Traces  (f3 ö)" in shown(pilot)
        await pilot.press("escape", "f3")
        await until(pilot, lambda: place(app) == "traces", "the traces")


async def test_mistakes_are_told_and_the_app_starts(home: Home, folder: Path) -> None:
    configuration = settings(
        folder, '[screen]\ntheme = "dusk"\nbell = 1\n[keys]\nkill = "p"\npaus = "p"\nlabels = "z"\n'
    )
    app = studio(home, "grid", record.LIVE, configuration=configuration)
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        await until(pilot, lambda: "settings.toml:2: screen.theme" in told(app), "the mistakes")
        assert "2 more are wrong" in told(app)
        assert app.theme == "multitrack-dark"


async def test_a_theme_is_taken_again_when_its_file_changes(home: Home, folder: Path) -> None:
    path = folder / "themes" / "dusk.toml"
    path.write_text('accent = "#111111"\n', "utf-8")
    app = studio(home, "grid", record.LIVE, configuration=settings(folder, '[screen]\ntheme = "dusk"\n'))
    async with app.run_test(size=(100, 30)) as pilot:
        await settled(pilot)

        def accent() -> str:
            color = app.ink("accent").color
            return color.name if color else ""

        assert accent() == "#111111"
        path.write_text('accent = "#222222"\n', "utf-8")
        await until(pilot, lambda: accent() == "#222222", "the other colour")
        (folder / "settings.toml").write_text('[screen]\ntheme = "multitrack-light"\n[keys]\ntraces = "f3"\n', "utf-8")
        await until(pilot, lambda: app.theme == "multitrack-light" and "f3 Traces" in shown(pilot), "other settings")
        path.write_text("accent = 3\n", "utf-8")
        await until(pilot, lambda: "dusk.toml:1: accent: 3 is no colour" in told(app), "what is wrong with it")


async def test_settings_that_come_while_the_app_is_open_count(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.configured.ABSENT", 0.05)
    later = tmp_path / "later"
    app = studio(home, "grid", record.LIVE, configuration=Configuration(later))
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        later.mkdir()
        (later / "settings.toml").write_text('[keys]\ntraces = "f3"\n', "utf-8")
        await until(pilot, lambda: " f3 Traces" in shown(pilot), "the other key")


async def test_the_palette_has_every_theme_by_name(home: Home, folder: Path) -> None:
    (folder / "themes" / "dusk.toml").write_text('name = "dusk [b]"\n', "utf-8")
    app = studio(home, "grid", record.LIVE, configuration=settings(folder, ""))
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        await pilot.press("ctrl+p", *"theme")
        await until(pilot, lambda: "Theme multitrack-dark  (this one)" in shown(pilot), "the theme that it is")
        await until(pilot, lambda: "Theme dusk [b]" in shown(pilot), "the operator's own")
        await pilot.press("escape", "ctrl+p", *"theme", "space", *"light", "down", "enter")
        await until(pilot, lambda: app.theme == "multitrack-light", "the light theme")


async def test_the_palette_shows_brackets_as_the_keys_that_they_are(home: Home) -> None:
    app = studio(home, "grid", record.GATE)
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        await pilot.press("ctrl+p", *"earlier")
        await until(pilot, lambda: "Earlier  ([)" in shown(pilot), "the bracket")


async def test_t_shows_one_theme_after_the_other(home: Home) -> None:
    app = studio(home, "runs")
    async with app.run_test(size=(100, 30)) as pilot:
        await settled(pilot)
        seen = []
        for _ in range(4):
            await pilot.press("t")
            seen.append(app.theme)
            await settled(pilot)
        assert seen == ["multitrack-light", "multitrack-contrast", "multitrack-terminal", "multitrack-dark"]


async def test_on_a_slow_link_clocks_stand_still_and_nothing_glides(home: Home) -> None:
    now = record.NOW
    app = Studio(home, record.LIVE, "grid", clock=lambda: now, low_bandwidth=True, ascii_only=False)
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        assert app.tick_seconds == 1.0
        assert app.animation_level == "none"
        before = shown(pilot)
        now += SLOW_CLOCK - 1 - now % SLOW_CLOCK
        app._tick()
        await pilot.pause()
        assert shown(pilot) == before
        now += 2 * SLOW_CLOCK
        app._tick()
        await pilot.pause()
        assert shown(pilot) != before


async def test_the_bell_can_be_silenced(home: Home, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rung: list[int] = []
    monkeypatch.setattr("textual.app.App.bell", lambda app: rung.append(1))
    for text, times in (("[screen]\nbell = false\n", 0), ("", 1)):
        app = studio(home, "runs", configuration=settings(folder, text))
        app.bell()
        assert len(rung) == times


async def hop(pilot: Pilot[None], find: int) -> None:
    """Type the label of one of the targets."""
    app = pilot.app
    assert isinstance(app, Studio)
    await pilot.press("apostrophe")
    assert app._hop is not None
    await pilot.press(*app._hop._names[find])
    await pilot.pause()
    assert not app.screen.query(Labels)


@pytest.mark.parametrize("size", [(80, 24), (200, 50)])
async def test_a_label_selects_a_pane_a_tab_and_a_key(home: Home, size: tuple[int, int]) -> None:
    app = studio(home, "grid", record.LIVE)
    async with app.run_test(size=size) as pilot:
        await settled(pilot)
        wall = app.screen.query_one(Wall)
        for lane in wall.lanes:
            there = [target for target in targets(app.screen) if target.click]
            pane = {target.widget: index for index, target in enumerate(there)}
            if wall.listed:
                index = next(i for i, t in enumerate(there) if t.widget is wall._roster) + wall.lanes.index(lane)
            else:
                index = pane[wall._panes[lane]]
            await hop(pilot, index)
            assert wall.selected == lane
            assert wall.has_focus
        await hop(pilot, 2)
        await until(pilot, lambda: place(app) == "traces", "the traces")


async def test_a_label_in_a_tree_points_and_does_not_fold(home: Home) -> None:
    app = studio(home, "traces", record.LIVE)
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        tree = app.screen.query_one(TraceTree)
        rows = len(tree.outline.rows)
        wanted = next(i for i, t in enumerate(targets(app.screen)) if t.widget is tree and t.y - 0 == 4)
        await hop(pilot, wanted)
        assert tree.outline.row(tree.cursor) == 4 if tree.cursor else False
        assert len(tree.outline.rows) == rows


async def test_leaving_the_labels_leaves_everything_as_it_was(home: Home) -> None:
    app = studio(home, "runs")
    async with app.run_test(size=(100, 30)) as pilot:
        await settled(pilot)
        before, focused = shown(pilot), app.focused
        for keys in (["apostrophe", "escape"], ["apostrophe", "apostrophe"], ["apostrophe", "5"]):
            await pilot.press(*keys)
            await settled(pilot)
            assert shown(pilot) == before
            assert app.focused is focused
        assert isinstance(app.focused, RunList)
        await pilot.press("apostrophe")
        assert shown(pilot) != before
        await pilot.resize_terminal(90, 28)
        await until(pilot, lambda: not app.screen.query(Labels), "the labels to go")
