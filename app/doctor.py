"""What is missing here: each thing that a run needs, looked at, with what to do about it."""

import os
import platform
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from app import containers
from app.disk import Disk, free, in_store
from app.failure import CommandError
from app.output import counted, size
from store.domain.docker import DockerSettings
from store.domain.safe_text import safe_line
from store.domain.task import Dirt, SandboxKind, Task

if TYPE_CHECKING:
    from backends.sandboxes.docker import Host
    from store.home import Home

GIT_SECONDS = 20.0


class Level(StrEnum):
    """How a check came out. The value is the word that people see."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `todo` says what to do, "" when nothing."""

    level: Level
    name: str
    said: str
    todo: str = ""


def examine(home: "Home", environ: Mapping[str, str], task_file: Path) -> Iterator[Finding]:
    """Everything, in order. Nothing is changed, and the key is never shown."""
    yield _python()
    yield _git(environ)
    yield _looked("home", lambda: _home(home.root))
    yield _looked("store", lambda: _store(home))
    yield _looked("disk", lambda: _disk(home))
    yield _terminal(environ)
    from app.taskfile import load, located

    task_file = located(task_file)
    if not task_file.exists():
        yield from _sandboxes(environ, None)
        yield _key(environ, None)
        yield Finding(Level.OK, "task file", f"there is no {task_file} here", "`multitrack init` writes one")
        return
    task = None
    try:
        task = load(task_file)
        yield Finding(Level.OK, "task file", str(task_file))
    except CommandError as error:
        yield Finding(Level.FAIL, "task file", str(error))
    yield from _sandboxes(environ, task)
    yield _key(environ, task)
    if task is not None:
        yield from _repository(task, task_file, environ)
        yield _program(task, environ)


def _looked(name: str, look: Callable[[], Finding]) -> Finding:
    """What came of looking; that it can't be looked at is a finding too."""
    try:
        return look()
    except OSError as error:
        todo = "make it yours to read and write, or set MULTITRACK_HOME"
        return Finding(Level.FAIL, name, f"{error.filename or name}: {error.strerror or error}", todo)


def _python() -> Finding:
    return Finding(Level.OK, "python", f"{platform.python_version()} at {sys.executable}")


def _git(environ: Mapping[str, str]) -> Finding:
    try:
        said = _run(["git", "--version"], environ)
    except (OSError, subprocess.SubprocessError):
        return Finding(Level.FAIL, "git", "can't be run", "install Git: every sandbox is a clone")
    return Finding(Level.OK, "git", said.removeprefix("git version "))


def _home(root: Path) -> Finding:
    if not root.exists():
        above = _existing(root)
        if not os.access(above, os.W_OK | os.X_OK):
            return Finding(
                Level.FAIL, "home", f"{root} can't be made", f"make {above} writable, or set MULTITRACK_HOME"
            )
        return Finding(Level.OK, "home", f"{root} (will be made)")
    if not root.is_dir() or not os.access(root, os.R_OK | os.W_OK | os.X_OK):
        return Finding(
            Level.FAIL, "home", f"{root} can't be read and written", "make it a folder of yours, or set MULTITRACK_HOME"
        )
    mode = stat.S_IMODE(root.stat().st_mode)
    if mode & 0o077:
        return Finding(
            Level.WARN, "home", f"{root} is open to others (mode {mode:04o})", f"chmod 700 {shlex.quote(str(root))}"
        )
    return Finding(Level.OK, "home", str(root))


def _store(home: "Home") -> Finding:
    if not home.store.exists():
        return Finding(Level.OK, "store", f"{home.store} (will be made)")
    from store.database import StoreError, open_store
    from store.runs import runs

    try:
        with open_store(home.store) as store:
            count = len(runs(store))
    except StoreError as error:
        return Finding(Level.FAIL, "store", str(error))
    return Finding(Level.OK, "store", f"{home.store}, {counted(count, 'run')}, {size(in_store(home))}")


def _disk(home: "Home") -> Finding:
    from store.sizes import disk

    look = Disk(in_store(home) + disk(home.root / "runs"), free(home.store))
    said = f"{size(look.free)} free, {size(look.taken)} recorded"
    if (word := look.word) is None:
        return Finding(Level.OK, "disk", said)
    return Finding(Level.FAIL if word.urgent else Level.WARN, "disk", f"{said}: {word.said}", word.todo)


def _terminal(environ: Mapping[str, str]) -> Finding:
    if not sys.stdout.isatty():
        return Finding(Level.OK, "terminal", "none: runs go headless")
    term = environ.get("TERM", "")
    if term in ("", "dumb"):
        return Finding(
            Level.WARN, "terminal", f"TERM is {term!r}", "set TERM, such as xterm-256color, or use --headless"
        )
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    if encoding != "utf8":
        return Finding(Level.WARN, "terminal", f"its encoding is {encoding}", "set LANG, such as C.UTF-8")
    columns, rows = shutil.get_terminal_size()
    if columns < 80 or rows < 24:
        return Finding(Level.WARN, "terminal", f"{columns} by {rows}", "make it at least 80 by 24")
    if "256color" not in term and environ.get("COLORTERM") not in ("truecolor", "24bit"):
        return Finding(Level.WARN, "terminal", f"{term}: few colours", "in tmux: set -g default-terminal tmux-256color")
    return Finding(Level.OK, "terminal", f"{term}, {columns} by {rows}")


