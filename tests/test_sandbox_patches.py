"""Patches: taken from clones in which anything was done, applied to clean ones, and read without Git."""

import os
import subprocess
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.sandboxes import SandboxError
from backends.sandboxes import clone as clones
from backends.sandboxes.clone import Clone
from backends.sandboxes.environment import git_environment
from backends.sandboxes.git import mirror_repository
from backends.sandboxes.patches import read, size, touched, without
from backends.sandboxes.patterns import Patterns
from store.domain.task import Dirt

BASE: dict[bytes, bytes] = {
    b"a.txt": b"one\ntwo\nthree\n",
    b"bin": bytes(range(256)) * 4,
    b"lib/x.py": b"x = 1\n",
    b"lib/deep/y.py": b"y = 1\n\nz = 2",
    b"tests/test_x.py": b"assert x\n",
    b"caf\xc3\xa9 \xff.txt": b"odd\n",
    b"crlf": b"one\r\ntwo\r\n",
    b".gitignore": b"*.log\n",
}


def put(root: Path, name: bytes, data: bytes) -> None:
    place = Path(os.fsdecode(os.path.join(os.fsencode(root), name)))  # noqa: PTH118
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("repository")
    for name, data in BASE.items():
        put(folder / "source", name, data)
    somebody = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for arguments in (["init", "-q"], ["add", "-A"], [*somebody, "commit", "-qm", "one"]):
        subprocess.run(["git", *arguments], cwd=folder / "source", check=True)
    return folder / "m.git", mirror_repository(folder / "source", folder / "m.git", "HEAD", Dirt.REFUSE)


