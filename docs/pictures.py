"""Makes the pictures of the screens in the documentation, from a real demo run.

`python docs/pictures.py` runs a demo in a home of its own and writes docs/NAME.svg: the grid while a generation works,
the other screens when the run is over. The run's names are its own, so a second run makes other pictures.
"""

import asyncio
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from app.demo import demo_task
from app.engines import create_run, start
from app.studio import Studio
from store.database import open_store
from store.domain.board import Board
from store.events import read
from store.home import Home

FOLDER = Path(__file__).parent
SIZE = (150, 42)
PACE = 40.0
"""Words a second: slow enough that a picture catches subagents at work."""


def board(home: Home, run: str) -> Board:
    """The run as it stands."""
    made = Board(run)
    with open_store(home.store) as store:
        for event in read(store, run=run):
            made.apply(event)
    return made


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that takes as long as a demo."""
    async with asyncio.timeout(600):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in another process
            await asyncio.sleep(0.1)


async def picture(home: Home, run: str, screen: str, name: str, *keys: str) -> None:
    """One screen of the run, after some keys, as docs/NAME.svg."""
    app = Studio(home, run, screen)
    async with app.run_test(size=SIZE) as pilot:
        # The record is read on a thread; what is shown settles within a second.
        await asyncio.sleep(1.5)
        for key in keys:
            await pilot.press(key)
            await asyncio.sleep(0.3)
        await pilot.pause()
        svg = app.export_screenshot(title="multitrack")
    (FOLDER / f"{name}.svg").write_text(svg, "utf-8")


async def main() -> None:
    """A demo run, seen on every screen."""
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home").create()
        task = demo_task(home, "one")
        run = create_run(home, task, title="Practice bug one", seed=1, scripted="one", gates_open=True, pace=PACE)
        start(home, run, os.environ)
        await until(lambda: 2 in (found := board(home, run)).generations and found.generations[2].lanes[5].turn >= 4)
        await picture(home, run, "grid", "grid")
        await until(lambda: board(home, run).finished is not None)
        await picture(home, run, "observations", "observations")
        await picture(home, run, "report", "report")
        await picture(home, run, "traces", "traces", "j", "l", "j", "l", "j", "l")
        await until(lambda: board(home, run).engine is None)


if __name__ == "__main__":
    asyncio.run(main())