def _sandboxes(environ: Mapping[str, str], task: Task | None) -> Iterator[Finding]:
    """Where the task's commands would run, and what is wrong with that; without a task, what there could be."""
    local = "local (a folder of its own for each subagent; no wall)"
    if task is not None and task.sandbox is SandboxKind.LOCAL:
        yield Finding(Level.OK, "sandboxes", local)
        return
    from backends.sandboxes.docker import Host, HostError, ready

    settings = task.docker if task is not None else DockerSettings()
    made_of = settings.dockerfile or settings.image
    missing = Level.FAIL if task is not None and task.sandbox is SandboxKind.DOCKER else Level.WARN
    hosts, answering = [Host(name, environ) for name in settings.hosts or ("",)], []
    try:
        for host in hosts:
            try:
                found = host.version()
                answering.append(host)
                yield Finding(Level.OK, "docker", f"engine {found} answers" + (f" on {host}" if host.name else ""))
            except HostError as error:
                yield Finding(missing if made_of else Level.OK, "docker", str(error))
        if not made_of:
            todo = "name an image in [docker] for a container each" if answering else ""
            yield Finding(Level.OK, "sandboxes", local, todo)
        elif not answering:
            yield Finding(missing, "sandboxes", "none" if missing is Level.FAIL else local)
        else:
            looked = ready(settings, environ, hosts=answering)
            yield from (Finding(Level(one.level), one.name, one.said, one.todo) for one in looked)
            yield Finding(Level.OK, "sandboxes", f"docker ({containers.made_of(settings)})")
        yield from (finding for host in answering if (finding := _images(host)) is not None)
    finally:
        for host in hosts:
            host.close()


def _images(host: "Host") -> Finding | None:
    """What the images take that were built for runs, where there are any."""
    from backends.sandboxes import SandboxError
    from backends.sandboxes.docker import built_images

    try:
        images = built_images(host)
    except SandboxError as error:
        return Finding(Level.WARN, "images", str(error))
    if not images:
        return None
    said = f"{counted(len(images), 'image')} built for runs, at least {size(sum(one.own for one in images))}"
    where, here = (f" (on {host})", f" --host {shlex.quote(host.name)}") if host.name else ("", "")
    return Finding(Level.OK, "images", said + where, f"`multitrack prune --images{here}` removes what no run uses")


def _key(environ: Mapping[str, str], task: Task | None) -> Finding:
    """The keys of the task's providers; without a task, that of the usual one."""
    from app.credentials import CredentialsError, key_sources

    try:
        sources = key_sources(environ, task)
    except CredentialsError as error:
        return Finding(Level.FAIL if task is not None else Level.WARN, "key", str(error))
    return Finding(Level.OK, "key", f"from {', '.join(sources)}" if sources else "none is needed")


def _repository(task: Task, task_file: Path, environ: Mapping[str, str]) -> Iterator[Finding]:
    from backends.sandboxes import SandboxError, notices

    root = Path(task.repository)
    # Looking must not write, and `status` would write the index.
    environ = {**environ, "GIT_OPTIONAL_LOCKS": "0"}
    git = ["git", "-C", task.repository]
    try:
        said = notices(root, task.revision, environ=environ)
        start, head = (
            _run([*git, "rev-parse", "--verify", "--end-of-options", f"{name}^{{commit}}"], environ)
            for name in (task.revision, "HEAD")
        )
        dirt = _uncommitted(git, root, task_file, environ) if start == head else []
    except SandboxError as error:
        yield Finding(Level.FAIL, "repository", str(error))
        return
    except (OSError, subprocess.SubprocessError):
        return  # Git's own finding, or a repository without a work tree
    yield Finding(Level.OK, "repository", f"{task.repository} at {start[:12]}")
    yield from (Finding(Level.WARN, "repository", sentence) for sentence in said)
    if dirt and task.uncommitted is Dirt.REFUSE:
        more = f", and {len(dirt) - 1} more" if len(dirt) > 1 else ""
        yield Finding(
            Level.FAIL,
            "repository",
            f"it has uncommitted changes, which the task file refuses: {safe_line(dirt[0], 80)}{more}",
            'commit them, or take them along: `multitrack run --uncommitted take`, or uncommitted = "take"',
        )


def _uncommitted(git: list[str], root: Path, task_file: Path, environ: Mapping[str, str]) -> list[str]:
    """The files with uncommitted changes; the task file may lie about, as `multitrack run` has it."""
    listed = _run([*git, "status", "--porcelain", "-z", "--no-renames", "--untracked-files=all"], environ)
    names = [line[3:] for line in f"{listed}\0".split("\0") if line]
    return [name for name in names if (root / name).resolve() != task_file.resolve()]


def _program(task: Task, environ: Mapping[str, str]) -> Finding:
    """The first word of the check, where it can be looked up: a shell's own words, and assignments, are let be."""
    try:
        words = shlex.split(task.check.command, comments=True)
    except ValueError as error:
        return Finding(Level.WARN, "check", f"{safe_line(task.check.command, 60)}: {error}", "put check.command right")
    word = next((word for word in words if "=" not in word.partition("/")[0]), "")
    local = Path(task.repository) / word
    if (
        shutil.which(word, path=environ.get("PATH"))
        or _is_shell_word(word)
        or ("/" in word and os.access(local, os.X_OK))
    ):
        return Finding(Level.OK, "check", safe_line(task.check.command, 60))
    return Finding(Level.FAIL, "check", f"there is no program {word}", "install it, or put check.command right")


def _is_shell_word(word: str) -> bool:
    return (
        not word or word[0] in "({!$" or word in {"cd", "if", "for", "while", "test", "[", ":", "set", "export", "exec"}
    )


def _existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.absolute().parents) if folder.exists())


def _run(command: list[str], environ: Mapping[str, str]) -> str:
    done = subprocess.run(
        command, env=dict(environ), stdin=subprocess.DEVNULL, capture_output=True, timeout=GIT_SECONDS, check=True
    )
    return done.stdout.decode("utf-8", "replace").strip("\n")
