"""Draws the pictures of the screens: `python docs/pictures/draw.py [NAME …]` writes docs/pictures/NAME.svg; with
`--check` it says which are no longer what the app draws, and its exit code is 1.

All are of one recorded demo run, demo.tape, which `record.py` made: it is brought into a store of its own, and shown by
the app itself, live screens as they are after the run and played ones at their moment. The clock stands still, and
nothing of the terminal, the environment or the disk is looked at, so the same tape and the same screens give the same
pictures, to the byte.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from textual.pilot import Pilot  # noqa: E402 - run as a script, ours are found in the checkout
from textual.widgets import Input  # noqa: E402

from app.disk import Disk, Weight, weigh  # noqa: E402
from app.playback.feed import Start  # noqa: E402
from app.playback.where import where  # noqa: E402
from app.studio import Studio  # noqa: E402
from app.tapefiles import read_file  # noqa: E402
from docs.pictures.svg import svg  # noqa: E402
from store.database import Store, open_store  # noqa: E402
from store.events import read  # noqa: E402
from store.home import Home  # noqa: E402

FOLDER = Path(__file__).parent
TAPE = FOLDER / "demo.tape"
OTHERS = [path for form in ("*.jsonl", "*.traj.json") for path in sorted((ROOT / "tests/recorded/imports").glob(form))]
"""What other programs recorded: the list of runs has them, too."""
PATIENCE = 300.0
"""Seconds until a screen has to stand."""
AGAIN = "make pictures"
"""Draws them all, with what the project is developed with."""


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


async def settled(app: Studio, pilot: Pilot[None], looks: int = 5) -> None:
    """Wait until the screen is the same so many times."""
    await until(pilot, lambda: app.world.opened and all(t.read for t in app.world.tracks.values()), "the run")
    seen: list[list[str]] = []
    while len(seen) < looks or any(rows != seen[-1] for rows in seen[-looks:]):
        await until(pilot, lambda: not [w for w in app.workers if not w.is_finished], "the readers")
        await pilot.pause(0.03)
        if (place := app.place) is not None:
            # A search that is typed begins a moment later.
            await until(pilot, lambda: not place.holds("enter"), "what was searched for")
            place.redraw()
        await pilot.pause()
        seen.append([strip.text for strip in app.screen._compositor.render_strips()])


async def draw(home: Home, run: str, now: float, picture: Picture) -> str:
    """One screen, as SVG."""
    play = Start(run, 1.0, where(picture.moment), playing=False) if picture.moment else None
    app = Studio(
        home, run, picture.screen, clock=lambda: now, weigh=_weighed, ascii_only=False, low_bandwidth=False, play=play
    )
    async with app.run_test(size=picture.size) as pilot:
        app.theme = picture.theme
        await settled(app, pilot)
        for key in picture.keys:
            await pilot.press(key)
            await settled(app, pilot, 2)
        for box in app.screen.query(Input):
            box.cursor_blink = False
        await settled(app, pilot)
        return svg(app.screen._compositor.render_strips(), picture.title)


def _weighed(store: Store, home: Home) -> Weight:
    """As on a disk that has room."""
    return replace(weigh(store, home), disk=Disk(9_000_000, 70_000_000_000))


def _alone() -> None:
    """Let the environment that it is drawn in change nothing."""
    for name in [name for name in os.environ if name == "NO_COLOR" or name.startswith(("MULTITRACK_", "TEXTUAL"))]:
        del os.environ[name]
    os.environ["TZ"] = "UTC"
    time.tzset()


async def main(names: Sequence[str], *, check: bool = False) -> int:
    """The pictures of those names, or all. How many are not as they are drawn, when they are only looked at."""
    _alone()
    stale = 0
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder)).create()
        with open_store(home.store) as store:
            for path in OTHERS:
                read_file(home, store, path)
            _, (made,) = read_file(home, store, TAPE)
            now = max(event.at for event in read(store, run=made.run) if event.payload.kind != "run.imported") + 90
        for picture in PICTURES:
            if names and picture.name not in names:
                continue
            path, drawn = FOLDER / f"{picture.name}.svg", await draw(home, made.run, now, picture)
            shown = f"docs/pictures/{path.name}"
            if not check:
                path.write_text(drawn, "utf-8")
                print(f"{shown}: {path.stat().st_size:,} bytes")  # noqa: T201 - a script
            elif not path.exists() or path.read_text("utf-8") != drawn:
                stale += 1
                print(f"{shown} is no longer what the app draws: {AGAIN}, and look at it")  # noqa: T201
    return stale


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="a picture; all without one")
    parser.add_argument("--check", action="store_true", help="write nothing, and say which are no longer so")
    options = parser.parse_args()
    sys.exit(asyncio.run(main(options.names, check=options.check)) > 0)
