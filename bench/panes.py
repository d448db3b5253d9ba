"""What live panes cost: 25 of them with 20 lines a second each, repainted 10 times a second, beside the same wall made
of Textual's RichLog; 100 of them beside 25; how long a key takes until it is painted, while 25 stream and while none
does; and what an app uses that has nothing to do.

Each app runs in a terminal of its own (a pseudo-terminal of 200 × 50 that is read at once), all take their turns in
each round, and CPU is that of the app's process alone. The walls stand under our style sheet with nothing else around
them, and a wall that can't keep the pace gets its next lines when it has painted those before: its cost is that of
a repaint, however long that takes. The keys are pressed in `multitrack` itself, which reads a store that this program
writes.

    python -m bench.panes [--rounds N] [--seconds N] [--json]
"""

import argparse
import fcntl
import json
import os
import pty
import re
import select
import signal
import statistics
import struct
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.measuring import cpu_seconds

SCREEN = struct.pack("HHHH", 50, 200, 0, 0)
TICK, LINES = 0.1, 2
"""Seconds between two repaints, and lines that each pane gets in one: 20 lines a second."""
HUNG = 60.0
KEYS = 60
"""Keys pressed in each round."""
_ESCAPES = re.compile(rb"\x1b\[[0-9;:?<>=]*[a-zA-Z~]|\x1b[()][A-Z0-9]|\x1b[=>]")
WORDS = ["so", "I", "look", "where", "the", "count", "is", "read", "and", "written", "while", "another", "task", "runs"]


def line(number: int, pane: int) -> str:
    """A line as a model or a tool says it; no two alike, of all lengths."""
    begin = (number * 7 + pane * 3) % len(WORDS)
    return f"{pane}.{number}: " + " ".join((WORDS[begin:] + WORDS + WORDS)[: 6 + number % 13])


@contextmanager
def in_a_terminal(*command: str, environ: dict[str, str] | None = None) -> Iterator["Terminal"]:
    """Start a command in a terminal of its own; it is killed in the end."""
    process, terminal = pty.fork()
    if process == 0:
        os.environ.update({"TERM": "xterm-256color", "COLORTERM": "truecolor", **(environ or {})})
        os.execv(command[0], list(command))
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, SCREEN)
    reader = Terminal(process, terminal)
    try:
        yield reader
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        os.close(terminal)


class Terminal:
    """Reads what an app writes, as a terminal does: always at once."""

    def __init__(self, process: int, terminal: int) -> None:
        self.process, self._terminal = process, terminal
        self.bytes = 0
        self._said = b""

    def read(self, seconds: float) -> None:
        """Read for so long."""
        end = time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            self._take(left)

    def until(self, what: bytes) -> None:
        """Read until something stands in what was written since the last `forget`. TimeoutError."""
        end = time.perf_counter() + HUNG
        while what not in _ESCAPES.sub(b"", self._said):
            if time.perf_counter() > end:
                raise TimeoutError(f"waited in vain for {what!r}")
            self._take(0.5)

    def forget(self) -> None:
        """What was written so far is of no interest."""
        self._said = b""

    def press(self, key: bytes) -> None:
        """Press a key."""
        os.write(self._terminal, key)

    def _take(self, seconds: float) -> None:
        ready, _, _ = select.select([self._terminal], [], [], seconds)
        if ready:
            piece = os.read(self._terminal, 1 << 16)
            self.bytes += len(piece)
            self._said = (self._said + piece)[-(1 << 18) :]


@dataclass(frozen=True)
class Cost:
    """CPU milliseconds and KiB to the terminal, each for one repaint."""

    cpu_ms: float
    kib: float


def wall_cost(kind: str, panes: int, repaints: int) -> Cost:
    """A wall that streams."""
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "told"
        with in_a_terminal(sys.executable, "-m", "bench.walls", kind, str(panes), str(repaints), str(told)) as terminal:
            end = time.perf_counter() + HUNG + repaints
            while not told.exists():
                if time.perf_counter() > end:
                    raise TimeoutError(f"a wall of {kind} does not come to its end")
                terminal.read(0.2)
        found = json.loads(told.read_text("utf-8"))
    return Cost(1000 * found["cpu"] / repaints, found["bytes"] / 1024 / repaints)


def make_home(root: Path, lanes: int) -> None:
    """A home with one run, all of whose lanes are at work."""
    from store import events, runs
    from store.database import open_store
    from store.domain.events import BaselineChecked, EngineStarted, GenerationDesigned, RunCreated, SubagentLaunched
    from store.domain.limits import Limits
    from store.domain.strategy import LanePlan, Strategy
    from store.domain.task import Check, Task
    from store.home import Home

    home = Home(root).create()
    limits = Limits(turns=24, usd=2.0)
    plans = tuple(LanePlan(lane, Strategy(f"strategy-{lane}", "Work."), clean=False) for lane in range(1, lanes + 1))
    with open_store(home.store) as store:

        def write(connection) -> None:  # type: ignore[no-untyped-def]  # SQLAlchemy's, imported here alone
            at = time.time()
            runs.create(connection, RUN, "bench", at=at)
            task = Task(goal="g", repository="r", check=Check("true"), limits=limits)
            created = RunCreated(task, "bench", "0" * 40, 1, scripted="one")
            started = EngineStarted(os.getpid(), "0", "http://127.0.0.1:1")
            events.append(connection, RUN, [created, started, BaselineChecked(())], at=at)
            events.append(connection, RUN, [GenerationDesigned(plans)], at=at, generation=1)
            for plan in plans:
                launched = SubagentLaunched("s", "m")
                events.append(connection, RUN, [launched], at=at, generation=1, lane=plan.lane)

        store.write(write)
    home.folder(RUN).create()


