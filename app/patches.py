"""A subagent's patch: which one is worth most, and how it gets on a branch of the operator's repository."""

import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from app.failure import CommandError, Exit
from store.domain.board import Board, Lane, best_lane
from store.domain.ids import SubagentId, parse_label

IDENTITY = {"GIT_AUTHOR_NAME": "Multitrack", "GIT_AUTHOR_EMAIL": "multitrack@localhost"}
"""Who is said to have written a patch; who commits it is the operator, by their own Git configuration."""


def subagent_of(run: str, text: str) -> SubagentId:
    """The subagent of that label, or of that full name. CommandError when it is neither."""
    try:
        generation, lane = parse_label(text.removeprefix(f"{run}."))
    except ValueError as error:
        raise CommandError(f"{text!r} names no subagent: write GENERATION.LANE, such as 2.3.") from error
    return SubagentId(run, generation, lane)


def lane_of(board: Board, text: str) -> Lane:
    """The lane of that subagent. CommandError that says which there are."""
    lane = board.lane(subagent_of(board.run, text))
    if lane is None:
        labels = [lane.id.label for generation in board.generations.values() for lane in generation.lanes.values()]
        there = f"there are {labels[0]} to {labels[-1]}" if labels else "it has none yet"
        raise CommandError(f"run {board.run} has no subagent {text}; {there}.")
    return lane


def choose(board: Board, label: str | None = None) -> Lane:
    """The lane of that subagent, else the one whose patch is worth most. CommandError when it has none."""
    if label is not None:
        lane = lane_of(board, label)
        if lane.checked is None or not lane.checked.patch:
            raise CommandError(f"subagent {label} of run {board.run} has no patch.", Exit.UNSOLVED)
        return lane
    best = best_lane(board)
    if best is None:
        raise CommandError(f"no subagent of run {board.run} has a patch yet.", Exit.UNSOLVED)
    return best


def apply(repository: Path, patch: bytes, *, branch: str, revision: str, mirror: Path, message: str) -> str:
    """Commit the patch on a new branch that starts at the run's revision; the commit. Nothing that is checked out, and
    no index, is touched. CommandError when the branch exists, or the patch doesn't fit."""
    git = _Git(repository)
    if not git.ok("check-ref-format", "--branch", branch):
        raise CommandError(f"{branch!r} can't be the name of a branch.")
    if git.ok("rev-parse", "--verify", "--quiet", f"refs/heads/{branch}"):
        raise CommandError(f"{repository} has a branch `{branch}` already. Name another.")
    if not git.ok("cat-file", "-e", f"{revision}^{{commit}}"):
        # The run took uncommitted changes along: its revision is in its own mirror alone.
        git("fetch", "--quiet", "--no-tags", str(mirror), revision)
    with tempfile.TemporaryDirectory(prefix="multitrack-") as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        git("read-tree", revision, environment=index)
        git("apply", "--cached", "--binary", "--whitespace=nowarn", "-", stdin=patch, environment=index)
        tree = git("write-tree", environment=index)
    commit = git("commit-tree", tree, "-p", revision, "-F", "-", stdin=message.encode(), environment=IDENTITY)
    git("update-ref", f"refs/heads/{branch}", commit, "0" * len(commit))
    return commit


class _Git:
    """Git in a repository, for the operator."""

    def __init__(self, repository: Path) -> None:
        self._repository = repository

    def ok(self, *arguments: str) -> bool:
        return self._run(arguments, b"", {}).returncode == 0

    def __call__(self, *arguments: str, stdin: bytes = b"", environment: Mapping[str, str] | None = None) -> str:
        done = self._run(arguments, stdin, environment or {})
        if done.returncode:
            told = done.stderr.decode("utf-8", "replace").strip() or f"exit code {done.returncode}"
            raise CommandError(f"git {arguments[0]} in {self._repository}: {told}", Exit.ENVIRONMENT)
        return done.stdout.decode("utf-8", "replace").strip()

    def _run(
        self, arguments: tuple[str, ...], stdin: bytes, environment: Mapping[str, str]
    ) -> subprocess.CompletedProcess[bytes]:
        command = ["git", "-C", str(self._repository), *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, check=False, env={**os.environ, **environment})