@pytest.fixture(scope="module")
def clean(repository: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> "Clean":
    return Clean(*repository, tmp_path_factory.mktemp("clones"))


class Clean:
    """Makes clean clones."""

    def __init__(self, mirror: Path, revision: str, folder: Path) -> None:
        self._mirror, self._revision, self._folder, self._number = mirror, revision, folder, count()

    def __call__(self) -> Clone:
        folder = self._folder / str(next(self._number))
        made = Clone(self._mirror, folder / "work", folder / "keep", git_environment(os.environ))
        made.create(self._revision)
        return made


def do(clone: Clone, script: str) -> None:
    somebody = {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {"PATH": os.environ["PATH"], "HOME": str(clone.keep), **somebody}
    subprocess.run(["bash", "-ec", script], cwd=clone.root, env=environment, check=True, capture_output=True)


def files(clone: Clone) -> dict[bytes, tuple[int, bytes]]:
    """Kind or mode, and content, of every file that is not Git's."""
    found = {}
    root = os.fsencode(clone.root)
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name != b".git"]
        for name in names:
            place = Path(os.fsdecode(os.path.join(folder, name)))  # noqa: PTH118
            key = os.path.relpath(os.fsencode(place), root)
            if place.is_symlink():
                found[key] = (0, os.fsencode(place.readlink()))
            else:
                found[key] = (place.stat().st_mode & 0o100, place.read_bytes())
    return found


def round_trip(clone: Clone, clean: Clean) -> bytes:
    """The patch, after a look whether a clean clone with it has the same files."""
    patch = clone.patch()
    other = clean()
    other.apply(patch)
    assert files(other) == files(clone)
    assert other.patch() == patch
    return patch


def test_nothing_changed_is_no_patch(clean: Clean) -> None:
    assert clean().patch() == b""
    clean().apply(b"")


def test_every_kind_of_change_goes_over(clean: Clean) -> None:
    clone = clean()
    do(clone, """
        echo four >> a.txt; rm lib/x.py; printf '\\0\\1new' > bin; chmod +x crlf; touch empty
        mv lib/deep/y.py moved.py; ln -s a.txt link; mkdir -p n/e/w; printf 'no newline' > n/e/w/f
        printf '%b' 'x' > "$(printf 'od\\nd\\t"q\\\\ \\377')"; rm tests/test_x.py; mkdir tests/test_x.py
        echo 1 > tests/test_x.py/z
        rm -r lib; echo 'now a file' > lib; printf 'a\\r\\nb\\n' > mixed
    """)  # fmt: skip
    patch = round_trip(clone, clean)
    assert touched(patch) == tuple(sorted([
        "a.txt", "bin", "crlf", "empty", "lib", "lib/deep/y.py", "lib/x.py", "link", "mixed", "moved.py",
        "n/e/w/f", 'od\nd\t"q\\ \\xff', "tests/test_x.py", "tests/test_x.py/z",
    ]))  # fmt: skip


def test_what_git_ignores_or_cannot_hold_is_left_out(clean: Clean) -> None:
    clone = clean()
    do(
        clone,
        """
        echo noise > x.log; mkdir -p empty/er; mkfifo pipe
        git init -q inner; echo 1 > inner/f; git init -q two; cd two; echo 1 > f; git add f; git commit -qm x
    """,
    )
    assert clone.patch() == b""
    do(clone, "rm a.txt; mkfifo a.txt")
    assert touched(clone.patch()) == ("a.txt",)


def test_what_is_done_with_git_makes_no_difference(clean: Clean) -> None:
    plain = clean()
    do(plain, "echo four >> a.txt; echo new > new.txt; rm lib/x.py")
    patch = plain.patch()
    tricks = [
        "git add -A; git commit -qm done",
        "git commit -qam done; git reset -q --hard HEAD~; git merge -q --ff-only HEAD@{1}; git add new.txt",
        "git checkout -q -b other; git add -A; git commit -qm x; git checkout -q --orphan none; git rm -qr --cached .",
        "git add -A; git update-index --assume-unchanged a.txt; git update-index --skip-worktree new.txt",
        "rm -rf .git",
        "rm .git/HEAD; echo broken > .git/index; chmod 000 .git/objects",
        "echo '*' > .git/info/exclude 2>/dev/null || { mkdir .git/info; echo '*' > .git/info/exclude; }",
        "git config core.excludesFile /dev/stdin; git config core.worktree /tmp; git config core.fileMode false",
        "git config diff.external 'touch hacked'; git config core.fsmonitor 'touch hacked'; git config core.bare true",
        "git config diff.noprefix true; git config diff.mnemonicPrefix true; git config color.ui always",
        "printf '#!/bin/sh\\ntouch ../hacked\\n' > .git/hook; chmod +x .git/hook; git config core.hooksPath .git",
        "git config filter.f.clean 'tr a-z A-Z'; mkdir -p .git/info; echo '* filter=f diff=f' > .git/info/attributes",
    ]
    for trick in tricks:
        clone = clean()
        do(clone, "echo four >> a.txt; echo new > new.txt; rm lib/x.py\n" + trick)
        assert clone.patch() == patch, trick
        assert not list(clone.root.parent.rglob("hacked"))


def test_a_filter_of_the_subagents_own_is_not_run(clean: Clean) -> None:
    clone = clean()
    do(
        clone,
        """
        git config filter.f.clean 'tr a-z A-Z'; git config diff.f.textconv 'echo hidden'; git config diff.f.command true
        echo '*.txt filter=f diff=f' > .gitattributes; echo quiet >> a.txt
    """,
    )
    assert b"+quiet" in round_trip(clone, clean)


def test_a_file_of_the_same_size_and_second_counts(clean: Clean) -> None:
    clone = clean()
    do(clone, "touch -r a.txt ../ref; sed -i s/two/TWO/ a.txt; touch -r ../ref a.txt")
    assert b"+TWO" in clone.patch()


def test_a_folder_that_is_gone_is_said(clean: Clean) -> None:
    clone = clean()
    do(clone, "cd ..; rm -rf work")
    with pytest.raises(SandboxError, match="is gone"):
        clone.patch()


def test_too_much_is_refused_by_name(clean: Clean, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clones, "PATCH_CAP", 3 << 20)
    clone = clean()
    do(clone, "head -c 4194304 /dev/zero > core.dump")
    with pytest.raises(SandboxError, match=r"4 MiB were changed, .* core.dump \(4 MiB\)"):
        clone.patch()


def test_a_patch_that_does_not_fit_changes_nothing(clean: Clean) -> None:
    clone = clean()
    do(clone, "echo four >> a.txt; echo new > new.txt")
    patch = clone.patch()
    other = clean()
    do(other, "echo else > a.txt")
    before = files(other)
    with pytest.raises(SandboxError, match="apply"):
        other.apply(patch)
    assert files(other) == before
    for broken in (
        b"nonsense\n",
        patch[:-20],
        patch.replace(b"a/a.txt", b"a/../../a.txt").replace(b"b/a.txt", b"b/../../a.txt"),
    ):
        with pytest.raises(SandboxError):
            clean().apply(broken)


def test_a_patch_goes_onto_other_changes(clean: Clean) -> None:
    clone = clean()
    do(clone, "echo four >> a.txt")
    other = clean()
    do(other, "echo new > new.txt; git add -A; git commit -qm mine")
    other.apply(clone.patch())
    assert touched(other.patch()) == ("a.txt", "new.txt")


NAMES = st.sampled_from(
    [*BASE, b"new.py", b"lib/new file", b"tests/n.py", b"check.py", b'q"uo\\te\n\xe2\x82\xac', b"-dash"]
)
CONTENTS = st.one_of(
    st.none(),
    st.binary(max_size=40),
    st.lists(st.sampled_from([b"one", b"+x", b"-- a", b"@@ -1 +1 @@", b"diff --git a/x b/x", b""])).map(b"\n".join),
)  # fmt: skip


@settings(max_examples=15, deadline=None)
@given(st.dictionaries(NAMES, CONTENTS, max_size=5), st.booleans())
def test_whatever_changes_goes_over_and_protected_files_do_not(
    clean: Clean, changes: dict[bytes, bytes | None], executable: bool
) -> None:
    clone = clean()
    for name, data in changes.items():
        place = Path(os.fsdecode(os.path.join(os.fsencode(clone.root), name)))  # noqa: PTH118
        if data is None:
            place.unlink(missing_ok=True)
        else:
            put(clone.root, name, data)
            place.chmod(0o755 if executable else 0o644)
    base, now = {name: (0, data) for name, data in BASE.items()}, files(clone)
    patch = round_trip(clone, clean)
    different = {name for name in base.keys() | now.keys() if base.get(name) != now.get(name)}
    if base[b".gitignore"] == now.get(b".gitignore"):
        assert touched(patch) == tuple(sorted(name.decode("utf-8", "backslashreplace") for name in different))
    assert b"".join(file.text for file in read(patch)) == patch
    kept, left_out = without(patch, ["tests/**", "check.py", "*.txt"])
    assert set(touched(kept)) | set(left_out) == set(touched(patch))
    assert not set(touched(kept)) & set(left_out)
    other = clean()
    other.apply(kept)
    result = files(other)
    for name in BASE:
        if name.startswith(b"tests/") or name.endswith(b".txt"):
            assert result[name] == base[name]
    assert b"check.py" not in result
    shown = subprocess.run(["git", "apply", "--numstat", "-"], input=patch, capture_output=True, check=False).stdout
    numbers = [line.split(b"\t")[:2] for line in shown.splitlines() if not line.startswith(b"-")]
    assert size(patch) == (sum(int(added) for added, _ in numbers), sum(int(gone) for _, gone in numbers))


RENAME = b"""diff --git a/tests/old.py b/lib/new name.py
similarity index 90%
rename from tests/old.py
rename to lib/new name.py
index 1111111..2222222 100644
--- a/tests/old.py
+++ b/lib/new name.py\t
@@ -1,2 +1,2 @@
 a
-b
+c
"""
COPY = b"""diff --git a/tests/old.py b/lib/copy.py
similarity index 100%
copy from tests/old.py
copy to lib/copy.py
"""
MODE = b"diff --git a/check.py b/check.py\nold mode 100644\nnew mode 100755\n"
OTHER = b"diff --git a/z b/z\nnew file mode 100644\nindex 0000000..e69de29\n"


def test_renames_and_modes_count_for_both_names() -> None:
    patch = RENAME + COPY + MODE + OTHER
    assert touched(patch) == ("check.py", "lib/copy.py", "lib/new name.py", "tests/old.py", "z")
    assert size(patch) == (1, 1)
    assert without(patch, ["tests/**", "check.py"]) == (COPY + OTHER, ("check.py", "tests/old.py"))
    assert without(patch, ["lib/**"]) == (MODE + OTHER, ("lib/copy.py", "lib/new name.py"))
    assert without(patch, []) == (patch, ())
    assert without(b"", ["*"]) == (b"", ())


@pytest.mark.parametrize(
    "patch",
    [
        b"--- tests/x\n+++ tests/x\n@@ -1 +1 @@\n-a\n+b\n",
        OTHER + b"--- a/tests/x\n+++ b/tests/x\n@@ -1 +1 @@\n-a\n+b\n" * 2,
        b"garbage\n" + OTHER,
        b"diff --git a/x b/x\n--- a/x\n+++ b/tests/x\n@@ -1 +1 @@\n-a\n+b\n",
        b"diff --git a/x b/tests/x\nold mode 100644\nnew mode 100755\n",
        b"diff --git a/x b/x\nrename to tests/x\n",
        b"diff --git a/./tests/x b/./tests/x\nold mode 100644\nnew mode 100755\n",
        b"diff --git a/a//x b/a//x\nold mode 100644\nnew mode 100755\n",
        b"diff --git x x\nold mode 100644\nnew mode 100755\n",
        b'diff --git "a/\\q" "b/\\q"\nold mode 100644\nnew mode 100755\n',
        b"diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,3 +1 @@\n-a\n+b\n",
        b"diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n-b\n+b\n",
        b"diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ what @@\n-a\n+b\n",
        b"diff --git a/x b/x\n--- a/x\n",
        b"diff --git a/x b/x\n--- a/x\n+++ b/x\n" + OTHER,
        RENAME.replace(b"rename to", b"rename from lib/x\nrename to"),
        b"diff --git a/x b/x\nindex 1..2\nBinary files a/x and b/x differ\n",
        b"diff --git a/x b/x\nindex 1..2\nGIT binary patch\nliteral 3\nnot base85 \x01\n\n",
        b"diff --git a/x b/x\nindex 1..2\nGIT binary patch\n",
    ],
)
def test_what_is_not_understood_is_refused(patch: bytes) -> None:
    with pytest.raises(SandboxError, match="line"):
        without(patch, ["tests/**"])


@settings(max_examples=150, deadline=None)
@given(
    patterns=st.lists(st.text("ab/*?[]!\\ -^.", min_size=1, max_size=7), min_size=1, max_size=3),
    paths=st.lists(st.text("ab-. ^!/", min_size=1, max_size=6), min_size=1, max_size=25),
)
def test_patterns_mean_what_git_takes_them_for(
    clean: Clean, tmp_path_factory: pytest.TempPathFactory, patterns: list[str], paths: list[str]
) -> None:
    try:
        ours = Patterns(patterns)
    except SandboxError:
        return
    plain = sorted({path for path in paths if not {"", ".", ".."} & set(path.split("/")) and path[0] != ":"})
    folder = tmp_path_factory.getbasetemp() / "ignoring"
    if not folder.is_dir():
        folder.mkdir()
        subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    (folder / "patterns").write_text("\n".join(patterns) + "\n")
    shown = subprocess.run(
        ["git", "-c", "core.excludesFile=patterns", "check-ignore", "--no-index", "-z", "--stdin"],
        cwd=folder,
        input="\0".join(plain).encode(),
        capture_output=True,
        check=False,
    ).stdout
    theirs = {path.decode() for path in shown.split(b"\0") if path}
    # A folder's own name as a file is ours alone.
    own = {pattern.removesuffix("/**").removeprefix("/") for pattern in patterns if pattern.endswith("/**")}
    assert {path for path in plain if ours.match(path.encode())} - theirs <= {path for path in plain if own}
    assert theirs <= {path for path in plain if ours.match(path.encode())}
    if not own:
        assert {path for path in plain if ours.match(path.encode())} == theirs


def test_a_folder_that_is_protected_cannot_be_replaced() -> None:
    patterns = Patterns(["tests/**", "!tests/data.txt"])
    assert [patterns.match(path) for path in (b"tests", b"tests/a", b"tests/data.txt", b"lib/tests", b"tests2")] == [
        True, True, False, False, False,
    ]  # fmt: skip


@pytest.mark.parametrize("pattern", ["a[", "a\\", "[[:alpha:]]", "[b-a]", "!", "/"])
def test_a_pattern_that_could_never_match_is_refused(pattern: str) -> None:
    with pytest.raises(SandboxError, match="not understood"):
        Patterns([pattern])
