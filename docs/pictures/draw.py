"""Draws the pictures of the screens: `python docs/pictures/draw.py [NAME …]` writes docs/pictures/NAME.svg.

All are of one recorded demo run, demo.tape, which `record.py` made: it is brought into a store of its own, and shown by
the app itself, live screens as they are after the run and played ones at their moment. The clock stands still, so the
same tape and the same screens give the same pictures.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from textual.pilot import Pilot  # noqa: E402 - run as a script, ours are found in the checkout
from textual.widgets import Input  # noqa: E402

from app.playback.feed import Start  # noqa: E402
from app.playback.where import where  # noqa: E402
from app.studio import Studio  # noqa: E402
from app.tapefiles import read_file  # noqa: E402
from docs.pictures.svg import svg  # noqa: E402
from store.database import open_store  # noqa: E402
from store.events import read  # noqa: E402
from store.home import Home  # noqa: E402

FOLDER = Path(__file__).parent
TAPE = FOLDER / "demo.tape"
OTHERS = [path for form in ("*.jsonl", "*.traj.json") for path in sorted((ROOT / "tests/recorded/imports").glob(form))]
"""What other programs recorded: the list of runs has them, too."""
PATIENCE = 300.0
"""Seconds until a screen has to stand."""


@dataclass(frozen=True)
class Picture:
    """A screen, the moment at which it is played ("" when it is not), what is pressed then, and what is to be seen."""

    name: str
    title: str
    screen: str
    moment: str = ""
    keys: Sequence[str] = ()
    size: tuple[int, int] = (120, 36)
    theme: str = "multitrack-dark"


PICTURES = (
    Picture("grid", "The grid: five subagents at work", "grid", "52%", (), (140, 40)),
    Picture("runs", "Every run, and where it stands", "runs", "", (), (120, 30)),
    Picture("traces", "A trace, down to one call", "traces", "", (*"jjljjl", *"jjjjljjj")),
    Picture("search", "Search as you type, each place in its context", "traces", "", ("slash", *"gen:3 timeout")),
    Picture("compare", "Two tapes side by side, from where they part", "traces", "", (*"jjljd",)),
    Picture("observations", "The observations, and what the next generation is told", "observations", "gate"),
    Picture("convergence", "Convergence: observations, solved, and what it cost", "convergence"),
    Picture("report", "The report: what was learned, and how it converged", "report"),
    Picture("playback", "Playback: the same screens at another time, here in the light theme", "traces", "solved",
            (*"fkljjj",), (120, 36), "multitrack-light"),
)  # fmt: skip


async def until(pilot: Pilot[None], condition: Callable[[], object], what: str) -> None:
    """Let the app go on until something is true."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"waited in vain for {what}")
        await pilot.pause(0.05)


async def settled(app: Studio, pilot: Pilot[None]) -> list[str]:
    """Wait until the screen stays as it is; its rows."""
    await until(pilot, lambda: app.world.opened and all(t.read for t in app.world.tracks.values()), "the run")
    seen: list[list[str]] = []
    while len(seen) < 5 or any(rows != seen[-1] for rows in seen[-5:]):
        await until(pilot, lambda: not [w for w in app.workers if not w.is_finished], "the readers")
        await pilot.pause(0.1)
        if app.place is not None:
            app.place.redraw()
        await pilot.pause()
        seen.append([strip.text for strip in app.screen._compositor.render_strips()])
    return seen[-1]


async def draw(home: Home, run: str, now: float, picture: Picture) -> str:
    """One screen, as SVG."""
    play = Start(run, 1.0, where(picture.moment), playing=False) if picture.moment else None
    app = Studio(home, run, picture.screen, clock=lambda: now, ascii_only=False, play=play)
    async with app.run_test(size=picture.size) as pilot:
        app.theme = picture.theme
        await settled(app, pilot)
        for key in picture.keys:
            await pilot.press(key)
            await settled(app, pilot)
        for box in app.screen.query(Input):
            box.cursor_blink = False
        await settled(app, pilot)
        return svg(app.screen._compositor.render_strips(), picture.title)


async def main(names: Sequence[str]) -> None:
    """The pictures of those names, or all."""
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder)).create()
        with open_store(home.store) as store:
            for path in OTHERS:
                read_file(home, store, path)
            _, (made,) = read_file(home, store, TAPE)
            now = max(event.at for event in read(store, run=made.run) if event.payload.kind != "run.imported") + 90
        for picture in PICTURES:
            if not names or picture.name in names:
                path = FOLDER / f"{picture.name}.svg"
                path.write_text(await draw(home, made.run, now, picture), "utf-8")
                print(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")  # noqa: T201 - a script


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
