"""A repository that has packages called `app` and `store` of its own: theirs are theirs and ours are ours."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from backends.practice import make_repository, model_command
from store.home import Home
from tests import runs

pytestmark = pytest.mark.timeout(600)

TASK = """
[task]
goal = "Make the check pass."
[check]
command = "python3 check.py"
protected = ["check.py", "tests/**"]
[generations]
count = 4
lanes = 4
[model]
name = "scripted-debugger"
upstream = "{upstream}"
[limits]
turns = 11
"""

MULTITRACK = Path(sys.executable).parent / "multitrack"


@contextlib.contextmanager
def model() -> Iterator[str]:
    """A scripted model as somebody's provider; its base URL."""
    line = [sys.executable, "-P", "-E", *model_command(1)[1:]]
    process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{json.loads(process.stdout.readline())['port']}"
    finally:
        process.stdin.close()
        process.wait(10)


def repository(folder: Path) -> Path:
    """The practice bug as a repository whose packages are called `app` and `store`."""
    made = make_repository("one", folder / "practice").repository
    theirs = folder / "theirs"
    package = next(path.parent.name for path in made.glob("*/__init__.py") if path.parent.name != "tests")
    (theirs / "store").mkdir(parents=True)
    for path in made.rglob("*"):
        inside = path.relative_to(made)
        if path.is_file() and inside.parts[0] != ".git":
            text = path.read_text()
            text = text.replace(f"{package}.journal", "store.journal").replace(f"{package}", "app")
            target = theirs / str(inside).replace(f"{package}/journal", "store/journal").replace(package, "app")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
    (theirs / "store" / "__init__.py").write_text('"""Where they keep things."""\n')
    (theirs / "backends.py").write_text("raise ImportError('this is the operator\\'s')\n")
    git = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org", "-C", str(theirs)]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "All of it"]):
        subprocess.run([*git, *arguments], check=True)
    return theirs


def test_a_run_on_a_repository_with_packages_of_our_names(tmp_path: Path) -> None:
    theirs = repository(tmp_path)
    home = Home(tmp_path / "home")
    with model() as upstream:
        (tmp_path / "multitrack.toml").write_text(TASK.format(upstream=upstream))
        (tmp_path / "multitrack.toml").rename(theirs / "multitrack.toml")
        (theirs / ".git" / "info" / "exclude").write_text("multitrack.toml\n")
        environ = {
            **os.environ,
            "MULTITRACK_HOME": str(home.root),
            "ANTHROPIC_API_KEY": "sk-test",
            # As an operator has it who works in that repository: our environment active, theirs on the path.
            "PYTHONPATH": os.pathsep.join([str(theirs), "."]),
            "VIRTUAL_ENV": sys.prefix,
            "PATH": os.pathsep.join([str(MULTITRACK.parent), os.environ["PATH"]]),
        }
        line = [str(MULTITRACK), "run", "--headless", "--json", "--seed", "1"]
        done = subprocess.run(
            line, cwd=theirs, env=environ, capture_output=True, text=True, timeout=runs.DEADLINE, check=False
        )
    assert done.stdout, done.stderr
    summary = json.loads(done.stdout)
    assert summary["state"] == "solved", summary
    assert done.returncode == 0
    board = runs.board(home, summary["run"])
    assert board.baseline is not None
    assert "broken" in board.baseline.results[0].tail, "their check ran their code"
