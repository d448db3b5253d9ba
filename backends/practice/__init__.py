"""Practice: bugs to try Multitrack on, and a scripted model that plays a debugger. The face of the trade.

A practice task is a Git repository made on the spot, with a history, whose check fails. The scripted model is an
upstream in place of a provider: a program of its own that speaks the Anthropic Messages protocol.
"""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from store.domain.observations.injection import Injection, tokens

MODEL = "scripted-debugger"
"""The name under which the scripted model is asked for."""

TASKS = ("one", "two")
"""The practice tasks by name; `renamed:SEED` is the first with every name in it replaced."""

DOCKERFILE = Path(__file__).parent / "image" / "Dockerfile"
"""What an image for the practice tasks is built from; its argument BASE is the image to build on."""


@dataclass(frozen=True)
class PracticeTask:
    """A practice bug, ready to be worked on. `protected` are Git path patterns; `revision` is the full commit id."""

    name: str
    goal: str
    check: str
    protected: tuple[str, ...]
    repository: Path
    revision: str


def make_repository(task: str, folder: Path) -> PracticeTask:
    """Make the repository of a practice task in `folder`, which is created. The commit ids are the same everywhere.

    ValueError for a task that does not exist, FileExistsError when `folder` is there already and not empty, OSError
    and CalledProcessError when Git can't be run.
    """
    from backends.practice.repository import make

    return make(task, folder)


def other_memory() -> Injection:
    """What a finished run on task two had learned, as it would be injected: memory that is of no use elsewhere."""
    text = (Path(__file__).parent / "other_memory.md").read_text(encoding="utf-8").rstrip("\n")
    return Injection(text, tuple(re.findall(r"^- \[\w+\] \((o-[0-9a-z]+) ", text, re.MULTILINE)), tokens(text))


def model_command(seed: int, pace: float = 0.0) -> list[str]:
    """The program that serves the scripted model. It prints `{"port": …}` on one line once it answers on 127.0.0.1, and
    ends when its standard input closes. `pace` is in events a second, 0 is as fast as it goes.
    """
    options = ["--seed", str(seed), "--pace", str(pace), "--port", "0"]
    return [sys.executable, "-P", "-E", "-m", "backends.practice.model", *options]
