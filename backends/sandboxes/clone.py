"""A clone of the mirror, and what was changed in it. Everything here blocks.

Changes are read and written with the mirror as the Git folder and an index of our own, so nothing that a subagent does
to its clone's `.git` or configuration counts: there is no filter, hook, external diff or exclusion of its making, and
its commits, its index and its stash make no difference. `.gitignore` files do count.
"""

import os
import shutil
import stat
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from backends.sandboxes.git import git
from backends.sandboxes.patches import read
from backends.sandboxes.protocol import PATCH_CAP, SandboxError

_PLAIN = ("-c", "safe.directory=*", "-c", "core.fsmonitor=false", "-c", "core.logAllRefUpdates=false")


@dataclass(frozen=True)
class Clone:
    """An independent clone in `root`, and what we keep of it out of the subagent's way in `keep`."""

    mirror: Path
    root: Path
    keep: Path
    environment: Mapping[str, str]

    def create(self, revision: str) -> None:
        """Check the revision out in a new clone on the branch `main`, without remotes and without foreign branches."""
        self.keep.mkdir(parents=True)
        plain = [*_PLAIN, "-c", "advice.detachedHead=false"]
        settled = ["--config", "gc.auto=0", "--config", "maintenance.auto=false"]
        self._git(
            *plain,
            "clone",
            "--quiet",
            "--no-checkout",
            "--template=",
            "--origin=mirror",
            *settled,
            self.mirror,
            self.root,
        )
        self._git(*plain, "-C", self.root, "checkout", "--quiet", "--force", "-B", "main", revision)
        self._git(*plain, "-C", self.root, "remote", "remove", "mirror")
        (self.keep / "objects").mkdir()
        (self.keep / "revision").write_text(revision)
        # Last, for it says that the clone is whole. Its time tells Git which files may have changed since.
        shutil.copy2(self.root / ".git" / "index", self.keep / "index")

    @property
    def whole(self) -> bool:
        """Whether it was made to the end, and is there."""
        return (self.keep / "index").is_file() and self.root.is_dir()

    @property
    def revision(self) -> str:
        return (self.keep / "revision").read_text()

    def patch(self) -> bytes:
        """What differs from the revision, as a binary Git patch in which a rename is a deletion and a new file."""
        index = self._current()
        try:
            form = ["--binary", "--full-index", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color"]
            return self._view(
                index, "diff-index", "--cached", "-p", *form, "--src-prefix=a/", "--dst-prefix=b/", self.revision, "--"
            )
        finally:
            index.unlink(missing_ok=True)

    def apply(self, patch: bytes) -> None:
        """Apply a patch to the files, all of it or nothing. SandboxError when it is none that Git writes, when it
        doesn't fit, or when what came out is not what it says."""
        if not read(patch):
            return
        index = self._current()
        try:
            self._view(index, "apply", "--index", "--whitespace=nowarn", "-", stdin=patch)
            differing = self._view(index, "diff-files", "--name-only", "-z")
            if differing:
                names = ", ".join(os.fsdecode(name) for name in differing.split(b"\0")[:5] if name)
                raise SandboxError(f"the patch was applied, but these files came out differently: {names}")
        finally:
            index.unlink(missing_ok=True)

    def _current(self) -> Path:
        """A new index that holds the files as they are now; the caller removes it."""
        if not self.whole:
            raise SandboxError(f"the sandbox in {self.root} is gone")
        handle, name = tempfile.mkstemp(dir=self.keep, prefix="index-")
        os.close(handle)
        index = Path(name)
        try:
            shutil.copy2(self.keep / "index", index)
            listed = self._view(index, "ls-files", "-z", "--others", "--modified", "--exclude-standard")
            replaced, changed = self._sorted([path for path in dict.fromkeys(listed.split(b"\0")) if path])
            if replaced:
                self._update(index, ["--force-remove"], replaced)
            if changed:
                self._update(index, ["--add", "--remove", "--replace"], changed)
        except BaseException:
            index.unlink(missing_ok=True)
            raise
        return index

    def _sorted(self, paths: Sequence[bytes]) -> tuple[list[bytes], list[bytes]]:
        """The files that something Git cannot hold has taken the place of, and the files that are new, other or gone.

        A repository inside the repository counts as unchanged. SandboxError when it is too much for a patch."""
        replaced, changed = [], []
        sizes: list[tuple[int, bytes]] = []
        for path in paths:
            place = os.path.join(os.fsencode(self.root), path)  # noqa: PTH118 - names may be no UTF-8
            try:
                found = os.lstat(place)
            except (FileNotFoundError, NotADirectoryError):
                changed.append(path)
                continue
            if stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode):
                changed.append(path)
                sizes.append((found.st_size, path))
            elif not os.path.lexists(os.path.join(place, b".git")):  # noqa: PTH118
                replaced.append(path)
        total = sum(size for size, _ in sizes)
        if total > PATCH_CAP:
            largest = ", ".join(f"{os.fsdecode(p)} ({s >> 20} MiB)" for s, p in sorted(sizes, reverse=True)[:3])
            raise SandboxError(
                f"{total >> 20} MiB were changed, more than the {PATCH_CAP >> 20} MiB that a patch may hold: {largest}"
            )
        return replaced, changed

    def _update(self, index: Path, how: Sequence[str], paths: Sequence[bytes]) -> None:
        self._view(index, "update-index", *how, "-z", "--stdin", stdin=b"".join(path + b"\0" for path in paths))

    def _git(self, *arguments: str | Path) -> bytes:
        return git(arguments, environment=self.environment)

    def _view(self, index: Path, *arguments: str | Path, stdin: bytes = b"") -> bytes:
        places = {
            "GIT_DIR": str(self.mirror),
            "GIT_WORK_TREE": str(self.root),
            "GIT_INDEX_FILE": str(index),
            # New objects stay with this sandbox: the mirror must not carry anything from one lane to another.
            "GIT_OBJECT_DIRECTORY": str(self.keep / "objects"),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(self.mirror / "objects"),
        }
        return git([*_PLAIN, *arguments], environment={**self.environment, **places}, cwd=self.root, stdin=stdin)
