"""Which earlier runs a new one starts from, and how its gates wait: the options of `run` and `demo`."""

import re
import subprocess
from argparse import ArgumentTypeError
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from app.context import find_run, read_board
from app.failure import CommandError
from store.domain.safe_text import safe_line
from store.domain.task import Task

if TYPE_CHECKING:
    from store.database import Store
    from store.domain.board import Board
    from store.domain.observations import Document

LONGEST = 7 * 24 * 3600.0
"""Seconds that a gate may wait at most before it opens by itself: a week."""
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Gate:
    """How gates wait. `open` is not at all; `seconds` is how long, None until the operator comes."""

    open: bool
    seconds: float | None = None


def gate(text: str) -> Gate:
    """Reads the option: `auto`, `ask`, or `timeout=` and a time such as 900, 15m or 2h."""
    if text in ("auto", "ask"):
        return Gate(open=text == "auto")
    found = re.fullmatch(r"timeout=(\d+(?:\.\d+)?)(s|m|min|h|)", text)
    seconds = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if not 1 <= seconds <= LONGEST:
        raise ArgumentTypeError(f"{text!r} is none of auto, ask and timeout=TIME, such as timeout=900 or timeout=15m")
    return Gate(open=False, seconds=seconds)


def remembered(store: "Store", names: Sequence[str], task: Task) -> "tuple[list[Document], list[str]]":
    """What the runs of these names know, for a run on a task, and sentences about what is unlike. CommandError for one
    that knows nothing, or that worked on another repository."""
    from store import observations

    documents: dict[str, Document] = {}
    said = []
    for name in names:
        run = find_run(store, name).id
        board = read_board(store, run)
        document = observations.load(store, run)
        if board.order is None or document is None or not document.observations:
            raise CommandError(f"run {run} has no observations that could be remembered.")
        if board.order.replay is not None:
            played = board.order.replay.run
            raise CommandError(
                f"run {run} is a replay of {played}, and its attempts are that run's: they would count twice. Remember "
                f"{played} in its place."
            )
        if not _same_repository(board, task):
            raise CommandError(
                f"run {run} worked on {safe_line(board.task.repository)}, of which {safe_line(task.repository)} has "
                "not the commit that it started from: what it learned is of another code."
            )
        if board.task.check.command != task.check.command:
            said.append(f"Run {run} had another check: {safe_line(board.task.check.command, 120)}")
        documents[run] = document
    return list(documents.values()), said


def _same_repository(board: "Board", task: Task) -> bool:
    """By its path, or by the commit: a repository may have been moved, or cloned."""
    assert board.order is not None
    if board.task.repository == task.repository:
        return True
    if not board.order.revision or not Path(task.repository).is_dir():
        return False
    line = ["git", "-C", task.repository, "cat-file", "-e", f"{board.order.revision}^{{commit}}"]
    try:
        return subprocess.run(line, capture_output=True, timeout=60, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
