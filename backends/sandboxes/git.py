"""Git: running it, and the mirror of the operator's repository. Everything here blocks.

The mirror is a bare repository of the run's own that holds the named revision and its history, and nothing else. The
operator's repository is only read: what is new (uncommitted changes that are taken along) is written to the mirror.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from backends.sandboxes.protocol import SandboxError
from store.domain.safe_text import safe_line
from store.domain.task import Dirt

_SECONDS = 600
"""The most that one Git command may take."""

_SHOWN = 10


def git(
    arguments: Sequence[str | bytes | Path],
    *,
    environment: Mapping[str, str],
    cwd: Path | None = None,
    stdin: bytes = b"",
) -> bytes:
    """Output of a Git command. SandboxError with Git's own words when it fails."""
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=cwd,
            env=dict(environment),
            input=stdin,
            capture_output=True,
            timeout=_SECONDS,
            start_new_session=True,
            check=False,
        )
    except FileNotFoundError:
        if cwd is not None and not cwd.is_dir():
            raise SandboxError(f"{cwd} is gone") from None
        raise SandboxError("git was not found on PATH: install it (version 2.25 or later)") from None
    except subprocess.TimeoutExpired:
        raise SandboxError(f"git {_name(arguments)} took more than {_SECONDS} s in {cwd or Path.cwd()}") from None
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip() or f"exit code {done.returncode}"
        raise SandboxError(f"git {_name(arguments)}: {words}")
    return done.stdout


def _name(arguments: Sequence[str | bytes | Path]) -> str:
    words = iter(arguments)
    for word in words:
        if word in {"-c", "-C"}:
            next(words)
        elif not str(word).startswith("-"):
            return str(word)
    return ""


def mirror_repository(
    source: Path,
    mirror: Path,
    revision: str,
    uncommitted: Dirt,
    *,
    besides: Collection[Path] = (),
    environ: Mapping[str, str] | None = None,
) -> str:
    """Make the bare `mirror` of what `revision` reaches in the repository `source`; the full commit to start from.

    Uncommitted changes matter when the revision is what is checked out: they are refused, or taken along as one more
    commit. Files of `besides` (the task file) don't count as changes. An older mirror is replaced. SandboxError says
    what is wrong with the repository, and what to do. Blocks.
    """
    environment = _operator(os.environ if environ is None else environ)
    commit = _resolve(source, revision, environment)
    checked_out = commit == _head(source, environment)
    dirt = _uncommitted(source, besides, environment) if checked_out or uncommitted is Dirt.TAKE else ()
    if dirt and not checked_out:
        raise SandboxError(
            f"uncommitted changes of {source} can only be taken along from the revision that is checked out, "
            f'and {safe_line(revision, 80)!r} is another: check it out, or leave them with uncommitted = "refuse"'
        )
    if dirt and uncommitted is Dirt.REFUSE:
        shown = "".join(f"\n  {safe_line(name, 120)}" for name in dirt[:_SHOWN])
        more = f"\n  … and {len(dirt) - _SHOWN} more" if len(dirt) > _SHOWN else ""
        raise SandboxError(
            f"{source} has uncommitted changes:{shown}{more}\n"
            'Commit or stash them, or take them along: `--uncommitted take`, or uncommitted = "take" in the task file.'
        )
    mirror.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=mirror.parent, prefix="mirror-") as folder:
        new = Path(folder, "repository.git")
        _fetch(source, new, commit, environment)
        if dirt:
            commit = _take(source, new, commit, besides, environment)
        shutil.rmtree(mirror, ignore_errors=True)
        new.rename(mirror)
    return commit


