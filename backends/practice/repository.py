"""Makes the repository of a practice task: files and history are package data, the commits are made on the spot."""

import os
import subprocess
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from backends.practice import TASKS, PracticeTask

_FOLDER = Path(__file__).parent / "tasks"
_RENAMED = "renamed:"

Tree = dict[str, str]
"""Files by path."""


@dataclass(frozen=True)
class Commit:
    """One commit: who, when, why, and every file as it was."""

    author: str
    date: datetime
    message: str
    tree: Tree


@dataclass(frozen=True)
class Source:
    """A practice task before it is a repository; the commits are oldest first."""

    goal: str
    check: str
    protected: tuple[str, ...]
    commits: tuple[Commit, ...]


def source(task: str) -> Source:
    """The practice task of that name. ValueError when there is none."""
    if task.startswith(_RENAMED) and task.removeprefix(_RENAMED).isdecimal():
        from backends.practice.renamer import renamed

        return renamed(source("one"), int(task.removeprefix(_RENAMED)))
    if task not in TASKS:
        raise ValueError(f"no practice task {task!r}: there are {', '.join(TASKS)} and {_RENAMED}SEED")
    folder = _FOLDER / task
    described = tomllib.loads((folder / "history.toml").read_text(encoding="utf-8"))
    commits = _commits(described["commit"], _read(folder / "tree"))
    return Source(described["goal"].strip(), described["check"], tuple(described["protected"]), commits)


def make(task: str, folder: Path) -> PracticeTask:
    """See `backends.practice.make_repository`."""
    found = source(task)
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is there already and not empty")
    folder.mkdir(parents=True, exist_ok=True)
    _git(folder, "init", "--quiet", "--object-format=sha1", "--initial-branch=main")
    _git(folder, "fast-import", "--quiet", input=_stream(found.commits))
    _git(folder, "reset", "--quiet", "--hard", "main")
    revision = _git(folder, "rev-parse", "main").decode().strip()
    return PracticeTask(task, found.goal, found.check, found.protected, folder, revision)


def _read(folder: Path) -> Tree:
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in sorted(files)}


def _commits(described: Sequence[Mapping[str, Any]], last: Tree) -> tuple[Commit, ...]:
    """Undo the commits one by one, from the last state back."""
    commits, tree = [], last
    for each in reversed(described):
        commits.append(Commit(each["author"], datetime.fromisoformat(each["date"]), each["message"], tree))
        tree = dict(tree)
        for edit in reversed(each.get("edit", ())):
            path, after = edit["path"], edit["after"]
            if tree[path].count(after) != 1:
                raise ValueError(f"{path}: an edit of {each['message']!r} fits {tree[path].count(after)} times")
            tree[path] = tree[path].replace(after, edit["before"])
        for path in each.get("adds", ()):
            del tree[path]
    if tree:
        raise ValueError(f"no commit adds {', '.join(tree)}")
    return tuple(reversed(commits))


def _stream(commits: Sequence[Commit]) -> bytes:
    """The commits in the format of `git fast-import`, whole trees each."""
    out = []
    for commit in commits:
        at = f"{int(commit.date.timestamp())} {commit.date.strftime('%z')}"
        out.append(f"commit refs/heads/main\nauthor {commit.author} {at}\ncommitter {commit.author} {at}\n".encode())
        out.append(_data(commit.message + "\n") + b"deleteall\n")
        out += [f"M 100644 inline {path}\n".encode() + _data(text) for path, text in sorted(commit.tree.items())]
    return b"".join(out)


def _data(text: str) -> bytes:
    encoded = text.encode()
    return b"data %d\n%b\n" % (len(encoded), encoded)


def _git(folder: Path, *arguments: str, input: bytes = b"") -> bytes:  # noqa: A002 (the word of subprocess)
    """Run Git without the user's configuration, hooks and templates, so that the commits come out the same."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_TEMPLATE_DIR": ""}
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env=environment, input=input, capture_output=True, check=True
    )
    return done.stdout
