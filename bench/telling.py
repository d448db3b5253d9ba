"""What the observer says of commands that failed, held against lines that people marked as the error.

    python -m bench.telling FOLDER [--list]

The folder has one folder a log, with `fail.log` and `groundtruth`, as CiDiff has them (arXiv 2504.18182): `E 49-85`
means that the lines 49 to 85 are the error, counted from 1. Each log is read as the output of one command that failed,
without its `pass.log`. It counts as told when a place that would be quoted stands in those lines.
"""

import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from backends.observer.errors import crashes
from backends.observer.telling import telling_line
from store.domain.safe_text import safe_line
from store.domain.suspicion import flags, without_colour

_MARKED = re.compile(r"E (\d+)(?:-(\d+))?\s*$")


def marked(path: Path) -> set[int]:
    """The lines that are the error, by their numbers."""
    lines: set[int] = set()
    for line in path.read_text().splitlines():
        if match := _MARKED.match(line):
            lines.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    return lines


def main(arguments: Sequence[str]) -> int:
    """Print the numbers."""
    if not arguments:
        print(__doc__)
        return 0
    logs = sorted(path for path in Path(arguments[0]).iterdir() if (path / "groundtruth").exists())
    told = reasons = flagged = size = 0
    begin = time.process_time()
    for log in logs:
        output = (log / "fail.log").read_text(errors="replace")
        size += len(output)
        right = marked(log / "groundtruth")
        found = [(crash.quote, crash.start) for crash in crashes(output)]
        if reason := telling_line(output, 1):
            reasons += _line(output, reason[1]) in right
        # A crash says what was raised and where: then that is told.
        quoted = found or ([reason] if reason else [])
        inside = any(_line(output, place) in right for _, place in quoted)
        told += inside
        flagged += any(flags(without_colour(text)) for text, _ in quoted)
        if "--list" in arguments:
            print(f"{'+' if inside else '-'} {log.name}: {safe_line(quoted[0][0], 120) if quoted else 'nothing'}")
    seconds = time.process_time() - begin
    print(f"{len(logs)} logs, {size / 1e6:.1f} MB, {seconds:.1f} s")
    print(f"  told where people see the error        {told}")
    print(f"  the line that says why stands there    {reasons}")
    print(f"  flagged as an order                    {flagged}")
    return 0


def _line(output: str, place: int) -> int:
    return output.count("\n", 0, place) + 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
