import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store import events, feed
from store.database import Store, open_store
from store.domain.events import Event, TurnStarted
from store.errors import StoreError
from store.feed import Feed, LiveFeed


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "store.sqlite3") as store:
        yield store


def append(store: Store, run: str, *turns: int) -> list[int]:
    return store.write(lambda c: events.append(c, run, [TurnStarted(turn) for turn in turns], at=1.0))


def test_each_event_comes_once_as_it_is_committed(store: Store) -> None:
    live: Feed = LiveFeed(store)
    assert live.poll() == [] and live.position == 0
    append(store, "a", 1, 2)
    assert [event.seq for event in live.poll()] == [1, 2]
    assert live.poll() == [] and live.position == 2
    append(store, "b", 3)
    assert live.poll() == [Event(3, 1.0, "b", None, None, TurnStarted(3))]


def test_a_feed_of_one_run_from_one_place(store: Store) -> None:
    append(store, "a", 1)
    append(store, "b", 2)
    append(store, "a", 3)
    live = LiveFeed(store, after=1, run="a")
    assert live.position == 1
    assert [event.seq for event in live.poll()] == [3]
    append(store, "b", 4)
    assert live.poll() == [] and live.position == 3


def test_looking_in_vain_does_not_read_the_log(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    append(store, "a", 1)
    live = LiveFeed(store)
    assert len(live.poll()) == 1
    monkeypatch.setattr(events, "read", lambda *_, **__: pytest.fail("read the log"))
    for _ in range(100):
        assert live.poll() == []
    monkeypatch.undo()
    append(store, "a", 2)
    assert len(live.poll()) == 1


def test_catching_up_comes_in_pieces(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "BATCH", 4)
    append(store, "a", *range(10))
    live = LiveFeed(store)
    assert [len(live.poll()) for _ in range(4)] == [4, 4, 2, 0]


def test_waiting_ends_with_the_first_event_with_the_time_or_with_the_feed(store: Store) -> None:
    live = LiveFeed(store)
    assert live.wait(0.0) == [] and live.wait(0.01) == []
    got: list[list[Event]] = []
    thread = threading.Thread(target=lambda: got.append(live.wait(60)))
    thread.start()
    append(store, "a", 1)
    thread.join()
    assert [event.seq for event in got.pop()] == [1]
    thread = threading.Thread(target=lambda: got.append(live.wait(60)))
    thread.start()
    live.close()
    thread.join()
    assert got == [[]]
    append(store, "a", 2)
    assert live.poll() == [] and live.wait(60) == []


WRITE = """
import sys
from pathlib import Path
from store import events
from store.database import open_store
from store.domain.events import TurnStarted
store = open_store(Path(sys.argv[1]))
for turn in range(int(sys.argv[2])):
    store.write(lambda c: events.append(c, "p", [TurnStarted(turn)] * (turn % 3 + 1), at=1.0))
store.close()
"""


def test_events_of_another_process_come_too(store: Store) -> None:
    live = LiveFeed(store)
    with subprocess.Popen([sys.executable, "-c", WRITE, str(store.path), "40"]) as child:
        found: list[Event] = []
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and len(found) < 79:
            found += live.wait(1.0)
            append(store, "own", 1)
        assert child.wait() == 0
    found += live.poll()
    assert [event.seq for event in found] == [event.seq for event in events.read(store)]
    assert len([event for event in found if event.run == "p"]) == 79


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    batches=st.lists(st.lists(st.integers(0, 4), max_size=15), min_size=1, max_size=4),
    watched=st.sampled_from([None, "r0", "r1"]),
)
def test_no_event_is_missed_or_doubled_whoever_writes(
    store: Store, batches: list[list[int]], watched: str | None
) -> None:
    start = events.read(store)[-1].seq if events.read(store) else 0
    live = LiveFeed(store, after=start, run=watched)
    others = open_store(store.path)
    writing = [
        threading.Thread(
            target=lambda number=number, sizes=sizes: [
                append((store, others)[number % 2], f"r{number}", *range(size)) for size in sizes
            ]
        )
        for number, sizes in enumerate(batches)
    ]
    found: list[Event] = []
    done = threading.Event()

    def follow() -> None:
        while not done.is_set():
            found.extend(live.poll())

    following = threading.Thread(target=follow)
    following.start()
    for thread in writing:
        thread.start()
    for thread in writing:
        thread.join()
    done.set()
    following.join()
    found.extend(live.poll())
    others.close()
    assert found == events.read(store, after=start, run=watched)
    assert len({event.seq for event in found}) == len(found)


def test_a_store_that_is_gone_is_explained(store: Store) -> None:
    live = LiveFeed(store)
    store.path.unlink()
    with pytest.raises(StoreError, match="cannot be opened"):
        live.poll()
