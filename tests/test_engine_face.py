"""A whole engine, killed as it writes `observations.md`."""

import time
from pathlib import Path

from store import observations
from store.database import open_store
from store.home import Home
from tests import runs
from tests.test_kill import fresh_seed


def test_an_engine_killed_as_it_writes_the_file_takes_nothing_back(tmp_path: Path) -> None:
    home = Home(tmp_path / "home").create()
    run = runs.order(home, gates_open=False, seed=fresh_seed())
    folder = home.folder(run)
    face = folder.observations

    def said() -> str:
        with open_store(home.store) as store:
            return observations.text(store, run) or ""

    with runs.engine(home, run):
        runs.until(lambda: runs.board(home, run).waiting, "the gate")
        runs.until(lambda: face.exists() and face.read_text() == said(), "the file")
    wrote: list[str] = []
    half = f".{face.name}.new-*"
    for number in range(3):
        with runs.engine(home, run) as process:
            known = runs.board(home, run).observations
            line = f"Saved as number {number}."
            new = folder.path / "mine"
            new.write_text(f"{face.read_text()}\n- {line}\n")
            new.replace(face)
            wrote.append(line)
            # The new text is beside the file, on its way into it: there the engine dies, or an instant later.
            mine, left = face.stat().st_ino, set(folder.path.glob(half))
            deadline = time.monotonic() + runs.DEADLINE
            while set(folder.path.glob(half)) <= left and face.stat().st_ino == mine:
                assert time.monotonic() < deadline, "waited in vain for the engine to write the file"
                time.sleep(0.0005)
            runs.kill(process)
            assert known < runs.board(home, run).observations, "what is written into the file is committed before"
        # Whoever opens the file now sees the whole of the old text or of the new one.
        assert line in face.read_text()
    with runs.engine(home, run):
        runs.until(lambda: face.read_text() == said(), "the file and the store say the same")
        runs.until(lambda: all(said().count(line) == 1 for line in wrote), "all that was saved, once")
        runs.until(lambda: not list(folder.path.glob(half)), "nothing half written")
