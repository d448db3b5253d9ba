"""What it costs to go to another place in a long playback: the state there as the screens get it, beside folding the
run from its first event on. CPU of the process, for the machine may be busy.

    python -m bench.playback [--nodes 40000] [--generations 4] [--lanes 25] [--seeks 60]
"""

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from app import feeds
from app.playback.feed import PlaybackFeed, Start
from bench.bigrun import RUN, make
from store import events
from store.connecting import connect
from store.database import open_store
from store.domain.board import Board
from store.domain.codec import encode_payload
from store.domain.events import SCHEMA, RunCreated
from store.domain.task import Check, Task
from store.jsontext import dumps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=40_000, help="five events for every two of them")
    parser.add_argument("--generations", type=int, default=4)
    parser.add_argument("--lanes", type=int, default=25)
    parser.add_argument("--seeks", type=int, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store.sqlite3"
        make(path, options.nodes, options.generations, options.lanes)
        _order(path)
        _measure(path, options.seeks)


def _order(path: Path) -> None:
    """A board is folded from the order of its run on."""
    task = Task(goal="Make the check pass.", repository="/tmp", check=Check("true"))
    kind, data = encode_payload(RunCreated(task, "a long run", "0" * 40, 1))
    with closing(connect(path)) as driver:
        driver.execute("BEGIN")
        # Every event one further: the order comes first.
        driver.execute("UPDATE events SET seq = -seq")
        driver.execute("UPDATE events SET seq = 1 - seq")
        driver.execute(
            "INSERT INTO events (seq, at, run, kind, version, data) VALUES (1, 0, ?, ?, ?, ?)",
            (RUN, kind, SCHEMA, dumps(data)),
        )
        driver.execute("COMMIT")


def _measure(path: Path, seeks: int) -> None:
    with open_store(path) as store:
        happened = events.read(store, run=RUN)

        def fold() -> None:
            board = Board(RUN)
            for event in happened:
                board.apply(event)

        posted: list[float] = []

        def post(message: Any) -> None:
            posted.append(time.process_time())
            if isinstance(message, feeds.Rewound):
                message.taken.set()

        feed = PlaybackFeed(lambda: store, Start(RUN, playing=False), post)
        opened = _took(feed.load)
        plain = median(_took(fold) for _ in range(3))
        chance = random.Random(7)
        first, whole = [], []
        for _ in range(seeks):
            count = chance.randrange(len(happened))
            feed.order(lambda deck, now, to=count: deck.go(to, now))  # type: ignore[misc]
            posted.clear()
            began = time.process_time()
            feed.tell()
            first.append(posted[0] - began)
            whole.append(time.process_time() - began)
        back = []
        for _ in range(seeks):
            feed.order(lambda deck, now: deck.step(-1, now))
            back.append(_took(feed.tell))
        feed.close()
    print(f"{len(happened):,} events; milliseconds of CPU")
    print(f"open                      {opened * 1e3:8.0f}")
    print(f"fold all of them          {plain * 1e3:8.0f}")
    for name, took in (("anywhere, the state", first), ("anywhere, with its words", whole), ("one event back", back)):
        told = [1e3 * seconds for seconds in took]
        print(f"{name:<26}{median(told):8.0f}   p90 {quantiles(told, n=10)[-1]:.0f}, most {max(told):.0f}")


def _took(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


if __name__ == "__main__":
    main()