RUN = "bench"


class Talking:
    """Writes the live tail of every lane, as the engine does, from a thread of its own."""

    def __init__(self, root: Path, lanes: int) -> None:
        from store.home import Home
        from store.tail import TailWriter, tail_path

        self._tail = TailWriter(tail_path(Home(root).store))
        self._lanes = lanes
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._talk)

    def __enter__(self) -> "Talking":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _talk(self) -> None:
        from store.domain.ids import SubagentId

        number = 0
        while not self._stop.wait(TICK):
            number += LINES
            for lane in range(1, self._lanes + 1):
                text = "".join(line(number + part, lane) + "\n" for part in range(LINES))
                self._tail.put(SubagentId(RUN, 1, lane), f"c{lane}", "text", text)
            self._tail.flush()


@dataclass(frozen=True)
class Keys:
    """How long keys took until what they did was painted, and the app's CPU as a share of one processor."""

    median_ms: float
    p99_ms: float
    cpu: float


def keys_cost(root: Path, panes: int, seconds: float, *, talking: bool) -> Keys:
    """`multitrack` on a run, its selection moved from pane to pane."""
    from store.home import Home
    from store.lock import RunLock

    lock = RunLock(Home(root).folder(RUN).lock)
    if not lock.acquire():
        raise RuntimeError("another process holds the run")
    taken: list[float] = []
    try:
        # It begins anew each time, not where it was left.
        environ = {"MULTITRACK_HOME": str(root), "MULTITRACK_ASCII": "0", "MULTITRACK_STATE": f"{os.devnull}/none"}
        with in_a_terminal(sys.executable, "-m", "app", environ=environ) as terminal:
            terminal.until(b"bench")
            terminal.press(b"2")
            terminal.until("┏━ 1.1 ".encode())
            with Talking(root, panes) if talking else _silence():
                terminal.read(3)
                used = cpu_seconds(terminal.process)
                terminal.read(seconds)
                used = cpu_seconds(terminal.process) - used
                for number in range(1, KEYS + 1):
                    # Not in step with the app's clock.
                    terminal.read(0.05 + number % 7 * 0.013)
                    terminal.forget()
                    begin = time.perf_counter()
                    terminal.press(b"\t")
                    terminal.until(f"┏━ 1.{number % panes + 1} ".encode())
                    taken.append(time.perf_counter() - begin)
    finally:
        lock.release()
    taken.sort()
    return Keys(1000 * statistics.median(taken), 1000 * taken[int(len(taken) * 0.99)], used / seconds)


@contextmanager
def _silence() -> Iterator[None]:
    yield


WALLS: dict[str, tuple[str, int]] = {
    "RichLog, 25": ("richlog", 25),
    "panes, 25": ("panes", 25),
    "panes, 100": ("panes", 100),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repaints", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    costs: dict[str, list[Cost]] = {name: [] for name in WALLS}
    keys: dict[str, list[Keys]] = {"idle": [], "25 stream": []}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "home"
        make_home(root, 25)
        for _ in range(options.rounds):
            for name, (kind, panes) in WALLS.items():
                costs[name].append(wall_cost(kind, panes, options.repaints))
            for name, found in keys.items():
                found.append(keys_cost(root, 25, options.seconds, talking=name != "idle"))
    cpu = {name: statistics.median(cost.cpu_ms for cost in found) for name, found in costs.items()}
    kib = {name: statistics.median(cost.kib for cost in found) for name, found in costs.items()}
    pick: Callable[[str, str], float] = lambda name, of: statistics.median(getattr(one, of) for one in keys[name])  # noqa: E731
    if options.json:
        told = {name: {of: round(pick(name, of), 4) for of in ("median_ms", "p99_ms", "cpu")} for name in keys}
        print(json.dumps({"cpu_ms": cpu, "kib": kib, "keys": told}))
        return
    print(f"{'median of ' + str(options.rounds):<16}{'CPU ms a repaint':>18}{'× RichLog':>12}{'× 25':>8}{'KiB':>8}")
    for name, used in cpu.items():
        beside, less = used / cpu["RichLog, 25"], used / cpu["panes, 25"]
        print(f"{name:<16}{used:>18.1f}{beside:>12.3f}{less:>8.2f}{kib[name]:>8.1f}")
    print(f"\n{'multitrack':<16}{'key to paint ms':>18}{'p99':>12}{'CPU':>8}")
    for name in keys:
        print(f"{name:<16}{pick(name, 'median_ms'):>18.1f}{pick(name, 'p99_ms'):>12.1f}{pick(name, 'cpu'):>8.1%}")


if __name__ == "__main__":
    main()
