"""Pictures of every screen at three sizes, from recorded runs and a clock that stands still."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from textual.pilot import Pilot

from store.home import Home
from tests import record
from tests.driving import settled, studio

SIZES = [(80, 24), (120, 40), (200, 50)]
Compare = Callable[..., bool]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with record.recorded(tmp_path) as opened:
        yield opened


def pressed(*keys: Sequence[str]) -> Callable[[Pilot[None]], object]:
    """Wait, press, wait: keys in groups, each on what the group before it brought."""

    async def run(pilot: Pilot[None]) -> None:
        await settled(pilot)
        for group in keys:
            await pilot.press(*group)
            await settled(pilot)

    return run


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize(
    ("screen", "run", "keys"),
    [
        ("runs", None, ()),
        ("grid", record.LIVE, ()),
        ("grid", record.GATE, ()),
        ("traces", record.LIVE, (["f"], ["down", "down", "down"])),
        ("observations", record.GATE, ()),
        ("report", record.SOLVED, ()),
    ],
    ids=["runs", "grid_live", "grid_gate", "traces", "observations", "report"],
)
def test_screens(
    snap_compare: Compare,
    home: Home,
    screen: str,
    run: str | None,
    keys: Sequence[Sequence[str]],
    size: tuple[int, int],
) -> None:
    assert snap_compare(studio(home, screen, run), run_before=pressed(*keys), terminal_size=size)


@pytest.mark.parametrize(
    ("screen", "run", "keys"),
    [
        ("runs", None, (["down", "down", "down"],)),
        ("grid", record.BROKEN, ()),
        ("grid", record.LIVE, (["t"],)),
        ("grid", record.LIVE, (["x"],)),
        ("traces", record.LIVE, (["e"],)),
        ("report", record.LIVE, ()),
        ("grid", record.LIVE, (["question_mark"],)),
    ],
    ids=["runs_failed", "grid_failed", "grid_light", "kill", "errors", "report_live", "help"],
)
def test_states(snap_compare: Compare, home: Home, screen: str, run: str | None, keys: Sequence[Sequence[str]]) -> None:
    assert snap_compare(studio(home, screen, run), run_before=pressed(*keys), terminal_size=(120, 40))


def test_interrupted(snap_compare: Compare, tmp_path: Path) -> None:
    with record.recorded(tmp_path, alive=()) as home:
        assert snap_compare(studio(home, "grid", record.LIVE), run_before=pressed(), terminal_size=(120, 40))


def test_empty(snap_compare: Compare, tmp_path: Path) -> None:
    app = studio(Home(tmp_path / "none"), "runs")
    assert snap_compare(app, run_before=pressed(), terminal_size=(80, 24))


def test_ascii(snap_compare: Compare, home: Home) -> None:
    app = studio(home, "grid", record.LIVE, ascii_only=True)
    assert snap_compare(app, run_before=pressed(), terminal_size=(80, 24))
