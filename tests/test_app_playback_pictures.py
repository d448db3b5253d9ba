"""Pictures of a playback, from a recorded run at a place that stands still."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot

from app.playback.feed import Start
from app.playback.where import where
from store.home import Home
from tests import record
from tests.driving import settled, studio

Compare = Callable[..., bool]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with record.recorded(tmp_path) as opened:
        yield opened


@pytest.mark.parametrize(
    ("screen", "size"),
    [("grid", (80, 24)), ("grid", (120, 40)), ("traces", (200, 50))],
    ids=["grid_80x24", "grid_120x40", "traces_200x50"],
)
def test_playback(snap_compare: Compare, home: Home, screen: str, size: tuple[int, int]) -> None:
    async def stand(pilot: Pilot[None]) -> None:
        await settled(pilot)

    app = studio(home, screen, record.LIVE, play=Start(record.LIVE, 4.0, where("alert"), playing=False))
    assert snap_compare(app, run_before=stand, terminal_size=size)
