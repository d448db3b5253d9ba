"""The mirror of the operator's repository, with real repositories."""

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from backends.sandboxes import SandboxError
from backends.sandboxes.git import mirror_repository, notices
from store.domain.task import Dirt

ENVIRON = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null"}


def git(folder: Path, *arguments: str) -> str:
    somebody = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "protocol.file.allow=always"]
    command = ["git", *somebody, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "trunk")
    (folder / "a.txt").write_text("one\n")
    (folder / ".gitignore").write_text("*.log\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "one")
    return folder


def mirror(source: Path, revision: str = "HEAD", dirt: Dirt = Dirt.REFUSE, besides: tuple[Path, ...] = ()) -> str:
    return mirror_repository(source, source.parent / "m.git", revision, dirt, besides=besides, environ=ENVIRON)


def fingerprint(folder: Path) -> dict[str, tuple[str, int]]:
    return {
        str(path): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_it_holds_the_revision_and_what_led_to_it_and_nothing_later(source: Path) -> None:
    first = git(source, "rev-parse", "HEAD")
    git(source, "tag", "start")
    (source / "a.txt").write_text("fixed\n")
    git(source, "commit", "-qam", "the fix")
    fix = git(source, "rev-parse", "HEAD")
    assert mirror(source, "start") == first
    assert git(source.parent / "m.git", "rev-parse", "HEAD", "refs/heads/main").split() == [first, first]
    with pytest.raises(subprocess.CalledProcessError):
        git(source.parent / "m.git", "cat-file", "-e", fix)
    # The same place again is a new mirror.
    assert mirror(source, "trunk") == fix


def test_nothing_is_written_into_the_operators_repository(source: Path) -> None:
    (source / "a.txt").write_text("two\n")
    (source / "new.txt").write_text("new\n")
    before = fingerprint(source)
    mirror(source, dirt=Dirt.TAKE)
    with pytest.raises(SandboxError):
        mirror(source)
    assert fingerprint(source) == before


def test_uncommitted_changes_are_refused_by_name(source: Path) -> None:
    (source / "a.txt").write_text("two\n")
    for number in range(12):
        (source / f"new {number}.txt").write_text("new\n")
    (source / "junk.log").write_text("ignored\n")
    with pytest.raises(SandboxError) as refused:
        mirror(source)
    words = str(refused.value)
    assert "a.txt" in words
    assert "new 0.txt" in words
    assert "… and 3 more" in words
    assert "junk.log" not in words
    assert "Commit or stash" in words
    assert 'uncommitted = "take"' in words
    assert not (source.parent / "m.git").exists()


def test_uncommitted_changes_are_taken_along(source: Path) -> None:
    git(source, "rm", "-q", "--cached", "a.txt")
    (source / "a.txt").write_text("two\n")
    (source / "new.txt").write_text("new\n")
    (source / "junk.log").write_text("ignored\n")
    (source / "task.toml").write_text("mine\n")
    start = git(source, "rev-parse", "HEAD")
    taken = mirror(source, dirt=Dirt.TAKE, besides=(Path("task.toml"),))
    there = source.parent / "m.git"
    assert git(there, "rev-parse", f"{taken}^") == start
    assert git(there, "ls-tree", "--name-only", taken).split() == [".gitignore", "a.txt", "new.txt"]
    assert git(there, "show", f"{taken}:a.txt") == "two"
    assert git(source, "rev-parse", "HEAD") == start
    git(there, "fsck", "--full", "--strict")


def test_the_task_file_is_no_uncommitted_change(source: Path) -> None:
    (source / "task.toml").write_text("mine\n")
    assert mirror(source, besides=(source / "task.toml",)) == git(source, "rev-parse", "HEAD")


def test_changes_matter_only_for_what_is_checked_out(source: Path) -> None:
    first = git(source, "rev-parse", "HEAD")
    (source / "a.txt").write_text("two\n")
    git(source, "commit", "-qam", "two")
    (source / "a.txt").write_text("three\n")
    assert mirror(source, first) == first
    with pytest.raises(SandboxError, match="revision that is checked out"):
        mirror(source, first, dirt=Dirt.TAKE)


def test_a_worktree_a_bare_and_a_shallow_repository_will_do(source: Path) -> None:
    (source / "a.txt").write_text("two\n")
    git(source, "commit", "-qam", "two")
    head = git(source, "rev-parse", "HEAD")
    git(source, "worktree", "add", "-q", "../tree")
    git(source.parent, "clone", "-q", "--bare", "source", "bare.git")
    git(source.parent, "clone", "-q", "--depth=1", f"file://{source}", "shallow")
    for name in ("tree", "bare.git", "shallow"):
        assert mirror(source.parent / name) == head


def test_what_is_wrong_with_a_repository_is_said(source: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    with pytest.raises(SandboxError, match="is no Git repository: `git init`"):
        mirror(plain)
    git(plain, "init", "-q")
    with pytest.raises(SandboxError, match="has no commits"):
        mirror(plain)
    with pytest.raises(SandboxError, match="there is no folder"):
        mirror(tmp_path / "nowhere")
    (source / "inner").mkdir()
    with pytest.raises(SandboxError, match="inside a repository: name its root"):
        mirror(source / "inner")
    for revision in ("nosuch", "--upload-pack=x", "HEAD:a.txt"):
        with pytest.raises(SandboxError, match="has no revision"):
            mirror(source, revision)


def test_where_git_points_by_environment_makes_no_difference(source: Path, tmp_path: Path) -> None:
    astray = {**ENVIRON, "GIT_DIR": str(tmp_path / "elsewhere"), "GIT_INDEX_FILE": str(tmp_path / "x")}
    head = mirror_repository(source, tmp_path / "m.git", "HEAD", Dirt.REFUSE, environ=astray)
    assert head == git(source, "rev-parse", "HEAD")


def test_submodules_and_lfs_are_told_of(source: Path) -> None:
    assert notices(source, "HEAD", environ=ENVIRON) == ()
    git(source.parent, "clone", "-q", "source", "other")
    git(source, "submodule", "add", "-q", "../other", "lib/other")
    (source / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    git(source, "add", "-A")
    git(source, "commit", "-qm", "more")
    said = notices(source, "HEAD", environ=ENVIRON)
    assert "lib/other" in said[0]
    assert "LFS" in said[1]