def notices(source: Path, revision: str, *, environ: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """What the operator should know of a repository before a run: sentences, mostly none. SandboxError as above."""
    environment = _operator(os.environ if environ is None else environ)
    commit = _resolve(source, revision, environment)
    said = []
    tree = git(["-C", source, "ls-tree", "-r", "-z", commit], environment=environment).split(b"\0")
    modules = [os.fsdecode(line.split(b"\t", 1)[1]) for line in tree if line.startswith(b"160000")]
    if modules:
        said.append(f"Submodules stay empty in the sandboxes: {safe_line(', '.join(modules), 200)}.")
    attributes = [line.split()[2].decode() for line in tree if line.endswith((b"\t.gitattributes", b"/.gitattributes"))]
    for blob in attributes:
        if b"filter=lfs" in git(["-C", source, "cat-file", "blob", blob], environment=environment):
            said.append("Files kept in Git LFS are only their pointers in the sandboxes.")
            break
    return tuple(said)


def _operator(environ: Mapping[str, str]) -> dict[str, str]:
    """The operator's own environment, for their ignore rules and filters, without what points Git elsewhere."""
    kept = {key: value for key, value in environ.items() if not key.startswith("GIT_") or key.startswith("GIT_CONFIG_")}
    # Without optional locks, `status` doesn't write the index of the operator's repository.
    return kept | {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}


def _resolve(source: Path, revision: str, environment: Mapping[str, str]) -> str:
    """The full commit of a revision, and everything that can be wrong with a repository."""
    if not source.is_dir():
        raise SandboxError(f"there is no folder {source}")
    try:
        top = git(["-C", source, "rev-parse", "--show-cdup", "--is-bare-repository"], environment=environment)
    except SandboxError as error:
        if "not a git repository" in str(error):
            raise SandboxError(
                f"{source} is no Git repository: `git init`, then commit what the run shall start from"
            ) from None
        raise
    if top.splitlines()[0].startswith(b".."):
        root = (source / os.fsdecode(top.splitlines()[0])).resolve()
        raise SandboxError(f"{source} is a folder inside a repository: name its root, {root}")
    try:
        named = git(
            ["-C", source, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"],
            environment=environment,
        )
    except SandboxError:
        if not git(["-C", source, "rev-list", "--max-count=1", "--all"], environment=environment):
            raise SandboxError(f"{source} has no commits: commit what the run shall start from") from None
        raise SandboxError(
            f"{source} has no revision {safe_line(revision, 80)!r}: name a branch, tag or commit"
        ) from None
    return named.decode().strip()


def _bare(source: Path, environment: Mapping[str, str]) -> bool:
    return git(["-C", source, "rev-parse", "--is-bare-repository"], environment=environment).strip() == b"true"


def _head(source: Path, environment: Mapping[str, str]) -> str | None:
    """The commit that is checked out; None where nothing is."""
    try:
        return git(["-C", source, "rev-parse", "--verify", "--quiet", "HEAD"], environment=environment).decode().strip()
    except SandboxError:
        return None


def _uncommitted(source: Path, besides: Collection[Path], environment: Mapping[str, str]) -> tuple[str, ...]:
    if _bare(source, environment):
        return ()
    listing = git(
        ["-C", source, *_QUIET, "status", "--porcelain", "-z", "--no-renames", "--untracked-files=all",
         "--ignore-submodules=dirty"],
        environment=environment,
    )  # fmt: skip
    names = [os.fsdecode(line[3:]) for line in listing.split(b"\0") if line]
    apart = _inside(source, besides)
    return tuple(name for name in names if name not in apart)


def _fetch(source: Path, mirror: Path, commit: str, environment: Mapping[str, str]) -> None:
    """Only what the commit reaches: a later fix on another branch must not be there to be found."""
    form = git(["-C", source, "rev-parse", "--show-object-format"], environment=environment).decode().strip()
    git(["init", "--quiet", "--bare", "--template=", f"--object-format={form}", mirror], environment=environment)
    git(
        ["-C", mirror, "-c", "gc.auto=0", "-c", "maintenance.auto=false", "fetch", "--quiet", "--update-shallow",
         "--no-write-fetch-head", "--recurse-submodules=no",
         "--upload-pack", "git -c uploadpack.allowAnySHA1InWant=true upload-pack",
         source.resolve(), f"+{commit}:refs/heads/main"],
        environment=environment,
    )  # fmt: skip
    git(["-C", mirror, "symbolic-ref", "HEAD", "refs/heads/main"], environment=environment)


_QUIET = ("-c", "core.fsmonitor=false", "-c", "core.untrackedCache=false", "-c", "advice.addEmbeddedRepo=false")


def _take(source: Path, mirror: Path, commit: str, besides: Collection[Path], environment: Mapping[str, str]) -> str:
    """The uncommitted changes as a commit in the mirror. Index and objects are the mirror's, not the operator's."""
    at_source = {
        **environment,
        "GIT_DIR": git(["-C", source, "rev-parse", "--absolute-git-dir"], environment=environment)
        .decode()
        .rstrip("\n"),
        "GIT_WORK_TREE": str(source.resolve()),
        "GIT_INDEX_FILE": str(mirror / "taken.index"),
        "GIT_OBJECT_DIRECTORY": str(mirror / "objects"),
    }
    git(["read-tree", commit], environment=at_source)
    apart = [f":(exclude,literal,top){name}" for name in sorted(_inside(source, besides))]
    git([*_QUIET, "add", "--all", "--", ":/", *apart], environment=at_source, cwd=source)
    tree = git(["write-tree"], environment=at_source).decode().strip()
    (mirror / "taken.index").unlink()
    who = {
        "GIT_AUTHOR_NAME": "Multitrack",
        "GIT_AUTHOR_EMAIL": "run@multitrack.invalid",
        "GIT_COMMITTER_NAME": "Multitrack",
        "GIT_COMMITTER_EMAIL": "run@multitrack.invalid",
    }
    message = "Uncommitted changes that the run started from"
    taken = git(
        ["-C", mirror, "-c", "commit.gpgSign=false", "commit-tree", tree, "-p", commit, "-m", message],
        environment={**environment, **who},
    )
    new = taken.decode().strip()
    git(["-C", mirror, "update-ref", "refs/heads/main", new], environment=environment)
    return new


def _inside(source: Path, paths: Collection[Path]) -> set[str]:
    root = source.resolve()
    resolved = [(path if path.is_absolute() else root / path).resolve() for path in paths]
    return {str(path.relative_to(root)) for path in resolved if path.is_relative_to(root)}
