"""Bare recordings on the screens, and runs that are deleted while the app is open: neither has an event of its own."""

from functools import partial
from pathlib import Path

from app.world import World
from store import runs
from store.database import open_store
from store.domain.board import Board
from store.home import Home
from store.lock import RunLock
from store.retention import delete_runs
from tests.driving import shown, studio, until
from tests.record import BROKEN, SOLVED, recorded


def test_a_run_without_events_is_a_recording() -> None:
    world = World()
    track = world.know("aaaaa", "Recording", 1.0)
    assert (track.mark.word, track.recording) == ("opening", False)
    world.take(Board("aaaaa"))
    assert (track.mark.word, track.recording, track.interrupted) == ("recorded", True, False)
    track.alive = True
    assert track.mark.word == "recording"
    world.know("bbbbb", "x", 2.0)
    world.forget(but=["bbbbb"])
    assert set(world.tracks) == {"bbbbb"}


async def test_recordings_come_and_deleted_runs_go(tmp_path: Path) -> None:
    with recorded(tmp_path, alive=()) as home, open_store(home.store) as store:
        async with studio(home, "runs").run_test(size=(120, 40)) as pilot:
            await until(pilot, lambda: SOLVED in shown(pilot) and BROKEN in shown(pilot), "the list")
            store.write(partial(runs.create, run="r2c2d", title="Recording of today", at=9_999_999_999.0))
            await until(pilot, lambda: "r2c2d" in shown(pilot) and "recorded" in shown(pilot), "the recording")
            with RunLock(home.folder("r2c2d").lock) as lock:
                assert lock.acquire()
                await until(pilot, lambda: "▶ recording" in shown(pilot), "the recorder at work")
            await pilot.press("home")
            await until(pilot, lambda: "multitrack calls r2c2d" in shown(pilot), "what a recording is")
            delete_runs(store, Home(home.root, home.store), ["r2c2d", BROKEN], at=1.0, pause=lambda seconds: None)
            await until(pilot, lambda: "r2c2d" not in shown(pilot) and BROKEN not in shown(pilot), "the deleted to go")
            assert SOLVED in shown(pilot)
