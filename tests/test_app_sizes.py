"""Every screen at any size, and whatever a terminal is resized to while it shows them."""

import random
from collections.abc import Iterator, Sequence

import pytest

from app.playback.feed import Start
from store.home import Home
from tests import record
from tests.driving import settled, studio

EDGES = ((1, 1), (300, 100), (2, 100), (300, 1), (3, 3), (80, 24), (20, 5))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with record.recorded(tmp_path_factory.mktemp("home")) as opened:
        yield opened


PLAYED = pytest.param(True, marks=pytest.mark.soak)


@pytest.mark.parametrize("played", [False, PLAYED], ids=["live", "playback"])
@pytest.mark.parametrize(
    ("screen", "run", "keys"),
    [
        ("runs", None, ((), ("apostrophe",), ("question_mark",))),
        ("grid", record.LIVE, ((), ("z",), ("z", "b"), ("b", "w"), ("slash",), ("escape", "g"), ("escape", "s"))),
        ("traces", record.LIVE, ((), ("f",), ("v",), ("slash",), ("escape", "d"))),
        ("observations", record.GATE, ((), ("n",), ("escape", "h"), ("escape", "e"))),
        ("convergence", record.SOLVED, ((), ("a",))),
        ("report", record.SOLVED, ((), ("ctrl+p",))),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_any_size(home: Home, screen: str, run: str | None, keys: Sequence[Sequence[str]], played: bool) -> None:
    rng = random.Random(f"{screen}{played}")
    play = Start(record.LIVE, playing=False) if played else None
    app = studio(home, screen, run, play=play)
    async with app.run_test(size=(1, 1) if played else (120, 40)) as pilot:
        await settled(pilot)
        for group in keys:
            await pilot.press(*group)
            for columns, rows in (*rng.sample(EDGES, 3), (rng.randint(1, 300), rng.randint(1, 100))):
                await pilot.resize_terminal(columns, rows)
                await pilot.pause()
                strips = app.screen._compositor.render_strips()
                assert len(strips) == rows
                assert {strip.cell_length for strip in strips} == {columns}
