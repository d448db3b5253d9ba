"""The commands of `multitrack`, one module a group. Importing them is cheap: what a command needs, it imports when it
runs."""

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from app.actions import ACTIONS
from app.context import TASK_FILE, Context


def _nothing(parser: ArgumentParser) -> None:
    pass


@dataclass(frozen=True)
class Command:
    """One command. `run` returns the exit code, or raises a CommandError. `more` is said in its own `--help` only."""

    name: str
    help: str
    run: Callable[[Context, Namespace], int]
    configure: Callable[[ArgumentParser], None] = _nothing
    more: str = ""


@dataclass(frozen=True)
class Group:
    """Commands that belong together in `--help`."""

    title: str
    commands: tuple[Command, ...]


def twin_help(name: str) -> str:
    """What the operator's action says of itself whose command-line twin this is; the first one of that name."""
    return next(action.help for action in ACTIONS if action.twin.split()[1:2] == [name])


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """Reads an argument that is a whole number within bounds."""
    bounds = f"from {least} on" if most is None else f"from {least} to {most:,}"

    def read(text: str) -> int:
        if text.isdecimal() and text.isascii() and least <= int(text) and (most is None or int(text) <= most):
            return int(text)
        raise ArgumentTypeError(f"{text!r} is no whole number {bounds}")

    return read


def add_taskfile(parser: ArgumentParser) -> None:
    """The argument that names a task file."""
    parser.add_argument(
        "taskfile",
        metavar="TASKFILE",
        nargs="?",
        type=Path,
        default=Path(TASK_FILE),
        help=f"the task file, or the folder that has it ({TASK_FILE})",
    )


def add_run(parser: ArgumentParser) -> None:
    """The argument that names a run."""
    parser.add_argument("run", metavar="RUN", help="a run's name, a unique beginning of it, or `last`")


def add_subagent(parser: ArgumentParser) -> None:
    """The argument that names a subagent of the run."""
    parser.add_argument("subagent", metavar="SUBAGENT", help="GENERATION.LANE, such as 2.3")


def add_json(parser: ArgumentParser, what: str = "print JSON instead of text") -> None:
    """The option that asks for JSON."""
    parser.add_argument("--json", action="store_true", help=what)


def add_run_json(parser: ArgumentParser) -> None:
    """The argument that names a run, and the option that asks for JSON."""
    add_run(parser)
    add_json(parser)


def all_groups() -> tuple[Group, ...]:
    """Every group, in the order of `--help`."""
    from app.commands import begin, clear, look, prepare, replay, steer, tapes
    from app.commands import exec as record

    return (
        begin.GROUP,
        replay.GROUP,
        prepare.GROUP,
        record.GROUP,
        look.GROUP,
        tapes.GROUP,
        steer.GROUP,
        clear.GROUP,
    )
