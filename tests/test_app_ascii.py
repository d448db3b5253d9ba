"""ASCII alone, on every screen and in front of it; and no colours where none are wanted."""

from collections.abc import Iterator, Sequence

import pytest

from app.playback.feed import Start
from store.home import Home
from tests import record
from tests.driving import settled, shown, studio


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with record.recorded(tmp_path_factory.mktemp("home"), alive=(record.GATE,)) as opened:
        yield opened


LARGE = pytest.param((200, 50), marks=pytest.mark.soak)


@pytest.mark.parametrize("size", [(80, 24), LARGE], ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize(
    ("screen", "run", "keys"),
    [
        ("runs", None, ("apostrophe", "escape", "question_mark", "end", "escape", "ctrl+p", "k")),
        ("grid", record.LIVE, ("z", "escape", "b", "escape", "w", "w", "g", "escape", "slash", "escape", "space", "o")),
        ("grid", record.GATE, ("m", "escape", "s", "escape", "plus", "escape", "x", "escape", "left_square_bracket")),
        ("traces", record.LIVE, ("f", "v", "v", "e", "e", "d", "escape", "slash", "a", "enter")),
        ("observations", record.GATE, ("pagedown",)),
        ("convergence", record.SOLVED, ("a", "a")),
        ("report", record.SOLVED, ("end",)),
        ("playback", record.LIVE, ("m", "full_stop", "T", "3", "f")),
    ],
    ids=["runs", "grid", "orders", "traces", "observations", "convergence", "report", "playback"],
)
async def test_ascii_alone(
    home: Home, screen: str, run: str | None, keys: Sequence[str], size: tuple[int, int]
) -> None:
    play = Start(record.LIVE, playing=False) if screen == "playback" else None
    app = studio(home, "grid" if play else screen, run, ascii_only=True, play=play)
    async with app.run_test(size=size, notifications=True) as pilot:
        await settled(pilot)
        app.say("Something – is “told” … ✔")
        for key in ("", *keys):
            if key:
                await pilot.press(key)
            await settled(pilot)
            drawn = shown(pilot)
            assert drawn.isascii(), (key, sorted({one for one in drawn if not one.isascii()}), drawn)


@pytest.mark.parametrize("wish", ["1", ""])
async def test_no_color(home: Home, monkeypatch: pytest.MonkeyPatch, wish: str) -> None:
    monkeypatch.setenv("NO_COLOR", wish)
    app = studio(home, "grid", record.LIVE)
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        coloured = {
            style.color.name
            for strip in app.screen._compositor.render_strips()
            for segment in strip
            if (style := segment.style) and style.color and len({*style.color.get_truecolor()}) > 1
        }
        assert bool(coloured) == (not wish)
