"""How long `multitrack` takes to start: `--version`, `--help`, `runs`, and the app's first paint in a terminal.

Wall time on a busy machine says little, so each round times everything, in turn, beside two programs that do nothing:
a Python that starts and ends, and one that imports Textual's app. The ratios to them are what to compare.

    python bench/startup.py [--rounds N] [--json]
"""

import argparse
import fcntl
import json
import os
import pty
import select
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable
from pathlib import Path

PROGRAM = Path(sys.executable).with_name("multitrack")
NOTHING, TEXTUAL = "python -c pass", "python -c 'import textual.app'"
SCREEN = struct.pack("HHHH", 50, 200, 0, 0)
PAINTED = b"multitrack"
"""What the first frame shows in its first row."""
HUNG = 60.0


def run(*command: str) -> Callable[[Path], float]:
    """Times a command from its start to its end."""

    def timed(home: Path) -> float:
        environ = {**os.environ, "MULTITRACK_HOME": str(home)}
        begin = time.perf_counter()
        subprocess.run(command, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
        return time.perf_counter() - begin

    return timed


def first_paint(home: Path) -> float:
    """Times the app in a terminal of its own, from its start to its first frame."""
    begin = time.perf_counter()
    process, terminal = pty.fork()
    if process == 0:
        os.environ.update(MULTITRACK_HOME=str(home), TERM="xterm-256color", COLORTERM="truecolor")
        os.execv(PROGRAM, [str(PROGRAM)])
    try:
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, SCREEN)
        said = b""
        while PAINTED not in said:
            ready, _, _ = select.select([terminal], [], [], HUNG)
            if not ready:
                raise TimeoutError("the app has painted nothing")
            said += os.read(terminal, 65536)
        return time.perf_counter() - begin
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        os.close(terminal)


CASES: dict[str, Callable[[Path], float]] = {
    NOTHING: run(sys.executable, "-c", "pass"),
    TEXTUAL: run(sys.executable, "-c", "import textual.app"),
    "multitrack --version": run(str(PROGRAM), "--version"),
    "multitrack --help": run(str(PROGRAM), "--help"),
    "multitrack runs": run(str(PROGRAM), "runs"),
    "multitrack, first paint": first_paint,
}


def measure(rounds: int) -> dict[str, list[float]]:
    """Seconds of each case, round by round. The first round warms the caches and is left out."""
    seconds: dict[str, list[float]] = {name: [] for name in CASES}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        for number in range(rounds + 1):
            for name, timed in CASES.items():
                took = timed(home)
                if number:
                    seconds[name].append(took)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    medians = {name: statistics.median(taken) for name, taken in measure(options.rounds).items()}
    if options.json:
        print(json.dumps({name: round(median * 1000, 1) for name, median in medians.items()}))
        return
    print(f"{'median of ' + str(options.rounds):<32}{'ms':>8}{'× nothing':>12}{'× textual':>12}")
    for name, median in medians.items():
        print(f"{name:<32}{median * 1000:>8.0f}{median / medians[NOTHING]:>12.1f}{median / medians[TEXTUAL]:>12.2f}")


if __name__ == "__main__":
    main()
