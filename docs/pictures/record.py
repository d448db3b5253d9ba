"""Records the demo run that the pictures are of: `python docs/pictures/record.py` writes docs/pictures/demo.tape.

A demo at a pace at which a reader can follow, which stands at its gates for a moment, as one that is watched does. It
works in /tmp/multitrack-demo, so that what the tape says of places names nobody's machine.
"""

import os
import shutil
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from app.demo import demo_task  # noqa: E402 - run as a script, ours are found in the checkout
from app.engines import create_run, start  # noqa: E402
from app.tapefiles import write_tape  # noqa: E402
from store import commands  # noqa: E402
from store.database import Store, open_store  # noqa: E402
from store.domain.board import Board  # noqa: E402
from store.domain.commands import Launch  # noqa: E402
from store.domain.states import RunState  # noqa: E402
from store.events import read  # noqa: E402
from store.home import Home  # noqa: E402

TAPE = Path(__file__).parent / "demo.tape"
HOME = Path("/tmp/multitrack-demo")  # noqa: S108 - made anew, and named on purpose
PACE = 60.0
"""Words a second: as on a screen."""
LOOK = 3.0
"""Seconds at a gate."""
PATIENCE = 1200.0
"""Seconds that a demo may take."""


def board(store: Store, run: str) -> Board:
    """The run as it stands."""
    made = Board(run)
    for event in read(store, run=run):
        made.apply(event)
    return made


def supervise(store: Store, run: str) -> None:
    """Launch each generation a moment after the one before it, until the engine has left."""
    end = time.monotonic() + PATIENCE
    while (now := board(store, run)).finished is None or now.engine is not None:
        if time.monotonic() > end:
            raise SystemExit("the demo takes too long")
        if now.state is RunState.GATE:
            time.sleep(LOOK)
            commands.issue(store, run, Launch(), at=time.time())
            while board(store, run).state is RunState.GATE:
                time.sleep(0.2)
        time.sleep(0.2)


def main() -> None:
    """Run the demo, and export it."""
    shutil.rmtree(HOME, ignore_errors=True)
    home = Home(HOME).create()
    run = create_run(home, demo_task(home, "one"), title="Practice bug one", seed=1, scripted="one", pace=PACE)
    start(home, run, os.environ)
    with open_store(home.store) as store:
        supervise(store, run)
        with TAPE.open("wb") as stream:
            write_tape(home, store, run, stream)
    shutil.rmtree(HOME)
    print(f"{TAPE.relative_to(ROOT)}: run {run}, {TAPE.stat().st_size:,} bytes")  # noqa: T201 - a script


if __name__ == "__main__":
    main()
