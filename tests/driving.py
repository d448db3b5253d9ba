"""The app driven in tests: waiting for what it shows, never for time."""

import time
from collections.abc import Callable
from typing import Any, cast

from textual.pilot import Pilot

from app.disk import Disk, Weight, weigh
from app.studio import Studio
from store.database import Store
from store.home import Home
from store.sizes import Size, sizes
from tests.record import NOW

PATIENCE = 30.0
"""Seconds until something that doesn't come is a failure; far above what it takes."""


def studio(home: Home, screen: str, run: str | None = None, **more: Any) -> Studio:
    """The app on a recorded home, its clock standing still."""
    given = {"weigh": weighed, "ascii_only": False, **more}
    return Studio(home, run, screen, clock=lambda: NOW, **given)


def weighed(store: Store, home: Home) -> Weight:
    """What is taken of a disk that is the same everywhere."""
    runs = {run: Size(1_200_000, 340_000) for run in sizes(store, home)}
    return Weight(runs, Disk(9_000_000, 70_000_000_000), weigh(store, home).recordings)


def wait(condition: Callable[[], object], what: str) -> None:
    """Wait until something in another thread is true."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.01)


async def until(pilot: Pilot[None], condition: Callable[[], object], what: str) -> None:
    """Let the app go on until something is true."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        await pilot.pause(0.02)


async def settled(pilot: Pilot[None]) -> None:
    """Wait until all that was recorded is on the screen."""
    app = cast("Studio", pilot.app)
    world = app.world
    await until(pilot, lambda: world.opened and all(track.read for track in world.tracks.values()), "the runs")
    await until(pilot, lambda: world.flowed or not world.tracks, "the lanes")
    seen: list[str] = []
    # A message may start a reader, whose message draws: the screen is settled when it stays as it is.
    while seen[-3:] != [seen[-1]] * 3 if seen else True:
        await until(pilot, lambda: not [worker for worker in app.workers if not worker.is_finished], "the readers")
        await pilot.pause()
        if app.place is not None:
            app.place.redraw()
        await pilot.pause()
        seen.append(shown(pilot))
        assert len(seen) < 200, "the screen does not settle"


def shown(pilot: Pilot[None]) -> str:
    """What is on the terminal, as text."""
    strips = pilot.app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)
