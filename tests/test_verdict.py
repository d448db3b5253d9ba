"""The harness's own check: what counts as solved, and what stops a run before it starts."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from backends.harness.verdict import Checker, judge, refusal
from backends.sandboxes import Executed
from backends.sandboxes.git import mirror_repository
from backends.sandboxes.local import LocalSandboxes
from store.domain.events import CheckResult
from store.domain.task import Check, Dirt

CHECK = Check("./check", 30)
FAILED = CheckResult(False, 1, 3, 0.1, "d", "3 failed")
PASSED = replace(FAILED, passed=True, exit_code=0, failures=0)


def test_only_a_check_that_always_fails_lets_a_run_start() -> None:
    assert refusal((FAILED,) * 3, CHECK) == ""
    assert "passes before anything is changed" in refusal((PASSED,) * 3, CHECK)
    assert "disagrees with itself" in refusal((FAILED, PASSED, FAILED), CHECK)
    assert "1 of 3" in refusal((FAILED, PASSED, FAILED), CHECK)
    broken = replace(FAILED, broken="the check `./check` was not found (exit code 127)")
    assert "cannot be run: the check `./check` was not found" in refusal((broken,) * 3, CHECK)
    assert "takes longer than its 30 s" in refusal((replace(FAILED, exit_code=None),) * 3, CHECK)


def test_exit_codes_of_the_shell_are_no_failures_of_the_code() -> None:
    for code, word in ((127, "not found"), (126, "not executable")):
        executed = Executed(exit_code=code, output=b"sh: ./check", left_out=0, seconds=0.1)
        assert word in judge(executed, "sh: ./check", "d", CHECK).broken
    timed_out = judge(Executed(exit_code=None, output=b"", left_out=0, seconds=30.0), "", "d", CHECK)
    assert not timed_out.passed
    assert not timed_out.broken


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository whose check fails until `answer` says 42."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "answer").write_text("41\n")
    (folder / "check").write_text('#!/bin/sh\ntest "$(cat answer)" = 42 || { echo "1 failed"; exit 1; }\n')
    (folder / "check").chmod(0o755)
    line = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org", "-C", str(folder)]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "begin"]):
        subprocess.run([*line, *arguments], check=True)
    return folder


async def test_a_patch_is_checked_in_a_clean_clone(repository: Path, tmp_path: Path) -> None:
    mirror, folder = tmp_path / "mirror.git", tmp_path / "boxes"
    revision = mirror_repository(repository, mirror, "HEAD", Dirt.REFUSE)
    sandboxes = LocalSandboxes(run="abcde", folder=folder, mirror=mirror, environ={"PATH": "/usr/bin:/bin"})
    kept: list[str] = []

    async def keep(text: str) -> str:
        kept.append(text)
        return f"blob{len(kept)}"

    checker = Checker(sandboxes, revision, CHECK, keep)
    before = await checker.run("one")
    assert (before.passed, before.exit_code, before.failures, before.output) == (False, 1, 1, "blob1")
    good = b"diff --git a/answer b/answer\n--- a/answer\n+++ b/answer\n@@ -1 +1 @@\n-41\n+42\n"
    after = await checker.run("two", good)
    assert (after.passed, after.failures, after.broken) == (True, 0, "")
    misfit = await checker.run("three", good.replace(b"-41", b"-40"))
    assert not misfit.passed
    assert misfit.broken
    assert not list(folder.iterdir()), "a check leaves no sandbox behind"
    assert (repository / "answer").read_text() == "41\n", "the operator's repository is not touched"
