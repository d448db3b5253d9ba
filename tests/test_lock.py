import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from store.errors import StoreError
from store.lock import Holder, RunLock, holder

HOLD = """
import sys
from pathlib import Path
from store.lock import RunLock
print(RunLock(Path(sys.argv[1])).acquire(), flush=True)
sys.stdin.read()
"""


def hold(path: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_one_process_at_a_time_and_the_lock_dies_with_it(tmp_path: Path) -> None:
    path = tmp_path / "engine.lock"
    assert holder(path) is None
    with hold(path) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        held = holder(path)
        assert held is not None and held.pid == other.pid and held.host
        lock = RunLock(path)
        assert not lock.acquire()
        other.kill()
        other.wait()
        assert holder(path) is None  # whatever name is still in the file
        assert lock.acquire() and lock.acquire()
        assert holder(path) == Holder(os.getpid(), held.host)
        lock.release()
        lock.release()
        assert holder(path) is None


def test_two_locks_of_one_process_exclude_each_other(tmp_path: Path) -> None:
    with RunLock(tmp_path / "lock") as one:
        assert one.acquire()
        assert not RunLock(tmp_path / "lock").acquire()
    assert RunLock(tmp_path / "lock").acquire()


def test_a_program_that_the_holder_started_does_not_keep_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock = RunLock(path)
    assert lock.acquire()
    with subprocess.Popen(["sleep", "60"], close_fds=False) as child:
        try:
            lock.release()
            assert holder(path) is None
            assert RunLock(path).acquire()
        finally:
            child.kill()


def test_looking_whether_it_is_held_does_not_get_in_the_way_of_taking_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch()
    stop = threading.Event()
    lookers = [threading.Thread(target=lambda: [holder(path) for _ in iter(stop.is_set, True)]) for _ in range(2)]
    for looker in lookers:
        looker.start()
    try:
        for _ in range(50):
            with RunLock(path) as lock:
                assert lock.acquire()
    finally:
        stop.set()
        for looker in lookers:
            looker.join()


def test_a_holder_that_has_not_written_its_name_is_still_a_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with RunLock(path) as lock:
        assert lock.acquire()
        path.write_text("not JSON")
        assert holder(path) == Holder(0, "")


def test_a_lock_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be opened"):
        RunLock(tmp_path / "file" / "lock").acquire()


def test_a_stopped_holder_still_holds(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with hold(path) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        other.send_signal(signal.SIGSTOP)
        try:
            assert not RunLock(path).acquire()
        finally:
            other.kill()
