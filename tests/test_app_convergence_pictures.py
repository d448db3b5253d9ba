"""Pictures of how runs converge: one run at three sizes, and all of them together."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from textual.pilot import Pilot

from store.home import Home
from tests import record
from tests.driving import settled, studio

Compare = Callable[..., bool]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with record.recorded(tmp_path) as opened:
        yield opened


@pytest.mark.parametrize(
    ("keys", "size"),
    [((), (80, 24)), ((), (120, 40)), ((), (200, 50)), (("a", "a"), (200, 50))],
    ids=["80x24", "120x40", "200x50", "all_200x50"],
)
def test_convergence(snap_compare: Compare, home: Home, keys: Sequence[str], size: tuple[int, int]) -> None:
    async def press(pilot: Pilot[None]) -> None:
        await settled(pilot)
        for key in keys:
            await pilot.press(key)
            await settled(pilot)

    app = studio(home, "convergence", record.SOLVED)
    assert snap_compare(app, run_before=press, terminal_size=size)
